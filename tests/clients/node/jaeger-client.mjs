// Jaeger's own client for Node with its defaults, its remote sampler above all: by UDP and by HTTP.

import { env } from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import client from "jaeger-client";
import thrift from "jaeger-client/dist/src/thrift.js";
import { FORMAT_TEXT_MAP, REFERENCE_FOLLOWS_FROM, Reference } from "opentracing";

import { tellThrift } from "./jaeger-told.mjs";

/** By default the client asks how to sample for the first time after one to two minutes. */
const PATIENCE_MS = 150_000;

const REPORTERS = {
  "node jaeger-client/udp": {},
  "node jaeger-client/http": { collectorEndpoint: "http://localhost:14268/api/traces" },
};

async function send(name, reporter) {
  const refreshIntervalMs = Number(env.JAEGER_SAMPLER_REFRESH_INTERVAL);
  // The sampler is the default one, with its own first rate; only how often it asks can be told.
  const sampler = refreshIntervalMs > 0 ? { type: "remote", param: 0.001, refreshIntervalMs } : undefined;
  const logger = { info() {}, error: console.error };
  const options = { tags: { "shop.version": "1.2.3" }, traceId128bit: name.endsWith("http"), logger };
  const tracer = client.initTracer({ serviceName: name.replaceAll(/[ /]/g, "-"), sampler, reporter }, options);
  const order = await sampled(tracer, name);
  const spans = [order, ...sell(tracer, order)];
  for (const span of spans) {
    span.finish();
    tellThrift(name, thrift.default.spanToThrift(span), tracer._reporter._process);
    // The client forgets a span that came while a full datagram was on its way, if it is closed then.
    await new Promise((done) => tracer._reporter.flush(done));
  }
  await new Promise((done) => tracer.close(done));
}

/** The first span that is sampled because the server said so. */
async function sampled(tracer, name) {
  for (const begun = Date.now(); Date.now() - begun < PATIENCE_MS; await sleep(20)) {
    const span = tracer.startSpan("checkout");
    const asked = span._tags.find((tag) => tag.key === "sampler.param")?.value === 1;
    if (asked && span.context().isSampled()) return span;
  }
  throw new Error(`${name}: nobody said that spans are to be sampled`);
}

function sell(tracer, order) {
  order.setTag("span.kind", "server");
  order.addTags({ items: 3, total: 12.5, gift: true, empty: "", customer: 'Zoë 🛒\n"quoted" \\ \t', parts: [1, 2] });
  order.setTag("repeated", "first");
  order.setTag("repeated", "second");
  order.setTag("raw", Buffer.from([0, 255, 128]));
  // With the rest nearly the 65000 bytes that the client puts into a datagram.
  order.setTag("large", "x".repeat(62_500));
  order.log({ event: "priced", currency: "EUR" });
  order.setBaggageItem("customer", "zoe");
  const pay = tracer.startSpan("pay", { childOf: order, tags: { "span.kind": "client" } });
  pay.setTag("error", true);
  pay.log({ event: "error", message: "card refused" });
  const carried = {};
  tracer.inject(pay, FORMAT_TEXT_MAP, carried);
  const accept = tracer.startSpan("accept", { childOf: tracer.extract(FORMAT_TEXT_MAP, carried), tags: { "span.kind": "server" } });
  const mail = tracer.startSpan("mail", { references: [new Reference(REFERENCE_FOLLOWS_FROM, order.context())] });
  return [pay, accept, mail];
}

await Promise.all(Object.entries(REPORTERS).map(([name, reporter]) => send(name, reporter)));
