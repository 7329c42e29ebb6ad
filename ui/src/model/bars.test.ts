/** Bars and event ticks lie where their times are. */
import { expect, test } from 'vitest';
import { decodeSkeleton } from '../api/skeleton';
import { sketch, skeletonBytes } from '../test/skeleton-bytes';
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

test('of very many ticks some are drawn, wherever the window is', () => {
  const times = Array.from({ length: 1000 }, (_, index) => `@${index}`);
  const busy = decodeSkeleton(skeletonBytes(sketch(`a root 0-1000 ${times.join(' ')}`)));
  const all = { visible: visibleRows(busy, noneCollapsed(busy)), collapsed: noneCollapsed(busy), first: 0, end: 1 };
  expect(layOutBars(busy, all, { from: 0, to: 1000 }, 100).mark.x.length).toBe(200);
  expect(layOutBars(busy, all, { from: 10, to: 20 }, 100).mark.x.length).toBe(11);
});
