//! The shape of a trace: who hangs below whom, in the order a reader goes through it.
//!
//! Every span of the trace is one row, whatever is wrong with it: a span whose parent is missing, or whose parents
//! go round in a circle, is a root. Nothing here recurses, so a chain of any length is fine.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::{Origin, Span, SpanId, SpanKind, Timestamp};
use crate::query::Trace;

/// A trace as a tree, laid out in preorder: roots by start, children by start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outline {
    /// One row for each span of the trace.
    pub rows: Vec<Row>,
    /// The earliest start.
    pub start: Timestamp,
    /// From the earliest start to the latest end.
    pub duration: Duration,
}

/// A span's place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Where the span stands in [`Trace::spans`].
    pub span: u32,
    /// The row of its parent; `None` for a root.
    pub parent: Option<u32>,
    /// Ancestors above it; stays at `u16::MAX` below that.
    pub depth: u16,
    /// The row after its last descendant.
    pub subtree_end: u32,
    /// Its duration without the time in which at least one child was at work.
    pub self_time: Duration,
    /// It names a parent, and hangs below none: the parent is not in the trace, or is one of its descendants.
    pub missing_parent: bool,
    /// Another span of the trace has the same span id.
    pub shared_id: bool,
}

impl Outline {
    /// Lays a trace out. Takes time and memory in proportion to its spans.
    pub fn of(trace: &Trace) -> Self {
        let spans = &trace.spans;
        let family = Family::of(spans);
        let start = spans.iter().map(|span| span.start).min().unwrap_or_default();
        let end = spans.iter().map(|span| span.end.max(span.start)).max().unwrap_or_default();
        Self { rows: family.rows(spans), start, duration: end.since(start) }
    }

    /// Whether this is one tree with nothing missing.
    pub fn is_whole(&self) -> bool {
        self.rows.first().is_some_and(|root| root.subtree_end as usize == self.rows.len())
            && self.rows.iter().all(|row| !row.missing_parent)
    }
}

/// No span.
const NONE: u32 = u32::MAX;

/// Who belongs to whom, by places in the trace's spans.
struct Family {
    parent: Vec<u32>,
    shared_id: Vec<bool>,
}

impl Family {
    fn of(spans: &[Span]) -> Self {
        let ids = Ids::of(spans);
        let parent = spans.iter().map(|span| ids.parent_of(span)).collect();
        let mut family = Self { parent, shared_id: spans.iter().map(|span| ids.is_shared(span)).collect() };
        family.break_circles();
        family
    }

    /// Makes the first span of every circle of parents a root.
    fn break_circles(&mut self) {
        // The walk that saw a span first; a walk that meets its own number has gone round.
        let mut seen_by = vec![NONE; self.parent.len()];
        for first in 0..self.parent.len() as u32 {
            let mut at = first;
            while at != NONE && seen_by[at as usize] == NONE {
                seen_by[at as usize] = first;
                at = self.parent[at as usize];
            }
            if at != NONE && seen_by[at as usize] == first {
                self.break_circle_through(at);
            }
        }
    }

    fn break_circle_through(&mut self, member: u32) {
        let (mut earliest, mut at) = (member, self.parent[member as usize]);
        while at != member {
            earliest = earliest.min(at);
            at = self.parent[at as usize];
        }
        self.parent[earliest as usize] = NONE;
    }

    fn rows(&self, spans: &[Span]) -> Vec<Row> {
        let self_times = self.self_times(spans);
        let (first_child, next_sibling, first_root) = self.threads();
        let mut row_of = vec![NONE; spans.len()];
        let mut rows: Vec<Row> = Vec::with_capacity(spans.len());
        let mut at = first_root;
        while at != NONE {
            let place = at as usize;
            let parent = Some(self.parent[place]).filter(|&above| above != NONE);
            let above = parent.map(|parent| row_of[parent as usize]);
            row_of[place] = rows.len() as u32;
            rows.push(Row {
                span: at,
                parent: above,
                depth: above.map_or(0, |above| rows[above as usize].depth.saturating_add(1)),
                subtree_end: 0,
                self_time: self_times[place],
                missing_parent: parent.is_none() && spans[place].parent_id.is_some(),
                shared_id: self.shared_id[place],
            });
            at = match first_child[place] {
                NONE => self.next_in_preorder(at, &next_sibling),
                child => child,
            };
        }
        close_subtrees(&mut rows);
        rows
    }

    /// First child and next sibling of each span, and the first root; roots are each other's siblings.
    fn threads(&self) -> (Vec<u32>, Vec<u32>, u32) {
        let mut first_child = vec![NONE; self.parent.len()];
        let mut next_sibling = vec![NONE; self.parent.len()];
        let mut first_root = NONE;
        // From the last to the first, so that each list comes out in the order of the spans.
        for place in (0..self.parent.len()).rev() {
            let head = match self.parent[place] {
                NONE => &mut first_root,
                parent => &mut first_child[parent as usize],
            };
            next_sibling[place] = *head;
            *head = place as u32;
        }
        (first_child, next_sibling, first_root)
    }

