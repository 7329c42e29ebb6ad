// OpenTelemetry for Node with its exporters' defaults: OTLP over gRPC, and over HTTP as protobuf and as JSON; Zipkin.

import { OTLPTraceExporter as Grpc } from "@opentelemetry/exporter-trace-otlp-grpc";
import { OTLPTraceExporter as Json } from "@opentelemetry/exporter-trace-otlp-http";
import { OTLPTraceExporter as Protobuf } from "@opentelemetry/exporter-trace-otlp-proto";
import { ZipkinExporter } from "@opentelemetry/exporter-zipkin";
import { CompressionAlgorithm } from "@opentelemetry/otlp-exporter-base";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

import { shop } from "./shop.mjs";
import { Teller } from "./told.mjs";
import { ZipkinTeller } from "./zipkin-told.mjs";

const gzip = { compression: CompressionAlgorithm.GZIP };

const EXPORTERS = {
  "node otlp/grpc": new Grpc(),
  "node otlp/grpc gzip": new Grpc(gzip),
  "node otlp/protobuf": new Protobuf(),
  "node otlp/protobuf gzip": new Protobuf(gzip),
  "node otlp/json": new Json(),
  "node otlp/json gzip": new Json(gzip),
  "node opentelemetry zipkin/json": new ZipkinExporter(),
};

for (const [client, exporter] of Object.entries(EXPORTERS)) {
  const service = client.replaceAll(/[ /]/g, "-");
  const teller = exporter instanceof ZipkinExporter ? new ZipkinTeller(client, service) : new Teller(client);
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ "service.name": service, "service.version": "1.2.3", pid: 42 }),
    spanProcessors: [teller, new BatchSpanProcessor(exporter)],
  });
  shop(provider.getTracer("tests.shop", "1.0"));
  await provider.shutdown();
}
