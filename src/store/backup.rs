//! A copy of the whole store in one file, made while the store is used.
//!
//! A backup is a tar of plain files: the blocks, oldest first, the archive, the same of the store of what is archived, and
//! last a manifest with the size and the checksum of each, without which nothing is believed. docs/formats.md draws it.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::Timestamp;
use crate::store::block::{Block, Hold};
use crate::store::blocks::parsed;
use crate::store::files::Files;
use crate::store::restore::copy_sparse;
use crate::store::{Error, Store, archive};

/// The newest format of backups; it is written where something is archived, and the one before it where nothing is.
const FORMAT: u32 = 2;

/// The folder of the store of what is archived, within the store's, as names begin with it.
pub(super) const ARCHIVED: &str = "archive/";

/// The last entry.
const MANIFEST: &str = "manifest.json";

/// Where the archive is copied to first, within the store's folder; the file has no name for long.
const BESIDE: &str = "backup.tmp";

/// The archive is read in pieces of this size.
const PIECE_BYTES: usize = 256 << 10;

/// More files than any store has.
const MAX_FILES: usize = 100_000;

/// A manifest of that many files is shorter.
const MAX_MANIFEST_BYTES: u64 = 32 << 20;

/// Why there is no backup, or why one is not believed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The store could not be held still or opened.
    #[error(transparent)]
    Store(#[from] Error),
    /// A file could not be read or written.
    #[error("copy {name}")]
    Copy {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The bytes could not be had, or are no tar.
    #[error("read it as a backup")]
    Read(#[source] io::Error),
    /// There is no manifest at the end.
    #[error("read it to its end: it was cut off, or is no backup")]
    CutOff,
    /// It holds something that no backup does: never taken out.
    #[error("take it for a backup: it holds '{0}', which no backup does")]
    Strange(String),
    /// A file is not what was backed up.
    #[error("believe it: its '{0}' is not what was backed up")]
    Changed(String),
    /// The manifest cannot be read.
    #[error("read its manifest")]
    Manifest(#[source] serde_json::Error),
    /// A later version made it.
    #[error(
        "read its format {found}, made by tracelodge {version}: this version knows formats up to {known}"
    )]
    Newer {
        /// Its format.
        found: u32,
        /// The newest that is known here.
        known: u32,
        /// What wrote it.
        version: String,
    },
    /// Where it should go there is a store.
    #[error("put it into {}: there is a store already", .0.display())]
    Occupied(PathBuf),
}

/// What a backup holds: its last entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    format: u32,
    version: String,
    until_unix_millis: u64,
    spans: u64,
    /// Not said where it is nothing.
    #[serde(default, skip_serializing_if = "is_nothing")]
    archived_spans: u64,
    /// Not said where it is nothing.
    #[serde(default, skip_serializing_if = "is_nothing")]
    left_in_buffer: u64,
    files: Vec<Saved>,
}

fn is_nothing(number: &u64) -> bool {
    *number == 0
}

/// One file of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Saved {
    /// As it is called below the data folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// CRC-32C of all its bytes.
    pub crc32c: u32,
}

impl Manifest {
    /// The program's version that wrote it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Everything that was stored before is in it.
    pub fn until(&self) -> Timestamp {
        Timestamp::from_millis(self.until_unix_millis)
    }

    /// Spans of the blocks; those that came again from afar may count twice.
    pub fn spans(&self) -> u64 {
        self.spans
    }

    /// Spans of the store of what is archived.
    pub fn archived_spans(&self) -> u64 {
        self.archived_spans
    }

    /// Spans that were accepted before, but waited for the store in the buffer: they are not in it.
    pub fn left_in_buffer(&self) -> u64 {
        self.left_in_buffer
    }

