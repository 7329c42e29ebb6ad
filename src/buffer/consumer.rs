//! Reading: fresh frames from memory, older ones from finished files, never from the file that is being written.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use crate::buffer::Error;
use crate::buffer::cursor;
use crate::buffer::disk::is_unreadable;
use crate::buffer::folder::{Name, failed};
use crate::buffer::frame::{CODEC_RAW, Header};
use crate::buffer::journal::Journal;
use crate::buffer::ledger::{Ledger, Place, SealedFile};
use crate::buffer::owed::Owed;
use crate::buffer::registration::Registration;
use crate::buffer::segment::{SegmentReader, Step};
use crate::buffer::stats::Amount;
use crate::buffer::tail::{Frame, Take, Taken};

/// The longest wait for frames, long enough for anyone.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Given and unreleased frames that are remembered one by one. Beyond that they are counted as released file by file.
const MAX_GIVEN: usize = 1 << 16;

/// Where a new consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartAt {
    /// With the oldest frame there is.
    Oldest,
    /// With what is appended from now on.
    Latest,
    /// With the first frame accepted at this time or later, in nanoseconds since the Unix epoch.
    Since(u64),
}

/// One reader of a buffer, at its own pace. Dropping it keeps its place: what it has not released stays, and is given
/// again to whoever comes back under its name.
#[derive(Debug)]
pub struct Consumer {
    journal: Arc<Journal>,
    place: Place,
    /// Frames from here on are fresh; those before are backfill.
    split: u64,
    live: Lane,
    backfill: Lane,
}

/// One of the two ways through what is owed.
#[derive(Debug, Default)]
struct Lane {
    /// Everything before has been given, or is not owed.
    next: u64,
    reading: Option<Reading>,
    /// What was given and may still be released, newest last.
    given: VecDeque<Given>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Live,
    Backfill,
}

/// A frame that was given.
#[derive(Debug, Clone, Copy)]
struct Given {
    sequence: u64,
    amount: Amount,
}

/// A finished file that is being read.
#[derive(Debug)]
struct Reading {
    name: Name,
    reader: SegmentReader,
    /// Frames and items whose headers were sound.
    frames: u64,
    items: u64,
    /// A frame that did not fit into what was taken last.
    held_back: Option<Header>,
}

/// Where the next frames are.
enum Source {
    Memory(Vec<Frame>),
    File(SealedFile),
    Nowhere,
}

/// What came of reading a file for a while.
#[derive(Default)]
struct Read {
    taken: Taken,
    damaged_frames: u64,
    damaged_items: u64,
    /// The file holds nothing more.
    ended: bool,
}

impl Consumer {
    /// See [`Buffer::external_consumer`](crate::buffer::Buffer::external_consumer).
    pub(super) fn attach(journal: Arc<Journal>, name: &str, applied: Option<u64>) -> Result<Self, Error> {
        let _one_at_a_time = journal.attaching.lock();
        let mut ledger = journal.ledger.lock();
        if ledger.find(name)?.is_some_and(|place| ledger.at(place).cursor.is_some()) {
            return Err(Error::ConsumerTaken { name: name.to_owned() });
        }
        let oldest = ledger.oldest();
        let owed = Owed::from(applied.map_or(oldest, |applied| applied.saturating_add(1)));
        ledger.catch_up(name, owed.first())?;
        drop(ledger);
        Self::enter(&journal, Registration::new(name, owed, None))
    }

    /// See [`Buffer::consumer`](crate::buffer::Buffer::consumer).
    pub(super) fn attach_durable(journal: &Arc<Journal>, name: &str, start: StartAt) -> Result<Self, Error> {
        if !cursor::is_name(name) {
            return Err(Error::ConsumerName { name: name.to_owned() });
        }
        let _one_at_a_time = journal.attaching.lock();
        let known = {
            let mut ledger = journal.ledger.lock();
            let place = ledger.find(name)?;
            if place.is_some_and(|place| ledger.at(place).cursor.is_none()) {
                return Err(Error::ConsumerTaken { name: name.to_owned() });
            }
            place
        };
        if let Some(place) = known {
            return Ok(Self::begin(journal, place));
        }
        let owed = Owed::from(journal.sequence_at(start)?);
        let cursor = journal.create_cursor(name, &owed)?;
        let entered = Self::enter(journal, Registration::new(name, owed, Some(Arc::new(cursor))));
        if entered.is_err() {
            journal.remove_cursor(name);
        }
        entered
    }

    fn enter(journal: &Arc<Journal>, mut consumer: Registration) -> Result<Self, Error> {
        if journal.ledger.lock().open_is_divided(&consumer.owed) {
            journal.seal()?;
        }
        let mut ledger = journal.ledger.lock();
        let shares = ledger.shares(&consumer.owed, |file| journal.owed_of(file, &consumer.owed))?;
        consumer.find(shares);
        let place = ledger.enter(consumer);
        drop(ledger);
        Ok(Self::begin(journal, place))
    }

