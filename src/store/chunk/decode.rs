//! Opens a chunk: its head at once, the bodies when the first of them is asked for.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::model::{ContentHasher, Resource, Scope, Span, SpanId, SpanKind, StatusCode, Timestamp, TraceId};
use crate::store::chunk::body::{Body, Sizes};
use crate::store::chunk::head::{Class, Counts, Head};
use crate::store::chunk::numbers::Numbers;
use crate::store::chunk::page::Page;
use crate::store::chunk::{MAX_SPANS, MAX_UNPACKED_BYTES, VERSION};
use crate::store::seal::Damaged;

/// Resource and scope of a source.
type Source = (Arc<Resource>, Arc<Scope>);

/// An opened chunk. Spans are named by their place in it.
#[derive(Debug)]
pub(in crate::store) struct Chunk {
    head: Head,
    sizes: Sizes,
    packed_body: Box<[u8]>,
    /// None if it is damaged.
    body: OnceLock<Option<Body>>,
}

impl Chunk {
    /// Reads the head of a chunk, and keeps its body packed.
    pub(in crate::store) fn open(chunk: &[u8]) -> Result<Self, Damaged> {
        Self::read(chunk).ok_or(Damaged)
    }

    fn read(chunk: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = chunk.split_first()? else { return None };
        let mut rest = Numbers(rest);
        let spans = rest.at_most(MAX_SPANS)?;
        let counts = Counts { spans, traces: rest.at_most(spans)?, foreign_parents: rest.at_most(spans)? };
        let (values, distinct) = (rest.at_most(MAX_UNPACKED_BYTES)?, rest.at_most(MAX_UNPACKED_BYTES)?);
        let head_bytes = rest.at_most(MAX_UNPACKED_BYTES)?;
        let packed_head_bytes = rest.at_most(chunk.len())?;
        let unpacked = rest.at_most(MAX_UNPACKED_BYTES)?;
        // Each value takes a byte at least, so does each distinct one.
        (values + distinct <= unpacked).then_some(())?;
        let mut ids = rest;
        rest.bytes(16 * counts.traces + 8 * (counts.spans + counts.foreign_parents))?;
        let head = unpack(rest.bytes(packed_head_bytes)?, head_bytes)?;
        Some(Self {
            head: Head::read(counts, &mut ids, &head)?,
            sizes: Sizes { values, distinct, unpacked },
            packed_body: rest.0.into(),
            body: OnceLock::new(),
        })
    }

    /// How many spans there are.
    pub(in crate::store) fn len(&self) -> usize {
        self.head.span_ids.len()
    }

    /// The memory that it takes once its bodies have been asked for, in bytes.
    pub(in crate::store) fn bytes(&self) -> usize {
        size_of::<Self>() + self.head.bytes() + self.packed_body.len() + self.sizes.bytes(self.len())
    }

    /// The trace that a span belongs to.
    pub(in crate::store) fn trace_id(&self, span: usize) -> TraceId {
        self.head.trace_id(span)
    }

    /// A span's id.
    pub(in crate::store) fn span_id(&self, span: usize) -> SpanId {
        self.head.span_ids[span]
    }

    /// The id of a span's parent.
    #[cfg(test)]
    pub(in crate::store) fn parent_id(&self, span: usize) -> Option<SpanId> {
        Some(self.head.parents[span]).filter(|parent| !parent.is_zero())
    }

    /// When a span started.
    pub(in crate::store) fn start(&self, span: usize) -> Timestamp {
        self.head.starts[span]
    }

    /// When a span ended.
    pub(in crate::store) fn end(&self, span: usize) -> Timestamp {
        self.head.ends[span]
    }

    /// The id of a span's resource and scope.
    pub(in crate::store) fn source(&self, span: usize) -> u32 {
        self.head.sources[usize::from(self.head.source_of[span])]
    }

    /// All that [`Self::source`] gives, each once.
    pub(in crate::store) fn sources(&self) -> &[u32] {
        &self.head.sources
    }

    /// Kind, status and name of a span, which it shares with others.
    pub(in crate::store) fn class(&self, span: usize) -> &Class {
        self.head.class(span)
    }

    /// The name of the spans of a class of this chunk; what is not UTF-8 in it is as it came.
    pub(in crate::store) fn class_name(&self, class: &Class) -> &[u8] {
        self.head.name(class)
    }

    /// A span's kind.
    pub(in crate::store) fn kind(&self, span: usize) -> SpanKind {
        self.class(span).kind
    }

    /// A span's status.
    pub(in crate::store) fn status(&self, span: usize) -> StatusCode {
        self.class(span).status
    }

    /// A span's name; what is not UTF-8 in it is as it came.
    pub(in crate::store) fn name(&self, span: usize) -> &[u8] {
        self.class_name(self.class(span))
    }

    /// The traces, in order, each with its spans.
    #[cfg(test)]
    pub(in crate::store) fn traces(&self) -> impl Iterator<Item = (TraceId, Range<usize>)> {
        (0..self.head.trace_ids.len()).map(|place| (self.head.trace_ids[place], self.spans_of(place)))
    }

    /// The spans of a trace, by their ids; empty if there are none.
    pub(in crate::store) fn trace(&self, trace_id: TraceId) -> Range<usize> {
        self.head.trace_ids.binary_search(&trace_id).map_or(0..0, |place| self.spans_of(place))
    }

