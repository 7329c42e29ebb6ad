//! The JSON that Jaeger's query API speaks (v1): traces as it says them, and the words it asks with.
//!
//! [`trace`] says the spans of one trace. By default the trace is adjusted as Jaeger 1.76 adjusts what it shows
//! ([`adjust`]); [`View::Raw`] leaves that out. Storage is never altered: both are views of the same bytes.
//!
//! What Jaeger has no word for is left out: dropped counts, schema urls, scope attributes, trace state and
//! attributes of links. Lists and maps become JSON text. `parentSpanID` is never written: it is deprecated, only
//! Jaeger's own clients ever set it, and the parent is the first `CHILD_OF` reference.
//!
//! A span that came in Jaeger's words is said as it was sent, and nothing of it twice. JSON has no time before 1970 and
//! no negative duration; those are shown as 0.
//!
//! A span without a service still needs a name here. As in Jaeger 2 the name says what was wrong, see
//! [`NO_SERVICE`].
//!
//! Source: jaeger-idl `model.proto`; Jaeger `model/json`; opentelemetry-collector-contrib `pkg/translator/jaeger`.

pub mod adjust;
mod duration;
mod record;
mod sent;
mod tags;
#[cfg(test)]
mod tests;
mod words;

pub use duration::{DurationError, parse_duration};
pub use record::{Log, Process, Reference, ReferenceType, Span, Tag, Trace, Value};
pub use tags::{TagError, parse_tag, parse_tags};
pub(super) use words::said;
pub use words::{NO_SERVICE, asked_services, hex_trace_id, shown_service, warnings};

use crate::model;

/// How much is done to a trace before it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// As Jaeger shows it: [`adjust::all`] was applied.
    Adjusted,
    /// As it was sent.
    Raw,
}

/// The trace object of spans that share one trace id, in the order given.
pub fn trace(spans: &[model::Span], view: View) -> Trace<'_> {
    let mut trace = words::trace(spans);
    if view == View::Adjusted {
        adjust::all(&mut trace);
    }
    trace
}
