// How a span of OpenTelemetry's SDK for JavaScript is told to check.py; browsers use it too.

import { SpanKind, SpanStatusCode } from "@opentelemetry/api";

const nanos = ([seconds, rest]) => String(BigInt(seconds) * 1_000_000_000n + BigInt(rest));
const present = (attributes) => Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));

/** A processor that hands on each span that ends, with the client that sends it. */
export class Teller {
  constructor(client, tell = (line) => console.log(JSON.stringify(line))) {
    this.client = client;
    this.tell = tell;
  }

  onStart() {}

  onEnd(span) {
    this.tell(told(this.client, span));
  }

  async forceFlush() {}

  async shutdown() {}
}

function told(client, span) {
  const { traceId, spanId } = span.spanContext();
  const scope = span.instrumentationScope ?? span.instrumentationLibrary;
  return {
    client,
    trace: traceId,
    span: spanId,
    parent: span.parentSpanContext?.spanId ?? span.parentSpanId,
    name: span.name,
    kind: SpanKind[span.kind].toLowerCase(),
    start: nanos(span.startTime),
    end: nanos(span.endTime),
    attributes: present(span.attributes),
    events: span.events.map(({ name, time, attributes }) => ({ name, time: nanos(time), attributes: present(attributes ?? {}) })),
    links: span.links.map(({ context }) => ({ trace: context.traceId, span: context.spanId })),
    status: { code: SpanStatusCode[span.status.code].toLowerCase(), message: span.status.message },
    resource: present(span.resource.attributes),
    scope: { name: scope.name, version: scope.version },
  };
}
