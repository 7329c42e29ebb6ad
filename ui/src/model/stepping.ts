/** Going from row to row through an ascending list: matches of a find, errors. */
import { at, lastAtMost } from './column';

/** The first listed row after `row`, from the top again behind the last; −1 when the list is empty. */
export function nextRow(rows: ArrayLike<number>, row: number): number {
  if (rows.length === 0) return -1;
  const place = lastAtMost(rows, row) + 1;
  return at(rows, place < rows.length ? place : 0);
}

/** The last listed row before `row`, from the bottom again before the first; −1 when empty. */
export function previousRow(rows: ArrayLike<number>, row: number): number {
  if (rows.length === 0) return -1;
  const place = lastAtMost(rows, row - 1);
  return at(rows, place >= 0 ? place : rows.length - 1);
}

/** The place of `row` in the list, −1 when it is not listed. */
export function placeAmong(rows: ArrayLike<number>, row: number): number {
  const place = lastAtMost(rows, row);
  return place >= 0 && at(rows, place) === row ? place : -1;
}
