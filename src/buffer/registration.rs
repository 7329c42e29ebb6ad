//! One consumer as the ledger knows it: what it owes, file by file, and what became of everything it was ever owed.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::buffer::cursor::Cursor;
use crate::buffer::folder::Name;
use crate::buffer::owed::Owed;
use crate::buffer::stats::{Amount, ConsumerStats, Dropped};

/// Why a consumer is not given what it was owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// To make room.
    Evicted,
    /// Too old.
    Expired,
    /// On demand.
    Cleared,
}

/// What a consumer has left of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Share {
    file: Name,
    /// The sequences of the file, or the later ones of it.
    sequences: Range<u64>,
    /// Not released: given and not.
    pending: Amount,
    /// Given and not released.
    given: Amount,
    /// The file was read to its end: what was not given then is damaged.
    read: bool,
}

impl Share {
    /// All of a file, or as much as is owed of it.
    pub(super) fn new(file: Name, sequences: Range<u64>, pending: Amount) -> Self {
        Self { file, sequences, pending, given: Amount::default(), read: false }
    }
}

/// A consumer's place. Items in equal items out: `found` and what is published = `released` + `dropped` + `pending`.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) name: String,
    /// Whether someone is reading under this name now.
    pub(super) attached: bool,
    /// Its backlog neither expires nor makes room for others: the consumer keeps its position itself.
    pub(super) kept: bool,
    /// The sequence that it is given next, of what is fresh.
    pub(super) next: u64,
    /// What it has not made durable.
    pub(super) owed: Owed,
    /// What it would owe after a crash: files are deleted by this.
    pub(super) holds: Owed,
    /// Where that is written; nowhere if the consumer keeps it itself.
    pub(super) cursor: Option<Arc<Cursor>>,
    /// By their first sequence.
    shares: BTreeMap<u64, Share>,
    found: Amount,
    pending: Amount,
    released: Amount,
    dropped: Dropped,
}

impl Registration {
    pub(super) fn new(name: &str, owed: Owed, cursor: Option<Arc<Cursor>>) -> Self {
        Self {
            name: name.to_owned(),
            attached: false,
            kept: cursor.is_none(),
            next: owed.first(),
            holds: owed.clone(),
            owed,
            cursor,
            shares: BTreeMap::new(),
            found: Amount::default(),
            pending: Amount::default(),
            released: Amount::default(),
            dropped: Dropped::default(),
        }
    }

    /// What is there for it to begin with; counted as found.
    pub(super) fn find(&mut self, shares: Vec<Share>) {
        let mut pending = Amount::default();
        shares.iter().for_each(|share| pending += share.pending);
        self.shares = shares.into_iter().map(|share| (share.sequences.start, share)).collect();
        (self.found, self.pending) = (pending, pending);
    }

    /// More was appended to a file.
    pub(super) fn published(&mut self, file: Name, sequences: Range<u64>, amount: Amount) {
        self.pending += amount;
        match self.shares.last_entry().filter(|last| last.get().file == file) {
            Some(mut last) => {
                last.get_mut().sequences.end = sequences.end;
                last.get_mut().pending += amount;
            }
            None => drop(self.shares.insert(sequences.start, Share::new(file, sequences, amount))),
        }
    }

    /// A frame is handed out.
    pub(super) fn gave(&mut self, sequence: u64, amount: Amount) {
        if let Some(share) = self.share_of(sequence) {
            share.given += amount;
        }
    }

    /// A frame that was handed out is about to be released. It counts unless it was dropped meanwhile.
    pub(super) fn count_released(&mut self, sequence: u64, amount: Amount) {
        if !self.owed.contains(sequence) {
            return;
        }
        let Some(share) = self.share_of(sequence) else { return };
        let amount = amount.at_most(share.pending);
        share.pending -= amount;
        share.given -= amount.at_most(share.given);
        self.pending -= amount;
        self.released += amount;
    }

    /// These are not owed any longer. What is left of files of which nothing is owed was released with them. Whether
    /// there are such files.
    pub(super) fn release(&mut self, sequences: Range<u64>) -> bool {
        let met = self.meeting(&sequences);
        self.owed.release(sequences);
        met.into_iter().filter(|start| self.settle(*start)).count() > 0
    }

    /// A file was read to its end: what was not given never will be.
    pub(super) fn read_through(&mut self, sequences: &Range<u64>) {
        for start in self.meeting(sequences) {
            let Some(share) = self.shares.get_mut(&start) else { continue };
            share.read = true;
            let damaged = share.pending - share.given;
            share.pending = share.given;
            self.pending -= damaged;
            self.dropped.damaged += damaged;
            self.settle(start);
        }
    }

    /// A file is taken away from it; what it lost.
    pub(super) fn drop_file(&mut self, sequences: Range<u64>, why: Loss) -> Amount {
        let met = self.meeting(&sequences);
        self.owed.release(sequences);
        let mut lost = Amount::default();
        for share in met.iter().filter_map(|start| self.shares.remove(start)) {
            lost += share.pending;
        }
        self.pending -= lost;
        *self.dropped.of(why) += lost;
        lost
    }

    /// Forgets a file of which nothing is owed; whether it did. Of one that was read to its end nothing is when
    /// everything that was given is released.
    fn settle(&mut self, start: u64) -> bool {
        let Some(share) = self.shares.get(&start) else { return false };
        if share.read && share.pending.frames == 0 {
            self.owed.release(share.sequences.clone());
        }
        let settled = !self.owed.meets(&share.sequences);
        if settled {
            self.pending -= share.pending;
            self.released += share.pending;
            self.shares.remove(&start);
        }
        settled
    }

    fn share_of(&mut self, sequence: u64) -> Option<&mut Share> {
        let (_, share) = self.shares.range_mut(..=sequence).next_back()?;
        share.sequences.contains(&sequence).then_some(share)
    }

    /// The shares that hold any of these.
    fn meeting(&self, sequences: &Range<u64>) -> Vec<u64> {
        let before = self.shares.range(..sequences.end).rev();
        let met = before.take_while(|(_, share)| share.sequences.end > sequences.start);
        met.map(|(start, _)| *start).collect()
    }

    /// What was given and not released will be given again.
    pub(super) fn begin_again(&mut self) {
        for share in self.shares.values_mut() {
            (share.given, share.read) = (Amount::default(), false);
        }
        self.next = self.owed.first();
    }

    pub(super) fn stats(&self, oldest_accepted: Option<u64>) -> ConsumerStats {
        ConsumerStats {
            name: self.name.clone(),
            kept: self.kept,
            attached: self.attached,
            found: self.found,
            released: self.released,
            dropped: self.dropped,
            pending: self.pending,
            oldest_accepted,
        }
    }
}
