//! What the writer, the sweeper and the consumers of one buffer have in common.
//!
//! Order of locks: `attaching`, then `identity`, then a cursor's, then `ledger`, then the queue's own. Callbacks are
//! called holding none of them.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use crate::buffer::clock::Clock;
use crate::buffer::disk::{Disk, DiskFile, is_no_space};
use crate::buffer::folder::{Folder, Name};
use crate::buffer::identity::Identity;
use crate::buffer::ledger::{Age, Ledger, Moment, SealedFile};
use crate::buffer::queue::{Answer, Ending, Errand, Pending, Queue};
use crate::buffer::recovery;
use crate::buffer::reserve::Reserve;
use crate::buffer::segment::{SegmentHeader, SegmentReader};
use crate::buffer::stats::{ConsumerStats, Counters, Stats};
use crate::buffer::tail::{Frame, Tail};
use crate::buffer::writer::Writer;
use crate::buffer::{Error, FileStorageConfig, Recovery, Signal};

/// How long a refusal counts as trouble when nobody tries again: whoever asks before sending would otherwise
/// never learn that there is room.
const TROUBLE_MILLIS: u64 = 5_000;

/// When to try again after [`Error::Full`]: consumers need a moment to release something.
pub(super) const FULL_RETRY: Duration = Duration::from_secs(5);

