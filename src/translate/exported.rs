//! The tags in which OpenTelemetry's exporters say what Jaeger and Zipkin have no fields for.
//!
//! Source: opentelemetry.io, "OpenTelemetry to non-OTLP exporters", "OpenTelemetry to Zipkin".

use crate::model::StatusCode;

pub(super) const SPAN_KIND: &[u8] = b"span.kind";
pub(super) const ERROR: &[u8] = b"error";
pub(super) const STATUS_CODE: &[u8] = b"otel.status_code";
pub(super) const STATUS_DESCRIPTION: &[u8] = b"otel.status_description";
pub(super) const TRACE_STATE: &[u8] = b"w3c.tracestate";
/// The second is what exporters wrote before there were scopes.
pub(super) const SCOPE_NAMES: [&[u8]; 2] = [b"otel.scope.name", b"otel.library.name"];
pub(super) const SCOPE_VERSIONS: [&[u8]; 2] = [b"otel.scope.version", b"otel.library.version"];

/// What the tag [`STATUS_CODE`] says.
pub(super) fn status_code(word: &[u8]) -> Option<StatusCode> {
    let codes = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error];
    codes.into_iter().find(|code| word.eq_ignore_ascii_case(code.name().as_bytes()))
}
