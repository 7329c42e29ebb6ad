/** Bars and event ticks lie where their times are. */
import { expect, test } from 'vitest';
import { decodeSkeleton } from '../api/skeleton';
import { manySpans, sketch, skeletonBytes } from '../test/skeleton-bytes';
import { layOutBars } from './bars';
import { noneCollapsed, visibleRows } from './visible-rows';

const trace = decodeSkeleton(
  skeletonBytes(
    sketch(`
      a root 0-1000
        b work 200-600 @300 @900
        b late 700-900 !error
    `),
  ),
);
const shown = { visible: visibleRows(trace, noneCollapsed(trace)), collapsed: noneCollapsed(trace), first: 1, end: 99 };

test('pixels follow the window', () => {
  const bars = layOutBars(trace, shown, { from: 200, to: 700 }, 100);
  expect(bars.count).toBe(2);
  expect([...bars.left]).toEqual([0, 100]);
  expect([...bars.right]).toEqual([80, 140]);
  expect([...bars.flags]).toEqual([8, 1]);
});

test('ticks outside of the window are left out', () => {
  const bars = layOutBars(trace, shown, { from: 200, to: 700 }, 100);
  expect(bars.mark).toEqual({ bar: [0], x: [20] });
});

test('a screen of 50,000 rows costs next to nothing', () => {
  const big = decodeSkeleton(skeletonBytes(manySpans(50_000)));
  const visible = visibleRows(big, noneCollapsed(big));
  const begun = performance.now();
  layOutBars(big, { visible, collapsed: noneCollapsed(big), first: 25_000, end: 25_060 }, { from: 0, to: 5e7 }, 900);
  expect(performance.now() - begun).toBeLessThan(20);
});
