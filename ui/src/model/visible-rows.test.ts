/** What is shown while parts of the tree are folded. */
import { describe, expect, test } from 'vitest';
import { decodeSkeleton } from '../api/skeleton';
import { sketch, skeletonBytes } from '../test/skeleton-bytes';
import {
  allCollapsed,
  noneCollapsed,
  oneLevelLess,
  oneLevelMore,
  placeOf,
  revealing,
  toggled,
  visibleRows,
} from './visible-rows';

// 0 ─ 1 ─ 2, 3; 4 ─ 5;  6 ─ 7
const trace = decodeSkeleton(
  skeletonBytes(
    sketch(`
      a root 0-100
        b one 10-50
          c two 11-20
          c three 21-30
        b four 60-90
          c five 61-70
      a other 5-20
        b seven 6-7
    `),
  ),
);

const shown = (collapsed: Uint8Array): number[] => [...visibleRows(trace, collapsed)];

test('nothing folded shows every row', () => {
  expect(shown(noneCollapsed(trace))).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
});

test('a folded row hides its descendants and nothing else', () => {
  expect(shown(toggled(noneCollapsed(trace), 1))).toEqual([0, 1, 4, 5, 6, 7]);
  expect(shown(toggled(noneCollapsed(trace), 0))).toEqual([0, 6, 7]);
});

test('folding twice shows again', () => {
  expect(shown(toggled(toggled(noneCollapsed(trace), 1), 1))).toHaveLength(8);
});

test('all folded leaves the roots', () => {
  expect(shown(allCollapsed(trace))).toEqual([0, 6]);
});

describe('one level at a time', () => {
  test('less folds the deepest level first', () => {
    const once = oneLevelLess(trace, noneCollapsed(trace));
    expect(shown(once)).toEqual([0, 1, 4, 6, 7]);
    expect(shown(oneLevelLess(trace, once))).toEqual([0, 6]);
  });

  test('more opens the shallowest level first', () => {
    const once = oneLevelMore(trace, allCollapsed(trace));
    expect(shown(once)).toEqual([0, 1, 4, 6, 7]);
    expect(shown(oneLevelMore(trace, once))).toHaveLength(8);
  });

  test('with nothing left to fold or open it stays as it is', () => {
    const none = noneCollapsed(trace);
    const all = allCollapsed(trace);
    expect(oneLevelMore(trace, none)).toBe(none);
    expect(oneLevelLess(trace, all)).toBe(all);
  });
});

test('revealing opens the ancestors and only them', () => {
  expect(shown(revealing(trace, allCollapsed(trace), 5))).toEqual([0, 1, 4, 5, 6]);
  const none = noneCollapsed(trace);
  expect(revealing(trace, none, 5)).toBe(none);
});

test('a hidden row has the place of the ancestor that hides it', () => {
  const visible = visibleRows(trace, toggled(noneCollapsed(trace), 1));
  expect(placeOf(visible, 3)).toBe(1);
  expect(placeOf(visible, 4)).toBe(2);
});
