//! Spans at rest in redb: sorted runs of packed rows under the tables that jaeger-dynamodb gave DynamoDB.
//!
//! Promise: what [`Store::append`] returned `Ok` for is on disk, with the buffer's cursor and everything that is counted
//! from it, or nothing of it is. A span that comes again is stored once in effect. Every value carries a checksum that
//! is looked at on every read: what is damaged is counted and left out, never handed out, and the rest is served. A
//! failed or panicking engine is reported once and opened again by the next call. Bytes on the disk stay within
//! [`Settings::max_bytes`] and one block, and a quarter of that for pinned traces: the oldest block goes whole, in the time of an unlink, and those who read it
//! go on reading. Readers wait for nobody.
//!
//! Limits: names in keys [`MAX_NAME_BYTES`]; a block lists 10 000 services and 100 000 operations; a retry, a parent or
//! a linked span is looked for in the newest 128 runs, and in 64 chunks that must be read for it; 50 000 spans wait for
//! a parent, ten minutes. Memory: pages and opened chunks [`Settings::cache_bytes`], directories of
//! sealed blocks 24 MiB, of the newest runs about 10 MiB, and what one batch takes.
//!
//! One commit is one *run*: its spans sorted by trace, in *chunks* of about two thousand, with one row of
//! `ServiceNameIndex` for each service and some of `SearchableTags`. Small runs are merged beside the writer
//! ([`Store::merge`]). Runs stand in *blocks*, one file each; `schema` lists the tables, docs/formats.md draws the bytes.
//! The first format, one row for each span, is in [`literal`].
//!
//! A store is copied while it is used ([`Store::backup`], [`restore`]) and looked through while it is not ([`verify`]).
//!
//! Does not know: where spans came from, who asks, the time of day.

mod append;
mod archive;
mod backup;
mod block;
mod blocks;
pub(crate) mod bloom;
mod cache;
mod calls;
mod chunk;
mod convert;
mod directory;
#[cfg(test)]
mod disk_tests;
mod engine;
mod error;
#[cfg(test)]
mod failure_tests;
mod files;
mod fold;
#[cfg(test)]
mod golden_tests;
mod histogram;
mod index;
mod key;
mod known;
pub mod literal;
mod losses;
mod merge;
mod names;
#[cfg(test)]
mod oracle_tests;
mod pack;
mod parts;
mod purge;
mod red;
mod restore;
mod scan;
mod schema;
mod seal;
mod sizes;
mod snapshot;
mod sources;
mod tag_filters;
pub(crate) mod tags;
#[cfg(test)]
mod tests;
mod untouched;
mod verify;
mod walk;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use redb::ReadTransaction;

use crate::model::{Span, Timestamp, TraceId};
use crate::store::append::Appender;
use crate::store::archive::Archive;
use crate::store::block::Block;
use crate::store::blocks::Blocks;
use crate::store::cache::ChunkCache;
use crate::store::files::{Files, Folder};
use crate::store::losses::Losses;
use crate::store::sizes::Sizes;

pub use backup::{Backup, BackupError, Manifest, Saved};
pub use blocks::{LEAST_BYTES, Reason};
pub use calls::{Dependency, EdgeKind};
pub use chunk::MAX_SPAN_BYTES;
#[doc(hidden)]
pub use chunk::read_any;
pub use error::Error;
pub use histogram::{Histogram, Stats};
pub use key::{Identity, MAX_NAME_BYTES, shortened};
pub use merge::Merged;
pub use red::{Red, Wanted, minute};
pub use restore::{check_backup, restore, unpack};
pub use scan::{Candidate, Filter, Scan};
pub use snapshot::{Snapshot, TraceRows};
pub use tags::tag_hash;
pub use verify::{Damage, Found, Tally, is_first_format, is_store, store_files, verify};
pub use walk::PieceLimits;

/// How a store is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Memory for pages of the files and for chunks that were opened lately.
    pub cache_bytes: usize,
    /// How long a span is kept after it was stored.
    pub max_age: Duration,
    /// What blocks may take on the disk, and one block more; 4 GiB, or a tenth of the space there is if that is less,
    /// when it is not said.
    pub max_bytes: Option<u64>,
    /// Space on the disk below which the oldest blocks go.
    pub min_free_bytes: u64,
}

impl Settings {
    /// Of a store in which everything stays: nothing goes for its age or for space. Who writes to it looks at its size.
    pub fn for_good(cache_bytes: usize) -> Self {
        Self { cache_bytes, max_age: Duration::MAX, max_bytes: Some(u64::MAX), min_free_bytes: 0 }
    }
}

/// How far a buffer has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Which buffer.
    pub buffer: [u8; 16],
    /// Which of its signals.
    pub signal: u8,
    /// The last applied frame.
    pub sequence: u64,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Spans that were stored.
    pub new: u64,
    /// Spans that were there already.
    pub duplicates: u64,
}

