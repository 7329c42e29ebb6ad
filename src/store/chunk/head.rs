//! The head of a chunk read back: everything about the spans that a search asks before their bodies.

use std::ops::Range;

use crate::model::{Origin, SpanId, SpanKind, StatusCode, Timestamp, TraceId};
use crate::store::chunk::numbers::{Numbers, unzigzag};
use crate::store::chunk::{MAX_SPANS, SHAPE_HEADER_BYTES};

/// What the spans of one shape and name have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Class {
    /// Their kind.
    pub(in crate::store) kind: SpanKind,
    /// Their status.
    pub(in crate::store) status: StatusCode,
    pub(super) origin: Origin,
    pub(super) flags: u32,
    pub(super) shape: u16,
    /// Where their name stands in [`Head::names`].
    name: Range<u32>,
}

/// How many there are of what.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counts {
    pub(super) spans: usize,
    pub(super) traces: usize,
    pub(super) foreign_parents: usize,
}

/// The head's columns. Places of spans, traces, sources and classes fit in 16 bits, as there are no more than spans.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) trace_ids: Vec<TraceId>,
    /// The first span of each trace, and one more: the end.
    pub(super) firsts: Vec<u32>,
    pub(super) span_ids: Vec<SpanId>,
    /// Zero where there is none.
    pub(super) parents: Vec<SpanId>,
    pub(super) starts: Vec<Timestamp>,
    pub(super) ends: Vec<Timestamp>,
    pub(super) sources: Vec<u32>,
    pub(super) classes: Vec<Class>,
    pub(super) trace_of: Vec<u16>,
    pub(super) source_of: Vec<u16>,
    pub(super) class_of: Vec<u16>,
    pub(super) shapes: usize,
    names: Vec<u8>,
}

impl Head {
    /// From the ids, which stand before the packed head, and the head unpacked.
    pub(super) fn read(counts: Counts, ids: &mut Numbers<'_>, head: &[u8]) -> Option<Self> {
        let trace_ids: Vec<_> = ids.arrays(counts.traces)?.iter().copied().map(TraceId).collect();
        let span_ids: Vec<_> = ids.arrays(counts.spans)?.iter().copied().map(SpanId).collect();
        let foreign_parents = ids.arrays(counts.foreign_parents)?;
        let mut head = Numbers(head);
        let base = head.number()?;
        let (firsts, trace_of) = traces(counts, &mut head)?;
        let (starts, ends) = times(base, &firsts, &mut head)?;
        let parents = parents(&firsts, &span_ids, foreign_parents, &mut head)?;
        let known = head.at_most(counts.spans)?;
        let sources: Vec<_> =
            (0..known).map(|_| u32::try_from(head.number()?).ok()).collect::<Option<_>>()?;
        let source_of = column(counts.spans, sources.len(), &mut head)?;
        let (names, places) = names(&mut head)?;
        let shapes = head.at_most(counts.spans)?;
        let shapes = head.arrays(shapes)?;
        let classes = classes(counts.spans, shapes, &places, &mut head)?;
        let class_of = column(counts.spans, classes.len(), &mut head)?;
        head.0.is_empty().then_some(Self {
            trace_ids,
            firsts,
            span_ids,
            parents,
            starts,
            ends,
            sources,
            classes,
            trace_of,
            source_of,
            class_of,
            shapes: shapes.len(),
            names,
        })
    }

    pub(super) fn name(&self, class: &Class) -> &[u8] {
        &self.names[class.name.start as usize..class.name.end as usize]
    }

    pub(super) fn class(&self, span: usize) -> &Class {
        &self.classes[usize::from(self.class_of[span])]
    }

    pub(super) fn trace_id(&self, span: usize) -> TraceId {
        self.trace_ids[usize::from(self.trace_of[span])]
    }

    /// The memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&self.trace_ids[..])
            + size_of_val(&self.firsts[..])
            + size_of_val(&self.sources[..])
            + size_of_val(&self.classes[..])
            + self.names.len()
            + self.span_ids.len() * (4 * size_of::<u64>() + 3 * size_of::<u16>())
    }
}

