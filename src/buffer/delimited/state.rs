//! The files of a folder of records, and everything that is done to them.

use std::collections::BTreeMap;
use std::io;
use std::ops::Bound::{Excluded, Unbounded};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::clock::wall_millis;
use crate::buffer::config::{Durability, WhenFull};
use crate::buffer::delimited::record::{Flaw, RecordReader};
use crate::buffer::delimited::rewrite::REWRITTEN;
use crate::buffer::disk::{DiskFile, is_no_space, read_up_to, write_all_at};
use crate::buffer::folder::{Folder, Listing, Name, failed};
use crate::buffer::identity::{self, Identity};
use crate::buffer::ledger::{Age, Moment};
use crate::buffer::{Clock, Environment, Error, FileStorageConfig, recovery, segment};

/// What holds frames where records are to go.
const FRAMES: &str = "a buffer in frames, not length-delimited records";
/// Names tried for a new file before giving up.
const MAX_NAME_TRIES: u32 = 100;
/// Of files that other starts of the machine, or other machines, have written.
const UNKNOWN_BOOT: u64 = 0;
/// When to try again on a full disk, or in a full folder: someone has to make room.
const FULL_RETRY: Duration = Duration::from_secs(5);
/// What an iterator is called where another one is asked for.
const ITERATOR: &str = "storage iterator";

/// What was dropped or mended since the storage was opened, in files and in their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DelimitedCounts {
    /// Files that a crash had left unfinished, finished at opening.
    pub recovered_files: u64,
    /// Files without content, deleted at opening.
    pub empty_files: u64,
    /// Oldest files deleted because the folder was full.
    pub evicted_files: u64,
    /// Bytes of those that no one had removed yet.
    pub evicted_bytes: u64,
    /// Files deleted because they were past `max_file_age_for_read`.
    pub expired_files: u64,
    /// Bytes of those that no one had removed yet.
    pub expired_bytes: u64,
    /// Files that were sound up to a point only.
    pub flawed_files: u64,
    /// Bytes behind that point.
    pub flawed_bytes: u64,
}

#[derive(Debug)]
pub(super) struct SealedFile {
    pub(super) bytes: u64,
    created: Moment,
    /// Where the removed records begin and end.
    pub(super) removed: BTreeMap<u64, u64>,
    /// How long those are together.
    pub(super) removed_bytes: u64,
    /// What is wrong in it, and where.
    pub(super) flaw: Option<(Flaw, u64)>,
}

impl SealedFile {
    fn new(bytes: u64, created: Moment) -> Self {
        Self { bytes, created, removed: BTreeMap::new(), removed_bytes: 0, flaw: None }
    }

    /// Whether no record in it is left, as far as is known.
    fn is_consumed(&self) -> bool {
        self.removed_bytes >= self.flaw.map_or(self.bytes, |(_, at)| at)
    }

    /// Whether the disk does not know yet what was removed from it.
    fn is_unsettled(&self) -> bool {
        !self.removed.is_empty() || self.is_consumed()
    }
}

#[derive(Debug)]
struct OpenFile {
    name: Name,
    file: Box<dyn DiskFile>,
    bytes: u64,
    created: Moment,
    /// A write or a sync has failed: what it keeps of later ones is not to be known.
    poisoned: bool,
}

/// See the file's opening line.
#[derive(Debug)]
pub(super) struct State {
    pub(super) folder: Folder,
    pub(super) config: FileStorageConfig,
    clock: Arc<dyn Clock>,
    /// When the folder was opened.
    opened: Moment,
    open: Option<OpenFile>,
    pub(super) sealed: BTreeMap<Name, SealedFile>,
    last_name: Name,
    /// Bytes of the files that were set aside.
    pub(super) set_aside: u64,
    /// Files were renamed or deleted, and a power cut may undo that.
    pub(super) unsynced_names: bool,
    pub(super) counts: DelimitedCounts,
    iterating: bool,
    closed: bool,
    // Keeps other processes out while it lives.
    _lock: Box<dyn DiskFile>,
}

