/** Span ids as the bytes that came, and the way back from an id to its rows. */
import { at } from './column';

const EMPTY = 0xffff_ffff;

/** Where to look for an id. */
interface Index {
  /** The first row of each id, by open addressing, at most half full. */
  readonly slots: Uint32Array;
  /** Per row: the next row with the same id. */
  readonly next: Uint32Array;
}

export class SpanIds {
  readonly #bytes: DataView;
  readonly #rows: number;
  #index: Index | undefined;

  /** 8 bytes per row, big-endian. */
  constructor(bytes: DataView, rows: number) {
    this.#bytes = bytes;
    this.#rows = rows;
  }

  /** 16 hexadecimal digits. */
  hex(row: number): string {
    return digits(this.#high(row)) + digits(this.#low(row));
  }

  /** The rows that carry this id, ascending; several when it is not unique. */
  rowsOf(hex: string): number[] {
    if (!/^[0-9a-f]{16}$/.test(hex)) return [];
    const high = Number.parseInt(hex.slice(0, 8), 16);
    const low = Number.parseInt(hex.slice(8), 16);
    const { slots, next } = (this.#index ??= this.#makeIndex());
    const found: number[] = [];
    for (let row = at(slots, this.#slot(slots, high, low)); row !== EMPTY; row = at(next, row)) found.push(row);
    return found;
  }

  /** The rows that carry any of these ids, ascending. */
  rowsOfAll(ids: readonly string[]): Uint32Array {
    const rows: number[] = [];
    for (const id of new Set(ids)) for (const row of this.rowsOf(id)) rows.push(row);
    return Uint32Array.from(rows).sort();
  }

  /** The name of a row in a link: its id, and `.2`, `.3` … for the later ones of the same id. */
  linkName(row: number): string {
    const id = this.hex(row);
    const place = this.rowsOf(id).indexOf(row);
    return place > 0 ? `${id}.${place + 1}` : id;
  }

  /** The row of a link's name; −1 when it is not here. */
  rowOfLink(name: string): number {
    const [id = '', place = '1'] = name.split('.');
    return this.rowsOf(id)[Number(place) - 1] ?? -1;
  }

  /** From the last row to the first, so that each chain ascends. */
  #makeIndex(): Index {
    let size = 16;
    while (size < this.#rows * 2) size *= 2;
    const slots = new Uint32Array(size).fill(EMPTY);
    const next = new Uint32Array(this.#rows);
    for (let row = this.#rows - 1; row >= 0; row--) {
      const slot = this.#slot(slots, this.#high(row), this.#low(row));
      next[row] = at(slots, slot);
      slots[slot] = row;
    }
    return { slots, next };
  }

  /** The slot that holds this id, or the empty one where it belongs. */
  #slot(slots: Uint32Array, high: number, low: number): number {
    const mask = slots.length - 1;
    let slot = hash(high, low) & mask;
    for (let row = at(slots, slot); row !== EMPTY; row = at(slots, slot)) {
      if (this.#high(row) === high && this.#low(row) === low) break;
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  #high(row: number): number {
    return this.#bytes.getUint32(row * 8);
  }

  #low(row: number): number {
    return this.#bytes.getUint32(row * 8 + 4);
  }
}

function digits(half: number): string {
  return half.toString(16).padStart(8, '0');
}

function hash(high: number, low: number): number {
  const mixed = Math.imul(high ^ Math.imul(low, 0x9e3779b1), 0x85ebca6b);
  return (mixed ^ (mixed >>> 15)) >>> 0;
}
