//! OTLP's bytes: scanned in place, never turned into a tree of owned structs.
//!
//! Promise: what is accepted is kept byte for byte; what is read is bounded by the bytes at hand. Nothing
//! here allocates by a length that was only announced, recurses deeper than its limit, or panics.
//!
//! Limits: attribute values nest at most [`MAX_VALUE_DEPTH`] levels.
//!
//! Does not know: I/O, who sent the bytes, where they go.
//!
//! Source: opentelemetry-proto 1.10, `trace/v1/trace.proto`, `common/v1/common.proto`, `resource/v1/resource.proto`.

mod view;
mod wire;

pub use view::{AnyValue, EventView, KeyValue, LinkView, ResourceView, ScopeView, SpanView};
pub use wire::{Fields, Value, WireError, WireErrorKind};

/// How many levels of array and key-value list an attribute's value may have.
pub const MAX_VALUE_DEPTH: usize = 32;