/// The state of an open buffer.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) settings: FileStorageConfig,
    pub(super) folder: Folder,
    pub(super) clock: Arc<dyn Clock>,
    /// When the folder was opened.
    pub(super) opened: Moment,
    /// Space that is set aside for getting out of a full disk, where the environment has some.
    pub(super) reserve: Option<Arc<Reserve>>,
    pub(super) queue: Queue,
    pub(super) ledger: Mutex<Ledger>,
    /// Something was published, sealed or closed.
    pub(super) news: Condvar,
    /// Something may be deleted, or the buffer was closed.
    pub(super) releases: Condvar,
    /// Held while a consumer is attached or forgotten.
    pub(super) attaching: Mutex<()>,
    /// Who the buffer is, and the file that says so and keeps others out. Held while files are deleted.
    pub(super) identity: Mutex<(Identity, Box<dyn DiskFile>)>,
    pub(super) about: SegmentHeader,
    /// What opening the folder found.
    recovery: Recovery,
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
            next_place: opened.consumers.len(),
            consumers: opened.consumers.into_iter().enumerate().collect(),
            settled: false,
            folder_bytes: opened.folder_bytes,
            deleted_bytes: 0,
            folder_limit: settings.max_folder_size,
            next_sequence: next,
            first_sequence: next,
            published: next,
            closed: false,
            degraded: false,
            trouble: None,
            half_full: false,
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
        let opened_at = Moment::now(&*clock, about.boot_id);
        let journal = Self {
            queue: Queue::new(settings.durability),
            settings,
            folder,
            clock,
            opened: opened_at,
            reserve: None,
            ledger: Mutex::new(ledger),
            news: Condvar::new(),
            releases: Condvar::new(),
            attaching: Mutex::new(()),
            identity: Mutex::new((opened.identity, opened.lock)),
            about,
            recovery: opened.report,
        };
        journal.find_shares()?;
        Ok((journal, Writer::new(opened.last_name), opened.report))
    }

    /// A finished file, from its start.
    pub(super) fn reader(&self, file: &SealedFile) -> io::Result<SegmentReader> {
        let path = self.folder.sealed(file.name);
        let reader = SegmentReader::open(self.disk(), &path, self.about.id, file.sound_end)?;
        Ok(reader.within(file.base..file.content.last + 1))
    }

    pub(super) fn now(&self) -> Moment {
        Moment::now(&*self.clock, self.about.boot_id)
    }

    /// How old something is now.
    pub(super) fn age(&self, created: &Moment) -> Age {
        created.age(&self.opened, &self.now())
    }

    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.folder.disk
    }

    /// The parts of a segment header that are the same for each of this buffer's files.
    pub(super) fn about(&self) -> SegmentHeader {
        self.about
    }

    /// Makes durable frames of a file known. `frames` come in order and follow those published before.
    pub(super) fn publish(&self, file: Name, frames: Vec<Frame>) {
        let Some(last) = frames.last().map(|frame| frame.sequence) else { return };
        let mut ledger = self.ledger.lock();
        ledger.count_published(file, &frames);
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
        } else if ledger.consumers.values().all(|consumer| !consumer.attached) {
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
        if let Some(lagging) = ledger.newly_lagging() {
            let ConsumerStats { name: consumer, pending, .. } = &lagging;
            let folder = self.folder.path.display();
            tracing::warn!(%folder, consumer, pending.items, pending.bytes, "the buffer is half full: a consumer is behind");
        }
        self.news.notify_all();
        self.releases.notify_all();
    }

    /// Counts the reason.
    pub(super) fn refuse(&self, pending: Pending, error: Error) -> Answer {
        let mut ledger = self.ledger.lock();
        let counters = &mut ledger.counters;
        let amount = pending.amount();
        match error {
            Error::Full { .. } => counters.refused_full += amount,
            Error::Busy { .. } => counters.refused_busy += amount,
            Error::TooLarge { .. } => counters.refused_too_large += amount,
            Error::NoSpace { .. } | Error::Degraded { .. } | Error::Io { .. } => {
                counters.refused_by_disk += amount;
            }
            _ => {}
        }
        if !matches!(error, Error::TooLarge { .. } | Error::Closed) {
            ledger.trouble = Some((error.to_string(), self.clock.boot_millis()));
        }
        drop(ledger);
        Answer { pending, outcome: Err(error) }
    }

    /// Whether the disk has space as far as is known: while the reserve does not stand, it has none for appends.
    pub(super) fn has_space(&self) -> bool {
        let standing = |reserve: &Reserve| reserve.stands() || reserve.restore(self.clock.boot_millis());
        self.reserve.as_deref().is_none_or(standing)
    }

    /// Gives the reserve up if an operation failed for lack of space; whether it did.
    pub(super) fn note_failure(&self, error: &io::Error) -> bool {
        let no_space = is_no_space(error);
        if let (true, Some(reserve)) = (no_space, &self.reserve) {
            reserve.release_at(self.clock.boot_millis());
        }
        no_space
    }

    /// The same, for an operation on a file that is named.
    pub(super) fn note(&self, error: &Error) {
        if let Error::Io { source, .. } = error {
            self.note_failure(source);
        }
    }

    /// Has the committer do something and waits for what comes of it.
    pub(super) fn ask<T>(
        &self,
        errand: impl FnOnce(SyncSender<Result<T, Error>>) -> Errand,
    ) -> Result<T, Error> {
        let (told, answer) = sync_channel(1);
        self.queue.send(errand(told))?;
        answer.recv().unwrap_or(Err(Error::Closed))
    }

    /// Finishes the open file.
    pub(super) fn seal(&self) -> Result<(), Error> {
        self.ask(Errand::Seal)
    }

    /// Finishes the open file if it has been written to for long enough, for a reader that found nothing.
    pub(super) fn seal_if_due(&self) -> Result<(), Error> {
        self.ask(Errand::SealIfDue)
    }

    pub(super) fn stats(&self) -> Stats {
        let queued_bytes = self.queue.bytes();
        let now = self.clock.boot_millis();
        let ledger = self.ledger.lock();
        let issued = ledger.next_sequence - 1;
        Stats {
            counters: ledger.counters,
            recovery: self.recovery,
            folder_bytes: ledger.folder_bytes,
            folder_limit: ledger.folder_limit,
            files: ledger.sealed.len(),
            tail_frames: ledger.tail.len(),
            tail_bytes: ledger.tail.bytes(),
            queued_bytes,
            last_sequence: issued,
            degraded: ledger.degraded,
            reserve_stands: self.reserve.as_ref().map(|reserve| reserve.stands()),
            trouble: ledger
                .trouble
                .as_ref()
                .filter(|(_, at)| ledger.degraded || at + TROUBLE_MILLIS > now)
                .map(|(why, _)| why.clone()),
            consumers: ledger.consumer_stats(),
        }
    }

    /// From here on nothing is written until the next start.
    pub(super) fn degrade(&self, why: &str) {
        let mut ledger = self.ledger.lock();
        ledger.degraded = true;
        ledger.trouble = Some((why.to_owned(), self.clock.boot_millis()));
    }

    /// Has the committer end, even while it waits for room.
    pub(super) fn end(&self, ending: Ending) {
        self.queue.end(ending);
        // Whoever has looked before this is waiting once the lock is had.
        drop(self.ledger.lock());
        self.releases.notify_all();
    }

    /// Nothing will be published any more.
    pub(super) fn close(&self) {
        self.ledger.lock().closed = true;
        self.news.notify_all();
        self.releases.notify_all();
    }
}
