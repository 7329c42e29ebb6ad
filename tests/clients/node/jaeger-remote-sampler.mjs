// OpenTelemetry's sampler for Node that asks Jaeger, the collector and the agent: what it is told to sample is sent by OTLP.

import { setTimeout as sleep } from "node:timers/promises";
import { ROOT_CONTEXT, TraceFlags } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { JaegerRemoteSampler } from "@opentelemetry/sampler-jaeger-remote";
import { AlwaysOffSampler, BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

import { Teller } from "./told.mjs";

const PATIENCE_MS = 30_000;

// The first is the one that its own documentation names.
const ENDPOINTS = {
  "node jaeger-remote-sampler/14268": "http://localhost:14268/api/sampling",
  "node jaeger-remote-sampler/5778": "http://localhost:5778",
};

/** Sends what the server says is to be sampled: until it does, nothing is. */
async function send(client, endpoint) {
  const serviceName = client.replaceAll(/[ /]/g, "-");
  const options = { endpoint, serviceName, poolingInterval: 1000, initialSampler: new AlwaysOffSampler() };
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ "service.name": serviceName }),
    sampler: new JaegerRemoteSampler(options),
    spanProcessors: [new Teller(client), new BatchSpanProcessor(new OTLPTraceExporter())],
  });
  const tracer = provider.getTracer("tests.shop", "1.0");
  for (const begun = Date.now(); Date.now() - begun < PATIENCE_MS; await sleep(20)) {
    const span = tracer.startSpan("checkout", {}, ROOT_CONTEXT);
    span.end();
    if (span.spanContext().traceFlags & TraceFlags.SAMPLED) return provider.shutdown();
  }
  throw new Error(`${client}: nobody said that spans are to be sampled`);
}

await Promise.all(Object.entries(ENDPOINTS).map(([client, endpoint]) => send(client, endpoint)));
// The sampler goes on asking.
process.exit();
