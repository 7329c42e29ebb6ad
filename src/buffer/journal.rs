//! What the writer, the sweeper and the consumers of one buffer have in common.
//!
//! Order of locks: `attaching`, then `identity`, then a cursor's, then `ledger`, then the queue's own. Callbacks are called holding none of
//! them.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::buffer::clock::Clock;
use crate::buffer::consumer::StartAt;
use crate::buffer::cursor::{self, Cursor};
use crate::buffer::disk::{Disk, DiskFile, is_no_space};
use crate::buffer::folder::{Folder, Name, failed};
use crate::buffer::frame::Header;
use crate::buffer::identity::{self, Identity};
use crate::buffer::ledger::{Age, Ledger, Moment, Place, SealedFile};
use crate::buffer::owed::Owed;
use crate::buffer::queue::{Answer, Ending, Errand, Pending, Queue};
use crate::buffer::recovery;
use crate::buffer::registration::Loss;
use crate::buffer::reserve::Reserve;
use crate::buffer::segment::{SegmentHeader, SegmentReader, Step};
use crate::buffer::stats::{Amount, ConsumerStats, Counters, Stats};
use crate::buffer::tail::{Frame, Tail};
use crate::buffer::writer::Writer;
use crate::buffer::{Error, FileStorageConfig, Recovery, Signal};

/// How long a refusal counts as trouble when nobody tries again: whoever asks before sending would otherwise
/// never learn that there is room.
const TROUBLE_MILLIS: u64 = 5_000;

/// When to try again after [`Error::Full`]: consumers need a moment to release something.
pub(super) const FULL_RETRY: Duration = Duration::from_secs(5);

/// How often whoever waits for room looks for it.
const ROOM_RETRY: Duration = Duration::from_millis(20);

/// Files that are deleted before the folder is synced and their bytes are free.
const FILES_PER_SYNC: u64 = 16;

/// How long the sweeper leaves a file alone that could not be deleted.
const SWEEP_RETRY: Duration = Duration::from_secs(1);

/// What ages are told in.
const MILLISECOND: Duration = Duration::from_millis(1);

/// The state of an open buffer.
#[derive(Debug)]
pub(super) struct Journal {
    pub(super) settings: FileStorageConfig,
    pub(super) folder: Folder,
    pub(super) clock: Arc<dyn Clock>,
    /// When the folder was opened.
    opened: Moment,
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
    identity: Mutex<(Identity, Box<dyn DiskFile>)>,
    about: SegmentHeader,
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

    /// Tells the consumers whose positions are in the folder what there is for them.
    fn find_shares(&self) -> Result<(), Error> {
        let mut ledger = self.ledger.lock();
        for place in ledger.consumers.keys().copied().collect::<Vec<_>>() {
            let owed = ledger.at(place).owed.clone();
            let shares = ledger.shares(&owed, |file| self.owed_of(file, &owed))?;
            ledger.at(place).find(shares);
        }
        Ok(())
    }

    /// How much of a finished file is owed. Of one that cannot be read now all of it: reading will tell.
    pub(super) fn owed_of(&self, file: &SealedFile, owed: &Owed) -> Result<Amount, Error> {
        let mut amount = Amount::default();
        let read = self.each_header(file, |header| {
            if owed.contains(header.sequence) {
                let (items, bytes) = (u64::from(header.items), header.frame_bytes());
                amount += Amount { frames: 1, items, bytes };
            }
            true
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                Err(failed("read", &self.folder.sealed(file.name))(error))
            }
            Err(_) => Ok(file.amount()),
            Ok(()) => Ok(amount),
        }
    }

    /// Shows the headers of a finished file's frames, until told to stop.
    pub(super) fn each_header(
        &self,
        file: &SealedFile,
        mut more: impl FnMut(&Header) -> bool,
    ) -> io::Result<()> {
        let mut reader = self.reader(file)?;
        loop {
            match reader.step()? {
                Step::Data(header) if !more(&header) => return Ok(()),
                Step::End => return Ok(()),
                _ => {}
            }
        }
    }

