//! Traces that are kept for good: copied into a file of their own, late spans too, as long as there is room.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::{Arc, OnceLock};

use parking_lot::{Mutex, RwLock};
use redb::ReadableTable as _;

use crate::model::{Span, Timestamp, TraceId};
use crate::store::block::{Block, View};
use crate::store::chunk::Item;
use crate::store::directory::Run;
use crate::store::files::Files;
use crate::store::losses::Losses;
use crate::store::pack::{Packer, Seen};
use crate::store::schema::{ARCHIVE, RESOURCES};
use crate::store::seal::seal;
use crate::store::sizes::Sizes;
use crate::store::sources::SourceTable;
use crate::store::walk::PieceLimits;
use crate::store::{Error, Identity, Snapshot, Store, bloom};

/// The file.
pub(super) const NAME: &str = "archive.redb";

/// Its place among the blocks: before all of them.
pub(super) const SEQUENCE: u64 = 0;

/// Memory for its pages.
const CACHE_BYTES: usize = 2 << 20;

/// Spans on their way into it.
const PIECE: PieceLimits = PieceLimits { spans: usize::MAX, bytes: 8 << 20 };

/// It takes this part of what blocks may take, beside them, and so many bytes where that is less.
const PARTS_OF_MAX_BYTES: u64 = 4;
const LEAST_BYTES: u64 = 16 << 20;

/// Pinned traces.
#[derive(Debug)]
pub(super) struct Archive {
    files: Arc<dyn Files>,
    /// Made with the first trace: most stores have none, and each file takes its time to be opened.
    block: OnceLock<Arc<Block>>,
    pinned: RwLock<HashSet<TraceId>>,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    sources: Option<SourceTable>,
    packer: Packer,
}

