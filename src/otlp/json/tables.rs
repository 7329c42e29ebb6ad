//! The messages of OTLP, as tables.
//!
//! Source: opentelemetry-proto 1.10, `collector/*/v1`, `trace/v1`, `logs/v1`, `metrics/v1`, `common/v1`,
//! `resource/v1`. Fields stand in the order in which most clients write them.

use super::schema::{Enum, Field, Integer, Kind, Message, Presence};

const fn field(name: &'static str, number: u32, kind: Kind) -> Field {
    let presence = match kind {
        Kind::Message(_) => Presence::Explicit,
        _ => Presence::Implicit,
    };
    Field { name, number, kind, presence }
}

const fn text(name: &'static str, number: u32) -> Field {
    field(name, number, Kind::Text)
}

const fn integer(name: &'static str, number: u32, integer: Integer) -> Field {
    field(name, number, Kind::Integer(integer))
}

const fn message(name: &'static str, number: u32, message: &'static Message) -> Field {
    field(name, number, Kind::Message(message))
}

const fn messages(name: &'static str, number: u32, of: &'static Message) -> Field {
    Field { presence: Presence::Repeated, ..message(name, number, of) }
}

const fn explicit(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { presence: Presence::Explicit, ..field(name, number, kind) }
}

const fn repeated(name: &'static str, number: u32, kind: Kind) -> Field {
    Field { presence: Presence::Repeated, ..field(name, number, kind) }
}

pub(super) static TRACES: Message = Message { fields: &[messages("resourceSpans", 1, &RESOURCE_SPANS)] };

pub(super) static RESOURCE_SPANS: Message = Message {
    fields: &[
        message("resource", 1, &RESOURCE),
        messages("scopeSpans", 2, &SCOPE_SPANS),
        text("schemaUrl", 3),
    ],
};

static SCOPE_SPANS: Message =
    Message { fields: &[message("scope", 1, &SCOPE), messages("spans", 2, &SPAN), text("schemaUrl", 3)] };

static SPAN: Message = Message {
    fields: &[
        field("traceId", 1, Kind::Id),
        field("spanId", 2, Kind::Id),
        text("traceState", 3),
        field("parentSpanId", 4, Kind::Id),
        text("name", 5),
        field("kind", 6, Kind::Enum(&SPAN_KIND)),
        integer("startTimeUnixNano", 7, Integer::Fixed64),
        integer("endTimeUnixNano", 8, Integer::Fixed64),
        messages("attributes", 9, &KEY_VALUE),
        integer("droppedAttributesCount", 10, Integer::Uint32),
        messages("events", 11, &EVENT),
        integer("droppedEventsCount", 12, Integer::Uint32),
        messages("links", 13, &LINK),
        integer("droppedLinksCount", 14, Integer::Uint32),
        message("status", 15, &STATUS),
        integer("flags", 16, Integer::Fixed32),
    ],
};

static SPAN_KIND: Enum = Enum {
    prefix: "SPAN_KIND_",
    names: &["UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"],
};

static EVENT: Message = Message {
    fields: &[
        integer("timeUnixNano", 1, Integer::Fixed64),
        text("name", 2),
        messages("attributes", 3, &KEY_VALUE),
        integer("droppedAttributesCount", 4, Integer::Uint32),
    ],
};

static LINK: Message = Message {
    fields: &[
        field("traceId", 1, Kind::Id),
        field("spanId", 2, Kind::Id),
        text("traceState", 3),
        messages("attributes", 4, &KEY_VALUE),
        integer("droppedAttributesCount", 5, Integer::Uint32),
        integer("flags", 6, Integer::Fixed32),
    ],
};

static STATUS: Message =
    Message { fields: &[text("message", 2), field("code", 3, Kind::Enum(&STATUS_CODE))] };

static STATUS_CODE: Enum = Enum { prefix: "STATUS_CODE_", names: &["UNSET", "OK", "ERROR"] };

static RESOURCE: Message = Message {
    fields: &[
        messages("attributes", 1, &KEY_VALUE),
        integer("droppedAttributesCount", 2, Integer::Uint32),
        messages("entityRefs", 3, &ENTITY_REF),
    ],
};

static ENTITY_REF: Message = Message {
    fields: &[
        text("schemaUrl", 1),
        text("type", 2),
        repeated("idKeys", 3, Kind::Text),
        repeated("descriptionKeys", 4, Kind::Text),
    ],
};

