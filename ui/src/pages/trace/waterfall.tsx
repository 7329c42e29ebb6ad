/** The tree of names beside the canvas of bars. Only the rows in sight exist. */
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { drawBars } from '../../draw/bars';
import { readPalette } from '../../draw/palette';
import { prepare } from '../../draw/surface';
import { formatDuration } from '../../format/duration';
import { layOutBars } from '../../model/bars';
import { at } from '../../model/column';
import { placeAmong } from '../../model/stepping';
import { panned, type TimeWindow, zoomed } from '../../model/time-window';
import { RowFlag, serviceOf } from '../../model/trace';
import { placeOf } from '../../model/visible-rows';
import { type Size, useSize } from '../../parts/size';
import { Splitter } from '../../parts/splitter';
import { useLive } from '../../state/live';
import type { TraceView } from '../../state/open-trace';
import { dark, nameColumn } from '../../state/preferences';
import { BARS_AIR, indentOf, indentStep, ROW_HEIGHT, type RowRange, rulerTimes, scrollTo, shownRange } from './geometry';
import { FoldButtons } from './fold-buttons';
import { Ruler } from './ruler';
import { serviceFills } from './service-fills';
import { WaterfallRow } from './waterfall-row';

const WHEEL_STRENGTH = 0.0022;

export function Waterfall({ view }: { readonly view: TraceView }) {
  const scroller = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height, ratio } = useSize(scroller);
  const visible = useLive(view.visible);
  const zoom = useLive(view.window);
  const share = useLive(nameColumn);
  const [range, setRange] = useState<RowRange>({ first: 0, end: 0 });
  const nameWidth = Math.round(Math.min(Math.max(width * share, 120), Math.max(width - 160, 120)));
  const barsWidth = Math.max(width - nameWidth - BARS_AIR.left - BARS_AIR.right, 1);

  const measure = useCallback((): void => {
    const element = scroller.current;
    if (element === null) return;
    const next = shownRange(element.scrollTop, element.clientHeight, view.visible.value.length);
    setRange((old) => (old.first === next.first && old.end === next.end ? old : next));
  }, [view]);
  useLayoutEffect(measure, [measure, visible, height]);
  useDrawing(view, canvas, range, { width: barsWidth, ratio }, zoom);
  useWanted(view, scroller);
  useWheel(view, scroller, nameWidth, barsWidth);
  const pan = usePan(view, barsWidth);

  return (
    <div class="waterfall">
      <div class="waterfall-head">
        <div class="waterfall-title" style={{ width: `${nameWidth}px` }}>
          <span>Operation and service</span>
          <FoldButtons view={view} />
        </div>
        <Splitter
          label="Width of the names"
          value={share}
          low={0.12}
          high={0.75}
          step={0.02}
          perPixel={1 / Math.max(width, 1)}
          onMove={(next) => nameColumn.set(next)}
        />
        <Ruler view={view} width={barsWidth} />
      </div>
      <div class="waterfall-scroll" ref={scroller} onScroll={measure} {...pan}>
        <div
          class="waterfall-rows"
          role="treegrid"
          aria-label="Spans"
          aria-rowcount={visible.length}
          style={{ height: `${visible.length * ROW_HEIGHT}px`, '--name-width': `${nameWidth}px` }}
        >
          <Rows view={view} range={range} nameWidth={nameWidth} />
          <canvas
            ref={canvas}
            class="bars"
            aria-hidden="true"
            style={{ top: `${range.first * ROW_HEIGHT}px`, left: `${nameWidth + BARS_AIR.left}px` }}
          />
        </div>
      </div>
    </div>
  );
}

interface RowsProps {
  readonly view: TraceView;
  readonly range: RowRange;
  readonly nameWidth: number;
}

/** Untouched while only the time window changes. */
function Rows({ view, range, nameWidth }: RowsProps) {
  const visible = useLive(view.visible);
  const collapsed = useLive(view.collapsed);
  const active = useLive(view.active);
  const selected = useLive(view.selected);
  const matches = useLive(view.matches);
  const step = indentStep(view.summary.depth, nameWidth);
  return useMemo(() => {
    const end = Math.min(range.end, visible.length);
    const drawn = (place: number) => {
      const row = at(visible, place);
      return (
        <WaterfallRow
          key={row}
          trace={view.trace}
          row={row}
          place={place}
          indent={indentOf(at(view.trace.depth, row), step, nameWidth)}
          step={step}
          color={view.colors.of(serviceOf(view.trace, row))}
          collapsed={at(collapsed, row) === 1}
          active={row === active}
          selected={row === selected}
          matched={placeAmong(matches.rows, row) >= 0}
          onSelect={(picked) => view.select(picked)}
          onToggle={(picked) => view.toggle(picked)}
        />
      );
    };
    const rows = [];
    // The row with the keyboard stays even out of sight: the Tab key must find it.
    const kept = placeOf(visible, active);
    if (kept >= 0 && kept < range.first) rows.push(drawn(kept));
    for (let place = range.first; place < end; place++) rows.push(drawn(place));
    if (kept >= end) rows.push(drawn(kept));
    return <>{rows}</>;
  }, [view, visible, collapsed, active, selected, matches, range, step, nameWidth]);
}

