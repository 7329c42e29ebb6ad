//! Reading a folder of either layout from outside, without changing anything in it.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::buffer::delimited::{Flaw, RecordReader, Step as RecordStep};
use crate::buffer::disk::{Disk, DiskFile, is_unreadable};
use crate::buffer::folder::{Folder, failed};
use crate::buffer::frame::{CODEC_RAW, StorageId};
use crate::buffer::identity::{self, Identity};
use crate::buffer::segment::{SegmentHeader, SegmentReader, Step};
use crate::buffer::{Error, Signal, recovery};

/// How the files of a folder are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// The original's: a length and a message, over and over. Nothing in it says which signal's messages they are.
    Delimited,
    /// Ours.
    Frames(Signal),
}

/// What a reader comes upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// One stored request, sound as far as the layout can tell.
    Request {
        /// The name of its file.
        file: String,
        /// Its bytes.
        payload: Bytes,
    },
    /// Something that cannot be read.
    Damage(Damage),
}

/// What cannot be read, where, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}: {what}")]
pub struct Damage {
    /// The name of the file.
    pub file: String,
    /// In words.
    pub what: String,
}

/// Goes through the requests in a folder: finished files oldest first, then those that a crash left unfinished. Damage
/// costs what is damaged (in frames), or the rest of the file (in the original's layout), never what comes after that.
///
/// All of a buffer that is there is read, whether a consumer has released it or not. The folder is held while it is
/// read, where it has a `LOCK`.
#[derive(Debug)]
pub struct FolderReader {
    disk: Arc<dyn Disk>,
    layout: Layout,
    files: VecDeque<StoredFile>,
    reading: Option<(String, Reading)>,
    id: StorageId,
    _lock: Option<Box<dyn DiskFile>>,
}

#[derive(Debug)]
struct StoredFile {
    path: PathBuf,
    bytes: u64,
    header: Option<SegmentHeader>,
    /// What the next newer file begins with: frames from there on in this one were refused, or written again.
    below: u64,
}

#[derive(Debug)]
enum Reading {
    Records(RecordReader),
    /// With the sequence that comes next, once that is known.
    Frames {
        reader: SegmentReader,
        expected: Option<u64>,
        /// How long the file is.
        bytes: u64,
    },
}

impl FolderReader {
    /// Lists the folder and finds out which layout it has.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] while a buffer or a storage uses it; [`Error::Io`] if it cannot be read or a later version has
    /// written it.
    pub fn open(folder: &Path, disk: Arc<dyn Disk>) -> Result<Self, Error> {
        let folder = Folder { path: folder.to_owned(), disk };
        // What is listed before that may be gone, or finished, when it is held.
        let lock = take_lock(&folder)?;
        let listing = folder.list()?;
        let identity = match &lock {
            Some(lock) => read_identity(&folder, &**lock)?,
            None => None,
        };
        let sealed = listing.sealed.iter().map(|(name, bytes)| (folder.sealed(*name), *bytes));
        let unfinished = listing.unfinished.iter().map(|(name, bytes)| (folder.unfinished(*name), *bytes));
        let mut files = VecDeque::new();
        for (path, bytes) in sealed.chain(unfinished) {
            let header = read_header(&*folder.disk, &path).map_err(failed("read", &path))?;
            files.push_back(StoredFile { path, bytes, header, below: u64::MAX });
        }
        let about = identity.map(|identity| (identity.signal, identity.id));
        let first = files.iter().find_map(|file| file.header).map(|header| (header.signal, header.id));
        let (layout, id) = match about.or(first) {
            Some((signal, id)) => (Layout::Frames(signal), id),
            None => (Layout::Delimited, StorageId::default()),
        };
        bound(&mut files, &id);
        Ok(Self { disk: folder.disk, layout, files, reading: None, id, _lock: lock })
    }

    /// How its files are laid out.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Files that were not begun yet.
    pub fn files_left(&self) -> usize {
        self.files.len()
    }

    fn begin(&self, file: &StoredFile) -> io::Result<Reading> {
        if self.layout == Layout::Delimited {
            return RecordReader::open(&*self.disk, &file.path, file.bytes).map(Reading::Records);
        }
        let expected = file.header.map(|header| header.base_sequence);
        let reader = SegmentReader::open(&*self.disk, &file.path, self.id, file.bytes)?;
        let reader = reader.within(expected.unwrap_or(1)..file.below);
        Ok(Reading::Frames { reader, expected, bytes: file.bytes })
    }

    fn next_file(&mut self) -> Option<Result<(String, Reading), Damage>> {
        let file = self.files.pop_front()?;
        let name = file.path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Some(match self.begin(&file) {
            Ok(reading) => Ok((name, reading)),
            Err(error) => Err(Damage { file: name, what: error.to_string() }),
        })
    }
}