    fn begin(journal: &Arc<Journal>, place: Place) -> Self {
        let mut ledger = journal.ledger.lock();
        ledger.settled = true;
        let consumer = ledger.at(place);
        consumer.attached = true;
        consumer.begin_again();
        let live = Lane { next: consumer.next, ..Lane::default() };
        drop(ledger);
        journal.releases.notify_all();
        Self { journal: Arc::clone(journal), place, split: 0, live, backfill: Lane::default() }
    }

    /// The frames that come next, in order; waits up to `wait` for the first one. Empty if none came. After
    /// [`Consumer::go_live`] those that were appended since.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the buffer is closed and everything was given; [`Error::Io`] when a file cannot be
    /// read: asking again tries again.
    pub fn next(&mut self, take: Take, wait: Duration) -> Result<Vec<Frame>, Error> {
        self.read(Side::Live, &take, Instant::now() + wait.min(MAX_WAIT))
    }

    /// Of what was owed when [`Consumer::go_live`] was called, the frames that come next; empty when that is over, or
    /// while what is left is younger than `min_file_age_for_read`.
    ///
    /// # Errors
    ///
    /// See [`Consumer::next`].
    pub fn next_backfill(&mut self, take: Take) -> Result<Vec<Frame>, Error> {
        self.read(Side::Backfill, &take, Instant::now())
    }

    /// Leaves what has not been given yet for later, see [`Consumer::next_backfill`], and goes on with what is appended
    /// from now on, and what is in the file that is being written: no file is on both sides, so that each is read to
    /// its end by one of them. Frames that were given and not released are given again.
    pub fn go_live(&mut self) {
        self.rewind();
        let mut ledger = self.journal.ledger.lock();
        let split = ledger.open.as_ref().map_or(ledger.published, |open| open.sequences.start);
        self.split = split;
        self.backfill = std::mem::replace(&mut self.live, Lane { next: split, ..Lane::default() });
        self.backfill.next = ledger.at(self.place).owed.first();
        ledger.at(self.place).next = split;
        ledger.trim_tail();
    }

    /// Begins again with the first frame that is owed.
    pub fn rewind(&mut self) {
        let mut ledger = self.journal.ledger.lock();
        let consumer = ledger.at(self.place);
        consumer.begin_again();
        (self.split, self.backfill) = (0, Lane::default());
        self.live = Lane { next: consumer.next, ..Lane::default() };
    }

    /// Everything up to and including `up_to` is durable elsewhere, as far as it was given on the side of the split that
    /// `up_to` is on: the buffer need not keep it any longer.
    pub fn release(&mut self, up_to: u64) {
        let (from, lane) =
            if up_to < self.split { (0, &mut self.backfill) } else { (self.split, &mut self.live) };
        let end = up_to.saturating_add(1).min(lane.next);
        let mut ledger = self.journal.ledger.lock();
        while let Some(given) = lane.given.front().filter(|given| given.sequence < end).copied() {
            lane.given.pop_front();
            ledger.at(self.place).count_released(given.sequence, given.amount);
        }
        let settled = ledger.at(self.place).release(from.min(end)..end);
        self.released(ledger, settled);
    }

    /// This frame is durable elsewhere; others that were given are not.
    pub fn release_one(&mut self, sequence: u64) {
        let lane = if sequence < self.split { &mut self.backfill } else { &mut self.live };
        if sequence >= lane.next {
            return;
        }
        let mut ledger = self.journal.ledger.lock();
        if let Ok(at) = lane.given.binary_search_by_key(&sequence, |given| given.sequence)
            && let Some(given) = lane.given.remove(at)
        {
            ledger.at(self.place).count_released(sequence, given.amount);
        }
        let settled = ledger.at(self.place).release(sequence..sequence + 1);
        self.released(ledger, settled);
    }

    /// Whether this frame is still kept for this consumer: it was neither released nor dropped, for its age or to make
    /// room.
    pub fn owes(&self, sequence: u64) -> bool {
        self.journal.ledger.lock().at(self.place).owed.contains(sequence)
    }

    /// Makes the position durable; files are deleted up to there. Nothing for a consumer that keeps its position
    /// itself: there releasing is enough.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]: the position on disk is the one that was saved before.
    pub fn save(&mut self) -> Result<(), Error> {
        self.journal.save(self.place)?;
        self.journal.offer_to_sweeper();
        Ok(())
    }

    /// `settled`: of some file nothing is owed any longer.
    fn released(&self, mut ledger: MutexGuard<'_, Ledger>, settled: bool) {
        let consumer = ledger.at(self.place);
        let holds_elsewhere = consumer.cursor.is_none();
        if holds_elsewhere {
            consumer.holds.clone_from(&consumer.owed);
        }
        drop(ledger);
        if holds_elsewhere && settled {
            self.journal.offer_to_sweeper();
        }
    }

