/** A canvas at the screen's own resolution. */

export interface Surface {
  readonly context: CanvasRenderingContext2D;
  /** CSS pixels. */
  readonly width: number;
  readonly height: number;
}

/** Sizes the canvas, `ratio` device pixels to the CSS pixel, and clears it; drawing goes on in CSS pixels. Undefined while it has no size. */
export function prepare(canvas: HTMLCanvasElement, width: number, height: number, ratio: number): Surface | undefined {
  const context = canvas.getContext('2d');
  if (context === null || width < 1 || height < 1) return undefined;
  const deviceWidth = Math.round(width * ratio);
  const deviceHeight = Math.round(height * ratio);
  if (canvas.width !== deviceWidth || canvas.height !== deviceHeight) {
    canvas.width = deviceWidth;
    canvas.height = deviceHeight;
  }
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}
