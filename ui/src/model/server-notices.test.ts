/** Open doors are said as the server says them, losses in one sentence whose key does not grow with its numbers. */
import { expect, test } from 'vitest';
import { serverNotices } from './server-notices';
import type { Agent } from './server-status';

const NOTHING: Agent = { droppedDatagrams: 0, droppedSpans: 0, services: [] };

const noticesOf = (agent: Partial<Agent>, openDoors: readonly string[] = []) =>
  serverNotices({ spans: 1, doors: [], openDoors, agent: { ...NOTHING, ...agent } });
const service = (name: string, missingBatches: number, lostByClients = 0) => ({ service: name, missingBatches, lostByClients });

test('where nothing is lost and no door is open nothing is said', () => {
  expect(noticesOf({ services: [service('shop', 0)] })).toEqual([]);
});

test('open doors come first, as they were said', () => {
  const texts = noticesOf({ droppedSpans: 1 }, ['Others', 'can reach']).map(({ text }) => text);
  expect(texts).toEqual(['Others', 'can reach', 'Lost over UDP: 1 span that came in and could not be kept']);
});

test('each loss is said with its number and whose it is', () => {
  const [notice] = noticesOf({ droppedDatagrams: 1200, services: [service('stock', 1), service('shop', 2, 40), service('fine', 0)] });
  expect(notice?.text).toBe(
    'Lost over UDP: 1,200 datagrams that the system dropped; 2 batches of shop; 1 batch of stock; 40 spans by clients of shop before they were sent',
  );
});

test('of many services those that lost most are named', () => {
  const services = Array.from({ length: 8 }, (_, index) => service(`s${index}`, index + 1));
  expect(noticesOf({ services })[0]?.text).toBe(
    'Lost over UDP: 8 batches of s7; 7 batches of s6; 6 batches of s5; 5 batches of s4; 4 batches of s3; 6 batches of 3 other services',
  );
});

test('growing numbers are the same notice, another service is another', () => {
  const key = (...services: Agent['services']) => noticesOf({ services })[0]?.key;
  expect(key(service('shop', 9))).toBe(key(service('shop', 1)));
  expect(key(service('shop', 1), service('stock', 1))).not.toBe(key(service('shop', 1)));
});
