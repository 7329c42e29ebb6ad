/** The size of an element and the screen's resolution, followed as they change. */
import type { RefObject } from 'preact';
import { useLayoutEffect, useState } from 'preact/hooks';

export interface Size {
  readonly width: number;
  readonly height: number;
  /** Device pixels in a CSS pixel, at most 3: finer nobody sees. */
  readonly ratio: number;
}

/** Measured before the first paint, so that nothing jumps. */
export function useSize(element: RefObject<HTMLElement>): Size {
  const [size, setSize] = useState<Size>({ width: 0, height: 0, ratio: 1 });
  useLayoutEffect(() => {
    const measured = element.current;
    if (measured === null) return undefined;
    const measure = (): void => {
      const { clientWidth: width, clientHeight: height } = measured;
      const ratio = Math.min(window.devicePixelRatio || 1, 3);
      const same = (old: Size): boolean => old.width === width && old.height === height && old.ratio === ratio;
      setSize((old) => (same(old) ? old : { width, height, ratio }));
    };
    measure();
    const observer = new ResizeObserver(measure);
    observer.observe(measured);
    const unfollow = followResolution(measure);
    return () => {
      observer.disconnect();
      unfollow();
    };
  }, [element]);
  return size;
}

/** Tells when the page moves to a finer or coarser screen; returns how to stop. */
function followResolution(changed: () => void): () => void {
  const stop = new AbortController();
  const follow = (): void => {
    const now = window.matchMedia(`(resolution: ${window.devicePixelRatio}dppx)`);
    const onChange = (): void => {
      changed();
      follow();
    };
    now.addEventListener('change', onChange, { once: true, signal: stop.signal });
  };
  follow();
  return () => stop.abort();
}