    /// Files of spans, the archive not counted.
    pub fn blocks(&self) -> usize {
        self.files.iter().filter(|file| is_block(&file.name)).count()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// A store's files, which nothing is merged in until this is dropped. One that is dropped for its age can still be read.
#[derive(Debug)]
pub struct Backup {
    files: Vec<Held>,
    until: Timestamp,
    spans: u64,
    archived_spans: u64,
    left_in_buffer: u64,
    /// Where what others write to is copied to first; `None` where nobody writes.
    beside: Option<Beside>,
}

/// A file that does not change.
#[derive(Debug)]
struct Held {
    /// What its name begins with.
    folder: &'static str,
    hold: Hold,
    file: File,
}

/// Room beside the store.
#[derive(Debug)]
struct Beside {
    files: Arc<dyn Files>,
    /// Bytes that are left free.
    min_free_bytes: u64,
}

impl Store {
    /// Holds everything that is stored by `now`: a new block is begun, so that those before it do not change.
    pub fn backup(&self, now: Timestamp) -> Result<Backup, Error> {
        if self.blocks.active().is_some_and(|active| active.summary().spans > 0) {
            self.roll(now)?;
        }
        // None of them is being merged, and none will be once it is held.
        let _between_merges = self.merging.lock();
        let min_free_bytes = self.blocks.settings().min_free_bytes;
        let beside = Beside { files: Arc::clone(self.blocks.files()), min_free_bytes };
        Ok(Backup { beside: Some(beside), ..self.hold(&self.blocks.sealed(), now)? })
    }

    /// The same where nobody writes: no block is begun, and no old one dropped.
    pub fn backup_at_rest(&self, now: Timestamp) -> Result<Backup, Error> {
        self.hold(&self.blocks.all(), now)
    }

    fn hold(&self, blocks: &[Arc<Block>], until: Timestamp) -> Result<Backup, Error> {
        let mut backup = Backup {
            files: Vec::with_capacity(blocks.len() + 1),
            until,
            spans: 0,
            archived_spans: 0,
            left_in_buffer: 0,
            beside: None,
        };
        // The archive last: a trace that was copied into it before its block went is in one of the two.
        for block in blocks.iter().chain(self.archive.block()) {
            let path = self.blocks.files().path(block.name());
            let hold = block.hold();
            match File::open(&path) {
                Ok(file) => {
                    let is_archive = block.name() == archive::NAME;
                    backup.spans += if is_archive { 0 } else { block.summary().spans };
                    backup.files.push(Held { folder: "", hold, file });
                }
                // Dropped since it was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(Error::File { path, source }),
            }
        }
        Ok(backup)
    }
}

impl Backup {
    /// Says in the manifest how many spans were accepted and are not in it.
    pub fn without(self, left_in_buffer: u64) -> Self {
        Self { left_in_buffer, ..self }
    }

    /// With the store of what is archived, held after this one.
    pub fn with_archived(mut self, archived: Self) -> Self {
        self.archived_spans = archived.spans;
        self.files.extend(archived.files.into_iter().map(|held| Held { folder: ARCHIVED, ..held }));
        self
    }

    /// Writes the tar. Whoever takes it may be slow: to the blocks nobody writes, and the archive is copied beside
    /// the store first, for no longer than that takes.
    pub fn write(self, out: impl Write, version: &str) -> Result<Manifest, BackupError> {
        let (until, spans, left_in_buffer) = (self.until, self.spans, self.left_in_buffer);
        let has_archived = self.files.iter().any(|held| held.folder == ARCHIVED);
        let mut tar = tar::Builder::new(out);
        let mut files = Vec::with_capacity(self.files.len());
        for Held { folder, hold, file } in self.files {
            let engine = hold.block().engine();
            let name = format!("{folder}{}", hold.block().name());
            let copied = match &self.beside {
                Some(beside) if hold.block().name() == archive::NAME => engine
                    .hold_still(|| beside.copy(&file))
                    .and_then(|still| copy(&mut tar, &name, &still, until)),
                _ => engine.hold_still(|| copy(&mut tar, &name, &file, until)),
            };
            files.push(copied.map_err(|source| BackupError::Copy { name, source })?);
        }
        let manifest = Manifest {
            format: if has_archived { FORMAT } else { FORMAT - 1 },
            version: version.to_owned(),
            until_unix_millis: until.millis(),
            spans,
            archived_spans: self.archived_spans,
            left_in_buffer,
            files,
        };
        let written = serde_json::to_vec_pretty(&manifest).map_err(BackupError::Manifest)?;
        end(tar, &written, until)
            .map_err(|source| BackupError::Copy { name: MANIFEST.to_owned(), source })?;
        Ok(manifest)
    }
}

impl Beside {
    /// A copy of a file, gone when it is closed.
    fn copy(&self, file: &File) -> io::Result<File> {
        let bytes = file.metadata()?.len();
        if self.files.free_bytes()? < bytes.saturating_add(self.min_free_bytes) {
            let why =
                format!("no room for {bytes} bytes beside the store, with store.min_free_bytes left free");
            return Err(io::Error::new(io::ErrorKind::StorageFull, why));
        }
        let mut copy = self.unnamed()?;
        copy_sparse(&mut BufReader::with_capacity(PIECE_BYTES, file.take(bytes)), &mut copy)?;
        copy.rewind()?;
        Ok(copy)
    }

    fn unnamed(&self) -> io::Result<File> {
        let path = self.files.path(BESIDE);
        let remove = || match fs::remove_file(&path) {
            // Another backup did it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        };
        // Of a process that ended in between.
        remove()?;
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        remove()?;
        Ok(file)
    }
}

fn end(mut tar: tar::Builder<impl Write>, manifest: &[u8], until: Timestamp) -> io::Result<()> {
    tar.append(&header(MANIFEST, manifest.len() as u64, until)?, manifest)?;
    tar.into_inner()?.flush()
}

fn copy(tar: &mut tar::Builder<impl Write>, name: &str, file: &File, until: Timestamp) -> io::Result<Saved> {
    let bytes = file.metadata()?.len();
    let mut summed = Summed::new(file.take(bytes));
    tar.append(&header(name, bytes, until)?, &mut summed)?;
    if summed.bytes < bytes {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file became shorter"));
    }
    Ok(Saved { name: name.to_owned(), bytes, crc32c: summed.crc32c })
}

fn header(name: &str, bytes: u64, until: Timestamp) -> io::Result<tar::Header> {
    let mut header = tar::Header::new_gnu();
    header.set_path(name)?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o600);
    header.set_mtime(until.millis() / 1_000);
    header.set_size(bytes);
    header.set_cksum();
    Ok(header)
}

/// Counts and sums what is read through it.
struct Summed<R> {
    inner: R,
    bytes: u64,
    crc32c: u32,
}

impl<R> Summed<R> {
    fn new(inner: R) -> Self {
        Self { inner, bytes: 0, crc32c: 0 }
    }
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(into)?;
        self.bytes += length as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, &into[..length]);
        Ok(length)
    }
}

