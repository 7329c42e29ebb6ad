/** What the search page shows: the answer to the query in the address bar. */
import { isAbort } from '../api/request';
import { search } from '../api/search';
import { serverStatus } from '../api/server-status';
import { operations, services } from '../api/services';
import type { Found } from '../model/found-traces';
import { narrows, type SearchQuery } from '../model/search-query';
import type { ServerStatus } from '../model/server-status';
import { searchPath } from '../route/route';
import { type Failure, failureOf } from './failure';
import { Live } from './live';

export interface SearchAnswer {
  /** The address of the query that `found` answers. */
  readonly key: string;
  readonly loading: boolean;
  /** Whether the query had conditions, so that matched spans say something. */
  readonly narrowed: boolean;
  /** Stays while the next answer is on its way. */
  readonly found: Found | undefined;
  readonly failure: Failure | undefined;
  /** When the answer came, milliseconds since 1970, and how long it took. */
  readonly at: number;
  readonly took: number;
}

const NOTHING_YET: SearchAnswer = {
  key: '',
  narrowed: false,
  loading: false,
  found: undefined,
  failure: undefined,
  at: 0,
  took: 0,
};

export const answer = new Live<SearchAnswer>(NOTHING_YET);
/** The trace that was opened last, so that coming back finds it. */
export const lastOpened = new Live('');
/** Known only while the store is empty: what the first-start page shows. */
export const emptyStore = new Live<ServerStatus | undefined>(undefined);
export const serviceNames = new Live<readonly string[]>([]);
export const operationNames = new Live<readonly string[]>([]);

const WAIT_FOR_FIRST_TRACE = 2000;

/** Requests of which only the newest matters. */
class Newest {
  #control: AbortController | undefined;

  /** Lets go of the one before. */
  begin(): AbortSignal {
    this.abort();
    this.#control = new AbortController();
    return this.#control.signal;
  }

  abort(): void {
    this.#control?.abort();
  }
}

const searching = new Newest();
const waiting = new Newest();
const askingServices = new Newest();
const askingOperations = new Newest();

/** Asks, unless it is a return to this query's answer: going back shows what was left. */
export function showSearch(query: SearchQuery, returning: boolean): void {
  const { key, found } = answer.value;
  const kept = returning && key === searchPath(query) && found !== undefined && emptyStore.value === undefined;
  if (!kept) void ask(query);
}

export async function ask(query: SearchQuery): Promise<void> {
  waiting.abort();
  const signal = searching.begin();
  const key = searchPath(query);
  answer.set({ ...answer.value, key, loading: true, failure: undefined });
  const begun = performance.now();
  try {
    const found = await search(query, signal);
    const took = performance.now() - begun;
    await lookForEmptiness(query, found, signal);
    answer.set({ key, narrowed: narrows(query), loading: false, found, failure: undefined, at: Date.now(), took });
  } catch (error) {
    if (isAbort(error)) return;
    answer.set({ ...answer.value, loading: false, found: undefined, failure: failureOf(error) });
  }
}

/** The spans of a trace that met the conditions of the search it was found by. */
export function matchedIn(traceId: string): readonly string[] {
  const { found, narrowed } = answer.value;
  return narrowed ? (found?.traces.find((trace) => trace.traceId === traceId)?.matched ?? []) : [];
}

/** Leaves the query or the page: nothing goes on asking behind it. */
export function leaveSearch(): void {
  waiting.abort();
  searching.abort();
  // What was on its way will not come: the kept answer is to no query.
  if (answer.value.loading) answer.set({ ...answer.value, key: '', loading: false });
}

export async function loadServices(): Promise<void> {
  const signal = askingServices.begin();
  const names = await services(signal).catch(() => undefined);
  if (names !== undefined && !signal.aborted) serviceNames.set(names);
}

export async function loadOperations(service: string): Promise<void> {
  operationNames.set([]);
  const signal = askingOperations.begin();
  if (service === '') return;
  const names = await operations(service, signal).catch(() => []);
  if (!signal.aborted) operationNames.set(names);
}

/** An empty answer to an open question may mean an empty store; then it asks again by itself. */
async function lookForEmptiness(query: SearchQuery, found: Found, signal: AbortSignal): Promise<void> {
  if (found.traces.length > 0 || narrows(query)) {
    emptyStore.set(undefined);
    return;
  }
  const status = await serverStatus(signal);
  emptyStore.set(status.spans === 0 ? status : undefined);
  if (status.spans === 0) void waitForFirstTrace(query);
}

/** Quietly: the page must not flicker while it waits. */
async function waitForFirstTrace(query: SearchQuery): Promise<void> {
  const signal = waiting.begin();
  let spans = 0;
  while (spans === 0 && !signal.aborted) {
    await new Promise((done) => window.setTimeout(done, WAIT_FOR_FIRST_TRACE));
    const status = await serverStatus(signal).catch(() => undefined);
    spans = status?.spans ?? 0;
  }
  if (!signal.aborted) await Promise.all([loadServices(), ask(query)]);
}
