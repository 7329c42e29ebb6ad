"""How a span is told to check.py that is in the shape of Jaeger's Thrift or Protobuf."""

import base64
import json

TYPES = ["string", "float64", "bool", "int64", "binary"]
FIELDS = ["vStr", "vDouble", "vBool", "vLong", "vBinary"]
PROTOBUF_TYPES = ["string", "bool", "int64", "float64", "binary"]
PROTOBUF_FIELDS = ["v_str", "v_bool", "v_int64", "v_float64", "v_binary"]
REFERENCES = ["CHILD_OF", "FOLLOWS_FROM"]
WORD = 1 << 64


def tell_thrift(client, span, service, process_tags):
    trace = trace_of(span)
    jaeger = {
        "operationName": span.operationName,
        "parentSpanID": f"{span.parentSpanId % WORD:016x}" if span.parentSpanId else None,
        "references": [
            {"refType": REFERENCES[each.refType], "traceID": trace_of(each), "spanID": f"{each.spanId % WORD:016x}"}
            for each in span.references or []
        ],
        "flags": span.flags,
        "startTime": span.startTime,
        "duration": span.duration,
        "tags": tags(span.tags),
        "logs": [{"timestamp": log.timestamp, "fields": tags(log.fields)} for log in span.logs or []],
        "process": {"serviceName": service, "tags": tags(process_tags)},
    }
    tell(client, trace, f"{span.spanId % WORD:016x}", jaeger)


def tell_protobuf(client, span):
    jaeger = {
        "operationName": span.operation_name,
        "references": [
            {"refType": REFERENCES[each.ref_type], "traceID": each.trace_id.hex(), "spanID": each.span_id.hex()}
            for each in span.references
        ],
        "flags": span.flags,
        "startTime": span.start_time.ToMicroseconds(),
        "duration": span.duration.ToMicroseconds(),
        "tags": protobuf_tags(span.tags),
        "logs": [
            {"timestamp": log.timestamp.ToMicroseconds(), "fields": protobuf_tags(log.fields)} for log in span.logs
        ],
        "process": {"serviceName": span.process.service_name, "tags": protobuf_tags(span.process.tags)},
    }
    tell(client, span.trace_id.hex(), span.span_id.hex(), jaeger)


def tell(client, trace, span, jaeger):
    print(json.dumps({"client": client, "trace": trace, "span": span, "jaeger": jaeger}), flush=True)


def trace_of(ids):
    return f"{(ids.traceIdHigh or 0) % WORD:016x}{ids.traceIdLow % WORD:016x}"


def tags(thrift):
    return [tag(each.key, TYPES[each.vType], getattr(each, FIELDS[each.vType])) for each in thrift or []]


def protobuf_tags(tags):
    return [tag(each.key, PROTOBUF_TYPES[each.v_type], getattr(each, PROTOBUF_FIELDS[each.v_type])) for each in tags]


def tag(key, type, value):
    return {"key": key, "type": type, "value": base64.b64encode(value).decode() if type == "binary" else value}
