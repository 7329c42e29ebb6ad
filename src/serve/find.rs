//! Searching by the name a service is shown by, which may mean two: one that really goes by it, and the one that is
//! shown by it because it was not named.

use std::cmp::Reverse;
use std::collections::HashSet;

use crate::model::Span;
use crate::query::{Cancel, Conditions, Error, Found, FoundIds, Query, Stopped};
use crate::serve::services;

/// A search as it was asked for.
#[derive(Debug)]
pub(super) struct Search {
    /// A trace is wanted that fulfils any of these; they differ in nothing but the service.
    any: Vec<Conditions>,
    limit: usize,
}

impl Search {
    /// By these conditions, whose service is a shown name.
    pub(super) fn new(conditions: Conditions) -> Self {
        let limit = conditions.limit;
        let any = services::meant(conditions);
        Self { any, limit }
    }

    /// The traces, by the start of their newest matching span, newest first.
    pub(super) fn find(&self, query: &Query, cancel: &Cancel) -> Result<Found, Error> {
        let mut found =
            Found { traces: Vec::new(), inspected_spans: 0, read_bytes: 0, stopped: Stopped::End };
        for conditions in &self.any {
            let more = query.find_unless(cancel, conditions)?;
            found.traces.extend(more.traces);
            found.inspected_spans += more.inspected_spans;
            found.read_bytes += more.read_bytes;
            found.stopped = weightier(found.stopped, more.stopped);
        }
        if self.any.len() > 1 {
            self.put_in_order(&mut found);
        }
        Ok(found)
    }

    /// Only their ids, in the same order. A search that ended before its time has not found all, which who asks for ids
    /// cannot be told, unless there is nothing else to tell: it is logged.
    pub(super) fn find_ids(&self, query: &Query, cancel: &Cancel) -> Result<FoundIds, Error> {
        let mut found = FoundIds { ids: Vec::new(), stopped: Stopped::End };
        for conditions in &self.any {
            let more = query.find_ids_unless(cancel, conditions)?;
            found.ids.extend(more.ids);
            found.stopped = weightier(found.stopped, more.stopped);
        }
        if self.any.len() > 1 {
            found.ids.sort_by_key(|hit| Reverse((hit.newest, hit.id)));
            let mut seen = HashSet::new();
            found.ids.retain(|hit| seen.insert(hit.id));
            if found.ids.len() > self.limit {
                found.ids.truncate(self.limit);
                found.stopped = weightier(found.stopped, Stopped::Limit);
            }
        }
        if matches!(found.stopped, Stopped::Time | Stopped::Read) && !found.ids.is_empty() {
            tracing::warn!(
                found = found.ids.len(),
                "a search for traces stopped before its end, there may be more: it took too long, or read too much"
            );
        }
        Ok(found)
    }

    /// Whether this is a span that was searched for.
    pub(super) fn matches(&self, span: &Span) -> bool {
        self.any.iter().any(|conditions| conditions.match_span(span))
    }

    fn put_in_order(&self, found: &mut Found) {
        let mut seen = HashSet::new();
        found.traces.retain(|trace| seen.insert(trace.id));
        found.traces.sort_by_cached_key(|trace| {
            let matching = trace.spans.iter().filter(|span| self.matches(span));
            Reverse((matching.map(|span| span.start).max(), trace.id))
        });
        if found.traces.len() > self.limit {
            found.traces.truncate(self.limit);
            found.stopped = weightier(found.stopped, Stopped::Limit);
        }
    }
}

/// Of two searches' ends the one that says more of what is missing.
fn weightier(one: Stopped, other: Stopped) -> Stopped {
    let weight = |stopped: &Stopped| match stopped {
        Stopped::End => 0,
        // As many as were asked for.
        Stopped::Limit => 1,
        Stopped::Bytes => 2,
        Stopped::Read => 3,
        Stopped::Time => 4,
        Stopped::Cancelled => 5,
    };
    std::cmp::max_by_key(one, other, weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_before_its_time_is_not_hidden_by_one_that_was_asked_for() {
        let cases = [
            (Stopped::End, Stopped::Limit),
            (Stopped::Limit, Stopped::Bytes),
            (Stopped::Limit, Stopped::Read),
            (Stopped::Limit, Stopped::Time),
            (Stopped::Time, Stopped::Cancelled),
        ];
        for (lighter, expected) in cases {
            assert_eq!(weightier(lighter, expected), expected);
            assert_eq!(weightier(expected, lighter), expected);
        }
    }
}
