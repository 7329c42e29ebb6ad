//! Deleting files: those that nobody needs, those that are too old, those that must make room, and all of them.

use std::time::{Duration, Instant};

use parking_lot::MutexGuard;

use crate::buffer::Error;
use crate::buffer::disk::DiskFile;
use crate::buffer::folder::failed;
use crate::buffer::identity::{self, Identity};
use crate::buffer::journal::Journal;
use crate::buffer::ledger::{Ledger, SealedFile};
use crate::buffer::registration::Loss;

/// How often whoever waits for room looks for it.
const ROOM_RETRY: Duration = Duration::from_millis(20);

/// Files that are deleted before the folder is synced and their bytes are free.
const FILES_PER_SYNC: u64 = 16;

/// How long the sweeper leaves a file alone that could not be deleted.
const SWEEP_RETRY: Duration = Duration::from_secs(1);

/// What ages are told in.
const MILLISECOND: Duration = Duration::from_millis(1);

impl Journal {
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

    /// Drops what is too old now, not when the sweeper comes to it.
    pub(super) fn drop_expired(&self) {
        let due = self.until_expiry(&self.ledger.lock());
        if due.is_some_and(|rest| rest.is_zero()) {
            self.sweep_or_warn();
        }
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
}
