/** Durations in nanoseconds as people read and write them. */

const UNITS: readonly (readonly [string, number])[] = [
  ['s', 1e9],
  ['ms', 1e6],
  ['µs', 1e3],
  ['ns', 1],
];

/** Three or four significant digits: `1.23 ms`, `45.6 s`, `2 m 05 s`. */
export function formatDuration(nanoseconds: number): string {
  if (nanoseconds < 0) return `−${formatDuration(-nanoseconds)}`;
  if (nanoseconds >= 59.95e9) return longDuration(nanoseconds);
  for (const [unit, size] of UNITS) {
    // What rounds to 1000 of a unit is 1 of the next.
    if (nanoseconds < size * (size === 1 ? 1 : 0.9995)) continue;
    const value = nanoseconds / size;
    return `${significant(value)} ${unit}`;
  }
  return '0 ns';
}

/** A time after another: `+1.2 ms`, `−3 ms`. */
export function formatOffset(nanoseconds: number): string {
  return nanoseconds < 0 ? formatDuration(nanoseconds) : `+${formatDuration(nanoseconds)}`;
}

/** Every nanosecond: `1.234567 ms`. */
export function formatExactDuration(nanoseconds: number): string {
  if (nanoseconds < 0) return `−${formatExactDuration(-nanoseconds)}`;
  const whole = Math.round(nanoseconds);
  for (const [unit, size] of UNITS) {
    if (whole < size) continue;
    const fraction = String(whole % size).padStart(String(size).length - 1, '0').replace(/0+$/, '');
    const integer = String(Math.floor(whole / size));
    return fraction === '' || size === 1 ? `${integer} ${unit}` : `${integer}.${fraction} ${unit}`;
  }
  return '0 ns';
}

function significant(value: number): string {
  const places = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  const text = value.toFixed(places);
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

function longDuration(nanoseconds: number): string {
  const seconds = Math.round(nanoseconds / 1e9);
  const two = (value: number): string => String(value).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${two(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} m`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${two(hours % 24)} h`;
}

/** Whether the server will read it: a Go duration such as `1.2s` or `1m30s`. */
export function isDuration(text: string): boolean {
  return /^(\d+(\.\d+)?(ns|us|µs|μs|ms|s|m|h))+$/.test(text);
}

/** What people type made into what the server reads: blanks go, a bare number means milliseconds. */
export function tidyDuration(text: string): string {
  const tight = text.replace(/\s+/g, '').toLowerCase();
  return /^\d+(\.\d+)?$/.test(tight) ? `${tight}ms` : tight;
}
