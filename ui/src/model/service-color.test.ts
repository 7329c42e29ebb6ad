/** Colors stay what they are, and can be seen on both themes. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { PLACES, ServiceColors } from './service-color';

const NAMES = Array.from({ length: 400 }, (_, index) => `service-${index}`);

test('a name keeps its color for good', () => {
  // Written down once: a change here repaints every user's services.
  const colors = new ServiceColors(['frontend', 'checkout']);
  expect(colors.of('frontend')).toEqual({ hue: 280, tone: 1 });
  expect(colors.of('checkout')).toEqual({ hue: 172, tone: 0 });
});

test('a name alone has the color it has among others', () => {
  const together = new ServiceColors(['frontend', 'checkout', 'frontend']);
  expect(new ServiceColors(['frontend']).of('frontend')).toEqual(together.of('frontend'));
  expect(new ServiceColors([]).of('frontend')).toEqual(together.of('frontend'));
});

test('names spread over the palette', () => {
  const nobody = new ServiceColors([]);
  expect(new Set(NAMES.map((name) => nobody.of(name))).size).toBe(PLACES.length);
});

test('no two services of a view share a color while there are colors', () => {
  const some = NAMES.slice(0, PLACES.length);
  const colors = new ServiceColors(some);
  expect(new Set(some.map((name) => colors.of(name))).size).toBe(PLACES.length);
});

test('the order of the names does not matter, and more names than colors are fine', () => {
  const one = new ServiceColors(NAMES);
  const other = new ServiceColors([...NAMES].reverse());
  for (const name of NAMES) expect(other.of(name)).toEqual(one.of(name));
});

/** The values of a theme's block in tokens.css. */
function tokensOf(block: string): (name: string) => string {
  return (name) => new RegExp(`${name}:\\s*([^;]+);`).exec(block)?.[1] ?? '';
}

const tokens = readFileSync(new URL('../style/tokens.css', import.meta.url), 'utf8');
const [light = '', darkBlock = ''] = tokens.split(":root[data-theme='dark']");

describe.each([
  ['light', tokensOf(light)],
  ['dark', tokensOf(darkBlock)],
])('%s', (_theme, token) => {
  test('every service color has a contrast of 3 to its surface', () => {
    const surface = luminance(hexColor(token('--surface')));
    const number = (name: string): number => Number(token(name));
    for (const { hue, tone } of PLACES) {
      const lightness = number('--service-lightness') + tone * number('--service-lightness-step');
      const chroma = number('--service-chroma') + tone * number('--service-chroma-step');
      const color = luminance(fromOklch(lightness, chroma, hue));
      expect(contrast(color, surface), `hue ${hue}, tone ${tone}`).toBeGreaterThanOrEqual(3);
    }
  });

  test.each(['--text', '--text-muted', '--text-faint', '--error-text', '--warning-text', '--accent'])(
    '%s can be read on the page and on the surface',
    (name) => {
      for (const ground of ['--page', '--surface', '--hover']) {
        const value = contrast(luminance(hexColor(token(name))), luminance(hexColor(token(ground))));
        expect(value, `on ${ground}`).toBeGreaterThanOrEqual(4.5);
      }
    },
  );
});

type Rgb = readonly [number, number, number];

/** Linear light. */
function hexColor(hex: string): Rgb {
  const channel = (from: number): number => {
    const value = Number.parseInt(hex.slice(from, from + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  return [channel(1), channel(3), channel(5)];
}

/** Björn Ottosson's OKLab to linear sRGB, clipped to what a screen shows. */
function fromOklch(lightness: number, chroma: number, hue: number): Rgb {
  const angle = (hue * Math.PI) / 180;
  const a = chroma * Math.cos(angle);
  const b = chroma * Math.sin(angle);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const clip = (value: number): number => Math.min(Math.max(value, 0), 1);
  return [
    clip(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    clip(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    clip(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

function luminance([red, green, blue]: Rgb): number {
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: number, other: number): number {
  return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
}
