// The spans that every client of OpenTelemetry for JavaScript sends: an order, what it calls, and what it causes.

import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";

const ORDER = {
  "cart.items": 3,
  "cart.total": 12.5,
  "cart.gift": true,
  "cart.tags": ["new", "gift"],
  "cart.sizes": [1, 2, 3],
  largest: Number.MAX_SAFE_INTEGER,
  below: -Number.MAX_SAFE_INTEGER,
  tiny: 5e-324,
  huge: 1.5e300,
  empty: "",
  customer: 'Zoë 🛒\n"quoted" \\ \t',
};

export function shop(tracer) {
  const order = tracer.startSpan("checkout", { kind: SpanKind.SERVER, attributes: ORDER }, ROOT_CONTEXT);
  const below = trace.setSpan(ROOT_CONTEXT, order);
  order.addEvent("priced", { currency: "EUR", parts: [1, 2] });
  const pay = tracer.startSpan("pay", { kind: SpanKind.CLIENT }, below);
  pay.recordException(new Error("card refused"));
  pay.setStatus({ code: SpanStatusCode.ERROR, message: "card refused" });
  pay.end();
  const queue = tracer.startSpan("queue mail", { kind: SpanKind.PRODUCER }, below);
  queue.setStatus({ code: SpanStatusCode.OK });
  queue.end();
  tracer.startSpan("count", {}, below).end();
  order.end();
  const links = [{ context: queue.spanContext() }];
  tracer.startSpan("mail", { kind: SpanKind.CONSUMER, links }, ROOT_CONTEXT).end();
}
