//! Reading: every answer of one snapshot is from the same moment.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use redb::ReadTransaction;

use crate::model::{Span, SpanId, SpanKind, Timestamp, TraceId};
use crate::store::block::{Block, Summary, View};
use crate::store::calls::{self, Dependency};
use crate::store::chunk::Chunk;
use crate::store::directory::{ChunkEntry, Run};
use crate::store::red::{self, Red, Wanted};
use crate::store::schema::{OPERATIONS, RESOURCES, SERVICES, SPANS, chunk_key};
use crate::store::seal::Damaged;
use crate::store::sources::{self, Source};
use crate::store::{Error, Store, bloom, key, names, parts};

/// What a span takes in an answer beside its message, in bytes: its header, and its share of what it points to.
const SPAN_BYTES: usize = 200;

/// Sources that a snapshot keeps at hand.
const MAX_SOURCES: usize = 4_096;

/// Bytes of them.
const MAX_SOURCE_BYTES: usize = 8 << 20;

/// The store as it stood when the snapshot was taken. Pages it can see are not reused while it lives: keep it short.
#[derive(Debug)]
pub struct Snapshot<'s> {
    pub(super) store: &'s Store,
    /// The archive, then blocks, the newest first. The archive's spans are those of its block too, as long as that stands.
    blocks: Vec<Arc<Block>>,
    /// Taken when they are first needed, the active block's at once: other blocks do not change.
    views: Mutex<HashMap<u64, Arc<View>>>,
    sources: Mutex<Sources>,
    /// Runs whose time was over at the last expiry.
    expired: Timestamp,
    /// Bytes of chunks, filters and index rows that had to be read, as they are stored.
    read_bytes: AtomicU64,
}

/// The stored spans of one trace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceRows {
    /// In no promised order, each once.
    pub spans: Vec<Span>,
    /// Bytes they take in memory, more or less.
    pub bytes: usize,
    /// True when there are more than the caller had room for.
    pub cut: bool,
}

impl<'s> Snapshot<'s> {
    pub(super) fn take(store: &'s Store) -> Result<Self, Error> {
        let mut blocks = store.blocks.all();
        blocks.reverse();
        let snapshot = Self {
            store,
            views: Mutex::default(),
            sources: Mutex::default(),
            expired: store.expired(),
            read_bytes: AtomicU64::new(0),
            blocks,
        };
        if let Some(active) = snapshot.blocks.first() {
            snapshot.view(active)?;
        }
        Ok(snapshot)
    }

    /// The blocks, the newest first, and last the archive.
    pub(super) fn blocks(&self) -> impl Iterator<Item = &Arc<Block>> {
        self.blocks.iter().chain(self.store.archive.block())
    }

    /// The blocks without the archive, whose spans are found in their blocks or not by searching.
    pub(super) fn searched_blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// A block as of this snapshot.
    pub(super) fn view(&self, block: &Arc<Block>) -> Result<Arc<View>, Error> {
        if let Some(view) = self.views.lock().get(&block.sequence) {
            return Ok(Arc::clone(view));
        }
        self.store.blocks.mark_read(block);
        let view = Arc::new(block.view(&self.store.losses)?);
        Ok(Arc::clone(self.views.lock().entry(block.sequence).or_insert(view)))
    }

    /// Whether the run's spans still have time.
    pub(super) fn is_current(&self, block: &Block, run: &Run) -> bool {
        block.sequence == crate::store::archive::SEQUENCE || run.expire_time > self.expired
    }

    /// The names of all services, sorted; long ones [`crate::store::shortened`].
    pub fn services(&self) -> Result<Vec<String>, Error> {
        let mut found = BTreeSet::new();
        self.each_block(|transaction| {
            let table = transaction.open_table(SERVICES)?;
            names::services(&table, &self.store.losses, |name| {
                found.insert(name);
            })
        })?;
        Ok(found.into_iter().take(names::MAX_SERVICES).collect())
    }

    /// The names and kinds of a service's operations, sorted.
    pub fn operations(&self, service: &str) -> Result<Vec<(String, SpanKind)>, Error> {
        let mut found = BTreeSet::new();
        self.each_block(|transaction| {
            let table = transaction.open_table(OPERATIONS)?;
            names::operations(&table, service, &self.store.losses, |operation| {
                found.insert(operation);
            })
        })?;
        Ok(found.into_iter().take(names::MAX_OPERATIONS).collect())
    }

    /// Calls between services, sorted, over all hours that overlap with the time between the bounds.
    pub fn dependencies(&self, start: Timestamp, end: Timestamp) -> Result<Vec<Dependency>, Error> {
        let mut counted = calls::Calls::default();
        self.each_block(|transaction| {
            calls::read(transaction, &(key::hour(start)..=key::hour(end)), &self.store.losses, &mut counted)
        })?;
        Ok(counted.into_dependencies())
    }

