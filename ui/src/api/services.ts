/** Names for the query bar, from the routes Jaeger's clients know. */
import { getJson } from './request';
import { Fields, readText } from './wire';

export async function services(signal?: AbortSignal): Promise<string[]> {
  return names(await getJson('/api/services', signal));
}

export async function operations(service: string, signal?: AbortSignal): Promise<string[]> {
  return names(await getJson(`/api/services/${encodeURIComponent(service)}/operations`, signal));
}

function names(json: unknown): string[] {
  return [...new Set(new Fields(json, 'answer').list('data', readText))];
}
