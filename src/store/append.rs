//! Writing a batch: its spans as runs, what is counted from them, and the cursor, all in one commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::{ReadTransaction, ReadableTable as _, WriteTransaction};

use crate::model::{Span, Timestamp, TraceId};
use crate::store::block::{Block, Runs, View};
use crate::store::calls::{self, Counted, Counting, KnownSpan, Pending, SeenSpans, Waiting};
use crate::store::chunk::Item;
use crate::store::known::{Asked, Earlier, Known};
use crate::store::names::Names;
use crate::store::pack::{Packed, Packer, Seen};
use crate::store::schema::{CURSOR, RESOURCES};
use crate::store::seal::{Damaged, seal, unseal};
use crate::store::sizes::Sizes;
use crate::store::snapshot::Snapshot;
use crate::store::sources::{Notes, SourceTable};
use crate::store::{Appended, Cursor, Error, Store, bloom, key, red};

/// What the writer keeps in memory of what is on the disk, and its working memory.
#[derive(Debug)]
pub(super) struct Appender {
    /// The block that `state` is of, by its sequence; `None` when it is to be read from the disk.
    block: Option<u64>,
    /// A commit failed, and it is not known whether it is on the disk.
    in_doubt: bool,
    /// Commits in a row that failed for damage.
    damaged: u32,
    /// Whether a batch is being stored: set when one begins, a panic ended the one before.
    is_storing: bool,
    names: Names,
    sources: Option<SourceTable>,
    pending: Pending,
    known: Known,
    packer: Packer,
    /// Whether the block has hardly any room left for minutes of operations; known after an append.
    is_counted_full: bool,
}

/// A batch, sorted, each span once and none that is stored already.
struct Batch<'b> {
    items: Vec<Item<'b>>,
    duplicates: u64,
    earlier: Earlier,
}

impl Appender {
    pub(super) fn new(sizes: Sizes) -> Self {
        Self {
            block: None,
            in_doubt: false,
            damaged: 0,
            is_storing: false,
            names: Names::default(),
            sources: None,
            pending: Pending::default(),
            known: Known::default(),
            packer: Packer::new(sizes),
            is_counted_full: false,
        }
    }

    /// Makes known how many wait.
    fn tell(&self, store: &Store) {
        store.waits.waiting.store(self.pending.len() as u64, Ordering::Relaxed);
        store.waits.given_up.store(self.pending.given_up(), Ordering::Relaxed);
    }

    /// Runs of a block were merged.
    pub(super) fn merged(&mut self, block: u64, before: &[u32], into: u32) {
        self.known.merged(block, before, into);
    }

    /// Stores a batch.
    pub(super) fn append(
        &mut self,
        store: &Store,
        spans: &[Span],
        cursor: Option<&Cursor>,
        now: Timestamp,
    ) -> Result<Appended, Error> {
        if std::mem::replace(&mut self.is_storing, true) {
            self.start_over(store);
        }
        let appended = self.try_append(store, spans, cursor, now);
        self.is_storing = false;
        self.tell(store);
        match &appended {
            Ok(_) => self.damaged = 0,
            Err(error) => {
                (self.block, self.in_doubt) = (None, true);
                self.damaged += u32::from(error.is_damage());
            }
        }
        appended
    }

    /// After a panic nothing in memory is relied on; whether its batch is on the disk is looked up there.
    fn start_over(&mut self, store: &Store) {
        let (mut pending, damaged) = (std::mem::take(&mut self.pending), self.damaged);
        pending.forget();
        *self = Self { in_doubt: true, is_storing: true, pending, damaged, ..Self::new(store.sizes) };
    }

    fn try_append(
        &mut self,
        store: &Store,
        spans: &[Span],
        cursor: Option<&Cursor>,
        now: Timestamp,
    ) -> Result<Appended, Error> {
        let block = self.block(store, now)?;
        if let Some(cursor) = cursor.filter(|_| self.in_doubt)
            && read_cursor(store, &block, cursor)?.is_some_and(|applied| applied >= cursor.sequence)
        {
            // The commit that failed was made all the same.
            self.in_doubt = false;
            return Ok(Appended { new: spans.len() as u64, duplicates: 0 });
        }
        let batch = self.batch(store, spans)?;
        let appended = Appended { new: batch.items.len() as u64, duplicates: batch.duplicates };
        let (runs, counted) = self.pack(store, &block, &batch, now)?;
        for (service, operation, kind) in runs.iter().flat_map(|packed| &packed.names) {
            self.names.add(service, operation, *kind, &store.losses);
        }
        self.is_counted_full = block.commit(&store.losses, |transaction, before| {
            let write = Write { store, transaction, now };
            let is_counted_full = write.batch(self, &runs, &counted)?;
            if let Some(cursor) = cursor {
                write_cursor(transaction, cursor)?;
            }
            Ok((is_counted_full, with_runs(before, &runs)))
        })?;
        self.committed(&block, runs, counted);
        Ok(appended)
    }