    /// The sequence that a new consumer begins with.
    pub(super) fn sequence_at(&self, start: StartAt) -> Result<u64, Error> {
        let since = match start {
            StartAt::Oldest => return Ok(self.ledger.lock().oldest()),
            StartAt::Latest => return Ok(self.ledger.lock().published),
            StartAt::Since(time) => time,
        };
        // What is in the open file can be told apart only when it is finished.
        match self.seal() {
            Err(Error::Closed) | Ok(()) => {}
            Err(error) => return Err(error),
        }
        let files: Vec<SealedFile> = self.ledger.lock().sealed.iter().copied().collect();
        for file in files.iter().filter(|file| file.content.max_accepted >= since) {
            let mut found = None;
            let read = self.each_header(file, |header| {
                found = (header.accepted >= since).then_some(header.sequence);
                found.is_none()
            });
            read.map_err(failed("read", &self.folder.sealed(file.name)))?;
            if let Some(sequence) = found {
                return Ok(sequence);
            }
        }
        Ok(self.ledger.lock().published)
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
    fn note(&self, error: &Error) {
        if let Error::Io { source, .. } = error {
            self.note_failure(source);
        }
    }

    /// Drops what is too old, and deletes the files that nobody needs any more; how many.
    pub(super) fn sweep(&self) -> Result<u64, Error> {
        self.expire();
        self.delete_while(|ledger| ledger.deletable().and_then(|at| ledger.sealed.remove(at)))
    }

    /// Deletes the files that are taken off the list of those that are read.
    fn delete_while(&self, mut take: impl FnMut(&mut Ledger) -> Option<SealedFile>) -> Result<u64, Error> {
        let mut identity = self.identity.lock();
        let (mut bytes, mut deleted, mut outcome) = (0, 0, Ok(()));
        while let Some(file) = { take(&mut self.ledger.lock()) } {
            outcome = self.delete(&mut identity, &file);
            if outcome.is_err() {
                self.ledger.lock().put_back(file);
                break;
            }
            bytes += file.bytes;
            deleted += 1;
            // Who waits for room need not wait for all of them.
            if deleted % FILES_PER_SYNC == 0 {
                outcome = self.free(std::mem::take(&mut bytes));
                if outcome.is_err() {
                    break;
                }
            }
        }
        self.ledger.lock().counters.deleted_files += deleted;
        outcome.and(self.free(bytes)).map(|()| deleted)
    }

    /// Drops files that are too old, for the consumers that may lose them.
    fn expire(&self) {
        let limit = self.settings.max_file_age_for_read;
        let mut ledger = self.ledger.lock();
        let old = |file: &SealedFile| self.age(&file.created).at_least > limit;
        let files: Vec<SealedFile> = ledger.expiring().filter(old).collect();
        for file in &files {
            ledger.drop_file(file, Loss::Expired, false);
            ledger.counters.dropped_files += 1;
        }
        drop(ledger);
        if !files.is_empty() {
            self.save_dropped();
        }
    }

    /// How long until a file may have to be dropped for its age.
    fn until_expiry(&self, ledger: &Ledger) -> Option<Duration> {
        let limit = self.settings.max_file_age_for_read;
        let oldest = ledger.expiring().map(|file| self.age(&file.created).at_least).max()?;
        // Ages are told in milliseconds, and only what is past the limit is dropped.
        Some(limit.saturating_add(MILLISECOND).saturating_sub(oldest))
    }

    /// Takes the oldest finished file away from the consumers that may lose it, or from `all`; whether one went.
    pub(super) fn evict(&self, all: bool) -> bool {
        let Some(file) = ({
            let mut ledger = self.ledger.lock();
            let file = ledger.evictable(all);
            if let Some(file) = &file {
                ledger.drop_file(file, Loss::Evicted, all);
                ledger.counters.dropped_files += 1;
            }
            file
        }) else {
            return false;
        };
        self.save_dropped();
        self.delete_listed(|listed| listed.name == file.name).is_ok()
    }

    /// Deletes these files, whoever may have needed them.
    fn delete_listed(&self, which: impl Fn(&SealedFile) -> bool) -> Result<u64, Error> {
        self.delete_while(|ledger| {
            let at = ledger.sealed.iter().position(&which)?;
            ledger.sealed.remove(at)
        })
    }

    /// The same when the buffer is being closed: what the committer still writes goes too.
    pub(super) fn clear_closed(&self) -> Result<u64, Error> {
        let mut ledger = self.ledger.lock();
        while !ledger.closed {
            self.news.wait(&mut ledger);
        }
        drop(ledger);
        self.clear()
    }

    /// Drops everything that is in finished files, for every consumer; the items in them.
    pub(super) fn clear(&self) -> Result<u64, Error> {
        let (end, items) = {
            let mut ledger = self.ledger.lock();
            let files: Vec<SealedFile> = ledger.sealed.iter().copied().collect();
            for file in &files {
                ledger.drop_file(file, Loss::Cleared, true);
                ledger.counters.dropped_files += 1;
            }
            (
                files.last().map_or(0, |file| file.content.last + 1),
                files.iter().map(|file| file.content.items).sum(),
            )
        };
        self.save_dropped();
        self.delete_listed(|file| file.content.last < end)?;
        self.news.notify_all();
        Ok(items)
    }

    /// Makes durable what consumers have lost. Where that fails, a crash makes them look for files that are gone.
    fn save_dropped(&self) {
        let places: Vec<Place> = self.ledger.lock().consumers.keys().copied().collect();
        for place in places {
            if let Err(error) = self.save(place) {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "position of a buffer's consumer not saved");
            }
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

    /// Drops what is too old now, not when the sweeper comes to it.
    pub(super) fn drop_expired(&self) {
        let due = self.until_expiry(&self.ledger.lock());
        if due.is_some_and(|rest| rest.is_zero()) {
            self.sweep_or_warn();
        }
    }

    /// Lays down the position of a new consumer.
    pub(super) fn create_cursor(&self, name: &str, owed: &Owed) -> Result<Cursor, Error> {
        let path = self.folder.cursor(name);
        {
            let mut ledger = self.ledger.lock();
            if !ledger.reserve(cursor::BYTES as u64) {
                let (used, limit) = (ledger.folder_bytes, ledger.folder_limit);
                return Err(Error::Full { used, limit, retry_after: FULL_RETRY });
            }
        }
        let file = match self.disk().create_new(&path) {
            Ok(file) => file,
            Err(error) => {
                self.ledger.lock().give_back(cursor::BYTES as u64);
                self.note_failure(&error);
                return Err(failed("create", &path)(error));
            }
        };
        let cursor = Cursor::new(path, file);
        let laid = cursor.lay_down(&mut cursor.lock(), &self.about.id, owed);
        match laid.and_then(|()| self.folder.sync()) {
            Ok(()) => Ok(cursor),
            Err(error) => {
                self.note(&error);
                self.remove_cursor(name);
                Err(error)
            }
        }
    }

    /// Takes back the file of a consumer that could not be attached after all.
    pub(super) fn remove_cursor(&self, name: &str) {
        let gone = self.folder.unlink(&self.folder.cursor(name));
        if let Err(error) = gone.and_then(|()| self.free(cursor::BYTES as u64)) {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "file of a consumer's position not deleted");
        }
    }

    /// Forgets a consumer and its file.
    pub(super) fn forget(&self, name: &str) -> Result<(), Error> {
        let _one_at_a_time = self.attaching.lock();
        let Some(place) = self.ledger.lock().find(name)? else { return Ok(()) };
        let has_cursor = self.ledger.lock().at(place).cursor.is_some();
        if has_cursor {
            self.folder.unlink(&self.folder.cursor(name))?;
        }
        self.ledger.lock().consumers.remove(&place);
        let freed = if has_cursor { self.free(cursor::BYTES as u64) } else { Ok(()) };
        self.offer_to_sweeper();
        freed
    }

    /// Makes a consumer's position durable, if it has moved.
    pub(super) fn save(&self, place: Place) -> Result<(), Error> {
        let known = self.ledger.lock().consumers.get(&place).and_then(|consumer| consumer.cursor.clone());
        let Some(cursor) = known else { return Ok(()) };
        let mut slots = cursor.lock();
        let owed = {
            let ledger = self.ledger.lock();
            let Some(consumer) = ledger.consumers.get(&place) else { return Ok(()) };
            // What the file cannot tell apart is held as well, or it would be missed after a crash.
            let owed = consumer.owed.widened(cursor::MAX_RANGES);
            if owed == consumer.holds {
                return Ok(());
            }
            owed
        };
        cursor.write(&mut slots, &self.about.id, &owed).inspect_err(|error| self.note(error))?;
        let mut ledger = self.ledger.lock();
        ledger.counters.saved_positions += 1;
        if let Some(consumer) = ledger.consumers.get_mut(&place) {
            consumer.holds = owed;
        }
        Ok(())
    }

    /// Waits until it is worth looking for room again; not after `deadline`, nor while the buffer is being closed.
    pub(super) fn wait_for_release(&self, deadline: Option<Instant>) -> bool {
        let mut ledger = self.ledger.lock();
        let rest = deadline.map_or(ROOM_RETRY, |deadline| deadline.saturating_duration_since(Instant::now()));
        if self.queue.is_ending() || rest.is_zero() {
            return false;
        }
        // Not until a release only: one may just have come, and what is released may fail to be deleted.
        self.releases.wait_for(&mut ledger, rest.min(ROOM_RETRY));
        true
    }

    /// Has the sweeper look, or does its work when it has ended.
    pub(super) fn offer_to_sweeper(&self) {
        let ledger = self.ledger.lock();
        if ledger.deletable().is_none() {
            return;
        }
        let sweeper_has_ended = ledger.closed;
        drop(ledger);
        if sweeper_has_ended {
            self.sweep_or_warn();
        } else {
            self.releases.notify_all();
        }
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

    /// Before the last file goes, `LOCK` must say how far the numbers had come.
    fn delete(
        &self,
        (known, lock): &mut (Identity, Box<dyn DiskFile>),
        file: &SealedFile,
    ) -> Result<(), Error> {
        // Files go in any order: the last one to go need not hold the last numbers.
        let (last, floor) = {
            let ledger = self.ledger.lock();
            (ledger.sealed.is_empty() && ledger.open.is_none(), ledger.published)
        };
        if last && known.next_sequence < floor {
            let raised = Identity { next_sequence: floor, ..*known };
            let path = self.folder.path.join(identity::FILE_NAME);
            raised.write(&**lock).map_err(failed("write", &path)).inspect_err(|error| self.note(error))?;
            *known = raised;
        }
        self.folder.unlink(&self.folder.sealed(file.name))
    }

    /// Waits for something to delete and deletes it, until the buffer is closed and nothing is left to delete.
    pub(super) fn sweep_until_closed(&self) {
        let mut ledger = self.ledger.lock();
        loop {
            // Not after what follows was looked at: it may change while the lock is given up, and nobody says so twice.
            let has_space = MutexGuard::unlocked(&mut ledger, || self.has_space());
            let expiry = self.until_expiry(&ledger);
            if ledger.deletable().is_some() || expiry.is_some_and(|rest| rest.is_zero()) {
                let swept = MutexGuard::unlocked(&mut ledger, || self.sweep_or_warn());
                if swept {
                    continue;
                }
            }
            if ledger.closed {
                return;
            }
            let again = (!has_space || ledger.deletable().is_some()).then_some(SWEEP_RETRY);
            match again.into_iter().chain(expiry).min() {
                Some(rest) => drop(self.releases.wait_for(&mut ledger, rest)),
                None => self.releases.wait(&mut ledger),
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
