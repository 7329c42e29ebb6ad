/** The part of a trace's time that is shown, and the arithmetic of zooming and panning it. */

/** Nanoseconds after the trace's start. */
export interface TimeWindow {
  readonly from: number;
  readonly to: number;
}

/** Narrower than this says nothing more: clocks tick in nanoseconds. */
const NARROWEST = 20;

export function wholeWindow(duration: number): TimeWindow {
  return { from: 0, to: Math.max(duration, 1) };
}

export function isWhole(window: TimeWindow, duration: number): boolean {
  return window.from <= 0 && window.to >= Math.max(duration, 1);
}

/** The nearest window that lies within the trace, in order and wide enough. */
export function within(from: number, to: number, duration: number): TimeWindow {
  const whole = Math.max(duration, 1);
  const width = Math.min(Math.max(Math.abs(to - from), Math.min(NARROWEST, whole)), whole);
  const wanted = Math.min(from, to);
  const start = Math.min(Math.max(wanted, 0), whole - width);
  return { from: start, to: start + width };
}

/** Zooms by `factor` (below 1 shows less) so that the time at `anchor` stays where it is drawn. */
export function zoomed(window: TimeWindow, factor: number, anchor: number, duration: number): TimeWindow {
  const whole = Math.max(duration, 1);
  const width = window.to - window.from;
  const narrowest = Math.min(NARROWEST, whole);
  const wanted = Math.min(Math.max(width * factor, narrowest), whole);
  const share = width === 0 ? 0.5 : (anchor - window.from) / width;
  const from = anchor - share * wanted;
  return within(from, from + wanted, duration);
}

/** Moves by a share of the window's own width. */
export function panned(window: TimeWindow, share: number, duration: number): TimeWindow {
  const by = (window.to - window.from) * share;
  return within(window.from + by, window.to + by, duration);
}

/** A span with some air around it. */
export function around(start: number, length: number, duration: number): TimeWindow {
  const air = Math.max(length * 0.1, NARROWEST / 2);
  return within(start - air, start + length + air, duration);
}

/** Round times, about `count` of them, within the window. */
export function ticks(window: TimeWindow, count: number): number[] {
  const step = roundStep((window.to - window.from) / Math.max(count, 1));
  const times: number[] = [];
  for (let index = Math.ceil(window.from / step); index * step <= window.to; index++) {
    times.push(index * step);
    if (times.length > count * 3) break;
  }
  return times;
}

/** 1, 2 or 5 times a power of ten, at least `wanted`. */
function roundStep(wanted: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(wanted, 1)));
  for (const factor of [1, 2, 5]) if (power * factor >= wanted) return power * factor;
  return power * 10;
}
