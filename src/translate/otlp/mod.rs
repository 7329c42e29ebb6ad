//! Spans as OTLP: in the bytes they came in, or, if they came in Jaeger's or Zipkin's words, as OpenTelemetry's
//! translators say them.
//!
//! Promise: what came as OTLP leaves as it came, byte for byte: spans, resources and scopes, unknown fields included.
//! What came in other words leaves as OTLP that says the same once: a tag that a field says is not said again, and no
//! attribute that only this program understands is among the others.
//!
//! Limits: a message has at most the spans and the bytes that it may have, and never none; a span that is too large
//! alone is cut, and an attribute says so.
//!
//! Source: opentelemetry-collector-contrib `pkg/translator/jaeger`, `pkg/translator/zipkin`; jaeger-idl `proto/storage/v2/trace_storage.proto`.

mod for_others;
mod from_jaeger;
mod from_zipkin;
mod messages;
#[cfg(test)]
mod tests;
mod view;

use crate::model::{Origin, Span};

pub use for_others::for_others;
pub use messages::messages;
pub use view::{has_links, view};

/// What surrounds a span that came in other words, and what it says.
#[derive(Debug)]
pub(super) struct Said {
    /// An `InstrumentationScope` message; empty when no tag says anything of one.
    pub(super) scope: Vec<u8>,
    /// A `Span` message.
    pub(super) body: Vec<u8>,
}

/// A span as OTLP; `None` if it is already.
pub(super) fn said(span: &Span) -> Option<Said> {
    match span.origin {
        Origin::Otlp => None,
        Origin::Jaeger => Some(from_jaeger::said(span)),
        Origin::Zipkin => Some(from_zipkin::said(span)),
    }
}
