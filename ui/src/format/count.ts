/** Counts. */

const grouped = new Intl.NumberFormat('en-US');

/** `12,345`. */
export function formatCount(count: number): string {
  return grouped.format(count);
}

/** `1 span`, `2 spans`. */
export function countOf(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}