/// Reads a backup from its start to its end and hands out each file; only when this returns `Ok` what was handed out is
/// what was backed up.
pub(super) fn read(
    tar: impl Read,
    each: &mut dyn FnMut(&str, &mut dyn Read) -> Result<(), BackupError>,
) -> Result<Manifest, BackupError> {
    let mut archive = tar::Archive::new(tar);
    let mut seen: HashSet<Saved> = HashSet::new();
    // Raw: an entry is what its own header says. Backups need no extensions, and they are how tars deceive.
    let mut entries = archive.entries().map_err(BackupError::Read)?.raw(true);
    while let Some(entry) = entries.next() {
        let mut entry = entry.map_err(BackupError::Read)?;
        let (name, size) = (name_of(&entry)?, entry.header().entry_size().map_err(BackupError::Read)?);
        if name == MANIFEST {
            let manifest = read_manifest(&mut entry)?;
            if let Some(more) = entries.next() {
                return Err(BackupError::Strange(shown(&more.map_err(BackupError::Read)?)));
            }
            return compare(manifest, &seen);
        }
        if seen.len() >= MAX_FILES || seen.iter().any(|file| file.name == name) {
            return Err(BackupError::Strange(name));
        }
        let mut summed = Summed::new(entry);
        each(&name, &mut summed)?;
        io::copy(&mut summed, &mut io::sink()).map_err(BackupError::Read)?;
        if summed.bytes != size {
            return Err(BackupError::CutOff);
        }
        seen.insert(Saved { name, bytes: summed.bytes, crc32c: summed.crc32c });
    }
    Err(BackupError::CutOff)
}

