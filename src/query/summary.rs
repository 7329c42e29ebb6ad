//! A trace in one line: how it is listed among others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Once;

use crate::model::{Span, SpanId, StatusCode, Timestamp};
use crate::otlp::SpanView;
use crate::query::outline::answers;
use crate::query::{Trace, shortened};

/// Services of a trace that are told; the spans of others are counted in the trace only.
const MAX_SERVICES: usize = 10_000;

/// Spans without a parent that are kept in mind until it is known which of them was first.
const MAX_ROOTS: usize = 64;

/// Ids that are kept in mind to count orphans by, of spans and of parents that were not seen: 10 to 20 MiB.
const MAX_IDS: usize = 1 << 19;

/// What a list of traces says of each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// The earliest of the spans that name no parent, if there is one. Of two sides of a call that have one id it is the
    /// one that asks.
    pub root: Option<Root>,
    /// The earliest start.
    pub start: Timestamp,
    /// The latest end, never before `start`.
    pub end: Timestamp,
    /// How many spans.
    pub spans: u32,
    /// Spans with status error.
    pub errors: u32,
    /// Spans that name a parent which is not in the trace; zero where they are too many to be counted, which takes
    /// hundreds of thousands of spans.
    pub orphans: u32,
    /// The services that took part, by name, 10 000 of them at most.
    pub services: Vec<ServiceCount>,
}

/// Where a trace began.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Root {
    /// The service, [`shortened`]; empty when the span names none.
    pub service: String,
    /// The span's name, [`shortened`].
    pub name: String,
}

/// A service's share of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceCount {
    /// The service, [`shortened`]; empty when the spans name none.
    pub name: String,
    /// Its spans.
    pub spans: u32,
    /// Those with status error.
    pub errors: u32,
}

impl Root {
    /// A span as the beginning.
    pub fn of(span: &Span) -> Self {
        Self {
            service: shortened(&span.resource.service).into_owned(),
            name: shortened(&SpanView::name_of(&span.body)).into_owned(),
        }
    }
}

impl Summary {
    /// Sums a trace up.
    pub fn of(trace: &Trace) -> Self {
        let mut count = Count::default();
        trace.spans.iter().for_each(|span| count.add(span));
        count.finish()
    }
}

/// Sums a trace of any size up span by span, in any order; of more than 64 beginnings, those that come later may not be found
/// to be two sides of one. It takes some thirty bytes for a span, some 30 MiB at most.
#[derive(Debug, Default)]
pub struct Count {
    roots: Roots,
    start: Option<Timestamp>,
    end: Timestamp,
    spans: u32,
    errors: u32,
    parents: Parents,
    services: BTreeMap<String, (u32, u32)>,
    has_more_services: bool,
}

impl Count {
    /// Adds a span that was not added before.
    pub fn add(&mut self, span: &Span) {
        self.start = Some(self.start.map_or(span.start, |start| start.min(span.start)));
        self.end = self.end.max(span.end).max(span.start);
        if span.parent_id.is_none() {
            self.roots.add(span);
        }
        self.parents.add(span);
        let is_error = u32::from(span.status == StatusCode::Error);
        self.spans += 1;
        self.errors += is_error;
        if let Some((spans, errors)) = self.service(&shortened(&span.resource.service)) {
            *spans += 1;
            *errors += is_error;
        }
    }

    /// How many spans and errors of a service; none if there is no room for another one.
    fn service(&mut self, name: &str) -> Option<&mut (u32, u32)> {
        if !self.services.contains_key(name) {
            if self.services.len() >= MAX_SERVICES {
                self.has_more_services = true;
                return None;
            }
            self.services.insert(name.to_owned(), (0, 0));
        }
        self.services.get_mut(name)
    }

    /// The sum.
    pub fn finish(self) -> Summary {
        static SAID: Once = Once::new();
        if self.has_more_services || self.parents.are_too_many {
            SAID.call_once(|| {
                tracing::warn!(
                    "a trace was summed up in part: it has more than {MAX_SERVICES} services, or too many spans to \
                     say how many have no parent"
                );
            });
        }
        let named = |(name, (spans, errors))| ServiceCount { name, spans, errors };
        Summary {
            root: self.roots.first(),
            start: self.start.unwrap_or_default(),
            end: self.end,
            spans: self.spans,
            errors: self.errors,
            orphans: self.parents.waiting.into_values().sum(),
            services: self.services.into_iter().map(named).collect(),
        }
    }
}

/// The earliest spans that name no parent, one of each id: of two sides of a call the one that asks, though by its clock the
/// other may have been first.
#[derive(Debug, Default)]
struct Roots {
    of: HashMap<SpanId, Beginning>,
}

#[derive(Debug)]
struct Beginning {
    /// Whether it is known from the side that answers only.
    answers: bool,
    start: Timestamp,
    content_hash: u64,
    root: Root,
}

