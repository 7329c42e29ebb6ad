//! Makes a run of sorted spans: chunks, index rows, filters, and the directory's entry.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use redb::WriteTransaction;

use crate::model::{SpanKind, Timestamp, TraceId};
use crate::store::chunk::{Encoder, Item};
use crate::store::directory::{ChunkEntry, Run};
use crate::store::index::{Class, IndexBuilder};
use crate::store::schema::{RUNS, SEARCHABLE_TAGS, SERVICE_NAME_INDEX, SPANS, chunk_key, index_key};
use crate::store::sources::SourceNotes;
use crate::store::tags::Tags;
use crate::store::{Error, bloom, parts, shortened};

/// The most spans of one run.
pub(super) const MAX_RUN_SPANS: usize = 50_000;

/// A chunk ends before the trace with which it would have more than these, unless that trace is all it has.
const CHUNK_SPANS: usize = 2_000;
const CHUNK_BYTES: usize = 1 << 20;

/// Within a trace a chunk ends after these.
const TRACE_SPANS: usize = 4_096;
const TRACE_BYTES: usize = 4 << 20;

/// A run that is ready to be written.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) run: Run,
    chunks: Vec<Vec<u8>>,
    index: Vec<IndexRow>,
    tags: Vec<u8>,
    /// Service, operation and kind of its spans.
    pub(super) names: Vec<(Arc<str>, String, SpanKind)>,
}

/// A service's row of the index.
#[derive(Debug)]
struct IndexRow {
    service: Arc<str>,
    latest: Timestamp,
    blob: Vec<u8>,
}

/// Packs one run after the other with the same memory.
#[derive(Debug)]
pub(super) struct Packer {
    encoder: Encoder,
    tags: Tags,
}

impl Default for Packer {
    fn default() -> Self {
        Self { encoder: Encoder::new(), tags: Tags::default() }
    }
}

impl Packer {
    /// Packs items sorted by trace id, span id and content hash, none twice, at least one and at most
    /// [`MAX_RUN_SPANS`], whose sources are all in `notes`. `packed` is told after each chunk, when its spans are still
    /// in the processor's cache, how far it has come, and of each span up to there what was seen in it.
    pub(super) fn pack(
        &mut self,
        id: u32,
        items: &[Item<'_>],
        notes: &HashMap<u32, SourceNotes>,
        expire_time: Timestamp,
        mut packed: impl FnMut(usize, &Seen),
    ) -> Packed {
        let mut run = RunBuilder { run: Run::empty(id, expire_time), hashes: Vec::new(), last: None };
        let (mut chunks, mut filters, mut services) = (Vec::new(), Vec::new(), Services::default());
        for piece in cut(items) {
            let spans = &items[piece.clone()];
            self.tags.clear();
            let blob = self.encoder.encode(spans, &mut self.tags);
            services.add(piece.start as u32, spans, &self.encoder, notes);
            self.add_sources(spans, notes);
            filters.push(bloom::build(self.tags.finish().iter().copied(), bloom::TAG_BITS));
            run.add(piece.start as u32, spans, blob.len());
            chunks.push(blob);
            packed(piece.end, &services.seen);
        }
        let (index, names) = services.finish();
        Packed { run: run.finish(), chunks, index, tags: bloom::tags_row(&filters), names }
    }

    fn add_sources(&mut self, spans: &[Item<'_>], notes: &HashMap<u32, SourceNotes>) {
        let mut sources: Vec<u32> = spans.iter().map(|item| item.source).collect();
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            self.tags.source(&notes[&source].tags);
        }
    }
}

/// The directory's entry in the making.
struct RunBuilder {
    run: Run,
    /// Of the traces.
    hashes: Vec<u64>,
    last: Option<TraceId>,
}

impl RunBuilder {
    fn add(&mut self, first_ordinal: u32, spans: &[Item<'_>], bytes: usize) {
        let (mut earliest, mut latest) = (Timestamp::MAX, Timestamp::ZERO);
        for span in spans.iter().map(|item| item.span) {
            (earliest, latest) = (earliest.min(span.start), latest.max(span.start));
            self.run.raw_bytes += span.body.len() as u64;
            if self.last != Some(span.trace_id) {
                self.last = Some(span.trace_id);
                self.hashes.push(bloom::trace_hash(span.trace_id));
            }
        }
        let whole = if self.run.chunks.is_empty() { earliest..=latest } else { self.run.starts.clone() };
        self.run.starts = earliest.min(*whole.start())..=latest.max(*whole.end());
        self.run.spans += spans.len() as u32;
        self.run.chunks.push(ChunkEntry {
            first: (spans[0].span.trace_id, spans[0].span.span_id),
            first_ordinal,
            spans: spans.len() as u32,
            bytes: bytes as u32,
            starts: earliest..=latest,
        });
    }

    fn finish(mut self) -> Run {
        self.run.traces = self.hashes.len() as u32;
        self.run.filter = bloom::build(self.hashes.into_iter(), bloom::TRACE_BITS);
        self.run
    }
}

/// Where chunks begin and end.
fn cut(items: &[Item<'_>]) -> Vec<Range<usize>> {
    let mut cuts = Cuts { items, start: 0, bytes: 0, pieces: Vec::new() };
    let mut at = 0;
    for trace in items.chunk_by(|one, other| one.span.trace_id == other.span.trace_id) {
        cuts.trace(at, trace);
        at += trace.len();
    }
    cuts.end(at);
    cuts.pieces
}

struct Cuts<'i> {
    items: &'i [Item<'i>],
    /// Where the piece begins, and its bytes so far.
    start: usize,
    bytes: usize,
    pieces: Vec<Range<usize>>,
}

impl Cuts<'_> {
    fn end(&mut self, at: usize) {
        if at > self.start {
            self.pieces.push(self.start..at);
        }
        (self.start, self.bytes) = (at, 0);
    }

