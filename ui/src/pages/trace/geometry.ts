/** Which rows of the waterfall are drawn, and how far names are indented. */
import { ticks, type TimeWindow } from '../../model/time-window';

/** Pixels; the same as --row in tokens.css. */
export const ROW_HEIGHT = 24;
/** Free pixels left and right of the bars. */
export const BARS_AIR = { left: 10, right: 14 } as const;

/** About as far apart the ruler's lines stand. */
export const TICK_WIDTH = 120;

/** The times of the ruler's lines, which go on behind the bars. */
export function rulerTimes(shown: TimeWindow, width: number): number[] {
  return ticks(shown, width / TICK_WIDTH);
}

/** Rows are drawn in steps, with some beyond both edges, so that most scrolling draws nothing. */
const STEP = 8;

export interface RowRange {
  readonly first: number;
  readonly end: number;
}

export function shownRange(scrollTop: number, height: number, rows: number): RowRange {
  const first = Math.max(0, (Math.floor(scrollTop / ROW_HEIGHT / STEP) - 1) * STEP);
  const end = (Math.ceil((scrollTop + height) / ROW_HEIGHT / STEP) + 1) * STEP;
  return { first: Math.min(first, Math.max(0, rows - 1)), end: Math.min(end, rows) };
}

/** Narrower steps for deep trees, as long as they can be told apart. */
export function indentStep(depth: number, nameWidth: number): number {
  return Math.max(2, Math.min(14, (nameWidth * 0.5) / Math.max(depth, 1)));
}

/** At most half of the name column goes to indentation: deeper names stand below each other. */
export function indentOf(depth: number, step: number, nameWidth: number): number {
  return Math.min(depth * step, Math.floor(nameWidth / 2 / step) * step);
}

/** Where to scroll so that a row is in sight; undefined when it already is. */
export function scrollTo(place: number, scrollTop: number, height: number): number | undefined {
  const top = place * ROW_HEIGHT;
  const air = Math.min(ROW_HEIGHT * 2, height / 4);
  if (top >= scrollTop + (scrollTop > 0 ? air / 2 : 0) && top + ROW_HEIGHT <= scrollTop + height) return undefined;
  if (Math.abs(top - scrollTop) < height * 1.5) {
    return Math.max(0, top < scrollTop + air ? top - air : top + ROW_HEIGHT + air - height);
  }
  return Math.max(0, top - height / 2);
}
