/** Addresses survive the round trip, and old ones still open. */
import { describe, expect, test } from 'vitest';
import { ANYTHING, type SearchQuery } from '../model/search-query';
import { parseRoute, type Route, routePath, traceAddress, wholeTraceId } from './route';

const ID = '000102030405060708090a0b0c0d0e0f';
const parse = (path: string): Route => parseRoute(new URL(path, 'http://localhost'));

describe('round trips', () => {
  const full: SearchQuery = {
    service: 'a/b & c',
    operation: 'GET /x?y=1',
    where: ['error=true', 'db.statement=SELECT a = b', 'ünï=cödé'],
    min: '1.5ms',
    max: '2s',
    start: '-15m',
    end: '1763640000123456789',
    limit: 200,
  };
  const routes: readonly (readonly [string, Route])[] = [
    ['recent traces', { page: 'search', query: ANYTHING }],
    ['a full query', { page: 'search', query: full }],
    ['a trace', { page: 'trace', address: traceAddress(ID) }],
    ['a span in a zoomed trace', { page: 'trace', address: { id: ID, span: 'a000000000000001', find: 'x y&z', zoom: { from: 5, to: 900 } } }],
    ['the second span of one id', { page: 'trace', address: traceAddress(ID, 'a000000000000001.2') }],
  ];
  test.each(routes)('%s', (_name, route) => {
    expect(parse(routePath(route))).toEqual(route);
  });

  test('recent traces have the shortest address', () => {
    expect(routePath({ page: 'search', query: ANYTHING })).toBe('/');
  });

  test('an address with parameters carries its version', () => {
    expect(routePath({ page: 'search', query: full })).toContain('v=1');
  });
});

describe('what others write', () => {
  const trace = (path: string) => {
    const route = parse(path);
    if (route.page !== 'trace') throw new Error('not a trace');
    return route.address;
  };
  const query = (path: string) => {
    const route = parse(path);
    if (route.page !== 'search') throw new Error('not a search');
    return route.query;
  };

  test('Jaeger’s uiFind selects a span or finds a text', () => {
    expect(trace(`/trace/${ID}?uiFind=A000000000000001`).span).toBe('a000000000000001');
    expect(trace(`/trace/${ID}?uiFind=timeout`).find).toBe('timeout');
  });

  test('short ids are filled up', () => {
    expect(trace('/trace/ABC1').id).toBe('0000000000000000000000000000abc1');
  });

  test('an id that is none is kept, to say what was looked for', () => {
    expect(trace('/trace/h%C3%A4ndler').id).toBe('händler');
  });

  test('Jaeger’s search keys are read', () => {
    const tags = encodeURIComponent('{"http.status_code":"500"}');
    expect(query(`/search?service=a&operation=all&lookback=2d&minDuration=1ms&tags=${tags}&tag=error:true&limit=20`)).toEqual({
      ...ANYTHING,
      service: 'a',
      start: '-48h',
      min: '1ms',
      where: ['error=true', 'http.status_code=500'],
      limit: 20,
    });
  });

  test.each([
    '/search?v=99&unknown=1&limit=many&start=whenever&end=%00&where=nonsense',
    '/search?limit=-3&tags=%7Bbroken',
    '/?v=1',
  ])('%s harms nothing', (path) => {
    const read = query(path);
    expect(read).toEqual({ ...ANYTHING, limit: read.limit });
    expect(read.limit).toBeGreaterThanOrEqual(1);
  });

  test.each([
    ['-7d', '-7d'],
    ['-1w', '-1w'],
    ['-1h30m', '-1h30m'],
    ['now-15m', '-15m'],
    ['2026-11-20T12:00:00Z', '2026-11-20T12:00:00Z'],
    ['2026-11-20T12:00:00%2B01:00', '2026-11-20T12:00:00+01:00'],
    ['2026-11-20T12:00:00', '-48h'],
    ['-1d12h', '-48h'],
  ])('a start of %s is read as %s', (written, start) => {
    expect(query(`/search?start=${written}`).start).toBe(start);
  });

  test('a broken escape is shown as it stands', () => {
    expect(trace('/trace/%E0%A4%A').id).toBe('%E0%A4%A');
  });

  test('the limit stays within what the server gives', () => {
    expect(query('/search?limit=99999').limit).toBe(1500);
  });
});

test.each([
  ['  ABCDEF  ', '00000000000000000000000000abcdef'],
  ['', undefined],
  ['xyz', undefined],
  ['0'.repeat(33), undefined],
])('%j as a trace id is %j', (text, id) => {
  expect(wholeTraceId(text)).toBe(id);
});
