//! What OTLP has fields of its own for and other tracing systems know as attributes.

use std::borrow::Cow;

use super::{AnyValue, KeyValue, ScopeView, SpanView};
use crate::model::{Span, StatusCode};

/// A span's fields as the attributes that other systems show and search them by; `None` where the field says nothing.
/// The scope's two come first: they are shown before what was sent.
///
/// Source: opentelemetry.io, "Compatibility: OpenTelemetry to non-OTLP exporters" and "OpenTelemetry to Jaeger".
pub fn derived_attributes<'a>(
    span: &Span,
    body: &SpanView<'a>,
    scope: &ScopeView<'a>,
) -> [Option<KeyValue<'a>>; 7] {
    let status = match span.status {
        StatusCode::Unset => Cow::Borrowed(""),
        StatusCode::Ok | StatusCode::Error => Cow::Owned(span.status.name().to_ascii_uppercase()),
    };
    let error = KeyValue { key: Cow::Borrowed("error"), value: AnyValue::Bool(true) };
    [
        text("otel.scope.name", scope.name.clone()),
        text("otel.scope.version", scope.version.clone()),
        text("span.kind", Cow::Borrowed(span.kind.name())),
        text("otel.status_code", status),
        (span.status == StatusCode::Error).then_some(error),
        text("otel.status_description", body.status_message.clone()),
        text("w3c.tracestate", body.trace_state.clone()),
    ]
}

fn text<'a>(key: &'static str, text: Cow<'a, str>) -> Option<KeyValue<'a>> {
    let is_said = !text.is_empty();
    is_said.then_some(KeyValue { key: Cow::Borrowed(key), value: AnyValue::String(text) })
}
