//! Spans as OTLP: in the bytes they came in, or, if they came in Jaeger's words, as Jaeger's translator says them.
//!
//! Promise: what came as OTLP leaves as it came, byte for byte: spans, resources and scopes, unknown fields included.
//! What came in Jaeger's words leaves as OTLP that says the same once: a tag that a field says is not said again, and no
//! attribute that only this program understands is among the others.
//!
//! Limits: a message has at most the spans and the bytes that it may have, and never none; a span that is too large
//! alone is cut, and an attribute says so.
//!
//! Source: opentelemetry-collector-contrib `pkg/translator/jaeger`; jaeger-idl `proto/storage/v2/trace_storage.proto`.

mod for_others;
mod from_jaeger;
mod messages;
#[cfg(test)]
mod tests;
mod view;

pub use for_others::for_others;
pub use messages::messages;
pub use view::{has_links, view};
