//! What a trace is: ids, times, resources, scopes and the span record that everything else passes along.
//!
//! Promise: these are plain values. They do no I/O, never fail, and mean the same on every floor.
//!
//! A [`Span`] is a small header beside the OTLP `Span` message *as it arrived*: the header is what is
//! indexed and compared, the body is what is given back. What stands inside the body is read where it is
//! needed with [`crate::otlp`]'s view, never here.
//!
//! Does not know: files, sockets, other people's formats, the time of day.

#[cfg(test)]
mod drawing;
mod id;
#[cfg(test)]
pub(crate) mod sketch;
mod span;
mod time;

pub use id::{ParseIdError, SpanId, TraceId};
pub use span::{ContentHasher, Origin, Resource, Scope, Span, SpanKind, StatusCode, content_hash};
pub use time::{Clock, Timestamp};
