/** The one way to hold state: a value that tells its listeners when it changes. */
import { useEffect, useState } from 'preact/hooks';

export class Live<Value> {
  #value: Value;
  readonly #listeners = new Set<() => void>();

  constructor(value: Value) {
    this.#value = value;
  }

  get value(): Value {
    return this.#value;
  }

  set(value: Value): void {
    if (Object.is(value, this.#value)) return;
    this.#value = value;
    for (const listener of [...this.#listeners]) listener();
  }

  /** Returns how to stop listening. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }
}

/** The value, drawn again when it changes. */
export function useLive<Value>(live: Live<Value>): Value {
  const [, redraw] = useState<object>();
  useEffect(() => {
    const shown = live.value;
    const stop = live.listen(() => redraw({}));
    // It may have changed between the drawing and the listening.
    if (!Object.is(shown, live.value)) redraw({});
    return stop;
  }, [live]);
  return live.value;
}
