//! Traces that are kept for good: copied into a file of their own, late spans too.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};
use redb::ReadableTable as _;

use crate::model::{Span, Timestamp, TraceId};
use crate::store::block::Block;
use crate::store::chunk::Item;
use crate::store::files::Files;
use crate::store::losses::Losses;
use crate::store::pack::{Packer, Seen};
use crate::store::schema::{ARCHIVE, RESOURCES};
use crate::store::seal::seal;
use crate::store::sizes::Sizes;
use crate::store::sources::SourceTable;
use crate::store::{Error, Snapshot};

/// The file.
pub(super) const NAME: &str = "archive.redb";

/// Its place among the blocks: before all of them.
pub(super) const SEQUENCE: u64 = 0;

/// Memory for its pages.
const CACHE_BYTES: usize = 2 << 20;

/// Pinned traces.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) block: Arc<Block>,
    pinned: RwLock<HashSet<TraceId>>,
    writer: Mutex<Writer>,
}

#[derive(Debug)]
struct Writer {
    sources: Option<SourceTable>,
    packer: Packer,
}

impl Archive {
    /// Opens the file, or makes it. A damaged one is set aside.
    pub(super) fn open(
        files: &Arc<dyn Files>,
        sizes: Sizes,
        losses: &Losses,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let open = || {
            let block = Block::open(files, NAME, (SEQUENCE, now), (true, CACHE_BYTES), losses)?;
            let pinned = pinned_in(&block, losses)?;
            Ok::<_, Error>((block, pinned))
        };
        let (block, pinned) = match open() {
            Err(error) if error.is_damage() => {
                let aside = files.set_aside(NAME, now);
                let aside = aside.map_err(|source| Error::File { path: files.path(NAME), source })?;
                tracing::error!(
                    error = &error as &(dyn std::error::Error + 'static),
                    kept = %aside.display(),
                    "the archive is damaged; it was set aside and a new one begun, traces pinned in it are not shown"
                );
                open()?
            }
            opened => opened?,
        };
        let writer = Writer { sources: None, packer: Packer::new(sizes) };
        Ok(Self { block, pinned: RwLock::new(pinned), writer: Mutex::new(writer) })
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

    /// Copies spans; those that are here already are left out. `pin` keeps all spans of a trace from now on.
    pub(super) fn add(
        &self,
        snapshot: &Snapshot<'_>,
        mut spans: Vec<Span>,
        pin: Option<(TraceId, Timestamp)>,
    ) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        self.leave_out_known(snapshot, &mut spans)?;
        if spans.is_empty() && pin.is_none_or(|(id, _)| self.pinned.read().contains(&id)) {
            return Ok(());
        }
        if !self.block.is_sound(&snapshot.store.losses)? {
            return Err(self.block.only_read());
        }
        let written = self.write(&mut writer, &snapshot.store.losses, &spans, pin);
        match written {
            Ok(()) => self.pinned.write().extend(pin.map(|(id, _)| id)),
            // What is on the disk is not known: the sources' numbers are read again.
            Err(_) => writer.sources = None,
        }
        written
    }

    fn leave_out_known(&self, snapshot: &Snapshot<'_>, spans: &mut Vec<Span>) -> Result<(), Error> {
        spans.sort_unstable_by_key(|span| (span.trace_id, span.span_id, span.content_hash));
        spans.dedup_by_key(|span| (span.trace_id, span.span_id, span.content_hash));
        let mut known: HashMap<TraceId, HashSet<_>> = HashMap::new();
        for span in spans.iter() {
            if !known.contains_key(&span.trace_id) {
                let stored = snapshot.pinned_spans(span.trace_id)?;
                let identities = stored.into_iter().map(|span| (span.span_id, span.content_hash));
                known.insert(span.trace_id, identities.collect());
            }
        }
        spans.retain(|span| !known[&span.trace_id].contains(&(span.span_id, span.content_hash)));
        Ok(())
    }

    fn write(
        &self,
        writer: &mut Writer,
        losses: &Losses,
        spans: &[Span],
        pin: Option<(TraceId, Timestamp)>,
    ) -> Result<(), Error> {
        let next =
            || self.block.view(losses)?.reading.read(|it| SourceTable::next_in(&it.open_table(RESOURCES)?));
        let sources = match &mut writer.sources {
            Some(sources) => sources,
            none => none.insert(SourceTable::new(next()?)),
        };
        sources.trim();
        let items: Vec<Item<'_>> = spans
            .iter()
            .map(|span| Item { span, source: sources.number(&span.resource, &span.scope) })
            .collect();
        let runs = writer.packer.runs(&items);
        let packed = runs
            .into_iter()
            .map(|items| {
                let (id, notes, seen) = (self.block.new_run(), sources.notes(), &mut Seen::default());
                writer.packer.pack(id, items, notes, Timestamp::MAX, seen, |_, _| ())
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.block.commit(losses, |transaction, before| {
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
