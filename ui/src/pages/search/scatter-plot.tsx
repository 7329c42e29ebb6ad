/** The scatter plot of a search: hover tells, click opens, dragging picks a time range. */
import { useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import { readPalette } from '../../draw/palette';
import { dotAt, drawDots, drawGrid, drawRange } from '../../draw/scatter';
import { prepare } from '../../draw/surface';
import { countOf } from '../../format/count';
import { formatDuration } from '../../format/duration';
import { formatTime } from '../../format/time';
import type { FoundTrace } from '../../model/found-traces';
import { shownName } from '../../model/trace';
import { useSize } from '../../parts/size';
import { useLive } from '../../state/live';
import { dark, zone } from '../../state/preferences';
import { layOutScatter } from './scatter-layout';

interface Props {
  readonly traces: readonly FoundTrace[];
  readonly onOpen: (trace: FoundTrace) => void;
  readonly onRange: (start: bigint, end: bigint) => void;
}

const CLICK_DISTANCE = 4;

export function ScatterPlot({ traces, onOpen, onRange }: Props) {
  const box = useRef<HTMLDivElement>(null);
  const canvas = useRef<HTMLCanvasElement>(null);
  const { width, height, ratio } = useSize(box);
  const isDark = useLive(dark);
  const shownZone = useLive(zone);
  const [hovered, hover] = useState(-1);
  const [drag, setDrag] = useState<{ readonly from: number; readonly to: number } | undefined>(undefined);
  const scatter = useMemo(
    () => layOutScatter(traces, width, height, shownZone),
    [traces, width, height, shownZone],
  );

  useLayoutEffect(() => {
    if (canvas.current === null) return;
    const surface = prepare(canvas.current, width, height, ratio);
    if (surface === undefined) return;
    const palette = readPalette();
    drawGrid(surface, palette, scatter.grid);
    drawDots(surface, palette, scatter.dots, hovered);
    if (drag !== undefined) drawRange(surface, palette, scatter.grid, drag.from, drag.to);
  }, [scatter, hovered, drag, isDark, width, height, ratio]);

  const moved = drag !== undefined && Math.abs(drag.to - drag.from) > CLICK_DISTANCE;
  const finish = (): void => {
    const trace = traces[hovered];
    if (moved) {
      const [left, right] = drag.from < drag.to ? [drag.from, drag.to] : [drag.to, drag.from];
      onRange(scatter.timeAt(left), scatter.timeAt(right));
    } else if (trace !== undefined) onOpen(trace);
    setDrag(undefined);
  };

  return (
    <div
      ref={box}
      class="scatter"
      data-pointing={hovered >= 0 && drag === undefined}
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        setDrag({ from: event.offsetX, to: event.offsetX });
      }}
      onPointerMove={(event) => {
        const { left, top } = event.currentTarget.getBoundingClientRect();
        const x = event.clientX - left;
        if (drag === undefined) hover(dotAt(scatter.dots, x, event.clientY - top));
        else setDrag({ from: drag.from, to: Math.min(Math.max(x, 0), width) });
      }}
      onPointerUp={finish}
      onPointerCancel={() => setDrag(undefined)}
      onPointerLeave={() => hover(-1)}
    >
      <canvas ref={canvas} role="img" aria-label={`${countOf(traces.length, 'trace')} by start and duration; the list below says the same`} />
      {!moved && <Tooltip trace={traces[hovered]} x={scatter.dots.x[hovered] ?? 0} y={scatter.dots.y[hovered] ?? 0} width={width} />}
    </div>
  );
}

interface TooltipProps {
  readonly trace: FoundTrace | undefined;
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

function Tooltip({ trace, x, y, width }: TooltipProps) {
  const shownZone = useLive(zone);
  if (trace === undefined) return null;
  const onLeft = x > width / 2;
  const place = onLeft ? { right: `${width - x + 14}px` } : { left: `${x + 14}px` };
  return (
    <div class="tooltip" style={{ ...place, top: `${Math.max(y - 30, 4)}px` }}>
      <strong>{trace.rootService}</strong> {shownName(trace.rootName)}
      <div class="tooltip-facts">
        {formatDuration(trace.duration)} · {countOf(trace.spans, 'span')}
        {trace.errors > 0 && <span class="error-text"> · {countOf(trace.errors, 'error')}</span>}
      </div>
      <div class="tooltip-facts">{formatTime(trace.start, shownZone)}</div>
    </div>
  );
}
