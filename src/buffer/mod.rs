//! Keeps accepted bytes safe on disk until every consumer has made them durable elsewhere.
//!
//! Promise: an append that is answered with a sequence number is on the disk; it survives SIGKILL and a power cut and
//! is given to each consumer, in order, until that consumer releases it, or it is counted as dropped for that consumer, with
//! the reason. [`Durability`] says what of this other settings give up. Opening always succeeds on a disk that can be
//! written to, whatever a crash has left. One flipped bit costs one frame at most, one bad sector the frames of its page. A
//! number that an append was answered with is never given again.
//!
//! How: a folder per signal. One file is being written, `<unix ms>.tmp`; groups of frames go to it with one write and
//! one `fdatasync` each. Full or old enough it is sealed: footer, sync, renamed to `<unix ms>`. Consumers read sealed
//! files only, and take what is fresher from memory; who falls out of the memory has the open file sealed. Files are
//! deleted whole, when no consumer needs them: it has released what is in them and its position is durable, here in
//! `cursor.<name>` or elsewhere. Except for these and `LOCK`, the files are all the state there is.
//!
//! Limits: one payload fits one file; the folder never outgrows `max_folder_size`; 32 MiB wait for the disk at most,
//! and three groups (of 4 MiB, or one larger payload) for being answered; the memory for fresh frames is bounded. What goes
//! beyond is refused, with the reason and when to try again. After a failed sync that a fresh file does not mend, everything
//! is refused until the next start.
//!
//! Threads: one writes, one answers, one deletes. All of them sleep while nothing happens, but while the disk has no space
//! one looks every second whether it has again.
//!
//! Two ways to use it. The server takes a [`Buffer`] and its consumers. A program that only wants to write batches and to go
//! through them takes a [`SignalStorage`]: [`FileSpanStorage`] and its sisters, which are a buffer with one consumer, or
//! [`DelimitedStorage`], the original's own layout. [`FolderReader`] reads the folders of either from outside.
//!
//! Does not know: what the bytes are, who sent them, what consumers do with them.
//!
//! Source: OpenTelemetry Java contrib, disk-buffering (the names of files and settings, the disjoint files of writer
//! and reader). `docs/formats.md` draws the bytes.

mod clock;
mod committer;
mod config;
mod consumer;
mod cursor;
mod delimited;
mod disk;
mod file_storage;
mod folder;
mod folder_reader;
mod frame;
mod gathering;
mod identity;
mod journal;
mod ledger;
mod owed;
mod positions;
mod queue;
mod recovery;
mod registration;
mod reserve;
mod segment;
mod stats;
mod storage;
mod sweeping;
mod tail;
mod version;
mod writer;

#[cfg(test)]
mod clock_tests;
#[cfg(test)]
mod consumer_tests;
#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod durability_tests;
#[cfg(test)]
mod full_disk_tests;
#[cfg(test)]
mod life_tests;
#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod parity_tests;
#[cfg(test)]
mod simulated_disk;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

pub use clock::{Clock, HostClock};
pub use config::{Durability, FileStorageConfig, InvalidSetting, WhenFull};
pub use consumer::{Consumer, StartAt};
pub use delimited::{DelimitedCounts, DelimitedStorage, Flaw, MAX_RECORD_BYTES};
pub use disk::{Disk, DiskFile, Entry, HostDisk};
pub use file_storage::{
    FileLogRecordStorage, FileMetricStorage, FileSignalStorage, FileSpanStorage, LogRecords, Metrics, Spans,
    StoredSignal,
};
pub use folder_reader::{Damage, FolderReader, Found, Layout};
pub use reserve::Reserve;
pub use stats::{Amount, ConsumerStats, Counters, Dropped, Recovery, Stats, SyncTimes};
pub use storage::{Batch, SignalStorage, StorageIterator};
pub use tail::{Frame, Take};

use folder::{Folder, failed};
use journal::Journal;
use queue::{Ending, Errand, Pending};

/// What a buffer is for; each has a folder of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Spans.
    Traces,
    /// Log records.
    Logs,
    /// Data points.
    Metrics,
}

