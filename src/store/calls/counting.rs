//! What a batch adds: calls between services, the minutes of operations, and who has to wait.

use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::mem;
use std::sync::Arc;

use super::body::{self, Body};
use super::names::Names;
use super::numbers::Numbers;
use super::pending::{MAX_WAITING, PENDING_PARENTS, Pending, Waiting, Wanted};
use super::rows::{DEPENDENCIES, MAX_ROWS};
use super::{EdgeKind, KnownSpan};
use crate::model::{Span, SpanId, SpanKind, StatusCode, Timestamp, TraceId};
use crate::store::chunk::Item;
use crate::store::histogram::{Outcome, Stats};
use crate::store::key;
use crate::store::losses::Losses;
use crate::store::red::{self, RED};

/// Spans of one id among which a parent is looked for.
const MAX_PARENTS: usize = 16;

/// Links to other traces that are looked up for one batch.
pub(super) const MAX_FOREIGN_LINKS: usize = 100_000;

/// Counts one batch: each of its traces, then the links that lead out of them.
#[derive(Debug)]
pub(in crate::store) struct Counting<'p> {
    pending: &'p Pending,
    losses: &'p Losses,
    counted: Counted,
    /// The service of each source that was met, by its number.
    services: HashMap<u32, u32, Numbers>,
    /// The number of each name that was seen, by its place; [`UNNUMBERED`] before it was counted.
    pub(super) operations: Vec<u32>,
    foreign: Vec<ForeignLink>,
    relatives: Relatives,
}

/// The number of a name that has none.
const UNNUMBERED: u32 = u32::MAX;

/// What was seen in a trace's spans when they were packed.
#[derive(Debug)]
pub(in crate::store) struct SeenSpans<'s> {
    /// Names of operations; those of the traces before, if they were not none, stand first.
    pub(in crate::store) operations: &'s [String],
    /// Of each span, which of these is its name, and whether its message may say anything else of calls.
    pub(in crate::store) spans: &'s [(u32, bool)],
}

/// What a batch adds, to be written in its transaction and applied to [`Pending`] once that is on disk.
#[derive(Debug, Default)]
pub(in crate::store) struct Counted {
    /// Who waits for spans that have not come.
    pub(super) waiting: Vec<Waiting>,
    /// Who waited and was counted, by their numbers in [`Pending`].
    pub(super) taken: HashSet<u64>,
    /// When the batch was counted.
    pub(super) now: Timestamp,
    names: Names,
    edges: HashMap<EdgeKey, Stats, Numbers>,
    red: HashMap<RedKey, Stats, Numbers>,
}

/// Calls of one service by another within an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Edge<'c> {
    pub(super) parent: &'c str,
    pub(super) child: &'c str,
    pub(super) hour: u32,
    pub(super) kind: EdgeKind,
}

/// One minute of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct OperationMinute<'c> {
    pub(in crate::store) service: &'c str,
    pub(in crate::store) operation: &'c str,
    pub(in crate::store) kind: SpanKind,
    pub(in crate::store) minute: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EdgeKey {
    parent: u32,
    child: u32,
    hour: u32,
    kind: EdgeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct RedKey {
    service: u32,
    operation: u32,
    minute: u32,
    kind: SpanKind,
}

impl Hash for EdgeKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(in_one([self.parent, self.child, self.hour], self.kind as u8));
    }
}

impl Hash for RedKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(in_one([self.service, self.operation, self.minute], self.kind as u8));
    }
}

/// A key as [`Numbers`] hashes it.
fn in_one([first, second, third]: [u32; 3], kind: u8) -> u128 {
    u128::from(first) << 96 | u128::from(second) << 64 | u128::from(third) << 32 | u128::from(kind)
}

/// The called side of a call.
#[derive(Debug, Clone, Copy)]
struct Child {
    service: u32,
    hour: u32,
    /// What kind of call it is, unless the other side sends messages.
    kind: EdgeKind,
    outcome: Outcome,
}

