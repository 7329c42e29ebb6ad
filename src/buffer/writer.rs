//! Writes groups of frames to the open file, seals it, and stands by what is durable when the disk fails.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use crate::buffer::Error;
use crate::buffer::config::{Durability, WhenFull};
use crate::buffer::disk::{DiskFile, write_all_at};
use crate::buffer::folder::{Name, failed};
use crate::buffer::frame::{CODEC_RAW, FOOTER_BYTES, Footer, Header, Kind};
use crate::buffer::gathering::Gathering;
use crate::buffer::journal::{FULL_RETRY, Journal};
use crate::buffer::ledger::{Moment, SealedFile};
use crate::buffer::queue::{Answer, Pending};
use crate::buffer::segment::{self, OVERHEAD_BYTES, SegmentHeader};
use crate::buffer::tail::Frame;

/// When to try again after [`Error::NoSpace`]: others need a moment to make space.
const NO_SPACE_RETRY: Duration = Duration::from_secs(5);
/// Bytes that a new file takes beside its frames.
const NEW_FILE_BYTES: u64 = OVERHEAD_BYTES as u64;

/// The file that is being written.
#[derive(Debug)]
struct OpenFile {
    file: Box<dyn DiskFile>,
    name: Name,
    base: u64,
    created: Moment,
    /// Where the last frame ends that is durable, or that was answered before it is; zero before the first.
    end: u64,
    content: Footer,
    /// Bytes set aside for it in the folder.
    reserved: u64,
    /// A power cut takes its name and all that is in it.
    nameless: bool,
    /// Time since boot by which what was answered before it is durable must be.
    sync_by_millis: Option<u64>,
    /// A sync of it has failed, or what a failed write left could not be cut off: nothing may follow.
    poisoned: bool,
    /// A sync of it has failed: another one would prove nothing.
    unsure: bool,
}

/// Frames that go to one file with one write and one sync.
#[derive(Debug, Default)]
struct Run {
    pending: Vec<Pending>,
    /// Bytes of their frames.
    bytes: u64,
    /// Bytes set aside for them, and for a new file where there is none.
    reserved: u64,
}

/// Why a run may not be answered.
enum Failure {
    /// It is not in the file as far as anyone can tell; the next one may work again.
    Refused(io::Error),
    /// It is in the file, but a sync has failed: no one can tell what the disk kept.
    Unsure(io::Error),
}

/// Owned by the committer alone.
#[derive(Debug)]
pub(super) struct Writer {
    open: Option<OpenFile>,
    last_name: Name,
    /// The frames of a run.
    gathering: Gathering,
    headers: Vec<Header>,
    answers: Vec<Answer>,
    /// Making room was tried for the group at hand, in vain.
    no_room: bool,
    seal_demanded: bool,
    /// Time since boot before which no file is sealed early, or again after a failure.
    next_seal_millis: u64,
}

impl Writer {
    pub(super) fn new(last_name: Name) -> Self {
        Self {
            open: None,
            last_name,
            gathering: Gathering::default(),
            headers: Vec::new(),
            answers: Vec::new(),
            no_room: false,
            seal_demanded: false,
            next_seal_millis: 0,
        }
    }

    /// Makes a group durable, file by file; what each of its appends is to be told.
    pub(super) fn append(&mut self, journal: &Journal, group: Vec<Pending>) -> Vec<Answer> {
        self.answers.reserve(group.len());
        self.no_room = false;
        self.append_all(journal, group);
        std::mem::take(&mut self.answers)
    }

    fn append_all(&mut self, journal: &Journal, group: Vec<Pending>) {
        let mut rest = VecDeque::from(group);
        while !rest.is_empty() {
            if journal.ledger.lock().degraded {
                return self.refuse_all(journal, rest, &degraded(journal));
            }
            if !journal.has_space() {
                return self.refuse_all(journal, rest, &no_space(journal));
            }
            let run = self.next_run(journal, &mut rest);
            if !run.pending.is_empty() {
                self.append_run(journal, run);
            } else if !rest.is_empty()
                && let Err(error) = self.seal(journal)
            {
                return self.refuse_all(journal, rest, &error);
            }
        }
    }