impl Iterator for FolderReader {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        loop {
            let (file, mut reading) = match self.reading.take() {
                Some(reading) => reading,
                None => match self.next_file()? {
                    Ok(reading) => reading,
                    Err(damage) => return Some(Found::Damage(damage)),
                },
            };
            match reading.step() {
                Stepped::Request(payload) => {
                    self.reading = Some((file.clone(), reading));
                    return Some(Found::Request { file, payload });
                }
                Stepped::Damage(what) => {
                    self.reading = Some((file.clone(), reading));
                    return Some(Found::Damage(Damage { file, what }));
                }
                Stepped::LastDamage(what) => return Some(Found::Damage(Damage { file, what })),
                Stepped::End => {}
            }
        }
    }
}

/// What one step through a file brought.
enum Stepped {
    Request(Bytes),
    /// The file goes on after it.
    Damage(String),
    /// Nothing more comes of the file.
    LastDamage(String),
    End,
}

impl Reading {
    fn step(&mut self) -> Stepped {
        let stepped = match self {
            Self::Records(reader) => step_records(reader),
            Self::Frames { reader, expected, bytes } => step_frames(reader, expected, *bytes),
        };
        stepped.unwrap_or_else(|error| Stepped::LastDamage(error.to_string()))
    }
}

fn step_records(reader: &mut RecordReader) -> io::Result<Stepped> {
    Ok(match reader.step()? {
        RecordStep::Record { payload, .. } => Stepped::Request(payload),
        RecordStep::Flaw(flaw, at) => Stepped::LastDamage(describe(flaw, at)),
        RecordStep::End => Stepped::End,
    })
}

fn describe(flaw: Flaw, at: u64) -> String {
    format!("{flaw}, at byte {at}; what follows in this file cannot be read")
}

fn step_frames(reader: &mut SegmentReader, expected: &mut Option<u64>, bytes: u64) -> io::Result<Stepped> {
    loop {
        let before = match reader.step()? {
            Step::Data(header) => {
                *expected = Some(header.sequence + 1);
                let sequence = header.sequence;
                return Ok(match reader.payload(&header)? {
                    Some(payload) if header.codec == CODEC_RAW => Stepped::Request(payload),
                    Some(_) => Stepped::Damage(format!("frame {sequence} is packed in a way not known here")),
                    None => Stepped::Damage(format!("frame {sequence} is damaged")),
                });
            }
            Step::Damage { before } => before,
            Step::Footer(footer) => footer.last + 1,
            Step::Unknown => continue,
            Step::End => return Ok(ended(expected.map(|_| reader.position()), bytes)),
        };
        // Bytes that were no frame may have been one, or several, or none.
        let missing = before.saturating_sub(expected.replace(before).unwrap_or(before));
        if missing > 0 {
            let last = before - 1;
            return Ok(Stepped::Damage(format!("{missing} frames up to {last} are damaged")));
        }
    }
}

/// What the end of a file of frames brings: nothing sound comes after `sound_end`, and nothing came before where there is
/// none. What a crash has cut short cannot be told from what was damaged later.
fn ended(sound_end: Option<u64>, bytes: u64) -> Stepped {
    match (sound_end, bytes.saturating_sub(sound_end.unwrap_or(0))) {
        (_, 0) => Stepped::End,
        (None, _) => Stepped::LastDamage(format!("none of its {bytes} bytes belong to a frame")),
        (Some(_), rest) => Stepped::LastDamage(format!("{rest} bytes at the end are no frame")),
    }
}

/// The file `LOCK`, if there is one: held, so that nobody begins to use the folder now. Where this user may not write
/// to it, it is only read.
fn take_lock(folder: &Folder) -> Result<Option<Box<dyn DiskFile>>, Error> {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    let entries = folder.disk.list(&folder.path).map_err(failed("list", &folder.path))?;
    if !entries.iter().any(|entry| entry.name == identity::FILE_NAME) {
        return Ok(None);
    }
    match recovery::take_lock(folder) {
        Err(Error::Io { source, .. }) if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem) => {
            let path = folder.path.join(identity::FILE_NAME);
            folder.disk.open(&path).map(Some).map_err(failed("read", &path))
        }
        lock => lock.map(Some),
    }
}

fn read_identity(folder: &Folder, lock: &dyn DiskFile) -> Result<Option<Identity>, Error> {
    Identity::read(lock).map_err(failed("read", &folder.path.join(identity::FILE_NAME)))
}

/// The header of a file of frames. What cannot be opened or read is met again, and said, when its turn comes.
fn read_header(disk: &dyn Disk, path: &Path) -> io::Result<Option<SegmentHeader>> {
    let read = disk.open(path).and_then(|file| SegmentHeader::read(&*file));
    match read {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Err(error),
        Err(error) if is_unreadable(&error) => Ok(None),
        read => Ok(read.unwrap_or_default()),
    }
}

/// Tells each file where the next one of the same buffer begins.
fn bound(files: &mut VecDeque<StoredFile>, id: &StorageId) {
    let mut below = u64::MAX;
    for file in files.iter_mut().rev() {
        file.header = file.header.filter(|header| header.id == *id);
        file.below = below;
        below = file.header.map_or(below, |header| header.base_sequence);
    }
}
