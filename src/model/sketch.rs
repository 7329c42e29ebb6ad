//! Drawn traces as span records, for tests; see [`drawing`] for how they are drawn.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;

use super::{
    Origin, Resource, Scope, Span, SpanId, SpanKind, StatusCode, Timestamp, TraceId, content_hash, drawing,
};

/// When every drawing begins.
pub(crate) const BASE: Timestamp = Timestamp(drawing::BASE_NANOS);

/// This many milliseconds after [`BASE`].
pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp(BASE.nanos() + millis * 1_000_000)
}

/// The id of trace number `number`.
pub(crate) fn trace_id(number: u64) -> TraceId {
    TraceId(u128::from(number).to_be_bytes())
}

/// The id of span number `number`.
pub(crate) fn span_id(number: u64) -> SpanId {
    SpanId(number.to_be_bytes())
}

/// The spans of a drawn trace, in the order of the lines.
pub(crate) fn trace(number: u64, drawing: &str) -> Vec<Span> {
    drawing::draw(number.into(), drawing).iter().map(span).collect()
}

/// The record of a message that brings one span.
pub(crate) fn span(brought: &ResourceSpans) -> Span {
    let scope_spans = &brought.scope_spans[0];
    let message = &scope_spans.spans[0];
    let scope = Bytes::from(scope_spans.scope.as_ref().unwrap().encode_to_vec());
    let (resource, scope) = (resource(brought), Scope { bytes: scope, schema_url: String::new() });
    let body = Bytes::from(message.encode_to_vec());
    Span {
        trace_id: TraceId::from_slice(&message.trace_id).unwrap(),
        span_id: SpanId::from_slice(&message.span_id).unwrap(),
        parent_id: SpanId::from_slice(&message.parent_span_id),
        start: Timestamp(message.start_time_unix_nano),
        end: Timestamp(message.end_time_unix_nano),
        kind: SpanKind::from_number(message.kind as u64),
        status: StatusCode::from_number(message.status.as_ref().map_or(0, |status| status.code as u64)),
        origin: Origin::Otlp,
        flags: message.flags,
        content_hash: content_hash(&resource, &scope, &body),
        resource: Arc::new(resource),
        scope: Arc::new(scope),
        body,
    }
}

fn resource(brought: &ResourceSpans) -> Resource {
    let message = brought.resource.as_ref().unwrap();
    let named = message.attributes.iter().find(|pair| pair.key == "service.name");
    let service = match named.and_then(|pair| pair.value.clone()?.value) {
        Some(Value::StringValue(name)) => name,
        _ => String::new(),
    };
    let schema_url = "https://opentelemetry.io/schemas/1.30.0".into();
    Resource { bytes: message.encode_to_vec().into(), schema_url, service }
}
