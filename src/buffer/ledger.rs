//! What is published: the sealed files, the span of the open one, who has taken what, and the bytes in use.

use std::collections::VecDeque;
use std::time::Duration;

use crate::buffer::Error;
use crate::buffer::clock::{Clock, wall_millis};
use crate::buffer::folder::Name;
use crate::buffer::frame::Footer;
use crate::buffer::stats::Counters;
use crate::buffer::tail::Tail;

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
    pub(super) created: Moment,
}

/// A time, said by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) wall_millis: u64,
    pub(super) boot_id: u64,
    pub(super) boot_millis: u64,
}

impl Moment {
    /// `boot_id` is handed in because asking the machine for it takes a while, and it never changes.
    pub(super) fn now(clock: &dyn Clock, boot_id: u64) -> Self {
        Self { wall_millis: wall_millis(clock), boot_id, boot_millis: clock.boot_millis() }
    }

    /// How long ago it was at `now`. A time of day that has been set back makes everything old, never invisible.
    pub(super) fn age(&self, now: &Self) -> Duration {
        let millis = if now.boot_id == self.boot_id {
            now.boot_millis.saturating_sub(self.boot_millis)
        } else {
            now.wall_millis.checked_sub(self.wall_millis).unwrap_or(u64::MAX)
        };
        Duration::from_millis(millis)
    }
}

/// A consumer's place.
#[derive(Debug, Clone)]
pub(super) struct Registration {
    pub(super) name: String,
    /// Whether someone is reading under this name now.
    pub(super) attached: bool,
    /// The sequence that it is given next.
    pub(super) next: u64,
    /// Everything up to here is durable elsewhere.
    pub(super) released: u64,
}

/// Shared by the writer, the sweeper and the consumers, under one lock.
#[derive(Debug)]
pub(super) struct Ledger {
    /// By sequence, oldest first.
    pub(super) sealed: VecDeque<SealedFile>,
    /// First and last durable sequence in the file that is being written; none while it holds nothing durable.
    pub(super) open: Option<(u64, u64)>,
    pub(super) tail: Tail,
    pub(super) consumers: Vec<Registration>,
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
    pub(super) counters: Counters,
}

impl Ledger {
    /// Numbers for so many frames; used up even if the frames are refused later.
    pub(super) fn number(&mut self, frames: usize) -> u64 {
        let first = self.next_sequence;
        self.next_sequence += frames as u64;
        first
    }

    /// Sets bytes aside, unless the folder would outgrow its limit.
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        let fits = bytes <= self.folder_limit.saturating_sub(self.folder_bytes);
        if fits {
            self.folder_bytes += bytes;
        }
        fits
    }

    pub(super) fn give_back(&mut self, bytes: u64) {
        self.folder_bytes = self.folder_bytes.saturating_sub(bytes);
    }

    /// Everything up to here is durable elsewhere for every consumer; nothing is while there is none.
    pub(super) fn released(&self) -> u64 {
        self.consumers.iter().map(|consumer| consumer.released).min().unwrap_or(0)
    }

    /// The oldest file, if no consumer needs it any more.
    pub(super) fn deletable(&self) -> Option<SealedFile> {
        self.sealed.front().copied().filter(|file| file.content.last <= self.released())
    }

    /// Whether the open file holds something and all of it is released.
    pub(super) fn open_is_released(&self) -> bool {
        self.open.is_some_and(|(_, last)| last <= self.released())
    }

    /// The first finished file that holds a sequence from `next` on.
    pub(super) fn sealed_from(&self, next: u64) -> Option<SealedFile> {
        let at = self.sealed.partition_point(|file| file.content.last < next);
        self.sealed.get(at).copied()
    }

    /// Lets the tail forget what every attached consumer has been given.
    pub(super) fn trim_tail(&mut self) {
        let attached = self.consumers.iter().filter(|consumer| consumer.attached);
        let taken = attached.map(|consumer| consumer.next - 1).min().unwrap_or(self.published - 1);
        self.tail.drop_up_to(taken);
    }

    /// Enters a consumer that has applied everything up to `applied`, or that begins with the oldest there is; its
    /// place in the list.
    ///
    /// A consumer may be ahead of the files, where a power cut took frames that it had already made durable:
    /// then numbering goes on after its position, or the next frames would be taken for ones it knows.
    pub(super) fn attach(&mut self, name: &str, applied: Option<u64>) -> Result<usize, Error> {
        let known = self.consumers.iter().position(|consumer| consumer.name == name);
        if known.is_some_and(|at| self.consumers[at].attached) {
            return Err(Error::ConsumerTaken { name: name.to_owned() });
        }
        let unsealed = self.open.map_or(self.published, |(first, _)| first);
        let oldest = self.sealed.front().map_or(unsealed, |file| file.base);
        let next = applied.map_or(oldest, |applied| applied.saturating_add(1));
        if next > self.next_sequence {
            if self.next_sequence > self.first_sequence {
                return Err(Error::ConsumerAhead { name: name.to_owned(), applied: next - 1 });
            }
            (self.next_sequence, self.first_sequence, self.published) = (next, next, next);
        }
        let released = applied.unwrap_or(0);
        let place = Registration { name: name.to_owned(), attached: true, next, released };
        let at = known.unwrap_or(self.consumers.len());
        match known {
            Some(at) => self.consumers[at] = place,
            None => self.consumers.push(place),
        }
        Ok(at)
    }
}
