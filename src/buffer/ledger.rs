//! What is published: the sealed files, the span of the open one, who has taken what, and the bytes in use.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use crate::buffer::Error;
use crate::buffer::clock::{Clock, wall_millis};
use crate::buffer::folder::Name;
use crate::buffer::frame::Footer;
use crate::buffer::owed::Owed;
use crate::buffer::registration::{Loss, Registration, Share};
use crate::buffer::stats::{Amount, ConsumerStats, Counters};
use crate::buffer::tail::{Frame, Tail};

/// A finished file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SealedFile {
    pub(super) name: Name,
    /// The sequence after the last durable one when it was begun: a gap before it is a file that is missing.
    pub(super) base: u64,
    pub(super) content: Footer,
    /// How long the file is.
    pub(super) bytes: u64,
    /// Where reading stops: before whatever an append that was cut short may have left.
    pub(super) sound_end: u64,
    /// Bytes of the frames in it.
    pub(super) data_bytes: u64,
    pub(super) created: Moment,
}

impl SealedFile {
    /// The sequences that are in it or nowhere: its frames', and those of what was refused before and between them.
    pub(super) fn sequences(&self) -> Range<u64> {
        self.base.min(self.content.first)..self.content.last + 1
    }

    pub(super) fn amount(&self) -> Amount {
        let Footer { frames, items, .. } = self.content;
        Amount { frames: u64::from(frames), items, bytes: self.data_bytes }
    }
}

/// What is durable in the file that is being written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OpenPart {
    pub(super) name: Name,
    /// As [`SealedFile::sequences`].
    pub(super) sequences: Range<u64>,
    pub(super) amount: Amount,
    /// When the first of it was accepted.
    pub(super) min_accepted: u64,
}

/// A time, said by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) wall_millis: u64,
    pub(super) boot_id: u64,
    pub(super) boot_millis: u64,
}

/// Times of day before this one (2020) are those of a machine that does not know the time.
const EARLIEST_KNOWN_MILLIS: u64 = 1_577_836_800_000;
/// Who seems to have been off for longer may as well have a wrong clock (366 days).
const LONGEST_KNOWN_MILLIS: u64 = 366 * 24 * 60 * 60 * 1_000;

impl Moment {
    /// `boot_id` is handed in because asking the machine for it takes a while, and it never changes.
    pub(super) fn now(clock: &dyn Clock, boot_id: u64) -> Self {
        Self { wall_millis: wall_millis(clock), boot_id, boot_millis: clock.boot_millis() }
    }

    /// How long before `opened` this was, and `now` is after that.
    ///
    /// The time of day counts only once: to tell how old what an earlier start of the machine has left was when it
    /// was found, and only where it makes sense. From there on, and for everything younger, the time since boot counts:
    /// setting the clock ages nothing.
    pub(super) fn age(&self, opened: &Self, now: &Self) -> Age {
        if now.boot_id == self.boot_id {
            let millis = now.boot_millis.saturating_sub(self.boot_millis);
            return Age { at_least: Duration::from_millis(millis), known: true };
        }
        let before = opened.wall_millis.checked_sub(self.wall_millis);
        let before = before
            .filter(|before| *before <= LONGEST_KNOWN_MILLIS && self.wall_millis >= EARLIEST_KNOWN_MILLIS);
        let since = now.boot_millis.saturating_sub(opened.boot_millis);
        let at_least = Duration::from_millis(before.unwrap_or(0).saturating_add(since));
        Age { at_least, known: before.is_some() }
    }
}

/// How old something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Age {
    /// For deleting: what is not known to be old is not.
    pub(super) at_least: Duration,
    known: bool,
}

impl Age {
    /// For reading and for finishing: what is not known to be young is old.
    pub(super) fn at_most(self) -> Duration {
        if self.known { self.at_least } else { Duration::MAX }
    }
}

/// Where in the ledger a consumer stands.
pub(super) type Place = usize;

/// Shared by the writer, the sweeper and the consumers, under one lock.
#[derive(Debug)]
pub(super) struct Ledger {
    /// By sequence, oldest first.
    pub(super) sealed: VecDeque<SealedFile>,
    /// None while the file that is being written holds nothing durable.
    pub(super) open: Option<OpenPart>,
    pub(super) tail: Tail,
    /// By place, which nobody gets twice.
    pub(super) consumers: BTreeMap<Place, Registration>,
    pub(super) next_place: Place,
    /// A consumer has been attached since the buffer was opened. Until then nothing is deleted: those that keep their
    /// position themselves are not known yet.
    pub(super) settled: bool,
    /// Bytes of all files, and of what the open file still needs to be sealed.
    pub(super) folder_bytes: u64,
    /// Those among them whose files are deleted, but not durably.
    pub(super) deleted_bytes: u64,
    pub(super) folder_limit: u64,
    pub(super) next_sequence: u64,
    /// The value of `next_sequence` when the buffer was opened.
    pub(super) first_sequence: u64,
    /// One more than the last sequence that was published, or than the last one found.
    pub(super) published: u64,
    /// No frame will be published any more.
    pub(super) closed: bool,
    /// The disk has failed to keep what it was given: nothing is written until the next start.
    pub(super) degraded: bool,
    /// Why the last refused append was, and when by the time since boot; none since one succeeded.
    pub(super) trouble: Option<(String, u64)>,
    /// The folder is more than half full, and who is behind was said.
    pub(super) half_full: bool,
    pub(super) counters: Counters,
}

