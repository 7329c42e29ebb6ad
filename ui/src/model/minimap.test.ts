/** Fifty thousand spans become a few hundred runs that look the same. */
import { expect, test } from 'vitest';
import { decodeSkeleton } from '../api/skeleton';
import { manySpans, sketch, skeletonBytes } from '../test/skeleton-bytes';
import { at } from './column';
import { reduceToPixels } from './minimap';
import type { Trace } from './trace';

/** `lane: from-to service` with `!` for errors. */
function drawn(trace: Trace, width: number, height: number): string[] {
  const runs = reduceToPixels(trace, width, height);
  return Array.from({ length: runs.count }, (_, index) => {
    const service = trace.texts.text(at(runs.service, index));
    const error = at(runs.error, index) === 1 ? '!' : '';
    return `${at(runs.lane, index)}: ${at(runs.from, index)}-${at(runs.to, index)} ${service}${error}`;
  });
}

const small = decodeSkeleton(
  skeletonBytes(
    sketch(`
      a root 0-100
        b child 20-60
        c fault 30-40 !error
        b blink 99-99
    `),
  ),
);

test('with a lane for each row every span is one run, the shortest one pixel', () => {
  expect(drawn(small, 10, 50)).toEqual(['0: 0-10 a', '1: 2-6 b', '2: 3-4 c!', '3: 9-10 b']);
});

test('in one lane later rows cover earlier ones, errors cover all', () => {
  expect(drawn(small, 10, 1)).toEqual(['0: 0-2 a', '0: 2-3 b', '0: 3-4 c!', '0: 4-6 b', '0: 6-9 a', '0: 9-10 b']);
});

test('50,000 rows stay within the pixels', () => {
  const big = decodeSkeleton(skeletonBytes(manySpans(50_000)));
  const runs = reduceToPixels(big, 1400, 50);
  expect(runs.lanes).toBe(50);
  expect(runs.count).toBeLessThanOrEqual(1400 * 50);
});
