//! Searching: index rows newest first, what they cannot tell on the spans themselves, whole traces as the answer.

use std::collections::HashSet;
use std::time::Instant;

use crate::model::TraceId;
use crate::query::{Conditions, Limits, Trace};
use crate::store::{Error, IndexRow, Snapshot, Spans};

/// The answer to a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// By the start of their newest matching span, newest first.
    pub traces: Vec<Trace>,
    /// Spans whose index rows were looked at.
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
    let mut search = Search {
        snapshot,
        spans: snapshot.spans()?,
        conditions,
        limits,
        started: Instant::now(),
        known: HashSet::new(),
        bytes: 0,
    };
    let mut found = Found { traces: Vec::new(), inspected_spans: 0, stopped: Stopped::End };
    let mut rows = snapshot.newest(conditions.service.as_deref(), conditions.start..=conditions.end)?;
    loop {
        if let Some(stopped) = search.spent(found.traces.len()) {
            found.stopped = stopped;
            return Ok(found);
        }
        let Some(row) = rows.next().transpose()? else { return Ok(found) };
        found.inspected_spans += 1;
        found.traces.extend(search.look_at(&row)?);
    }
}

/// A search on its way.
struct Search<'a> {
    snapshot: &'a Snapshot<'a>,
    spans: Spans<'a>,
    conditions: &'a Conditions,
    limits: &'a Limits,
    started: Instant,
    /// Traces that were found.
    known: HashSet<TraceId>,
    /// Bytes of their spans.
    bytes: usize,
}

impl Search<'_> {
    fn spent(&self, found: usize) -> Option<Stopped> {
        if found >= self.conditions.limit {
            Some(Stopped::Limit)
        } else if self.bytes >= self.limits.search_bytes {
            Some(Stopped::Bytes)
        } else if self.started.elapsed() >= self.limits.search_time {
            Some(Stopped::Time)
        } else {
            None
        }
    }

    /// The trace of a span that fulfils the conditions, unless it was found before.
    fn look_at(&mut self, row: &IndexRow) -> Result<Option<Trace>, Error> {
        let id = row.identity.trace_id;
        if self.known.contains(&id) || !self.conditions.match_row(row) {
            return Ok(None);
        }
        let Some(span) = self.spans.get(row)?.filter(|span| self.conditions.match_span(span)) else {
            return Ok(None);
        };
        let mut rows = self.snapshot.trace(id, self.limits.trace_bytes)?;
        self.known.insert(id);
        self.bytes += rows.bytes;
        if rows.cut {
            // The span that was found is shown whatever else had to be left out.
            rows.spans.push(span);
        }
        Ok(Some(Trace::of_rows(id, rows)))
    }
}
