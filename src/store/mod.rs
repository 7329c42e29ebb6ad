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
mod engine;
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
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redb::{Database, ReadableDatabase as _};

use crate::model::{Span, Timestamp, TraceId};
use crate::store::append::Moment;
use crate::store::engine::Engine;
use crate::store::record::Damaged;
use crate::store::schema::{CURSOR, Definition, FORMAT, FORMAT_KEY, META, TABLES};

pub use key::{Identity, MAX_NAME_BYTES, shortened};
pub use record::IndexRow;
pub use snapshot::{Dependency, Newest, Snapshot, Spans, TraceRows};

/// Name of the file in the store's folder.
const FILE: &str = "spans.redb";

/// How a store is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Memory for pages of the file, read and written.
    pub cache_bytes: usize,
    /// How long a span is kept after it was stored.
    pub max_age: Duration,
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
    /// Spans that were there already; damaged rows among them are written anew.
    pub duplicates: u64,
}

/// What one batch of expiry did.
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

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder or file cannot be made or looked at.
    #[error("use {path}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file cannot be opened: it is damaged, no database, or in use by another process.
    #[error("open the span store {path}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<redb::DatabaseError>,
    },
    /// A later version wrote the file.
    #[error(
        "open the span store {path}: its format is {found}, this version knows formats up to {FORMAT}; \
             start the version that wrote it, or a later one"
    )]
    NewerFormat {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The file holds tables, but its format number is not readable.
    #[error("open the span store {path}: its format number is damaged")]
    DamagedFormat {
        /// Which.
        path: PathBuf,
    },
    /// redb could not do it.
    #[error("use the span store")]
    Engine(#[source] Box<redb::Error>),
    /// redb panicked.
    #[error("use the span store: the engine panicked: {0}")]
    Panicked(String),
}

impl Error {
    /// Whether the file itself is what is wrong, so that only another file can help.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::DamagedFormat { .. } | Self::Panicked(_) => true,
            Self::Open { source, .. } => match source.as_ref() {
                redb::DatabaseError::Storage(error) => is_damage(error),
                redb::DatabaseError::RepairAborted => true,
                _ => false,
            },
            Self::Engine(error) => matches!(**error, redb::Error::Corrupted(_)),
            Self::File { .. } | Self::NewerFormat { .. } => false,
        }
    }

    /// Whether there was no space on the disk, or none that this process may have.
    pub fn is_no_space(&self) -> bool {
        use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let source = match self {
            Self::File { source, .. } => Some(source),
            Self::Open { source, .. } => match source.as_ref() {
                redb::DatabaseError::Storage(redb::StorageError::Io(error)) => Some(error),
                _ => None,
            },
            Self::Engine(error) => match error.as_ref() {
                redb::Error::Io(error) => Some(error),
                _ => None,
            },
            Self::NewerFormat { .. } | Self::DamagedFormat { .. } | Self::Panicked(_) => None,
        };
        source.is_some_and(|error| matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge))
    }

    /// Whether this only tells of a failure that another call met: the file was closed, and the next call opens it.
    fn is_echo(&self) -> bool {
        let Self::Engine(error) = self else { return false };
        matches!(**error, redb::Error::DatabaseClosed | redb::Error::PreviousIo)
    }

    /// Whether redb must be opened anew after this.
    fn ends_the_handle(&self) -> bool {
        let Self::Engine(error) = self else { return matches!(self, Self::Panicked(_)) };
        matches!(**error, redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::LockPoisoned(_))
    }
}

/// A file that ends too early, or is none of redb's, is reported as an I/O error of these kinds.
fn is_damage(error: &redb::StorageError) -> bool {
    match error {
        redb::StorageError::Corrupted(_) => true,
        redb::StorageError::Io(error) => {
            matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
        }
        _ => false,
    }
}

macro_rules! from_engine {
    ($($error:ident),*) => {
        $(impl From<redb::$error> for Error {
            fn from(error: redb::$error) -> Self {
                Self::Engine(Box::new(error.into()))
            }
        })*
    };
}

from_engine!(StorageError, TableError, TransactionError, CommitError);

/// Counts what could not be read or was not kept, and says so in the log ever more rarely.
#[derive(Debug, Default)]
struct Losses {
    damaged_rows: AtomicU64,
    left_out: AtomicU64,
}

impl Losses {
    /// What was read, or `None` and one more on the count.
    fn step_over<T>(&self, table: Definition, read: Result<T, Damaged>) -> Option<T> {
        if read.is_err() {
            let count = self.damaged_rows.fetch_add(1, Ordering::Relaxed) + 1;
            if count.is_power_of_two() {
                let table = redb::TableHandle::name(&table);
                tracing::warn!(table, count, "left out a damaged row of the span store");
            }
        }
        read.ok()
    }

    /// A row was not written because its table has as many as it may have.
    fn leave_out(&self, table: Definition, most: u64) {
        let count = self.left_out.fetch_add(1, Ordering::Relaxed) + 1;
        if count.is_power_of_two() {
            let table = redb::TableHandle::name(&table);
            tracing::warn!(table, most, count, "left out a name or a call: its table is full");
        }
    }
}

/// All stored spans. Share it by reference or `Arc`; one caller writes at a time, readers wait for nobody.
#[derive(Debug)]
pub struct Store {
    engine: Engine,
    losses: Losses,
    max_age: Duration,
}

impl Store {
    /// Opens the store in this folder, or makes it. After a crash this takes no longer than otherwise.
    pub fn open(folder: &Path, settings: &Settings) -> Result<Self, Error> {
        let in_folder = |source| Error::File { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(in_folder)?;
        let engine = Engine::open(&folder.join(FILE), settings.cache_bytes)?;
        // The names of file and folder must be as durable as what the file will hold.
        for named in folder.ancestors().take(2).filter(|path| !path.as_os_str().is_empty()) {
            File::open(named).and_then(|folder| folder.sync_all()).map_err(in_folder)?;
        }
        Ok(Self::with_engine(engine, settings))
    }

    fn with_engine(engine: Engine, settings: &Settings) -> Self {
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

/// Refuses a file that a later version wrote, and makes the tables of a new one. Writes nothing otherwise: the
/// disk may be full.
fn check_format(database: &Database, path: &Path) -> Result<(), Error> {
    match stored_format(database)? {
        Some(Ok(found)) if found > FORMAT => Err(Error::NewerFormat { path: path.to_owned(), found }),
        Some(Ok(_known)) => Ok(()),
        Some(Err(Damaged)) => Err(Error::DamagedFormat { path: path.to_owned() }),
        None => make_tables(database),
    }
}

fn stored_format(database: &Database) -> Result<Option<Result<u32, Damaged>>, Error> {
    let table = match database.begin_read()?.open_table(META) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table?,
    };
    Ok(table.get(FORMAT_KEY)?.map(|value| format_of(value.value())))
}

fn format_of(sealed: &[u8]) -> Result<u32, Damaged> {
    Ok(u32::from_le_bytes(record::unseal(FORMAT_KEY, sealed)?.try_into().map_err(|_| Damaged)?))
}

fn make_tables(database: &Database) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    for table in TABLES {
        transaction.open_table(table)?;
    }
    let format = record::seal(FORMAT_KEY, FORMAT.to_le_bytes().to_vec());
    transaction.open_table(META)?.insert(FORMAT_KEY, &format[..])?;
    Ok(transaction.commit()?)
}
