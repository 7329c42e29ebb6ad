//! A disk that counts what is written, and can be held.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::buffer::{Disk, DiskFile, Entry, HostDisk};

/// The machine's disk, and how many bytes were written to it. Syncs take no time, unless the hand is held.
#[derive(Debug, Default)]
pub(super) struct CountingDisk {
    pub(super) written: Arc<AtomicU64>,
    pub(super) hand: Arc<Mutex<()>>,
}

#[derive(Debug)]
struct CountingFile {
    file: Box<dyn DiskFile>,
    pub(super) written: Arc<AtomicU64>,
    pub(super) hand: Arc<Mutex<()>>,
}

impl CountingDisk {
    fn counting(&self, file: io::Result<Box<dyn DiskFile>>) -> io::Result<Box<dyn DiskFile>> {
        let (written, hand) = (Arc::clone(&self.written), Arc::clone(&self.hand));
        file.map(|file| Box::new(CountingFile { file, written, hand }) as Box<dyn DiskFile>)
    }
}

impl Disk for CountingDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        HostDisk.create_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        HostDisk.list(folder)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.counting(HostDisk.create_new(path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        HostDisk.open(path)
    }

    fn open_to_mend(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.counting(HostDisk.open_to_mend(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.counting(HostDisk.lock(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        HostDisk.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        HostDisk.unlink(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        HostDisk.sync_folder(folder)
    }
}

impl DiskFile for CountingFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        drop(self.hand.lock());
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}