impl Ledger {
    /// Numbers for so many frames; used up even if the frames are refused later.
    pub(super) fn number(&mut self, frames: usize) -> u64 {
        let first = self.next_sequence;
        self.next_sequence += frames as u64;
        first
    }

    /// Whether the folder can grow by so many bytes.
    pub(super) fn has_room(&self, bytes: u64) -> bool {
        bytes <= self.folder_limit.saturating_sub(self.folder_bytes)
    }

    /// Sets bytes aside, unless the folder would outgrow its limit.
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        let fits = self.has_room(bytes);
        if fits {
            self.folder_bytes += bytes;
        }
        fits
    }

    pub(super) fn give_back(&mut self, bytes: u64) {
        self.folder_bytes = self.folder_bytes.saturating_sub(bytes);
    }

    /// Counts frames that became durable in a file, for the file and for each consumer.
    pub(super) fn count_published(&mut self, file: Name, frames: &[Frame]) {
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return };
        let mut amount = Amount::default();
        frames.iter().for_each(|frame| amount += frame.amount());
        let sequences = self.published..last.sequence + 1;
        let open = self.open.get_or_insert_with(|| OpenPart {
            name: file,
            sequences: sequences.clone(),
            amount: Amount::default(),
            min_accepted: first.accepted,
        });
        open.sequences.end = sequences.end;
        open.amount += amount;
        self.published = sequences.end;
        for consumer in self.consumers.values_mut() {
            consumer.published(file, sequences.clone(), amount);
        }
    }

    /// Where in the list the oldest file is that nobody needs any more.
    pub(super) fn deletable(&self) -> Option<usize> {
        if !self.settled || self.consumers.is_empty() {
            return None;
        }
        self.sealed.iter().position(|file| !self.is_held(&file.sequences(), |_| true))
    }

    /// Whether one of these consumers would need any of these after a crash.
    fn is_held(&self, sequences: &Range<u64>, which: impl Fn(&Registration) -> bool) -> bool {
        self.consumers.values().any(|consumer| which(consumer) && consumer.holds.meets(sequences))
    }

    /// Whether the open file holds something and nobody needs it any more.
    pub(super) fn open_is_released(&self) -> bool {
        let open = self.open.as_ref().filter(|_| self.settled && !self.consumers.is_empty());
        open.is_some_and(|open| !self.is_held(&open.sequences, |_| true))
    }

    /// The oldest file that may be taken away from consumers; `all`: even from those that keep their position themselves.
    pub(super) fn evictable(&self, all: bool) -> Option<SealedFile> {
        let may = |file: &&SealedFile| all || !self.is_held(&file.sequences(), |consumer| consumer.kept);
        self.sealed.iter().filter(|_| self.settled).find(may).copied()
    }

    /// Whether that will be so of the open file once it is sealed.
    pub(super) fn open_is_evictable(&self, all: bool) -> bool {
        let open = self.open.as_ref().filter(|_| self.settled);
        open.is_some_and(|open| all || !self.is_held(&open.sequences, |consumer| consumer.kept))
    }

    /// The files that someone would lose by their age, oldest first.
    pub(super) fn expiring(&self) -> impl Iterator<Item = SealedFile> {
        let losing = |file: &&SealedFile| {
            let owes = |consumer: &Registration| !consumer.kept && consumer.owed.meets(&file.sequences());
            self.settled && self.consumers.values().any(owes)
        };
        self.sealed.iter().filter(losing).copied()
    }

    /// A file that could not be deleted.
    pub(super) fn put_back(&mut self, file: SealedFile) {
        let at = self.sealed.partition_point(|other| other.name < file.name);
        self.sealed.insert(at, file);
    }

    /// Takes a file away from every consumer that may lose it; `all`: from the others too.
    pub(super) fn drop_file(&mut self, file: &SealedFile, why: Loss, all: bool) {
        if all {
            // Or who comes back with an earlier position would be given what everyone has been told is gone.
            self.tail.drop_up_to(file.content.last);
        }
        for consumer in self.consumers.values_mut().filter(|consumer| all || !consumer.kept) {
            let lost = consumer.drop_file(file.sequences(), why);
            if lost.frames > 0 {
                let consumer = &*consumer.name;
                tracing::warn!(consumer, lost.items, lost.frames, ?why, "buffered data dropped");
            }
            if consumer.cursor.is_none() {
                consumer.holds.clone_from(&consumer.owed);
            }
        }
    }

    /// The first finished file that holds a sequence from `next` on.
    pub(super) fn sealed_from(&self, next: u64) -> Option<SealedFile> {
        let at = self.sealed.partition_point(|file| file.content.last < next);
        self.sealed.get(at).copied()
    }

    /// Lets the tail forget what every attached consumer has been given.
    pub(super) fn trim_tail(&mut self) {
        let attached = self.consumers.values().filter(|consumer| consumer.attached);
        let taken = attached.map(|consumer| consumer.next - 1).min().unwrap_or(self.published - 1);
        self.tail.drop_up_to(taken);
    }

    /// The first sequence that is in a file.
    pub(super) fn oldest(&self) -> u64 {
        let unsealed = self.open.as_ref().map_or(self.published, |open| open.sequences.start);
        self.sealed.front().map_or(unsealed, |file| file.sequences().start)
    }

    /// The consumer at a place.
    pub(super) fn at(&mut self, place: Place) -> &mut Registration {
        self.consumers.get_mut(&place).expect("nobody who is attached is forgotten")
    }

    /// The place of a consumer that is registered.
    ///
    /// # Errors
    ///
    /// [`Error::ConsumerTaken`] if someone reads under its name.
    pub(super) fn find(&self, name: &str) -> Result<Option<Place>, Error> {
        let found = self.consumers.iter().find(|(_, consumer)| consumer.name == name);
        if found.is_some_and(|(_, consumer)| consumer.attached) {
            return Err(Error::ConsumerTaken { name: name.to_owned() });
        }
        Ok(found.map(|(place, _)| *place))
    }

    /// Enters a consumer, in place of one of the same name.
    pub(super) fn enter(&mut self, consumer: Registration) -> Place {
        let known = self.consumers.iter().find(|(_, known)| known.name == consumer.name);
        let place = known.map_or(self.next_place, |(place, _)| *place);
        self.next_place = self.next_place.max(place + 1);
        self.consumers.insert(place, consumer);
        place
    }

    /// A consumer may be ahead of the files, where a power cut took frames that it had already made durable:
    /// then numbering goes on after its position, or the next frames would be taken for ones it knows.
    pub(super) fn catch_up(&mut self, name: &str, next: u64) -> Result<(), Error> {
        if next > self.next_sequence {
            if self.next_sequence > self.first_sequence {
                return Err(Error::ConsumerAhead { name: name.to_owned(), applied: next - 1 });
            }
            (self.next_sequence, self.first_sequence, self.published) = (next, next, next);
        }
        Ok(())
    }

    /// What there is of what is owed, file by file. `partial` counts what is owed of a file that is owed in part.
    pub(super) fn shares<E>(
        &self,
        owed: &Owed,
        mut partial: impl FnMut(&SealedFile) -> Result<Amount, E>,
    ) -> Result<Vec<Share>, E> {
        let mut shares = Vec::new();
        for file in self.sealed.iter().filter(|file| owed.meets(&file.sequences())) {
            let whole = owed.covers(&file.sequences());
            let pending = if whole { file.amount() } else { partial(file)? };
            shares.push(Share::new(file.name, file.sequences(), pending));
        }
        if let Some(open) = self.open.as_ref().filter(|open| owed.meets(&open.sequences)) {
            shares.push(Share::new(open.name, open.sequences.clone(), open.amount));
        }
        Ok(shares)
    }

    /// Whether the open file is owed in part only: how much that is cannot be told while it is written.
    pub(super) fn open_is_divided(&self, owed: &Owed) -> bool {
        let open = self.open.as_ref().map(|open| &open.sequences);
        open.is_some_and(|sequences| owed.meets(sequences) && !owed.covers(sequences))
    }

    /// Who is furthest behind, when the folder has just become half full; it counts as less only below a third.
    pub(super) fn newly_lagging(&mut self) -> Option<ConsumerStats> {
        let (bytes, limit) = (self.folder_bytes, self.folder_limit);
        if bytes < limit / 3 {
            self.half_full = false;
        }
        if self.half_full || bytes < limit / 2 {
            return None;
        }
        self.half_full = true;
        self.consumer_stats().into_iter().max_by_key(|consumer| consumer.pending.bytes)
    }

    pub(super) fn consumer_stats(&self) -> Vec<ConsumerStats> {
        let accepted = |sequence: u64| {
            let sealed = self.sealed_from(sequence).map(|file| file.content.min_accepted);
            let open = self.open.as_ref().filter(|open| sequence < open.sequences.end);
            self.tail.accepted(sequence).or(sealed).or(open.map(|open| open.min_accepted))
        };
        self.consumers.values().map(|consumer| consumer.stats(accepted(consumer.owed.first()))).collect()
    }
}
