/** The bars beside the names of a waterfall. */
import type { Palette } from './palette';
import type { Surface } from './surface';

/** Numbers and colors of the bars to draw, from top to bottom. */
export interface BarDrawing {
  readonly count: number;
  readonly rowHeight: number;
  readonly left: ArrayLike<number>;
  readonly right: ArrayLike<number>;
  readonly color: (index: number) => string;
  readonly label: (index: number) => string;
  /** In error: outlined and marked, so that color is not all that says it. */
  readonly error: (index: number) => boolean;
  /** Its children are hidden. */
  readonly folded: (index: number) => boolean;
  readonly markBar: ArrayLike<number>;
  readonly markX: ArrayLike<number>;
  /** x of the ruler's lines. */
  readonly ticks: readonly number[];
}

const BAR_HEIGHT = 12;
const NARROWEST = 2;
const LABEL_GAP = 6;

export function drawBars(surface: Surface, palette: Palette, drawing: BarDrawing): void {
  const { context, height } = surface;
  context.fillStyle = palette.tick;
  for (const x of drawing.ticks) context.fillRect(Math.round(x), 0, 1, height);
  context.font = `11px ${palette.font}`;
  context.textBaseline = 'middle';
  for (let index = 0; index < drawing.count; index++) drawBar(surface, palette, drawing, index);
  drawMarks(context, palette, drawing);
}

function drawBar({ context, width }: Surface, palette: Palette, drawing: BarDrawing, index: number): void {
  const left = drawing.left[index] ?? 0;
  const right = Math.max(drawing.right[index] ?? 0, left + NARROWEST);
  const middle = index * drawing.rowHeight + drawing.rowHeight / 2;
  if (right < 0 || left > width) {
    drawOutside(context, palette, right < 0 ? 4 : width - 4, middle, right < 0 ? -1 : 1);
    return;
  }
  const from = Math.max(left, -4);
  const to = Math.min(right, width + 4);
  const top = middle - BAR_HEIGHT / 2;
  context.fillStyle = drawing.color(index);
  context.beginPath();
  context.roundRect(from, top, to - from, BAR_HEIGHT, Math.min(2.5, (to - from) / 2));
  context.fill();
  if (drawing.folded(index)) {
    context.globalAlpha = 0.45;
    context.fillRect(from, top + BAR_HEIGHT + 1, to - from, 2);
    context.globalAlpha = 1;
  }
  if (drawing.error(index)) drawError(context, palette, from, to, top);
  drawLabel(context, palette, drawing.label(index), { from, to, middle, width, error: drawing.error(index) });
}

function drawError(context: CanvasRenderingContext2D, palette: Palette, from: number, to: number, top: number): void {
  context.strokeStyle = palette.error;
  context.lineWidth = 1.5;
  context.beginPath();
  context.roundRect(from - 1.25, top - 1.25, to - from + 2.5, BAR_HEIGHT + 2.5, 3);
  context.stroke();
}

interface LabelPlace {
  readonly from: number;
  readonly to: number;
  readonly middle: number;
  readonly width: number;
  readonly error: boolean;
}

/** Right of the bar, else left of it, else inside its right end. */
function drawLabel(context: CanvasRenderingContext2D, palette: Palette, label: string, place: LabelPlace): void {
  const wide = context.measureText(label).width;
  context.fillStyle = place.error ? palette.error : palette.muted;
  const y = place.middle + 0.5;
  if (place.to + LABEL_GAP + wide <= place.width) {
    context.fillText(label, place.to + LABEL_GAP, y);
  } else if (place.from - LABEL_GAP - wide >= 0) {
    context.fillText(label, place.from - LABEL_GAP - wide, y);
  } else {
    context.fillStyle = palette.surface;
    context.fillText(label, Math.max(Math.min(place.to, place.width) - LABEL_GAP - wide, place.from + 2), y);
  }
}

/** A small arrow for a bar that lies outside of the shown time. */
function drawOutside(context: CanvasRenderingContext2D, palette: Palette, x: number, y: number, way: number): void {
  context.strokeStyle = palette.lineStrong;
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(x - way * 2, y - 3);
  context.lineTo(x + way, y);
  context.lineTo(x - way * 2, y + 3);
  context.stroke();
}

function drawMarks(context: CanvasRenderingContext2D, palette: Palette, drawing: BarDrawing): void {
  context.fillStyle = palette.mark;
  for (let index = 0; index < drawing.markBar.length; index++) {
    const middle = (drawing.markBar[index] ?? 0) * drawing.rowHeight + drawing.rowHeight / 2;
    const x = drawing.markX[index] ?? 0;
    context.fillRect(x - 0.75, middle - BAR_HEIGHT / 2 - 2, 1.5, BAR_HEIGHT + 4);
  }
}