// Opening and ending.
impl State {
    pub(super) fn open(
        path: &Path,
        config: FileStorageConfig,
        environment: Environment,
    ) -> Result<Self, Error> {
        let Environment { disk, clock, .. } = environment;
        let folder = Folder { path: path.to_owned(), disk };
        folder.disk.create_folder(path).map_err(failed("create", path))?;
        let lock = take_lock(&folder)?;
        let boot_id = clock.boot_id();
        let mut state = Self {
            opened: Moment::now(&*clock, boot_id),
            set_aside: folder.quarantined_bytes(),
            folder,
            config,
            clock,
            open: None,
            sealed: BTreeMap::new(),
            last_name: 0,
            unsynced_names: false,
            counts: DelimitedCounts::default(),
            iterating: false,
            closed: false,
            _lock: lock,
        };
        state.take_stock()?;
        Ok(state)
    }

    /// Lists what is there: empty files are deleted, unfinished ones finished, under another name where theirs is taken.
    fn take_stock(&mut self) -> Result<(), Error> {
        let listing = self.folder.list()?;
        if holds_frames(&self.folder, &listing) {
            return Err(Error::OtherLayout { folder: self.folder.path.clone(), found: FRAMES });
        }
        self.forget_rewrites()?;
        self.last_name = listing.last_name();
        for (name, bytes) in listing.sealed {
            if bytes == 0 {
                self.counts.empty_files += 1;
                self.folder.unlink(&self.folder.sealed(name))?;
            } else {
                self.found(name, bytes);
            }
        }
        for (name, bytes) in listing.unfinished {
            let path = self.folder.unfinished(name);
            if bytes == 0 {
                self.counts.empty_files += 1;
                self.folder.unlink(&path)?;
                continue;
            }
            let taken = self.sealed.contains_key(&name);
            self.last_name += u64::from(taken);
            let name = if taken { self.last_name } else { name };
            self.folder.rename_sealed(&path, name)?;
            self.counts.recovered_files += 1;
            self.found(name, bytes);
        }
        Ok(())
    }

    /// A crash may have left a copy that had not replaced its file yet.
    fn forget_rewrites(&self) -> Result<(), Error> {
        let path = &self.folder.path;
        for entry in self.folder.disk.list(path).map_err(failed("list", path))? {
            let stem = entry.name.strip_suffix(REWRITTEN).and_then(|stem| stem.strip_suffix('.'));
            if stem.is_some_and(|stem| stem.bytes().all(|byte| byte.is_ascii_digit())) {
                self.folder.unlink(&path.join(&entry.name))?;
            }
        }
        Ok(())
    }

    /// A file that was there before us. All that is known of its age is its name.
    fn found(&mut self, name: Name, bytes: u64) {
        let created = Moment { wall_millis: name, boot_id: UNKNOWN_BOOT, boot_millis: 0 };
        self.sealed.insert(name, SealedFile::new(bytes, created));
    }

    pub(super) fn check_open(&self) -> Result<(), Error> {
        if self.closed { Err(Error::Closed) } else { Ok(()) }
    }

