//! The data folder: made for this user alone, and held by one process.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::neighbor::{Address, Kind, Neighbor};

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It cannot be made or written.
    #[error("use the data folder {} (--data-dir gives another one)", folder.display())]
    Unusable {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("use the data folder {}: it is held by {holder}; stop that one, or give another folder with --data-dir", folder.display())]
    Held {
        /// Which.
        folder: PathBuf,
        /// Who, as it introduced itself.
        holder: String,
        /// The address of its admin door, if it has one.
        admin: Option<String>,
    },
}

/// What the line of the lock file begins with that names the holder's admin door.
const ADMIN: &str = "its admin door is at ";

/// The data folder, ours until this is dropped or the process ends, however it ends.
#[derive(Debug)]
pub(super) struct DataFolder {
    folder: PathBuf,
    lock: File,
}

impl DataFolder {
    /// Makes the folder if needed and takes it.
    pub(super) fn take(folder: &Path) -> Result<Self, Error> {
        let unusable = |source| Error::Unusable { folder: folder.to_owned(), source };
        make_private(folder).map_err(unusable)?;
        let path = folder.join("LOCK");
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {
                // Whoever had it before has no door any more.
                lock.set_len(0).map_err(unusable)?;
                Neighbor::forget(folder);
                sync_around(folder);
                Ok(Self { folder: folder.to_owned(), lock })
            }
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Who holds it may not have said so yet.
                let _said = lock.read_to_string(&mut holder);
                let mut lines = holder.lines().map(str::trim);
                let name = lines.next().filter(|said| !said.is_empty()).unwrap_or("another process");
                let admin = lines.find_map(|line| line.strip_prefix(ADMIN)).map(str::to_owned);
                Err(Error::Held { folder: folder.to_owned(), holder: name.to_owned(), admin })
            }
            Err(TryLockError::Error(source)) => Err(unusable(source)),
        }
    }

    /// Says who holds the folder, for a second start to repeat, and where it can be asked for more.
    pub(super) fn introduce(&mut self, page: Option<&str>, admin: Option<&str>) -> io::Result<()> {
        let page = page.map(|page| format!(", its page is at {page}")).unwrap_or_default();
        self.lock.set_len(0)?;
        self.lock.rewind()?;
        let admin = admin.map(|admin| format!("{ADMIN}{admin}\n")).unwrap_or_default();
        write!(self.lock, "process {}{page}\n{admin}", std::process::id())
    }

    /// Says where its holder's storage can be asked by other processes of this program.
    pub(super) fn announce(&self, kind: Kind, address: Address) -> io::Result<()> {
        Neighbor { kind, address }.announce(&self.folder)
    }

    /// It cannot be asked any more.
    pub(super) fn withdraw(&self) {
        Neighbor::forget(&self.folder);
    }

    /// A path inside.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// The folder's name must be as durable as what it will hold; a parent that this user may not read was not made now.
fn sync_around(folder: &Path) {
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if let Err(error) = File::open(parent).and_then(|parent| parent.sync_all()) {
        tracing::debug!(%error, "the folder around the data folder was not synced");
    }
}

fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_to_come_hears_who_was_first() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("a/b");
        let mut first = DataFolder::take(&data).unwrap();
        first.introduce(Some("http://127.0.0.1:16686"), Some("127.0.0.1:14269")).unwrap();
        let error = DataFolder::take(&data).unwrap_err();
        assert!(matches!(&error, Error::Held { admin: Some(at), .. } if at == "127.0.0.1:14269"));
        let error = error.to_string();
        let held = format!("held by process {}, its page is at http://127.0.0.1:16686", std::process::id());
        assert!(error.contains(&held) && !error.contains("admin"), "{error}");
        drop(first);
        let _second = DataFolder::take(&data).unwrap();
        let error = DataFolder::take(&data).unwrap_err();
        assert!(matches!(&error, Error::Held { admin: None, .. }), "it was the first one's: {error}");
        assert!(error.to_string().contains("held by another process"), "{error}");
    }

    #[test]
    fn a_folder_that_cannot_be_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = DataFolder::take(&file.path().join("data")).unwrap_err().to_string();
        assert!(error.contains("--data-dir") && error.contains("/data"), "{error}");
    }
}
