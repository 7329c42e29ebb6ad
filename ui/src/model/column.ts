/** Reading one number out of a column. */

/** The value of `column` at `row`; 0 outside of it, so that a wrong row cannot break a drawing. */
export function at(column: ArrayLike<number>, row: number): number {
  return column[row] ?? 0;
}

/** The index of the last value ≤ `value` in an ascending column, −1 when all are greater. */
export function lastAtMost(ascending: ArrayLike<number>, value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (at(ascending, middle) <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