    /// What has failed before is tried again.
    pub(super) fn close(&mut self) -> Result<(), Error> {
        let sealed = self.seal();
        self.closed = true;
        sealed.and(self.settle())
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// What could not be deleted is still there, still counts, and is deleted by the next call.
    pub(super) fn clear(&mut self) -> Result<(), Error> {
        let listing = self.folder.list()?;
        let mut cleared = Ok(());
        if let Some(open) = self.open.take()
            && let Err(error) = self.folder.unlink(&self.folder.unfinished(open.name))
        {
            self.open = Some(open);
            cleared = Err(error);
        }
        let mut known = std::mem::take(&mut self.sealed);
        for (name, bytes) in listing.sealed {
            if let Err(error) = self.folder.unlink(&self.folder.sealed(name)) {
                match known.remove(&name) {
                    Some(file) => drop(self.sealed.insert(name, file)),
                    None => self.found(name, bytes),
                }
                cleared = Err(error);
            }
        }
        self.unsynced_names = true;
        cleared.and(self.sync_names())
    }

    /// Makes the names of the files durable, if they are not.
    fn sync_names(&mut self) -> Result<(), Error> {
        if self.unsynced_names {
            self.folder.sync()?;
            self.unsynced_names = false;
        }
        Ok(())
    }
}

// Writing.
impl State {
    /// Appends a record that fits into a file and waits until it is durable.
    pub(super) fn append(&mut self, record: &[u8]) -> Result<(), Error> {
        let bytes = record.len() as u64;
        let done = |open: &OpenFile| open.poisoned || open.bytes + bytes > self.config.max_file_size;
        if self.open.as_ref().is_some_and(done) || self.writer_is_old() {
            self.seal()?;
        }
        if self.open.is_none() {
            self.purge_expired();
        }
        self.make_room(bytes)?;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.begin_file()?,
        };
        let written = write_all_at(&*open.file, record, open.bytes);
        let synced = if self.is_relaxed() { written } else { written.and_then(|()| open.file.sync_data()) };
        match synced {
            Ok(()) => {
                open.bytes += bytes;
                self.open = Some(open);
                Ok(())
            }
            Err(error) => Err(self.give_up(open, error)),
        }
    }

    /// Nothing is synced by the writer.
    fn is_relaxed(&self) -> bool {
        self.config.durability == Durability::Relaxed
    }

    fn writer_is_old(&self) -> bool {
        self.open
            .as_ref()
            .is_some_and(|open| self.age(open.created).at_most() >= self.config.max_file_age_for_write)
    }

    fn begin_file(&mut self) -> Result<OpenFile, Error> {
        for _ in 0..MAX_NAME_TRIES {
            let name = wall_millis(&*self.clock).max(self.last_name + 1);
            self.last_name = name;
            let path = self.folder.unfinished(name);
            match self.folder.create(name) {
                Ok(file) => {
                    self.named(&path)?;
                    return Ok(OpenFile { name, file, bytes: 0, created: self.now(), poisoned: false });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if is_no_space(&error) => {
                    return Err(self.no_space());
                }
                Err(error) => return Err(failed("create", &path)(error)),
            }
        }
        let path = &self.folder.path;
        Err(failed("find a free name in", path)(io::ErrorKind::AlreadyExists.into()))
    }

    /// Makes the name of a new file durable, or takes the file back.
    fn named(&mut self, path: &Path) -> Result<(), Error> {
        self.unsynced_names = true;
        if self.is_relaxed() {
            return Ok(());
        }
        self.sync_names().inspect_err(|_| {
            let _empty_and_deleted_at_the_next_opening = self.folder.unlink(path);
        })
    }

    /// After a write or a sync that failed, the file ends with its last durable record and is never written to again.
    fn give_up(&mut self, open: OpenFile, error: io::Error) -> Error {
        if let Err(error) = open.file.set_len(open.bytes) {
            tracing::debug!(error = &error as &dyn std::error::Error, "failed buffer file keeps its end");
        }
        self.open = Some(OpenFile { poisoned: true, ..open });
        if let Err(error) = self.seal() {
            tracing::warn!(error = &error as &dyn std::error::Error, "failed buffer file not finished");
        }
        if is_no_space(&error) {
            return self.no_space();
        }
        failed("append to", &self.folder.path)(error)
    }

    fn no_space(&self) -> Error {
        Error::NoSpace { folder: self.folder.path.clone(), retry_after: FULL_RETRY }
    }

    /// Finishes the file that is being written; deletes it if nothing in it is durable. Which of its names a power cut
    /// leaves does not matter: opening finds it under both.
    fn seal(&mut self) -> Result<(), Error> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let path = self.folder.unfinished(open.name);
        let done = if open.bytes == 0 {
            self.folder.unlink(&path)
        } else {
            self.folder.disk.rename(&path, &self.folder.sealed(open.name)).map_err(failed("rename", &path))
        };
        if let Err(error) = done {
            // Still there under its old name: tried again, and found at the next opening at the latest.
            self.open = Some(open);
            return Err(error);
        }
        self.unsynced_names = true;
        if open.bytes > 0 {
            self.sealed.insert(open.name, SealedFile::new(open.bytes, open.created));
        }
        Ok(())
    }