    /// The block to write to, with what is kept of it in memory.
    fn block(&mut self, store: &Store, now: Timestamp) -> Result<Arc<Block>, Error> {
        // A block that fails for damage again and again is left as it is.
        if store.blocks.is_roll_due(now) || self.damaged > 1 || self.is_counted_full {
            self.roll(store, now)?;
        }
        let active = store.blocks.active().expect("one was begun if there was none");
        self.load_once(store, &active, now)?;
        Ok(active)
    }

    /// Begins a new block, which takes over what only the newest block knows; returns how many spans of older ones
    /// were dropped for it.
    pub(super) fn roll(&mut self, store: &Store, now: Timestamp) -> Result<u64, Error> {
        if let Some(before) = store.blocks.active() {
            self.load_what_is_sound(store, &before, now)?;
        }
        self.begin(store, now)?;
        store.blocks.retain(now)
    }

    /// Begins a new block, which takes over the buffer's cursor and nothing else.
    pub(super) fn begin_empty(&mut self, store: &Store, now: Timestamp) -> Result<(), Error> {
        self.pending.forget();
        self.known = Known::default();
        self.begin(store, now)
    }

    fn begin(&mut self, store: &Store, now: Timestamp) -> Result<(), Error> {
        let cursors = match store.blocks.active() {
            Some(before) => store.step_over(&before, read_cursors)?.unwrap_or_default(),
            None => Vec::new(),
        };
        let pending = &self.pending;
        let block = store.blocks.roll(&store.losses, now, |block, transaction| {
            let mut table = transaction.open_table(CURSOR)?;
            for (key, value) in &cursors {
                table.insert(&key[..], &value[..])?;
            }
            pending.write_all(transaction, || block.new_run())
        })?;
        (self.names, self.sources) = (Names::default(), Some(SourceTable::new(0)));
        (self.block, self.damaged, self.is_counted_full) = (Some(block.sequence), 0, false);
        self.tell(store);
        Ok(())
    }

    /// Reads what is kept in memory of the active block, or nothing of what cannot be read for damage.
    fn load_what_is_sound(&mut self, store: &Store, block: &Arc<Block>, now: Timestamp) -> Result<(), Error> {
        match self.load_once(store, block, now) {
            Err(error) if error.is_damage() => store.losses.damaged_block(block.name(), &error),
            loaded => loaded?,
        }
        Ok(())
    }

    fn load_once(&mut self, store: &Store, block: &Arc<Block>, now: Timestamp) -> Result<(), Error> {
        if self.block == Some(block.sequence) { Ok(()) } else { self.load(store, block, now) }
    }

    /// Reads what is kept in memory of the active block.
    fn load(&mut self, store: &Store, block: &Arc<Block>, now: Timestamp) -> Result<(), Error> {
        let view = block.view(&store.losses)?;
        (self.names, self.sources) = view.reading.read(|transaction| {
            let next = SourceTable::next_in(&transaction.open_table(RESOURCES)?)?;
            Ok((Names::read(transaction)?, Some(SourceTable::new(next))))
        })?;
        let waiting =
            view.reading.read(|transaction| calls::read_waiting(transaction, now, &store.losses))?;
        self.pending.forget();
        let snapshot = store.snapshot()?;
        for (run, waiting) in waiting {
            for child in waiting {
                if !came_after(&snapshot, &view, run, &child)? {
                    self.pending.add(child);
                }
            }
        }
        self.known = Known::default();
        self.block = Some(block.sequence);
        Ok(())
    }

