//! Makes a run of sorted spans: chunks, index rows, filters, and the directory's entry.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use redb::WriteTransaction;

use crate::model::{SpanKind, Timestamp, TraceId};
use crate::store::calls::Numbers;
use crate::store::chunk::{Encoder, Item, MAX_BODY_BYTES};
use crate::store::directory::{ChunkEntry, Run};
use crate::store::index::{Class, IndexBuilder};
use crate::store::known::RunSpans;
use crate::store::schema::{RUNS, SEARCHABLE_TAGS, SERVICE_NAME_INDEX, SPANS, chunk_key, index_key};
use crate::store::sizes::Sizes;
use crate::store::sources::Notes;
use crate::store::tag_filters::TagFilters;
use crate::store::tags::Tags;
use crate::store::{Error, bloom, parts, shortened, tag_filters};

/// A run that is ready to be written.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) run: Run,
    chunks: Vec<Vec<u8>>,
    index: Vec<IndexRow>,
    tags: Vec<Vec<u8>>,
    /// Service, operation and kind of its spans.
    pub(super) names: Vec<(Arc<str>, String, SpanKind)>,
    /// Hashes of its traces, and its spans, to be remembered.
    pub(super) traces: Vec<u64>,
    pub(super) spans: RunSpans,
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
    filters: TagFilters,
}

impl Packer {
    pub(super) fn new(sizes: Sizes) -> Self {
        Self { sizes, encoder: Encoder::new(), tags: Tags::default(), filters: TagFilters::default() }
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
        notes: &Notes,
        expire_time: Timestamp,
        seen: &mut Seen,
        mut packed: impl FnMut(usize, &Seen),
    ) -> Result<Packed, Error> {
        let mut run = RunBuilder { run: Run::empty(id, expire_time), hashes: Vec::new(), last: None };
        let (mut chunks, mut services) = (Vec::new(), Services::default());
        let (mut known, mut source_tags) = (RunSpans::default(), SourceTags::default());
        self.filters.clear();
        for piece in cut(items, &self.sizes) {
            let spans = &items[piece.clone()];
            self.tags.clear();
            let blob = self.encoder.encode(spans, &mut self.tags)?;
            seen.add(&self.encoder);
            services.find(spans, notes);
            services.add(piece.start as u32, spans, &self.encoder, &seen.operations);
            known.add(spans, &services.places);
            self.filters.add([self.tags.finish(), source_tags.find(&self.encoder, notes)]);
            run.add(piece.start as u32, spans, blob.len());
            chunks.push(blob);
            packed(piece.end, seen);
        }
        run.run.raw_bytes += services.bytes_of_sources(notes);
        known.set_services(services.names());
        let (index, names) = services.finish();
        let tags = self.filters.rows();
        run.run.tag_rows = tags.len() as u16;
        let (run, traces) = run.finish();
        Ok(Packed { run, chunks, index, tags, names, traces, spans: known })
    }
}

/// What the sources of a run's chunks bring. Many sources bring the same: each pair has a number, so that it is told once
/// for each chunk without being looked for.
#[derive(Default)]
struct SourceTags {
    numbers: HashMap<u64, u32, Numbers>,
    /// Of each pair, and the chunk that it was told for last.
    hashes: Vec<(u64, u32)>,
    /// The numbers of each source's pairs.
    of_source: HashMap<u32, Vec<u32>, Numbers>,
    /// Those of the present chunk, and its number.
    tags: Vec<u64>,
    chunk: u32,
}

