// How a span is told to check.py that OpenTelemetry's exporter for Zipkin has brought into Zipkin's words.

import transform from "@opentelemetry/exporter-zipkin/build/src/transform.js";

/** A processor that hands on what the exporter makes of each span. */
export class ZipkinTeller {
  constructor(client, service, tell = (line) => console.log(JSON.stringify(line))) {
    Object.assign(this, { client, service, tell });
  }

  onStart() {}

  onEnd(span) {
    const zipkin = transform.toZipkinSpan(span, this.service, "otel.status_code", "error");
    this.tell({ client: this.client, trace: zipkin.traceId, span: zipkin.id, zipkin });
  }

  async forceFlush() {}

  async shutdown() {}
}