    /// Sorts a batch and takes out what is there twice, in it or in the store.
    fn batch<'b>(&mut self, store: &Store, spans: &'b [Span]) -> Result<Batch<'b>, Error> {
        let sources = self.sources.as_mut().expect("it is loaded with the block");
        sources.trim();
        let mut items = sorted(spans, sources);
        if items.windows(2).any(|pair| ids(&pair[0]) == ids(&pair[1])) {
            sort_shared_ids(&mut items);
            items.dedup_by_key(|item| (item.span.trace_id, item.span.span_id, item.span.content_hash));
        }
        let traces = items.chunk_by(|one, next| one.span.trace_id == next.span.trace_id);
        let asked = Asked::new(traces.map(|trace| trace[0].span.trace_id));
        let mut earlier = Earlier::new();
        let snapshot = store.snapshot()?;
        self.known.find(store, &snapshot, &asked, &mut earlier)?;
        if !earlier.is_empty() {
            for spans in earlier.values_mut() {
                spans.sort_unstable_by_key(|span| (span.span_id, span.content_hash));
            }
            let mut trace: (Option<TraceId>, &[KnownSpan]) = (None, &[]);
            items.retain(|item| {
                let trace_id = item.span.trace_id;
                if trace.0 != Some(trace_id) {
                    trace = (Some(trace_id), earlier.get(&trace_id).map_or(&[], Vec::as_slice));
                }
                !is_among(trace.1, item.span)
            });
        }
        let duplicates = (spans.len() - items.len()) as u64;
        Ok(Batch { items, duplicates, earlier })
    }

    /// Packs the batch, and counts each trace as soon as it is packed.
    fn pack(
        &mut self,
        store: &Store,
        block: &Block,
        batch: &Batch<'_>,
        now: Timestamp,
    ) -> Result<(Vec<Packed>, Counted), Error> {
        let notes = self.sources.as_ref().expect("it is loaded with the block").notes();
        let expire_time = now.plus(store.blocks.settings().max_age);
        let mut counting = Counting::new(&self.pending, &store.losses, now);
        let (mut uncounted, mut seen) = (&batch.items[..], Seen::default());
        let (mut runs, mut before) = (Vec::new(), 0);
        for items in self.packer.runs(&batch.items) {
            let id = block.new_run();
            let run = self.packer.pack(id, items, notes, expire_time, &mut seen, |end, seen| {
                let packed = before + end;
                while let Some(trace) = first_trace(uncounted)
                    && let first = batch.items.len() - uncounted.len()
                    && first + trace.len() <= packed
                {
                    let earlier = batch.earlier.get(&trace[0].span.trace_id);
                    let seen = SeenSpans { operations: &seen.operations, spans: &seen.spans[first..] };
                    counting.trace(trace, &seen, earlier.map_or(&[], Vec::as_slice));
                    uncounted = &uncounted[trace.len()..];
                }
            })?;
            runs.push(run);
            before += items.len();
        }
        let linked: Vec<TraceId> = counting.foreign_links().map(|(trace_id, _)| trace_id).collect();
        if !linked.is_empty() {
            let mut earlier = Earlier::new();
            let snapshot = store.snapshot()?;
            self.known.find(store, &snapshot, &Asked::new(linked.into_iter()), &mut earlier)?;
            counting.resolve_links(|trace_id| {
                let mut spans = earlier.remove(&trace_id).unwrap_or_default();
                let start = batch.items.partition_point(|item| item.span.trace_id < trace_id);
                let own = first_trace(&batch.items[start..]).unwrap_or_default();
                let own = own.iter().filter(|item| item.span.trace_id == trace_id);
                spans.extend(own.map(|item| KnownSpan::of(item, notes)));
                Ok::<_, Error>(spans)
            })?;
        }
        Ok((runs, counting.finish()))
    }

    fn committed(&mut self, block: &Block, runs: Vec<Packed>, counted: Counted) {
        self.names.committed();
        self.pending.apply(counted);
        self.sources.as_mut().expect("it is loaded with the block").committed();
        for packed in runs {
            self.known.remember((block.sequence, packed.run.id), &packed.traces, packed.spans);
        }
        self.in_doubt = false;
    }
}

/// The spans of the first trace.
fn first_trace<'i, 'b>(items: &'i [Item<'b>]) -> Option<&'i [Item<'b>]> {
    items.chunk_by(|one, other| one.span.trace_id == other.span.trace_id).next()
}

impl KnownSpan {
    /// A span that is being stored.
    pub(super) fn of(item: &Item<'_>, notes: &Notes) -> Self {
        Self {
            span_id: item.span.span_id,
            content_hash: item.span.content_hash,
            service: Arc::clone(&notes[&item.source].service),
            kind: item.span.kind,
            start: item.span.start,
        }
    }
}

/// Spans by their ids.
fn sorted<'b>(spans: &'b [Span], sources: &mut SourceTable) -> Vec<Item<'b>> {
    // In the order in which they lie in memory: after this they are looked at in another one.
    let places = (0u32..).zip(spans).map(|(place, span)| {
        let source = sources.number(&span.resource, &span.scope);
        let start_of_id = (u128::from_be_bytes(span.trace_id.0) >> 64) as u64;
        (start_of_id, place, source)
    });
    let mut places: Vec<(u64, u32, u32)> = places.collect();
    // Few spans have the start of an id in common, so little is moved and compared until they are together.
    places.sort_unstable_by_key(|(start_of_id, ..)| *start_of_id);
    let mut items: Vec<Item<'b>> =
        places.iter().map(|&(_, place, source)| Item { span: &spans[place as usize], source }).collect();
    let mut rest = &mut items[..];
    for alike in places.chunk_by(|one, next| one.0 == next.0) {
        let (alike, behind) = rest.split_at_mut(alike.len());
        alike.sort_unstable_by_key(ids);
        rest = behind;
    }
    items
}