/// How much there is, and what was lost.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    /// Stored spans, pinned copies not counted. One that came again from afar counts twice until its runs are merged.
    pub spans: u64,
    /// Traces that are kept for good.
    pub traces_pinned: u64,
    /// What the blocks take on the disk, in bytes.
    pub data_bytes: u64,
    /// What they may take, and one block more.
    pub max_bytes: u64,
    /// What the disk has left for this program, in bytes; `None` when it does not say.
    pub free_bytes: Option<u64>,
    /// What the archive takes on the disk beside them, in bytes.
    pub archive_bytes: u64,
    /// Files of spans, the archive not counted.
    pub blocks: u64,
    /// Runs in them.
    pub runs: u64,
    /// The earliest start of a stored span; spans without one are not asked.
    pub oldest: Option<Timestamp>,
    /// Spans of blocks that were dropped since the program started, by [`Reason`].
    pub dropped_spans: [u64; 3],
    /// How often a damaged row was met since the program started.
    pub damaged_rows: u64,
    /// How often the engine failed and was given up since the program started.
    pub engine_failures: u64,
    /// Damaged files in quarantine.
    pub set_aside: u64,
    /// Names, calls and minutes that were not listed or counted because a table was full, and late spans of pinned
    /// traces that there was no room to keep.
    pub left_out: u64,
    /// Traces that were not looked for in every earlier run: retries among them count twice.
    pub unchecked: u64,
    /// Spans that wait for a parent or a linked span.
    pub waiting: u64,
    /// Spans that waited in vain since the program started.
    pub given_up: u64,
}

impl Status {
    /// Spans of dropped blocks, by the name of the reason.
    pub fn dropped(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Reason::ALL.map(Reason::name).into_iter().zip(self.dropped_spans)
    }
}

/// Of spans that wait for others, the numbers as the writer left them: who asks for them does not wait for it.
#[derive(Debug, Default)]
struct Waits {
    waiting: AtomicU64,
    given_up: AtomicU64,
}

/// All stored spans. Share it by reference or `Arc`; one caller writes at a time, readers wait for nobody.
#[derive(Debug)]
pub struct Store {
    blocks: Blocks,
    archive: Archive,
    cache: ChunkCache,
    sizes: Sizes,
    losses: Losses,
    appender: Mutex<Appender>,
    waits: Waits,
    /// Held while runs are merged.
    merging: Mutex<()>,
    /// Runs whose time was over then are shown no more.
    expired: AtomicU64,
}

impl Store {
    /// Opens the store in this folder, or makes it. After a crash this takes no longer than otherwise. What is too
    /// damaged to be opened is set aside in `quarantine/`; what an older version wrote is taken over.
    pub fn open(folder: &Path, settings: &Settings, now: Timestamp) -> Result<Self, Error> {
        let files = Folder::open(folder);
        let files = files.map_err(|source| Error::File { path: folder.to_owned(), source })?;
        Self::with_files(Arc::new(files), settings, Sizes::default(), now)
    }

    fn with_files(
        files: Arc<dyn Files>,
        settings: &Settings,
        sizes: Sizes,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let losses = Losses::default();
        let archive = Archive::open(&files, sizes, &losses, now)?;
        let store = Self {
            blocks: Blocks::open(files, settings.clone(), &losses, now)?,
            archive,
            cache: ChunkCache::new(settings.cache_bytes / 4),
            sizes,
            losses,
            appender: Mutex::new(Appender::new(sizes)),
            waits: Waits::default(),
            merging: Mutex::new(()),
            // What was hidden before a restart stays so.
            expired: AtomicU64::new(now.nanos()),
        };
        store.take_over_format_1(now)?;
        Ok(store)
    }

    /// Stores the spans that are not there yet and moves the cursor, in one durable commit: on disk, or, with an
    /// error, to be tried again: if it was on the disk all the same, the cursor tells.
    pub fn append(&self, spans: &[Span], cursor: &Cursor, now: Timestamp) -> Result<Appended, Error> {
        let mut appender = self.appender.lock();
        let pinned = self.archive.pinned_among(spans);
        if !pinned.is_empty() {
            // First: a crash between the two leaves a copy too many, not one too few.
            match self.archive.add_late(&self.snapshot()?, pinned) {
                // No reason to store nothing any more.
                Err(error) if error.is_damage() => self.losses.damaged_block(archive::NAME, &error),
                added => added?,
            }
        }
        appender.append(self, spans, Some(cursor), now)
    }

    /// The same for spans that come by no buffer.
    pub fn keep(&self, spans: &[Span], now: Timestamp) -> Result<Appended, Error> {
        self.appender.lock().append(self, spans, None, now)
    }

    /// Whether nothing was ever written to it, and nothing pinned.
    pub fn is_empty(&self) -> bool {
        self.blocks.active().is_none() && self.archive.block().is_none()
    }