#[derive(Debug)]
struct ForeignLink {
    trace_id: TraceId,
    span_id: SpanId,
    child: Child,
}

impl Counted {
    /// The calls that were counted.
    pub(super) fn edges(&self) -> impl Iterator<Item = (Edge<'_>, &Stats)> {
        self.edges.iter().map(|(key, stats)| {
            let (parent, child) = (self.names.text(key.parent), self.names.text(key.child));
            (Edge { parent, child, hour: key.hour, kind: key.kind }, stats)
        })
    }

    /// The minutes of operations that were counted.
    pub(in crate::store) fn red(&self) -> impl Iterator<Item = (OperationMinute<'_>, &Stats)> {
        self.red.iter().map(|(key, stats)| {
            let (service, operation) = (self.names.text(key.service), self.names.text(key.operation));
            (OperationMinute { service, operation, kind: key.kind, minute: key.minute }, stats)
        })
    }
}

impl<'p> Counting<'p> {
    /// Of a batch that is stored at `now`, given who waits.
    pub(in crate::store) fn new(pending: &'p Pending, losses: &'p Losses, now: Timestamp) -> Self {
        Self {
            pending,
            losses,
            counted: Counted { now, ..Counted::default() },
            services: HashMap::default(),
            operations: Vec::new(),
            foreign: Vec::new(),
            relatives: Relatives::default(),
        }
    }

