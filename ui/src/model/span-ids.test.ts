/** Ids lead to their rows, also when a sender gave one id to many spans. */
import { expect, test } from 'vitest';
import { SpanIds } from './span-ids';

function idsOf(values: readonly bigint[]): SpanIds {
  const bytes = new DataView(new ArrayBuffer(values.length * 8));
  values.forEach((value, row) => bytes.setBigUint64(row * 8, value));
  return new SpanIds(bytes, values.length);
}

const SEVEN = '0000000000000007';
const EIGHT = '0000000000000008';

test('the rows of an id come in order', () => {
  const ids = idsOf([7n, 8n, 7n, 9n, 7n]);
  expect(ids.rowsOf(SEVEN)).toEqual([0, 2, 4]);
  expect(ids.rowsOf(EIGHT)).toEqual([1]);
  expect([...ids.rowsOfAll([EIGHT, SEVEN, SEVEN, 'no id'])]).toEqual([0, 1, 2, 4]);
});

test('each row has a name of its own, and the name leads back', () => {
  const ids = idsOf([7n, 8n, 7n]);
  expect([0, 1, 2].map((row) => ids.linkName(row))).toEqual([SEVEN, EIGHT, `${SEVEN}.2`]);
  expect([0, 1, 2].map((row) => ids.rowOfLink(ids.linkName(row)))).toEqual([0, 1, 2]);
  for (const name of ['', `${SEVEN}.3`, `${SEVEN}.0`, '000000000000000a']) expect(ids.rowOfLink(name)).toBe(-1);
});

// What grows with the square of the spans would run into the limit of time that every test has.
test('one id on very many spans is found in a moment', () => {
  const ids = idsOf(new Array<bigint>(300_000).fill(7n));
  const answered = new Array<string>(10_000).fill(SEVEN);
  expect(ids.rowsOfAll(answered).length).toBe(300_000);
});
