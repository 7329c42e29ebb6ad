//! Opening a folder: who it belongs to, what its files hold, and finishing what a crash left unfinished.
//!
//! Whatever a crash or a bad disk left in the folder, opening succeeds: damage is stepped over and counted, what holds
//! nothing readable is put out of the way. What keeps a buffer from opening is a disk that cannot be written to, files
//! that may not be opened now, and files of a later version: the newest file is looked at first, so that nothing is
//! changed before one of those is met.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use crate::buffer::cursor::{self, Cursor};
use crate::buffer::disk::{DiskFile, is_unreadable, read_up_to, write_all_at};
use crate::buffer::folder::{Folder, Listing, Name, failed};
use crate::buffer::frame::{FOOTER_BYTES, Footer, StorageId};
use crate::buffer::identity::{self, Identity};
use crate::buffer::ledger::{Moment, SealedFile};
use crate::buffer::owed::Owed;
use crate::buffer::registration::Registration;
use crate::buffer::segment::{self, HEADER_BYTES, SegmentHeader, SegmentReader, Survey};
use crate::buffer::{Error, FileStorageConfig, Recovery, Signal};

/// An opened folder.
#[derive(Debug)]
pub(super) struct Opened {
    /// Keeps other processes out while it lives.
    pub(super) lock: Box<dyn DiskFile>,
    /// As `LOCK` says it.
    pub(super) identity: Identity,
    /// The sequence of the next frame.
    pub(super) next_sequence: u64,
    /// By sequence.
    pub(super) sealed: Vec<SealedFile>,
    /// Those whose positions are in the folder, not attached.
    pub(super) consumers: Vec<Registration>,
    pub(super) last_name: Name,
    pub(super) folder_bytes: u64,
    pub(super) report: Recovery,
}

/// Takes the folder, making it if need be, and leaves finished files only.
pub(super) fn open(folder: &Folder, signal: Signal, settings: &FileStorageConfig) -> Result<Opened, Error> {
    folder.disk.create_folder(&folder.path).map_err(failed("create", &folder.path))?;
    let lock = take_lock(folder)?;
    let listing = folder.list()?;
    let identity = identify(folder, &*lock, &listing, signal)?;
    let (files, last_name) = newest_first(folder, &listing);
    let mut opening = Opening {
        folder,
        lock: &*lock,
        identity,
        limit: settings.max_quarantine_size(),
        below: u64::MAX,
        report: Recovery::default(),
        sealed: Vec::new(),
        left_bytes: 0,
    };
    let cursors = read_cursors(folder, &listing, &identity.id)?;
    for file in &files {
        opening.take(file)?;
    }
    let Opening { mut sealed, report, identity, left_bytes, .. } = opening;
    sealed.sort_by_key(|file| (file.content.first, file.name));
    let oldest = sealed.first().map_or(identity.next_sequence, |file| file.base);
    let lost_positions = cursors.iter().filter(|found| found.owed.is_none()).count() as u64;
    let consumers: Vec<_> = cursors.into_iter().map(|found| found.confirm(&identity.id, oldest)).collect();
    if !consumers.is_empty() {
        folder.sync()?;
    }
    let in_files = sealed.iter().map(|file| file.content.last + 1);
    let in_cursors = consumers.iter().map(|consumer| consumer.owed.head());
    let next = in_files.chain(in_cursors).max().unwrap_or(1).max(identity.next_sequence);
    // Shorter ones become as long when they are written.
    let cursors = listing.cursors.iter().map(|(_, bytes)| (*bytes).max(cursor::BYTES as u64));
    let bytes: u64 = sealed.iter().map(|file| file.bytes).chain(cursors).sum();
    Ok(Opened {
        lock,
        identity,
        next_sequence: next,
        last_name,
        folder_bytes: bytes + left_bytes + identity::BYTES as u64 + folder.quarantined_bytes(),
        report: Recovery {
            files: sealed.len() as u64,
            frames: sealed.iter().map(|file| u64::from(file.content.frames)).sum(),
            items: sealed.iter().map(|file| file.content.items).sum(),
            lost_positions,
            next_sequence: next,
            ..report
        },
        sealed,
        consumers,
    })
}

/// A consumer whose position is in the folder.
struct FoundCursor {
    name: String,
    bytes: u64,
    cursor: Cursor,
    /// None if it is damaged.
    owed: Option<Owed>,
}

