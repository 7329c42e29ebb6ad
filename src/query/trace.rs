//! A trace as it is handed out: its spans in order of time, each once.

use crate::model::{Span, TraceId};
use crate::store::TraceRows;

/// The spans of one trace, by start, then span id; never empty when it comes from [`crate::query::Query`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Trace {
    /// Its id.
    pub id: TraceId,
    /// Its spans. Different spans may share a span id; no span is here twice.
    pub spans: Vec<Span>,
    /// True when the trace was larger than one answer may be: spans are missing.
    pub cut: bool,
}

impl Trace {
    /// Puts spans of one trace in order and drops what came twice (same span id and content hash).
    pub fn new(id: TraceId, mut spans: Vec<Span>) -> Self {
        spans.sort_unstable_by_key(|span| (span.start, span.span_id, span.content_hash));
        spans.dedup_by_key(|span| (span.span_id, span.content_hash));
        Self { id, spans, cut: false }
    }

    /// The trace that was read.
    pub(super) fn of_rows(id: TraceId, rows: TraceRows) -> Self {
        Self { cut: rows.cut, ..Self::new(id, rows.spans) }
    }
}
