/** A trace as columns: one typed array per property, one index per span, rows in preorder. */
import { at } from './column';
import type { SpanIds } from './span-ids';
import type { StringTable } from './string-table';

/** The parent of a row that has none in this trace. */
export const NO_PARENT = 0xffff_ffff;

/** Bits of `Trace.flags` that the page shows; 2 (status ok) and 16 (links) it does not. */
export const RowFlag = {
  error: 1,
  /** The parent id is set, but that span is not in the trace. */
  missingParent: 4,
  events: 8,
  /** The span id is not unique in the trace. */
  repeatedId: 32,
} as const;

/** What the skeleton carries. Times are nanoseconds after `base`, exact up to 104 days. */
export interface Trace {
  /** 32 hexadecimal digits. */
  readonly id: string;
  /** Earliest start, nanoseconds since 1970. */
  readonly base: bigint;
  readonly duration: number;
  /** Exactly one root and no missing parent. */
  readonly complete: boolean;
  /** Larger than the server answers with: some spans are left out. */
  readonly cut: boolean;
  readonly rows: number;
  readonly start: Float64Array;
  readonly length: Float64Array;
  readonly self: Float64Array;
  readonly parent: Uint32Array;
  /** The row after the last descendant. */
  readonly subtreeEnd: Uint32Array;
  readonly depth: Uint16Array;
  readonly kind: Uint8Array;
  readonly flags: Uint8Array;
  /** Indexes into `texts`. */
  readonly name: Uint32Array;
  readonly service: Uint32Array;
  readonly texts: StringTable;
  readonly ids: SpanIds;
  /** Event marks, ascending by row. */
  readonly markRow: Uint32Array;
  readonly markOffset: Float64Array;
}

const KINDS = ['', 'internal', 'server', 'client', 'producer', 'consumer'];

export function hasFlag(trace: Trace, row: number, flag: number): boolean {
  return (at(trace.flags, row) & flag) !== 0;
}

export function hasChildren(trace: Trace, row: number): boolean {
  return at(trace.subtreeEnd, row) > row + 1;
}

export function descendants(trace: Trace, row: number): number {
  return at(trace.subtreeEnd, row) - row - 1;
}

/** What is shown of a name: an empty one could be neither seen nor clicked. */
export function shownName(name: string): string {
  return name === '' ? '(no name)' : name;
}

export function nameOf(trace: Trace, row: number): string {
  return shownName(trace.texts.text(at(trace.name, row)));
}

export function serviceOf(trace: Trace, row: number): string {
  return trace.texts.text(at(trace.service, row));
}

export function kindOf(trace: Trace, row: number): string {
  return KINDS[at(trace.kind, row)] ?? '';
}

/** All rows that carry the flag, ascending. */
export function rowsWithFlag(trace: Trace, flag: number): Uint32Array {
  let count = 0;
  for (let row = 0; row < trace.rows; row++) if (hasFlag(trace, row, flag)) count++;
  const rows = new Uint32Array(count);
  let next = 0;
  for (let row = 0; row < trace.rows; row++) if (hasFlag(trace, row, flag)) rows[next++] = row;
  return rows;
}