    /// Lets go of the oldest files, if it may, until so many bytes more fit into the folder.
    fn make_room(&mut self, bytes: u64) -> Result<(), Error> {
        while !self.has_room(bytes) {
            let rejects = self.config.when_full == WhenFull::Reject;
            let Some((name, file)) = self.sealed.first_key_value().filter(|_| !rejects) else {
                let (used, limit) = (self.folder_bytes(), self.config.max_folder_size);
                return Err(Error::Full { used, limit, retry_after: FULL_RETRY });
            };
            let (name, left) = (*name, file.bytes - file.removed_bytes);
            self.folder.unlink(&self.folder.sealed(name))?;
            self.sealed.remove(&name);
            self.counts.evicted_files += 1;
            self.counts.evicted_bytes += left;
        }
        Ok(())
    }

    /// Whether so many bytes more fit into the folder.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        self.folder_bytes() + bytes <= self.config.max_folder_size
    }

    fn purge_expired(&mut self) {
        let expired: Vec<Name> = self.sealed.keys().copied().filter(|name| self.is_expired(*name)).collect();
        for name in expired {
            match self.folder.unlink(&self.folder.sealed(name)) {
                Ok(()) => {
                    let file = self.sealed.remove(&name).expect("it was listed a moment ago");
                    self.counts.expired_files += 1;
                    self.counts.expired_bytes += file.bytes - file.removed_bytes;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "old buffer file not deleted");
                }
            }
        }
    }

    fn folder_bytes(&self) -> u64 {
        let open = self.open.as_ref().map_or(0, |open| open.bytes);
        self.sealed.values().map(|file| file.bytes).sum::<u64>() + open + self.set_aside
    }
}

// Reading and removing.
impl State {
    pub(super) fn begin_session(&mut self) -> Result<(), Error> {
        self.check_open()?;
        if std::mem::replace(&mut self.iterating, true) {
            return Err(Error::ConsumerTaken { name: ITERATOR.to_owned() });
        }
        Ok(())
    }

    pub(super) fn end_session(&mut self) {
        self.iterating = false;
    }

