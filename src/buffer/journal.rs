//! What the writer, the sweeper and the consumers of one buffer have in common.
//!
//! Order of locks: `identity`, then `ledger`, then the queue's own. Callbacks are called holding none of them.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::buffer::clock::Clock;
use crate::buffer::disk::{Disk, DiskFile};
use crate::buffer::folder::{Folder, failed};
use crate::buffer::identity::{self, Identity};
use crate::buffer::ledger::{Ledger, Moment, SealedFile};
use crate::buffer::queue::{Answer, Pending, Queue};
use crate::buffer::recovery;
use crate::buffer::segment::SegmentHeader;
use crate::buffer::stats::{ConsumerStats, Counters, Stats};
use crate::buffer::tail::{Frame, Tail};
use crate::buffer::writer::Writer;
use crate::buffer::{Error, FileStorageConfig, Recovery, Signal};

/// How long a refusal counts as trouble when nobody tries again: whoever asks before sending would otherwise
/// never learn that there is room.
const TROUBLE_MILLIS: u64 = 5_000;

/// How long the sweeper leaves a file alone that could not be deleted.
const SWEEP_RETRY: Duration = Duration::from_secs(1);

/// The state of an open buffer.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) settings: FileStorageConfig,
    pub(super) folder: Folder,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) queue: Queue,
    pub(super) ledger: Mutex<Ledger>,
    /// Something was published, sealed or closed.
    pub(super) news: Condvar,
    /// Something may be deleted, or the buffer was closed.
    pub(super) releases: Condvar,
    /// Who the buffer is, and the file that says so and keeps others out. Held while files are deleted.
    identity: Mutex<(Identity, Box<dyn DiskFile>)>,
    about: SegmentHeader,
}

impl Journal {
    /// Takes the folder. Nothing happens to it until the writer is made to work.
    pub(super) fn open(
        folder: Folder,
        signal: Signal,
        settings: FileStorageConfig,
        clock: Arc<dyn Clock>,
    ) -> Result<(Self, Writer, Recovery), Error> {
        settings.check()?;
        let opened = recovery::open(&folder, signal, &settings)?;
        let next = opened.next_sequence;
        let ledger = Ledger {
            sealed: opened.sealed.into(),
            open: None,
            tail: Tail::new(settings.tail_bytes, next),
            consumers: Vec::new(),
            folder_bytes: opened.folder_bytes,
            deleted_bytes: 0,
            folder_limit: settings.max_folder_size,
            next_sequence: next,
            first_sequence: next,
            published: next,
            closed: false,
            degraded: false,
            trouble: None,
            counters: Counters::default(),
        };
        let about = SegmentHeader {
            signal,
            created_wall_millis: 0,
            base_sequence: 0,
            id: opened.identity.id,
            boot_id: clock.boot_id(),
            created_boot_millis: 0,
        };
        let journal = Self {
            settings,
            folder,
            clock,
            queue: Queue::new(),
            ledger: Mutex::new(ledger),
            news: Condvar::new(),
            releases: Condvar::new(),
            identity: Mutex::new((opened.identity, opened.lock)),
            about,
        };
        Ok((journal, Writer::new(opened.last_name), opened.report))
    }

    pub(super) fn now(&self) -> Moment {
        Moment::now(&*self.clock, self.about.boot_id)
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.folder.disk
    }

    /// The parts of a segment header that are the same for each of this buffer's files.
    pub(super) fn about(&self) -> SegmentHeader {
        self.about
    }

