// Zipkin's own client for Node over its HTTP transport: JSON of version 2, and of version 1 as by default.

import { once } from "node:events";
import zipkin from "zipkin";
import transport from "zipkin-transport-http";

const { Annotation, BatchRecorder, ExplicitContext, InetAddress, Tracer, jsonEncoder } = zipkin;
const PATIENCE_MS = 20_000;

const TRANSPORTS = {
  "node zipkin/json": { endpoint: "http://localhost:9411/api/v2/spans", jsonEncoder: jsonEncoder.JSON_V2 },
  "node zipkin/json v1": { endpoint: "http://localhost:9411/api/v1/spans" },
};

/** Hands spans on to the transport, and tells them in the words of version 2. */
class Teller {
  constructor(client, logger) {
    Object.assign(this, { client, logger });
  }

  logSpan(span) {
    const told = JSON.parse(jsonEncoder.JSON_V2.encode(span));
    // Version 1 says where a span was only beside what it says of it.
    if (this.logger.jsonEncoder === jsonEncoder.JSON_V1 && !told.kind && !told.annotations && !told.tags) {
      delete told.localEndpoint;
    }
    console.log(JSON.stringify({ client: this.client, trace: told.traceId, span: told.id, zipkin: told }));
    this.logger.logSpan(span);
  }
}

function tracers(client, logger) {
  const tracer = (name, traceId128Bit) =>
    new Tracer({
      ctxImpl: new ExplicitContext(),
      // Each as in a process of its own: a recorder knows a span by its id, and the halves of a call share theirs.
      recorder: new BatchRecorder({ logger: new Teller(client, logger) }),
      localServiceName: `${client.replaceAll(/[ /]/g, "-")}-${name}`,
      traceId128Bit,
    });
  return { shop: tracer("shop", true), bank: tracer("bank", true), old: tracer("old", false) };
}

/** Records one span from its beginning to its end, and what happens in it. */
function record(tracer, id, name, [begin, end], during = () => {}) {
  tracer.letId(id, () => {
    tracer.recordServiceName(tracer.localEndpoint.serviceName);
    tracer.recordRpc(name);
    tracer.recordAnnotation(begin);
    during();
    tracer.recordAnnotation(end);
  });
}

const called = () => [new Annotation.ServerRecv(), new Annotation.ServerSend()];
const calling = () => [new Annotation.ClientSend(), new Annotation.ClientRecv()];
const queueing = () => [new Annotation.ProducerStart(), new Annotation.ProducerStop()];
const working = (name) => [new Annotation.LocalOperationStart(name), new Annotation.LocalOperationStop()];
const address = (serviceName, host, port) => ({ serviceName, host: new InetAddress(host), port });

/** An order, a call whose two halves share an id, and what is queued. */
function sell({ shop, bank, old }) {
  record(shop, shop.createRootId(), "checkout", called(), () => {
    shop.recordBinary("customer", 'Zoë 🛒\n"quoted" \\ \t');
    shop.recordBinary("empty", "");
    shop.recordAnnotation(new Annotation.ClientAddr(address("phone", "192.0.2.7", 65535)));
    shop.recordMessage("priced");
    const call = shop.createChildId();
    record(shop, call, "pay", calling(), () => {
      shop.recordAnnotation(new Annotation.ServerAddr(address("bank", "192.0.2.8", 8443)));
      record(bank, bank.join(call), "pay", called(), () => bank.recordBinary("bank.code", "1234"));
      shop.recordBinary("error", "card refused");
    });
    record(shop, shop.createChildId(), "queue mail", queueing(), () => {
      shop.recordAnnotation(new Annotation.MessageAddr(address("queue", "192.0.2.9", 9092)));
    });
    record(shop, shop.createChildId(), "count", working("count"));
  });
  record(old, old.createRootId(), "of 64 bits", calling());
}

for (const [client, options] of Object.entries(TRANSPORTS)) {
  const logger = new transport.HttpLogger(options);
  sell(tracers(client, logger));
  // Its timer keeps no program alive.
  const patience = setTimeout(() => logger.emit("error", new Error("nobody answered")), PATIENCE_MS);
  await once(logger, "success");
  clearTimeout(patience);
}
