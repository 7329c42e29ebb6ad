//! What OTLP has fields of its own for and other tracing systems know as attributes.

use std::borrow::Cow;

use super::{AnyValue, KeyValue, ScopeView, SpanView};
use crate::model::{Span, StatusCode};

/// A span's fields as the attributes that other systems show and search them by; empty where the field says nothing.
/// The scope's two come first: they are shown before what was sent.
///
/// Source: opentelemetry.io, "Compatibility: OpenTelemetry to non-OTLP exporters" and "OpenTelemetry to Jaeger".
pub fn derived_attributes<'a>(span: &Span, body: &SpanView<'a>, scope: &ScopeView<'a>) -> [KeyValue<'a>; 7] {
    let status = match span.status {
        StatusCode::Unset => Cow::Borrowed(""),
        StatusCode::Ok | StatusCode::Error => Cow::Owned(span.status.name().to_ascii_uppercase()),
    };
    let is_error = span.status == StatusCode::Error;
    let error = if is_error { AnyValue::Bool(true) } else { AnyValue::Empty };
    [
        text("otel.scope.name", scope.name.clone()),
        text("otel.scope.version", scope.version.clone()),
        text("span.kind", Cow::Borrowed(span.kind.name())),
        text("otel.status_code", status),
        KeyValue { key: Cow::Borrowed("error"), value: error },
        text("otel.status_description", body.status_message.clone()),
        text("w3c.tracestate", body.trace_state.clone()),
    ]
}

fn text<'a>(key: &'static str, text: Cow<'a, str>) -> KeyValue<'a> {
    let value = if text.is_empty() { AnyValue::Empty } else { AnyValue::String(text) };
    KeyValue { key: Cow::Borrowed(key), value }
}
