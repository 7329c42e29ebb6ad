/** Walking the offered values by key. */
import { expect, test } from 'vitest';
import { stepped } from './combobox';

test.each([
  [-1, 1, 0],
  [-1, -1, 4],
  [0, -1, 4],
  [4, 1, 0],
  [2, 1, 3],
] as const)('from %d by %d is %d of five', (from, step, to) => {
  expect(stepped(from, step, 5)).toBe(to);
});

test('an empty list has no place', () => expect(stepped(-1, 1, 0)).toBe(-1));
