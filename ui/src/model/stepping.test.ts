/** Next and previous go around. */
import { expect, test } from 'vitest';
import { nextRow, placeAmong, previousRow } from './stepping';

const rows = [3, 10, 40];

test.each([
  [0, 3],
  [3, 10],
  [11, 40],
  [40, 3],
])('after row %i comes %i', (row, next) => {
  expect(nextRow(rows, row)).toBe(next);
});

test.each([
  [99, 40],
  [40, 10],
  [3, 40],
  [0, 40],
])('before row %i comes %i', (row, previous) => {
  expect(previousRow(rows, row)).toBe(previous);
});

test('an empty list leads nowhere', () => {
  expect(nextRow([], 5)).toBe(-1);
  expect(previousRow([], 5)).toBe(-1);
});

test('a listed row knows its place', () => {
  expect(placeAmong(rows, 10)).toBe(1);
  expect(placeAmong(rows, 11)).toBe(-1);
});
