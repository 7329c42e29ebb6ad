// How a span is told to check.py that jaeger-client has brought into the shape of its Thrift writer.

const TYPES = {
  STRING: ["string", (tag) => tag.vStr],
  DOUBLE: ["float64", (tag) => tag.vDouble],
  BOOL: ["bool", (tag) => tag.vBool],
  LONG: ["int64", (tag) => String(tag.vLong.readBigInt64BE())],
  BINARY: ["binary", (tag) => tag.vBinary.toString("base64")],
};

export function tellThrift(client, span, process) {
  const [trace, id, parent] = [traceOf(span), span.spanId.toString("hex"), span.parentSpanId.toString("hex")];
  const jaeger = {
    operationName: span.operationName,
    parentSpanID: parent === "" || /^0+$/.test(parent) ? undefined : parent,
    references: span.references.map((reference) => ({
      refType: reference.refType,
      traceID: traceOf(reference),
      spanID: reference.spanId.toString("hex"),
    })),
    flags: span.flags,
    startTime: Number(span.startTime.readBigInt64BE()),
    duration: Number(span.duration.readBigInt64BE()),
    tags: tags(span.tags),
    logs: span.logs.map(({ timestamp, fields }) => ({ timestamp: Number(timestamp.readBigInt64BE()), fields: tags(fields) })),
    process: { serviceName: process.serviceName, tags: tags(process.tags) },
  };
  console.log(JSON.stringify({ client, trace, span: id, jaeger }));
}

const half = (id) => id.toString("hex").padStart(16, "0");
const traceOf = ({ traceIdHigh, traceIdLow }) => half(traceIdHigh) + half(traceIdLow);

function tags(thrift) {
  return thrift.map((tag) => {
    const [type, value] = TYPES[tag.vType];
    return { key: tag.key, type, value: value(tag) };
  });
}
