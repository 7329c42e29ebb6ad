//! A backup becomes a store again: unpacked beside, looked through, and only then put in its place.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::store::archive;
use crate::store::backup::{self, ARCHIVED, BackupError, Manifest};
use crate::store::files::BLOCKS;

/// Where a backup is unpacked, within the folder that it is for.
const UNPACKED: &str = "restore.tmp";

/// Zeros are left out in pieces of this size: redb's files have long stretches of them.
const PIECE_BYTES: usize = 4096;

/// Reads a backup from its start to its end and takes nothing out of it; whether it is whole.
pub fn check_backup(tar: impl Read) -> Result<Manifest, BackupError> {
    backup::read(tar, &mut |_name, _file| Ok(()))
}

/// Puts the store of a backup into a folder that has none, and nothing where that fails. Nobody else uses the folder
/// meanwhile.
pub fn restore(tar: impl Read, folder: &Path) -> Result<Manifest, BackupError> {
    if is_occupied(folder) {
        return Err(BackupError::Occupied(folder.to_owned()));
    }
    let unpacked = folder.join(UNPACKED);
    remove(&unpacked)?;
    let restored = unpack(tar, &unpacked, &mut |_name, _file| Ok(())).and_then(|manifest| {
        move_in(&unpacked, folder).map_err(|error| copying(folder, error))?;
        Ok(manifest)
    });
    // What is left of an attempt that failed; the error that is told is the first.
    if let Err(error) = remove(&unpacked) {
        tracing::warn!(%error, "what was unpacked was not removed");
    }
    restored
}

/// Unpacks a backup into a new folder, each file on the disk before it is handed out by its name and its path.
/// What is there after an error is to be removed.
pub fn unpack(
    tar: impl Read,
    into: &Path,
    each: &mut dyn FnMut(&str, &Path) -> Result<(), BackupError>,
) -> Result<Manifest, BackupError> {
    let mut private = fs::DirBuilder::new();
    private.recursive(true).mode(0o700);
    private.create(into.join(BLOCKS)).map_err(|error| copying(into, error))?;
    let manifest = backup::read(tar, &mut |name, file| {
        let path = into.join(name);
        if name.starts_with(ARCHIVED) {
            let blocks = into.join(ARCHIVED).join(BLOCKS);
            private.create(&blocks).map_err(|error| copying(&blocks, error))?;
        }
        write_sparse(file, &path).map_err(|error| copying(&path, error))?;
        each(name, &path)
    })?;
    let archived = into.join(ARCHIVED);
    for folder in [&archived.join(BLOCKS), &archived, &into.join(BLOCKS), into] {
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            // Nothing is archived.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            synced => synced.map_err(|error| copying(folder, error))?,
        }
    }
    Ok(manifest)
}

fn copying(path: &Path, source: io::Error) -> BackupError {
    BackupError::Copy { name: path.display().to_string(), source }
}

fn is_occupied(folder: &Path) -> bool {
    let has_store = |folder: &Path| {
        let has_blocks = fs::read_dir(folder.join(BLOCKS)).is_ok_and(|mut entries| entries.next().is_some());
        has_blocks || folder.join(archive::NAME).exists()
    };
    has_store(folder) || has_store(&folder.join(ARCHIVED))
}

fn remove(folder: &Path) -> Result<(), BackupError> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(copying(folder, error)),
        _ => Ok(()),
    }
}

/// What is archived first, then the archive: without them the store is not taken for one that is whole, by a second
/// attempt either.
fn move_in(unpacked: &Path, folder: &Path) -> io::Result<()> {
    let archived = unpacked.join(ARCHIVED);
    if archived.exists() {
        let into = folder.join(ARCHIVED);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&into)?;
        move_in(&archived, &into)?;
    }
    let archive: [PathBuf; 2] = [unpacked.join(archive::NAME), folder.join(archive::NAME)];
    if archive[0].exists() {
        fs::rename(&archive[0], &archive[1])?;
    }
    // Over an empty folder at most.
    fs::rename(unpacked.join(BLOCKS), folder.join(BLOCKS))?;
    File::open(folder)?.sync_all()
}

/// Writes a file to the disk, without its stretches of zeros.
fn write_sparse(from: &mut dyn Read, path: &Path) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    copy_sparse(from, &mut file)?;
    file.sync_all()
}

/// Fills a new file, without the stretches of zeros.
pub(super) fn copy_sparse(from: &mut dyn Read, file: &mut File) -> io::Result<()> {
    let (mut piece, mut length) = ([0; PIECE_BYTES], 0);
    loop {
        let filled = fill(from, &mut piece)?;
        if piece[..filled].iter().all(|byte| *byte == 0) {
            file.seek(SeekFrom::Current(filled as i64))?;
        } else {
            file.write_all(&piece[..filled])?;
        }
        length += filled as u64;
        if filled < PIECE_BYTES {
            return file.set_len(length);
        }
    }
}

/// As much as there is, up to the whole piece.
fn fill(from: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match from.read(&mut piece[filled..]) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
