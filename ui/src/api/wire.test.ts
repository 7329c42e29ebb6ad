/** Answers are checked at the door. */
import { describe, expect, test } from 'vitest';
import { attributesAsJson, weightOf } from '../model/span-detail';
import { readFound } from './search';
import { readSpanDetails } from './span-details';

const TRACE = {
  traceId: '0'.repeat(31) + '1',
  rootService: 'frontend',
  rootName: 'GET /',
  start: '1763640000123456789',
  duration: 1500,
  spans: 3,
  errors: 1,
  orphans: 0,
  services: [{ name: 'frontend', spans: 3, errors: 1 }],
  matched: ['a000000000000001'],
};

test('a search answer is read with exact times', () => {
  const found = readFound({ traces: [TRACE], inspected: 12, stopped: 'limit', limit: 50 });
  expect(found.traces[0]?.start).toBe(1_763_640_000_123_456_789n);
  expect(found).toMatchObject({ inspected: 12, stopped: 'limit', limit: 50 });
});

test('a reason unknown to this page does not break it', () => {
  expect(readFound({ traces: [], inspected: 0, stopped: 'later', limit: 1 }).stopped).toBe('end');
});

describe('a wrong answer is refused, and says where', () => {
  test.each([
    [null, 'search is not an object'],
    [[], 'search is not an object'],
    [{ traces: {} }, 'search.traces is not a list'],
    [{ traces: [{ ...TRACE, duration: '5' }] }, 'search.traces[0].duration is not a number'],
    [{ traces: [{ ...TRACE, start: 'soon' }] }, 'search.traces[0].start is not nanoseconds'],
    [{ traces: [{ ...TRACE, matched: [1] }] }, 'search.traces[0].matched[0] is not a text'],
  ])('%j', (json, message) => {
    expect(() => readFound(json)).toThrow(message);
  });
});

test('a span is read with what it has, absent parts are empty', () => {
  const [span] = readSpanDetails({
    spans: [
      {
        spanId: 'a000000000000001',
        name: 'charge',
        status: { code: 'error' },
        start: '5',
        duration: 7,
        service: 'payment',
        attributes: [{ key: 'card', type: 'int', value: '12345678901234567890' }, { key: 'odd', type: 'newer', value: 'x' }],
        events: [{ name: 'exception', time: '6', attributes: null, dropped: 0 }],
        resource: {},
        scope: {},
        dropped: {},
      },
    ],
  });
  expect(span).toMatchObject({ parentId: '', kind: '', links: [], dropped: { events: 0 } });
  expect(span === undefined ? 0 : weightOf(span)).toBe('card'.length + 20 + 'odd'.length + 1);
  expect(span?.attributes[1]?.type).toBe('string');
  expect(attributesAsJson(span?.attributes ?? [])).toBe('{\n  "card": 12345678901234567890,\n  "odd": "x"\n}');
});
