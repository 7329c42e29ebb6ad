// Sends one trace with the OpenTelemetry SDK's defaults, over HTTP as JSON, and prints what it sent.

import { SpanKind, SpanStatusCode, context, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

const service = "node-json";
const provider = new BasicTracerProvider({
  resource: resourceFromAttributes({ "service.name": service }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
const tracer = provider.getTracer("tests.sdk", "1.0");
const root = tracer.startSpan("checkout", { kind: SpanKind.SERVER });
root.setAttributes({ "cart.items": 3, "cart.total": 12.5, "cart.tags": ["new", "gift"], huge: 1e300 });
root.addEvent("priced", { currency: "EUR" });
const child = tracer.startSpan("pay", { kind: SpanKind.CLIENT }, trace.setSpan(context.active(), root));
child.recordException(new Error("card refused"));
child.setStatus({ code: SpanStatusCode.ERROR, message: "card refused" });
child.end();
root.end();
await provider.shutdown();
console.log(JSON.stringify({ service, trace: root.spanContext().traceId }));