    /// What the blocks take on the disk, in bytes.
    pub fn data_bytes(&self) -> u64 {
        self.blocks.bytes()
    }

    /// What those who keep traces for good beside this store may take on the disk, each of them, in bytes.
    pub fn bytes_beside(&self) -> u64 {
        archive::limit(self)
    }

    /// The last applied frame of a buffer's signal.
    pub fn cursor(&self, buffer: [u8; 16], signal: u8) -> Result<Option<u64>, Error> {
        let Some(active) = self.blocks.active() else { return Ok(None) };
        match self.cursor_in(&active, buffer, signal) {
            // No reason not to start: what the buffer still holds is sent again, and found to be here.
            Err(error) if error.is_damage() => {
                self.losses.damaged_block(active.name(), &error);
                Ok(None)
            }
            read => read,
        }
    }

    /// The store as it stands now, for one question.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, Error> {
        Snapshot::take(self)
    }

    /// Asks a question of the store as it stands now; once more when the failure of another call ended it.
    pub fn ask<T>(&self, question: impl Fn(&Snapshot<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let ask = || question(&self.snapshot()?);
        ask().or_else(|error| if error.is_echo() { ask() } else { Err(error) })
    }

    /// Keeps a trace for good, spans of it that are still to come included; false when there is no such trace, and
    /// [`Error::ArchiveFull`] when those that are kept leave no room for it.
    pub fn pin(&self, trace_id: TraceId, now: Timestamp) -> Result<bool, Error> {
        // No span of it comes in between.
        let _appender = self.appender.lock();
        self.archive.pin(&self.snapshot()?, trace_id, now)
    }

    /// Hides what is due at `now`, and drops blocks of which everything is due, or which are too many for
    /// [`Settings::max_bytes`] or [`Settings::min_free_bytes`]. Returns how many spans went with them.
    pub fn expire(&self, now: Timestamp) -> Result<u64, Error> {
        self.expired.fetch_max(now.nanos(), Ordering::Relaxed);
        let is_over = |active: &Arc<Block>| {
            let summary = active.summary();
            summary.spans > 0 && summary.expire_time <= now
        };
        let mut spans = 0;
        let mut rolled = Ok(());
        if self.blocks.active().as_ref().is_some_and(is_over) {
            // On a full disk no block can be begun, but those before can go.
            rolled = self.appender.lock().roll(self, now).map(|dropped| spans += dropped);
        }
        self.blocks.spare_memory();
        spans += self.blocks.retain(now)?;
        rolled.map(|()| spans)
    }

    /// Begins a new block: the one before is not written to any more.
    pub fn roll(&self, now: Timestamp) -> Result<(), Error> {
        self.appender.lock().roll(self, now).map(drop)
    }

    fn expired(&self) -> Timestamp {
        Timestamp(self.expired.load(Ordering::Relaxed))
    }

    /// Reads a block; `None` when that fails for damage, which is counted.
    fn step_over<T>(
        &self,
        block: &Arc<Block>,
        read: impl FnOnce(&ReadTransaction) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        match block.view(&self.losses).and_then(|view| view.reading.read(read)) {
            Ok(read) => Ok(Some(read)),
            Err(error) if block.is_lost(&error) => {
                self.losses.damaged_block(block.name(), &error);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// How much there is. Waits for no writer.
    pub fn status(&self) -> Status {
        let blocks = self.blocks.all();
        let summaries: Vec<_> = blocks.iter().map(|block| block.summary()).collect();
        let all = || blocks.iter().chain(self.archive.block());
        Status {
            spans: summaries.iter().map(|summary| summary.spans).sum(),
            traces_pinned: self.archive.len() as u64,
            data_bytes: summaries.iter().map(|summary| summary.bytes).sum(),
            max_bytes: self.blocks.max_bytes(),
            free_bytes: self.blocks.files().free_bytes().ok(),
            archive_bytes: self.archive.block().map_or(0, |block| block.summary().bytes),
            blocks: blocks.len() as u64,
            runs: summaries.iter().map(|summary| summary.runs as u64).sum(),
            oldest: summaries.iter().filter_map(|summary| summary.earliest).min(),
            dropped_spans: Reason::ALL.map(|reason| self.blocks.dropped_spans(reason)),
            damaged_rows: self.losses.damaged_rows.load(Ordering::Relaxed),
            engine_failures: all().map(|block| block.engine().failures()).sum(),
            set_aside: self.blocks.files().count_set_aside() as u64,
            left_out: self.losses.left_out.load(Ordering::Relaxed),
            unchecked: self.losses.unchecked.load(Ordering::Relaxed),
            waiting: self.waits.waiting.load(Ordering::Relaxed),
            given_up: self.waits.given_up.load(Ordering::Relaxed),
        }
    }
}