    /// The appends that fit into the open file, or into a new one. Empty if the open file must be sealed first.
    fn next_run(&mut self, journal: &Journal, rest: &mut VecDeque<Pending>) -> Run {
        let mut run = Run::default();
        while let Some(bytes) = rest.front().map(Pending::frame_bytes) {
            if !self.fits(journal, run.bytes + bytes) {
                break;
            }
            let begins_file = self.open.is_none() && run.pending.is_empty();
            let reserved = bytes + if begins_file { NEW_FILE_BYTES } else { 0 };
            if journal.ledger.lock().reserve(reserved) {
                run.bytes += bytes;
                run.reserved += reserved;
                run.pending.extend(rest.pop_front());
            } else if !run.pending.is_empty() {
                // The folder is full. What still went in is written first.
                break;
            } else if self.no_room || !self.make_room(journal, reserved) {
                // Trying for each frame of a group would be a sync for each.
                self.no_room = true;
                let refused = rest.pop_front().map(|pending| journal.refuse(pending, full(journal)));
                self.answers.extend(refused);
            }
        }
        run
    }

    fn fits(&self, journal: &Journal, bytes: u64) -> bool {
        let start = match &self.open {
            Some(open) if open.poisoned => return false,
            Some(open) => open.end,
            None => segment::HEADER_BYTES as u64,
        };
        start + bytes + FOOTER_BYTES as u64 <= journal.settings.max_file_size
    }

    /// Deletes what is released, the open file included, or what `when_full` allows; whether that changed anything.
    /// Where it says so, waits for consumers to release something.
    fn make_room(&mut self, journal: &Journal, bytes: u64) -> bool {
        if self.find_room(journal, bytes) {
            return true;
        }
        let WhenFull::Block(longest) = journal.settings.when_full else { return false };
        // Nobody may be waiting for what is in the open file while this waits for them.
        if let Err(error) = self.seal(journal) {
            tracing::warn!(error = &error as &dyn std::error::Error, "buffer file not sealed");
        }
        let deadline = Instant::now().checked_add(longest);
        while journal.wait_for_release(deadline) {
            if self.find_room(journal, bytes) {
                return true;
            }
        }
        false
    }

    fn find_room(&mut self, journal: &Journal, bytes: u64) -> bool {
        let released = journal.ledger.lock().open_is_released();
        let sealed = released && self.seal(journal).is_ok();
        let before = journal.ledger.lock().folder_bytes;
        let swept = journal.sweep().is_ok() && journal.ledger.lock().folder_bytes < before;
        // The sweeper may have made room since it was missed.
        swept || sealed || journal.ledger.lock().has_room(bytes) || self.evict(journal)
    }

    /// Takes the oldest file away from consumers, the open one if there is no other.
    fn evict(&mut self, journal: &Journal) -> bool {
        let all = match journal.settings.when_full {
            WhenFull::DropOldest => true,
            WhenFull::DropForwardBacklog => false,
            WhenFull::Reject | WhenFull::Block(_) => return false,
        };
        let (sealed, open) = {
            let ledger = journal.ledger.lock();
            (ledger.evictable(all).is_some(), ledger.open_is_evictable(all))
        };
        let ready = sealed || (open && self.seal(journal).is_ok());
        ready && journal.evict(all)
    }

    /// Drops everything that is in the buffer, for every consumer; the items in it.
    pub(super) fn clear(&mut self, journal: &Journal) -> Result<u64, Error> {
        self.seal(journal)?;
        journal.clear()
    }

    fn append_run(&mut self, journal: &Journal, run: Run) {
        let first = journal.ledger.lock().number(run.pending.len());
        self.encode(journal, &run, first);
        let outcome = match self.write_run(journal, run.reserved) {
            Ok(()) => Ok(()),
            Err(Failure::Refused(error)) => Err(refusal(journal, error)),
            Err(Failure::Unsure(error)) => self.write_again(journal, &run, &error),
        };
        self.gathering.clear();
        match outcome {
            Ok(()) => self.publish(journal, run, first),
            Err(error) => self.refuse_all(journal, run.pending, &error),
        }
    }

