//! Searching: what indexes and filters lead to, the latest first, looked at span by span; whole traces as the answer.

use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::model::{Timestamp, TraceId};
use crate::query::{Conditions, Limits, Trace};
use crate::store::{Candidate, Error, Scan, Snapshot};

/// The answer to a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// By the start of their newest matching span, newest first; of equal starts, the higher trace id first.
    pub traces: Vec<Trace>,
    /// Spans whose index entries or columns were looked at.
    pub inspected_spans: u64,
    /// Bytes that were read for it, as they are stored; what was at hand in memory is not among them.
    pub read_bytes: u64,
    /// Why no further trace is here.
    pub stopped: Stopped,
}

/// The answer to a search for nothing but ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundIds {
    /// In the order of [`Found::traces`].
    pub ids: Vec<FoundId>,
    /// Why no further one is here.
    pub stopped: Stopped,
}

/// A trace that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundId {
    /// The trace.
    pub id: TraceId,
    /// When the newest of its spans that fulfil the conditions started.
    pub newest: Timestamp,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// There is no further one.
    End,
    /// There are as many as were asked for, and there may be more.
    Limit,
    /// It looked for [`Limits::search_time`].
    Time,
    /// It holds [`Limits::search_bytes`].
    Bytes,
    /// It read [`Limits::read_bytes`].
    Read,
    /// Nobody waits for it any more ([`Cancel`]).
    Cancelled,
}

/// Tells a search that nobody waits for its answer any more; its clones are the same flag.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Ends the search soon: before the next chunk, candidate or trace is looked at. For good.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it is to end.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Looks for traces until one of the limits is reached.
pub(super) fn find(
    snapshot: &Snapshot<'_>,
    conditions: &Conditions,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<Found, Error> {
    look(snapshot, (conditions, Wanted::All), limits, cancel, |search, looked| {
        // What was found is worth some time more.
        let before = search.budget.patience.deadline;
        let patience = Patience { deadline: Instant::now().max(before) + limits.search_time / 8, cancel };
        let (traces, read) = search.read(limits, &patience)?;
        Ok(Found {
            traces,
            inspected_spans: search.scan.inspected(),
            read_bytes: snapshot.read_bytes(),
            stopped: read.unwrap_or(looked),
        })
    })
}

/// The same without reading what was found. Traces without an id are left out: nobody could ask for them by it.
pub(super) fn find_ids(
    snapshot: &Snapshot<'_>,
    conditions: &Conditions,
    limits: &Limits,
    cancel: &Cancel,
) -> Result<FoundIds, Error> {
    look(snapshot, (conditions, Wanted::WithId), limits, cancel, |search, stopped| {
        let found = search.hits.newest().map(|hit| FoundId { id: hit.id, newest: hit.start });
        Ok(FoundIds { ids: found.collect(), stopped })
    })
}

/// Which traces are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    All,
    /// Those whose id is not zero.
    WithId,
}

fn look<T>(
    snapshot: &Snapshot<'_>,
    (conditions, wanted): (&Conditions, Wanted),
    limits: &Limits,
    cancel: &Cancel,
    answer: impl FnOnce(&Search<'_>, Stopped) -> Result<T, Error>,
) -> Result<T, Error> {
    let filter = conditions.filter();
    let patience = Patience { cancel, deadline: Instant::now() + limits.search_time };
    let budget = Budget { patience, snapshot, read_bytes: limits.read_bytes };
    let is_over = || budget.is_used_up().is_some();
    let mut search = Search {
        scan: snapshot.scan(&filter)?.ending_when(&is_over),
        conditions,
        wanted,
        budget: &budget,
        candidates: BinaryHeap::new(),
        max_candidates: limits.candidates,
        hits: Hits::new(conditions.limit),
    };
    let looked = search.run()?;
    answer(&search, looked)
}

/// How long who asks waits.
#[derive(Debug, Clone, Copy)]
struct Patience<'a> {
    cancel: &'a Cancel,
    deadline: Instant,
}

impl Patience<'_> {
    /// Why there is no more of it.
    fn is_used_up(&self) -> Option<Stopped> {
        if self.cancel.is_cancelled() {
            Some(Stopped::Cancelled)
        } else {
            (Instant::now() >= self.deadline).then_some(Stopped::Time)
        }
    }
}

/// What looking may cost.
struct Budget<'a> {
    patience: Patience<'a>,
    snapshot: &'a Snapshot<'a>,
    read_bytes: u64,
}

impl Budget<'_> {
    fn is_used_up(&self) -> Option<Stopped> {
        let has_read = self.snapshot.read_bytes() >= self.read_bytes;
        self.patience.is_used_up().or_else(|| has_read.then_some(Stopped::Read))
    }
}

