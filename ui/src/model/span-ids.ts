/** Span ids as the bytes that came, and the way back from an id to its rows. */
import { at } from './column';

const EMPTY = 0xffff_ffff;

export class SpanIds {
  readonly #bytes: DataView;
  readonly #rows: number;
  #slots: Uint32Array | undefined;

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
    const slots = (this.#slots ??= this.#index());
    const mask = slots.length - 1;
    const found: number[] = [];
    for (let slot = hash(high, low) & mask; at(slots, slot) !== EMPTY; slot = (slot + 1) & mask) {
      const row = at(slots, slot);
      if (this.#high(row) === high && this.#low(row) === low) found.push(row);
    }
    return found.sort((one, other) => one - other);
  }

  /** Open addressing, at most half full. */
  #index(): Uint32Array {
    let size = 16;
    while (size < this.#rows * 2) size *= 2;
    const slots = new Uint32Array(size).fill(EMPTY);
    for (let row = 0; row < this.#rows; row++) {
      let slot = hash(this.#high(row), this.#low(row)) & (size - 1);
      while (at(slots, slot) !== EMPTY) slot = (slot + 1) & (size - 1);
      slots[slot] = row;
    }
    return slots;
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
