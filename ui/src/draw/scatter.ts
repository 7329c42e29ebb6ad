/** Dots over time and a logarithmic height. */
import type { Palette } from './palette';
import type { Surface } from './surface';

export interface Dots {
  readonly count: number;
  readonly x: ArrayLike<number>;
  readonly y: ArrayLike<number>;
  readonly radius: ArrayLike<number>;
  readonly error: (index: number) => boolean;
}

export interface Grid {
  readonly lines: readonly { readonly y: number; readonly label: string }[];
  readonly times: readonly { readonly x: number; readonly label: string }[];
  readonly plot: { readonly left: number; readonly right: number; readonly top: number; readonly bottom: number };
}

export function drawGrid({ context }: Surface, palette: Palette, grid: Grid): void {
  const { left, right, bottom } = grid.plot;
  context.font = `11px ${palette.font}`;
  context.textBaseline = 'middle';
  context.textAlign = 'right';
  for (const { y, label } of grid.lines) {
    context.fillStyle = palette.tick;
    context.fillRect(left, Math.round(y), right - left, 1);
    context.fillStyle = palette.muted;
    context.fillText(label, left - 8, y);
  }
  context.fillStyle = palette.lineStrong;
  context.fillRect(left, bottom, right - left, 1);
  context.fillStyle = palette.muted;
  context.textAlign = 'center';
  for (const { x, label } of grid.times) {
    context.fillRect(Math.round(x), bottom, 1, 4);
    const half = context.measureText(label).width / 2;
    context.fillText(label, Math.min(Math.max(x, left + half), right - half), bottom + 13);
  }
  context.textAlign = 'left';
}

export function drawDots({ context }: Surface, palette: Palette, dots: Dots, hovered: number): void {
  for (const errors of [false, true]) {
    context.fillStyle = errors ? palette.error : palette.accent;
    context.globalAlpha = errors ? 0.75 : 0.5;
    for (let index = 0; index < dots.count; index++) {
      if (dots.error(index) === errors) fillDot(context, dots, index);
    }
  }
  context.globalAlpha = 1;
  if (hovered < 0) return;
  context.fillStyle = dots.error(hovered) ? palette.error : palette.accent;
  fillDot(context, dots, hovered);
  context.strokeStyle = palette.text;
  context.lineWidth = 1.5;
  context.stroke();
}

/** The share of the plot that is being dragged over. */
export function drawRange({ context }: Surface, palette: Palette, grid: Grid, from: number, to: number): void {
  context.fillStyle = palette.accent;
  context.globalAlpha = 0.14;
  context.fillRect(Math.min(from, to), grid.plot.top, Math.abs(to - from), grid.plot.bottom - grid.plot.top);
  context.globalAlpha = 1;
  for (const x of [from, to]) context.fillRect(Math.round(x), grid.plot.top, 1, grid.plot.bottom - grid.plot.top);
}

/** The topmost dot at a point, or near it; −1 without one. */
export function dotAt(dots: Dots, x: number, y: number): number {
  let nearest = -1;
  let distance = Infinity;
  for (let index = 0; index < dots.count; index++) {
    const away = Math.hypot((dots.x[index] ?? 0) - x, (dots.y[index] ?? 0) - y) - (dots.radius[index] ?? 0);
    if (away > 4 || away >= distance) continue;
    nearest = index;
    distance = away;
  }
  return nearest;
}

/** Errors are diamonds: color alone does not say it. */
function fillDot(context: CanvasRenderingContext2D, dots: Dots, index: number): void {
  const x = dots.x[index] ?? 0;
  const y = dots.y[index] ?? 0;
  const radius = dots.radius[index] ?? 0;
  context.beginPath();
  if (dots.error(index)) {
    const reach = radius * 1.25;
    context.moveTo(x, y - reach);
    context.lineTo(x + reach, y);
    context.lineTo(x, y + reach);
    context.lineTo(x - reach, y);
    context.closePath();
  } else context.arc(x, y, radius, 0, Math.PI * 2);
  context.fill();
}