    /// The next span after a leaf: its sibling, or that of the nearest ancestor that has one.
    fn next_in_preorder(&self, leaf: u32, next_sibling: &[u32]) -> u32 {
        let mut at = leaf;
        while at != NONE && next_sibling[at as usize] == NONE {
            at = self.parent[at as usize];
        }
        if at == NONE { NONE } else { next_sibling[at as usize] }
    }

    /// Durations minus what the children cover. Spans come by start, so each parent's covered time only grows
    /// at its end.
    fn self_times(&self, spans: &[Span]) -> Vec<Duration> {
        let mut own: Vec<Duration> = spans.iter().map(Span::duration).collect();
        let mut covered_until: Vec<Timestamp> = spans.iter().map(|span| span.start).collect();
        for (child, &parent) in spans.iter().zip(&self.parent) {
            if parent == NONE {
                continue;
            }
            let parent = parent as usize;
            let from = child.start.max(covered_until[parent]);
            let until = child.end.min(spans[parent].end);
            own[parent] = own[parent].saturating_sub(until.since(from));
            covered_until[parent] = covered_until[parent].max(until);
        }
        own
    }
}

/// Sets each row's `subtree_end`: descendants stand behind their ancestors, so from the last row upward every
/// row's own end is known before it is passed on.
fn close_subtrees(rows: &mut [Row]) {
    for row in (0..rows.len()).rev() {
        let end = rows[row].subtree_end.max(row as u32 + 1);
        rows[row].subtree_end = end;
        if let Some(parent) = rows[row].parent {
            let above = &mut rows[parent as usize].subtree_end;
            *above = end.max(*above);
        }
    }
}

/// Finds spans by id, and by id and service for ids that several spans share.
struct Ids<'a> {
    /// The first span of an id, and how many there are.
    by_id: HashMap<SpanId, (u32, u32)>,
    by_service: HashMap<(SpanId, &'a str), u32>,
    /// The first who asks of each id that several share, and the first who does not.
    asking: HashMap<SpanId, u32>,
    not_asking: HashMap<SpanId, u32>,
}

impl<'a> Ids<'a> {
    fn of(spans: &'a [Span]) -> Self {
        let mut ids = Self {
            by_id: HashMap::with_capacity(spans.len()),
            by_service: HashMap::new(),
            asking: HashMap::new(),
            not_asking: HashMap::new(),
        };
        for (place, span) in spans.iter().enumerate() {
            ids.by_id.entry(span.span_id).or_insert((place as u32, 0)).1 += 1;
        }
        for (place, span) in spans.iter().enumerate().filter(|(_, span)| ids.by_id[&span.span_id].1 > 1) {
            let place = place as u32;
            let half = if asks(span) { &mut ids.asking } else { &mut ids.not_asking };
            half.entry(span.span_id).or_insert(place);
            let of_service = ids.by_service.entry((span.span_id, &span.resource.service)).or_insert(place);
            // Of a call of a service by itself, what follows belongs to the side that answers.
            if answers(span) && asks(&spans[*of_service as usize]) {
                *of_service = place;
            }
        }
        ids
    }

    /// Older clients give both sides of a call one id: who answers hangs below who asks, and of several spans with the
    /// parent's id, the one in the child's own service is the parent.
    fn parent_of(&self, child: &Span) -> u32 {
        if answers(child)
            && let Some(&asking) = self.asking.get(&child.span_id)
        {
            return asking;
        }
        let Some(id) = child.parent_id.filter(|&id| id != child.span_id) else { return NONE };
        let same_service = self.by_service.get(&(id, child.resource.service.as_str()));
        // In Zipkin's words only who answers is called from another service, as calls are counted too.
        let is_inside = child.origin == Origin::Zipkin && !answers(child);
        let not_asking = self.not_asking.get(&id).filter(|_| is_inside);
        let first = self.by_id.get(&id).map(|(first, _)| first);
        same_service.or(not_asking).or(first).copied().unwrap_or(NONE)
    }

    fn is_shared(&self, span: &Span) -> bool {
        self.by_id[&span.span_id].1 > 1
    }
}

/// Whether this is the asking side of a call or a message.
fn asks(span: &Span) -> bool {
    matches!(span.kind, SpanKind::Client | SpanKind::Producer)
}

/// Whether this is the answering side of one.
pub(super) fn answers(span: &Span) -> bool {
    matches!(span.kind, SpanKind::Server | SpanKind::Consumer)
}
