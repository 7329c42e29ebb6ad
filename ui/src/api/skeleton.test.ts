/** The skeleton is read exactly as it is specified, and refused when it is not. */
import { describe, expect, test } from 'vitest';
import { hasFlag, nameOf, RowFlag, rowsWithFlag, serviceOf } from '../model/trace';
import { summarize } from '../model/trace-summary';
import { sketch, SKETCH_BASE, SKETCH_ID, skeletonBytes, spanIdOf } from '../test/skeleton-bytes';
import { decodeSkeleton } from './skeleton';

const SHOP = sketch(`
  frontend GET/cart 0-100
    cart GetCart 10-40 !error @12 @30
      redis HGET 15-20
    cart-ünïcode Empty 50-90
  lost child 60-70 !orphan
`);

describe('decodeSkeleton', () => {
  const trace = decodeSkeleton(skeletonBytes(SHOP, false));

  test('reads the header', () => {
    expect(trace).toMatchObject({ id: SKETCH_ID, base: SKETCH_BASE, duration: 100, rows: 5, complete: false, cut: false });
  });

  test('reads every column', () => {
    expect([...trace.start]).toEqual([0, 10, 15, 50, 60]);
    expect([...trace.length]).toEqual([100, 30, 5, 40, 10]);
    expect([...trace.parent]).toEqual([0xffff_ffff, 0, 1, 0, 0xffff_ffff]);
    expect([...trace.subtreeEnd]).toEqual([4, 3, 3, 4, 5]);
    expect([...trace.depth]).toEqual([0, 1, 2, 1, 0]);
    expect([...trace.markRow]).toEqual([1, 1]);
    expect([...trace.markOffset]).toEqual([12, 30]);
    expect(hasFlag(trace, 4, RowFlag.missingParent)).toBe(true);
    expect([...rowsWithFlag(trace, RowFlag.error)]).toEqual([1]);
  });

  test('reads texts by their end offsets, in UTF-8', () => {
    expect(nameOf(trace, 0)).toBe('GET/cart');
    expect(serviceOf(trace, 3)).toBe('cart-ünïcode');
    expect(nameOf(trace, 4)).toBe('child');
    const unnamed = skeletonBytes([{ ...sketch('a b 0-1')[0]!, name: '' }]);
    expect(nameOf(decodeSkeleton(unnamed), 0)).toBe('(no name)');
  });

  test('finds rows by span id and back', () => {
    const id = spanIdOf(3).toString(16);
    expect(trace.ids.hex(3)).toBe(id);
    expect(trace.ids.rowsOf(id)).toEqual([3]);
    expect(trace.ids.rowsOf('0000000000000000')).toEqual([]);
    expect(trace.ids.rowsOf('not an id')).toEqual([]);
  });

  test('counts what the header of the page says', () => {
    expect(summarize(trace)).toMatchObject({ root: 0, errors: 1, depth: 3, roots: 1, missingParents: 1 });
  });

  test('tells a whole trace from one that was cut', () => {
    const flagged = (flags: number) => {
      const bytes = skeletonBytes(SHOP);
      new DataView(bytes).setUint32(12, flags, true);
      return decodeSkeleton(bytes);
    };
    expect(flagged(1)).toMatchObject({ complete: true, cut: false });
    expect(flagged(2)).toMatchObject({ complete: false, cut: true });
  });

  test('an empty trace is a trace', () => {
    expect(decodeSkeleton(skeletonBytes([])).rows).toBe(0);
  });
});

describe('a broken skeleton is refused', () => {
  const good = skeletonBytes(SHOP);
  const changed = (change: (view: DataView) => void): ArrayBuffer => {
    const copy = good.slice(0);
    change(new DataView(copy));
    return copy;
  };
  const columns = 64 + 3 * 40 + 2 * 8 + 40;
  const cases: readonly (readonly [string, ArrayBuffer])[] = [
    ['no bytes', new ArrayBuffer(0)],
    ['another format', changed((view) => view.setUint8(6, 50))],
    ['cut short', good.slice(0, good.byteLength - 64)],
    ['more rows than bytes', changed((view) => view.setUint32(8, 1_000_000, true))],
    ['a row before its parent', changed((view) => view.setUint32(columns, 3, true))],
    ['a subtree that ends before it begins', changed((view) => view.setUint32(columns + 24 + 4, 1, true))],
    ['a name outside of the texts', changed((view) => view.setUint32(columns + 48, 99, true))],
  ];
  test.each(cases)('%s', (_name, bytes) => {
    expect(() => decodeSkeleton(bytes)).toThrow('cannot be read');
  });
});