    /// Shows written frames to consumers, and only then has those told who wait for them.
    fn publish(&mut self, journal: &Journal, mut run: Run, first: u64) {
        let frames = (first..).zip(&mut run.pending).map(|(sequence, pending)| Frame {
            sequence,
            accepted: pending.accepted,
            items: pending.items,
            payload: std::mem::take(&mut pending.payload),
        });
        let file = self.open.as_ref().expect("what was written is in the open file").name;
        journal.publish(file, frames.collect());
        let answers = (first..).zip(run.pending);
        self.answers.extend(answers.map(|(sequence, pending)| Answer { pending, outcome: Ok(sequence) }));
    }

    fn refuse_all(&mut self, journal: &Journal, pending: impl IntoIterator<Item = Pending>, error: &Error) {
        let answers = pending.into_iter().map(|pending| journal.refuse(pending, error.clone()));
        self.answers.extend(answers);
    }

    fn encode(&mut self, journal: &Journal, run: &Run, first: u64) {
        let id = journal.about().id;
        self.headers.clear();
        for (sequence, pending) in (first..).zip(&run.pending) {
            let header = header_of(pending, sequence);
            self.gathering.push(&header.encode(&id), &pending.payload);
            self.headers.push(header);
        }
    }

    /// Writes the run to the open file, or to a new one, and waits until it may be answered.
    fn write_run(&mut self, journal: &Journal, reserved: u64) -> Result<(), Failure> {
        let mut open = match self.open.take().map_or_else(|| self.create(journal), Ok) {
            Ok(open) => open,
            Err(error) => {
                journal.ledger.lock().give_back(reserved);
                return Err(Failure::Refused(error));
            }
        };
        open.reserved += reserved;
        let outcome = self.write_to(journal, &mut open);
        if outcome.is_err() && !open.poisoned {
            open.reserved -= reserved;
            journal.ledger.lock().give_back(reserved);
        }
        if open.end > 0 {
            self.open = Some(open);
        } else {
            discard(journal, &open);
        }
        outcome
    }

    fn write_to(&self, journal: &Journal, open: &mut OpenFile) -> Result<(), Failure> {
        let begin = open.header(journal).encode();
        let begin = if open.end == 0 { &begin[..] } else { &[] };
        let written = match self.gathering.write(&*open.file, begin, open.end) {
            Ok(written) => written,
            Err(error) => {
                journal.ledger.lock().counters.disk_failures += 1;
                open.poisoned = open.file.set_len(open.end).is_err();
                return Err(Failure::Refused(error));
            }
        };
        match journal.settings.durability {
            Durability::Relaxed => {}
            Durability::Interval(within) => {
                let by = journal.clock.boot_millis() + millis(within);
                open.sync_by_millis.get_or_insert(by);
            }
            Durability::GroupCommit { .. } | Durability::EachWrite => {
                open.sync(journal).map_err(Failure::Unsure)?;
            }
        }
        open.end += written;
        for header in &self.headers {
            open.content.count(header, &journal.about().id);
        }
        Ok(())
    }

