//! A whole storage in the original's layout, shared by its writers and its one reader.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use crate::buffer::config::WhenFull;
use crate::buffer::delimited::record::{self, MAX_RECORD_BYTES};
use crate::buffer::delimited::session::DelimitedSession;
use crate::buffer::delimited::state::{DelimitedCounts, State};
use crate::buffer::folder::failed;
use crate::buffer::storage::{FOREVER, SignalStorage, StorageIterator};
use crate::buffer::{Environment, Error, FileStorageConfig, HostClock};

/// A storage that the original can take over, and the other way round. Clones are handles on the same one; dropping
/// the last without [`SignalStorage::close`] is like a crash.
///
/// Of the settings, the six knobs count, and two more. `when_full`: its one reader has its position here, so that both
/// ways of dropping let go of the oldest file; `Reject` refuses; `Block` is not to be had. `durability`: `Relaxed` syncs
/// nothing that is written; with any other, a batch is synced by itself before its write is answered.
///
/// Batches that were removed from the middle of a file are so durably only where a copy of the rest fits into the folder;
/// else they come again after the storage is opened again, and closing says so.
#[derive(Debug, Clone)]
pub struct DelimitedStorage {
    state: Arc<Mutex<State>>,
    config: FileStorageConfig,
}

impl DelimitedStorage {
    /// Takes the folder on this machine's file system, by this machine's clock.
    ///
    /// # Errors
    ///
    /// Those of [`DelimitedStorage::open`].
    pub fn create(folder: &Path, config: FileStorageConfig) -> Result<Self, Error> {
        Self::open(folder, config, Environment::host(Arc::new(HostClock)))
    }

    /// Takes the folder, making it if need be, and finishes what a crash has left unfinished.
    ///
    /// # Errors
    ///
    /// [`Error::Locked`] if someone else has it, [`Error::OtherLayout`] if it is a buffer of frames,
    /// [`Error::Setting`], [`Error::Io`]; so too if it should wait for room.
    pub fn open(folder: &Path, config: FileStorageConfig, environment: Environment) -> Result<Self, Error> {
        config.check()?;
        if matches!(config.when_full, WhenFull::Block(_)) {
            return Err(failed("wait for room, as when_full asks, in", folder)(
                io::ErrorKind::Unsupported.into(),
            ));
        }
        let state = State::open(folder, config.clone(), environment)?;
        Ok(Self { state: Arc::new(Mutex::new(state)), config })
    }

    /// What was dropped or mended since it was opened.
    pub fn counts(&self) -> DelimitedCounts {
        self.state.lock().counts
    }

    fn turn(&self, patience: Duration) -> Result<MutexGuard<'_, State>, Error> {
        self.state.try_lock_for(patience.min(FOREVER)).ok_or(Error::TimedOut { waited: patience })
    }
}

impl SignalStorage for DelimitedStorage {
    /// Waits for its turn no longer than `patience`; the write itself takes as long as the disk does.
    fn write_within(&self, batch: Bytes, _items: u32, patience: Duration) -> Result<(), Error> {
        let mut state = self.turn(patience)?;
        state.check_open()?;
        if batch.is_empty() {
            return Ok(());
        }
        let limit = self.config.max_file_size.min(MAX_RECORD_BYTES);
        if record::record_bytes(batch.len()) > limit {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            return Err(Error::TooLarge { bytes: batch.len(), limit });
        }
        state.append(&record::encode(&batch))
    }

    fn iter(&self) -> Result<StorageIterator, Error> {
        self.state.lock().begin_session()?;
        let session = DelimitedSession::new(Arc::clone(&self.state));
        Ok(StorageIterator::new(Box::new(session), self.config.delete_items_on_iteration))
    }

    fn clear(&self) -> Result<(), Error> {
        self.state.lock().clear()
    }

    fn close(&self) -> Result<(), Error> {
        self.state.lock().close()
    }
}
