/** Writes a skeleton by the book, from spans drawn as indented text. */

export interface SketchedSpan {
  readonly depth: number;
  readonly service: string;
  readonly name: string;
  readonly start: number;
  readonly end: number;
  readonly error: boolean;
  readonly missingParent: boolean;
  /** Event times. */
  readonly events: readonly number[];
}

/**
 * One span per line, two blanks per level: `service name start-end [!error] [!orphan] [@time …]`.
 * Times are nanoseconds after the trace's start.
 */
export function sketch(text: string): SketchedSpan[] {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const margin = /^ */.exec(lines[0] ?? '')?.[0].length ?? 0;
  return lines.map((line) => {
    const indent = /^ */.exec(line)?.[0].length ?? 0;
    const [service = '', name = '', range = '', ...marks] = line.trim().split(/\s+/);
    const [start = '0', end = '0'] = range.split('-');
    return {
      depth: (indent - margin) / 2,
      service,
      name,
      start: Number(start),
      end: Number(end),
      error: marks.includes('!error'),
      missingParent: marks.includes('!orphan'),
      events: marks.filter((mark) => mark.startsWith('@')).map((mark) => Number(mark.slice(1))),
    };
  });
}

export const SKETCH_BASE = 1_763_640_000_123_456_789n;
export const SKETCH_ID = '000102030405060708090a0b0c0d0e0f';

const NONE = 0xffff_ffff;

/** Rows are in preorder already; parents, subtrees and self times follow from the depths. */
export function skeletonBytes(spans: readonly SketchedSpan[], complete = true): ArrayBuffer {
  const rows = spans.length;
  const texts: string[] = [];
  const textIndex = new Map<string, number>();
  const text = (value: string): number => {
    const known = textIndex.get(value);
    if (known !== undefined) return known;
    textIndex.set(value, texts.length);
    return texts.push(value) - 1;
  };
  const names = spans.map((span) => text(span.name));
  const services = spans.map((span) => text(span.service));
  const encoded = texts.map((value) => new TextEncoder().encode(value));
  const blob = Uint8Array.from(encoded.flatMap((bytes) => [...bytes]));
  let end = 0;
  const ends = encoded.map((bytes) => (end += bytes.length));
  const marks = spans.flatMap((span, row) => span.events.map((time) => ({ row, time })));
  const { parents, subtreeEnds } = tree(spans);

  const header = new Uint8Array(64);
  const view = new DataView(header.buffer);
  header.set(new TextEncoder().encode('TLSKEL1\n'));
  view.setUint32(8, rows, true);
  view.setUint32(12, complete ? 1 : 0, true);
  view.setBigUint64(16, SKETCH_BASE, true);
  view.setBigUint64(24, BigInt(Math.max(0, ...spans.map((span) => span.end))), true);
  for (let byte = 0; byte < 16; byte++) view.setUint8(32 + byte, byte);
  view.setUint32(48, texts.length, true);
  view.setUint32(52, blob.length, true);
  view.setUint32(56, marks.length, true);

  const ids = new Uint8Array(rows * 8);
  const idView = new DataView(ids.buffer);
  for (let row = 0; row < rows; row++) idView.setBigUint64(row * 8, spanIdOf(row));
  const bytesOf = (column: ArrayBufferView): Uint8Array =>
    new Uint8Array(column.buffer, column.byteOffset, column.byteLength);
  return padded([
    header,
    bytesOf(Float64Array.from(spans, (span) => span.start)),
    bytesOf(Float64Array.from(spans, (span) => span.end - span.start)),
    bytesOf(Float64Array.from(spans, (span) => span.end - span.start)),
    bytesOf(Float64Array.from(marks, (mark) => mark.time)),
    ids,
    bytesOf(Uint32Array.from(parents)),
    bytesOf(Uint32Array.from(subtreeEnds)),
    bytesOf(Uint32Array.from(names)),
    bytesOf(Uint32Array.from(services)),
    bytesOf(Uint32Array.from(marks, (mark) => mark.row)),
    bytesOf(Uint32Array.from(ends)),
    bytesOf(Uint16Array.from(spans, (span) => span.depth)),
    new Uint8Array(rows).fill(2),
    Uint8Array.from(spans, flagsOf),
    blob,
  ]);
}

/** Row 0 has span id a000…01. */
export function spanIdOf(row: number): bigint {
  return 0xa000_0000_0000_0001n + BigInt(row);
}

function flagsOf(span: SketchedSpan): number {
  return (span.error ? 1 : 0) | (span.missingParent ? 4 : 0) | (span.events.length > 0 ? 8 : 0);
}

function tree(spans: readonly SketchedSpan[]): { parents: number[]; subtreeEnds: number[] } {
  const parents: number[] = [];
  const subtreeEnds = new Array<number>(spans.length).fill(spans.length);
  const open: number[] = [];
  spans.forEach((span, row) => {
    while (open.length > span.depth) subtreeEnds[open.pop() ?? 0] = row;
    parents.push(open.at(-1) ?? NONE);
    open.push(row);
  });
  return { parents, subtreeEnds };
}

function padded(columns: readonly Uint8Array[]): ArrayBuffer {
  const whole = (bytes: number): number => Math.ceil(bytes / 8) * 8;
  const all = new Uint8Array(columns.reduce((sum, column) => sum + whole(column.length), 0));
  let offset = 0;
  for (const column of columns) {
    all.set(column, offset);
    offset += whole(column.length);
  }
  return all.buffer;
}

/** Many spans: a root, below it groups of sequential chains, some in error. */
export function manySpans(rows: number): SketchedSpan[] {
  const spans: SketchedSpan[] = [];
  const duration = rows * 1000;
  for (let row = 0; row < rows; row++) {
    const depth = row === 0 ? 0 : 1 + ((row - 1) % 12);
    const start = row === 0 ? 0 : row * 1000 - 500;
    spans.push({
      depth,
      service: `service-${row % 17}`,
      name: `operation ${row % 200}`,
      start,
      end: row === 0 ? duration : Math.min(duration, start + 40_000 / depth),
      error: row % 97 === 96,
      missingParent: false,
      events: row % 10 === 5 ? [start + 10] : [],
    });
  }
  return spans;
}
