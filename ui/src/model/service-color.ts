/** The colors of services: by the hash of the name, and never the same for two of one view. */

/** A place in the palette; tokens.css says how light and how strong it is in each theme. */
export interface ServiceColor {
  /** Degrees in OKLCH. */
  readonly hue: number;
  /** 0 or 1: the stronger or the softer of the two shades of a hue. */
  readonly tone: 0 | 1;
}

/** From orange to pink, the reds are left to errors. Soft yellows look like mud, so there are none. */
const STRONG = [56, 76, 98, 128, 150, 172, 194, 214, 234, 254, 274, 294, 316, 340];
const SOFT = [140, 165, 190, 212, 236, 258, 280, 302, 326, 348];
export const PLACES: readonly ServiceColor[] = [
  ...STRONG.map((hue): ServiceColor => ({ hue, tone: 0 })),
  ...SOFT.map((hue): ServiceColor => ({ hue, tone: 1 })),
];

/** Prime to the number of places, so that it visits all; far, so that the next is told apart easily. */
const STRIDE = 7;

/**
 * A name keeps its hash's place wherever it is shown, unless a name before it in the alphabet has that place
 * in the same view; then it takes the next free one. The same names always get the same colors.
 */
export class ServiceColors {
  readonly #places = new Map<string, number>();

  /** `names` are all services of the view, in any order, repeated or not. */
  constructor(names: Iterable<string>) {
    const taken = new Set<number>();
    for (const name of [...new Set(names)].sort()) {
      let place = preferred(name);
      while (taken.has(place) && taken.size < PLACES.length) place = (place + STRIDE) % PLACES.length;
      taken.add(place);
      this.#places.set(name, place);
    }
  }

  of(name: string): ServiceColor {
    return PLACES[this.#places.get(name) ?? preferred(name)] ?? { hue: 234, tone: 0 };
  }
}

/** FNV-1a over UTF-16 units, with a final mix so that near names fall apart. */
function preferred(name: string): number {
  let value = 0x811c9dc5;
  for (let index = 0; index < name.length; index++) {
    value = Math.imul(value ^ name.charCodeAt(index), 0x01000193);
  }
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  return ((value ^ (value >>> 15)) >>> 0) % PLACES.length;
}
