/** `GET /api/a1/trace/{id}/spans` and `…/find`. */
import type { Attribute, AttributeType, SpanDetail, SpanEvent, SpanLink } from '../model/span-detail';
import { getJson } from './request';
import { Fields, readText } from './wire';

/** Several when the id is not unique in its trace. */
export async function spanDetails(trace: string, spanId: string, signal?: AbortSignal): Promise<SpanDetail[]> {
  const path = `/api/a1/trace/${trace}/spans?ids=${encodeURIComponent(spanId)}`;
  return readSpanDetails(await getJson(path, signal));
}

/** The ids of the spans that hold the text, and how many there are in all. */
export async function findSpans(
  trace: string,
  text: string,
  signal?: AbortSignal,
): Promise<{ spans: string[]; total: number }> {
  const path = `/api/a1/trace/${trace}/find?text=${encodeURIComponent(text)}`;
  const fields = new Fields(await getJson(path, signal), 'find');
  return { spans: fields.list('spans', readText), total: fields.number('total') };
}

export function readSpanDetails(json: unknown): SpanDetail[] {
  return new Fields(json, 'answer').list('spans', readSpan);
}

function readSpan(value: unknown, where: string): SpanDetail {
  const fields = new Fields(value, where);
  const status = fields.object('status');
  const resource = fields.object('resource');
  const scope = fields.object('scope');
  const dropped = fields.object('dropped');
  return {
    spanId: fields.text('spanId'),
    parentId: fields.optionalText('parentId'),
    name: fields.text('name'),
    kind: fields.optionalText('kind'),
    status: { code: status.optionalText('code'), message: status.optionalText('message') },
    start: fields.time('start'),
    duration: fields.number('duration'),
    service: fields.text('service'),
    traceState: fields.optionalText('traceState'),
    warnings: fields.list('warnings', readText),
    attributes: readAttributes(fields),
    events: fields.list('events', readEvent),
    links: fields.list('links', readLink),
    resource: { attributes: readAttributes(resource) },
    scope: {
      name: scope.optionalText('name'),
      version: scope.optionalText('version'),
      attributes: readAttributes(scope),
    },
    dropped: {
      attributes: dropped.optionalNumber('attributes'),
      events: dropped.optionalNumber('events'),
      links: dropped.optionalNumber('links'),
    },
  };
}

function readEvent(value: unknown, where: string): SpanEvent {
  const fields = new Fields(value, where);
  return {
    name: fields.text('name'),
    time: fields.time('time'),
    attributes: readAttributes(fields),
    dropped: fields.optionalNumber('dropped'),
  };
}

function readLink(value: unknown, where: string): SpanLink {
  const fields = new Fields(value, where);
  return {
    traceId: fields.text('traceId'),
    spanId: fields.optionalText('spanId'),
    attributes: readAttributes(fields),
  };
}

function readAttributes(fields: Fields): Attribute[] {
  return fields.list('attributes', (value, where) => {
    const attribute = new Fields(value, where);
    return {
      key: attribute.text('key'),
      type: attributeType(attribute.optionalText('type')),
      value: attribute.optionalText('value'),
    };
  });
}

const TYPES: readonly AttributeType[] = ['string', 'bool', 'int', 'double', 'bytes', 'array', 'map', 'empty'];

function attributeType(word: string): AttributeType {
  return TYPES.find((type) => type === word) ?? 'string';
}
