//! Questions about stored traces: services, operations, one trace, traces by conditions, who calls whom, how often and
//! how long.
//!
//! Promise: each answer is from one moment and waits for no writer. A search gives whole traces, newest first, and
//! says why it stopped; who asked can call it off.
//!
//! Limits: [`Limits`] bounds how long a search looks, how much it reads and returns, and how large one trace may be;
//! [`metrics`] says how many values it gives, [`expression`] how large a tree of conditions may be.
//!
//! Does not know: HTTP, gRPC, JSON, the time of day.

mod conditions;
pub mod expression;
mod find;
pub mod metrics;
#[cfg(test)]
mod oracle_tests;
mod outline;
#[cfg(test)]
mod search_tests;
mod summary;
#[cfg(test)]
mod tests;
mod trace;
mod views;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Span, SpanId, SpanKind, Timestamp, TraceId};
use crate::store::Store;

pub use crate::store::{Dependency, EdgeKind, PieceLimits, Status, shortened};
pub use conditions::{Conditions, conditions_of_attributes};
pub use expression::Expression;
pub use find::{Cancel, Found, FoundId, FoundIds, Stopped};
pub use outline::{Outline, Row};
pub use summary::{Count, Root, ServiceCount, Summary};
pub use trace::Trace;

/// What can go wrong with a question: only the store beneath it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] crate::store::Error);

/// What one question may cost.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long a search looks before it returns what it has; reading that may take an eighth of it more.
    pub search_time: Duration,
    /// Bytes a search reads while it looks, as they are stored: chunks that are not at hand in memory, filters and
    /// index rows. What crosses the line is read whole.
    pub read_bytes: u64,
    /// Spans that may wait to be looked at before a search opens another run, of up to 50 000; each takes 16 bytes.
    pub candidates: usize,
    /// Bytes of spans a search returns; the trace that crosses the line is still whole.
    pub search_bytes: usize,
    /// Bytes of spans read of one trace; what is beyond is left out and said ([`Trace::cut`]).
    pub trace_bytes: usize,
}

impl Default for Limits {
    /// Ten seconds; 1 GiB, which a slow disk of 100 MB/s gives in that time, of some 20 million spans; 200 000 spans;
    /// 16 MiB; 24 MiB. Several questions are answered at once, in what memory is left beside the rest.
    fn default() -> Self {
        Self {
            search_time: Duration::from_secs(10),
            read_bytes: 1 << 30,
            candidates: 200_000,
            search_bytes: 16 << 20,
            trace_bytes: 24 << 20,
        }
    }
}

/// A name that spans of a service go by, and their kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Operation {
    /// The span name.
    pub name: String,
    /// The span kind.
    pub kind: SpanKind,
}

/// One service calling another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The calling service.
    pub parent: String,
    /// The called service.
    pub child: String,
    /// How often.
    pub count: u64,
}

/// Answers questions from a store.
#[derive(Debug, Clone)]
pub struct Query {
    store: Arc<Store>,
    limits: Limits,
}

impl Query {
    /// Over this store, within the default [`Limits`].
    pub fn new(store: Arc<Store>) -> Self {
        Self::with_limits(store, Limits::default())
    }

    /// Over this store, within these limits.
    pub fn with_limits(store: Arc<Store>, limits: Limits) -> Self {
        Self { store, limits }
    }

    /// The names of all services, sorted. Spans that name none are those of the service `""`.
    pub fn services(&self) -> Result<Vec<String>, Error> {
        Ok(self.store.ask(|snapshot| snapshot.services())?)
    }

    /// The operations of a service, sorted; those of one kind, if one is given.
    pub fn operations(&self, service: &str, kind: Option<SpanKind>) -> Result<Vec<Operation>, Error> {
        let operations = self.store.ask(|snapshot| snapshot.operations(service))?.into_iter();
        let operations = operations.map(|(name, kind)| Operation { name, kind });
        Ok(operations.filter(|operation| kind.is_none_or(|kind| kind == operation.kind)).collect())
    }

    /// A trace, pinned spans included; `None` when nothing of it is stored.
    pub fn trace(&self, id: TraceId) -> Result<Option<Trace>, Error> {
        let rows = self.store.ask(|snapshot| snapshot.trace(id, self.limits.trace_bytes))?;
        Ok(Some(Trace::of_rows(id, rows)).filter(|trace| !trace.spans.is_empty()))
    }

