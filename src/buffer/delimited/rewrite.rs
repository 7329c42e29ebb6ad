//! Taking records out of the middle of a file: what is left of it replaces it, or is set aside.

use std::io;
use std::path::Path;

use bytes::BytesMut;

use crate::buffer::Error;
use crate::buffer::delimited::state::{SealedFile, State};
use crate::buffer::disk::write_all_at;
use crate::buffer::folder::{Folder, Name, failed};

/// Ending of the copy that replaces a partly consumed file. Neither the original nor we take it for data.
pub(super) const REWRITTEN: &str = "rewrite";

impl State {
    /// Replaces a file by what was not removed from it, in one step: a crash leaves the one or the other. Where there is
    /// no room for both, nothing is done: what was removed is known as long as the storage is open.
    pub(super) fn rewrite(&mut self, name: Name) -> Result<(), Error> {
        let Some(file) = self.sealed.get(&name).filter(|file| !file.removed.is_empty()) else {
            return Ok(());
        };
        let (path, left) = (self.path(name), file.bytes - file.removed_bytes);
        if !self.has_room(left) {
            return Err(failed("rewrite", &path)(io::ErrorKind::QuotaExceeded.into()));
        }
        let copy = self.folder.path.join(format!("{name}.{REWRITTEN}"));
        let replaced = replace(&self.folder, &path, &copy, &kept_ranges(file));
        let bytes = replaced.map_err(|error| {
            let _left_for_the_next_attempt = self.folder.unlink(&copy);
            failed("rewrite", &path)(error)
        })?;
        self.unsynced_names = true;
        let file = self.sealed.get_mut(&name).expect("it was there a moment ago");
        let removed = std::mem::take(&mut file.removed_bytes);
        file.removed.clear();
        file.flaw = file.flaw.map(|(flaw, at)| (flaw, at - removed));
        file.bytes = bytes;
        Ok(())
    }

    /// Moves what cannot be read, and nothing else, out of the way.
    pub(super) fn put_aside(&mut self, name: Name) -> Result<(), Error> {
        if let Err(error) = self.rewrite(name) {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(file = name, error, "set aside with what was removed from it");
        }
        let path = self.path(name);
        let done = self.folder.quarantine(&path, self.config.max_quarantine_size());
        // It may be away all the same: more is done after the move.
        if done.is_err() && !is_gone(&self.folder, &path) {
            return done;
        }
        self.unsynced_names |= done.is_err();
        self.sealed.remove(&name);
        self.set_aside = self.folder.quarantined_bytes();
        done
    }
}

fn is_gone(folder: &Folder, path: &Path) -> bool {
    folder.disk.open(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// What stands between the removed records.
fn kept_ranges(file: &SealedFile) -> Vec<(u64, u64)> {
    let mut kept = Vec::new();
    let mut from = 0;
    for (begin, end) in &file.removed {
        if from < *begin {
            kept.push((from, *begin));
        }
        from = *end;
    }
    if from < file.bytes {
        kept.push((from, file.bytes));
    }
    kept
}

/// Puts these parts of a file in its place, by way of a copy; how long that is. Only the file's content is durable then.
fn replace(folder: &Folder, path: &Path, copy: &Path, ranges: &[(u64, u64)]) -> io::Result<u64> {
    let bytes = match copy_ranges(folder, path, copy, ranges) {
        // Of an attempt that could not even be cleaned up.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            folder.disk.unlink(copy)?;
            copy_ranges(folder, path, copy, ranges)?
        }
        copied => copied?,
    };
    folder.disk.rename(copy, path)?;
    Ok(bytes)
}

/// Copies parts of a file into a new one, durably; how long that is.
fn copy_ranges(folder: &Folder, from: &Path, to: &Path, ranges: &[(u64, u64)]) -> io::Result<u64> {
    const PIECE_BYTES: u64 = 256 << 10;
    let (source, target) = (folder.disk.open(from)?, folder.disk.create_new(to)?);
    let mut written = 0;
    for (begin, end) in ranges {
        let mut at = *begin;
        while at < *end {
            let wanted = (end - at).min(PIECE_BYTES);
            let mut piece = BytesMut::zeroed(wanted as usize);
            let read = source.read_at(&mut piece, at)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            write_all_at(&*target, &piece[..read], written)?;
            (at, written) = (at + read as u64, written + read as u64);
        }
    }
    target.sync_data()?;
    Ok(written)
}