impl SourceTags {
    /// For the chunk that was encoded last.
    fn find(&mut self, encoder: &Encoder, notes: &Notes) -> &[u64] {
        let Self { numbers, hashes, of_source, tags, chunk } = self;
        *chunk += 1;
        tags.clear();
        for source in encoder.sources() {
            let of_source = of_source.entry(source).or_insert_with(|| {
                let number = |tag: &u64| {
                    *numbers.entry(*tag).or_insert_with(|| {
                        hashes.push((*tag, 0));
                        hashes.len() as u32 - 1
                    })
                };
                notes[&source].tags.iter().map(number).collect()
            });
            for number in &*of_source {
                let (hash, told) = &mut hashes[*number as usize];
                if *told != *chunk {
                    *told = *chunk;
                    tags.push(*hash);
                }
            }
        }
        tags
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

    fn finish(mut self) -> (Run, Vec<u64>) {
        self.run.traces = self.hashes.len() as u32;
        self.run.filter = bloom::build(self.hashes.iter().copied(), bloom::TRACE_BITS);
        (self.run, self.hashes)
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
    /// Adds what is seen in the chunk that was encoded last.
    fn add(&mut self, encoder: &Encoder) {
        let operation = |name| shortened(&String::from_utf8_lossy(name)).into_owned();
        let first = self.operations.len() as u32;
        self.operations.extend(encoder.names().map(operation));
        let seen = encoder.classes().iter().map(|class| (first + class.name, class.tells_of_calls));
        self.spans.extend(seen);
    }
}

/// The index rows of a run in the making.
#[derive(Default)]
struct Services {
    rows: Vec<(Arc<str>, IndexBuilder)>,
    by_name: HashMap<Arc<str>, u32>,
    by_source: HashMap<u32, u32, Numbers>,
    /// Of each span of the present chunk, which row it goes to.
    places: Vec<u32>,
    /// Of each class of the present chunk, the row that a span of it went to last, and its number there.
    classes: Vec<Option<(u32, u32)>>,
}

impl Services {
    /// Which rows the spans of a chunk go to.
    fn find(&mut self, spans: &[Item<'_>], notes: &Notes) {
        self.places.clear();
        for item in spans {
            let place = self.place_of(item.source, notes);
            self.places.push(place);
        }
    }

    /// Adds the spans of the chunk that was encoded last; `operations` are all names, its own the last.
    fn add(&mut self, first_ordinal: u32, spans: &[Item<'_>], encoder: &Encoder, operations: &[String]) {
        let operations = &operations[operations.len() - encoder.names().len()..];
        self.classes.clear();
        self.classes.resize(encoder.count_of_classes(), None);
        let seen = encoder.classes().iter().zip(&self.places);
        for ((ordinal, item), (class, place)) in (first_ordinal..).zip(spans).zip(seen) {
            let (span, row) = (item.span, &mut self.rows[*place as usize].1);
            let known = &mut self.classes[class.class as usize];
            let number = match *known {
                Some((last, number)) if last == *place => number,
                _ => {
                    let operation = &operations[class.name as usize][..];
                    row.class(Class { operation, kind: span.kind, status: span.status })
                }
            };
            *known = Some((*place, number));
            row.add(ordinal, number, span.start, span.duration());
        }
    }

    /// The services of the rows.
    fn names(&self) -> Vec<Arc<str>> {
        self.rows.iter().map(|(service, _)| Arc::clone(service)).collect()
    }

    fn place_of(&mut self, source: u32, notes: &Notes) -> u32 {
        let (rows, by_name) = (&mut self.rows, &mut self.by_name);
        *self.by_source.entry(source).or_insert_with(|| {
            let service = &notes[&source].service;
            *by_name.entry(Arc::clone(service)).or_insert_with(|| {
                rows.push((Arc::clone(service), IndexBuilder::default()));
                rows.len() as u32 - 1
            })
        })
    }

    /// Each source is read once when the run is, and kept as long as its spans are.
    fn bytes_of_sources(&self, notes: &Notes) -> u64 {
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
        let mut tags = transaction.open_table(SEARCHABLE_TAGS)?;
        for (number, row) in (0..).zip(&self.tags) {
            written += parts::write_one(&mut tags, &tag_filters::row_key(run, number), row)?;
        }
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
    parts::remove_all(&mut transaction.open_table(SEARCHABLE_TAGS)?, &key)?;
    transaction.open_table(RUNS)?.remove(&key[..])?;
    Ok(())
}
