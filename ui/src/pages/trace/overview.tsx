/** The whole trace in a strip, and the shown window over it: drag to pick, move or resize. */
import { useLayoutEffect, useRef } from 'preact/hooks';
import { drawRuns } from '../../draw/minimap';
import { readPalette } from '../../draw/palette';
import { prepare } from '../../draw/surface';
import { at } from '../../model/column';
import { reduceToPixels } from '../../model/minimap';
import { isWhole, type TimeWindow, wholeWindow, within } from '../../model/time-window';
import { type Size, useSize } from '../../parts/size';
import { useLive } from '../../state/live';
import type { TraceView } from '../../state/open-trace';
import { dark } from '../../state/preferences';
import { serviceFills } from './service-fills';

type Grip = 'from' | 'to' | 'move' | 'new';

interface Drag {
  readonly grip: Grip;
  /** Where it began, nanoseconds. */
  readonly time: number;
  readonly window: TimeWindow;
}

const HANDLE_WIDTH = 6;
/** Free pixels above and below the runs; the same in trace.css. */
const AIR = 5;

export function Overview({ view }: { readonly view: TraceView }) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const drag = useRef<Drag | undefined>(undefined);
  const { width, height, ratio } = useSize(box);
  const zoom = useLive(view.window);
  useRuns(view, canvas, { width, height: height - 2 * AIR, ratio });

  const duration = Math.max(view.trace.duration, 1);
  const whole = isWhole(zoom, duration);
  const left = (zoom.from / duration) * width;
  const right = (zoom.to / duration) * width;
  const x = (event: PointerEvent): number => event.clientX - (box.current?.getBoundingClientRect().left ?? 0);
  const gripAt = (place: number): Grip => {
    if (whole) return 'new';
    if (Math.abs(place - left) <= HANDLE_WIDTH) return 'from';
    if (Math.abs(place - right) <= HANDLE_WIDTH) return 'to';
    return place > left && place < right ? 'move' : 'new';
  };
  const move = (event: PointerEvent): void => {
    const from = drag.current;
    if (from === undefined) return;
    const time = (Math.min(Math.max(x(event), 0), width) / width) * duration;
    if (from.grip === 'new' && Math.abs(time - from.time) * (width / duration) < 3) return;
    view.setWindow(dragged(from, time, duration));
  };
  return (
    <div
      ref={box}
      class="overview"
      role="group"
      aria-label="Overview of the whole trace"
      data-whole={whole}
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        drag.current = { grip: gripAt(x(event)), time: (x(event) / width) * duration, window: zoom };
      }}
      onPointerMove={move}
      onPointerUp={() => {
        drag.current = undefined;
      }}
      onPointerCancel={() => {
        drag.current = undefined;
      }}
      onDblClick={() => view.setWindow(wholeWindow(duration))}
    >
      <canvas ref={canvas} aria-hidden="true" />
      {!whole && (
        <>
          <span class="overview-veil" style={{ left: '0', width: `${left}px` }} />
          <span class="overview-veil" style={{ left: `${right}px`, right: '0' }} />
          <span class="overview-window" style={{ left: `${left}px`, width: `${Math.max(right - left, 1)}px` }} />
        </>
      )}
    </div>
  );
}

function dragged({ grip, time: begun, window: zoom }: Drag, time: number, duration: number): TimeWindow {
  const by = time - begun;
  if (grip === 'from') return within(Math.min(time, zoom.to), zoom.to, duration);
  if (grip === 'to') return within(zoom.from, Math.max(time, zoom.from), duration);
  if (grip === 'move') return within(zoom.from + by, zoom.to + by, duration);
  return within(begun, time, duration);
}

/** Drawn when its size or the theme changes, never while zooming. */
function useRuns(
  view: TraceView,
  canvas: { readonly current: HTMLCanvasElement | null },
  { width, height, ratio }: Size,
): void {
  const isDark = useLive(dark);
  useLayoutEffect(() => {
    if (canvas.current === null || width < 1 || height < 1) return;
    const runs = reduceToPixels(view.trace, Math.floor(width * ratio), Math.floor(height));
    const surface = prepare(canvas.current, width, height, ratio);
    if (surface === undefined) return;
    const palette = readPalette();
    const fill = serviceFills(view.colors, palette);
    drawRuns(surface, palette, {
      ...runs,
      perPixel: ratio,
      error: (index) => at(runs.error, index) === 1,
      color: (index) => fill(view.trace.texts.text(at(runs.service, index))),
    });
  }, [view, canvas, width, height, ratio, isDark]);
}