static SCOPE: Message = Message {
    fields: &[
        text("name", 1),
        text("version", 2),
        messages("attributes", 3, &KEY_VALUE),
        integer("droppedAttributesCount", 4, Integer::Uint32),
    ],
};

static KEY_VALUE: Message = Message { fields: &[text("key", 1), message("value", 2, &ANY_VALUE)] };

pub(super) static ANY_VALUE: Message = Message {
    fields: &[
        explicit("stringValue", 1, Kind::Text),
        explicit("boolValue", 2, Kind::Bool),
        explicit("intValue", 3, Kind::IntegerOrDouble(Integer::Int64, 4)),
        explicit("doubleValue", 4, Kind::Double),
        message("arrayValue", 5, &ARRAY_VALUE),
        message("kvlistValue", 6, &KEY_VALUE_LIST),
        explicit("bytesValue", 7, Kind::Bytes),
    ],
};

pub(super) static ARRAY_VALUE: Message =
    Message { fields: &[Field { presence: Presence::Values, ..message("values", 1, &ANY_VALUE) }] };

pub(super) static KEY_VALUE_LIST: Message = Message { fields: &[messages("values", 1, &KEY_VALUE)] };

pub(super) static LOGS: Message = Message { fields: &[messages("resourceLogs", 1, &RESOURCE_LOGS)] };

static RESOURCE_LOGS: Message = Message {
    fields: &[message("resource", 1, &RESOURCE), messages("scopeLogs", 2, &SCOPE_LOGS), text("schemaUrl", 3)],
};

static SCOPE_LOGS: Message = Message {
    fields: &[message("scope", 1, &SCOPE), messages("logRecords", 2, &LOG_RECORD), text("schemaUrl", 3)],
};

static LOG_RECORD: Message = Message {
    fields: &[
        integer("timeUnixNano", 1, Integer::Fixed64),
        integer("observedTimeUnixNano", 11, Integer::Fixed64),
        field("severityNumber", 2, Kind::Enum(&SEVERITY_NUMBER)),
        text("severityText", 3),
        message("body", 5, &ANY_VALUE),
        messages("attributes", 6, &KEY_VALUE),
        integer("droppedAttributesCount", 7, Integer::Uint32),
        integer("flags", 8, Integer::Fixed32),
        field("traceId", 9, Kind::Id),
        field("spanId", 10, Kind::Id),
        text("eventName", 12),
    ],
};

static SEVERITY_NUMBER: Enum = Enum {
    prefix: "SEVERITY_NUMBER_",
    names: &[
        "UNSPECIFIED",
        "TRACE",
        "TRACE2",
        "TRACE3",
        "TRACE4",
        "DEBUG",
        "DEBUG2",
        "DEBUG3",
        "DEBUG4",
        "INFO",
        "INFO2",
        "INFO3",
        "INFO4",
        "WARN",
        "WARN2",
        "WARN3",
        "WARN4",
        "ERROR",
        "ERROR2",
        "ERROR3",
        "ERROR4",
        "FATAL",
        "FATAL2",
        "FATAL3",
        "FATAL4",
    ],
};

pub(super) static METRICS: Message = Message { fields: &[messages("resourceMetrics", 1, &RESOURCE_METRICS)] };

static RESOURCE_METRICS: Message = Message {
    fields: &[
        message("resource", 1, &RESOURCE),
        messages("scopeMetrics", 2, &SCOPE_METRICS),
        text("schemaUrl", 3),
    ],
};

static SCOPE_METRICS: Message =
    Message { fields: &[message("scope", 1, &SCOPE), messages("metrics", 2, &METRIC), text("schemaUrl", 3)] };

static METRIC: Message = Message {
    fields: &[
        text("name", 1),
        text("description", 2),
        text("unit", 3),
        message("gauge", 5, &GAUGE),
        message("sum", 7, &SUM),
        message("histogram", 9, &HISTOGRAM),
        message("exponentialHistogram", 10, &EXPONENTIAL_HISTOGRAM),
        message("summary", 11, &SUMMARY),
        messages("metadata", 12, &KEY_VALUE),
    ],
};

static TEMPORALITY: Enum =
    Enum { prefix: "AGGREGATION_TEMPORALITY_", names: &["UNSPECIFIED", "DELTA", "CUMULATIVE"] };

static GAUGE: Message = Message { fields: &[messages("dataPoints", 1, &NUMBER_DATA_POINT)] };

