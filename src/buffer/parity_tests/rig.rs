//! A storage of either layout in a folder of its own, by a clock that tests turn.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;

use crate::buffer::{
    Clock, DelimitedCounts, DelimitedStorage, Disk, Environment, FileSpanStorage, FileStorageConfig,
    HostDisk, SignalStorage,
};

pub(super) const WRITE_AGE: u64 = 1_000;
pub(super) const READ_MIN: u64 = 1_500;
pub(super) const READ_MAX: u64 = 10_000;
/// When every test begins.
pub(super) const START: u64 = 1_000;
/// A batch that fills a file.
pub(super) const FILLING: usize = 60_000;

/// A clock that tests turn, in milliseconds.
#[derive(Debug)]
pub(super) struct Hands {
    wall: AtomicU64,
    boot: AtomicU64,
}

impl Hands {
    pub(super) fn pass(&self, millis: u64) {
        self.wall.fetch_add(millis, Ordering::Relaxed);
        self.boot.fetch_add(millis, Ordering::Relaxed);
    }

    pub(super) fn set_wall(&self, millis: u64) {
        self.wall.store(millis, Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn wall_nanos(&self) -> u64 {
        self.wall.load(Ordering::Relaxed) * 1_000_000
    }

    fn boot_millis(&self) -> u64 {
        self.boot.load(Ordering::Relaxed)
    }

    fn boot_id(&self) -> u64 {
        7
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Frames,
    Delimited,
}

pub(super) const KINDS: [Kind; 2] = [Kind::Frames, Kind::Delimited];

/// Longer than what a thread of the buffer leaves undone on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// To ask a storage for its numbers, without keeping it open.
pub(super) enum Numbers {
    Frames(Weak<FileSpanStorage>),
    Delimited(Weak<DelimitedStorage>),
}

/// A storage in a folder of its own.
pub(super) struct Rig {
    pub(super) kind: Kind,
    pub(super) config: FileStorageConfig,
    pub(super) clock: Arc<Hands>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) folder: TempDir,
    pub(super) storage: Option<Arc<dyn SignalStorage>>,
    numbers: Numbers,
}

/// The settings of the original's tests, where three full files fit into the folder and four do not.
pub(super) fn deleting() -> FileStorageConfig {
    FileStorageConfig {
        max_file_size: 64 << 10,
        max_folder_size: 3 * (64 << 10) + 20_000,
        max_file_age_for_write: Duration::from_millis(WRITE_AGE),
        min_file_age_for_read: Duration::from_millis(READ_MIN),
        max_file_age_for_read: Duration::from_millis(READ_MAX),
        delete_items_on_iteration: true,
        ..FileStorageConfig::default()
    }
}

/// The same, but only `remove` removes.
pub(super) fn keeping() -> FileStorageConfig {
    FileStorageConfig { delete_items_on_iteration: false, ..deleting() }
}

impl Rig {
    pub(super) fn new(kind: Kind, config: FileStorageConfig) -> Self {
        let clock = Arc::new(Hands { wall: AtomicU64::new(START), boot: AtomicU64::new(50) });
        let folder = tempfile::tempdir().unwrap();
        let numbers = Numbers::Frames(Weak::new());
        let mut rig = Self { kind, config, clock, disk: Arc::new(HostDisk), folder, storage: None, numbers };
        rig.open();
        rig
    }

    /// Opens the folder again, without closing it before if it is still open.
    pub(super) fn open(&mut self) {
        self.storage = None;
        let environment = Environment::new(Arc::clone(&self.disk), self.clock.clone());
        let config = self.config.clone();
        let folder = self.folder.path();
        match self.kind {
            Kind::Frames => {
                let storage = Arc::new(FileSpanStorage::open(folder, config, environment).unwrap().0);
                self.numbers = Numbers::Frames(Arc::downgrade(&storage));
                self.storage = Some(storage);
            }
            Kind::Delimited => {
                let storage = Arc::new(DelimitedStorage::open(folder, config, environment).unwrap());
                self.numbers = Numbers::Delimited(Arc::downgrade(&storage));
                self.storage = Some(storage);
            }
        }
    }

    /// What was evicted and what has expired, in files of records or in batches in frames.
    fn dropped(&self) -> (u64, u64) {
        match &self.numbers {
            Numbers::Frames(storage) => {
                let dropped = storage.upgrade().unwrap().buffer().stats().consumers[0].dropped;
                (dropped.evicted.frames, dropped.expired.frames)
            }
            Numbers::Delimited(_) => {
                let counts = self.counts().unwrap();
                (counts.evicted_files, counts.expired_files)
            }
        }
    }

    /// Where each file holds one batch: so many were evicted, and so many have expired.
    pub(super) fn expect_dropped(&self, expected: (u64, u64)) {
        let deadline = Instant::now() + PATIENCE;
        while self.dropped() != expected && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(self.dropped(), expected, "{:?}", self.kind);
    }

    /// Where the layout has them.
    pub(super) fn counts(&self) -> Option<DelimitedCounts> {
        match &self.numbers {
            Numbers::Frames(_) => None,
            Numbers::Delimited(storage) => Some(storage.upgrade().unwrap().counts()),
        }
    }

    /// Where the layout has them, they are these.
    pub(super) fn expect_counts(&self, expected: DelimitedCounts) {
        if let Some(counts) = self.counts() {
            assert_eq!(counts, expected);
        }
    }

    pub(super) fn close_and_open(&mut self) {
        self.storage().close().unwrap();
        self.open();
    }

    pub(super) fn storage(&self) -> &dyn SignalStorage {
        self.storage.as_deref().unwrap()
    }

    pub(super) fn write(&self, batch: &'static [u8]) {
        self.storage().write(Bytes::from_static(batch), 1).unwrap();
    }

    /// Writes a batch that fills a file, all of one letter.
    pub(super) fn write_file(&self, letter: u8) {
        self.storage().write(filling(letter), 1).unwrap();
    }

    /// Makes everything that was written readable.
    pub(super) fn ripen(&self) {
        self.clock.pass(READ_MIN);
    }

    /// What the next session gives; its first letters.
    pub(super) fn read(&self) -> String {
        let session = self.storage().iter().unwrap();
        session.map(|batch| char::from(batch.unwrap().payload[0])).collect()
    }

    /// The data files, finished or not, in their order.
    pub(super) fn files(&self) -> Vec<String> {
        let mut names: Vec<(u64, String)> = self
            .other_files()
            .into_iter()
            .filter_map(|name| Some((name.split('.').next()?.parse().ok()?, name)))
            .collect();
        names.sort();
        names.into_iter().map(|(_, name)| name).collect()
    }

    /// A buffer of frames deletes on a thread of its own.
    pub(super) fn expect_files(&self, expected: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        while self.files() != expected && Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(self.files(), expected, "{:?}", self.kind);
    }

    pub(super) fn other_files(&self) -> Vec<String> {
        let names = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn len(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).unwrap().len()
    }
}

pub(super) fn filling(letter: u8) -> Bytes {
    vec![letter; FILLING].into()
}

/// Runs a test on both layouts.
pub(super) fn both(config: fn() -> FileStorageConfig, test: fn(Rig)) {
    for kind in KINDS {
        test(Rig::new(kind, config()));
    }
}

/// Removes what `which` says of a session.
pub(super) fn remove(rig: &Rig, which: &str) {
    let mut session = rig.storage().iter().unwrap();
    while let Some(batch) = session.next_batch() {
        if which.contains(char::from(batch.unwrap().payload[0])) {
            session.remove().unwrap();
        }
    }
}

/// Every file of a folder, byte for byte.
pub(super) fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    all.sort();
    all
}
