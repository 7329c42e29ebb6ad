//! A trace in one line: how it is listed among others.

use std::collections::{BTreeMap, HashSet};

use crate::model::{Span, SpanId, StatusCode, Timestamp};
use crate::otlp::SpanView;
use crate::query::{Outline, Trace};

/// What a list of traces says of each.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// The service of the root, or of the earliest span when there is no root.
    pub root_service: String,
    /// The name of the same span.
    pub root_name: String,
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

impl Summary {
    /// Sums a trace up.
    pub fn of(trace: &Trace) -> Self {
        Self::with_outline(trace, &Outline::of(trace))
    }

    /// The same for callers who have the outline already.
    pub fn with_outline(trace: &Trace, outline: &Outline) -> Self {
        let services = services(&trace.spans);
        let root = outline.rows.iter().find(|row| row.parent.is_none() && !row.missing_parent);
        let head = root.map_or(trace.spans.first(), |row| trace.spans.get(row.span as usize));
        Self {
            root_service: head.map(|span| span.resource.service.clone()).unwrap_or_default(),
            root_name: head.map(|span| SpanView::name_of(&span.body).into_owned()).unwrap_or_default(),
            start: outline.start,
            end: outline.start.plus(outline.duration),
            spans: trace.spans.len() as u32,
            errors: services.iter().map(|service| service.errors).sum(),
            orphans: orphans(&trace.spans),
            services,
        }
    }
}

fn orphans(spans: &[Span]) -> u32 {
    let ids: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
    let parents = spans.iter().filter_map(|span| span.parent_id);
    parents.filter(|parent| !ids.contains(parent)).count() as u32
}

fn services(spans: &[Span]) -> Vec<ServiceCount> {
    let mut counts: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    for span in spans {
        let (spans, errors) = counts.entry(&span.resource.service).or_default();
        *spans += 1;
        *errors += u32::from(span.status == StatusCode::Error);
    }
    let named =
        |(name, (spans, errors)): (&str, (u32, u32))| ServiceCount { name: name.into(), spans, errors };
    counts.into_iter().map(named).collect()
}
