//! A trace in one line, as Jaeger's third API lists it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::model::{Timestamp, TraceId};
use crate::query::{self, Cancel, Count, Error, PieceLimits, Query, Root, shortened};
use crate::translate::jaeger_json::shown_service;

/// Spans that are held at a time while a trace is summed up, and their bytes.
const PIECE: PieceLimits = PieceLimits { spans: 10_000, bytes: 1 << 20 };

/// A trace in one line, with the names it is shown by. A trace without a root has no root's names.
#[derive(Debug, Default)]
pub(super) struct Summary {
    pub(super) id: TraceId,
    pub(super) root_service: String,
    pub(super) root_name: String,
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
    pub(super) spans: u32,
    pub(super) errors: u32,
    pub(super) orphans: u32,
    /// How many spans and errors, by name.
    pub(super) services: BTreeMap<String, (u32, u32)>,
}

impl Summary {
    /// Sums a trace of any size up; `None` when nothing of it is stored, or nobody waits for it any more.
    pub(super) fn read(query: &Query, id: TraceId, cancel: &Cancel) -> Result<Option<Self>, Error> {
        let mut count = Count::default();
        let walked = query.each_piece(id, PIECE, |piece| {
            piece.iter().for_each(|span| count.add(span));
            if cancel.is_cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
        let summary = count.finish();
        Ok((walked.is_continue() && summary.spans > 0).then(|| Self::of(id, summary)))
    }

    pub(super) fn of(id: TraceId, summary: query::Summary) -> Self {
        let mut services: BTreeMap<String, (u32, u32)> = BTreeMap::new();
        for service in summary.services {
            let (spans, errors) = services.entry(listed(&service.name)).or_default();
            *spans += service.spans;
            *errors += service.errors;
        }
        let names = |root: Root| (listed(&root.service), shortened(&root.name).into_owned());
        let (root_service, root_name) = summary.root.map(names).unwrap_or_default();
        Self {
            id,
            root_service,
            root_name,
            start: summary.start,
            end: summary.end,
            spans: summary.spans,
            errors: summary.errors,
            orphans: summary.orphans,
            services,
        }
    }
}

/// A number as protobuf's messages say it.
pub(super) fn counted(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The name that a service is listed by.
fn listed(name: &str) -> String {
    shown_service(&shortened(name)).to_owned()
}
