/** What is said of open doors is said until it is closed, and again when it is something else. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { askForOpenDoors, closeOpenDoors, openDoors } from './open-doors';
import { seenOpenDoors } from './preferences';

let answer: () => Response;

beforeEach(() => {
  seenOpenDoors.set('');
  openDoors.set([]);
  vi.stubGlobal('window', globalThis);
  vi.stubGlobal('fetch', () => Promise.resolve(answer()));
});

afterEach(() => vi.unstubAllGlobals());

async function told(doors: readonly string[] | undefined): Promise<readonly string[]> {
  answer = () => Response.json({ spans: 1, doors: [], openDoors: doors });
  openDoors.set([]);
  await askForOpenDoors();
  return openDoors.value;
}

test('open doors are told until that is closed', async () => {
  expect(await told(['OTLP', 'Zipkin'])).toEqual(['OTLP', 'Zipkin']);
  expect(await told(['OTLP', 'Zipkin'])).toEqual(['OTLP', 'Zipkin']);
  closeOpenDoors();
  expect(openDoors.value).toEqual([]);
  expect(await told(['OTLP', 'Zipkin'])).toEqual([]);
  expect(await told(['Zipkin'])).toEqual(['Zipkin']);
});

test('closed doors and older servers have nothing to tell', async () => {
  expect(await told([])).toEqual([]);
  expect(await told(undefined)).toEqual([]);
});

test('a server that does not answer leaves the page as it is', async () => {
  answer = () => new Response('', { status: 503 });
  await askForOpenDoors();
  expect(openDoors.value).toEqual([]);
});
