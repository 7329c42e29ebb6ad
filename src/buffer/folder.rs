//! One signal's folder: what the names in it mean, and the operations on whole files.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::buffer::Error;
use crate::buffer::cursor;
use crate::buffer::disk::{Disk, DiskFile};

/// Ending of the file that is being written.
const UNFINISHED: &str = "tmp";
/// Sub-folder for files that hold nothing readable.
const QUARANTINE: &str = "quarantine";

/// A file's name: the Unix time in milliseconds at which it was begun, or a little more where two would share it.
pub(super) type Name = u64;

/// The files of a folder by name.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) sealed: Vec<(Name, u64)>,
    pub(super) unfinished: Vec<(Name, u64)>,
    /// Consumers whose positions are here, and the bytes of their files.
    pub(super) cursors: Vec<(String, u64)>,
}

impl Listing {
    /// The newest name in use.
    pub(super) fn last_name(&self) -> Name {
        self.sealed.iter().chain(&self.unfinished).map(|(name, _)| *name).max().unwrap_or(0)
    }
}

/// Where the files are.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) disk: Arc<dyn Disk>,
}

impl Folder {
    pub(super) fn sealed(&self, name: Name) -> PathBuf {
        self.path.join(name.to_string())
    }

    pub(super) fn unfinished(&self, name: Name) -> PathBuf {
        self.path.join(format!("{name}.{UNFINISHED}"))
    }

    pub(super) fn cursor(&self, consumer: &str) -> PathBuf {
        self.path.join(format!("{}{consumer}", cursor::PREFIX))
    }

    /// The data files, oldest first, and the cursors. Anything else in the folder is left alone.
    pub(super) fn list(&self) -> Result<Listing, Error> {
        let mut listing = Listing::default();
        let entries = self.disk.list(&self.path).map_err(failed("list", &self.path))?;
        for entry in entries {
            if let Some(name) = entry.name.strip_prefix(cursor::PREFIX).filter(|name| cursor::is_name(name)) {
                listing.cursors.push((name.to_owned(), entry.bytes));
                continue;
            }
            match entry.name.split_once('.') {
                None => listing.sealed.extend(parse(&entry.name).map(|name| (name, entry.bytes))),
                Some((stem, UNFINISHED)) => {
                    listing.unfinished.extend(parse(stem).map(|name| (name, entry.bytes)));
                }
                Some(_) => {}
            }
        }
        listing.sealed.sort_unstable();
        listing.unfinished.sort_unstable();
        listing.cursors.sort_unstable();
        Ok(listing)
    }

    /// Begins a file. Its name is not durable before the folder is synced.
    pub(super) fn create(&self, name: Name) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create_new(&self.unfinished(name))
    }

    /// Gives a finished file its final name, durably.
    pub(super) fn rename_sealed(&self, from: &Path, to: Name) -> Result<(), Error> {
        self.disk.rename(from, &self.sealed(to)).map_err(failed("rename", from))?;
        self.sync()
    }

    /// Makes the names in the folder durable.
    pub(super) fn sync(&self) -> Result<(), Error> {
        self.disk.sync_folder(&self.path).map_err(failed("sync", &self.path))
    }

    /// Removes a file; content if someone else has done so.
    pub(super) fn unlink(&self, path: &Path) -> Result<(), Error> {
        match self.disk.unlink(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed("delete", path)(error)),
            _ => Ok(()),
        }
    }

    /// Puts a file out of the way, for someone to look at; replaces one of the same name. Older ones make room within
    /// `limit` bytes.
    pub(super) fn quarantine(&self, path: &Path, limit: u64) -> Result<(), Error> {
        let quarantine = self.path.join(QUARANTINE);
        self.disk.create_folder(&quarantine).map_err(failed("create", &quarantine))?;
        let name = path.file_name().expect("data files have names");
        self.disk.rename(path, &quarantine.join(name)).map_err(failed("quarantine", path))?;
        let mut kept = self.disk.list(&quarantine).map_err(failed("list", &quarantine))?;
        kept.sort_by_key(|entry| entry.name.split('.').next().and_then(parse).unwrap_or(0));
        let mut bytes: u64 = kept.iter().map(|entry| entry.bytes).sum();
        for entry in kept {
            if bytes <= limit {
                break;
            }
            self.unlink(&quarantine.join(&entry.name))?;
            bytes -= entry.bytes;
        }
        self.disk.sync_folder(&quarantine).map_err(failed("sync", &quarantine))?;
        self.sync()
    }

    /// Bytes of the files that were put out of the way.
    pub(super) fn quarantined_bytes(&self) -> u64 {
        let kept = self.disk.list(&self.path.join(QUARANTINE)).unwrap_or_default();
        kept.iter().map(|entry| entry.bytes).sum()
    }
}

/// A data file's name; none for what only looks like one.
fn parse(text: &str) -> Option<Name> {
    let name: Name = text.parse().ok()?;
    // Half of the range, so that there is always a later name.
    (name < Name::MAX / 2 && name.to_string() == text).then_some(name)
}

/// Wraps an I/O error with what was being done to which file.
pub(super) fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { doing, path, source: Arc::new(source) }
}