    /// Calls, errors and durations of operations by the minute.
    pub fn red(&self, wanted: &Wanted<'_>) -> Result<Red, Error> {
        let mut found = Red::default();
        for block in self.blocks.iter().filter(|block| may_have(&block.summary(), &wanted.minutes)) {
            let read = self.view(block).and_then(|view| {
                view.reading
                    .read(|transaction| red::read(transaction, wanted, &self.store.losses, &mut found))
            });
            self.step_over_damage(read, block)?;
        }
        Ok(found)
    }

    fn each_block(&self, mut read: impl FnMut(&ReadTransaction) -> Result<(), Error>) -> Result<(), Error> {
        for block in &self.blocks {
            self.step_over_damage(self.view(block).and_then(|view| view.reading.read(&mut read)), block)?;
        }
        Ok(())
    }

    /// A block that cannot be read for damage is left out of an answer, and that is said.
    pub(super) fn step_over_damage<T>(
        &self,
        read: Result<T, Error>,
        block: &Block,
    ) -> Result<Option<T>, Error> {
        match read {
            Ok(read) => Ok(Some(read)),
            Err(error) if block.is_lost(&error) => {
                self.store.losses.damaged_block(block.name(), &error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The spans of a trace, stored and pinned, as many as fit into `max_bytes` (always at least one).
    pub fn trace(&self, id: TraceId, max_bytes: usize) -> Result<TraceRows, Error> {
        self.gather(self.blocks(), id, None, max_bytes)
    }

    /// Those spans of a trace that have one of these ids.
    pub fn spans_with_ids(
        &self,
        id: TraceId,
        span_ids: &BTreeSet<SpanId>,
        max_bytes: usize,
    ) -> Result<TraceRows, Error> {
        self.gather(self.blocks(), id, Some(span_ids), max_bytes)
    }

    pub(super) fn gather<'b>(
        &'b self,
        blocks: impl IntoIterator<Item = &'b Arc<Block>>,
        id: TraceId,
        span_ids: Option<&BTreeSet<SpanId>>,
        max_bytes: usize,
    ) -> Result<TraceRows, Error> {
        let mut gathering = Gathering { max_bytes, ..Gathering::default() };
        let hash = bloom::trace_hash(id);
        for block in blocks {
            let Some(view) = self.step_over_damage(self.view(block), block)? else { continue };
            for run in view.runs.iter().filter(|run| self.is_current(block, run)) {
                for (number, entry) in run.chunks_of(id, hash) {
                    let chunk = self.chunk(&view, run, number, entry);
                    let Some(chunk) = self.step_over_damage(chunk, block)?.flatten() else { continue };
                    let wanted = |place: &usize| {
                        span_ids.is_none_or(|span_ids| span_ids.contains(&chunk.span_id(*place)))
                    };
                    for place in chunk.trace(id).filter(wanted) {
                        let span = self.span_of(&view, &chunk, place)?;
                        if !span.is_none_or(|span| gathering.take(span)) {
                            return Ok(gathering.rows);
                        }
                    }
                }
            }
        }
        Ok(gathering.rows)
    }

    /// A chunk; `None` when it is damaged.
    pub(super) fn chunk(
        &self,
        view: &View,
        run: &Run,
        number: u32,
        entry: &ChunkEntry,
    ) -> Result<Option<Arc<Chunk>>, Error> {
        if let Some(chunk) = self.store.cache.get((view.block.sequence, run.id, number)) {
            return Ok(Some(chunk));
        }
        self.count_read(entry.bytes as usize);
        self.store.read_chunk(view, run, number, entry)
    }

    /// Bytes of chunks that were not at hand and of all filters and index rows that were read so far, as they are
    /// stored.
    pub fn read_bytes(&self) -> u64 {
        self.read_bytes.load(Ordering::Relaxed)
    }

    pub(super) fn count_read(&self, bytes: usize) {
        self.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A span of a chunk; `None` when what it refers to is damaged.
    pub(super) fn span_of(&self, view: &View, chunk: &Chunk, place: usize) -> Result<Option<Span>, Error> {
        let Some(source) = self.source(view, chunk.source(place))? else { return Ok(None) };
        let span = chunk.span(place, &mut |_number| Some(source.clone())).ok_or(Damaged);
        Ok(self.store.losses.step_over(SPANS, span))
    }

    pub(super) fn source(&self, view: &View, number: u32) -> Result<Option<Source>, Error> {
        let id = (view.block.sequence, number);
        if let Some(source) = self.sources.lock().found.get(&id) {
            return Ok(source.clone());
        }
        let read = view.read(|transaction| sources::read(&transaction.open_table(RESOURCES)?, number));
        let read = match read {
            // What damage makes the engine panic at is one damaged row among others.
            Err(error) if view.block.is_lost(&error) => Err(Damaged),
            // A row that is missing is as bad as a damaged one.
            read => read?.unwrap_or(Err(Damaged)),
        };
        let source = self.store.losses.step_over(RESOURCES, read);
        self.sources.lock().keep(id, source.clone());
        Ok(source)
    }
}

/// Sources at hand, by block and number; `None` of damaged ones.
#[derive(Debug, Default)]
struct Sources {
    found: HashMap<(u64, u32), Option<Source>>,
    bytes: usize,
}

impl Sources {
    fn keep(&mut self, id: (u64, u32), source: Option<Source>) {
        let bytes = source.as_ref().map_or(0, sources::bytes);
        if self.found.len() >= MAX_SOURCES || self.bytes + bytes > MAX_SOURCE_BYTES {
            *self = Self::default();
        }
        self.bytes += bytes;
        self.found.insert(id, source);
    }
}

/// Whether spans of a block can have begun in one of these minutes. Of those whose runs cannot be read nothing is known.
fn may_have(summary: &Summary, minutes: &RangeInclusive<u32>) -> bool {
    // A span without a start is counted in the first minute of all, and no earliest one.
    let earliest = summary.earliest.filter(|_| *minutes.start() > 0).map_or(0, red::minute);
    summary.runs == 0 || (earliest <= *minutes.end() && red::minute(summary.latest) >= *minutes.start())
}

/// Spans of one trace, each once.
#[derive(Default)]
struct Gathering {
    rows: TraceRows,
    known: HashSet<(SpanId, u64)>,
    /// Where the resources and scopes of the spans are in memory.
    sources: HashSet<(usize, usize)>,
    max_bytes: usize,
}

impl Gathering {
    /// Whether there is room for more.
    fn take(&mut self, span: Span) -> bool {
        if !self.known.insert((span.span_id, span.content_hash)) {
            return true;
        }
        let source = (Arc::clone(&span.resource), Arc::clone(&span.scope));
        let place = (Arc::as_ptr(&source.0).addr(), Arc::as_ptr(&source.1).addr());
        let of_source = if self.sources.contains(&place) { 0 } else { sources::bytes(&source) };
        let (rows, bytes) = (&mut self.rows, span.body.len() + SPAN_BYTES + of_source);
        rows.cut = !rows.spans.is_empty() && rows.bytes + bytes > self.max_bytes;
        if !rows.cut {
            self.sources.insert(place);
            rows.spans.push(span);
            rows.bytes += bytes;
        }
        !rows.cut
    }
}

impl Store {
    /// Whether a chunk need not be read.
    pub(super) fn is_at_hand(&self, view: &View, run: &Run, number: u32) -> bool {
        self.cache.get((view.block.sequence, run.id, number)).is_some()
    }

    /// A chunk of a block; `None` when it is damaged, which is counted.
    pub(super) fn chunk(
        &self,
        view: &View,
        run: &Run,
        number: u32,
        entry: &ChunkEntry,
    ) -> Result<Option<Arc<Chunk>>, Error> {
        match self.cache.get((view.block.sequence, run.id, number)) {
            Some(chunk) => Ok(Some(chunk)),
            None => self.read_chunk(view, run, number, entry),
        }
    }

    fn read_chunk(
        &self,
        view: &View,
        run: &Run,
        number: u32,
        entry: &ChunkEntry,
    ) -> Result<Option<Arc<Chunk>>, Error> {
        let key = chunk_key(run.id, entry.first);
        let blob = view.read(|transaction| parts::read(&transaction.open_table(SPANS)?, &key));
        let blob = match blob {
            // What damage makes the engine panic at is one damaged row among others.
            Err(error) if view.block.is_lost(&error) => Some(Err(Damaged)),
            blob => blob?,
        };
        let opened = blob.unwrap_or(Err(Damaged)).and_then(|blob| {
            let whole = blob.len() == entry.bytes as usize;
            Chunk::open(&blob).and_then(|chunk| {
                let as_listed = whole && chunk.len() == entry.spans as usize;
                if as_listed { Ok(Arc::new(chunk)) } else { Err(Damaged) }
            })
        });
        let chunk = self.losses.step_over(SPANS, opened);
        if let Some(chunk) = &chunk {
            self.cache.put((view.block.sequence, run.id, number), chunk);
        }
        Ok(chunk)
    }
}