static SUM: Message = Message {
    fields: &[
        messages("dataPoints", 1, &NUMBER_DATA_POINT),
        field("aggregationTemporality", 2, Kind::Enum(&TEMPORALITY)),
        field("isMonotonic", 3, Kind::Bool),
    ],
};

static HISTOGRAM: Message = Message {
    fields: &[
        messages("dataPoints", 1, &HISTOGRAM_DATA_POINT),
        field("aggregationTemporality", 2, Kind::Enum(&TEMPORALITY)),
    ],
};

static EXPONENTIAL_HISTOGRAM: Message = Message {
    fields: &[
        messages("dataPoints", 1, &EXPONENTIAL_HISTOGRAM_DATA_POINT),
        field("aggregationTemporality", 2, Kind::Enum(&TEMPORALITY)),
    ],
};

static SUMMARY: Message = Message { fields: &[messages("dataPoints", 1, &SUMMARY_DATA_POINT)] };

static NUMBER_DATA_POINT: Message = Message {
    fields: &[
        messages("attributes", 7, &KEY_VALUE),
        integer("startTimeUnixNano", 2, Integer::Fixed64),
        integer("timeUnixNano", 3, Integer::Fixed64),
        explicit("asDouble", 4, Kind::Double),
        explicit("asInt", 6, Kind::IntegerOrDouble(Integer::Sfixed64, 4)),
        messages("exemplars", 5, &EXEMPLAR),
        integer("flags", 8, Integer::Uint32),
    ],
};

static HISTOGRAM_DATA_POINT: Message = Message {
    fields: &[
        messages("attributes", 9, &KEY_VALUE),
        integer("startTimeUnixNano", 2, Integer::Fixed64),
        integer("timeUnixNano", 3, Integer::Fixed64),
        integer("count", 4, Integer::Fixed64),
        explicit("sum", 5, Kind::Double),
        repeated("bucketCounts", 6, Kind::Integer(Integer::Fixed64)),
        repeated("explicitBounds", 7, Kind::Double),
        messages("exemplars", 8, &EXEMPLAR),
        integer("flags", 10, Integer::Uint32),
        explicit("min", 11, Kind::Double),
        explicit("max", 12, Kind::Double),
    ],
};

static EXPONENTIAL_HISTOGRAM_DATA_POINT: Message = Message {
    fields: &[
        messages("attributes", 1, &KEY_VALUE),
        integer("startTimeUnixNano", 2, Integer::Fixed64),
        integer("timeUnixNano", 3, Integer::Fixed64),
        integer("count", 4, Integer::Fixed64),
        explicit("sum", 5, Kind::Double),
        integer("scale", 6, Integer::Sint32),
        integer("zeroCount", 7, Integer::Fixed64),
        message("positive", 8, &BUCKETS),
        message("negative", 9, &BUCKETS),
        integer("flags", 10, Integer::Uint32),
        messages("exemplars", 11, &EXEMPLAR),
        explicit("min", 12, Kind::Double),
        explicit("max", 13, Kind::Double),
        field("zeroThreshold", 14, Kind::Double),
    ],
};

static BUCKETS: Message = Message {
    fields: &[
        integer("offset", 1, Integer::Sint32),
        repeated("bucketCounts", 2, Kind::Integer(Integer::Uint64)),
    ],
};

static SUMMARY_DATA_POINT: Message = Message {
    fields: &[
        messages("attributes", 7, &KEY_VALUE),
        integer("startTimeUnixNano", 2, Integer::Fixed64),
        integer("timeUnixNano", 3, Integer::Fixed64),
        integer("count", 4, Integer::Fixed64),
        field("sum", 5, Kind::Double),
        messages("quantileValues", 6, &VALUE_AT_QUANTILE),
        integer("flags", 8, Integer::Uint32),
    ],
};

static VALUE_AT_QUANTILE: Message =
    Message { fields: &[field("quantile", 1, Kind::Double), field("value", 2, Kind::Double)] };

static EXEMPLAR: Message = Message {
    fields: &[
        messages("filteredAttributes", 7, &KEY_VALUE),
        integer("timeUnixNano", 2, Integer::Fixed64),
        explicit("asDouble", 3, Kind::Double),
        explicit("asInt", 6, Kind::IntegerOrDouble(Integer::Sfixed64, 3)),
        field("spanId", 4, Kind::Id),
        field("traceId", 5, Kind::Id),
    ],
};
