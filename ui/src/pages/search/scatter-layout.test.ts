/** Dots lie where their traces belong. */
import { expect, test } from 'vitest';
import type { FoundTrace } from '../../model/found-traces';
import { layOutScatter } from './scatter-layout';

const BASE = 1_763_640_000_000_000_000n;

function trace(seconds: number, duration: number, spans = 10, errors = 0): FoundTrace {
  return {
    traceId: `${seconds}`,
    rootService: 'a',
    rootName: 'b',
    start: BASE + BigInt(seconds) * 1_000_000_000n,
    duration,
    spans,
    errors,
    orphans: 0,
    services: [],
    matched: [],
  };
}

const traces = [trace(0, 1e6), trace(60, 1e9, 5000), trace(120, 1e6, 10, 2)];
const scatter = layOutScatter(traces, 1000, 200, 'utc');

test('later is further right, longer is higher, more spans are larger', () => {
  const { x, y, radius } = scatter.dots;
  expect(x[0]).toBeLessThan(x[1] ?? 0);
  expect((x[0] ?? 0) + (x[2] ?? 0)).toBeCloseTo(2 * (x[1] ?? 0), 3);
  expect(y[1]).toBeLessThan(y[0] ?? 0);
  expect(y[0]).toBe(y[2]);
  expect(radius[1]).toBeGreaterThan(radius[0] ?? 0);
  expect([0, 1, 2].map((index) => scatter.dots.error(index))).toEqual([false, false, true]);
});

test('the time under a dot is its start', () => {
  const away = scatter.timeAt(scatter.dots.x[1] ?? 0) - (traces[1]?.start ?? 0n);
  expect(Number(away < 0n ? -away : away)).toBeLessThan(1e6);
});

test('the axes are round', () => {
  expect(scatter.grid.lines.map((line) => line.label)).toContain('100 ms');
  expect(scatter.grid.times.map((time) => time.label)).toContain('12:01:00');
});

test.each([1, 11, 60, 1000])('labels have room over %d days', (days) => {
  const { grid } = layOutScatter([trace(0, 1e6), trace(days * 86_400, 1e6)], 1000, 200, 'utc');
  expect(grid.times.length).toBeGreaterThan(1);
  grid.times.slice(1).forEach(({ x }, index) => expect(x - (grid.times[index]?.x ?? 0)).toBeGreaterThan(100));
});

test('one trace alone has its place in the middle', () => {
  const { dots } = layOutScatter([trace(0, 5e6)], 1000, 200, 'utc');
  expect(dots.x[0]).toBeGreaterThan(64);
  expect(dots.x[0]).toBeLessThan(984);
  expect(dots.y[0]).toBeGreaterThan(12);
  expect(dots.y[0]).toBeLessThan(172);
});
