//! A disk in memory for the fuzzers: never fails, forgets nothing, and hands out what was put there.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracelodge::buffer::{Clock, Disk, DiskFile, Entry};

type Content = Arc<Mutex<Vec<u8>>>;

#[derive(Debug, Clone, Default)]
pub struct MemoryDisk {
    files: Arc<Mutex<BTreeMap<PathBuf, Content>>>,
}

#[derive(Debug)]
struct OpenFile(Content);

impl MemoryDisk {
    pub fn place(&self, path: &str, bytes: Vec<u8>) {
        locked(&self.files).insert(path.into(), Arc::new(Mutex::new(bytes)));
    }

    fn existing(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let content = locked(&self.files).get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(OpenFile(content)))
    }
}

impl Disk for MemoryDisk {
    fn create_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let files = locked(&self.files);
        let inside = files.iter().filter(|(path, _)| path.parent() == Some(folder));
        Ok(inside
            .map(|(path, content)| Entry {
                name: path.file_name().and_then(|name| name.to_str()).expect("names are ours").to_owned(),
                bytes: locked(content).len() as u64,
            })
            .collect())
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        if locked(&self.files).contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.lock(path)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.existing(path)
    }

    fn open_to_mend(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.existing(path)
    }

    /// Nobody competes here.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let content = locked(&self.files).entry(path.to_owned()).or_default().clone();
        Ok(Box::new(OpenFile(content)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = locked(&self.files);
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        locked(&self.files).remove(path).map(drop).ok_or(io::ErrorKind::NotFound.into())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl DiskFile for OpenFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = locked(&self.0);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let read = bytes.len().min(content.len() - start);
        bytes[..read].copy_from_slice(&content[start..start + read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut content = locked(&self.0);
        let start = usize::try_from(offset).expect("files are small here");
        let end = start + bytes.len();
        assert!(end < 64 << 20, "a small file is written to at {offset}");
        let length = content.len().max(end);
        content.resize(length, 0);
        content[start..end].copy_from_slice(bytes);
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        assert!(bytes < 64 << 20, "a small file is made {bytes} bytes long");
        locked(&self.0).resize(usize::try_from(bytes).expect("checked"), 0);
        Ok(())
    }
}

/// A minute after the golden files were written, for ever.
#[derive(Debug)]
pub struct StoppedClock;

impl Clock for StoppedClock {
    fn wall_nanos(&self) -> u64 {
        1_700_000_060_000_000_000
    }

    fn boot_millis(&self) -> u64 {
        60_000
    }

    fn boot_id(&self) -> u64 {
        1
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