    /// Makes durable frames known. `frames` come in order and follow those published before.
    pub(super) fn publish(&self, frames: Vec<Frame>) {
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return };
        let (first, last) = (first.sequence, last.sequence);
        let mut ledger = self.ledger.lock();
        ledger.open = Some((ledger.open.map_or(first, |(first, _)| first), last));
        ledger.published = last + 1;
        ledger.counters.groups += 1;
        ledger.trouble = None;
        let kept = self.settings.min_file_age_for_read.is_zero();
        for frame in frames {
            ledger.counters.appended_frames += 1;
            ledger.counters.appended_items += u64::from(frame.items);
            ledger.counters.appended_bytes += frame.payload.len() as u64;
            if kept {
                ledger.tail.push(frame);
            }
        }
        if !kept {
            ledger.tail.drop_up_to(last);
        } else if ledger.consumers.iter().all(|consumer| !consumer.attached) {
            ledger.trim_tail();
        }
        self.news.notify_all();
    }

    /// Makes a finished file known; the open file's bytes are accounted for as `reserved` until now.
    pub(super) fn publish_sealed(&self, file: SealedFile, reserved: u64) {
        let mut ledger = self.ledger.lock();
        ledger.open = None;
        ledger.give_back(reserved);
        ledger.folder_bytes += file.bytes;
        ledger.sealed.push_back(file);
        ledger.counters.sealed_files += 1;
        self.news.notify_all();
        self.releases.notify_all();
    }

    /// Counts the reason.
    pub(super) fn refuse(&self, pending: Pending, error: Error) -> Answer {
        let mut ledger = self.ledger.lock();
        let counters = &mut ledger.counters;
        match error {
            Error::Full { .. } => counters.refused_full += 1,
            Error::Busy { .. } => counters.refused_busy += 1,
            Error::TooLarge { .. } => counters.refused_too_large += 1,
            Error::NoSpace { .. } | Error::Degraded { .. } | Error::Io { .. } => {
                counters.refused_by_disk += 1;
            }
            _ => {}
        }
        if !matches!(error, Error::TooLarge { .. } | Error::Closed) {
            ledger.trouble = Some((error.to_string(), self.clock.boot_millis()));
        }
        drop(ledger);
        Answer { pending, outcome: Err(error) }
    }

    /// Deletes the files that every consumer has released; how many.
    pub(super) fn sweep(&self) -> Result<u64, Error> {
        let mut identity = self.identity.lock();
        let (mut bytes, mut deleted, mut outcome) = (0, 0, Ok(()));
        while let Some(file) = self.take_deletable() {
            outcome = self.delete(&mut identity, &file);
            if outcome.is_err() {
                self.ledger.lock().sealed.push_front(file);
                break;
            }
            bytes += file.bytes;
            deleted += 1;
        }
        self.ledger.lock().counters.deleted_files += deleted;
        outcome.and(self.free(bytes)).map(|()| deleted)
    }

    /// Gives back the bytes of deleted files when their names are durably gone: a power cut that brings a file back
    /// must not bring the folder over its limit.
    pub(super) fn free(&self, bytes: u64) -> Result<(), Error> {
        let deleted = std::mem::take(&mut self.ledger.lock().deleted_bytes) + bytes;
        if deleted == 0 {
            return Ok(());
        }
        let synced = self.folder.sync();
        let mut ledger = self.ledger.lock();
        match &synced {
            Ok(()) => ledger.give_back(deleted),
            Err(_) => ledger.deleted_bytes += deleted,
        }
        synced
    }

    /// Takes the next file to delete off the list of those that are read.
    fn take_deletable(&self) -> Option<SealedFile> {
        let mut ledger = self.ledger.lock();
        ledger.deletable()?;
        ledger.sealed.pop_front()
    }

    /// Before the last file goes, `LOCK` must say how far the numbers had come.
    fn delete(
        &self,
        (known, lock): &mut (Identity, Box<dyn DiskFile>),
        file: &SealedFile,
    ) -> Result<(), Error> {
        let floor = file.content.last + 1;
        let last = {
            let ledger = self.ledger.lock();
            ledger.sealed.is_empty() && ledger.open.is_none()
        };
        if last && known.next_sequence < floor {
            let raised = Identity { next_sequence: floor, ..*known };
            let path = self.folder.path.join(identity::FILE_NAME);
            raised.write(&**lock).map_err(failed("write", &path))?;
            *known = raised;
        }
        self.folder.unlink(&self.folder.sealed(file.name))
    }

    /// Waits for something to delete and deletes it, until the buffer is closed and nothing is left to delete.
    pub(super) fn sweep_until_closed(&self) {
        let mut ledger = self.ledger.lock();
        loop {
            if ledger.deletable().is_some() {
                let swept = MutexGuard::unlocked(&mut ledger, || self.sweep_or_warn());
                if swept {
                    continue;
                }
            }
            if ledger.closed {
                return;
            }
            if ledger.deletable().is_some() {
                self.releases.wait_for(&mut ledger, SWEEP_RETRY);
            } else {
                self.releases.wait(&mut ledger);
            }
        }
    }

    /// Whether everything that may be deleted is.
    pub(super) fn sweep_or_warn(&self) -> bool {
        let outcome = self.sweep();
        if let Err(error) = &outcome {
            let error = error as &dyn std::error::Error;
            tracing::warn!(error, "released buffer file not deleted");
        }
        outcome.is_ok()
    }

    pub(super) fn stats(&self) -> Stats {
        let queued_bytes = self.queue.bytes();
        let now = self.clock.boot_millis();
        let ledger = self.ledger.lock();
        let issued = ledger.next_sequence - 1;
        let consumers = ledger.consumers.iter().map(|consumer| ConsumerStats {
            name: consumer.name.clone(),
            waiting: (issued + 1).saturating_sub(consumer.next),
            unreleased: issued.saturating_sub(consumer.released),
        });
        Stats {
            counters: ledger.counters,
            folder_bytes: ledger.folder_bytes,
            folder_limit: ledger.folder_limit,
            files: ledger.sealed.len(),
            tail_frames: ledger.tail.len(),
            tail_bytes: ledger.tail.bytes(),
            queued_bytes,
            last_sequence: issued,
            degraded: ledger.degraded,
            trouble: ledger
                .trouble
                .as_ref()
                .filter(|(_, at)| ledger.degraded || at + TROUBLE_MILLIS > now)
                .map(|(why, _)| why.clone()),
            consumers: consumers.collect(),
        }
    }

    /// From here on nothing is written until the next start.
    pub(super) fn degrade(&self, why: &str) {
        let mut ledger = self.ledger.lock();
        ledger.degraded = true;
        ledger.trouble = Some((why.to_owned(), self.clock.boot_millis()));
    }

    /// Nothing will be published any more.
    pub(super) fn close(&self) {
        self.ledger.lock().closed = true;
        self.news.notify_all();
        self.releases.notify_all();
    }
}
