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
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// The sequences of the file.
    pub(super) sequences: Range<u64>,
    /// Not released: given and not.
    pub(super) pending: Amount,
    /// Given and not released.
    pub(super) given: Amount,
    /// The file was read to its end: what was not given then is damaged.
    read: bool,
}

impl Share {
    /// All of a file, or as much as is owed of it.
    pub(super) fn new(sequences: Range<u64>, pending: Amount) -> Self {
        Self { sequences, pending, ..Self::default() }
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
    shares: BTreeMap<Name, Share>,
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
    pub(super) fn find(&mut self, shares: BTreeMap<Name, Share>) {
        let mut pending = Amount::default();
        shares.values().for_each(|share| pending += share.pending);
        (self.found, self.pending, self.shares) = (pending, pending, shares);
        (self.released, self.dropped) = (Amount::default(), Dropped::default());
    }

    /// More was appended to a file.
    pub(super) fn published(&mut self, file: Name, sequences: Range<u64>, amount: Amount) {
        let share =
            self.shares.entry(file).or_insert_with(|| Share::new(sequences.clone(), Amount::default()));
        share.sequences.end = sequences.end;
        share.pending += amount;
        self.pending += amount;
    }

    /// A frame of a file is handed out.
    pub(super) fn gave(&mut self, file: Name, amount: Amount) {
        if let Some(share) = self.shares.get_mut(&file) {
            share.given += amount;
        }
    }

    /// A frame that was handed out is about to be released. It counts unless it was dropped meanwhile.
    pub(super) fn count_released(&mut self, file: Option<Name>, sequence: u64, amount: Amount) {
        let owed = self.owed.contains(sequence);
        let share = file.filter(|_| owed).and_then(|file| self.shares.get_mut(&file));
        if let Some(share) = share {
            let amount = amount.at_most(share.pending);
            share.pending -= amount;
            share.given -= amount.at_most(share.given);
            self.pending -= amount;
            self.released += amount;
        }
    }

    /// These are not owed any longer. What is left of files of which nothing is owed was released with them.
    pub(super) fn release(&mut self, sequences: Range<u64>) {
        let earlier = self.shares.iter().take_while(|(_, share)| share.sequences.start < sequences.end);
        let met = earlier.filter(|(_, share)| share.sequences.end > sequences.start);
        let files: Vec<Name> = met.map(|(file, _)| *file).collect();
        self.owed.release(sequences);
        files.into_iter().for_each(|file| self.settle(file));
    }

    /// Forgets a file of which nothing is owed. Of one that was read to its end nothing is when everything that was
    /// given is released.
    pub(super) fn settle(&mut self, file: Name) {
        let Some(share) = self.shares.get(&file) else { return };
        if share.read && share.pending.frames == 0 {
            self.owed.release(share.sequences.clone());
        }
        if !self.owed.meets(&share.sequences) {
            self.pending -= share.pending;
            self.released += share.pending;
            self.shares.remove(&file);
        }
    }

    /// A file was read to its end: what was not given never will be.
    pub(super) fn read_through(&mut self, file: Name) {
        let Some(share) = self.shares.get_mut(&file) else { return };
        share.read = true;
        let damaged = share.pending - share.given;
        share.pending = share.given;
        self.pending -= damaged;
        self.dropped.damaged += damaged;
        self.settle(file);
    }

    /// A file is taken away from it; what it lost.
    pub(super) fn drop_file(&mut self, file: Name, sequences: Range<u64>, why: Loss) -> Amount {
        self.owed.release(sequences);
        let Some(share) = self.shares.remove(&file) else { return Amount::default() };
        self.pending -= share.pending;
        *self.dropped.of(why) += share.pending;
        share.pending
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
