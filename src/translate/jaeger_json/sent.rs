//! Spans that came in Jaeger's words, in the shapes of its JSON.

use std::borrow::Cow;

use bytes::Bytes;

use super::record::{Log, Process, Reference, ReferenceType, Span, Tag, Value};
use super::words::{ENDS_EARLY, service_name};
use crate::model::{self, Resource, SpanId, Timestamp, TraceId};
use crate::otlp::ResourceView;
use crate::proto::jaeger::api_v2::{self, KeyValue, SpanRef, SpanRefType, ValueType};
use crate::translate::jaeger::{kept, kept_process, nearest};

/// A process without a name is called as any service without one.
pub(super) fn process(resource: &Resource) -> Process<'_> {
    Process {
        service_name: service_name(resource, &ResourceView::read(&resource.bytes).attributes),
        tags: kept_process(resource).tags.into_iter().map(tag).collect(),
    }
}

pub(super) fn span<'a>(span: &'a model::Span, process: usize) -> Span<'a> {
    let sent = kept(span);
    let mut warnings: Vec<_> = sent.warnings.iter().map(text).collect();
    if sent.duration.is_some_and(|duration| duration.seconds < 0 || duration.nanos < 0) {
        warnings.push(ENDS_EARLY.into());
    }
    Span {
        trace_id: span.trace_id,
        span_id: span.span_id,
        flags: sent.flags,
        operation_name: text(&sent.operation_name),
        references: sent.references.iter().map(reference).collect(),
        start: span.start,
        duration: span.end.nanos().saturating_sub(span.start.nanos()),
        tags: sent.tags.into_iter().map(tag).collect(),
        logs: sent.logs.into_iter().map(log).collect(),
        process,
        warnings,
    }
}

fn log<'a>(log: api_v2::Log) -> Log<'a> {
    let timestamp = Timestamp(log.timestamp.as_ref().map_or(0, nearest));
    Log { timestamp, fields: log.fields.into_iter().map(tag).collect() }
}

fn reference(reference: &SpanRef) -> Reference {
    let ref_type = match SpanRefType::try_from(reference.ref_type) {
        Ok(SpanRefType::ChildOf) => ReferenceType::ChildOf,
        Ok(SpanRefType::FollowsFrom) | Err(_) => ReferenceType::FollowsFrom,
    };
    Reference {
        ref_type,
        trace_id: TraceId::from_slice(&reference.trace_id).unwrap_or_default(),
        span_id: SpanId::from_slice(&reference.span_id).unwrap_or_default(),
    }
}

fn tag<'a>(tag: KeyValue) -> Tag<'a> {
    let value = match ValueType::try_from(tag.v_type) {
        Ok(ValueType::String) | Err(_) => Value::String(text(&tag.v_str)),
        Ok(ValueType::Bool) => Value::Bool(tag.v_bool),
        Ok(ValueType::Int64) => Value::Int64(tag.v_int64),
        Ok(ValueType::Float64) => Value::Float64(f64::from_bits(tag.v_float64)),
        Ok(ValueType::Binary) => Value::Binary(Cow::Owned(tag.v_binary.into())),
    };
    Tag { key: text(&tag.key), value }
}

fn text<'a>(text: &Bytes) -> Cow<'a, str> {
    Cow::Owned(String::from_utf8_lossy(text).into_owned())
}
