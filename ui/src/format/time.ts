/** Absolute times, exact to the nanosecond, in local time or UTC. */

export type Zone = 'local' | 'utc';

const NANOS_PER_MILLI = 1_000_000n;

/** `2026-11-20 10:07:25`, with `digits` decimals of the second (0, 3, 6 or 9). */
export function formatTime(nanoseconds: bigint, zone: Zone, digits: 0 | 3 | 6 | 9 = 3): string {
  const parts = clockParts(nanoseconds, zone);
  return `${parts.date} ${parts.clock}${fraction(parts.nanos, digits)}`;
}

/** Only the time of day. */
export function formatClock(nanoseconds: bigint, zone: Zone, digits: 0 | 3 | 6 | 9 = 3): string {
  const parts = clockParts(nanoseconds, zone);
  return `${parts.clock}${fraction(parts.nanos, digits)}`;
}

/** Only the date. */
export function formatDate(nanoseconds: bigint, zone: Zone): string {
  return clockParts(nanoseconds, zone).date;
}

/** `UTC`, or the local zone's offset such as `UTC+02:00`. */
export function zoneName(nanoseconds: bigint, zone: Zone): string {
  if (zone === 'utc') return 'UTC';
  const minutes = -new Date(milliseconds(nanoseconds)).getTimezoneOffset();
  if (minutes === 0) return 'UTC+00:00';
  const sign = minutes < 0 ? '−' : '+';
  const size = Math.abs(minutes);
  return `UTC${sign}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/** `3 min ago`; a word when it is just now or still to come. */
export function formatAgo(nanoseconds: bigint, nowMilliseconds: number): string {
  const seconds = Math.round((nowMilliseconds - milliseconds(nanoseconds)) / 1000);
  if (seconds < -60) return 'in the future';
  if (seconds < 5) return 'just now';
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} d ago`;
}

/** What an `<input type="datetime-local" step="1">` holds, on the zone's clock. */
export function toInputTime(nanoseconds: bigint, zone: Zone): string {
  const parts = clockParts(nanoseconds, zone);
  return `${parts.date}T${parts.clock}`;
}

/** The time an input holds; undefined when it is not one, or before 1970. */
export function fromInputTime(text: string, zone: Zone): bigint | undefined {
  return parseTime(zone === 'utc' ? `${text}Z` : text);
}

/** RFC 3339 as nanoseconds; undefined when it is not one, or before 1970. */
export function parseTime(text: string): bigint | undefined {
  const time = new Date(text).getTime();
  return time >= 0 ? BigInt(time) * NANOS_PER_MILLI : undefined;
}

interface ClockParts {
  readonly date: string;
  readonly clock: string;
  readonly nanos: number;
}

function clockParts(nanoseconds: bigint, zone: Zone): ClockParts {
  const time = new Date(milliseconds(nanoseconds));
  const nanos = Number(((nanoseconds % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n);
  const [year, month, day, hour, minute, second] =
    zone === 'utc'
      ? [time.getUTCFullYear(), time.getUTCMonth(), time.getUTCDate(), time.getUTCHours(), time.getUTCMinutes(), time.getUTCSeconds()]
      : [time.getFullYear(), time.getMonth(), time.getDate(), time.getHours(), time.getMinutes(), time.getSeconds()];
  return {
    date: `${year ?? 0}-${two((month ?? 0) + 1)}-${two(day ?? 0)}`,
    clock: `${two(hour ?? 0)}:${two(minute ?? 0)}:${two(second ?? 0)}`,
    nanos,
  };
}

function milliseconds(nanoseconds: bigint): number {
  return Number(nanoseconds / NANOS_PER_MILLI);
}

function fraction(nanos: number, digits: number): string {
  return digits === 0 ? '' : `.${String(nanos).padStart(9, '0').slice(0, digits)}`;
}

function two(value: number): string {
  return String(value).padStart(2, '0');
}