/// The first span of each trace, and the trace of each span.
fn traces(counts: Counts, head: &mut Numbers<'_>) -> Option<(Vec<u32>, Vec<u16>)> {
    let mut firsts = Vec::with_capacity(counts.traces + 1);
    let mut trace_of = Vec::with_capacity(counts.spans);
    for trace in 0..counts.traces {
        firsts.push(trace_of.len() as u32);
        let size = head.at_most(counts.spans - trace_of.len())?;
        trace_of.resize(trace_of.len() + size, trace as u16);
    }
    firsts.push(trace_of.len() as u32);
    (trace_of.len() == counts.spans).then_some((firsts, trace_of))
}

fn times(base: u64, firsts: &[u32], head: &mut Numbers<'_>) -> Option<(Vec<Timestamp>, Vec<Timestamp>)> {
    let mut starts = Vec::with_capacity(*firsts.last()? as usize);
    let mut offsets = *head;
    for _ in 1..firsts.len() {
        head.number()?;
    }
    for of_trace in firsts.windows(2) {
        let earliest = base.wrapping_add(offsets.number()?);
        for _ in of_trace[0]..of_trace[1] {
            starts.push(Timestamp(earliest.wrapping_add(head.number()?)));
        }
    }
    let mut ends = Vec::with_capacity(starts.len());
    for start in &starts {
        ends.push(Timestamp(start.nanos().wrapping_add_signed(unzigzag(head.number()?))));
    }
    Some((starts, ends))
}

fn parents(
    firsts: &[u32],
    span_ids: &[SpanId],
    foreign: &[[u8; 8]],
    head: &mut Numbers<'_>,
) -> Option<Vec<SpanId>> {
    let mut parents = Vec::with_capacity(span_ids.len());
    let mut foreign = foreign.iter();
    for of_trace in firsts.windows(2) {
        let siblings = &span_ids[of_trace[0] as usize..of_trace[1] as usize];
        for _ in siblings {
            parents.push(match head.at_most(siblings.len() + 1)? {
                0 => SpanId::default(),
                1 => SpanId(*foreign.next()?),
                place => siblings[place - 2],
            });
        }
    }
    Some(parents)
}

/// A column of places in something of `end` members.
fn column(spans: usize, end: usize, head: &mut Numbers<'_>) -> Option<Vec<u16>> {
    const { assert!(MAX_SPANS <= 1 << 16) };
    let mut column = Vec::with_capacity(spans);
    for _ in 0..spans {
        column.push(head.below(end)? as u16);
    }
    Some(column)
}

/// All names, and where each of them stands.
fn names(head: &mut Numbers<'_>) -> Option<(Vec<u8>, Vec<Range<u32>>)> {
    let count = head.at_most(head.0.len())?;
    let mut places = Vec::with_capacity(count);
    let mut end = 0;
    for _ in 0..count {
        let start = end;
        end = start + head.at_most(head.0.len())?;
        places.push(start as u32..end as u32);
        if end > head.0.len() {
            return None;
        }
    }
    Some((head.bytes(end)?.to_vec(), places))
}

fn classes(
    spans: usize,
    shapes: &[[u8; SHAPE_HEADER_BYTES]],
    names: &[Range<u32>],
    head: &mut Numbers<'_>,
) -> Option<Vec<Class>> {
    let count = head.at_most(spans)?;
    let mut classes = Vec::with_capacity(count);
    for _ in 0..count {
        let shape = head.below(shapes.len())?;
        let [kind, status, origin, flags @ ..] = shapes[shape];
        classes.push(Class {
            kind: SpanKind::from_number(kind.into()),
            status: StatusCode::from_number(status.into()),
            origin: Origin::from_number(origin)?,
            flags: u32::from_le_bytes(flags),
            shape: shape as u16,
            name: names[head.below(names.len())?].clone(),
        });
    }
    Some(classes)
}
