//! OTLP in Jaeger's words: the shapes of [`jaeger_json`], where the rules are stated, as protobuf.

use bytes::Bytes;

use super::checked::BILLION;
use crate::model;
use crate::proto::jaeger::api_v2::{KeyValue, Log, Process, Span, SpanRef, SpanRefType, ValueType};
use crate::translate::jaeger_json::{self, Reference, ReferenceType, Tag, Value};

/// The span by Jaeger's rules.
pub(super) fn span(span: &model::Span) -> Span {
    let (said, process) = jaeger_json::said(span);
    spelled(&said, self::process(&process))
}

/// The spans of a trace as Jaeger shows them.
pub(super) fn adjusted(spans: &[model::Span]) -> impl Iterator<Item = Span> {
    let trace = jaeger_json::trace(spans, jaeger_json::View::Adjusted);
    let processes: Vec<Process> = trace.processes.iter().map(process).collect();
    trace.spans.into_iter().map(move |span| spelled(&span, processes[span.process].clone()))
}

fn process(process: &jaeger_json::Process<'_>) -> Process {
    Process { service_name: text(&process.service_name), tags: process.tags.iter().map(tag).collect() }
}

fn spelled(said: &jaeger_json::Span<'_>, process: Process) -> Span {
    Span {
        trace_id: Bytes::copy_from_slice(&said.trace_id.0),
        span_id: Bytes::copy_from_slice(&said.span_id.0),
        operation_name: text(&said.operation_name),
        references: said.references.iter().map(reference).collect(),
        flags: said.flags,
        start_time: Some(moment(said.start)),
        duration: Some(duration(said.duration)),
        tags: said.tags.iter().map(tag).collect(),
        logs: said.logs.iter().map(log).collect(),
        process: Some(process),
        process_id: Bytes::new(),
        warnings: said.warnings.iter().map(|warning| text(warning)).collect(),
    }
}

/// A time since 1970; none of 64 bits is later than the year 2554.
pub(super) fn moment(time: model::Timestamp) -> prost_types::Timestamp {
    let (seconds, nanos) = (time.nanos() / BILLION as u64, time.nanos() % BILLION as u64);
    prost_types::Timestamp { seconds: seconds as i64, nanos: nanos as i32 }
}

/// A duration as Go holds it: longer than 292 years is none.
pub(super) fn duration(nanos: u64) -> prost_types::Duration {
    let nanos = i64::try_from(nanos).unwrap_or(i64::MAX);
    prost_types::Duration { seconds: nanos / BILLION, nanos: (nanos % BILLION) as i32 }
}

fn log(log: &jaeger_json::Log<'_>) -> Log {
    Log { timestamp: Some(moment(log.timestamp)), fields: log.fields.iter().map(tag).collect() }
}

fn reference(reference: &Reference) -> SpanRef {
    let ref_type = match reference.ref_type {
        ReferenceType::ChildOf => SpanRefType::ChildOf,
        ReferenceType::FollowsFrom => SpanRefType::FollowsFrom,
    };
    SpanRef {
        trace_id: Bytes::copy_from_slice(&reference.trace_id.0),
        span_id: Bytes::copy_from_slice(&reference.span_id.0),
        ref_type: ref_type.into(),
    }
}

fn tag(tag: &Tag<'_>) -> KeyValue {
    let typed =
        |v_type: ValueType| KeyValue { key: text(&tag.key), v_type: v_type.into(), ..KeyValue::default() };
    match &tag.value {
        Value::String(value) => KeyValue { v_str: text(value), ..typed(ValueType::String) },
        Value::Bool(value) => KeyValue { v_bool: *value, ..typed(ValueType::Bool) },
        Value::Int64(value) => KeyValue { v_int64: *value, ..typed(ValueType::Int64) },
        Value::Float64(value) => KeyValue { v_float64: value.to_bits(), ..typed(ValueType::Float64) },
        Value::Binary(value) => {
            KeyValue { v_binary: Bytes::copy_from_slice(value), ..typed(ValueType::Binary) }
        }
    }
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
