//! What every storage of one signal can do, whatever its layout: write a batch, go through the batches, forget them.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use crate::buffer::Error;

/// Longer than anyone waits, and short enough to be added to a clock.
pub(super) const FOREVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The bytes of one `Export…ServiceRequest`, as they were written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// The message.
    pub payload: Bytes,
    /// Spans, log records or data points in it, where the layout keeps their count.
    pub items: Option<u32>,
}

/// One signal's batches in a folder of their own.
///
/// Source: OpenTelemetry Java contrib, disk-buffering, `SignalStorage`. What is kept is the order (the order of
/// writing, file by file), the names and the two modes of [`StorageIterator`]. What differs is that nothing that was
/// not removed is ever lost by removing something else, or by looking at it twice.
pub trait SignalStorage: Send + Sync + fmt::Debug {
    /// Writes one batch of so many items and waits until it is as safe as the storage promises. A batch of no bytes is
    /// nothing to write, and succeeds.
    ///
    /// # Errors
    ///
    /// Those of [`SignalStorage::write_within`], except for the time.
    fn write(&self, batch: Bytes, items: u32) -> Result<(), Error> {
        self.write_within(batch, items, Duration::MAX)
    }

    /// The same, but waits no longer than `patience`.
    ///
    /// # Errors
    ///
    /// [`Error::TimedOut`]: the batch may become safe later. [`Error::Closed`], [`Error::TooLarge`] without anything
    /// having been done. Whatever else keeps it from being written: [`Error::Full`], [`Error::NoSpace`],
    /// [`Error::Degraded`], [`Error::Busy`], [`Error::Io`].
    fn write_within(&self, batch: Bytes, items: u32, patience: Duration) -> Result<(), Error>;

    /// Begins to go through the batches, oldest first. Whatever no iterator has removed comes again.
    ///
    /// # Errors
    ///
    /// [`Error::ConsumerTaken`] while another iterator lives; [`Error::Closed`].
    fn iter(&self) -> Result<StorageIterator, Error>;

    /// Forgets every batch. An iterator that lives goes on with what is written afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]. A closed storage can be cleared too.
    fn clear(&self) -> Result<(), Error>;

    /// Finishes the file that is being written. Afterwards nothing goes in and nothing comes out; what was not removed
    /// stays. May be called again: what has failed is tried again then.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: what was written before is as safe as it was, but what was removed may come again.
    fn close(&self) -> Result<(), Error>;
}

/// What a layout has to do for a [`StorageIterator`].
pub(super) trait Session: Send + fmt::Debug {
    /// The next batch that was not removed; none if there is none now.
    fn next(&mut self) -> Result<Option<Batch>, Error>;
    /// Removes the batch that was given last, and no other. Nothing to do where it is gone already.
    fn remove_given(&mut self);
    /// Makes removals durable: there are no more batches now, or the iterator is dropped.
    fn settle(&mut self);
}

/// Goes through the batches of a storage, once, oldest first.
///
/// With `delete_items_on_iteration`, asking for the next batch removes the one before it; dropping the iterator does
/// not, and that batch comes again. Without it nothing is removed but by [`StorageIterator::remove`]. Removals are
/// durable when the iterator has given `None` or is dropped, or when the storage is closed: after a crash before that,
/// removed batches may come again.
#[derive(Debug)]
pub struct StorageIterator {
    session: Box<dyn Session>,
    deletes: bool,
    /// A batch was given and is still there.
    holds: bool,
    failed: bool,
}

impl StorageIterator {
    pub(super) fn new(session: Box<dyn Session>, deletes: bool) -> Self {
        Self { session, deletes, holds: false, failed: false }
    }

    /// The next batch; `None` when there is none now, and after an error. What could not be read is tried again by the
    /// next iterator.
    pub fn next_batch(&mut self) -> Option<Result<Batch, Error>> {
        if std::mem::take(&mut self.holds) && self.deletes {
            self.session.remove_given();
        }
        if self.failed {
            return None;
        }
        match self.session.next() {
            Ok(Some(batch)) => {
                self.holds = true;
                Some(Ok(batch))
            }
            Ok(None) => {
                self.session.settle();
                None
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }

    /// Removes the batch that was given last, and no other.
    ///
    /// # Errors
    ///
    /// [`Error::NothingToRemove`] before the first batch, and when it was removed already.
    pub fn remove(&mut self) -> Result<(), Error> {
        if !std::mem::take(&mut self.holds) {
            return Err(Error::NothingToRemove);
        }
        self.session.remove_given();
        Ok(())
    }
}

impl Iterator for StorageIterator {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        self.next_batch()
    }
}

impl Drop for StorageIterator {
    fn drop(&mut self) {
        self.session.settle();
    }
}
