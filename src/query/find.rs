//! Searching: what indexes and filters lead to, the latest first, looked at span by span; whole traces as the answer.

use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::time::Instant;

use crate::model::{Timestamp, TraceId};
use crate::query::{Conditions, Limits, Trace};
use crate::store::{Candidate, Error, Scan, Snapshot};

/// The answer to a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// By the start of their newest matching span, newest first.
    pub traces: Vec<Trace>,
    /// Spans whose index entries or columns were looked at.
    pub inspected_spans: u64,
    /// Why no further trace is here.
    pub stopped: Stopped,
}

/// Why a search ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stopped {
    /// Everything was looked at.
    End,
    /// As many traces as were asked for.
    Limit,
    /// It looked for [`Limits::search_time`].
    Time,
    /// It holds [`Limits::search_bytes`].
    Bytes,
}

/// Looks for traces until one of the limits is reached.
pub(super) fn find(
    snapshot: &Snapshot<'_>,
    conditions: &Conditions,
    limits: &Limits,
) -> Result<Found, Error> {
    let filter = conditions.filter();
    let mut search = Search {
        scan: snapshot.scan(&filter)?,
        conditions,
        deadline: Instant::now() + limits.search_time,
        candidates: BinaryHeap::new(),
        hits: Hits::default(),
    };
    let mut stopped = search.run()?;
    let inspected_spans = search.scan.inspected();
    let mut traces: Vec<Trace> = Vec::new();
    let mut bytes = 0;
    for (id, candidate) in search.hits.newest(conditions.limit) {
        if bytes >= limits.search_bytes {
            stopped = Stopped::Bytes;
            break;
        }
        if Instant::now() >= search.deadline && !traces.is_empty() {
            stopped = Stopped::Time;
            break;
        }
        let mut rows = snapshot.trace(id, limits.trace_bytes)?;
        if rows.cut {
            // The span that was found is shown whatever else had to be left out.
            rows.spans.extend(search.scan.span(&candidate)?);
        }
        bytes += rows.bytes;
        traces.push(Trace::of_rows(id, rows));
    }
    Ok(Found { traces, inspected_spans, stopped })
}

/// A search on its way.
struct Search<'a> {
    scan: Scan<'a>,
    conditions: &'a Conditions,
    deadline: Instant,
    /// Not looked at yet, the latest on top.
    candidates: BinaryHeap<Candidate>,
    hits: Hits,
}

impl Search<'_> {
    fn run(&mut self) -> Result<Stopped, Error> {
        loop {
            // No span that was not looked at started later than this.
            let ahead = self.scan.latest();
            let next = self.candidates.peek().map(|candidate| candidate.start_at_most);
            let Some(latest) = ahead.max(next) else { return Ok(Stopped::End) };
            if self.hits.are_enough(self.conditions.limit, latest) {
                return Ok(Stopped::Limit);
            }
            if Instant::now() >= self.deadline {
                return Ok(Stopped::Time);
            }
            if next < ahead || next.is_none() {
                self.scan.advance(&mut self.candidates)?;
            } else if let Some(candidate) = self.candidates.pop() {
                self.look_at(&candidate)?;
            }
        }
    }

    fn look_at(&mut self, candidate: &Candidate) -> Result<(), Error> {
        // A trace that is found already may move up, but only by what its time is known too roughly.
        let Some(id) = self.scan.trace_id(candidate)? else { return Ok(()) };
        if self.hits.start_of(id).is_some_and(|start| start >= candidate.start_at_most) {
            return Ok(());
        }
        if let Some(span) = self.scan.span(candidate)?.filter(|span| self.conditions.match_span(span)) {
            self.hits.add(id, span.start, *candidate);
        }
        Ok(())
    }
}

/// Traces that were found, by their newest matching span.
#[derive(Default)]
struct Hits {
    best: HashMap<TraceId, (Timestamp, Candidate)>,
    order: BTreeSet<(Timestamp, TraceId)>,
}

impl Hits {
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
    }

    /// Whether so many started so late that nothing can come before them.
    fn are_enough(&self, limit: usize, latest: Timestamp) -> bool {
        if self.order.len() < limit {
            return false;
        }
        limit == 0 || self.order.iter().rev().nth(limit - 1).is_some_and(|(start, _)| *start >= latest)
    }

    fn newest(&self, limit: usize) -> impl Iterator<Item = (TraceId, Candidate)> {
        self.order.iter().rev().take(limit).map(|(_start, id)| (*id, self.best[id].1))
    }
}