fn read_cursors(folder: &Folder, listing: &Listing, id: &StorageId) -> Result<Vec<FoundCursor>, Error> {
    let mut found = Vec::new();
    for (name, bytes) in &listing.cursors {
        let path = folder.cursor(name);
        let file = folder.disk.open_to_mend(&path).map_err(failed("open", &path))?;
        let (cursor, owed) = Cursor::read(path.clone(), file, id).map_err(failed("read", &path))?;
        found.push(FoundCursor { name: name.clone(), bytes: *bytes, cursor, owed });
    }
    Ok(found)
}

impl FoundCursor {
    /// Makes durable where it is. Where that is lost it begins with `oldest`: what comes twice can be told, and what
    /// never comes cannot.
    fn confirm(self, id: &StorageId, oldest: u64) -> Registration {
        let Self { name, bytes, cursor, owed } = self;
        if owed.is_none() {
            tracing::warn!(consumer = name, "position in a buffer lost: it begins with the oldest");
        }
        let owed = owed.unwrap_or_else(|| Owed::from(oldest));
        let confirmed = cursor.confirm(bytes, id, &owed);
        let mut consumer = Registration::new(&name, owed, Some(Arc::new(cursor)));
        if let Err(error) = confirmed {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(consumer = name, error, "position not confirmed: it holds everything until saved");
            consumer.holds = Owed::from(0);
        }
        consumer
    }
}

/// Keeps everyone else out of the folder, as long as it lives.
pub(super) fn take_lock(folder: &Folder) -> Result<Box<dyn DiskFile>, Error> {
    let path = folder.path.join(identity::FILE_NAME);
    folder.disk.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => Error::Locked { folder: folder.path.clone() },
        _ => failed("lock", &path)(error),
    })
}

/// Who the buffer is: by `LOCK`, else by its files, else someone new.
fn identify(
    folder: &Folder,
    lock: &dyn DiskFile,
    listing: &Listing,
    signal: Signal,
) -> Result<Identity, Error> {
    let path = folder.path.join(identity::FILE_NAME);
    if let Some(known) = Identity::read(lock).map_err(failed("read", &path))? {
        if known.signal != signal {
            let (folder, found) = (folder.path.clone(), known.signal);
            return Err(Error::OtherSignal { folder, found, wanted: signal });
        }
        // What is read there may not be durable: whoever wrote it was killed, or refused, before it was.
        known.write(lock).map_err(failed("write", &path))?;
        return Ok(known);
    }
    if read_up_to(lock, &mut [0], 0).map_err(failed("read", &path))? == 0 && is_foreign(folder, listing)? {
        return Err(Error::OtherLayout {
            folder: folder.path.clone(),
            found: "files that are not a buffer's",
        });
    }
    let id = match id_in_files(folder, listing, signal)? {
        Some(id) => id,
        None => random_id().map_err(failed("name", &folder.path))?,
    };
    let identity = Identity { id, signal, next_sequence: 1 };
    identity.write(lock).map_err(failed("write", &path))?;
    folder.sync()?;
    Ok(identity)
}

/// Whether a folder that no buffer was ever opened in holds files of somebody else: the original's, for one. They are not
/// ours to repair.
fn is_foreign(folder: &Folder, listing: &Listing) -> Result<bool, Error> {
    let sealed = listing.sealed.iter().map(|(name, _)| folder.sealed(*name));
    let unfinished = listing.unfinished.iter().map(|(name, _)| folder.unfinished(*name));
    let mut foreign = false;
    for path in sealed.chain(unfinished) {
        let mut start = [0; segment::MAGIC.len()];
        match folder.disk.open(&path).and_then(|file| read_up_to(&*file, &mut start, 0)) {
            Err(error) if is_unreadable(&error) => continue,
            read => drop(read.map_err(failed("read", &path))?),
        }
        if start == segment::MAGIC {
            return Ok(false);
        }
        foreign |= start.iter().any(|byte| *byte != 0);
    }
    Ok(foreign)
}

/// The id that most files of the signal carry.
fn id_in_files(folder: &Folder, listing: &Listing, signal: Signal) -> Result<Option<StorageId>, Error> {
    let sealed = listing.sealed.iter().map(|(name, _)| folder.sealed(*name));
    let unfinished = listing.unfinished.iter().map(|(name, _)| folder.unfinished(*name));
    let mut votes = BTreeMap::<StorageId, usize>::new();
    for path in sealed.chain(unfinished) {
        let header = match folder.disk.open(&path).and_then(|file| SegmentHeader::read(&*file)) {
            Err(error) if is_unreadable(&error) => None,
            read => read.map_err(failed("read", &path))?,
        };
        if let Some(header) = header.filter(|header| header.signal == signal) {
            *votes.entry(header.id).or_default() += 1;
        }
    }
    Ok(votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(id, _)| id))
}

