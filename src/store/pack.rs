//! Makes a run of sorted spans: chunks, index rows, filters, and the directory's entry.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use redb::WriteTransaction;

use crate::model::{SpanKind, Timestamp, TraceId};
use crate::store::chunk::{Encoder, Item, MAX_BODY_BYTES};
use crate::store::directory::{ChunkEntry, Run};
use crate::store::index::{Class, IndexBuilder};
use crate::store::schema::{RUNS, SEARCHABLE_TAGS, SERVICE_NAME_INDEX, SPANS, chunk_key, index_key};
use crate::store::sizes::Sizes;
use crate::store::sources::SourceNotes;
use crate::store::tags::Tags;
use crate::store::{Error, bloom, parts, shortened};

/// Bytes of the filters of a run. Each chunk has one with all pairs of its sources: those of a few sources with a
/// great many pairs, told again in each of thousands of chunks, would be longer than all spans and than any row may be.
const MAX_FILTER_BYTES: usize = 8 << 20;

/// The one byte of a filter that there was no room for: no filter is so short, so anything may be held.
const MAY_HOLD_ALL: u8 = 0xff;

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
    sizes: Sizes,
    encoder: Encoder,
    tags: Tags,
}

impl Packer {
    pub(super) fn new(sizes: Sizes) -> Self {
        Self { sizes, encoder: Encoder::new(), tags: Tags::default() }
    }

    /// The items of each run that is to be packed of so many.
    pub(super) fn runs<'i, 's>(&self, mut items: &'i [Item<'s>]) -> Vec<&'i [Item<'s>]> {
        let mut runs = Vec::new();
        while !items.is_empty() {
            let mut bytes = 0;
            let has_room = |item: &&Item<'_>| {
                let before = bytes;
                bytes += item.span.body.len();
                before == 0 || (before < self.sizes.run_bytes && bytes <= MAX_BODY_BYTES)
            };
            let (run, behind) =
                items.split_at(items.iter().take(self.sizes.run_spans).take_while(has_room).count());
            runs.push(run);
            items = behind;
        }
        runs
    }

    /// Packs items sorted by trace id, span id and content hash, none twice, at least one and no more than
    /// [`Self::runs`] put into one run, whose sources are all in `notes`. What is seen in each span goes to the end of
    /// `seen`; `packed` is told after each chunk, when its spans are still in the processor's cache, how far it has come.
    pub(super) fn pack(
        &mut self,
        id: u32,
        items: &[Item<'_>],
        notes: &HashMap<u32, SourceNotes>,
        expire_time: Timestamp,
        seen: &mut Seen,
        mut packed: impl FnMut(usize, &Seen),
    ) -> Result<Packed, Error> {
        let mut run = RunBuilder { run: Run::empty(id, expire_time), hashes: Vec::new(), last: None };
        let (mut chunks, mut filters, mut services) = (Vec::new(), Filters::default(), Services::default());
        for piece in cut(items, &self.sizes) {
            let spans = &items[piece.clone()];
            self.tags.clear();
            let blob = self.encoder.encode(spans, &mut self.tags)?;
            services.add(piece.start as u32, spans, seen.add(&self.encoder), notes);
            self.add_sources(spans, notes);
            filters.add(self.tags.finish());
            run.add(piece.start as u32, spans, blob.len());
            chunks.push(blob);
            packed(piece.end, seen);
        }
        run.run.raw_bytes += services.bytes_of_sources(notes);
        let (index, names) = services.finish();
        Ok(Packed { run: run.finish(), chunks, index, tags: bloom::tags_row(&filters.all), names })
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

/// The filters of a run's chunks in the making.
#[derive(Default)]
struct Filters {
    all: Vec<Vec<u8>>,
    bytes: usize,
}

impl Filters {
    fn add(&mut self, hashes: &[u64]) {
        let mut filter = vec![MAY_HOLD_ALL];
        if self.bytes + hashes.len() * bloom::TAG_BITS as usize / 8 <= MAX_FILTER_BYTES {
            filter = bloom::build(hashes.iter().copied(), bloom::TAG_BITS);
            self.bytes += filter.len();
        }
        self.all.push(filter);
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
fn cut(items: &[Item<'_>], sizes: &Sizes) -> Vec<Range<usize>> {
    let mut cuts = Cuts { sizes, start: 0, bytes: 0, pieces: Vec::new() };
    let mut at = 0;
    for trace in items.chunk_by(|one, other| one.span.trace_id == other.span.trace_id) {
        cuts.trace(at, trace);
        at += trace.len();
    }
    cuts.end(at);
    cuts.pieces
}

struct Cuts<'s> {
    sizes: &'s Sizes,
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
        if at + trace.len() - self.start > self.sizes.chunk_spans
            || self.bytes + bytes > self.sizes.chunk_bytes
        {
            self.end(at);
        }
        if trace.len() <= self.sizes.trace_spans && bytes <= self.sizes.trace_bytes {
            self.bytes += bytes;
            return;
        }
        for (place, item) in trace.iter().enumerate() {
            let length = at + place - self.start;
            // Chunks are found by their first span's ids, so those of two must differ.
            let is_new = place == 0 || trace[place - 1].span.span_id != item.span.span_id;
            let is_full = length >= self.sizes.trace_spans
                || self.bytes + item.span.body.len() > self.sizes.trace_bytes;
            if is_new && is_full {
                self.end(at + place);
            }
            self.bytes += item.span.body.len();
        }
        self.end(at + trace.len());
    }
}

type Names = Vec<(Arc<str>, String, SpanKind)>;

/// What was seen in spans when they were packed.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Names of operations, [`shortened`]; one may be there several times.
    pub(super) operations: Vec<String>,
    /// Of each span, which of these is its name, and whether its links or attributes may say something of calls.
    pub(super) spans: Vec<(u32, bool)>,
}

impl Seen {
    /// Adds what is seen in the chunk that was encoded last; returns all names, and what was added of the spans.
    fn add(&mut self, encoder: &Encoder) -> (&[String], &[(u32, bool)]) {
        let operation = |name| shortened(&String::from_utf8_lossy(name)).into_owned();
        let (first, before) = (self.operations.len() as u32, self.spans.len());
        self.operations.extend(encoder.class_names().map(operation));
        let seen = encoder.classes().iter().map(|(class, tells_of_calls)| (first + class, *tells_of_calls));
        self.spans.extend(seen);
        (&self.operations, &self.spans[before..])
    }
}

/// The index rows of a run in the making.
#[derive(Default)]
struct Services {
    rows: Vec<(Arc<str>, IndexBuilder)>,
    by_name: HashMap<Arc<str>, usize>,
    by_source: HashMap<u32, usize>,
}

impl Services {
    /// The spans of a chunk, and what was seen in them.
    fn add(
        &mut self,
        first_ordinal: u32,
        spans: &[Item<'_>],
        (operations, seen): (&[String], &[(u32, bool)]),
        notes: &HashMap<u32, SourceNotes>,
    ) {
        let mut last = None;
        for ((ordinal, item), (operation, _)) in (first_ordinal..).zip(spans).zip(seen) {
            let place = match last {
                Some((source, place)) if source == item.source => place,
                _ => self.place_of(item.source, notes),
            };
            last = Some((item.source, place));
            let (span, operation) = (item.span, &operations[*operation as usize]);
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

    /// Each source is read once when the run is, and kept as long as its spans are.
    fn bytes_of_sources(&self, notes: &HashMap<u32, SourceNotes>) -> u64 {
        self.by_source.keys().map(|source| notes[source].bytes as u64).sum()
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
