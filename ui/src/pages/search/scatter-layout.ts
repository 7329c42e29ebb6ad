/** Where the traces of a search lie in the scatter plot: start across, duration up (logarithmic). */
import type { Dots, Grid } from '../../draw/scatter';
import { formatDuration } from '../../format/duration';
import { formatClock, formatDate, type Zone } from '../../format/time';
import type { FoundTrace } from '../../model/found-traces';

export interface Scatter {
  readonly dots: Dots;
  readonly grid: Grid;
  /** The time at an x, nanoseconds since 1970. */
  readonly timeAt: (x: number) => bigint;
}

const PLOT = { left: 64, right: 22, top: 18, bottom: 28 };
/** Radius of a trace of one span, and what each tenfold adds. */
const SMALLEST_DOT = 3;
const DOT_PER_TENFOLD = 2.2;
/** Round steps of the time axis, nanoseconds. */
const DAY = 24 * 3600e9;
const STEPS = [
  1e6, 5e6, 1e7, 5e7, 1e8, 5e8, 1e9, 5e9, 15e9, 30e9, 60e9, 300e9, 900e9, 1800e9, 3600e9, 3 * 3600e9, 6 * 3600e9,
  12 * 3600e9, DAY, 2 * DAY, 7 * DAY, 30 * DAY, 90 * DAY, 365 * DAY,
];

export function layOutScatter(traces: readonly FoundTrace[], width: number, height: number, zone: Zone): Scatter {
  const plot = { left: PLOT.left, right: width - PLOT.right, top: PLOT.top, bottom: height - PLOT.bottom };
  const time = timeScale(traces, plot.left, plot.right);
  const up = durationScale(traces, plot.bottom, plot.top);
  const count = traces.length;
  const dots = { x: new Float64Array(count), y: new Float64Array(count), radius: new Float64Array(count) };
  traces.forEach((trace, index) => {
    dots.x[index] = time.x(trace.start);
    dots.y[index] = up.y(trace.duration);
    dots.radius[index] = SMALLEST_DOT + DOT_PER_TENFOLD * Math.log10(Math.max(trace.spans, 1));
  });
  return {
    dots: { ...dots, count, error: (index) => (traces[index]?.errors ?? 0) > 0 },
    grid: { plot, lines: up.lines, times: time.ticks(zone) },
    timeAt: time.at,
  };
}

function timeScale(traces: readonly FoundTrace[], left: number, right: number) {
  let first = traces[0]?.start ?? 0n;
  let last = first;
  for (const { start } of traces) {
    if (start < first) first = start;
    if (start > last) last = start;
  }
  const wanted = Math.max(Number(last - first), 1e6);
  const air = wanted * 0.03;
  const base = first - BigInt(Math.round(air));
  const span = wanted + 2 * air;
  const scale = (right - left) / span;
  return {
    x: (start: bigint): number => left + Number(start - base) * scale,
    at: (x: number): bigint => base + BigInt(Math.round((Math.min(Math.max(x, left), right) - left) / scale)),
    ticks: (zone: Zone) => {
      const step = STEPS.find((candidate) => candidate * scale >= 110) ?? 365 * DAY;
      return timeTicks(base, span, step, zone).map((at) => ({
        x: left + Number(at - base) * scale,
        label: tickLabel(at, step, zone),
      }));
    },
  };
}

/** Aligned to the clock of the zone. */
function timeTicks(base: bigint, span: number, step: number, zone: Zone): bigint[] {
  const minutes = zone === 'utc' ? 0 : -new Date(Number(base / 1_000_000n)).getTimezoneOffset();
  const offset = BigInt(minutes) * 60_000_000_000n;
  const width = BigInt(step);
  const ticks: bigint[] = [];
  const end = base + BigInt(Math.round(span));
  for (let at = ((base + offset) / width + 1n) * width - offset; at <= end && ticks.length < 50; at += width) {
    ticks.push(at);
  }
  return ticks;
}

function tickLabel(at: bigint, step: number, zone: Zone): string {
  if (step >= DAY) return formatDate(at, zone);
  if (step >= 3600e9 && formatClock(at, zone, 0) === '00:00:00') return formatDate(at, zone).slice(5);
  return step >= 60e9 ? formatClock(at, zone, 0).slice(0, 5) : formatClock(at, zone, step >= 1e9 ? 0 : 3);
}

function durationScale(traces: readonly FoundTrace[], bottom: number, top: number) {
  const logs = traces.map((trace) => Math.log10(Math.max(trace.duration, 1)));
  const shortest = logs.length === 0 ? 6 : Math.min(...logs);
  const longest = logs.length === 0 ? 6 : Math.max(...logs);
  const air = Math.max((longest - shortest) * 0.12, 0.4);
  const low = Math.max(shortest - air, -0.2);
  const high = longest + air;
  const y = (log: number): number => bottom - ((log - low) / (high - low)) * (bottom - top);
  const lines: { y: number; label: string }[] = [];
  const step = Math.max(1, Math.ceil((high - low) / 5));
  for (let power = Math.ceil(low); power <= high; power += step) {
    lines.push({ y: y(power), label: formatDuration(10 ** power) });
  }
  return { y: (duration: number): number => y(Math.log10(Math.max(duration, 1))), lines };
}
