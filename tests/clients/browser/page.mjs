// What runs in the page: OpenTelemetry for browsers with its exporters' defaults. `tell` is given by send.mjs.

import { OTLPTraceExporter as Json } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as Protobuf } from "@opentelemetry/exporter-trace-otlp-proto";
import { ZipkinExporter } from "@opentelemetry/exporter-zipkin";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, WebTracerProvider } from "@opentelemetry/sdk-trace-web";
// The last ones sent beacons, and asked by XMLHttpRequest where there were headers.
import { OTLPTraceExporter as Beacon } from "exporter-by-beacon";

import { shop } from "../node/shop.mjs";
import { Teller } from "../node/told.mjs";
import { ZipkinTeller } from "../node/zipkin-told.mjs";

const EXPORTERS = {
  "browser otlp/json fetch": () => new Json(),
  "browser otlp/json fetch with headers": () => new Json({ headers: { "x-shop": "berlin" } }),
  "browser otlp/protobuf fetch": () => new Protobuf(),
  "browser otlp/json beacon": () => new Beacon(),
  "browser otlp/json xhr": () => new Beacon({ headers: { "x-shop": "berlin" } }),
  "browser zipkin/json beacon": () => new ZipkinExporter(),
  "browser zipkin/json xhr": () => new ZipkinExporter({ headers: { "x-shop": "berlin" } }),
};

export async function send() {
  for (const [client, open] of Object.entries(EXPORTERS)) {
    const service = client.replaceAll(/[ /]/g, "-");
    const exporter = open();
    const teller = exporter instanceof ZipkinExporter ? new ZipkinTeller(client, service, window.tell) : new Teller(client, window.tell);
    const provider = new WebTracerProvider({
      resource: resourceFromAttributes({ "service.name": service, "service.version": "1.2.3", pid: 42 }),
      spanProcessors: [teller, new BatchSpanProcessor(exporter)],
    });
    shop(provider.getTracer("tests.shop", "1.0"));
    await provider.shutdown();
  }
  return Object.keys(EXPORTERS).length;
}