/// Both ids, as numbers: these are compared faster, and in the same order.
fn ids(item: &Item<'_>) -> (u128, u64) {
    (u128::from_be_bytes(item.span.trace_id.0), u64::from_be_bytes(item.span.span_id.0))
}

/// Puts the spans that share an id into the order of their contents.
fn sort_shared_ids(items: &mut [Item<'_>]) {
    let same = |one: &Item<'_>, other: &Item<'_>| ids(one) == ids(other);
    for shared in items.chunk_by_mut(same).filter(|shared| shared.len() > 1) {
        shared.sort_unstable_by_key(|item| item.span.content_hash);
    }
}

/// `spans` are sorted by id and content: of one trace there may be as many as there are at all.
fn is_among(spans: &[KnownSpan], span: &Span) -> bool {
    let wanted = (span.span_id, span.content_hash);
    spans.binary_search_by_key(&wanted, |known| (known.span_id, known.content_hash)).is_ok()
}

fn with_runs(before: &Runs, packed: &[Packed]) -> Runs {
    before.iter().cloned().chain(packed.iter().map(|packed| Arc::new(packed.run.clone()))).collect()
}

/// One batch's transaction.
struct Write<'w> {
    store: &'w Store,
    transaction: &'w WriteTransaction,
    now: Timestamp,
}

impl Write<'_> {
    fn batch(&self, appender: &Appender, runs: &[Packed], counted: &Counted) -> Result<bool, Error> {
        for packed in runs {
            packed.write(self.transaction)?;
        }
        appender.sources.as_ref().expect("it is loaded with the block").write(self.transaction)?;
        appender.names.write(self.transaction, self.now)?;
        // Who waits, waits from the last run on: what it waits for is looked for in later ones.
        if let Some(last) = runs.last() {
            calls::write(self.transaction, last.run.id, counted, &self.store.losses)?;
        }
        red::write(self.transaction, counted, &self.store.losses)
    }
}

/// Moves a buffer's cursor forward.
fn write_cursor(transaction: &WriteTransaction, cursor: &Cursor) -> Result<(), Error> {
    let key = key::cursor(cursor.buffer, cursor.signal);
    let mut table = transaction.open_table(CURSOR)?;
    let stored = table.get(&key[..])?.and_then(|value| cursor_of(&key, value.value()).ok());
    if stored.is_none_or(|stored| stored < cursor.sequence) {
        table.insert(&key[..], &seal(&key, cursor.sequence.to_le_bytes().to_vec())[..])?;
    }
    Ok(())
}

fn cursor_of(key: &[u8], sealed: &[u8]) -> Result<u64, Damaged> {
    Ok(u64::from_le_bytes(unseal(key, sealed)?.try_into().map_err(|_| Damaged)?))
}

fn read_cursor(store: &Store, block: &Arc<Block>, cursor: &Cursor) -> Result<Option<u64>, Error> {
    store.cursor_in(block, cursor.buffer, cursor.signal)
}

/// Key and value.
type Row = (Vec<u8>, Vec<u8>);

/// All cursors of a block, as they are stored.
fn read_cursors(transaction: &ReadTransaction) -> Result<Vec<Row>, Error> {
    let mut cursors = Vec::new();
    for row in transaction.open_table(CURSOR)?.iter()? {
        let (key, value) = row?;
        cursors.push((key.value().to_vec(), value.value().to_vec()));
    }
    Ok(cursors)
}

impl Store {
    /// The last applied frame of a buffer's signal, as a block has it.
    pub(super) fn cursor_in(
        &self,
        block: &Arc<Block>,
        buffer: [u8; 16],
        signal: u8,
    ) -> Result<Option<u64>, Error> {
        let key = key::cursor(buffer, signal);
        let read = block.view(&self.losses)?.reading.read(|transaction| {
            let table = transaction.open_table(CURSOR)?;
            Ok(table.get(&key[..])?.map(|value| cursor_of(&key, value.value())))
        })?;
        Ok(read.and_then(|sequence| self.losses.step_over(CURSOR, sequence)))
    }
}

/// Whether a run later than this one brought the span that this one waits for: it was counted then.
fn came_after(snapshot: &Snapshot<'_>, view: &View, run: u32, waiting: &Waiting) -> Result<bool, Error> {
    let (trace_id, hash) = (waiting.trace_id, bloom::trace_hash(waiting.trace_id));
    for later in view.runs.iter().filter(|later| later.id > run) {
        for (number, entry) in later.chunks_of(trace_id, hash) {
            let Some(chunk) = snapshot.chunk(view, later, number, entry)? else { continue };
            for place in chunk.find(trace_id, waiting.span_id) {
                let source = snapshot.source(view, chunk.source(place))?;
                let service = source.as_ref().map_or("", |(resource, _)| resource.service.as_str());
                if waiting.is_for(chunk.kind(place), service) {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}