impl Signal {
    /// Its number in files.
    pub fn code(self) -> u8 {
        match self {
            Self::Traces => 1,
            Self::Logs => 2,
            Self::Metrics => 3,
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        [Self::Traces, Self::Logs, Self::Metrics].into_iter().find(|signal| signal.code() == code)
    }
}

/// What can go wrong. Reads after "failed to".
#[derive(Debug, Clone, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Error {
    /// Nothing more goes in, or nothing more comes out.
    #[error("use a closed buffer")]
    Closed,
    /// The payload would not fit into a file.
    #[error("append {bytes} bytes: the limit is {limit} bytes, by max_file_size")]
    TooLarge { bytes: usize, limit: usize },
    /// The disk does not keep up.
    #[error("append: {queued} of {limit} bytes are waiting for the disk, try again in {retry_after:?}")]
    Busy { queued: usize, limit: usize, retry_after: Duration },
    /// The consumers do not keep up.
    #[error(
        "append: {used} of {limit} bytes of max_folder_size hold unreleased data, try again in {retry_after:?}"
    )]
    Full { used: u64, limit: u64, retry_after: Duration },
    /// Others have used the disk up.
    #[error("append to {}: no space left on the disk, try again in {retry_after:?}", folder.display())]
    NoSpace { folder: PathBuf, retry_after: Duration },
    /// The disk did not keep what it was given.
    #[error("append to {}: the disk failed to sync, refusing until restart", folder.display())]
    Degraded { folder: PathBuf },
    /// Another process, or another handle in this one, has the folder.
    #[error("lock {}: in use by another process", folder.display())]
    Locked { folder: PathBuf },
    /// The folder belongs to something else.
    #[error("open {} for {wanted:?}: it holds {found:?}", folder.display())]
    OtherSignal { folder: PathBuf, found: Signal, wanted: Signal },
    /// The settings make no sense.
    #[error("use the buffer settings: {0}")]
    Setting(#[from] InvalidSetting),
    /// A consumer of that name is reading, or one of the other kind has it.
    #[error("attach consumer {name}: another one has the name")]
    ConsumerTaken { name: String },
    /// Frames got numbers that the consumer takes for ones it knows: attach consumers before appending.
    #[error("attach consumer {name} at {applied}: appends have begun below that")]
    ConsumerAhead { name: String, applied: u64 },
    /// The folder is somebody else's, or of the other layout.
    #[error("use {}: it holds {found}", folder.display())]
    OtherLayout { folder: PathBuf, found: &'static str },
    /// It is not safe yet; it may become so.
    #[error("append within {waited:?}: the disk does not keep up")]
    TimedOut { waited: Duration },
    /// In the original's words: an iterator has given nothing yet, or what it gave is removed already.
    #[error("next() must be called before remove()")]
    NothingToRemove,
    /// It becomes part of a file's name.
    #[error("name a consumer {name:?}: write at most 64 of a-z, 0-9, - and _")]
    ConsumerName { name: String },
    /// A file operation failed.
    #[error("{doing} {}", path.display())]
    Io { doing: &'static str, path: PathBuf, source: Arc<io::Error> },
}

/// What a buffer stands on.
#[derive(Debug, Clone)]
pub struct Environment {
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    reserve: Option<Arc<Reserve>>,
}

impl Environment {
    /// This disk and this clock.
    pub fn new(disk: Arc<dyn Disk>, clock: Arc<dyn Clock>) -> Self {
        Self { disk, clock, reserve: None }
    }

    /// With space set aside on the same disk, for the moment when others have used it up. While it does not stand,
    /// appends are refused.
    #[must_use]
    pub fn with_reserve(self, reserve: Arc<Reserve>) -> Self {
        Self { reserve: Some(reserve), ..self }
    }

    /// The machine's own file system.
    pub fn host(clock: Arc<dyn Clock>) -> Self {
        Self::new(Arc::new(HostDisk), clock)
    }
}

/// An open buffer. Clones are handles on the same one; dropping the last without [`Buffer::close`] is safe, like a
/// crash: appends that are not durable yet are answered with [`Error::Closed`].
#[derive(Debug, Clone)]
pub struct Buffer {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    journal: Arc<Journal>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Buffer {
    /// Takes the folder, making it if need be, and repairs what a crash has left in it.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if someone else has it, [`Error::OtherSignal`], [`Error::Setting`], [`Error::Io`] if the disk
    /// cannot be written to, a file may not be opened or a later version wrote it. Damaged files are none: they are
    /// counted.
    pub fn open(
        folder: &Path,
        signal: Signal,
        settings: FileStorageConfig,
        environment: Environment,
    ) -> Result<(Self, Recovery), Error> {
        let Environment { disk, clock, reserve } = environment;
        let folder = Folder { path: folder.to_owned(), disk };
        let (mut journal, writer, recovery) = Journal::open(folder, signal, settings, clock)?;
        journal.reserve = reserve;
        let journal = Arc::new(journal);
        let handle = Handle { journal: Arc::clone(&journal), threads: Mutex::default() };
        let path = &journal.folder.path;
        let (answers, answerer) = committer::spawn_answerer().map_err(failed("start a thread for", path))?;
        handle.threads.lock().push(answerer);
        let committer = committer::spawn_committer(Arc::clone(&journal), writer, answers);
        handle.threads.lock().push(committer.map_err(failed("start a thread for", path))?);
        let sweeper = committer::spawn_sweeper(Arc::clone(&journal));
        handle.threads.lock().push(sweeper.map_err(failed("start a thread for", path))?);
        Ok((Self { handle: Arc::new(handle) }, recovery))
    }

    /// Appends one payload of so many items. `done` is called once: with the sequence number when the payload is
    /// durable, on a thread of the buffer; or with the reason why it was refused, perhaps before this returns. It must
    /// not take long, since others wait for their answers, nor do anything that waits for the buffer's threads: close,
    /// seal or clear it, or attach a consumer.
    pub fn append(&self, payload: Bytes, items: u32, done: impl FnOnce(Result<u64, Error>) + Send + 'static) {
        let journal = &self.handle.journal;
        let (bytes, limit) = (payload.len(), journal.settings.max_payload_bytes());
        let pending = Pending::new(payload, items, journal.clock.wall_nanos(), Box::new(done));
        if bytes > limit {
            return journal.refuse(pending, Error::TooLarge { bytes, limit }).give();
        }
        if let Err((pending, error)) = journal.queue.push(pending) {
            journal.refuse(pending, error).give();
        }
    }

    /// The buffer's own random name; sequence numbers mean something only beside it.
    pub fn id(&self) -> [u8; 16] {
        self.handle.journal.about().id
    }

    /// Attaches a consumer that keeps its position itself: everything up to `applied` is durable with it. Without a
    /// position it begins with the oldest frame. Its backlog does not expire, and only [`WhenFull::DropOldest`] evicts it.
    ///
    /// Nothing is deleted before the first consumer is attached, and whoever was never attached holds nothing back:
    /// consumers of this kind are to be attached first of all, and before the first append.
    ///
    /// # Errors
    ///
    /// [`Error::ConsumerTaken`] while another one has the name; [`Error::ConsumerAhead`]; [`Error::Io`] and
    /// [`Error::Closed`] if the file that is being written would have to be finished for it.
    pub fn external_consumer(&self, name: &str, applied: Option<u64>) -> Result<Consumer, Error> {
        Consumer::attach(Arc::clone(&self.handle.journal), name, applied)
    }

    /// Attaches a consumer whose position is kept here, in the file `cursor.<name>`. It goes on where it was;
    /// `start` says where it begins when it is new. Its backlog may expire and be evicted, which is counted.
    ///
    /// # Errors
    ///
    /// [`Error::ConsumerTaken`] while another one has the name, [`Error::ConsumerName`], [`Error::Full`] or
    /// [`Error::Io`] if there is no room for the file of a new one, [`Error::Closed`].
    pub fn consumer(&self, name: &str, start: StartAt) -> Result<Consumer, Error> {
        Consumer::attach_durable(&self.handle.journal, name, start)
    }

    /// Forgets a consumer for good: what only it has not released goes, as long as there is another one. Nothing happens
    /// if there is none of that name.
    ///
    /// # Errors
    ///
    /// [`Error::ConsumerTaken`] while someone reads under the name; [`Error::Io`].
    pub fn forget_consumer(&self, name: &str) -> Result<(), Error> {
        self.handle.journal.forget(name)
    }

    /// Finishes the open file now, so that what is in it may be read from a file.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`]; [`Error::Io`].
    pub fn seal(&self) -> Result<(), Error> {
        self.handle.journal.seal()
    }

    /// Finishes the open file if it is past its age, however late its own thread is.
    fn seal_if_due(&self) -> Result<(), Error> {
        self.handle.journal.seal_if_due()
    }

    /// Drops what is past its age, however late its own thread is.
    fn drop_expired(&self) {
        self.handle.journal.drop_expired();
    }

    /// Drops everything that was appended before, for every consumer; the items that were in the files. A closed
    /// buffer can be cleared too.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if files cannot be deleted: they go as soon as they can be.
    pub fn clear(&self) -> Result<u64, Error> {
        let journal = &self.handle.journal;
        match journal.ask(Errand::Clear) {
            Err(Error::Closed) => journal.clear_closed(),
            cleared => cleared,
        }
    }

    /// The space that is set aside for a full disk, where there is some: for consumers that find the disk full.
    pub fn reserve(&self) -> Option<Arc<Reserve>> {
        self.handle.journal.reserve.clone()
    }

    /// The state at this moment.
    pub fn stats(&self) -> Stats {
        self.handle.journal.stats()
    }

    /// Refuses new appends, makes those that wait durable, seals the open file and ends the threads. Consumers still
    /// get everything. May be called again.
    pub fn close(&self) {
        self.handle.end(Ending::Close);
    }
}

impl Handle {
    fn end(&self, ending: Ending) {
        self.journal.end(ending);
        // Held while joining, so that whoever closes second returns no sooner.
        let mut threads = self.threads.lock();
        // A callback may drop the last handle or close, on the committer itself: it cannot wait for itself.
        let on_own_thread = threads.iter().any(|thread| thread.thread().id() == thread::current().id());
        if on_own_thread {
            return;
        }
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!(folder = %self.journal.folder.path.display(), "a buffer thread has panicked");
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.end(Ending::Abandon);
    }
}
