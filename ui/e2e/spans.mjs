/** The traces of the end-to-end test: a small shop, and one trace of fifty thousand spans. */

const MILLI = 1_000_000;

/** The same numbers on every run. */
function random(seed) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

const hex = (value, digits) => value.toString(16).padStart(digits, '0');

/** Looks like chance, and is the same every time. */
function traceId(number) {
  const wide = (0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835n * BigInt(number)) % (1n << 128n);
  // One of those old 64-bit ids is among them.
  return hex(number === SHORT_ID ? wide % (1n << 60n) : wide, 32);
}

function spanId(number, index) {
  return hex((0xd6e8_feb8_6659_fd93n * ((BigInt(number) << 20n) + BigInt(index + 1))) % (1n << 64n), 16);
}

/** The number of an order whose trace id is short. */
export const SHORT_ID = 42;

/** A trace under construction; times are nanoseconds after its start. */
class TraceDraft {
  constructor(number, startNanos) {
    this.id = traceId(number);
    this.number = number;
    this.start = startNanos;
    this.spans = [];
  }

  add(service, name, parent, start, length, more = {}) {
    const span = { service, name, parent, start: Math.round(start), length: Math.round(length), ...more };
    span.id = spanId(this.number, this.spans.length);
    this.spans.push(span);
    return span;
  }
}

export const SERVICES = ['frontend', 'checkout', 'cart', 'payment', 'shipping', 'catalog', 'currency', 'email', 'fraud-check'];

/** An order: what it costs in time differs; every fifth payment fails. */
export function orderTrace(number, startNanos) {
  const next = random(number * 7919);
  const trace = new TraceDraft(number, startNanos);
  const slow = 1 + next() * 9 * (number % 7 === 0 ? 12 : 1);
  const ms = (value) => value * MILLI * slow;
  const failed = number % 5 === 0;
  const root = trace.add('frontend', 'POST /api/checkout', undefined, 0, ms(42), {
    kind: 2,
    error: failed,
    attributes: { 'http.request.method': 'POST', 'url.path': '/api/checkout', 'http.response.status_code': failed ? 500 : 200, 'order.number': number },
  });
  const order = trace.add('checkout', 'CheckoutService/PlaceOrder', root, ms(2), ms(38), { kind: 2, error: failed, attributes: { 'rpc.system': 'grpc', 'order.items': '[{"sku":"OLJCESPC7Z","count":2},{"sku":"66VCHSJNUP","count":1}]' } });
  const cart = trace.add('cart', 'CartService/GetCart', order, ms(3), ms(6), { kind: 2 });
  trace.add('cart', 'HGET cart', cart, ms(4), ms(3), { kind: 3, attributes: { 'db.system.name': 'redis' } });
  const items = 1 + Math.floor(next() * 6);
  for (let item = 0; item < items; item++) {
    const at = ms(10 + item * 1.5);
    const product = trace.add('catalog', 'ProductCatalogService/GetProduct', order, at, ms(1.2), { kind: 2, attributes: { 'product.id': `SKU-${item}` } });
    trace.add('catalog', 'SELECT products', product, at + ms(0.2), ms(0.7), { kind: 3, attributes: { 'db.system.name': 'postgresql', 'db.query.text': 'SELECT id, name, price FROM products WHERE id = $1' } });
    trace.add('currency', 'CurrencyService/Convert', order, at + ms(1.2), ms(0.2), { kind: 2 });
  }
  trace.add('fraud-check', 'score', order, ms(21), ms(3), { kind: 1 });
  trace.add('payment', 'PaymentService/Charge', order, ms(24), ms(8), {
    kind: 2,
    error: failed,
    message: failed ? 'card issuer did not answer within 8 s' : '',
    attributes: { 'payment.amount': 129.5, 'payment.currency': 'EUR' },
    events: failed
      ? [{ name: 'exception', at: ms(31), attributes: { 'exception.type': 'IssuerTimeout', 'exception.message': 'card issuer did not answer', 'exception.stacktrace': 'IssuerTimeout: card issuer did not answer\n    at charge (payment.js:88:11)\n    at PaymentService.Charge (server.js:41:5)' } }]
      : [{ name: 'authorized', at: ms(29), attributes: {} }],
  });
  if (!failed) {
    trace.add('shipping', 'ShippingService/ShipOrder', order, ms(33), ms(4), { kind: 2, events: [{ name: 'label printed', at: ms(35), attributes: { carrier: 'post' } }] });
    trace.add('email', 'send confirmation', order, ms(38), ms(5), { kind: 4, link: { traceId: traceId(Math.max(1, number - 1)), spanId: spanId(Math.max(1, number - 1), 0) } });
  }
  return trace;
}