    /// After a failed sync: the same frames once more, to a fresh file. If the disk forgets those too, it is not
    /// believed any more until the next start. One that only has no room is: the group is refused like any other.
    fn write_again(&mut self, journal: &Journal, run: &Run, error: &io::Error) -> Result<(), Error> {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "sync of a buffer file failed: writing to a new one"
        );
        journal.note_failure(error);
        if let Err(error) = self.seal(journal) {
            return Err(degrade(journal, &error));
        }
        let reserved = run.bytes + NEW_FILE_BYTES;
        if !journal.ledger.lock().reserve(reserved) {
            return Err(full(journal));
        }
        self.write_run(journal, reserved).map_err(|failure| match failure {
            Failure::Refused(error) => refusal(journal, error),
            Failure::Unsure(error) => degrade(journal, &error),
        })
    }

    fn create(&mut self, journal: &Journal) -> io::Result<OpenFile> {
        let created = journal.now();
        let name = created.wall_millis.max(self.last_name + 1);
        self.last_name = name;
        let file = journal.folder.create(name)?;
        let base = journal.ledger.lock().published;
        let content = Footer::default();
        Ok(OpenFile {
            file,
            name,
            base,
            created,
            end: 0,
            content,
            reserved: 0,
            nameless: true,
            sync_by_millis: None,
            poisoned: false,
            unsure: false,
        })
    }

    /// Finishes the open file, if there is one, and shows it to consumers. On an error it stays open.
    pub(super) fn seal(&mut self, journal: &Journal) -> Result<(), Error> {
        let Some(mut open) = self.open.take() else { return Ok(()) };
        let sound_end = open.close_off(journal);
        let (from, to) = (journal.folder.unfinished(open.name), journal.folder.sealed(open.name));
        if let Err(error) = journal.disk().rename(&from, &to) {
            journal.ledger.lock().counters.disk_failures += 1;
            self.open = Some(open);
            return Err(failed("rename", &from)(error));
        }
        if journal.settings.durability != Durability::Relaxed {
            // Whichever of its names a power cut leaves, opening finds the file.
            let synced = journal.folder.sync();
            let mut ledger = journal.ledger.lock();
            ledger.counters.syncs += 2;
            ledger.counters.disk_failures += u64::from(synced.is_err());
        }
        self.seal_demanded = false;
        let OpenFile { name, base, content, created, .. } = open;
        let bytes = if open.poisoned { open.reserved } else { sound_end };
        let data_bytes = open.end - segment::HEADER_BYTES as u64;
        let file = SealedFile { name, base, content, bytes, sound_end, data_bytes, created };
        journal.publish_sealed(file, open.reserved);
        Ok(())
    }

    /// Makes durable what was answered before it was, if that is due. The disk gets one chance: what it may have
    /// forgotten stays where it is, and what comes goes to a new file.
    pub(super) fn sync_if_due(&mut self, journal: &Journal) {
        let now = journal.clock.boot_millis();
        let is_due = |open: &OpenFile| open.sync_by_millis.is_some_and(|by| by <= now);
        let Some(open) = self.open.as_mut().filter(|open| is_due(open)) else { return };
        let Err(error) = open.sync(journal) else { return };
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "sync of a buffer file failed: a power cut may take what it holds"
        );
        journal.note_failure(&error);
        if let Err(error) = self.seal(journal) {
            tracing::warn!(error = &error as &dyn std::error::Error, "buffer file not sealed, trying again");
        }
    }

    /// Seals the open file if it is old enough, or if a consumer demands it and the last time is long enough ago.
    pub(super) fn seal_if_due(&mut self, journal: &Journal, demanded: bool) {
        let Some(open) = &self.open else { return };
        self.seal_demanded |= demanded;
        let expired = journal.age(&open.created).at_most() >= journal.settings.max_file_age_for_write;
        let now = journal.clock.boot_millis();
        if now < self.next_seal_millis || !(expired || self.seal_demanded) {
            return;
        }
        self.next_seal_millis = now.saturating_add(millis(journal.settings.min_seal_interval));
        if self.seal_demanded && !expired {
            journal.ledger.lock().counters.demanded_seals += 1;
        }
        if let Err(error) = self.seal(journal) {
            tracing::warn!(error = &error as &dyn std::error::Error, "buffer file not sealed, trying again");
        }
    }

    /// How long until the open file may have to be synced or sealed; none while there is no file.
    pub(super) fn until_due(&self, journal: &Journal) -> Option<Duration> {
        let open = self.open.as_ref()?;
        let now = journal.clock.boot_millis();
        let pause = Duration::from_millis(self.next_seal_millis.saturating_sub(now));
        let age = journal.age(&open.created).at_most();
        let rest = journal.settings.max_file_age_for_write.saturating_sub(age);
        let seal = if self.seal_demanded { pause } else { pause.max(rest) };
        let sync = open.sync_by_millis.map(|by| Duration::from_millis(by.saturating_sub(now)));
        Some(sync.map_or(seal, |sync| sync.min(seal)))
    }
}

