//! Zipkin's words of version 1, as JSON and as thrift: what a server did is two annotations.

use serde_json::json;
use thrift::protocol::TType;

use super::batch::{SERVICE, Span};
use super::jaeger_thrift::call;
use super::thrift_fields::{Out, field, integer, list, structure, structures, text};
use super::zipkin::{ADDRESS, PORT, json_endpoint, tags};

/// `AnnotationType.STRING`.
const STRING: i32 = 6;

pub(crate) fn json(spans: &[Span]) -> serde_json::Value {
    spans.iter().map(json_span).collect()
}

/// A list of `zipkincore.Span`, as it is sent by HTTP.
pub(crate) fn thrift(out: Out<'_>, spans: &[Span]) -> thrift::Result<()> {
    structures(out, spans, span)
}

/// `Agent.emitZipkinBatch`.
pub(crate) fn emit_batch(out: Out<'_>, spans: &[Span]) -> thrift::Result<()> {
    call(out, "emitZipkinBatch", TType::List, |out| thrift(out, spans))
}

/// When the server began and ended, in microseconds.
fn annotations(span: &Span) -> [(u64, &'static str); 2] {
    let start = span.start / 1_000;
    [(start, "sr"), (start + span.duration / 1_000, "ss")]
}

fn json_span(span: &Span) -> serde_json::Value {
    let endpoint = json_endpoint();
    let annotation =
        |(timestamp, value)| json!({"timestamp": timestamp, "value": value, "endpoint": endpoint});
    let binary = |(key, value)| json!({"key": key, "value": value, "endpoint": endpoint});
    let mut said = json!({
        "traceId": format!("{:032x}", span.trace_id),
        "id": format!("{:016x}", span.id),
        "name": span.name,
        "timestamp": span.start / 1_000,
        "duration": span.duration / 1_000,
        "annotations": annotations(span).map(annotation),
        "binaryAnnotations": tags(span).into_iter().map(binary).collect::<Vec<_>>(),
    });
    if span.parent_id != 0 {
        said["parentId"] = format!("{:016x}", span.parent_id).into();
    }
    said
}

fn span(out: Out<'_>, span: &Span) -> thrift::Result<()> {
    let tags: Vec<_> = tags(span).into_iter().collect();
    structure(out, |out| {
        integer(out, 1, span.trace_id as i64)?;
        text(out, 3, &span.name)?;
        integer(out, 4, span.id as i64)?;
        if span.parent_id != 0 {
            integer(out, 5, span.parent_id as i64)?;
        }
        list(out, 6, &annotations(span), |out, each| annotation(out, *each))?;
        list(out, 8, &tags, |out, (key, value)| binary_annotation(out, key, value))?;
        integer(out, 10, (span.start / 1_000) as i64)?;
        integer(out, 11, (span.duration / 1_000) as i64)?;
        integer(out, 12, (span.trace_id >> 64) as i64)
    })
}

fn annotation(out: Out<'_>, (timestamp, value): (u64, &str)) -> thrift::Result<()> {
    structure(out, |out| {
        integer(out, 1, timestamp as i64)?;
        text(out, 2, value)?;
        field(out, 3, TType::Struct, endpoint)
    })
}

fn binary_annotation(out: Out<'_>, key: &str, value: &str) -> thrift::Result<()> {
    structure(out, |out| {
        text(out, 1, key)?;
        text(out, 2, value)?;
        field(out, 3, TType::I32, |out| out.write_i32(STRING))?;
        field(out, 4, TType::Struct, endpoint)
    })
}

fn endpoint(out: Out<'_>) -> thrift::Result<()> {
    structure(out, |out| {
        field(out, 1, TType::I32, |out| out.write_i32(i32::from_be_bytes(ADDRESS)))?;
        field(out, 2, TType::I16, |out| out.write_i16(PORT.cast_signed()))?;
        text(out, 3, SERVICE[0].1)
    })
}
