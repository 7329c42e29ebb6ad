//! Storages of spans, log records and metrics: a buffer of frames each, and the one consumer that iterators share.

use std::fmt;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::buffer::storage::{Batch, FOREVER, Session, SignalStorage, StorageIterator};
use crate::buffer::{
    Buffer, Consumer, Environment, Error, FileStorageConfig, HostClock, Recovery, Signal, StartAt, Take,
};

/// The name of the consumer that iterators share.
const CONSUMER: &str = "storage";
/// One batch at a time.
const ONE: Take = Take { max_frames: 1, max_bytes: usize::MAX, max_items: u64::MAX };
/// Removals between two times that the position is made durable: they cost one sync together.
const REMOVALS_PER_SAVE: u32 = 256;

/// What a storage holds, as a type.
pub trait StoredSignal: fmt::Debug + Send + Sync + 'static {
    /// The same as a value.
    const SIGNAL: Signal;
}

/// Spans.
#[derive(Debug)]
pub enum Spans {}
/// Log records.
#[derive(Debug)]
pub enum LogRecords {}
/// Metrics.
#[derive(Debug)]
pub enum Metrics {}

impl StoredSignal for Spans {
    const SIGNAL: Signal = Signal::Traces;
}

impl StoredSignal for LogRecords {
    const SIGNAL: Signal = Signal::Logs;
}

impl StoredSignal for Metrics {
    const SIGNAL: Signal = Signal::Metrics;
}

/// A storage of `ExportTraceServiceRequest`s.
pub type FileSpanStorage = FileSignalStorage<Spans>;
/// A storage of `ExportLogsServiceRequest`s.
pub type FileLogRecordStorage = FileSignalStorage<LogRecords>;
/// A storage of `ExportMetricsServiceRequest`s.
pub type FileMetricStorage = FileSignalStorage<Metrics>;

/// One signal's batches in a [`Buffer`]. Clones are handles on the same one; dropping the last without
/// [`SignalStorage::close`] is safe, like a crash.
///
/// With `min_file_age_for_read` zero an iterator gives batches as soon as they are durable; otherwise those of finished
/// files that are old enough, as the original's does.
#[derive(Debug)]
pub struct FileSignalStorage<S> {
    open: Arc<Open>,
    signal: PhantomData<S>,
}

#[derive(Debug)]
struct Open {
    buffer: Buffer,
    config: FileStorageConfig,
    consumer: Mutex<Consumer>,
    iterating: AtomicBool,
    closed: AtomicBool,
}

impl<S: StoredSignal> FileSignalStorage<S> {
    /// Takes the folder on this machine's file system, by this machine's clock.
    ///
    /// # Errors
    ///
    /// Those of [`Buffer::open`].
    pub fn create(folder: &Path, config: FileStorageConfig) -> Result<Self, Error> {
        let (storage, _recovery) = Self::open(folder, config, Environment::host(Arc::new(HostClock)))?;
        Ok(storage)
    }

    /// Takes the folder, making it if need be, and repairs what a crash has left in it, which it says.
    ///
    /// # Errors
    ///
    /// Those of [`Buffer::open`].
    pub fn open(
        folder: &Path,
        config: FileStorageConfig,
        environment: Environment,
    ) -> Result<(Self, Recovery), Error> {
        let (buffer, recovery) = Buffer::open(folder, S::SIGNAL, config.clone(), environment)?;
        let consumer = Mutex::new(buffer.consumer(CONSUMER, StartAt::Oldest)?);
        let (iterating, closed) = (AtomicBool::new(false), AtomicBool::new(false));
        let open = Arc::new(Open { buffer, config, consumer, iterating, closed });
        Ok((Self { open, signal: PhantomData }, recovery))
    }

    /// What it stands on: for its numbers, and for more consumers.
    pub fn buffer(&self) -> &Buffer {
        &self.open.buffer
    }
}

impl<S> Clone for FileSignalStorage<S> {
    fn clone(&self) -> Self {
        Self { open: Arc::clone(&self.open), signal: PhantomData }
    }
}