/// The name of a plain file that a backup may hold: never a path that leads elsewhere.
fn name_of(entry: &tar::Entry<'_, impl Read>) -> Result<String, BackupError> {
    let name = shown(entry);
    let plain = name.strip_prefix(ARCHIVED).unwrap_or(&name);
    let is_ours = name == MANIFEST || plain == archive::NAME || is_block(plain);
    if entry.header().entry_type().is_file() && is_ours { Ok(name) } else { Err(BackupError::Strange(name)) }
}

fn shown(entry: &tar::Entry<'_, impl Read>) -> String {
    String::from_utf8_lossy(&entry.header().path_bytes()).into_owned()
}

/// Exactly as blocks are named; the numbers leave no room for anything else.
fn is_block(name: &str) -> bool {
    let rest = name.strip_prefix("blocks/").unwrap_or_default();
    parsed(name).is_some() && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
}

fn read_manifest(entry: &mut impl Read) -> Result<Manifest, BackupError> {
    #[derive(Deserialize)]
    struct Known {
        format: u32,
        version: String,
    }
    let mut text = Vec::new();
    entry.take(MAX_MANIFEST_BYTES).read_to_end(&mut text).map_err(BackupError::Read)?;
    let Known { format, version } = serde_json::from_slice(&text).map_err(BackupError::Manifest)?;
    if format > FORMAT {
        return Err(BackupError::Newer { found: format, known: FORMAT, version });
    }
    serde_json::from_slice(&text).map_err(BackupError::Manifest)
}