function useDrawing(
  view: TraceView,
  canvas: { readonly current: HTMLCanvasElement | null },
  range: RowRange,
  { width, ratio }: Pick<Size, 'width' | 'ratio'>,
  zoom: TimeWindow,
): void {
  const visible = useLive(view.visible);
  const collapsed = useLive(view.collapsed);
  const isDark = useLive(dark);
  useLayoutEffect(() => {
    if (canvas.current === null || range.end === 0) return;
    // The air on both sides belongs to the canvas too, so that labels may use it.
    const bars = layOutBars(view.trace, { visible, collapsed, ...range }, zoom, width);
    const surface = prepare(canvas.current, width + BARS_AIR.right, bars.count * ROW_HEIGHT, ratio);
    if (surface === undefined) return;
    const palette = readPalette();
    const scale = width / (zoom.to - zoom.from);
    const fill = serviceFills(view.colors, palette);
    drawBars(surface, palette, {
      ...bars,
      rowHeight: ROW_HEIGHT,
      markBar: bars.mark.bar,
      markX: bars.mark.x,
      ticks: rulerTimes(zoom, width).map((time) => (time - zoom.from) * scale),
      color: (index) => fill(serviceOf(view.trace, at(bars.row, index))),
      label: (index) => formatDuration(at(view.trace.length, at(bars.row, index))),
      error: (index) => (at(bars.flags, index) & RowFlag.error) !== 0,
      folded: (index) => at(bars.collapsed, index) === 1,
    });
    sayPainted();
  }, [view, canvas, visible, collapsed, range, width, ratio, zoom, isDark]);
}

/** Tells how long the opening took, from the click to the pixels. */
function sayPainted(): void {
  if (performance.getEntriesByName('trace:click').length === 0) return;
  requestAnimationFrame(() => {
    const { port1, port2 } = new MessageChannel();
    // A message sent in a frame arrives after that frame is painted.
    port1.onmessage = () => {
      port1.close();
      if (performance.getEntriesByName('trace:click').length === 0) return;
      performance.mark('trace:painted');
      performance.measure('trace:open', 'trace:click', 'trace:painted');
      performance.clearMarks('trace:click');
    };
    port2.postMessage(undefined);
  });
}

/** Brings a wanted row into sight and hands it the keyboard. */
function useWanted(view: TraceView, scroller: { readonly current: HTMLDivElement | null }): void {
  const wanted = useLive(view.wanted);
  useEffect(() => {
    const element = scroller.current;
    if (element === null || wanted.row < 0) return;
    const place = placeOf(view.visible.value, wanted.row);
    const top = scrollTo(place, element.scrollTop, element.clientHeight);
    if (top !== undefined) element.scrollTop = top;
    // The row may exist only after the scrolling drew it.
    const frame = requestAnimationFrame(() => {
      // Whoever steps from match to match, or folds by button, goes on there.
      if (document.activeElement?.closest('input, .find, .fold-buttons') != null) return;
      element.querySelector<HTMLElement>('[role="row"][tabindex="0"]')?.focus({ preventScroll: true });
    });
    return () => cancelAnimationFrame(frame);
  }, [view, wanted]);
}

/** Ctrl and wheel zooms around the pointer; a sideways wheel pans. */
function useWheel(
  view: TraceView,
  scroller: { readonly current: HTMLDivElement | null },
  nameWidth: number,
  barsWidth: number,
): void {
  useEffect(() => {
    const element = scroller.current;
    if (element === null) return undefined;
    const onWheel = (event: WheelEvent): void => {
      const { duration } = view.trace;
      const shown = view.window.value;
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        const x = event.clientX - element.getBoundingClientRect().left - nameWidth - BARS_AIR.left;
        const anchor = shown.from + (Math.min(Math.max(x / barsWidth, 0), 1)) * (shown.to - shown.from);
        view.setWindow(zoomed(shown, Math.exp(event.deltaY * WHEEL_STRENGTH), anchor, duration));
      } else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) {
        event.preventDefault();
        view.setWindow(panned(shown, sideways / barsWidth, duration));
      }
    };
    // Not passive: the browser's own zoom must not answer too.
    element.addEventListener('wheel', onWheel, { passive: false });
    return () => element.removeEventListener('wheel', onWheel);
  }, [view, nameWidth, barsWidth]);
}

const DRAG_DISTANCE = 4;

/** Dragging the bars pans; a press without moving stays a click on the row. */
function usePan(view: TraceView, barsWidth: number) {
  const from = useRef<{ readonly x: number; readonly window: TimeWindow; moved: boolean } | undefined>(undefined);
  return {
    onPointerDown: (event: PointerEvent): void => {
      const overNames = event.target instanceof Element && event.target.closest('.row-name') !== null;
      if (event.button === 0 && !overNames) from.current = { x: event.clientX, window: view.window.value, moved: false };
    },
    onPointerMove: (event: PointerEvent & { readonly currentTarget: HTMLElement }): void => {
      // Released outside of the window, where nobody could hear it.
      if ((event.buttons & 1) === 0) from.current = undefined;
      const start = from.current;
      if (start === undefined) return;
      const by = start.x - event.clientX;
      if (!start.moved && Math.abs(by) < DRAG_DISTANCE) return;
      if (!start.moved) event.currentTarget.setPointerCapture(event.pointerId);
      start.moved = true;
      view.setWindow(panned(start.window, by / barsWidth, view.trace.duration));
    },
    onPointerUp: (): void => {
      // The click that follows a drag is swallowed by onClickCapture below.
      if (from.current?.moved === false) from.current = undefined;
    },
    onPointerCancel: (): void => {
      from.current = undefined;
    },
    onClickCapture: (event: MouseEvent): void => {
      if (from.current?.moved === true) event.stopPropagation();
      from.current = undefined;
    },
  };
}
