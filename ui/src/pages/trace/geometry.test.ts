/** Which rows exist, and when the waterfall has to scroll. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { indentOf, indentStep, ROW_HEIGHT, scrollTo, shownRange } from './geometry';

test.each([
  [0, 0],
  [100 * ROW_HEIGHT, 88],
  [49_980 * ROW_HEIGHT, 49_968],
])('scrolled to %i the first row drawn is %i', (scrollTop, first) => {
  const range = shownRange(scrollTop, 600, 50_000);
  expect(range.first).toBe(first);
  expect(range.end).toBeGreaterThanOrEqual(Math.min(50_000, scrollTop / ROW_HEIGHT + 25));
  expect(range.end - range.first).toBeLessThan(60);
});

test('small steps of scrolling draw nothing new', () => {
  expect(shownRange(1000, 600, 5000)).toEqual(shownRange(1010, 600, 5000));
});

test('a collapsed tree never leaves a range behind its end', () => {
  expect(shownRange(90_000, 600, 3)).toEqual({ first: 2, end: 3 });
  expect(shownRange(0, 600, 0)).toEqual({ first: 0, end: 0 });
});

test('a row in sight needs no scrolling, one out of sight comes in', () => {
  expect(scrollTo(5, 0, 600)).toBeUndefined();
  expect(scrollTo(0, 0, 600)).toBeUndefined();
  for (const [place, from] of [[100, 0], [30, 0], [3, 400], [49_999, 0]] as const) {
    const top = scrollTo(place, from, 600) ?? NaN;
    expect(place * ROW_HEIGHT).toBeGreaterThanOrEqual(top);
    expect((place + 1) * ROW_HEIGHT).toBeLessThanOrEqual(top + 600);
  }
});

test('deep trees leave half of the column to names', () => {
  expect(indentStep(200, 400) * 100).toBeLessThanOrEqual(200);
  expect(indentStep(3, 400)).toBe(14);
});

test('the deepest name keeps half of its column', () => {
  for (const depth of [3, 30, 250, 5000]) {
    const step = indentStep(depth, 340);
    expect(indentOf(depth, step, 340)).toBeLessThanOrEqual(170);
    expect(indentOf(1, step, 340)).toBe(step);
  }
});

test('rows are as high as the style sheet says', () => {
  const tokens = readFileSync(new URL('../../style/tokens.css', import.meta.url), 'utf8');
  expect(tokens).toContain(`--row: ${ROW_HEIGHT}px;`);
});