fn compare(manifest: Manifest, seen: &HashSet<Saved>) -> Result<Manifest, BackupError> {
    if let Some(changed) = manifest.files.iter().find(|file| !seen.contains(file)) {
        return Err(BackupError::Changed(changed.name.clone()));
    }
    let listed: HashSet<&Saved> = manifest.files.iter().collect();
    match seen.iter().find(|file| !listed.contains(file)) {
        Some(more) => Err(BackupError::Strange(more.name.clone())),
        None => Ok(manifest),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::sketch::{BASE, trace, trace_id};
    use crate::store::{Cursor, Settings, check_backup, restore};

    const DAY: Duration = Duration::from_secs(86_400);

    fn open(folder: &std::path::Path) -> Store {
        let settings =
            Settings { cache_bytes: 16 << 20, max_age: DAY, max_bytes: Some(64 << 20), min_free_bytes: 0 };
        Store::open(folder, &settings, BASE).unwrap()
    }

    fn append(store: &Store, number: u64, now: Timestamp) {
        let cursor = Cursor { buffer: [7; 16], signal: 0, sequence: number };
        let spans = trace(number, "shop | GET /cart | server | 0-100");
        assert_eq!(store.append(&spans, &cursor, now).unwrap().new, 1);
    }

    fn traces(store: &Store, numbers: std::ops::Range<u64>) -> Vec<u64> {
        let is_there = |number: &u64| {
            let id = trace_id(*number);
            !store.ask(|snapshot| snapshot.trace(id, usize::MAX)).unwrap().spans.is_empty()
        };
        numbers.filter(is_there).collect()
    }

    #[test]
    fn what_is_held_is_neither_merged_nor_lost_when_it_is_dropped() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = open(folder.path());
        (1..6).for_each(|number| append(&store, number, BASE));
        let held = store.backup(BASE).unwrap().without(3);
        append(&store, 6, BASE);
        let runs = store.status().runs;
        assert_eq!(store.merge().unwrap(), None, "a held block was merged");
        assert_eq!(store.status().runs, runs);

        store.expire(BASE.plus(2 * DAY)).unwrap();
        assert_eq!(store.status().dropped_spans, [6, 0, 0]);
        assert!(traces(&store, 1..7).is_empty());
        let mut tar = Vec::new();
        let manifest = held.write(&mut tar, "1.2.3").unwrap();
        assert_eq!((manifest.spans(), manifest.blocks(), manifest.until()), (5, 1, BASE));
        assert_eq!(manifest.left_in_buffer(), 3);
        assert_eq!(check_backup(&tar[..]).unwrap(), manifest);

        assert_eq!(restore(&tar[..], elsewhere.path()).unwrap(), manifest);
        let restored = open(elsewhere.path());
        assert_eq!(traces(&restored, 1..7), [1, 2, 3, 4, 5]);
        assert_eq!(restored.cursor([7; 16], 0).unwrap(), Some(5));
        append(&restored, 6, BASE);
        assert_eq!(traces(&restored, 1..7), [1, 2, 3, 4, 5, 6]);
    }

    /// Takes a backup, and pins a trace as soon as the archive begins to come.
    struct Pinning {
        store: Arc<Store>,
        tar: Vec<u8>,
        pinned: Option<bool>,
    }

    impl Write for Pinning {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.tar.extend_from_slice(bytes);
            if self.pinned.is_none() && bytes.starts_with(archive::NAME.as_bytes()) {
                let (store, (told, hears)) = (Arc::clone(&self.store), std::sync::mpsc::sync_channel(1));
                std::thread::spawn(move || told.send(store.pin(trace_id(2), BASE).unwrap()));
                self.pinned = hears.recv_timeout(Duration::from_secs(10)).ok();
            }
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn who_takes_the_archive_slowly_keeps_nobody_waiting() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = Arc::new(open(folder.path()));
        (1..3).for_each(|number| append(&store, number, BASE));
        assert!(store.pin(trace_id(1), BASE).unwrap());
        let mut out = Pinning { store: Arc::clone(&store), tar: Vec::new(), pinned: None };
        let manifest = store.backup(BASE).unwrap().write(&mut out, "1.2.3").unwrap();
        assert_eq!((out.pinned, store.status().traces_pinned), (Some(true), 2));
        assert_eq!(restore(&out.tar[..], elsewhere.path()).unwrap(), manifest);
        assert_eq!(open(elsewhere.path()).status().traces_pinned, 1, "as it was when it was copied");
        assert!(!folder.path().join(BESIDE).exists());
    }

    #[test]
    fn the_archive_is_not_copied_into_space_that_is_to_stay_free() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            cache_bytes: 16 << 20,
            max_age: DAY,
            max_bytes: Some(64 << 20),
            min_free_bytes: u64::MAX,
        };
        let store = Store::open(folder.path(), &settings, BASE).unwrap();
        append(&store, 1, BASE);
        assert!(store.pin(trace_id(1), BASE).unwrap());
        let error = store.backup(BASE).unwrap().write(io::sink(), "1.2.3").unwrap_err();
        assert!(matches!(&error, BackupError::Copy { name, .. } if name == archive::NAME), "{error}");
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains("store.min_free_bytes"), "{source}");
        assert!(
            store.backup_at_rest(BASE).unwrap().write(io::sink(), "1.2.3").is_ok(),
            "nobody is kept waiting"
        );
    }

    #[test]
    fn what_was_held_is_merged_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        (1..6).for_each(|number| append(&store, number, BASE));
        drop(store.backup(BASE).unwrap());
        assert_eq!(store.merge().unwrap().map(|merged| merged.runs), Some(5));
        // Nothing came since: no new block is begun for the next one.
        let blocks = store.status().blocks;
        drop(store.backup(BASE).unwrap());
        assert_eq!(store.status().blocks, blocks);
    }

    #[test]
    fn a_backup_at_rest_drops_and_begins_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        append(&store, 1, BASE);
        let mut tar = Vec::new();
        let late = BASE.plus(9 * DAY);
        let manifest = store.backup_at_rest(late).unwrap().write(&mut tar, "1.2.3").unwrap();
        assert_eq!((manifest.spans(), manifest.blocks(), manifest.until()), (1, 1, late));
        assert_eq!((store.status().spans, store.status().blocks), (1, 1));
        // An empty store has a backup too.
        let empty = tempfile::tempdir().unwrap();
        let mut tar = Vec::new();
        open(empty.path()).backup(BASE).unwrap().write(&mut tar, "1.2.3").unwrap();
        assert_eq!(check_backup(&tar[..]).unwrap().blocks(), 0);
    }

    #[test]
    fn a_disk_that_takes_no_more_ends_a_backup() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        append(&store, 1, BASE);
        let error = store.backup(BASE).unwrap().write(Full(100_000), "1.2.3").unwrap_err();
        assert!(matches!(&error, BackupError::Copy { name, .. } if is_block(name)), "{error}");
        assert!(store.backup(BASE).unwrap().write(io::sink(), "1.2.3").is_ok(), "it goes on afterwards");
    }
}