    /// Whether what comes next is only in the file that is being written, and not in memory any more.
    pub(super) fn needs_open_file(&self) -> bool {
        let mut ledger = self.journal.ledger.lock();
        let next = ledger.at(self.place).owed.at_or_after(self.live.next);
        let open = ledger.open.as_ref().is_some_and(|open| open.sequences.contains(&next));
        open && next < ledger.tail.start()
    }

    fn lane(&mut self, side: Side) -> &mut Lane {
        match side {
            Side::Live => &mut self.live,
            Side::Backfill => &mut self.backfill,
        }
    }

    /// The end of what a side is given.
    fn end(&self, side: Side) -> u64 {
        match side {
            Side::Live => u64::MAX,
            Side::Backfill => self.split,
        }
    }

    fn read(&mut self, side: Side, take: &Take, deadline: Instant) -> Result<Vec<Frame>, Error> {
        loop {
            match self.source(side, take, deadline)? {
                // All of it may have been dropped since.
                Source::Memory(frames) if frames.is_empty() => {}
                Source::Memory(frames) => return Ok(frames),
                Source::File(file) => {
                    let frames = self.read_file(side, &file, take)?;
                    if !frames.is_empty() {
                        return Ok(frames);
                    }
                }
                Source::Nowhere => return Ok(Vec::new()),
            }
        }
    }

    /// Finds out where the next frames are, and waits where they are nowhere.
    fn source(&mut self, side: Side, take: &Take, deadline: Instant) -> Result<Source, Error> {
        let journal = Arc::clone(&self.journal);
        let mut ledger = journal.ledger.lock();
        loop {
            let until = match self.look(side, &mut ledger, take) {
                Look::Found(source) => return Ok(source),
                Look::Later(None) => deadline,
                Look::Later(Some(rest)) => deadline.min(Instant::now() + rest.min(MAX_WAIT)),
            };
            if ledger.closed && side == Side::Live {
                return Err(Error::Closed);
            }
            if Instant::now() >= deadline {
                return Ok(Source::Nowhere);
            }
            journal.news.wait_until(&mut ledger, until);
        }
    }

    fn look(&mut self, side: Side, ledger: &mut MutexGuard<'_, Ledger>, take: &Take) -> Look {
        let end = self.end(side);
        let next = ledger.at(self.place).owed.at_or_after(self.lane(side).next);
        self.lane(side).next = next;
        if next >= end {
            return Look::Found(Source::Nowhere);
        }
        if next >= ledger.tail.start() {
            let frames = ledger.tail.take(next, take);
            let Some(last) = frames.last() else { return Look::Later(None) };
            let after = last.sequence + 1;
            ledger.counters.frames_from_memory += frames.len() as u64;
            return Look::Found(Source::Memory(self.give(side, ledger, frames, after)));
        }
        if let Some(file) = ledger.sealed_from(next) {
            self.count_missing(side, ledger, file.base.min(end));
            let delay = self.journal.settings.min_file_age_for_read;
            // A buffer that is being closed gives what it has.
            if delay.is_zero() || ledger.closed {
                return Look::Found(Source::File(file));
            }
            let rest = delay.saturating_sub(self.journal.age(&file.created).at_most());
            return if rest.is_zero() { Look::Found(Source::File(file)) } else { Look::Later(Some(rest)) };
        }
        if ledger.open.as_ref().is_some_and(|open| open.sequences.end > next) {
            if self.journal.settings.min_file_age_for_read.is_zero() && !ledger.closed {
                self.journal.queue.demand_seal();
            }
            return Look::Later(None);
        }
        // No file has it: only what the tail answers for is left.
        let start = ledger.tail.start().min(end);
        self.count_missing(side, ledger, start);
        self.look(side, ledger, take)
    }

    /// Steps over frames whose file is gone.
    fn count_missing(&mut self, side: Side, ledger: &mut Ledger, present: u64) {
        let next = self.lane(side).next;
        if next < present {
            let owed = &mut ledger.at(self.place).owed;
            let missing = owed.count(&(next..present));
            owed.release(next..present);
            ledger.counters.damaged_frames += missing;
            self.moved(side, ledger, present);
        }
    }

    fn moved(&mut self, side: Side, ledger: &mut Ledger, next: u64) {
        self.lane(side).next = next;
        if side == Side::Live {
            ledger.at(self.place).next = next;
            ledger.trim_tail();
        }
    }

