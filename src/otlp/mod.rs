//! OTLP's bytes: scanned in place, never turned into a tree of owned structs.
//!
//! Promise: what is accepted is kept byte for byte; what is read is bounded by the bytes at hand. Nothing
//! here allocates by a length that was only announced, recurses deeper than its limit, or panics.
//!
//! Limits: attribute values nest at most [`MAX_VALUE_DEPTH`] levels; a span has at most [`Limits::max_span_bytes`] and
//! [`MAX_VALUES`]; a resource or a scope has at most [`MAX_ENCLOSING_BYTES`] and [`MAX_VALUES`]. A span beyond them, or
//! one that could not be found again (no valid ids), is rejected alone; only what is wrong around the spans, or half a
//! million of resources, scopes and unusable spans, fails a request as a whole. A view of what is accepted takes at most
//! about fifty times the bytes that it shows.
//!
//! Does not know: I/O, who sent the bytes, where they go.
//!
//! Source: opentelemetry-proto 1.10, `trace/v1/trace.proto`, `common/v1/common.proto`, `resource/v1/resource.proto`.

#[cfg(test)]
pub(crate) mod arbitrary;
mod check;
mod count;
mod damage;
mod derived;
pub mod json;
#[cfg(test)]
mod parity;
mod scan;
mod text;
mod view;
mod walk;
mod wire;
pub mod write;

pub use count::{count_data_points, count_log_records};
pub use damage::ScanError;
pub use derived::derived_attributes;
pub use scan::{Scanned, accepted_spans, identified_spans, scan, spans, without_rejected};
pub use view::{AnyValue, EventView, KeyValue, LinkView, ResourceView, ScopeView, SpanView};
pub use walk::origin;
pub use wire::{Fields, Value, WireError, WireErrorKind};

/// How many levels of array and key-value list an attribute's value may have.
pub const MAX_VALUE_DEPTH: usize = 32;

/// How many attributes, events, links and members of arrays and key-value lists a span, a resource or a scope may have,
/// all counted together.
///
/// An empty one takes two bytes on the wire and up to 80 in memory once it is viewed: without this limit a request of a
/// few kilobytes packed becomes hundreds of megabytes. SDKs stop at 128 attributes, events and links unless told
/// otherwise; here is room for 500 times as many.
pub const MAX_VALUES: usize = 64 << 10;

/// The longest `Resource` or `InstrumentationScope` message that is accepted, in bytes, all its pieces together.
///
/// It is read and hashed with every span that it encloses, however short those are. Real ones have a few kilobytes.
pub const MAX_ENCLOSING_BYTES: usize = 1 << 20;

/// How many resources, scopes and unusable spans a request may have, all counted together.
///
/// An empty one takes two bytes on the wire, and a few bytes packed: without this limit a request of ten kilobytes keeps a
/// processor busy for as long as one of 20 MiB of real spans. One real span with a resource and a scope of its own takes
/// more than eighty bytes, so that as many as a request has room for are taken.
pub(crate) const MAX_USELESS: usize = 512 << 10;

/// How many fields a `ResourceSpans` or `ScopeSpans` may have, spans and pieces of its resource or scope among them: more
/// than a request has room for if they are real.
pub(crate) const MAX_FIELDS_AROUND: usize = 1 << 20;

/// The field of `ResourceSpans` that says whose words its spans came in ([`crate::model::Origin`], as its number): what
/// is translated on its way in is kept as OTLP, and this tells it from what came as OTLP. Others' decoders skip it.
pub const ORIGIN_FIELD: u32 = 21_107;

/// The field of a `Span` whose words were Zipkin's that says what no field of OTLP can: bits, drawn in
/// `translate::zipkin`. Others' decoders skip it.
pub const ZIPKIN_FIELD: u32 = 21_108;

/// The bit of [`ZIPKIN_FIELD`] that says that the span has the id of another, of who asked.
pub const ZIPKIN_SHARED: u64 = 1;

/// Attributes whose keys begin so carry what OTLP has no field for: Jaeger's warnings, and what else a span in Jaeger's
/// words says (`translate::jaeger`). Of such spans readers get their meaning, never the attributes, and nobody can search
/// for them; spans that came as OTLP keep them as they keep all others.
pub const RESERVED: &str = "@jaeger@";

/// Whether an attribute of this key is [`RESERVED`], hence hidden.
pub fn is_reserved(key: &str) -> bool {
    key.starts_with(RESERVED)
}

/// How much is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest `Span` message that is accepted, in bytes.
    pub max_span_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_span_bytes: 4 << 20 }
    }
}
