/** Numbers as people read them. */
import { describe, expect, test } from 'vitest';
import { countOf, formatCount } from './count';
import { formatDuration, formatExactDuration, formatOffset, isDuration, tidyDuration } from './duration';
import { indentedJson } from './json-text';
import { formatAgo, formatClock, formatTime, fromInputTime, toInputTime } from './time';

test.each([
  [0, '0 ns'],
  [999, '999 ns'],
  [1000, '1 µs'],
  [999_499, '999 µs'],
  [999_999, '1 ms'],
  [999_600_000, '1 s'],
  [1234, '1.23 µs'],
  [12_345_678, '12.3 ms'],
  [100_000_000, '100 ms'],
  [1_500_000_000, '1.5 s'],
  [59_900_000_000, '59.9 s'],
  [59_999_000_000, '1 m 00 s'],
  [125_000_000_000, '2 m 05 s'],
  [3_660_000_000_000, '1 h 01 m'],
  [90_000_000_000_000, '1 d 01 h'],
  [-1500, '−1.5 µs'],
])('%d ns reads %s', (nanoseconds, text) => {
  expect(formatDuration(nanoseconds)).toBe(text);
});

test.each([
  [0, '0 ns'],
  [1_000_001, '1.000001 ms'],
  [1_234_567_891, '1.234567891 s'],
  [2_000, '2 µs'],
])('%d ns exactly is %s', (nanoseconds, text) => {
  expect(formatExactDuration(nanoseconds)).toBe(text);
});

test('a time after another has its sign', () => {
  expect([1500, 0, -31_000_000].map(formatOffset)).toEqual(['+1.5 µs', '+0 ns', '−31 ms']);
});

describe('typed durations', () => {
  test.each([
    ['300', '300ms'],
    [' 1.2 s ', '1.2s'],
    ['1m30s', '1m30s'],
    ['', ''],
  ])('%j becomes %j', (typed, text) => {
    expect(tidyDuration(typed)).toBe(text);
  });

  test.each(['1.2s', '300ms', '5µs', '1h2m3s'])('%s is one', (text) => expect(isDuration(text)).toBe(true));
  test.each(['', 's', '1.2', '-1s', '1 s', 'soon'])('%j is none', (text) => expect(isDuration(text)).toBe(false));
});

describe('times', () => {
  const time = 1_763_640_000_123_456_789n;

  test('keep their nanoseconds', () => {
    expect(formatTime(time, 'utc', 9)).toBe('2025-11-20 12:00:00.123456789');
    expect(formatClock(time, 'utc', 6)).toBe('12:00:00.123456');
    expect(formatTime(time, 'utc', 0)).toBe('2025-11-20 12:00:00');
  });

  test.each(['local', 'utc'] as const)('survive a date field in %s time, to the second', (zone) => {
    expect(fromInputTime(toInputTime(time, zone), zone)).toBe(1_763_640_000_000_000_000n);
  });

  test('in a date field are on the clock of their zone', () => {
    expect(toInputTime(time, 'utc')).toBe('2025-11-20T12:00:00');
    expect(fromInputTime('2025-11-20T12:00', 'utc')).toBe(1_763_640_000_000_000_000n);
  });

  test.each(['yesterday', '', '0002-11-20T12:00:00'])('%j is none', (text) => {
    expect(fromInputTime(text, 'utc')).toBeUndefined();
    expect(fromInputTime(text, 'local')).toBeUndefined();
  });

  test.each([
    [0, 'just now'],
    [42_000, '42 s ago'],
    [200_000, '3 min ago'],
    [7_300_000, '2 h ago'],
    [300_000_000, '3 d ago'],
    [-3_600_000, 'in the future'],
  ])('%d ms later reads %s', (later, text) => {
    expect(formatAgo(time, 1_763_640_000_123 + later)).toBe(text);
  });
});

test('counts', () => {
  expect(formatCount(1_234_567)).toBe('1,234,567');
  expect(countOf(1, 'span')).toBe('1 span');
  expect(countOf(2000, 'span')).toBe('2,000 spans');
});

describe('JSON in a text', () => {
  test('is laid out with its numbers as they are', () => {
    expect(indentedJson('{"id":12345678901234567890,"a":[1,{}],"s":"x: {,}\\""}')).toBe(
      '{\n  "id": 12345678901234567890,\n  "a": [\n    1,\n    {}\n  ],\n  "s": "x: {,}\\""\n}',
    );
  });

  test('is left alone when it is nested too deeply to be read', () => {
    expect(indentedJson('['.repeat(64) + ']'.repeat(64))).toBeDefined();
    expect(indentedJson('['.repeat(100_000) + ']'.repeat(100_000))).toBeUndefined();
  });

  test.each(['plain', '{broken', '42', '"text"', '{"a":1} trailing'])('%s is left alone', (text) => {
    expect(indentedJson(text)).toBeUndefined();
  });
});
