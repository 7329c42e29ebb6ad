/** Only what was asked for last is shown, and nothing asks on behind a page that was left. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { ANYTHING } from '../model/search-query';
import { answer, ask, emptyStore, leaveSearch, loadOperations, operationNames, showSearch } from './search-answers';

const NOTHING = { traces: [], inspected: 0, stopped: 'end', limit: 50 };
/** What the server was asked, and how to let it answer. */
let asked: { readonly path: string; readonly answer: (body: unknown) => Promise<void> }[] = [];

beforeEach(() => {
  asked = [];
  vi.stubGlobal('window', globalThis);
  vi.stubGlobal('fetch', (path: string, { signal }: RequestInit) =>
    new Promise<Response>((resolve, reject) => {
      signal?.addEventListener('abort', () => reject(signal.reason));
      asked.push({ path, answer: async (body) => (resolve(Response.json(body)), settled()) });
    }),
  );
});

afterEach(() => {
  leaveSearch();
  vi.unstubAllGlobals();
});

/** All that was only waiting for each other has happened. */
async function settled(): Promise<void> {
  await new Promise((done) => setTimeout(done));
}

test('slow operations of one service do not stand under the next', async () => {
  void loadOperations('payment');
  void loadOperations('cart');
  await asked[1]?.answer({ data: ['AddItem'] });
  await asked[0]?.answer({ data: ['Charge'] });
  expect(operationNames.value).toEqual(['AddItem']);
});

test('a page that is left while the store is empty does not wait for the first trace', async () => {
  void ask(ANYTHING);
  await asked[0]?.answer(NOTHING);
  leaveSearch();
  await asked[1]?.answer({ spans: 0, doors: [] });
  expect(asked.map(({ path }) => path.split('?')[0])).toEqual(['/api/a1/search', '/api/a1/status']);
  expect(emptyStore.value).toBeUndefined();
  expect(answer.value.loading).toBe(false);
});

test('coming back shows the kept answer, going there asks again', async () => {
  const query = { ...ANYTHING, service: 'payment' };
  void ask(query);
  await asked[0]?.answer(NOTHING);
  showSearch(query, true);
  expect(asked.length).toBe(1);
  showSearch(query, false);
  expect(asked.length).toBe(2);
});

test('an answer that was given up is asked for again', async () => {
  const query = { ...ANYTHING, service: 'payment' };
  void ask(query);
  leaveSearch();
  showSearch(query, true);
  expect(asked.length).toBe(2);
});