impl Roots {
    fn add(&mut self, span: &Span) {
        let (answers, start, content_hash) = (answers(span), span.start, span.content_hash);
        match self.of.get(&span.span_id) {
            Some(known)
                if (known.answers, known.start, known.content_hash) <= (answers, start, content_hash) =>
            {
                return;
            }
            None if self.of.len() >= MAX_ROOTS => {
                let last = self.of.iter().map(|(id, known)| (known.start, *id)).max().unwrap_or_default();
                if last < (start, span.span_id) {
                    return;
                }
                self.of.remove(&last.1);
            }
            _ => {}
        }
        self.of.insert(span.span_id, Beginning { answers, start, content_hash, root: Root::of(span) });
    }

    fn first(self) -> Option<Root> {
        let first = self.of.into_iter().min_by_key(|(id, known)| (known.start, *id));
        first.map(|(_id, known)| known.root)
    }
}

/// Who names whom as its parent.
#[derive(Debug, Default)]
struct Parents {
    ids: HashSet<SpanId>,
    /// Spans by the parent they name, as long as that has not been seen.
    waiting: HashMap<SpanId, u32>,
    /// Nothing is kept in mind any more.
    are_too_many: bool,
}

impl Parents {
    fn add(&mut self, span: &Span) {
        if self.are_too_many {
            return;
        }
        if self.ids.insert(span.span_id) {
            self.waiting.remove(&span.span_id);
        }
        if let Some(parent) = span.parent_id.filter(|parent| !self.ids.contains(parent)) {
            *self.waiting.entry(parent).or_default() += 1;
        }
        if self.ids.len() + self.waiting.len() > MAX_IDS {
            *self = Self { are_too_many: true, ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::sketch::trace;

    fn span() -> Span {
        trace(1, "shop | GET /cart | server | 0-10 | ^77 !error").remove(0)
    }

    fn named(service: String) -> Span {
        let span = span();
        let mut resource = span.resource.as_ref().clone();
        resource.service = service;
        Span { resource: Arc::new(resource), ..span }
    }

    #[test]
    fn a_trace_of_too_many_services_is_summed_up_with_the_first_of_them() {
        let mut count = Count::default();
        for number in 0..MAX_SERVICES + 5 {
            count.add(&named(number.to_string()));
        }
        count.add(&named("7".to_owned()));
        let summary = count.finish();
        let all = MAX_SERVICES as u32 + 6;
        assert_eq!((summary.spans, summary.errors, summary.orphans), (all, all, all));
        assert_eq!(summary.services.len(), MAX_SERVICES);
        let seventh = ServiceCount { name: "7".to_owned(), spans: 2, errors: 2 };
        assert!(summary.services.contains(&seventh));
    }

    #[test]
    fn the_side_of_a_call_that_asks_is_the_root_whatever_came_first() {
        let cases = [
            ("web | call | client | 5-9 | #5\nshop | serve | server | 4-8 | #5", "call"),
            ("web | send | producer | 5-6 | #5\nshop | take | consumer | 4-8 | #5", "send"),
            ("web | call | client | 5-9 | #5\nshop | serve | server | 4-8 | #6", "serve"),
            ("shop | serve | server | 4-8 | #5\nweb | page | server | 3-9 | #6", "page"),
            (
                "web | call | client | 5-9 | #5\nshop | serve | server | 2-8 | #5\nx | y | internal | 3-4 | #6",
                "y",
            ),
        ];
        for (sketch, expected) in cases {
            let mut spans = trace(1, sketch);
            for _ in 0..spans.len() {
                spans.rotate_left(1);
                for spans in [spans.clone(), spans.iter().rev().cloned().collect()] {
                    let mut count = Count::default();
                    spans.iter().for_each(|span| count.add(span));
                    assert_eq!(count.finish().root.unwrap().name, expected, "{sketch}");
                }
            }
        }
    }

    #[test]
    fn of_too_many_roots_the_first_are_kept_in_mind() {
        let mut count = Count::default();
        for number in (0..200).rev() {
            let drawing = format!("a | {number} | server | {number}-1000 | #{}", 300 - number);
            count.add(&trace(1, &drawing)[0]);
            assert!(count.roots.of.len() <= MAX_ROOTS);
        }
        assert_eq!(count.finish().root.unwrap().name, "0");
    }

    #[test]
    fn a_long_name_of_a_service_is_kept_short() {
        let mut count = Count::default();
        count.add(&named("x".repeat(1 << 20)));
        let [service] = &count.finish().services[..] else { panic!("one service") };
        assert_eq!(service.name, shortened(&"x".repeat(1 << 20)));
    }

    #[test]
    fn orphans_of_a_trace_of_too_many_spans_are_not_counted_and_all_else_is() {
        let mut count = Count::default();
        let mut span = span();
        for number in 1..=MAX_IDS as u64 {
            span.span_id = SpanId((1_000 + number).to_be_bytes());
            count.add(&span);
        }
        let memory = count.parents.ids.capacity() + count.parents.waiting.capacity();
        let summary = count.finish();
        assert_eq!((summary.spans, summary.orphans, memory), (MAX_IDS as u32, 0, 0));
    }
}
