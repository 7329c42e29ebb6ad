/** `GET /api/a1/search`. */
import type { Found, FoundTrace, Stopped } from '../model/found-traces';
import type { SearchQuery } from '../model/search-query';
import { getJson } from './request';
import { Fields, readText } from './wire';

export async function search(query: SearchQuery, signal: AbortSignal): Promise<Found> {
  return readFound(await getJson(`/api/a1/search?${parameters(query)}`, signal));
}

function parameters(query: SearchQuery): string {
  const all = new URLSearchParams();
  const named = ['service', 'operation', 'min', 'max', 'start', 'end'] as const;
  for (const name of named) if (query[name] !== '') all.set(name, query[name]);
  for (const condition of query.where) all.append('where', condition);
  all.set('limit', String(query.limit));
  return all.toString();
}

export function readFound(json: unknown): Found {
  const fields = new Fields(json, 'search');
  return {
    traces: fields.list('traces', readTrace),
    inspected: fields.optionalNumber('inspected'),
    stopped: readStopped(fields.optionalText('stopped')),
    limit: fields.optionalNumber('limit'),
  };
}

function readStopped(word: string): Stopped {
  return word === 'limit' || word === 'time' || word === 'bytes' ? word : 'end';
}

function readTrace(value: unknown, where: string): FoundTrace {
  const fields = new Fields(value, where);
  return {
    traceId: fields.text('traceId'),
    rootService: fields.text('rootService'),
    rootName: fields.text('rootName'),
    start: fields.time('start'),
    duration: fields.number('duration'),
    spans: fields.number('spans'),
    errors: fields.optionalNumber('errors'),
    orphans: fields.optionalNumber('orphans'),
    services: fields.list('services', (item, at) => {
      const service = new Fields(item, at);
      return {
        name: service.text('name'),
        spans: service.number('spans'),
        errors: service.optionalNumber('errors'),
      };
    }),
    matched: fields.list('matched', readText),
  };
}