    fn trace(&mut self, at: usize, trace: &[Item<'_>]) {
        let bytes: usize = trace.iter().map(|item| item.span.body.len()).sum();
        if at + trace.len() - self.start > CHUNK_SPANS || self.bytes + bytes > CHUNK_BYTES {
            self.end(at);
        }
        if trace.len() <= TRACE_SPANS && bytes <= TRACE_BYTES {
            self.bytes += bytes;
            return;
        }
        for (place, item) in trace.iter().enumerate() {
            let length = at + place - self.start;
            // Chunks are found by their first span's ids, so those of two must differ.
            let is_new = place == 0 || trace[place - 1].span.span_id != item.span.span_id;
            if is_new && (length >= TRACE_SPANS || self.bytes + item.span.body.len() > TRACE_BYTES) {
                self.end(at + place);
            }
            self.bytes += item.span.body.len();
        }
        self.end(at + trace.len());
        debug_assert!(self.start <= self.items.len());
    }
}

type Names = Vec<(Arc<str>, String, SpanKind)>;

/// What was seen in the spans of a run when they were packed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Names of operations, [`shortened`]; one may be there several times.
    pub(super) operations: Vec<String>,
    /// Of each span, which of these is its name, and whether its links or attributes may say something of calls.
    pub(super) spans: Vec<(u32, bool)>,
}

/// The index rows of a run in the making.
#[derive(Default)]
struct Services {
    seen: Seen,
    rows: Vec<(Arc<str>, IndexBuilder)>,
    by_name: HashMap<Arc<str>, usize>,
    by_source: HashMap<u32, usize>,
}

impl Services {
    /// The spans of the chunk that was encoded last.
    fn add(
        &mut self,
        first_ordinal: u32,
        spans: &[Item<'_>],
        encoder: &Encoder,
        notes: &HashMap<u32, SourceNotes>,
    ) {
        let operation = |name| shortened(&String::from_utf8_lossy(name)).into_owned();
        let Seen { operations, spans: seen } = &mut self.seen;
        let first = operations.len() as u32;
        operations.extend(encoder.class_names().map(operation));
        seen.extend(encoder.classes().iter().map(|(class, tells_of_calls)| (first + class, *tells_of_calls)));
        let mut last = None;
        for ((ordinal, item), (class, _)) in (first_ordinal..).zip(spans).zip(encoder.classes()) {
            let place = match last {
                Some((source, place)) if source == item.source => place,
                _ => self.place_of(item.source, notes),
            };
            last = Some((item.source, place));
            let span = item.span;
            let operation = &self.seen.operations[(first + class) as usize];
            let class = Class { operation, kind: span.kind, status: span.status };
            self.rows[place].1.add(ordinal, class, span.start, span.duration());
        }
    }

    fn place_of(&mut self, source: u32, notes: &HashMap<u32, SourceNotes>) -> usize {
        let (rows, by_name) = (&mut self.rows, &mut self.by_name);
        *self.by_source.entry(source).or_insert_with(|| {
            let service = &notes[&source].service;
            *by_name.entry(Arc::clone(service)).or_insert_with(|| {
                rows.push((Arc::clone(service), IndexBuilder::default()));
                rows.len() - 1
            })
        })
    }

    /// The rows, and what is listed of them.
    fn finish(self) -> (Vec<IndexRow>, Names) {
        let mut names = Vec::new();
        let rows = self.rows.into_iter().map(|(service, builder)| {
            let of_service = |(name, kind): (&str, SpanKind)| (Arc::clone(&service), name.to_owned(), kind);
            names.extend(builder.names().into_iter().map(of_service));
            IndexRow { latest: builder.max_start(), blob: builder.finish(), service }
        });
        let rows = rows.collect();
        (rows, names)
    }
}

impl Packed {
    /// Writes all rows; returns their bytes.
    pub(super) fn write(&self, transaction: &WriteTransaction) -> Result<u64, Error> {
        let run = self.run.id;
        let mut written = 0;
        let mut spans = transaction.open_table(SPANS)?;
        for (entry, blob) in self.run.chunks.iter().zip(&self.chunks) {
            written += parts::write(&mut spans, &chunk_key(run, entry.first), blob)?;
        }
        let mut index = transaction.open_table(SERVICE_NAME_INDEX)?;
        for row in &self.index {
            let key = index_key(&row.service, row.latest.nanos(), run);
            written += parts::write(&mut index, &key, &row.blob)?;
        }
        written +=
            parts::write(&mut transaction.open_table(SEARCHABLE_TAGS)?, &run.to_be_bytes(), &self.tags)?;
        let key = run.to_be_bytes();
        let value = self.run.to_value(&key);
        transaction.open_table(RUNS)?.insert(&key[..], &value[..])?;
        Ok(written + value.len() as u64)
    }
}

/// Removes the rows of a run, and those rows of the index that have these keys.
pub(super) fn remove(transaction: &WriteTransaction, run: &Run, index_keys: &[Vec<u8>]) -> Result<(), Error> {
    let mut spans = transaction.open_table(SPANS)?;
    for chunk in &run.chunks {
        parts::remove(&mut spans, &chunk_key(run.id, chunk.first))?;
    }
    let mut index = transaction.open_table(SERVICE_NAME_INDEX)?;
    for key in index_keys {
        parts::remove(&mut index, key)?;
    }
    let key = run.id.to_be_bytes();
    parts::remove(&mut transaction.open_table(SEARCHABLE_TAGS)?, &key)?;
    transaction.open_table(RUNS)?.remove(&key[..])?;
    Ok(())
}
