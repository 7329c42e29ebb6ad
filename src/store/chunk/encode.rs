//! Packs spans into a chunk.

use std::hint::black_box;

use zstd::bulk::Compressor;

use crate::model::{Span, SpanKind, StatusCode};
use crate::otlp::write;
use crate::store::Error;
use crate::store::chunk::body_columns::BodyColumns;
use crate::store::chunk::dictionary::Index;
use crate::store::chunk::head_columns::HeadColumns;
use crate::store::chunk::{Item, MAX_BODY_BYTES, MAX_SPANS, VERSION};
use crate::store::tags::Tags;

/// The bodies are in columns already: a thorough search for repetitions finds little more.
const ZSTD_LEVEL: i32 = 1;

/// Spans whose bodies are called for at once, before the first of them is walked: they lie all over a batch.
const AHEAD: usize = 16;

/// The first lines of a body are called for; the processor guesses those of a long one by itself.
const CALLED_LINES: usize = 12;

/// Bytes that come into the processor's cache together.
const CACHE_LINE: usize = 64;

/// Bytes that are kept for the next chunk: few are larger.
const MAX_ROOM: usize = 8 << 20;

/// What spans of a chunk have in common.
#[derive(Debug, Clone, Copy)]
pub(in crate::store) struct SpanClass {
    /// Its number; spans of a class have one name, kind and status.
    pub(in crate::store) class: u32,
    /// Which of the chunk's names.
    pub(in crate::store) name: u32,
    /// Of this span alone: whether its links or attributes may say something of calls.
    pub(in crate::store) tells_of_calls: bool,
}

/// Packs chunk after chunk in the same memory.
pub(in crate::store) struct Encoder {
    index: Index,
    head: HeadColumns,
    body: BodyColumns,
    /// The shape of the present span.
    shape: Vec<u8>,
    /// What is said of each span of the chunk.
    classes: Vec<SpanClass>,
    /// Kinds and statuses that the tags have, a bit for each pair.
    outcomes: u32,
    raw: Vec<u8>,
    compressor: Compressor<'static>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    pub(in crate::store) fn new() -> Self {
        Self {
            index: Index::new(),
            head: HeadColumns::default(),
            body: BodyColumns::default(),
            shape: Vec::new(),
            classes: Vec::new(),
            outcomes: 0,
            raw: Vec::new(),
            compressor: Compressor::new(ZSTD_LEVEL).expect("zstd has this level"),
        }
    }

    /// A chunk of these spans, sorted by trace id and span id; what they can be searched by goes into `tags`, except
    /// for what their sources bring. Beyond the limits of [`super`] it could not be read again: that is an error.
    pub(in crate::store) fn encode(&mut self, items: &[Item<'_>], tags: &mut Tags) -> Result<Vec<u8>, Error> {
        debug_assert!(items.is_sorted_by_key(|item| (item.span.trace_id, item.span.span_id)));
        if items.len() > MAX_SPANS {
            return Err(Error::TooLarge { what: "spans in a chunk", found: items.len(), most: MAX_SPANS });
        }
        self.index.clear();
        self.head.clear();
        self.body.clear();
        self.classes.clear();
        self.outcomes = 0;
        let mut bytes = 0;
        for trace in items.chunk_by(|one, next| one.span.trace_id == next.span.trace_id) {
            self.head.trace(trace, &mut self.index);
            for some in trace.chunks(AHEAD) {
                call_for_bodies(some);
                bytes += some.iter().map(|item| item.span.body.len()).sum::<usize>();
                if bytes > MAX_BODY_BYTES {
                    let what = "bytes of spans in a chunk";
                    return Err(Error::TooLarge { what, found: bytes, most: MAX_BODY_BYTES });
                }
                some.iter().for_each(|item| self.span(item.span, tags));
            }
        }
        Ok(self.pack(items.len()))
    }

    /// Of each span of the chunk that was encoded last.
    pub(in crate::store) fn classes(&self) -> &[SpanClass] {
        &self.classes
    }

    /// How many classes the spans of that chunk are of.
    pub(in crate::store) fn count_of_classes(&self) -> usize {
        self.head.count_of_classes()
    }

    /// The sources of the spans of that chunk, each once.
    pub(in crate::store) fn sources(&self) -> impl Iterator<Item = u32> {
        self.head.sources()
    }

    /// The names of the spans of that chunk, as their bytes came.
    pub(in crate::store) fn names(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.head.names()
    }

    fn span(&mut self, span: &Span, tags: &mut Tags) {
        self.shape.clear();
        self.shape.extend_from_slice(&[span.kind as u8, span.status as u8, span.origin as u8]);
        self.shape.extend_from_slice(&span.flags.to_le_bytes());
        let (name, tells_of_calls) = self.body.span(span, &mut self.shape, &mut self.index, tags);
        let (class, name_entry, is_new_shape) = self.head.class(&self.shape, name, &mut self.index);
        self.classes.push(SpanClass { class, name: name_entry.id, tells_of_calls });
        if name_entry.is_new {
            tags.name(name);
        }
        if is_new_shape {
            self.outcome(span.kind, span.status, tags);
        }
    }

    fn outcome(&mut self, kind: SpanKind, status: StatusCode, tags: &mut Tags) {
        let bit = 1 << (4 * kind as u32 + status as u32);
        if self.outcomes & bit == 0 {
            self.outcomes |= bit;
            tags.outcome(kind, status);
        }
    }

    fn pack(&mut self, spans: usize) -> Vec<u8> {
        self.raw.clear();
        self.raw.shrink_to(MAX_ROOM);
        self.head.write(&mut self.raw);
        let head_bytes = self.raw.len();
        let head = pack(&mut self.compressor, &self.raw);
        self.raw.clear();
        self.head.write_ops(&mut self.raw);
        self.body.write(&mut self.raw);
        let body = pack(&mut self.compressor, &self.raw);
        let ids = [&self.head.trace_ids, &self.head.span_ids, &self.head.foreign_parents];
        let length = head.len() + body.len() + ids.map(Vec::len).iter().sum::<usize>();
        // A little more: the numbers in front, and the checksum that comes behind.
        let mut chunk = Vec::with_capacity(length + 64);
        chunk.push(VERSION);
        let (values, distinct) = self.body.counts();
        let numbers = [spans, self.head.trace_ids.len() / 16, self.head.foreign_parents.len() / 8];
        numbers.into_iter().for_each(|number| write::varint(&mut chunk, number as u64));
        [values, distinct].into_iter().for_each(|number| write::varint(&mut chunk, number));
        let lengths = [head_bytes, head.len(), self.raw.len()];
        lengths.into_iter().for_each(|length| write::varint(&mut chunk, length as u64));
        ids.into_iter().for_each(|ids| chunk.extend_from_slice(ids));
        chunk.extend_from_slice(&head);
        chunk.extend_from_slice(&body);
        chunk
    }
}

/// Reads a byte of each cache line of the bodies, so that the lines come while earlier ones are still on their way.
fn call_for_bodies(items: &[Item<'_>]) {
    let mut read = 0;
    for item in items {
        let body = &item.span.body[..];
        for line in body.chunks(CACHE_LINE).take(CALLED_LINES) {
            read ^= line[0];
        }
    }
    black_box(read);
}

fn pack(compressor: &mut Compressor<'_>, raw: &[u8]) -> Vec<u8> {
    compressor.compress(raw).expect("zstd was given room for the worst case")
}