impl OpenFile {
    fn header(&self, journal: &Journal) -> SegmentHeader {
        SegmentHeader {
            created_wall_millis: self.created.wall_millis,
            created_boot_millis: self.created.boot_millis,
            base_sequence: self.base,
            ..journal.about()
        }
    }

    /// Makes what is in it durable, and its name: one that is not would take everything in the file with it. If that
    /// fails nothing may follow.
    fn sync(&mut self, journal: &Journal) -> io::Result<()> {
        let naming = self.nameless;
        let name = || if naming { journal.disk().sync_folder(&journal.folder.path) } else { Ok(()) };
        let begun = Instant::now();
        let synced = self.file.sync_data().and_then(|()| name());
        let took = begun.elapsed();
        self.sync_by_millis = None;
        self.nameless &= synced.is_err();
        self.poisoned |= synced.is_err();
        self.unsure |= synced.is_err();
        let mut ledger = journal.ledger.lock();
        ledger.counters.syncs += 1 + u64::from(naming);
        ledger.counters.sync_times.count(took);
        ledger.counters.disk_failures += u64::from(synced.is_err());
        synced
    }

    /// Ends the file with its footer, or with its last frame where that cannot be done; where it ends.
    ///
    /// Every frame that must be durable is already: nothing but how fast the file is opened depends on this, save where
    /// syncs are done at intervals and this is the last one.
    fn close_off(&mut self, journal: &Journal) -> u64 {
        if !self.poisoned {
            let Err(error) = self.write_footer(journal) else { return self.end + FOOTER_BYTES as u64 };
            journal.note_failure(&error);
            journal.ledger.lock().counters.disk_failures += 1;
            self.poisoned = true;
        }
        if let Err(error) = self.file.set_len(self.end) {
            tracing::debug!(error = &error as &dyn std::error::Error, "poisoned buffer file keeps its end");
        }
        // Where there is no room for the footer there still is for what was answered before.
        if self.sync_by_millis.is_some()
            && !self.unsure
            && let Err(error) = self.sync(journal)
        {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "sync of a buffer file failed: a power cut may take what it holds");
        }
        self.end
    }

    fn write_footer(&mut self, journal: &Journal) -> io::Result<()> {
        write_all_at(&*self.file, &self.content.encode(&journal.about().id), self.end)?;
        if journal.settings.durability != Durability::Relaxed {
            self.file.sync_data().inspect_err(|_| self.unsure = true)?;
        }
        Ok(())
    }
}

fn header_of(pending: &Pending, sequence: u64) -> Header {
    let len = u32::try_from(pending.payload.len()).expect("payloads are bounded by `max_payload_bytes`");
    Header {
        kind: Kind::Data,
        codec: CODEC_RAW,
        len,
        sequence,
        accepted: pending.accepted,
        items: pending.items,
        raw_len: len,
        payload_crc: pending.payload_crc,
    }
}

/// Removes a file in which nothing is durable.
fn discard(journal: &Journal, open: &OpenFile) {
    let path = journal.folder.unfinished(open.name);
    if let Err(error) = journal.folder.unlink(&path).and_then(|()| journal.free(open.reserved)) {
        tracing::warn!(error = &error as &dyn std::error::Error, "empty buffer file not deleted");
    }
}

fn refusal(journal: &Journal, error: io::Error) -> Error {
    if journal.note_failure(&error) {
        return no_space(journal);
    }
    failed("append to", &journal.folder.path)(error)
}

fn no_space(journal: &Journal) -> Error {
    Error::NoSpace { folder: journal.folder.path.clone(), retry_after: NO_SPACE_RETRY }
}

fn degrade(journal: &Journal, error: &(dyn std::error::Error + 'static)) -> Error {
    tracing::error!(error, "buffer refuses appends until restarted");
    journal.degrade(&error.to_string());
    degraded(journal)
}

fn degraded(journal: &Journal) -> Error {
    Error::Degraded { folder: journal.folder.path.clone() }
}

fn full(journal: &Journal) -> Error {
    let ledger = journal.ledger.lock();
    Error::Full { used: ledger.folder_bytes, limit: ledger.folder_limit, retry_after: FULL_RETRY }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
