/** The URL is the state: what it says, and how it is written. Old and unknown keys do no harm. */
import { ANYTHING, DEFAULT_LIMIT, DEFAULT_START, MOST_TRACES, type SearchQuery } from '../model/search-query';

/** How one trace is looked at. */
export interface TraceAddress {
  /** The id as it was asked for. */
  readonly id: string;
  /** Selected span: 16 hexadecimal digits, `.2` for the second span of that id and so on; or empty. */
  readonly span: string;
  /** Find text, or empty. */
  readonly find: string;
  /** The shown window, nanoseconds after the trace's start; undefined shows all. */
  readonly zoom: { readonly from: number; readonly to: number } | undefined;
}

export type Route =
  | { readonly page: 'search'; readonly query: SearchQuery }
  | { readonly page: 'trace'; readonly address: TraceAddress };

/** Written into every address that has parameters, so that a later page can tell what it reads. */
const VERSION = '1';

/** The server gives the page to these paths only: what is not a trace's is the search's. */
export function parseRoute(url: URL): Route {
  const id = /^\/trace\/([^/]+)\/*$/.exec(url.pathname)?.[1];
  if (id !== undefined) return { page: 'trace', address: parseAddress(decoded(id), url.searchParams) };
  return { page: 'search', query: parseQuery(url.searchParams) };
}

export function routePath(route: Route): string {
  return route.page === 'search' ? searchPath(route.query) : tracePath(route.address);
}

export function traceAddress(id: string, span = ''): TraceAddress {
  return { id, span, find: '', zoom: undefined };
}

/** The 32-digit form; undefined when it cannot be a trace id. */
export function wholeTraceId(text: string): string | undefined {
  const id = text.trim().toLowerCase();
  return /^[0-9a-f]{1,32}$/.test(id) ? id.padStart(32, '0') : undefined;
}

export function tracePath(address: TraceAddress): string {
  const keys = new URLSearchParams();
  if (address.span !== '') keys.set('span', address.span);
  if (address.find !== '') keys.set('find', address.find);
  if (address.zoom !== undefined) {
    keys.set('from', String(Math.round(address.zoom.from)));
    keys.set('to', String(Math.round(address.zoom.to)));
  }
  return withKeys(`/trace/${encodeURIComponent(address.id)}`, keys);
}

export function searchPath(query: SearchQuery): string {
  const keys = new URLSearchParams();
  for (const name of ['service', 'operation', 'min', 'max', 'end'] as const) {
    if (query[name] !== '') keys.set(name, query[name]);
  }
  for (const condition of query.where) keys.append('where', condition);
  if (query.start !== DEFAULT_START) keys.set('start', query.start);
  if (query.limit !== DEFAULT_LIMIT) keys.set('limit', String(query.limit));
  return keys.size === 0 ? '/' : withKeys('/search', keys);
}

function withKeys(path: string, keys: URLSearchParams): string {
  if (keys.size === 0) return path;
  keys.set('v', VERSION);
  return `${path}?${keys}`;
}

/** `uiFind` is Jaeger's key: a span id there, a text to find otherwise. */
function parseAddress(id: string, keys: URLSearchParams): TraceAddress {
  const uiFind = (keys.get('uiFind') ?? '').trim();
  const jaegerSpan = /^[0-9a-f]{16}$/i.test(uiFind) ? uiFind.toLowerCase() : '';
  const span = (keys.get('span') ?? jaegerSpan).toLowerCase();
  const from = wholeNumber(keys.get('from'));
  const to = wholeNumber(keys.get('to'));
  return {
    id: wholeTraceId(id) ?? id,
    span: /^[0-9a-f]{16}(\.\d{1,6})?$/.test(span) ? span : '',
    find: keys.get('find') ?? (jaegerSpan === '' ? uiFind : ''),
    zoom: from !== undefined && to !== undefined && to > from ? { from, to } : undefined,
  };
}

function parseQuery(keys: URLSearchParams): SearchQuery {
  const text = (...names: string[]): string => {
    for (const name of names) {
      const value = keys.get(name)?.trim();
      if (value !== undefined && value !== '') return value;
    }
    return '';
  };
  const operation = text('operation');
  return {
    ...ANYTHING,
    service: text('service'),
    operation: operation === 'all' ? '' : operation,
    where: [...keys.getAll('where'), ...jaegerTags(keys)].filter((condition) => condition.includes('=')),
    min: text('min', 'minDuration'),
    max: text('max', 'maxDuration'),
    start: timeBound(text('start')) || lookback(text('lookback')) || DEFAULT_START,
    end: timeBound(text('end')),
    limit: Math.min(Math.max(wholeNumber(keys.get('limit')) ?? DEFAULT_LIMIT, 1), MOST_TRACES),
  };
}

/** What the server reads as a time; anything else is as good as absent. */
function timeBound(text: string): string {
  const [, ago] = /^(?:now)?(-(?:\d+(?:ms|s|m|h))+|-\d+[dw])$/.exec(text) ?? [];
  if (ago !== undefined) return ago;
  return /^(\d{1,20}|\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d))$/.test(text) ? text : '';
}

/** Jaeger's `lookback=2d`. */
function lookback(text: string): string {
  const [, count, unit] = /^(\d+)(m|h|d|w)$/.exec(text) ?? [];
  if (count === undefined) return '';
  if (unit === 'd') return `-${Number(count) * 24}h`;
  if (unit === 'w') return `-${Number(count) * 24 * 7}h`;
  return `-${count}${unit ?? 'm'}`;
}

/** Jaeger's `tag=key:value` and `tags={"key":"value"}`. */
function jaegerTags(keys: URLSearchParams): string[] {
  const conditions = keys.getAll('tag').map((tag) => tag.replace(':', '='));
  for (const json of keys.getAll('tags')) {
    try {
      const tags: unknown = JSON.parse(json);
      if (typeof tags !== 'object' || tags === null) continue;
      for (const [key, value] of Object.entries(tags)) conditions.push(`${key}=${String(value)}`);
    } catch {
      // An old link with broken JSON still opens the page.
    }
  }
  return conditions;
}

function wholeNumber(text: string | null): number | undefined {
  return text !== null && /^\d{1,16}$/.test(text) ? Number(text) : undefined;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
