//! Spans at rest in redb: a literal mirror of jaeger-dynamodb's tables, one row per span.
//!
//! Promise: what [`Store::append`] returned `Ok` for is on disk, with the buffer's cursor and everything derived
//! from it, or nothing of it is. Storing a span again changes nothing. Every value carries a checksum that is
//! looked at on every read: a damaged row is counted and left out, never handed out. A failed or panicking engine
//! is reported once and opened again by the next call.
//!
//! Limits: names in keys [`MAX_NAME_BYTES`]; 10 000 services and 100 000 operations are listed, and calls counted in
//! 100 000 rows of two services and an hour; memory for pages is [`Settings::cache_bytes`]; one transaction of
//! [`Store::expire`] handles 5 000 rows; a trace is read up to a number of bytes the caller names. The file has no
//! size limit: only age removes spans, freed pages are used again but the file does not shrink, and no space is held
//! back for removing. On a full disk every write fails, expiry too, until somebody makes room; reading goes on
//! where the file system lets bytes that are there be written over, which opening the file again takes.
//!
//! The layout is chosen for clarity: `schema` is the whole of it on one page.
//!
//! Does not know: where spans came from, who asks, the time of day.

mod append;
mod calls;
mod expiry;
mod key;
#[cfg(test)]
mod power_cut;
mod record;
mod schema;
mod snapshot;
#[cfg(test)]
mod tests;

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::model::{Span, Timestamp, TraceId};
use crate::store::engine::{Engine, Layout};
use crate::store::literal::append::Moment;
use crate::store::literal::schema::{CURSOR, TABLES};
use crate::store::losses::Losses;

pub use crate::store::{Appended, Cursor, Error};

/// How it is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Memory for pages of the file, read and written.
    pub cache_bytes: usize,
    /// How long a span is kept after it was stored.
    pub max_age: Duration,
}

/// What expiry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Spans that were removed.
    pub spans: u64,
    /// Whether more may be due: call again.
    pub more: bool,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Stored spans, pinned copies not counted.
    pub spans: u64,
    /// Traces that are kept for good.
    pub traces_pinned: u64,
    /// What the file takes on the disk, in bytes.
    pub data_bytes: u64,
    /// The earliest start of a stored span; spans without one are not asked.
    pub oldest: Option<Timestamp>,
    /// How often a damaged row was met since the program started.
    pub damaged_rows: u64,
    /// How often the engine failed and was given up since the program started.
    pub engine_failures: u64,
}

pub use key::{Identity, MAX_NAME_BYTES, shortened};
pub use record::IndexRow;
pub use snapshot::{Dependency, Newest, Snapshot, Spans, TraceRows};

/// Name of the file in the store's folder.
const FILE: &str = "spans.redb";

/// What its files are known by.
const LAYOUT: Layout = Layout { format: 1, tables: &TABLES };

/// All stored spans. Share it by reference or `Arc`; one caller writes at a time, readers wait for nobody.
#[derive(Debug)]
pub struct Store {
    engine: Arc<Engine>,
    losses: Losses,
    max_age: Duration,
}

impl Store {
    /// Opens the store in this folder, or makes it. After a crash this takes no longer than otherwise.
    pub fn open(folder: &Path, settings: &Settings) -> Result<Self, Error> {
        let in_folder = |source| Error::File { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(in_folder)?;
        let engine = Engine::open(&folder.join(FILE), settings.cache_bytes, LAYOUT)?;
        // The names of file and folder must be as durable as what the file will hold.
        for named in folder.ancestors().take(2).filter(|path| !path.as_os_str().is_empty()) {
            File::open(named).and_then(|folder| folder.sync_all()).map_err(in_folder)?;
        }
        Ok(Self::with_engine(engine, settings))
    }

    fn with_engine(engine: Arc<Engine>, settings: &Settings) -> Self {
        Self { engine, losses: Losses::default(), max_age: settings.max_age }
    }

    /// Stores the spans that are not there yet and moves the cursor, in one durable transaction: on disk, or, with
    /// an error, not there at all.
    pub fn append(&self, spans: &[Span], cursor: &Cursor, now: Timestamp) -> Result<Appended, Error> {
        // Rounded up: nothing goes before its time.
        let expire_time = now.plus(self.max_age).nanos().div_ceil(1_000_000_000);
        let moment = Moment { now, expire_time };
        self.engine.write(|transaction| append::append(transaction, &self.losses, spans, cursor, moment))
    }

    /// The last applied frame of a buffer's signal.
    pub fn cursor(&self, buffer: [u8; 16], signal: u8) -> Result<Option<u64>, Error> {
        let key = key::cursor(buffer, signal);
        self.engine.begin_read()?.read(|transaction| {
            let table = transaction.open_table(CURSOR)?;
            let stored = table.get(&key[..])?.map(|value| append::cursor_of(&key, value.value()));
            Ok(stored.and_then(|sequence| self.losses.step_over(CURSOR, sequence)))
        })
    }

    /// The store as it stands now, for one question.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, Error> {
        Ok(Snapshot { reading: self.engine.begin_read()?, losses: &self.losses })
    }

    /// Asks a question of the store as it stands now; once more when the failure of another call ended it.
    pub fn ask<T>(&self, question: impl Fn(&Snapshot<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let ask = || question(&self.snapshot()?);
        ask().or_else(|error| if error.is_echo() { ask() } else { Err(error) })
    }

    /// Keeps a trace for good, spans of it that are still to come included; false when there is no such trace.
    pub fn pin(&self, trace_id: TraceId) -> Result<bool, Error> {
        self.engine.write(|transaction| append::pin(transaction, &self.losses, trace_id))
    }

    /// Removes what is due at `now`, at most one batch; to be called again while [`Expired::more`].
    pub fn expire(&self, now: Timestamp) -> Result<Expired, Error> {
        // A commit costs a sync, even of nothing.
        let is_due = |transaction: &redb::ReadTransaction| {
            expiry::is_due(&transaction.open_table(schema::EXPIRY)?, now)
        };
        if !self.engine.begin_read()?.read(is_due)? {
            return Ok(Expired::default());
        }
        self.engine.write(|transaction| expiry::expire(transaction, &self.losses, now))
    }

    /// So many spans at most, in the order of their identities, from behind one of them, and none behind so many bytes
    /// of rows.
    pub fn spans_after(&self, after: Option<Identity>, most: (usize, usize)) -> Result<Vec<Span>, Error> {
        self.ask(|snapshot| snapshot.spans_after(schema::SPANS, after, most))
    }

    /// So many pinned spans at most, in the same order.
    pub fn pinned_after(&self, after: Option<Identity>, most: (usize, usize)) -> Result<Vec<Span>, Error> {
        self.ask(|snapshot| snapshot.spans_after(schema::ARCHIVE, after, most))
    }

    /// Every buffer's cursor.
    pub fn cursors(&self) -> Result<Vec<Cursor>, Error> {
        self.ask(|snapshot| snapshot.cursors())
    }

    /// How much there is.
    pub fn status(&self) -> Result<Status, Error> {
        let path = self.engine.path();
        let file = fs::metadata(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
        let snapshot = self.snapshot()?;
        Ok(Status {
            spans: snapshot.span_count()?,
            traces_pinned: snapshot.archived_count()?,
            // POSIX: st_blocks counts units of 512 bytes.
            data_bytes: file.blocks() * 512,
            oldest: snapshot.oldest()?,
            damaged_rows: self.losses.damaged_rows.load(Ordering::Relaxed),
            engine_failures: self.engine.failures(),
        })
    }
}
