/** The colors of tokens.css for drawings, which cannot refer to custom properties themselves. */

export interface Palette {
  readonly text: string;
  readonly muted: string;
  readonly surface: string;
  readonly lineStrong: string;
  readonly tick: string;
  readonly accent: string;
  readonly error: string;
  readonly mark: string;
  readonly font: string;
  /** The color of a place in the service palette. */
  readonly service: (hue: number, tone: number) => string;
}

export function readPalette(): Palette {
  const style = window.getComputedStyle(document.documentElement);
  const token = (name: string): string => style.getPropertyValue(name).trim();
  const number = (name: string): number => Number(token(name));
  const lightness = number('--service-lightness');
  const lightnessStep = number('--service-lightness-step');
  const chroma = number('--service-chroma');
  const chromaStep = number('--service-chroma-step');
  return {
    text: token('--text'),
    muted: token('--text-muted'),
    surface: token('--surface'),
    lineStrong: token('--line-strong'),
    tick: token('--tick'),
    accent: token('--accent'),
    error: token('--error'),
    mark: token('--mark'),
    font: token('--font'),
    service: (hue, tone) =>
      `oklch(${lightness + tone * lightnessStep} ${chroma + tone * chromaStep} ${hue})`,
  };
}