fn random_id() -> io::Result<StorageId> {
    let mut id = StorageId::default();
    // So few bytes come whole (getrandom(2)), and need no device in the folder that a container calls its root.
    rustix::rand::getrandom(&mut id, rustix::rand::GetRandomFlags::empty())?;
    Ok(id)
}

/// A file as it was left.
struct Leftover {
    path: PathBuf,
    bytes: u64,
    /// The name it has, or gets when it is finished.
    name: Name,
    finished: bool,
}

/// All data files, and the last name in use.
fn newest_first(folder: &Folder, listing: &Listing) -> (Vec<Leftover>, Name) {
    let mut last_name = listing.last_name();
    let finished = |(name, bytes): &(Name, u64)| Leftover {
        path: folder.sealed(*name),
        bytes: *bytes,
        name: *name,
        finished: true,
    };
    let mut files: Vec<_> = listing.sealed.iter().map(finished).collect();
    for (name, bytes) in &listing.unfinished {
        let taken = listing.sealed.iter().any(|(sealed, _)| sealed == name);
        last_name += u64::from(taken);
        let sealed_as = if taken { last_name } else { *name };
        let path = folder.unfinished(*name);
        files.push(Leftover { path, bytes: *bytes, name: sealed_as, finished: false });
    }
    files.sort_by_key(|file| std::cmp::Reverse(file.name));
    (files, last_name)
}

/// The header of a file, if it is sound and says that the file is this buffer's.
type OwnHeader = Option<SegmentHeader>;

/// What a file turns out to be.
enum Finding {
    /// Finished, as its footer says.
    Sound(OwnHeader, Footer),
    /// Anything else, read through.
    Read(OwnHeader, Box<dyn DiskFile>, Survey),
    /// Never synced: nothing in it was acknowledged.
    Empty,
    Unreadable,
}

/// The work on one folder, newest file first.
struct Opening<'a> {
    folder: &'a Folder,
    lock: &'a dyn DiskFile,
    identity: Identity,
    /// Bytes that the quarantine may hold.
    limit: u64,
    /// What the next newer file begins with. Frames from there on in an older file are what a failed write or sync
    /// has left: they were refused, or written again to the newer file, and some of them may be missing.
    below: u64,
    report: Recovery,
    sealed: Vec<SealedFile>,
    /// Of files that hold nothing readable and could not be moved.
    left_bytes: u64,
}

