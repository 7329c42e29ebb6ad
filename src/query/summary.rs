//! A trace in one line: how it is listed among others.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::model::{Span, SpanId, StatusCode, Timestamp};
use crate::otlp::SpanView;
use crate::query::Trace;

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
    /// Spans that name a parent which is not in the trace.
    pub orphans: u32,
    /// The services that took part, by name.
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
    /// The service; empty when the spans name none.
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

/// Sums a trace up span by span, in any order. A span takes some thirty bytes until the end.
#[derive(Debug, Default)]
pub struct Count {
    /// The root, and when and who it is.
    root: Option<((Timestamp, SpanId, u64), Root)>,
    start: Option<Timestamp>,
    end: Timestamp,
    ids: HashSet<SpanId>,
    /// Spans by the parent they name, as long as that has not been seen.
    waiting: HashMap<SpanId, u32>,
    services: BTreeMap<String, (u32, u32)>,
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
        if self.ids.insert(span.span_id) {
            self.waiting.remove(&span.span_id);
        }
        if let Some(parent) = span.parent_id.filter(|parent| !self.ids.contains(parent)) {
            *self.waiting.entry(parent).or_default() += 1;
        }
        let is_error = u32::from(span.status == StatusCode::Error);
        let service = &span.resource.service;
        let (spans, errors) = match self.services.get_mut(service) {
            Some(counts) => counts,
            None => self.services.entry(service.clone()).or_default(),
        };
        *spans += 1;
        *errors += is_error;
    }

    /// The sum.
    pub fn finish(self) -> Summary {
        let named = |(name, (spans, errors))| ServiceCount { name, spans, errors };
        let services: Vec<_> = self.services.into_iter().map(named).collect();
        Summary {
            root: self.root.map(|(_order, root)| root),
            start: self.start.unwrap_or_default(),
            end: self.end,
            spans: services.iter().map(|service| service.spans).sum(),
            errors: services.iter().map(|service| service.errors).sum(),
            orphans: self.waiting.into_values().sum(),
            services,
        }
    }
}