impl Archive {
    /// Opens the file if there is one. A damaged one is set aside.
    pub(super) fn open(
        files: &Arc<dyn Files>,
        sizes: Sizes,
        losses: &Losses,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let archive = Self {
            files: Arc::clone(files),
            block: OnceLock::new(),
            pinned: RwLock::default(),
            writer: Mutex::new(Writer { sources: None, packer: Packer::new(sizes) }),
        };
        if !files.exists(NAME) {
            return Ok(archive);
        }
        match archive.made(losses).and_then(|block| pinned_in(&block, losses)) {
            Ok(pinned) => *archive.pinned.write() = pinned,
            Err(error) if error.is_damage() => {
                let aside = files.set_aside(NAME, now);
                let aside = aside.map_err(|source| Error::File { path: files.path(NAME), source })?;
                tracing::error!(
                    error = &error as &(dyn std::error::Error + 'static),
                    kept = %aside.display(),
                    "the archive is damaged; it was set aside and a new one begun, traces pinned in it are not shown"
                );
                return Ok(Self { block: OnceLock::new(), ..archive });
            }
            Err(error) => return Err(error),
        }
        Ok(archive)
    }

    /// The file, if there is one.
    pub(super) fn block(&self) -> Option<&Arc<Block>> {
        self.block.get()
    }

    /// The file, made if there was none. One caller at a time.
    fn made(&self, losses: &Losses) -> Result<Arc<Block>, Error> {
        if let Some(block) = self.block.get() {
            return Ok(Arc::clone(block));
        }
        let place = (SEQUENCE, Timestamp::ZERO);
        let block = Block::open(&self.files, NAME, place, (true, CACHE_BYTES), losses)?;
        Ok(Arc::clone(self.block.get_or_init(|| block)))
    }

    /// How many traces are pinned.
    pub(super) fn len(&self) -> usize {
        self.pinned.read().len()
    }

    /// Those of the spans whose traces are pinned.
    pub(super) fn pinned_among(&self, spans: &[Span]) -> Vec<Span> {
        let pinned = self.pinned.read();
        if pinned.is_empty() {
            return Vec::new();
        }
        spans.iter().filter(|span| pinned.contains(&span.trace_id)).cloned().collect()
    }

    /// Keeps a trace for good; false when there is no such trace. It is copied piece by piece, and is pinned with the
    /// last one: what a failure leaves of it is gone over when it is pinned again.
    pub(super) fn pin(&self, snapshot: &Snapshot<'_>, id: TraceId, now: Timestamp) -> Result<bool, Error> {
        let mut last = None;
        let copied = snapshot.each_piece(id, PIECE, |piece| {
            let Some(mut before) = last.replace(piece) else { return ControlFlow::Continue(()) };
            match self.add_within(limit(snapshot.store), snapshot, &mut before, None) {
                Ok(()) => ControlFlow::Continue(()),
                Err(error) => ControlFlow::Break(error),
            }
        })?;
        if let ControlFlow::Break(error) = copied {
            return Err(error);
        }
        let is_found = last.is_some();
        if let Some(mut piece) = last {
            self.add_within(limit(snapshot.store), snapshot, &mut piece, Some((id, now)))?;
        }
        Ok(is_found)
    }

    /// Copies what came late of pinned traces; what there is no room for is counted.
    pub(super) fn add_late(&self, snapshot: &Snapshot<'_>, mut spans: Vec<Span>) -> Result<(), Error> {
        match self.add_within(limit(snapshot.store), snapshot, &mut spans, None) {
            Err(error @ Error::ArchiveFull { .. }) => {
                snapshot.store.losses.leave_uncopied(spans.len() as u64, &error);
                Ok(())
            }
            added => added,
        }
    }

    /// Forgets all pinned traces, and gives back their space if nobody reads them.
    pub(super) fn purge(&self, losses: &Losses) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        writer.sources = None;
        let Some(block) = self.block() else { return Ok(()) };
        if !block.is_sound(losses)? {
            return Err(block.only_read());
        }
        block.clear(losses)?;
        self.pinned.write().clear();
        if let Err(error) = block.compact() {
            tracing::warn!(
                error = &error as &(dyn std::error::Error + 'static),
                "the emptied archive keeps its space on the disk"
            );
        }
        Ok(())
    }

    /// Copies spans, however many there are; those that are here already are left out. `pin` keeps all spans of a trace
    /// from now on.
    pub(super) fn add(
        &self,
        snapshot: &Snapshot<'_>,
        mut spans: Vec<Span>,
        pin: Option<(TraceId, Timestamp)>,
    ) -> Result<(), Error> {
        self.add_within(u64::MAX, snapshot, &mut spans, pin)
    }

    /// The same within a limit; takes out of `spans` what is here already.
    fn add_within(
        &self,
        limit: u64,
        snapshot: &Snapshot<'_>,
        spans: &mut Vec<Span>,
        pin: Option<(TraceId, Timestamp)>,
    ) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        let (losses, block) = (&snapshot.store.losses, self.made(&snapshot.store.losses)?);
        leave_out_known(&block, snapshot, spans)?;
        if spans.is_empty() && pin.is_none_or(|(id, _)| self.pinned.read().contains(&id)) {
            return Ok(());
        }
        if !spans.is_empty() && block.summary().bytes >= limit {
            return Err(Error::ArchiveFull { limit });
        }
        if !block.is_sound(losses)? {
            return Err(block.only_read());
        }
        let written = writer.write((&block, losses), spans, pin);
        match written {
            Ok(()) => self.pinned.write().extend(pin.map(|(id, _)| id)),
            // What is on the disk is not known: the sources' numbers are read again.
            Err(_) => writer.sources = None,
        }
        written
    }
}