/** Somebody looks at a product. */
export function browseTrace(number, startNanos) {
  const next = random(number * 104_729);
  const trace = new TraceDraft(number, startNanos);
  const ms = (value) => value * MILLI * (0.4 + next() * next() * 6);
  const root = trace.add('frontend', 'GET /api/products/{id}', undefined, 0, ms(9), { kind: 2, attributes: { 'http.request.method': 'GET', 'http.response.status_code': 200 } });
  const product = trace.add('catalog', 'ProductCatalogService/GetProduct', root, root.length * 0.1, root.length * 0.5, { kind: 2 });
  trace.add('catalog', 'SELECT products', product, root.length * 0.2, root.length * 0.3, { kind: 3, attributes: { 'db.system.name': 'postgresql' } });
  if (next() < 0.6) trace.add('currency', 'CurrencyService/Convert', root, root.length * 0.65, root.length * 0.1, { kind: 2 });
  if (next() < 0.4) trace.add('cart', 'CartService/GetCart', root, root.length * 0.78, root.length * 0.15, { kind: 2 });
  return trace;
}

/** A child whose parent never comes. */
export function incompleteTrace(number, startNanos) {
  const trace = new TraceDraft(number, startNanos);
  trace.add('cart', 'CartService/EmptyCart', { id: 'dead00000000beef' }, 0, 3 * MILLI, { kind: 2 });
  return trace;
}

/** A batch job: a root, and below it groups of nested steps. */
export function largeTrace(number, startNanos, count) {
  const next = random(4711);
  const trace = new TraceDraft(number, startNanos);
  const duration = 8_000 * MILLI;
  const root = trace.add('fraud-check', 'nightly rescoring', undefined, 0, duration, { kind: 1 });
  while (trace.spans.length < count) {
    const begin = next() * duration * 0.95;
    let length = Math.min(duration - begin, duration * (0.002 + next() * 0.05));
    let start = begin;
    let parent = root;
    const depth = 2 + Math.floor(next() * 9);
    for (let level = 0; level < depth && trace.spans.length < count; level++) {
      const service = SERVICES[(level * 3 + Math.floor(next() * 3)) % SERVICES.length];
      const error = next() < 0.004;
      const span = trace.add(service, `step ${level + 1}`, parent, start, length, {
        kind: level % 2 === 0 ? 3 : 2,
        error,
        attributes: { 'batch.level': level, 'batch.item': trace.spans.length },
        ...(next() < 0.05 ? { events: [{ name: 'checkpoint', at: start + length / 2, attributes: {} }] } : {}),
      });
      if (next() < 0.75) parent = span;
      start += length * (0.05 + next() * 0.1);
      length *= 0.5 + next() * 0.3;
    }
  }
  return trace;
}

/** Sends a trace through OTLP/HTTP JSON, at most `batch` spans in a request. */
export async function send(otlp, traces, batch = 5_000) {
  const spans = traces.flatMap((trace) => trace.spans.map((span) => [trace, span]));
  for (let from = 0; from < spans.length; from += batch) {
    const response = await fetch(`${otlp}/v1/traces`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request(spans.slice(from, from + batch))),
    });
    if (!response.ok) throw new Error(`OTLP answered ${response.status}: ${await response.text()}`);
  }
}

function request(pairs) {
  const byService = Map.groupBy === undefined ? group(pairs) : Map.groupBy(pairs, ([, span]) => span.service);
  return {
    resourceSpans: [...byService].map(([service, some]) => ({
      resource: { attributes: attributes({ 'service.name': service, 'service.version': '2.1.0', 'host.name': 'e2e' }) },
      scopeSpans: [{ scope: { name: 'e2e', version: '1.0' }, spans: some.map(([trace, span]) => otlpSpan(trace, span)) }],
    })),
  };
}

function group(pairs) {
  const groups = new Map();
  for (const pair of pairs) groups.set(pair[1].service, [...(groups.get(pair[1].service) ?? []), pair]);
  return groups;
}

function otlpSpan(trace, span) {
  const time = (offset) => String(trace.start + BigInt(Math.round(offset)));
  return {
    traceId: trace.id,
    spanId: span.id,
    parentSpanId: span.parent?.id ?? '',
    name: span.name,
    kind: span.kind,
    startTimeUnixNano: time(span.start),
    endTimeUnixNano: time(span.start + span.length),
    attributes: attributes(span.attributes ?? {}),
    events: (span.events ?? []).map((event) => ({ name: event.name, timeUnixNano: time(event.at), attributes: attributes(event.attributes) })),
    links: span.link === undefined ? [] : [span.link],
    status: span.error ? { code: 2, message: span.message ?? '' } : {},
  };
}

function attributes(values) {
  return Object.entries(values).map(([key, value]) => ({ key, value: anyValue(value) }));
}

function anyValue(value) {
  if (typeof value === 'boolean') return { boolValue: value };
  if (typeof value === 'number') return Number.isInteger(value) ? { intValue: String(value) } : { doubleValue: value };
  return { stringValue: value };
}
