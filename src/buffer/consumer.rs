//! Reading: fresh frames from memory, older ones from finished files, never from the file that is being written.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use crate::buffer::Error;
use crate::buffer::disk::is_unreadable;
use crate::buffer::folder::{Name, failed};
use crate::buffer::frame::{CODEC_RAW, Header};
use crate::buffer::journal::Journal;
use crate::buffer::ledger::{Ledger, SealedFile};
use crate::buffer::segment::{SegmentReader, Step};
use crate::buffer::tail::{Frame, Take, Taken};

/// The longest wait for frames, long enough for anyone.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// One reader of a buffer, at its own pace. Dropping it keeps its place: what it has not released stays.
#[derive(Debug)]
pub struct Consumer {
    journal: Arc<Journal>,
    /// Its place in the ledger's list.
    at: usize,
    /// The sequence it is given next.
    next: u64,
    reading: Option<Reading>,
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
    /// Begins after `applied`, or with the oldest frame.
    ///
    /// # Errors
    ///
    /// See [`crate::buffer::Buffer::external_consumer`].
    pub(super) fn attach(journal: Arc<Journal>, name: &str, applied: Option<u64>) -> Result<Self, Error> {
        let mut ledger = journal.ledger.lock();
        let at = ledger.attach(name, applied)?;
        let next = ledger.consumers[at].next;
        drop(ledger);
        journal.releases.notify_all();
        Ok(Self { journal, at, next, reading: None })
    }

    /// The frames that come next, in order; waits up to `wait` for the first one. Empty if none came.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] when the buffer is closed and everything was given; [`Error::Io`] when a file cannot be
    /// read: asking again tries again.
    pub fn next(&mut self, take: Take, wait: Duration) -> Result<Vec<Frame>, Error> {
        if self.journal.settings.delete_items_on_iteration {
            self.release(self.next - 1);
        }
        let deadline = Instant::now() + wait.min(MAX_WAIT);
        loop {
            match self.source(&take, deadline)? {
                Source::Memory(frames) => return Ok(frames),
                Source::File(file) => {
                    let frames = self.read_file(&file, &take)?;
                    if !frames.is_empty() {
                        return Ok(frames);
                    }
                }
                Source::Nowhere => return Ok(Vec::new()),
            }
        }
    }

    /// Everything up to and including `up_to` is durable elsewhere: the buffer need not keep it any longer.
    ///
    /// What was not given yet is not released.
    pub fn release(&mut self, up_to: u64) {
        let mut ledger = self.journal.ledger.lock();
        let place = &mut ledger.consumers[self.at];
        place.released = place.released.max(up_to.min(self.next - 1));
        if ledger.deletable().is_none() {
            return;
        }
        let sweeper_has_ended = ledger.closed;
        drop(ledger);
        if sweeper_has_ended {
            self.journal.sweep_or_warn();
        } else {
            self.journal.releases.notify_all();
        }
    }

    /// Finds out where the next frames are, and waits where they are nowhere.
    fn source(&mut self, take: &Take, deadline: Instant) -> Result<Source, Error> {
        let journal = Arc::clone(&self.journal);
        let mut ledger = journal.ledger.lock();
        loop {
            let until = match self.look(&mut ledger, take) {
                Look::Found(source) => return Ok(source),
                Look::Later(None) => deadline,
                Look::Later(Some(rest)) => deadline.min(Instant::now() + rest),
            };
            if ledger.closed {
                return Err(Error::Closed);
            }
            if Instant::now() >= deadline {
                return Ok(Source::Nowhere);
            }
            journal.news.wait_until(&mut ledger, until);
        }
    }

    fn look(&mut self, ledger: &mut MutexGuard<'_, Ledger>, take: &Take) -> Look {
        if self.next >= ledger.tail.start() {
            let frames = ledger.tail.take(self.next, take);
            let Some(last) = frames.last() else { return Look::Later(None) };
            self.next = last.sequence + 1;
            ledger.counters.frames_from_memory += frames.len() as u64;
            self.moved(ledger);
            return Look::Found(Source::Memory(frames));
        }
        if let Some(file) = ledger.sealed_from(self.next) {
            self.count_missing(ledger, file.base);
            let delay = self.journal.settings.min_file_age_for_read;
            // A buffer that is being closed gives what it has.
            if delay.is_zero() || ledger.closed {
                return Look::Found(Source::File(file));
            }
            let rest = delay.saturating_sub(file.created.age(&self.journal.now()));
            return if rest.is_zero() { Look::Found(Source::File(file)) } else { Look::Later(Some(rest)) };
        }
        if ledger.open.is_some_and(|(_, last)| last >= self.next) {
            if self.journal.settings.min_file_age_for_read.is_zero() && !ledger.closed {
                self.journal.queue.demand_seal();
            }
            return Look::Later(None);
        }
        // No file has it: only what the tail answers for is left.
        let start = ledger.tail.start();
        self.count_missing(ledger, start);
        self.look(ledger, take)
    }

    /// Steps over frames whose file is gone.
    fn count_missing(&mut self, ledger: &mut Ledger, present: u64) {
        if let Some(missing) = present.checked_sub(self.next).filter(|missing| *missing > 0) {
            ledger.counters.damaged_frames += missing;
            self.next = present;
            self.moved(ledger);
        }
    }

    fn moved(&self, ledger: &mut Ledger) {
        ledger.consumers[self.at].next = self.next;
        ledger.trim_tail();
    }

    fn read_file(&mut self, file: &SealedFile, take: &Take) -> Result<Vec<Frame>, Error> {
        let path = self.journal.folder.sealed(file.name);
        let outcome = self.open_file(file).and_then(|mut reading| {
            let read = reading.read(self.next, take)?;
            Ok((reading, read))
        });
        let (reading, read) = match outcome {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound || is_unreadable(&error) => {
                return Ok(self.skip_file(file));
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let ended = read.ended;
        self.next = match read.taken.frames.last() {
            _ if ended => file.content.last + 1,
            Some(frame) => frame.sequence + 1,
            None => self.next,
        };
        self.reading = (!ended).then_some(reading);
        let journal = Arc::clone(&self.journal);
        let mut ledger = journal.ledger.lock();
        ledger.counters.damaged_frames += read.damaged_frames;
        ledger.counters.damaged_items += read.damaged_items;
        ledger.counters.frames_from_files += read.taken.frames.len() as u64;
        self.moved(&mut ledger);
        Ok(read.taken.frames)
    }

    /// The file as far as it has been read, or from its start.
    fn open_file(&mut self, file: &SealedFile) -> io::Result<Reading> {
        if let Some(reading) = self.reading.take().filter(|reading| reading.name == file.name) {
            return Ok(reading);
        }
        let path = self.journal.folder.sealed(file.name);
        let id = self.journal.about().id;
        let reader = SegmentReader::open(self.journal.disk(), &path, id, file.sound_end)?;
        let reader = reader.within(file.base..file.content.last + 1);
        Ok(Reading { name: file.name, reader, frames: 0, items: 0, held_back: None })
    }

    /// Someone has taken the file away, or the disk cannot even open it.
    fn skip_file(&mut self, file: &SealedFile) -> Vec<Frame> {
        let journal = Arc::clone(&self.journal);
        let mut ledger = journal.ledger.lock();
        ledger.counters.damaged_frames += (file.content.last + 1).saturating_sub(self.next);
        self.next = file.content.last + 1;
        self.moved(&mut ledger);
        Vec::new()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let mut ledger = self.journal.ledger.lock();
        ledger.consumers[self.at].attached = false;
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
