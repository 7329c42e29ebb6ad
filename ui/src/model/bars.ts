/** Where the bars of the shown rows lie, in pixels. */
import { at, lastAtMost } from './column';
import type { TimeWindow } from './time-window';
import { RowFlag, type Trace } from './trace';

/** Bars of consecutive places among the shown rows. */
export interface Bars {
  readonly first: number;
  readonly count: number;
  readonly row: Uint32Array;
  readonly left: Float64Array;
  readonly right: Float64Array;
  /** 1 error, 4 missing parent: the row's own flags. */
  readonly flags: Uint8Array;
  /** 1 where the row's children are hidden. */
  readonly collapsed: Uint8Array;
  readonly mark: Marks;
}

/** Event ticks: the index of their bar and their x. */
export interface Marks {
  readonly bar: number[];
  readonly x: number[];
}

/** A span with ten thousand events shows no more ticks than this. */
const MOST_MARKS_PER_ROW = 200;

export interface Shown {
  readonly visible: Uint32Array;
  readonly collapsed: Uint8Array;
  readonly first: number;
  readonly end: number;
}

export function layOutBars(trace: Trace, shown: Shown, zoom: TimeWindow, width: number): Bars {
  const end = Math.min(shown.end, shown.visible.length);
  const count = Math.max(0, end - shown.first);
  const scale = width / (zoom.to - zoom.from);
  const bars = {
    first: shown.first,
    count,
    row: shown.visible.subarray(shown.first, end),
    left: new Float64Array(count),
    right: new Float64Array(count),
    flags: new Uint8Array(count),
    collapsed: new Uint8Array(count),
    mark: { bar: [], x: [] },
  };
  for (let index = 0; index < count; index++) {
    const row = at(bars.row, index);
    const start = at(trace.start, row);
    bars.left[index] = (start - zoom.from) * scale;
    bars.right[index] = (start + at(trace.length, row) - zoom.from) * scale;
    bars.flags[index] = at(trace.flags, row);
    bars.collapsed[index] = at(shown.collapsed, row);
    if ((at(trace.flags, row) & RowFlag.events) !== 0) addMarks(trace, row, index, zoom, scale, bars.mark);
  }
  return bars;
}

function addMarks(
  trace: Trace,
  row: number,
  bar: number,
  zoom: TimeWindow,
  scale: number,
  into: Marks,
): void {
  const last = lastAtMost(trace.markRow, row);
  const most = into.x.length + MOST_MARKS_PER_ROW;
  for (let mark = last; mark >= 0 && at(trace.markRow, mark) === row && into.x.length < most; mark--) {
    const offset = at(trace.markOffset, mark);
    if (offset < zoom.from || offset > zoom.to) continue;
    into.bar.push(bar);
    into.x.push((offset - zoom.from) * scale);
  }
}