    /// Counts the spans that a batch adds to a trace, sorted by span id and content hash, none of them stored before;
    /// `earlier` are the spans of the trace that were. To be called once for each trace.
    pub(in crate::store) fn trace(
        &mut self,
        items: &[Item<'_>],
        seen: &SeenSpans<'_>,
        earlier: &[KnownSpan],
    ) {
        debug_assert!(items.is_sorted_by_key(|item| (item.span.span_id, item.span.content_hash)));
        let Some(first) = items.first() else { return };
        let mut relatives = mem::take(&mut self.relatives);
        relatives.0.clear();
        for item in items {
            let service = self.service_of(item);
            relatives.0.push(Relative::of(item.span, service));
        }
        let services: Vec<u32> = relatives.0.iter().map(|relative| relative.service).collect();
        relatives.add(earlier, &mut self.counted.names);
        for ((item, service), (operation, tells_of_calls)) in items.iter().zip(services).zip(seen.spans) {
            let body = if *tells_of_calls { Body::read(&item.span.body) } else { Body::default() };
            let outcome = Outcome {
                is_error: item.span.status == StatusCode::Error,
                nanos: item.span.end.nanos().saturating_sub(item.span.start.nanos()),
            };
            self.count_operation(item.span, service, (seen.operations, *operation as usize), outcome);
            self.count_calls(item.span, service, outcome, &body, &relatives);
        }
        self.take_waiting(first.span.trace_id, items, &relatives);
        self.relatives = relatives;
    }

    /// The spans of other traces that the spans so far link: whose traces [`Self::resolve_links`] will ask for.
    pub(in crate::store) fn foreign_links(&self) -> impl Iterator<Item = (TraceId, SpanId)> {
        self.foreign.iter().map(|link| (link.trace_id, link.span_id))
    }

    /// Counts the links that lead to other traces, once all traces of the batch are counted. `spans_of` gives what is
    /// known of a trace, the spans of this batch included; it may leave out spans that are not among
    /// [`Self::foreign_links`], and is asked once for each trace.
    pub(in crate::store) fn resolve_links<E>(
        &mut self,
        mut spans_of: impl FnMut(TraceId) -> Result<Vec<KnownSpan>, E>,
    ) -> Result<(), E> {
        let mut foreign = mem::take(&mut self.foreign);
        foreign.sort_by_key(|link| link.trace_id);
        for links in foreign.chunk_by(|one, other| one.trace_id == other.trace_id) {
            let mut relatives = Relatives::default();
            relatives.add(&spans_of(links[0].trace_id)?, &mut self.counted.names);
            for link in links {
                self.hop((link.trace_id, link.span_id), Wanted::Relative, link.child, &relatives);
            }
        }
        Ok(())
    }

    /// What was counted.
    pub(in crate::store) fn finish(self) -> Counted {
        self.counted
    }

    fn service_of(&mut self, item: &Item<'_>) -> u32 {
        let names = &mut self.counted.names;
        *self.services.entry(item.source).or_insert_with(|| names.number(&item.span.resource.service))
    }

    fn count_calls(
        &mut self,
        span: &Span,
        service: u32,
        outcome: Outcome,
        body: &Body,
        relatives: &Relatives,
    ) {
        let parent_id = span.parent_id.filter(|&parent| parent != span.span_id);
        let is_consumer = span.kind == SpanKind::Consumer;
        let links = if body.has_links { body::links(span) } else { Vec::new() };
        let child = |kind| Child { service, hour: key::hour(span.start), kind, outcome };
        if body::is_other_half(span) {
            // Both halves have the same parent, which only who asked is below.
            let kind = if is_consumer { EdgeKind::Messaging } else { EdgeKind::Rpc };
            self.hop((span.trace_id, span.span_id), Wanted::OtherHalf, child(kind), relatives);
        } else if let Some(parent_id) = parent_id {
            let kind = match links.binary_search(&(span.trace_id, parent_id)) {
                _ if is_consumer || body.takes_messages => EdgeKind::Messaging,
                Ok(_) => EdgeKind::Link,
                Err(_) => EdgeKind::Rpc,
            };
            let wanted = if body::is_inside_half(span) { Wanted::NotAsking } else { Wanted::Relative };
            self.hop((span.trace_id, parent_id), wanted, child(kind), relatives);
        }
        let kind = if is_consumer || body.is_messaging { EdgeKind::Messaging } else { EdgeKind::Link };
        for (trace_id, span_id) in links {
            if trace_id != span.trace_id {
                self.hop_abroad(ForeignLink { trace_id, span_id, child: child(kind) });
            } else if parent_id.is_none() && span_id != span.span_id {
                // Below a parent the hop from there is the one that counts, whichever of the two comes first.
                self.hop((trace_id, span_id), Wanted::Relative, child(kind), relatives);
            }
        }
    }

    /// Counts a span, whose name is the one at a place among those that were seen.
    fn count_operation(
        &mut self,
        span: &Span,
        service: u32,
        (names, place): (&[String], usize),
        outcome: Outcome,
    ) {
        let is_full = self.counted.red.len() as u64 >= MAX_ROWS;
        let operation = self.operation(names, place, is_full);
        let red = &mut self.counted.red;
        let minute = red::minute(span.start);
        let key = operation.map(|operation| RedKey { service, operation, minute, kind: span.kind });
        match key.filter(|key| !is_full || red.contains_key(key)) {
            Some(key) => red.entry(key).or_default().add(outcome),
            None => self.losses.leave_out(RED, MAX_ROWS),
        }
    }

    /// The number of a name; none for a new one when there are enough: no name is kept for what is left out.
    fn operation(&mut self, seen: &[String], place: usize, is_full: bool) -> Option<u32> {
        if self.operations.len() < seen.len() {
            self.operations.resize(seen.len(), UNNUMBERED);
        }
        if self.operations[place] == UNNUMBERED {
            let (names, name) = (&mut self.counted.names, &seen[place]);
            self.operations[place] = if is_full { names.find(name)? } else { names.number(name) };
        }
        Some(self.operations[place])
    }

    /// Counts the call if the other side is there, else has the child wait for it.
    fn hop(
        &mut self,
        (trace_id, span_id): (TraceId, SpanId),
        wanted: Wanted,
        child: Child,
        relatives: &Relatives,
    ) {
        if let Some(parent) = relatives.find(wanted, span_id, child.service) {
            self.count_call(parent, child);
        } else if self.counted.waiting.len() < MAX_WAITING {
            let Child { service, hour, kind, outcome } = child;
            let service = Arc::clone(self.counted.names.text(service));
            let since = self.counted.now;
            let waiting = Waiting { trace_id, span_id, wanted, since, service, hour, kind, outcome };
            self.counted.waiting.push(waiting);
        } else {
            self.losses.leave_out(PENDING_PARENTS, MAX_WAITING as u64);
        }
    }

    fn hop_abroad(&mut self, link: ForeignLink) {
        if self.foreign.len() < MAX_FOREIGN_LINKS {
            self.foreign.push(link);
        } else {
            self.losses.leave_out(DEPENDENCIES, MAX_FOREIGN_LINKS as u64);
        }
    }

    fn count_call(&mut self, parent: &Relative, child: Child) {
        let is_sent = parent.kind == SpanKind::Producer;
        let kind = if is_sent { EdgeKind::Messaging } else { child.kind };
        let key = EdgeKey { parent: parent.service, child: child.service, hour: child.hour, kind };
        let edges = &mut self.counted.edges;
        if edges.len() as u64 >= MAX_ROWS && !edges.contains_key(&key) {
            return self.losses.leave_out(DEPENDENCIES, MAX_ROWS);
        }
        edges.entry(key).or_default().add(child.outcome);
    }

    /// Counts the calls of those who waited for spans of this batch.
    fn take_waiting(&mut self, trace_id: TraceId, items: &[Item<'_>], relatives: &Relatives) {
        for (place, waiting) in self.pending.of(trace_id) {
            let came = items.binary_search_by_key(&waiting.span_id, |item| item.span.span_id).is_ok();
            if !came || waiting.is_given_up(self.counted.now) {
                continue;
            }
            let Waiting { hour, kind, outcome, .. } = *waiting;
            let service = self.counted.names.number(&waiting.service);
            if let Some(parent) = relatives.find(waiting.wanted, waiting.span_id, service) {
                self.count_call(parent, Child { service, hour, kind, outcome });
                self.counted.taken.insert(*place);
            }
        }
    }
}

/// A span that may be the other side of a call.
#[derive(Debug)]
struct Relative {
    /// The id as a number: of two the same comes first as of their bytes.
    span_id: u64,
    content_hash: u64,
    service: u32,
    kind: SpanKind,
    start: Timestamp,
}

impl Relative {
    fn of(span: &Span, service: u32) -> Self {
        let Span { span_id, content_hash, kind, start, .. } = *span;
        Self { span_id: number(span_id), content_hash, service, kind, start }
    }
}

fn number(span_id: SpanId) -> u64 {
    u64::from_be_bytes(span_id.0)
}

/// The spans of a trace, sorted by span id and content hash.
#[derive(Debug, Default)]
struct Relatives(Vec<Relative>);

impl Relatives {
    fn add(&mut self, known: &[KnownSpan], names: &mut Names) {
        if known.is_empty() {
            return;
        }
        self.0.extend(known.iter().map(|span| {
            let KnownSpan { span_id, content_hash, kind, start, .. } = *span;
            let (span_id, service) = (number(span_id), names.number(&span.service));
            Relative { span_id, content_hash, service, kind, start }
        }));
        self.0.sort_unstable_by_key(|relative| (relative.span_id, relative.content_hash));
    }

    /// The span of this id that is wanted.
    fn find(&self, wanted: Wanted, span_id: SpanId, child_service: u32) -> Option<&Relative> {
        let span_id = number(span_id);
        let first = self.0.partition_point(|relative| relative.span_id < span_id);
        let is_own = |relative: &Relative| relative.service == child_service;
        let of_id = self.0[first..].iter().take_while(|relative| relative.span_id == span_id);
        let fitting = of_id.take(MAX_PARENTS).filter(|relative| wanted.is(relative.kind, is_own(relative)));
        // Of several the one in the child's own service, else the earliest, as a trace's outline has it; who asks
        // is mostly of another.
        fitting.min_by_key(|relative| (wanted != Wanted::OtherHalf && !is_own(relative), relative.start))
    }
}