impl Opening<'_> {
    fn take(&mut self, file: &Leftover) -> Result<(), Error> {
        let (header, content, bytes, sound_end, data_end) = match self.inspect(file)? {
            Finding::Sound(header, content) => {
                (header, content, file.bytes, file.bytes, file.bytes - FOOTER_BYTES as u64)
            }
            Finding::Read(header, _, survey) if survey.content.frames == 0 => {
                let base = header.map_or(0, |header| header.base_sequence);
                return self.put_aside(file, base.max(survey.last_met + 1));
            }
            Finding::Read(header, open, survey) => {
                let (content, bytes) =
                    self.mend(file, &*open, &survey).map_err(failed("mend", &file.path))?;
                if !file.finished {
                    self.folder.rename_sealed(&file.path, file.name)?;
                }
                (header, content, bytes, survey.sound_end, survey.sound_end)
            }
            Finding::Empty => return self.delete(file),
            Finding::Unreadable => return self.put_aside(file, 0),
        };
        let base = header.map_or(content.first, |header| header.base_sequence);
        let created = created(header.as_ref(), file.name);
        self.below = base;
        let data_bytes = data_end - HEADER_BYTES as u64;
        self.sealed.push(SealedFile {
            name: file.name,
            base,
            content,
            bytes,
            sound_end,
            data_bytes,
            created,
        });
        Ok(())
    }

    fn inspect(&self, file: &Leftover) -> Result<Finding, Error> {
        let finding = if file.finished { self.read_finished(file) } else { self.read_unfinished(file) };
        match finding {
            // Bad sectors are no reason not to start. Whatever else keeps it from being read may pass.
            Err(error) if is_unreadable(&error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(file = %file.path.display(), error, "unreadable buffer file");
                Ok(Finding::Unreadable)
            }
            read => read.map_err(failed("read", &file.path)),
        }
    }

    fn read_finished(&self, leftover: &Leftover) -> io::Result<Finding> {
        if leftover.bytes <= HEADER_BYTES as u64 {
            return Ok(Finding::Empty);
        }
        let file = self.folder.disk.open(&leftover.path)?;
        match read_footer(&*file, leftover.bytes, &self.identity.id)? {
            Some(content) => Ok(Finding::Sound(self.header(&*file)?, content)),
            None => self.read_through(leftover),
        }
    }

    /// A file without a trace of a frame was never synced if its header is ours or was not written.
    fn read_unfinished(&self, leftover: &Leftover) -> io::Result<Finding> {
        if leftover.bytes <= HEADER_BYTES as u64 {
            return Ok(Finding::Empty);
        }
        let finding = self.read_through(leftover)?;
        if let Finding::Read(header, file, Survey { last_met: 0, .. }) = &finding {
            let mut start = [0; HEADER_BYTES];
            // Not by `read_up_to`: zeros in place of what cannot be read prove nothing.
            file.read_at(&mut start, 0)?;
            if header.is_some() || start == [0; HEADER_BYTES] {
                return Ok(Finding::Empty);
            }
        }
        Ok(finding)
    }

    fn read_through(&self, leftover: &Leftover) -> io::Result<Finding> {
        let file = self.folder.disk.open_to_mend(&leftover.path)?;
        let header = self.header(&*file)?;
        let base = header.map(|header| header.base_sequence);
        let sequences = base.unwrap_or(1)..self.below;
        let mut reader = SegmentReader::new(file, self.identity.id, leftover.bytes).within(sequences);
        let survey = Survey::of(&mut reader, base)?;
        Ok(Finding::Read(header, reader.into_file(), survey))
    }

    fn header(&self, file: &dyn DiskFile) -> io::Result<OwnHeader> {
        Ok(SegmentHeader::read(file)?.filter(|header| header.id == self.identity.id))
    }

    /// What is sound in it is kept, and it is never written to again. A disk that refuses this is no reason to give
    /// the file up: what is in it was promised.
    fn mend(&mut self, file: &Leftover, open: &dyn DiskFile, survey: &Survey) -> io::Result<(Footer, u64)> {
        self.report.vanished_frames += survey.vanished_frames;
        self.report.recovered_files += 1;
        let closed = if survey.sealed {
            (survey.content, file.bytes)
        } else {
            self.report.torn_bytes += file.bytes - survey.sound_end;
            close_off(open, survey, &self.identity.id)?
        };
        open.sync_data()?;
        Ok(closed)
    }

    fn delete(&mut self, file: &Leftover) -> Result<(), Error> {
        self.report.empty_files += 1;
        self.report.torn_bytes += file.bytes;
        self.folder.unlink(&file.path)
    }

    /// Moves a file without a sound frame out of the way, for someone to look at. Its numbers, those below `next`,
    /// are not given again: they tell consumers what is missing.
    fn put_aside(&mut self, file: &Leftover, next: u64) -> Result<(), Error> {
        if self.identity.next_sequence < next {
            self.identity.next_sequence = next;
            let path = self.folder.path.join(identity::FILE_NAME);
            self.identity.write(self.lock).map_err(failed("write", &path))?;
        }
        tracing::warn!(file = %file.path.display(), "nothing readable in a buffer file: moved to quarantine");
        self.report.quarantined_files += 1;
        if let Err(error) = self.folder.quarantine(&file.path, self.limit) {
            // A disk without space for a folder, say: no reason not to start.
            tracing::warn!(error = &error as &dyn std::error::Error, "it stays where it is");
            self.left_bytes += file.bytes;
        }
        Ok(())
    }
}

fn read_footer(file: &dyn DiskFile, bytes: u64, id: &StorageId) -> io::Result<Option<Footer>> {
    let Some(at) = bytes.checked_sub((HEADER_BYTES + FOOTER_BYTES) as u64) else { return Ok(None) };
    let mut footer = [0; FOOTER_BYTES];
    let read = read_up_to(file, &mut footer, at + HEADER_BYTES as u64)?;
    Ok(Footer::decode(&footer[..read], id).filter(|footer| footer.frames > 0))
}

/// Cuts off what is not sound and says in a footer what is; what was found, and what the file takes up. Without room for
/// the footer the file goes without: it is then read through at each start, and its place is kept for when there is.
fn close_off(file: &dyn DiskFile, survey: &Survey, id: &StorageId) -> io::Result<(Footer, u64)> {
    let content = Footer { recovered: true, ..survey.content };
    file.set_len(survey.sound_end)?;
    if write_all_at(file, &content.encode(id), survey.sound_end).is_err() {
        file.set_len(survey.sound_end)?;
    }
    Ok((content, survey.sound_end + FOOTER_BYTES as u64))
}

fn created(header: Option<&SegmentHeader>, name: Name) -> Moment {
    header.map_or(Moment { wall_millis: name, boot_id: 0, boot_millis: 0 }, |header| Moment {
        wall_millis: header.created_wall_millis,
        boot_id: header.boot_id,
        boot_millis: header.created_boot_millis,
    })
}
