//! A trace in one line: how it is listed among others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Once;

use crate::model::{Span, SpanId, StatusCode, Timestamp};
use crate::otlp::SpanView;
use crate::query::{Trace, shortened};

/// Services of a trace that are told; the spans of others are counted in the trace only.
const MAX_SERVICES: usize = 10_000;

/// Ids that are kept in mind to count orphans by, of spans and of parents that were not seen: 10 to 20 MiB.
const MAX_IDS: usize = 1 << 19;

/// What a list of traces says of each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// The earliest of the spans that name no parent, if there is one.
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
    /// The service; empty when the span names none.
    pub service: String,
    /// The span's name.
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
        Self { service: span.resource.service.clone(), name: SpanView::name_of(&span.body).into_owned() }
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

/// Sums a trace of any size up span by span, in any order. It takes some thirty bytes for a span, some 30 MiB at most.
#[derive(Debug, Default)]
pub struct Count {
    /// The root, and when and who it is.
    root: Option<((Timestamp, SpanId, u64), Root)>,
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
        let order = (span.start, span.span_id, span.content_hash);
        if span.parent_id.is_none() && self.root.as_ref().is_none_or(|(first, _)| order < *first) {
            self.root = Some((order, Root::of(span)));
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
            root: self.root.map(|(_order, root)| root),
            start: self.start.unwrap_or_default(),
            end: self.end,
            spans: self.spans,
            errors: self.errors,
            orphans: self.parents.waiting.into_values().sum(),
            services: self.services.into_iter().map(named).collect(),
        }
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
