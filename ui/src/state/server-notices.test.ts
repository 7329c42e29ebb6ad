/** What the server has to say is said until it is closed, and again when it is something else. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { seenNotices } from './preferences';
import { askForNotices, closeNotices, notices } from './server-notices';

let answer: () => Response;

beforeEach(() => {
  seenNotices.set('');
  notices.set([]);
  vi.stubGlobal('window', globalThis);
  vi.stubGlobal('fetch', () => Promise.resolve(answer()));
});

afterEach(() => vi.unstubAllGlobals());

/** What a page that is loaded now tells. */
async function told(status: object): Promise<readonly string[]> {
  answer = () => Response.json({ spans: 1, doors: [], ...status });
  notices.set([]);
  await askForNotices();
  return notices.value.map(({ text }) => text);
}

test('open doors are told until that is closed', async () => {
  expect(await told({ openDoors: ['OTLP', 'Zipkin'] })).toEqual(['OTLP', 'Zipkin']);
  expect(await told({ openDoors: ['OTLP', 'Zipkin'] })).toEqual(['OTLP', 'Zipkin']);
  closeNotices();
  expect(notices.value).toEqual([]);
  expect(await told({ openDoors: ['OTLP', 'Zipkin'] })).toEqual([]);
  expect(await told({ openDoors: ['Zipkin'] })).toEqual(['Zipkin']);
});

test('losses that go on are not told again', async () => {
  const agent = (missingBatches: number) => ({ services: [{ service: 'shop', missingBatches }] });
  expect(await told({ agent: agent(1) })).toEqual(['Lost over UDP: 1 batch of shop']);
  closeNotices();
  expect(await told({ agent: agent(7) })).toEqual([]);
  expect(await told({ agent: { ...agent(7), droppedDatagrams: 1 } })).toHaveLength(1);
});

test('a server that has nothing to say, or does not know of it, says nothing', async () => {
  expect(await told({})).toEqual([]);
  expect(await told({ openDoors: [], agent: { droppedDatagrams: null, services: [] } })).toEqual([]);
});

test('a server that does not answer leaves the page as it is', async () => {
  answer = () => new Response('', { status: 503 });
  await askForNotices();
  expect(notices.value).toEqual([]);
});
