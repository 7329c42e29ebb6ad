/** The whole trace in a strip: colored runs of pixels. */
import type { Palette } from './palette';
import type { Surface } from './surface';

export interface RunDrawing {
  readonly lanes: number;
  readonly count: number;
  readonly lane: ArrayLike<number>;
  readonly from: ArrayLike<number>;
  readonly to: ArrayLike<number>;
  /** Device pixels, the unit of `from` and `to`, in one CSS pixel. */
  readonly perPixel: number;
  readonly color: (index: number) => string;
  readonly error: (index: number) => boolean;
}

/** The tallest a lane grows when there are few. */
const TALLEST_LANE = 6;

export function drawRuns(surface: Surface, palette: Palette, drawing: RunDrawing): void {
  const { context, height } = surface;
  const laneHeight = Math.min(height / drawing.lanes, TALLEST_LANE);
  const painted = Math.max(laneHeight > 2.5 ? laneHeight - 1 : laneHeight, 1);
  let color = '';
  for (let index = 0; index < drawing.count; index++) {
    const next = drawing.error(index) ? palette.error : drawing.color(index);
    if (next !== color) {
      color = next;
      context.fillStyle = color;
    }
    const from = (drawing.from[index] ?? 0) / drawing.perPixel;
    const to = (drawing.to[index] ?? 0) / drawing.perPixel;
    context.fillRect(from, (drawing.lane[index] ?? 0) * laneHeight, to - from, painted);
  }
}
