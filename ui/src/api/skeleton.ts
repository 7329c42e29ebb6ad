/** `GET /api/a1/trace/{id}/skeleton`: the binary columns become a Trace without copying. */
import { at } from '../model/column';
import { SpanIds } from '../model/span-ids';
import { StringTable } from '../model/string-table';
import { NO_PARENT, type Trace } from '../model/trace';
import { getBytes, RequestError } from './request';

const TYPE = 'application/vnd.tracelodge.skeleton';
const MAGIC = 'TLSKEL1\n';
const HEADER_BYTES = 64;
/** Bits of the header's flags. */
const COMPLETE = 1;
const CUT = 2;

export async function skeleton(trace: string, signal?: AbortSignal): Promise<Trace> {
  return decodeSkeleton(await getBytes(`/api/a1/trace/${trace}/skeleton`, TYPE, signal));
}

/** Typed arrays are views of `buffer`, so this costs a walk over the columns that point somewhere. */
export function decodeSkeleton(buffer: ArrayBuffer): Trace {
  if (buffer.byteLength < HEADER_BYTES) throw refused('it is shorter than its header');
  const header = new DataView(buffer, 0, HEADER_BYTES);
  if (ascii(buffer, 0, 8) !== MAGIC) throw refused('it does not begin with the format’s name');
  const rows = header.getUint32(8, true);
  const texts = header.getUint32(48, true);
  const blobBytes = header.getUint32(52, true);
  const marks = header.getUint32(56, true);
  const columns = new Columns(buffer);
  // The order of the format; object literals are evaluated from top to bottom.
  const trace = {
    id: hex(buffer, 32, 16),
    base: header.getBigUint64(16, true),
    duration: Number(header.getBigUint64(24, true)),
    complete: (header.getUint32(12, true) & COMPLETE) !== 0,
    cut: (header.getUint32(12, true) & CUT) !== 0,
    rows,
    start: columns.float64(rows),
    length: columns.float64(rows),
    self: columns.float64(rows),
    markOffset: columns.float64(marks),
    ids: new SpanIds(columns.view(rows * 8), rows),
    parent: columns.uint32(rows),
    subtreeEnd: columns.uint32(rows),
    name: columns.uint32(rows),
    service: columns.uint32(rows),
    markRow: columns.uint32(marks),
  };
  const ends = columns.uint32(texts);
  const tail = {
    depth: columns.uint16(rows),
    kind: columns.uint8(rows),
    flags: columns.uint8(rows),
  };
  const whole: Trace = { ...trace, ...tail, texts: new StringTable(ends, columns.uint8(blobBytes)) };
  check(whole, ends, blobBytes);
  return whole;
}

/** Takes one column after the other; each is padded to a multiple of eight bytes. */
class Columns {
  readonly #buffer: ArrayBuffer;
  #offset = HEADER_BYTES;

  constructor(buffer: ArrayBuffer) {
    this.#buffer = buffer;
  }

  float64(count: number): Float64Array {
    return new Float64Array(this.#buffer, this.#take(count * 8), count);
  }

  uint32(count: number): Uint32Array {
    return new Uint32Array(this.#buffer, this.#take(count * 4), count);
  }

  uint16(count: number): Uint16Array {
    return new Uint16Array(this.#buffer, this.#take(count * 2), count);
  }

  uint8(count: number): Uint8Array {
    return new Uint8Array(this.#buffer, this.#take(count), count);
  }

  view(bytes: number): DataView {
    return new DataView(this.#buffer, this.#take(bytes), bytes);
  }

  #take(bytes: number): number {
    const from = this.#offset;
    if (from + bytes > this.#buffer.byteLength) throw refused('it ends before its columns do');
    this.#offset = from + Math.ceil(bytes / 8) * 8;
    return from;
  }
}

/** Everything that is used to walk: a wrong value here could loop for ever. */
function check(trace: Trace, ends: Uint32Array, blobBytes: number): void {
  for (let row = 0; row < trace.rows; row++) {
    const end = at(trace.subtreeEnd, row);
    const parent = at(trace.parent, row);
    if (end <= row || end > trace.rows) throw refused(`row ${row} has no sound subtree`);
    if (parent !== NO_PARENT && parent >= row) throw refused(`row ${row} stands before its parent`);
    if (at(trace.name, row) >= ends.length || at(trace.service, row) >= ends.length) {
      throw refused(`row ${row} names a text that is not there`);
    }
  }
  for (let index = 1; index < ends.length; index++) {
    if (at(ends, index) < at(ends, index - 1)) throw refused('its texts are out of order');
  }
  if (at(ends, ends.length - 1) > blobBytes) throw refused('its texts end outside of it');
}

function ascii(buffer: ArrayBuffer, from: number, length: number): string {
  return String.fromCharCode(...new Uint8Array(buffer, from, length));
}

function hex(buffer: ArrayBuffer, from: number, length: number): string {
  const bytes = [...new Uint8Array(buffer, from, length)];
  return bytes.map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

function refused(why: string): RequestError {
  return new RequestError(0, 'Unexpected answer', `the skeleton of the trace cannot be read: ${why}`);
}
