// OpenTelemetry for Node with its last exporter for Jaeger: by UDP and by HTTP.

import { JaegerExporter } from "@opentelemetry/exporter-jaeger";
import transform from "@opentelemetry/exporter-jaeger/build/src/transform.js";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-base";

import { tellThrift } from "./jaeger-told.mjs";
import { shop } from "./shop.mjs";

const EXPORTERS = {
  "node opentelemetry jaeger/udp": {},
  "node opentelemetry jaeger/http": { endpoint: "http://localhost:14268/api/traces" },
};

for (const [client, where] of Object.entries(EXPORTERS)) {
  const service = client.replaceAll(/[ /]/g, "-");
  const teller = {
    onStart() {},
    onEnd: (span) => tellThrift(client, transform.spanToThrift(span), { serviceName: service, tags: [] }),
    async forceFlush() {},
    async shutdown() {},
  };
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ "service.name": service, pid: 42 }),
    spanProcessors: [teller, new BatchSpanProcessor(new JaegerExporter(where))],
  });
  shop(provider.getTracer("tests.shop", "1.0"));
  await provider.shutdown();
}