    /// The spans of a trace that have one of these ids, without reading the others; several where an id is not
    /// unique. Empty when there are none.
    pub fn spans(&self, id: TraceId, span_ids: &[SpanId]) -> Result<Trace, Error> {
        let span_ids = span_ids.iter().copied().collect();
        let rows =
            self.store.ask(|snapshot| snapshot.spans_with_ids(id, &span_ids, self.limits.trace_bytes))?;
        Ok(Trace::of_rows(id, rows))
    }

    /// Traces with at least one span that fulfils all conditions.
    pub fn find(&self, conditions: &Conditions) -> Result<Found, Error> {
        self.find_unless(&Cancel::default(), conditions)
    }

    /// The same, unless it is called off before its end.
    pub fn find_unless(&self, cancel: &Cancel, conditions: &Conditions) -> Result<Found, Error> {
        Ok(self.store.ask(|snapshot| find::find(snapshot, conditions, &self.limits, cancel))?)
    }

    /// The ids of traces with at least one span that fulfils all conditions, newest first, without reading the traces;
    /// traces whose id is zero are left out. [`Limits::search_bytes`] is not asked.
    pub fn find_ids_unless(&self, cancel: &Cancel, conditions: &Conditions) -> Result<FoundIds, Error> {
        Ok(self.store.ask(|snapshot| find::find_ids(snapshot, conditions, &self.limits, cancel))?)
    }

    /// From the earliest start to the latest end of the spans of a trace; `None` when nothing of it is stored.
    pub fn bounds(&self, id: TraceId) -> Result<Option<(Timestamp, Timestamp)>, Error> {
        Ok(self.store.ask(|snapshot| snapshot.bounds(id))?)
    }

    /// Hands out all spans of a trace of any size, each once, pieces as of one moment, until told to stop; each piece in
    /// order of start, and the whole trace if that is one piece. Memory is taken for one piece.
    pub fn each_piece<B>(
        &self,
        id: TraceId,
        limits: PieceLimits,
        mut take: impl FnMut(Vec<Span>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, Error> {
        Ok(self.store.each_piece(id, limits, |mut piece| {
            piece.sort_unstable_by_key(|span| (span.start, span.span_id, span.content_hash));
            take(piece)
        })?)
    }

    /// Calls between services in the hours that overlap with the time between the bounds, sorted by names and kind.
    pub fn dependencies(&self, start: Timestamp, end: Timestamp) -> Result<Vec<Dependency>, Error> {
        Ok(self.store.ask(|snapshot| snapshot.dependencies(start, end))?)
    }

    /// The same as Jaeger counts: how often one service called another, however it did. Work inside a service is no call
    /// between services; what is known by a span's link alone is one if that is wanted.
    pub fn calls(&self, start: Timestamp, end: Timestamp, with_links: bool) -> Result<Vec<Call>, Error> {
        let mut calls: BTreeMap<(String, String), u64> = BTreeMap::new();
        for dependency in self.dependencies(start, end)? {
            let is_call = with_links || dependency.kind != EdgeKind::Link;
            if is_call && dependency.parent != dependency.child {
                *calls.entry((dependency.parent, dependency.child)).or_default() += dependency.calls;
            }
        }
        let call = |((parent, child), count)| Call { parent, child, count };
        Ok(calls.into_iter().map(call).collect())
    }

    /// How often operations ran, failed, and how long they took, over time.
    pub fn metrics(
        &self,
        question: &metrics::Question,
        measure: metrics::Measure,
    ) -> Result<Vec<metrics::Series>, metrics::Error> {
        metrics::answer(&self.store, question, measure)
    }

    /// Keeps a trace for good; false when there is no such trace.
    pub fn pin(&self, id: TraceId, now: Timestamp) -> Result<bool, Error> {
        Ok(self.store.pin(id, now)?)
    }

    /// Whether the store can be read.
    pub fn can_answer(&self) -> bool {
        self.store.snapshot().is_ok()
    }

    /// How much is stored.
    pub fn status(&self) -> Status {
        self.store.status()
    }
}
