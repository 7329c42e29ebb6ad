/** The times above the bars; dragging over them zooms. */
import { useRef, useState } from 'preact/hooks';
import { formatDuration, formatExactDuration } from '../../format/duration';
import { within } from '../../model/time-window';
import { useLive } from '../../state/live';
import type { TraceView } from '../../state/open-trace';
import { BARS_AIR, rulerTimes, TICK_WIDTH } from './geometry';

interface Props {
  readonly view: TraceView;
  readonly width: number;
}

/** Free pixels a text right of its line needs. */
const LAST_WIDTH = 60;
const SMALLEST_DRAG = 4;

export function Ruler({ view, width }: Props) {
  const zoom = useLive(view.window);
  const element = useRef<HTMLDivElement>(null);
  const [drag, setDrag] = useState<{ readonly from: number; readonly to: number } | undefined>(undefined);
  const scale = width / (zoom.to - zoom.from);
  const times = rulerTimes(zoom, width);
  const exact = zoom.to - zoom.from < zoom.from / 500;
  const told = (time: number): string => (time === 0 ? '0' : exact ? formatExactDuration(time) : formatDuration(time));
  const roomy = ((times[1] ?? 0) - (times[0] ?? 0)) * scale > TICK_WIDTH + LAST_WIDTH / 2;
  const x = (event: PointerEvent): number => {
    const left = element.current?.getBoundingClientRect().left ?? 0;
    return Math.min(Math.max(event.clientX - left - BARS_AIR.left, 0), width);
  };
  return (
    <div
      ref={element}
      class="ruler"
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        event.currentTarget.setPointerCapture(event.pointerId);
        setDrag({ from: x(event), to: x(event) });
      }}
      onPointerMove={(event) => {
        if (drag !== undefined) setDrag({ from: drag.from, to: x(event) });
      }}
      onPointerUp={() => {
        if (drag !== undefined && Math.abs(drag.to - drag.from) > SMALLEST_DRAG) {
          const from = zoom.from + drag.from / scale;
          view.setWindow(within(from, zoom.from + drag.to / scale, view.trace.duration));
        }
        setDrag(undefined);
      }}
      onPointerCancel={() => setDrag(undefined)}
    >
      {times.map((time) => {
        const place = (time - zoom.from) * scale;
        // Its text stands left of it, where the one before may need the room.
        const last = place > width - LAST_WIDTH;
        return (
          <span
            key={time}
            class="ruler-tick"
            data-last={last}
            style={{ left: `${place + BARS_AIR.left}px` }}
          >
            {(!last || roomy) && told(time)}
          </span>
        );
      })}
      {drag !== undefined && (
        <span
          class="ruler-drag"
          style={{ left: `${Math.min(drag.from, drag.to) + BARS_AIR.left}px`, width: `${Math.abs(drag.to - drag.from)}px` }}
        />
      )}
    </div>
  );
}