impl Writer {
    fn write(
        &mut self,
        (block, losses): (&Arc<Block>, &Losses),
        spans: &[Span],
        pin: Option<(TraceId, Timestamp)>,
    ) -> Result<(), Error> {
        let next = || block.view(losses)?.reading.read(|it| SourceTable::next_in(&it.open_table(RESOURCES)?));
        let sources = match &mut self.sources {
            Some(sources) => sources,
            none => none.insert(SourceTable::new(next()?)),
        };
        sources.trim();
        let items: Vec<Item<'_>> = spans
            .iter()
            .map(|span| Item { span, source: sources.number(&span.resource, &span.scope) })
            .collect();
        let runs = self.packer.runs(&items);
        let packed = runs
            .into_iter()
            .map(|items| {
                let (id, notes, seen) = (block.new_run(), sources.notes(), &mut Seen::default());
                self.packer.pack(id, items, notes, Timestamp::MAX, seen, |_, _| ())
            })
            .collect::<Result<Vec<_>, _>>()?;
        block.commit(losses, |transaction, before| {
            for packed in &packed {
                packed.write(transaction)?;
            }
            sources.write(transaction)?;
            if let Some((id, now)) = pin {
                let value = seal(&id.0, now.nanos().to_le_bytes().to_vec());
                transaction.open_table(ARCHIVE)?.insert(&id.0[..], &value[..])?;
            }
            let runs = packed.iter().map(|packed| Arc::new(packed.run.clone()));
            Ok(((), before.iter().cloned().chain(runs).collect()))
        })?;
        sources.committed();
        Ok(())
    }
}

/// Takes out of the spans those that the archive has.
fn leave_out_known(block: &Arc<Block>, snapshot: &Snapshot<'_>, spans: &mut Vec<Span>) -> Result<(), Error> {
    spans.sort_unstable_by_key(Identity::of);
    spans.dedup_by_key(|span| Identity::of(span));
    // As it is now: the archive changes on its own.
    let view = block.view(&snapshot.store.losses)?;
    let mut known = HashSet::new();
    for trace in spans.chunk_by(|one, other| one.trace_id == other.trace_id) {
        for run in view.runs.iter() {
            add_known(snapshot, (&view, run), trace, &mut known)?;
        }
    }
    spans.retain(|span| !known.contains(&Identity::of(span)));
    Ok(())
}

/// What the archive may take; a piece more, for it is looked at before each.
pub(super) fn limit(store: &Store) -> u64 {
    (store.blocks.max_bytes() / PARTS_OF_MAX_BYTES).max(LEAST_BYTES)
}

/// Adds what a run has of the spans, which are of one trace and sorted: only chunks in which they would stand are read,
/// and of these only the spans with their ids.
fn add_known(
    snapshot: &Snapshot<'_>,
    (view, run): (&View, &Run),
    trace: &[Span],
    known: &mut HashSet<Identity>,
) -> Result<(), Error> {
    let id = trace[0].trace_id;
    for (number, entry) in run.chunks_of(id, bloom::trace_hash(id)) {
        // The spans of one id are all in one chunk.
        let start = trace.partition_point(|span| (id, span.span_id) < entry.first);
        let end = run
            .chunks
            .get(number as usize + 1)
            .map_or(trace.len(), |next| trace.partition_point(|span| (id, span.span_id) < next.first));
        if start >= end {
            continue;
        }
        let Some(chunk) = snapshot.store.chunk(view, run, number, entry)? else { continue };
        for same in trace[start..end].chunk_by(|one, other| one.span_id == other.span_id) {
            for place in chunk.find(id, same[0].span_id) {
                known.extend(snapshot.span_of(view, &chunk, place)?.map(|span| Identity::of(&span)));
            }
        }
    }
    Ok(())
}

/// The traces that are pinned.
fn pinned_in(block: &Arc<Block>, losses: &Losses) -> Result<HashSet<TraceId>, Error> {
    block.view(losses)?.reading.read(|transaction| {
        let mut pinned = HashSet::new();
        for row in transaction.open_table(ARCHIVE)?.iter()? {
            pinned.extend(TraceId::from_slice(row?.0.value()));
        }
        Ok(pinned)
    })
}
