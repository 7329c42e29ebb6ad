/** The texts of a trace, decoded only when somebody reads them. */
import { at } from './column';

export class StringTable {
  readonly #ends: Uint32Array;
  readonly #blob: Uint8Array;
  readonly #decoded: (string | undefined)[];
  readonly #decoder = new TextDecoder();

  /** `ends[i]` is where text i ends in `blob`; text 0 starts at 0. */
  constructor(ends: Uint32Array, blob: Uint8Array) {
    this.#ends = ends;
    this.#blob = blob;
    this.#decoded = new Array<string | undefined>(ends.length);
  }

  text(index: number): string {
    const known = this.#decoded[index];
    if (known !== undefined) return known;
    const from = index === 0 ? 0 : at(this.#ends, index - 1);
    const text = this.#decoder.decode(this.#blob.subarray(from, at(this.#ends, index)));
    if (index < this.#ends.length) this.#decoded[index] = text;
    return text;
  }
}