    fn spans_of(&self, trace: usize) -> Range<usize> {
        self.head.firsts[trace] as usize..self.head.firsts[trace + 1] as usize
    }

    /// The spans of these ids: more than one where clients reuse them.
    pub(in crate::store) fn find(&self, trace_id: TraceId, span_id: SpanId) -> Range<usize> {
        let trace = self.trace(trace_id);
        let ids = &self.head.span_ids[trace.clone()];
        let start = ids.partition_point(|&id| id < span_id);
        let length = ids[start..].iter().take_while(|&&id| id == span_id).count();
        trace.start + start..trace.start + start + length
    }

    /// A span; none if the bodies are damaged, or if there is no such source.
    pub(in crate::store) fn span(
        &self,
        span: usize,
        sources: &mut impl FnMut(u32) -> Option<Source>,
    ) -> Option<Span> {
        self.reader(sources).ok()?.span(span)
    }

    /// Some spans, in their order; fewer than asked for if the bodies are damaged, or where there is no such source.
    /// Their bodies lie in one piece of memory, which is free when none of them is held any more: ask for a trace, rather
    /// than for all, of what is kept long.
    pub(in crate::store) fn spans(
        &self,
        spans: Range<usize>,
        sources: &mut impl FnMut(u32) -> Option<Source>,
    ) -> Vec<Span> {
        self.reader(sources).map_or_else(|Damaged| Vec::new(), |mut reader| reader.spans(spans))
    }

    /// Reads spans one after the other; asks for each source once, or again where they are large.
    pub(in crate::store) fn reader<F: FnMut(u32) -> Option<Source>>(
        &self,
        sources: F,
    ) -> Result<SpanReader<'_, F>, Damaged> {
        let body = self.body.get_or_init(|| {
            Body::read(&self.head, self.sizes, unpack(&self.packed_body, self.sizes.unpacked)?)
        });
        let body = body.as_ref().ok_or(Damaged)?;
        let known = std::iter::repeat_with(|| None).take(self.head.sources.len()).collect();
        Ok(SpanReader { head: &self.head, body, sources, known, known_bytes: 0 })
    }
}

/// A stretch that was packed from exactly so many bytes.
fn unpack(packed: &[u8], length: usize) -> Option<Vec<u8>> {
    zstd::bulk::decompress(packed, length).ok().filter(|unpacked| unpacked.len() == length)
}

/// Bytes of the sources that a [`SpanReader`] keeps at hand.
const MAX_KNOWN_BYTES: usize = 4 << 20;

/// Makes spans of a chunk.
#[derive(Debug)]
pub(in crate::store) struct SpanReader<'a, F> {
    head: &'a Head,
    body: &'a Body,
    sources: F,
    /// The sources that were asked for lately, and their bytes.
    known: Vec<Option<Box<Known>>>,
    known_bytes: usize,
}

#[derive(Debug)]
struct Known {
    resource: Arc<Resource>,
    scope: Arc<Scope>,
    hasher: ContentHasher,
}

impl<F: FnMut(u32) -> Option<Source>> SpanReader<'_, F> {
    /// A span; none if there is no such source.
    pub(in crate::store) fn span(&mut self, span: usize) -> Option<Span> {
        let mut page = Page::with_room(self.body.length(span));
        self.body.write(self.head, span, &mut page);
        self.record(span, page.finish().into())
    }

    /// See [`Chunk::spans`].
    pub(in crate::store) fn spans(&mut self, spans: Range<usize>) -> Vec<Span> {
        let length = spans.clone().map(|span| self.body.length(span)).sum();
        let mut page = Page::with_room(length);
        spans.clone().for_each(|span| self.body.write(self.head, span, &mut page));
        let mut bodies = Bytes::from(page.finish());
        let record = |span| {
            let body = bodies.split_to(self.body.length(span));
            self.record(span, body)
        };
        spans.filter_map(record).collect()
    }

    fn record(&mut self, span: usize, body: Bytes) -> Option<Span> {
        let source = usize::from(self.head.source_of[span]);
        if self.known[source].is_none() {
            let (resource, scope) = (self.sources)(self.head.sources[source])?;
            let bytes = resource.bytes.len() + scope.bytes.len();
            if self.known_bytes + bytes > MAX_KNOWN_BYTES {
                self.known.iter_mut().for_each(|known| *known = None);
                self.known_bytes = 0;
            }
            self.known_bytes += bytes;
            let hasher = ContentHasher::new(&resource, &scope);
            self.known[source] = Some(Box::new(Known { resource, scope, hasher }));
        }
        let known = self.known[source].as_ref()?;
        let class = self.head.class(span);
        Some(Span {
            trace_id: self.head.trace_id(span),
            span_id: self.head.span_ids[span],
            parent_id: Some(self.head.parents[span]).filter(|parent| !parent.is_zero()),
            start: self.head.starts[span],
            end: self.head.ends[span],
            kind: class.kind,
            status: class.status,
            origin: class.origin,
            flags: class.flags,
            content_hash: known.hasher.hash(&body),
            resource: Arc::clone(&known.resource),
            scope: Arc::clone(&known.scope),
            body,
        })
    }
}
