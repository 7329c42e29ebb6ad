//! The few things that are done to whole files: listed, opened, measured, removed, set aside.
//!
//! Tests put disks in memory here, which lose power, fill up and rot.

use std::fmt::Debug;
use std::fs::{self, File};
use std::io;
use std::ops::Bound;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{BackendError, Builder, Database, DatabaseError, StorageBackend};

use crate::model::Timestamp;
use crate::store::untouched;

/// The folder of blocks within the store's.
pub(super) const BLOCKS: &str = "blocks";
/// The folder of what was too damaged to be opened.
const QUARANTINE: &str = "quarantine";
/// Damaged files that are kept for somebody to look at; the oldest go first.
const KEPT: usize = 4;

/// Where a store's files are. Names are relative, such as `blocks/0000000001-1700000000.redb`.
pub(super) trait Files: Debug + Send + Sync {
    /// The names of the files in [`BLOCKS`], in no order.
    fn blocks(&self) -> io::Result<Vec<String>>;
    /// Whether there is a file of this name.
    fn exists(&self, name: &str) -> bool;
    /// Opens a database, or makes it. A name that was made is as durable as the first commit to it.
    fn open(&self, name: &str, may_make: bool, cache_bytes: usize) -> Result<Database, DatabaseError>;
    /// Opens a database that is there to look at it: what is written stays in memory and changes no byte of it.
    fn open_untouched(&self, name: &str, cache_bytes: usize) -> Result<Database, DatabaseError>;
    /// What the file takes on the disk, in bytes.
    fn bytes(&self, name: &str) -> io::Result<u64>;
    /// Removes a file for good. Who has it open can go on reading it.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Moves a file to where it does not disturb; returns where that is.
    fn set_aside(&self, name: &str, now: Timestamp) -> io::Result<PathBuf>;
    /// How many files were set aside, and are still there.
    fn count_set_aside(&self) -> usize;
    /// Bytes that this process could still write.
    fn free_bytes(&self) -> io::Result<u64>;
    /// A file as others know it.
    fn path(&self, name: &str) -> PathBuf;
}

/// Files in a folder of the machine's own disk.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Makes what folders are missing, as durable as what they will hold.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path.join(BLOCKS))?;
        for named in path.join(BLOCKS).ancestors().take(3).filter(|path| !path.as_os_str().is_empty()) {
            match File::open(named).and_then(|folder| folder.sync_all()) {
                // Who may write here need not be one who may list what is around it; others made this folder then.
                Err(error)
                    if error.kind() == io::ErrorKind::PermissionDenied
                        && path.starts_with(named)
                        && named != path =>
                {
                    tracing::debug!(%error, folder = %named.display(), "the folder around the store cannot be synced");
                }
                synced => synced?,
            }
        }
        Ok(Self { path: path.to_owned() })
    }

    fn sync_folder_of(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        File::open(path.parent().unwrap_or(&self.path))?.sync_all()
    }

    /// Ours only, named by when they were set aside: the oldest first.
    fn kept(&self) -> io::Result<Vec<PathBuf>> {
        let mut kept: Vec<_> = fs::read_dir(self.path.join(QUARANTINE))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "redb"))
            .collect();
        kept.sort();
        Ok(kept)
    }
}

impl Files for Folder {
    fn blocks(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(self.path.join(BLOCKS))? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(format!("{BLOCKS}/{name}"));
            }
        }
        Ok(names)
    }

    fn exists(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    fn open(&self, name: &str, may_make: bool, cache_bytes: usize) -> Result<Database, DatabaseError> {
        let path = self.path.join(name);
        let mut builder = Builder::new();
        let repaired = path.clone();
        builder.set_cache_size(cache_bytes).set_repair_callback(move |repair| {
            tracing::info!(file = %repaired.display(), progress = repair.progress(), "repairing a file of the span store");
        });
        // A file that vanished is not to be taken for an empty one.
        let file = File::options().read(true).write(true).create(may_make).truncate(false).open(&path)?;
        let length = file.metadata()?.len();
        if may_make && begun_and_never_made(length, |offset, out| file.read_exact_at(out, offset))? {
            file.set_len(0)?;
        } else if !may_make && length == 0 {
            return Err(DatabaseError::Storage(io::Error::from(io::ErrorKind::InvalidData).into()));
        }
        let database = builder.create_with_backend(Padded(FileBackend::new(file)?))?;
        if may_make {
            self.sync_folder_of(name)?;
        }
        Ok(database)
    }

    fn open_untouched(&self, name: &str, cache_bytes: usize) -> Result<Database, DatabaseError> {
        untouched::open(&self.path.join(name), Builder::new().set_cache_size(cache_bytes))
    }

    fn bytes(&self, name: &str) -> io::Result<u64> {
        // POSIX: st_blocks counts units of 512 bytes. Lengths do not count: redb makes files longer than they are.
        Ok(fs::metadata(self.path.join(name))?.blocks() * 512)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))?;
        self.sync_folder_of(name)
    }

    fn set_aside(&self, name: &str, now: Timestamp) -> io::Result<PathBuf> {
        let quarantine = self.path.join(QUARANTINE);
        fs::create_dir_all(&quarantine)?;
        let mut kept = self.kept()?;
        kept.truncate((kept.len() + 1).saturating_sub(KEPT));
        for path in &kept {
            if let Err(error) = fs::remove_file(path) {
                tracing::warn!(%error, path = %path.display(), "an older damaged file could not be removed");
            }
        }
        let path = self.path.join(name);
        let plain = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let aside = quarantine.join(format!("{:020}-{plain}", now.millis()));
        fs::rename(&path, &aside)?;
        File::open(&quarantine)?.sync_all()?;
        self.sync_folder_of(name)?;
        Ok(aside)
    }

    fn count_set_aside(&self) -> usize {
        self.kept().map_or(0, |kept| kept.len())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let file_system = rustix::fs::statvfs(&self.path)?;
        Ok(file_system.f_bavail * file_system.f_frsize)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

/// The longest file of which it is looked whether anything was ever written to it; redb begins with somewhat over 1 MiB.
const MAX_BEGUN_BYTES: u64 = 4 << 20;

/// Where the first page ends. It holds redb's header, which begins with a mark that is written last.
const HEADER_BYTES: usize = 4096;
const MARK_BYTES: usize = 9;

/// Whether power went while the file was being made: it has a length, but no mark, and nothing stands in it.
pub(super) fn begun_and_never_made(
    length: u64,
    read: impl Fn(u64, &mut [u8]) -> io::Result<()>,
) -> io::Result<bool> {
    if length == 0 || length > MAX_BEGUN_BYTES {
        return Ok(false);
    }
    let mut bytes = vec![0; length as usize];
    read(0, &mut bytes)?;
    let (header, pages) = bytes.split_at(bytes.len().min(HEADER_BYTES));
    Ok(header.iter().take(MARK_BYTES).chain(pages).all(|byte| *byte == 0))
}

/// A file behind whose end there are zeros: a page number that leads there is damage in one place, and no failure of
/// the disk, after which redb would answer nothing any more. The header must be there.
#[derive(Debug)]
pub(super) struct Padded<B>(pub(super) B);

impl<B: StorageBackend> StorageBackend for Padded<B> {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match self.0.read(offset, out) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && offset >= HEADER_BYTES as u64 => {}
            read => return read,
        }
        let there = self.0.len()?.saturating_sub(offset);
        let (written, padding) = out.split_at_mut(out.len().min(there as usize));
        padding.fill(0);
        if written.is_empty() { Ok(()) } else { self.0.read(offset, written) }
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.0.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.query_lock_range(start, end)
    }
}
