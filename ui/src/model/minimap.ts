/** A whole trace reduced to the pixels of its minimap. */
import { at } from './column';
import { RowFlag, type Trace } from './trace';

/** Horizontal runs of one service's color, in device pixels. */
export interface MinimapRuns {
  readonly lanes: number;
  readonly count: number;
  readonly lane: Uint16Array;
  readonly from: Uint16Array;
  readonly to: Uint16Array;
  /** Text index of the service. */
  readonly service: Uint32Array;
  /** 1 where the run belongs to a span in error. */
  readonly error: Uint8Array;
}

/**
 * Spreads the rows over `height` lanes. Within a lane later rows cover earlier ones, and errors cover
 * all. Each pixel is painted once, from the top layer down, so the cost is rows + pixels.
 */
export function reduceToPixels(trace: Trace, width: number, height: number): MinimapRuns {
  const lanes = Math.max(1, Math.min(height, trace.rows));
  const painter = new LanePainter(trace, width);
  const out = new RunList();
  for (let lane = 0; lane < lanes; lane++) {
    const first = Math.floor((lane * trace.rows) / lanes);
    const end = Math.floor(((lane + 1) * trace.rows) / lanes);
    painter.paint(first, end);
    painter.collect(lane, out);
  }
  return out.finish(lanes);
}

const EMPTY = 0xffff_ffff;

class LanePainter {
  readonly #trace: Trace;
  readonly #width: number;
  readonly #scale: number;
  /** Per pixel: the row that owns it. */
  readonly #owner: Uint32Array;
  /** Per pixel: the next pixel at or after it that may be free. */
  readonly #next: Uint32Array;

  constructor(trace: Trace, width: number) {
    this.#trace = trace;
    this.#width = width;
    this.#scale = width / Math.max(trace.duration, 1);
    this.#owner = new Uint32Array(width);
    this.#next = new Uint32Array(width + 1);
  }

  paint(first: number, end: number): void {
    this.#owner.fill(EMPTY);
    for (let pixel = 0; pixel <= this.#width; pixel++) this.#next[pixel] = pixel;
    for (let row = end - 1; row >= first; row--) {
      if ((at(this.#trace.flags, row) & RowFlag.error) !== 0) this.#claim(row);
    }
    for (let row = end - 1; row >= first; row--) this.#claim(row);
  }

  collect(lane: number, out: RunList): void {
    const { service, flags } = this.#trace;
    for (let pixel = 0; pixel < this.#width; ) {
      const owner = at(this.#owner, pixel);
      if (owner === EMPTY) {
        pixel++;
        continue;
      }
      const from = pixel;
      const color = at(service, owner);
      const error = at(flags, owner) & RowFlag.error;
      for (; pixel < this.#width; pixel++) {
        const other = at(this.#owner, pixel);
        if (other === EMPTY || at(service, other) !== color) break;
        if ((at(flags, other) & RowFlag.error) !== error) break;
      }
      out.add(lane, from, pixel, color, error);
    }
  }

  #claim(row: number): void {
    const start = at(this.#trace.start, row) * this.#scale;
    const from = Math.min(Math.max(Math.floor(start), 0), this.#width - 1);
    const end = Math.ceil(start + at(this.#trace.length, row) * this.#scale);
    const to = Math.min(Math.max(end, from + 1), this.#width);
    for (let pixel = this.#free(from); pixel < to; pixel = this.#free(pixel)) {
      this.#owner[pixel] = row;
      this.#next[pixel] = pixel + 1;
    }
  }

  /** The first free pixel at or after `pixel`, shortening the way for the next search. */
  #free(pixel: number): number {
    let root = pixel;
    while (at(this.#next, root) !== root) root = at(this.#next, root);
    for (let step = pixel; step !== root; ) {
      const after = at(this.#next, step);
      this.#next[step] = root;
      step = after;
    }
    return root;
  }
}

class RunList {
  #count = 0;
  #lane = new Uint16Array(256);
  #from = new Uint16Array(256);
  #to = new Uint16Array(256);
  #service = new Uint32Array(256);
  #error = new Uint8Array(256);

  add(lane: number, from: number, to: number, service: number, error: number): void {
    if (this.#count === this.#lane.length) this.#grow();
    const index = this.#count++;
    this.#lane[index] = lane;
    this.#from[index] = from;
    this.#to[index] = to;
    this.#service[index] = service;
    this.#error[index] = error;
  }

  finish(lanes: number): MinimapRuns {
    return {
      lanes,
      count: this.#count,
      lane: this.#lane,
      from: this.#from,
      to: this.#to,
      service: this.#service,
      error: this.#error,
    };
  }

  #grow(): void {
    const size = this.#lane.length * 2;
    const grown16 = (old: Uint16Array): Uint16Array<ArrayBuffer> => {
      const bigger = new Uint16Array(size);
      bigger.set(old);
      return bigger;
    };
    this.#lane = grown16(this.#lane);
    this.#from = grown16(this.#from);
    this.#to = grown16(this.#to);
    const service = new Uint32Array(size);
    service.set(this.#service);
    this.#service = service;
    const error = new Uint8Array(size);
    error.set(this.#error);
    this.#error = error;
  }
}
