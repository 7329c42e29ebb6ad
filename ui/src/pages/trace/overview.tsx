/** The whole trace in a strip, and the shown window over it: drag to pick, move or resize. */
import { useLayoutEffect, useRef } from 'preact/hooks';
import { drawRuns } from '../../draw/minimap';
import { readPalette } from '../../draw/palette';
import { prepare } from '../../draw/surface';
import { at } from '../../model/column';
import { reduceToPixels } from '../../model/minimap';
import { isWhole, type TimeWindow, wholeWindow, within } from '../../model/time-window';
import { useSize } from '../../parts/size';
import { useLive } from '../../state/live';
import type { TraceView } from '../../state/open-trace';
import { dark } from '../../state/preferences';

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
  const { width, height } = useSize(box);
  const window = useLive(view.window);
  useRuns(view, canvas, width, height - 2 * AIR);

  const duration = Math.max(view.trace.duration, 1);
  const whole = isWhole(window, duration);
  const left = (window.from / duration) * width;
  const right = (window.to / duration) * width;
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
        drag.current = { grip: gripAt(x(event)), time: (x(event) / width) * duration, window };
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

function dragged({ grip, time: begun, window }: Drag, time: number, duration: number): TimeWindow {
  const by = time - begun;
  if (grip === 'from') return within(Math.min(time, window.to), window.to, duration);
  if (grip === 'to') return within(window.from, Math.max(time, window.from), duration);
  if (grip === 'move') return within(window.from + by, window.to + by, duration);
  return within(begun, time, duration);
}

/** Drawn when its size or the theme changes, never while zooming. */
function useRuns(
  view: TraceView,
  canvas: { readonly current: HTMLCanvasElement | null },
  width: number,
  height: number,
): void {
  const isDark = useLive(dark);
  useLayoutEffect(() => {
    if (canvas.current === null || width < 1 || height < 1) return;
    const runs = reduceToPixels(view.trace, Math.floor(width), Math.floor(height));
    const surface = prepare(canvas.current, width, height);
    if (surface === undefined) return;
    const palette = readPalette();
    const colors = new Map<number, string>();
    drawRuns(surface, palette, {
      ...runs,
      error: (index) => at(runs.error, index) === 1,
      color: (index) => {
        const service = at(runs.service, index);
        let color = colors.get(service);
        if (color === undefined) {
          const { hue, tone } = view.colors.of(view.trace.texts.text(service));
          color = palette.service(hue, tone);
          colors.set(service, color);
        }
        return color;
      },
    });
  }, [view, canvas, width, height, isDark]);
}