impl<S: StoredSignal> SignalStorage for FileSignalStorage<S> {
    fn write_within(&self, batch: Bytes, items: u32, patience: Duration) -> Result<(), Error> {
        if self.open.is_closed() {
            return Err(Error::Closed);
        }
        if batch.is_empty() {
            return Ok(());
        }
        let (told, answer) = sync_channel(1);
        self.open.buffer.append(batch, items, move |outcome| {
            // Who waited may have run out of patience.
            let _gone = told.try_send(outcome);
        });
        match answer.recv_timeout(patience.min(FOREVER)) {
            Ok(outcome) => outcome.map(|_sequence| ()),
            Err(RecvTimeoutError::Timeout) => Err(Error::TimedOut { waited: patience }),
            Err(RecvTimeoutError::Disconnected) => Err(Error::Closed),
        }
    }

    fn iter(&self) -> Result<StorageIterator, Error> {
        if self.open.is_closed() {
            return Err(Error::Closed);
        }
        if self.open.iterating.swap(true, Ordering::AcqRel) {
            return Err(Error::ConsumerTaken { name: CONSUMER.to_owned() });
        }
        self.open.consumer.lock().rewind();
        let session = BufferSession { open: Arc::clone(&self.open), given: None, unsaved: 0 };
        Ok(StorageIterator::new(Box::new(session), self.open.config.delete_items_on_iteration))
    }

    fn clear(&self) -> Result<(), Error> {
        self.open.buffer.clear().map(|_items| ())
    }

    fn close(&self) -> Result<(), Error> {
        self.open.closed.store(true, Ordering::Release);
        self.open.buffer.close();
        self.open.consumer.lock().save()
    }
}

impl Open {
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// The next batch that is there without waiting, and its number.
    fn next(&self) -> Result<Option<(u64, Batch)>, Error> {
        match self.consumer.lock().next(ONE, Duration::ZERO) {
            Ok(frames) => Ok(frames
                .into_iter()
                .next()
                .map(|frame| (frame.sequence, Batch { payload: frame.payload, items: Some(frame.items) }))),
            Err(Error::Closed) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A reader that finds nothing has the open file finished if it was written to for long enough; and if what comes
    /// next is nowhere else, no sooner than `min_seal_interval` after the last time.
    fn publish(&self) {
        let at_once = self.config.min_file_age_for_read.is_zero();
        let mut finished = self.buffer.seal_if_due();
        // Looking for a batch has asked for the file, too. What was asked for so is done after what was sent, so that it
        // is done when something that is sent later is.
        if at_once && finished.is_ok() && self.consumer.lock().needs_open_file() {
            finished = self.buffer.seal_if_due();
        }
        match finished {
            // A closed buffer has finished it.
            Ok(()) | Err(Error::Closed) => {}
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "buffer file not finished for its reader");
            }
        }
    }
}

/// One pass from the oldest batch that was not removed.
#[derive(Debug)]
struct BufferSession {
    open: Arc<Open>,
    /// The number of the batch that was given last.
    given: Option<u64>,
    /// Removals that are not durable yet.
    unsaved: u32,
}

impl Session for BufferSession {
    fn next(&mut self) -> Result<Option<Batch>, Error> {
        self.given = None;
        if self.open.is_closed() {
            return Ok(None);
        }
        self.open.buffer.drop_expired();
        let found = match self.open.next()? {
            Some(found) => Some(found),
            None => {
                self.open.publish();
                self.open.next()?
            }
        };
        Ok(found.map(|(sequence, batch)| {
            self.given = Some(sequence);
            batch
        }))
    }

    fn remove_given(&mut self) {
        let Some(sequence) = self.given.take() else { return };
        if self.open.is_closed() {
            return;
        }
        self.open.consumer.lock().release_one(sequence);
        self.unsaved += 1;
        if self.unsaved >= REMOVALS_PER_SAVE {
            self.settle();
        }
    }

    fn settle(&mut self) {
        if std::mem::take(&mut self.unsaved) == 0 || self.open.is_closed() {
            return;
        }
        if let Err(error) = self.open.consumer.lock().save() {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "removed batches are not durably removed yet");
        }
    }
}

impl Drop for BufferSession {
    fn drop(&mut self) {
        self.open.iterating.store(false, Ordering::Release);
    }
}