    /// The oldest file after `passed` that may be read now. Where there is none, a file that has been written to for
    /// long enough is finished for the reader.
    pub(super) fn next_readable(&mut self, passed: Name) -> Option<(Name, u64)> {
        let found = self.find_readable(passed);
        if found.is_some() || self.closed || !self.writer_is_old() {
            return found;
        }
        if let Err(error) = self.seal() {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "buffer file not finished for its reader"
            );
        }
        self.find_readable(passed)
    }

    fn find_readable(&self, passed: Name) -> Option<(Name, u64)> {
        let later = self.sealed.range((Excluded(passed), Unbounded));
        later.map(|(name, file)| (*name, file.bytes)).find(|(name, _)| self.is_readable(*name))
    }

    pub(super) fn is_readable(&self, name: Name) -> bool {
        let least = self.config.min_file_age_for_read;
        let ready = |file: &SealedFile| self.age(file.created).at_most() >= least;
        !self.closed && self.sealed.get(&name).is_some_and(ready) && !self.is_expired(name)
    }

    pub(super) fn open_sealed(&self, name: Name, bytes: u64) -> io::Result<RecordReader> {
        RecordReader::open(&*self.folder.disk, &self.path(name), bytes)
    }

    pub(super) fn path(&self, name: Name) -> PathBuf {
        self.folder.sealed(name)
    }

    /// Where the record that begins there ends, if it was removed.
    pub(super) fn removed_at(&self, name: Name, begin: u64) -> Option<u64> {
        self.sealed.get(&name)?.removed.get(&begin).copied()
    }

    /// Remembers that a file is sound up to `at` only. One that holds nothing sound at all is set aside at once.
    pub(super) fn met_flaw(&mut self, name: Name, flaw: Flaw, at: u64) {
        let Some(file) = self.sealed.get_mut(&name) else { return };
        if file.flaw.replace((flaw, at)).is_none() {
            self.counts.flawed_files += 1;
            self.counts.flawed_bytes += file.bytes - at;
            let path = self.folder.sealed(name);
            tracing::warn!(file = %path.display(), at, why = %flaw, "the rest of a buffer file cannot be read");
        }
        self.forget_if_consumed(name);
    }

    pub(super) fn remove(&mut self, name: Name, begin: u64, end: u64) {
        if self.closed {
            return;
        }
        let Some(file) = self.sealed.get_mut(&name) else { return };
        if file.removed.insert(begin, end).is_none() {
            file.removed_bytes += end - begin;
        }
        self.forget_if_consumed(name);
    }

    /// Makes removals durable: what of a file is left replaces it.
    pub(super) fn settle(&mut self) -> Result<(), Error> {
        let unsettled = self.sealed.iter().filter(|(_, file)| file.is_unsettled());
        let names: Vec<Name> = unsettled.map(|(name, _)| *name).collect();
        let mut settled = Ok(());
        for name in names {
            let consumed = self.sealed.get(&name).is_some_and(SealedFile::is_consumed);
            settled = settled.and(if consumed { self.forget(name) } else { self.rewrite(name) });
        }
        settled.and(self.sync_names())
    }

    fn forget_if_consumed(&mut self, name: Name) {
        if self.sealed.get(&name).is_some_and(SealedFile::is_consumed)
            && let Err(error) = self.forget(name)
        {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(file = name, error, "consumed file not deleted, trying again");
        }
    }

    /// Deletes a consumed file; what cannot be read in it is set aside.
    fn forget(&mut self, name: Name) -> Result<(), Error> {
        if self.sealed.get(&name).is_some_and(|file| file.flaw.is_some()) {
            return self.put_aside(name);
        }
        self.folder.unlink(&self.folder.sealed(name))?;
        self.unsynced_names = true;
        self.sealed.remove(&name);
        Ok(())
    }

    fn is_expired(&self, name: Name) -> bool {
        let age = self.sealed.get(&name).map(|file| self.age(file.created).at_least);
        age.is_some_and(|age| age >= self.config.max_file_age_for_read)
    }

    fn now(&self) -> Moment {
        Moment::now(&*self.clock, self.opened.boot_id)
    }

    fn age(&self, created: Moment) -> Age {
        created.age(&self.opened, &self.now())
    }
}

/// The lock of the folder, unless it is that of a buffer of frames.
fn take_lock(folder: &Folder) -> Result<Box<dyn DiskFile>, Error> {
    let lock = recovery::take_lock(folder)?;
    match Identity::read(&*lock).map_err(failed("read", &folder.path.join(identity::FILE_NAME)))? {
        Some(_) => Err(Error::OtherLayout { folder: folder.path.clone(), found: FRAMES }),
        None => Ok(lock),
    }
}

/// Whether it is a buffer of frames that has lost its `LOCK`. A file that cannot be read is met when its turn comes.
fn holds_frames(folder: &Folder, listing: &Listing) -> bool {
    let sealed = listing.sealed.iter().map(|(name, _)| folder.sealed(*name));
    let unfinished = listing.unfinished.iter().map(|(name, _)| folder.unfinished(*name));
    let begins_so = |path: PathBuf| {
        let mut start = [0; segment::MAGIC.len()];
        let read = folder.disk.open(&path).and_then(|file| read_up_to(&*file, &mut start, 0));
        read.is_ok() && start == segment::MAGIC
    };
    sealed.chain(unfinished).any(begins_so)
}