    /// Hands out those of the frames that are still owed.
    fn give(&mut self, side: Side, ledger: &mut Ledger, mut frames: Vec<Frame>, next: u64) -> Vec<Frame> {
        let end = self.end(side);
        frames.retain(|frame| frame.sequence < end && ledger.at(self.place).owed.contains(frame.sequence));
        for frame in &frames {
            let (sequence, amount) = (frame.sequence, frame.amount());
            ledger.at(self.place).gave(sequence, amount);
            let given = &mut self.lane(side).given;
            if given.len() == MAX_GIVEN {
                given.pop_front();
            }
            given.push_back(Given { sequence, amount });
        }
        self.moved(side, ledger, next);
        frames
    }

    fn read_file(&mut self, side: Side, file: &SealedFile, take: &Take) -> Result<Vec<Frame>, Error> {
        let next = self.lane(side).next;
        let outcome = self.open_file(side, file).and_then(|mut reading| {
            let read = reading.read(next, take)?;
            Ok((reading, read))
        });
        let (reading, read) = match outcome {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_unreadable(&error) => {
                self.skip_file(side, file);
                return Ok(Vec::new());
            }
            Err(error) => return Err(failed("read", &self.journal.folder.sealed(file.name))(error)),
        };
        let ended = read.ended;
        let after = match read.taken.frames.last() {
            _ if ended => file.content.last + 1,
            Some(frame) => frame.sequence + 1,
            None => next,
        };
        self.lane(side).reading = (!ended).then_some(reading);
        let journal = Arc::clone(&self.journal);
        let mut ledger = journal.ledger.lock();
        // Of a file that was dropped meanwhile, what is missing was counted then.
        if ledger.sealed_from(file.content.last).is_some_and(|listed| listed.name == file.name) {
            ledger.counters.damaged_frames += read.damaged_frames;
            ledger.counters.damaged_items += read.damaged_items;
        }
        ledger.counters.frames_from_files += read.taken.frames.len() as u64;
        let frames = self.give(side, &mut ledger, read.taken.frames, after);
        if ended {
            self.leave(ledger, file);
        }
        Ok(frames)
    }

    /// The file as far as it has been read, or from its start.
    fn open_file(&mut self, side: Side, file: &SealedFile) -> io::Result<Reading> {
        if let Some(reading) = self.lane(side).reading.take().filter(|reading| reading.name == file.name) {
            return Ok(reading);
        }
        let reader = self.journal.reader(file)?;
        Ok(Reading { name: file.name, reader, frames: 0, items: 0, held_back: None })
    }

    /// Someone has taken the file away, or the disk cannot even open it.
    fn skip_file(&mut self, side: Side, file: &SealedFile) {
        let journal = Arc::clone(&self.journal);
        let mut ledger = journal.ledger.lock();
        let rest = self.lane(side).next..file.content.last + 1;
        let missing = ledger.at(self.place).owed.count(&rest);
        ledger.counters.damaged_frames += missing;
        self.moved(side, &mut ledger, rest.end);
        self.leave(ledger, file);
    }

    /// A file was read to its end.
    fn leave(&self, mut ledger: MutexGuard<'_, Ledger>, file: &SealedFile) {
        ledger.at(self.place).read_through(&file.sequences());
        self.released(ledger, true);
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let mut ledger = self.journal.ledger.lock();
        let consumer = ledger.at(self.place);
        consumer.attached = false;
        consumer.begin_again();
        ledger.trim_tail();
    }
}

/// What looking for frames found.
enum Look {
    Found(Source),
    /// Nothing now; something perhaps after a while, even without news.
    Later(Option<Duration>),
}

impl Reading {
    /// Frames from `next` on, up to what may be taken.
    fn read(&mut self, next: u64, take: &Take) -> io::Result<Read> {
        let mut read = Read::default();
        loop {
            let header = match self.held_back.take() {
                Some(header) => header,
                None => match self.reader.step()? {
                    Step::Data(header) => {
                        self.frames += 1;
                        self.items += u64::from(header.items);
                        header
                    }
                    Step::Damage { .. } | Step::Unknown => continue,
                    Step::Footer(footer) => {
                        read.damaged_frames += u64::from(footer.frames).saturating_sub(self.frames);
                        read.damaged_items += footer.items.saturating_sub(self.items);
                        (self.frames, self.items) = (u64::from(footer.frames), footer.items);
                        continue;
                    }
                    Step::End => {
                        read.ended = true;
                        return Ok(read);
                    }
                },
            };
            if header.sequence < next {
                continue;
            }
            if !read.taken.has_room(take, header.len as usize, header.items) {
                self.held_back = Some(header);
                return Ok(read);
            }
            match self.reader.payload(&header)? {
                Some(payload) if header.codec == CODEC_RAW => {
                    let Header { sequence, accepted, items, .. } = header;
                    read.taken.push(Frame { sequence, accepted, items, payload });
                }
                _ => {
                    read.damaged_frames += 1;
                    read.damaged_items += u64::from(header.items);
                }
            }
        }
    }
}