/// A search on its way.
struct Search<'a> {
    scan: Scan<'a>,
    conditions: &'a Conditions,
    wanted: Wanted,
    budget: &'a Budget<'a>,
    /// Not looked at yet, the latest on top.
    candidates: BinaryHeap<Candidate>,
    max_candidates: usize,
    hits: Hits,
}

impl Search<'_> {
    fn run(&mut self) -> Result<Stopped, Error> {
        loop {
            // No span that was not looked at started later than this.
            let ahead = self.scan.latest();
            let next = self.candidates.peek().map(|candidate| candidate.start_at_most);
            let Some(latest) = ahead.max(next) else { return Ok(self.hits.end()) };
            if self.hits.are_enough(latest) {
                return Ok(Stopped::Limit);
            }
            if let Some(stopped) = self.budget.is_used_up() {
                return Ok(stopped);
            }
            // The order in which spans are looked at does not matter to what is found, only to how soon it is.
            let is_full = self.candidates.len() >= self.max_candidates;
            if next.is_none() || (next < ahead && !is_full) {
                self.scan.advance(&mut self.candidates)?;
            } else if let Some(candidate) = self.candidates.pop() {
                self.look_at(&candidate)?;
            }
        }
    }

    fn look_at(&mut self, candidate: &Candidate) -> Result<(), Error> {
        if self.hits.are_enough(candidate.start_at_most) {
            return Ok(());
        }
        // A trace that is found already may move up, but only by what its time is known too roughly.
        let Some(id) = self.scan.trace_id(candidate)? else { return Ok(()) };
        if self.wanted == Wanted::WithId && id.is_zero() {
            return Ok(());
        }
        if self.hits.start_of(id).is_some_and(|start| start >= candidate.start_at_most) {
            return Ok(());
        }
        let is_over = || self.budget.patience.is_used_up().is_some();
        let span = self.scan.span(candidate)?;
        if let Some(span) = span.filter(|span| self.conditions.match_until(&is_over, span)) {
            self.hits.add(id, span.start, *candidate);
        }
        Ok(())
    }

    /// The whole traces, and why there are not all of them.
    fn read(&self, limits: &Limits, patience: &Patience<'_>) -> Result<(Vec<Trace>, Option<Stopped>), Error> {
        let mut traces = Vec::new();
        let mut bytes = 0;
        for Hit { id, candidate, .. } in self.hits.newest() {
            let is_full = bytes >= limits.search_bytes;
            let stopped = patience.is_used_up().or_else(|| is_full.then_some(Stopped::Bytes));
            if stopped.is_some() {
                return Ok((traces, stopped));
            }
            let mut rows = self.budget.snapshot.trace(id, limits.trace_bytes)?;
            if rows.cut {
                // The span that was found is shown whatever else had to be left out.
                rows.spans.extend(self.scan.span(&candidate)?);
            }
            bytes += rows.bytes;
            traces.push(Trace::of_rows(id, rows));
        }
        Ok((traces, None))
    }
}

/// Traces that were found, by their newest matching span: as many as are wanted, the newest.
struct Hits {
    limit: usize,
    best: HashMap<TraceId, (Timestamp, Candidate)>,
    order: BTreeSet<(Timestamp, TraceId)>,
    /// Whether more were found.
    had_more: bool,
}

/// One of them.
struct Hit {
    id: TraceId,
    start: Timestamp,
    candidate: Candidate,
}

impl Hits {
    fn new(limit: usize) -> Self {
        Self { limit, best: HashMap::new(), order: BTreeSet::new(), had_more: false }
    }

    fn start_of(&self, id: TraceId) -> Option<Timestamp> {
        self.best.get(&id).map(|(start, _)| *start)
    }

    fn add(&mut self, id: TraceId, start: Timestamp, candidate: Candidate) {
        let before = self.start_of(id);
        if before.is_none_or(|before| before < start) {
            before.map(|before| self.order.remove(&(before, id)));
            self.best.insert(id, (start, candidate));
            self.order.insert((start, id));
        }
        // One that is pushed out comes back when a later span of it is found.
        if self.order.len() > self.limit
            && let Some((_start, id)) = self.order.pop_first()
        {
            self.best.remove(&id);
            self.had_more = true;
        }
    }

    /// Why there are no others when everything was looked at.
    fn end(&self) -> Stopped {
        if self.had_more { Stopped::Limit } else { Stopped::End }
    }

    /// Whether there are all that are wanted, and none can be among them for a span that started then.
    fn are_enough(&self, latest: Timestamp) -> bool {
        self.order.len() >= self.limit && self.order.first().is_none_or(|(start, _)| *start > latest)
    }

    fn newest(&self) -> impl Iterator<Item = Hit> {
        let hit = |&(start, id)| Hit { id, start, candidate: self.best[&id].1 };
        self.order.iter().rev().map(hit)
    }
}
