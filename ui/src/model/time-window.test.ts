/** Zooming keeps the time under the pointer; nothing leaves the trace. */
import { describe, expect, test } from 'vitest';
import { around, isWhole, panned, ticks, wholeWindow, within, zoomed } from './time-window';

const DURATION = 1_000_000;

test('zooming keeps the anchor at its place', () => {
  const before = { from: 200_000, to: 600_000 };
  const after = zoomed(before, 0.5, 300_000, DURATION);
  expect(after.to - after.from).toBeCloseTo(200_000);
  expect((300_000 - after.from) / (after.to - after.from)).toBeCloseTo(0.25);
});

test.each([
  ['zooming out of the whole', zoomed(wholeWindow(DURATION), 3, 500_000, DURATION), [0, DURATION]],
  ['zooming out at the right edge', zoomed({ from: 900_000, to: DURATION }, 2, DURATION, DURATION), [800_000, DURATION]],
  ['panning past the start', panned({ from: 100, to: 200_100 }, -1, DURATION), [0, 200_000]],
  ['panning past the end', panned({ from: 700_000, to: 900_000 }, 4, DURATION), [800_000, DURATION]],
  ['ends in the wrong order', within(500, 100, DURATION), [100, 500]],
  ['wider than the trace', within(-5, DURATION * 2, DURATION), [0, DURATION]],
])('%s stays within the trace', (_name, window, expected) => {
  expect([window.from, window.to]).toEqual(expected);
});

test('a window never gets narrower than the clock can tell', () => {
  let window = wholeWindow(DURATION);
  for (let step = 0; step < 200; step++) window = zoomed(window, 0.5, 1234, DURATION);
  expect(window.to - window.from).toBe(20);
});

test('a trace without duration still has a window', () => {
  expect(wholeWindow(0)).toEqual({ from: 0, to: 1 });
  expect(isWhole(zoomed(wholeWindow(0), 0.5, 0, 0), 0)).toBe(true);
  expect(within(0, 0, 0)).toEqual({ from: 0, to: 1 });
});

test('a span gets some air around it', () => {
  expect(around(500_000, 10_000, DURATION)).toEqual({ from: 499_000, to: 511_000 });
});

describe('ticks', () => {
  test('are round and within the window', () => {
    expect(ticks({ from: 0, to: DURATION }, 5)).toEqual([0, 200_000, 400_000, 600_000, 800_000, 1_000_000]);
    expect(ticks({ from: 333, to: 431 }, 4)).toEqual([350, 400]);
  });

  test('are bounded however much is shown', () => {
    expect(ticks({ from: 0, to: 1e18 }, 8).length).toBeLessThanOrEqual(25);
  });
});
