//! Makes a run of sorted spans: chunks, index rows, filters, and the directory's entry.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use redb::WriteTransaction;

use crate::model::{SpanKind, Timestamp};
use crate::otlp::SpanView;
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
    /// [`MAX_RUN_SPANS`], whose sources are all in `notes`.
    pub(super) fn pack(
        &mut self,
        id: u32,
        items: &[Item<'_>],
        notes: &HashMap<u32, SourceNotes>,
        expire_time: Timestamp,
    ) -> Packed {
        let pieces = cut(items);
        let (mut chunks, mut entries, mut filters) = (Vec::new(), Vec::new(), Vec::new());
        for piece in &pieces {
            let spans = &items[piece.clone()];
            self.tags.clear();
            let blob = self.encoder.encode(spans, &mut self.tags);
            self.add_sources(spans, notes);
            filters.push(bloom::build(self.tags.finish().iter().copied(), bloom::TAG_BITS));
            entries.push(ChunkEntry {
                first: (spans[0].span.trace_id, spans[0].span.span_id),
                first_ordinal: piece.start as u32,
                spans: spans.len() as u32,
                bytes: blob.len() as u32,
                starts: starts_of(spans),
            });
            chunks.push(blob);
        }
        let (index, names) = index_rows(items, notes);
        let run = run_of(id, items, entries, expire_time);
        Packed { run, chunks, index, tags: bloom::tags_row(&filters), names }
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

fn starts_of(items: &[Item<'_>]) -> std::ops::RangeInclusive<Timestamp> {
    let starts = || items.iter().map(|item| item.span.start);
    starts().min().unwrap_or_default()..=starts().max().unwrap_or_default()
}

fn run_of(id: u32, items: &[Item<'_>], chunks: Vec<ChunkEntry>, expire_time: Timestamp) -> Run {
    let traces: Vec<u64> = items
        .chunk_by(|one, other| one.span.trace_id == other.span.trace_id)
        .map(|trace| bloom::trace_hash(trace[0].span.trace_id))
        .collect();
    Run {
        id,
        spans: items.len() as u32,
        traces: traces.len() as u32,
        starts: starts_of(items),
        expire_time,
        raw_bytes: items.iter().map(|item| item.span.body.len() as u64).sum(),
        chunks,
        filter: bloom::build(traces.into_iter(), bloom::TRACE_BITS),
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

/// The rows of all services of the run, and what is listed of them.
fn index_rows(items: &[Item<'_>], notes: &HashMap<u32, SourceNotes>) -> (Vec<IndexRow>, Names) {
    let mut services: Vec<(Arc<str>, IndexBuilder)> = Vec::new();
    let (mut by_name, mut by_source) = (HashMap::new(), HashMap::new());
    for (ordinal, item) in items.iter().enumerate() {
        let place = *by_source.entry(item.source).or_insert_with(|| {
            let service = &notes[&item.source].service;
            *by_name.entry(Arc::clone(service)).or_insert_with(|| {
                services.push((Arc::clone(service), IndexBuilder::default()));
                services.len() - 1
            })
        });
        let span = item.span;
        let name = SpanView::name_of(&span.body);
        let operation = shortened(&name);
        let class = Class { operation: &operation, kind: span.kind, status: span.status };
        services[place].1.add(ordinal as u32, class, span.start, span.duration());
    }
    let mut names = Vec::new();
    let rows = services.into_iter().map(|(service, builder)| {
        let of_service = |(name, kind): (&str, SpanKind)| (Arc::clone(&service), name.to_owned(), kind);
        names.extend(builder.names().into_iter().map(of_service));
        IndexRow { latest: builder.max_start(), blob: builder.finish(), service }
    });
    let rows = rows.collect();
    (rows, names)
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
