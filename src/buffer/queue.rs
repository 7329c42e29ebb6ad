//! Appends on their way to the committer: bounded in bytes, each answered exactly once.

use std::collections::VecDeque;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::buffer::Error;
use crate::buffer::config::Durability;
use crate::buffer::frame;
use crate::buffer::stats::Amount;

/// Bytes that may wait for the disk, those being written included: a slow disk shall become back-pressure.
pub(super) const MAX_QUEUED_BYTES: usize = 32 << 20;
/// When to try again after [`Error::Busy`].
const BUSY_RETRY: Duration = Duration::from_secs(1);
/// Most of what one sync makes durable.
const MAX_GROUP_BYTES: usize = 4 << 20;
const MAX_GROUP_FRAMES: usize = 1_024;
/// Memory that an append takes beside its payload.
const APPEND_OVERHEAD_BYTES: usize = 128;

/// Told once what became of an append: its sequence when it is durable.
pub(super) type Done = Box<dyn FnOnce(Result<u64, Error>) + Send>;

/// One append that has not been answered yet. Left unanswered, it says that the buffer is closed.
pub(super) struct Pending {
    pub(super) payload: Bytes,
    pub(super) items: u32,
    pub(super) accepted: u64,
    /// Computed by the appender, not by the one committer.
    pub(super) payload_crc: u32,
    done: Option<Done>,
}

impl Pending {
    pub(super) fn new(payload: Bytes, items: u32, accepted: u64, done: Done) -> Self {
        let payload_crc = crc32c::crc32c(&payload);
        Self { payload, items, accepted, payload_crc, done: Some(done) }
    }

    /// Not to be called while holding a lock: the other side may do as it likes, even panic.
    fn answer(&mut self, answer: Result<u64, Error>) {
        let Some(done) = self.done.take() else { return };
        if panic::catch_unwind(AssertUnwindSafe(|| done(answer))).is_err() {
            tracing::error!("whoever waited for an append has panicked");
        }
    }

    /// What it is, as consumers would count it.
    pub(super) fn amount(&self) -> Amount {
        Amount { frames: 1, items: u64::from(self.items), bytes: self.frame_bytes() }
    }

    /// Bytes of its frame in the file.
    pub(super) fn frame_bytes(&self) -> u64 {
        frame::frame_bytes(self.payload.len()) as u64
    }

    fn cost(&self) -> usize {
        self.payload.len() + APPEND_OVERHEAD_BYTES
    }
}

/// An append and what became of it, still to be told.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) pending: Pending,
    pub(super) outcome: Result<u64, Error>,
}

impl Answer {
    /// Tells it.
    pub(super) fn give(mut self) {
        self.pending.answer(self.outcome);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.answer(Err(Error::Closed));
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Pending").field("bytes", &self.payload.len()).finish_non_exhaustive()
    }
}

/// Whether more will come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It will.
    No,
    /// What is queued is still to be written, then the file is sealed.
    Close,
    /// Stop at once, as a crash would.
    Abandon,
}

/// Something else for the committer to do, and where to say what came of it.
#[derive(Debug)]
pub(super) enum Errand {
    /// Finish the open file.
    Seal(SyncSender<Result<(), Error>>),
    /// Finish the open file if it has been written to for long enough.
    SealIfDue(SyncSender<Result<(), Error>>),
    /// Drop everything; the items in it.
    Clear(SyncSender<Result<u64, Error>>),
}

/// What the committer does next.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) group: Vec<Pending>,
    /// To be done after the group.
    pub(super) errands: Vec<Errand>,
    /// A consumer needs what is in the open file.
    pub(super) seal_demanded: bool,
    pub(super) ending: Ending,
    cost: usize,
}

#[derive(Debug)]
struct Waiting {
    pending: VecDeque<Pending>,
    /// Of what is pending and of the group that is being written.
    bytes: usize,
    /// Each with the number of appends that come before it.
    errands: Vec<(usize, Errand)>,
    /// When the first of them came, where that decides how long it waits for company.
    first_at: Option<Instant>,
    seal_demanded: bool,
    ending: Ending,
}

impl Waiting {
    fn fills_a_group(&self, max_frames: usize) -> bool {
        self.pending.len() >= max_frames || self.bytes >= MAX_GROUP_BYTES
    }
}

/// Between the appenders and the committer.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    work: Condvar,
    /// How long the first append of a group waits for company.
    linger: Duration,
    max_group_frames: usize,
}

impl Queue {
    pub(super) fn new(durability: Durability) -> Self {
        let waiting = Waiting {
            pending: VecDeque::new(),
            bytes: 0,
            errands: Vec::new(),
            first_at: None,
            seal_demanded: false,
            ending: Ending::No,
        };
        let (linger, max_group_frames) = match durability {
            Durability::GroupCommit { linger } => (linger, MAX_GROUP_FRAMES),
            Durability::Relaxed | Durability::Interval(_) => (Duration::ZERO, MAX_GROUP_FRAMES),
            Durability::EachWrite => (Duration::ZERO, 1),
        };
        Self { waiting: Mutex::new(waiting), work: Condvar::new(), linger, max_group_frames }
    }

    /// Queues an append, or gives it back with the reason.
    pub(super) fn push(&self, pending: Pending) -> Result<(), (Pending, Error)> {
        let mut waiting = self.waiting.lock();
        if waiting.ending != Ending::No {
            return Err((pending, Error::Closed));
        }
        if waiting.bytes > 0 && waiting.bytes + pending.cost() > MAX_QUEUED_BYTES {
            let error =
                Error::Busy { queued: waiting.bytes, limit: MAX_QUEUED_BYTES, retry_after: BUSY_RETRY };
            return Err((pending, error));
        }
        waiting.bytes += pending.cost();
        waiting.pending.push_back(pending);
        // Whoever finds company knows that the committer has been told already.
        let first = waiting.pending.len() == 1;
        let lingers = !self.linger.is_zero();
        if first && lingers {
            waiting.first_at = Some(Instant::now());
        }
        let tell = first || (lingers && waiting.fills_a_group(self.max_group_frames));
        drop(waiting);
        if tell {
            self.work.notify_one();
        }
        Ok(())
    }

    /// Has the committer do something when it comes to it. Whoever waits on the other end hears nothing if it ends
    /// before that.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if it is ending already.
    pub(super) fn send(&self, errand: Errand) -> Result<(), Error> {
        let mut waiting = self.waiting.lock();
        if waiting.ending != Ending::No {
            return Err(Error::Closed);
        }
        let before = waiting.pending.len();
        waiting.errands.push((before, errand));
        drop(waiting);
        self.work.notify_one();
        Ok(())
    }

    /// Whether nothing more is taken.
    pub(super) fn is_ending(&self) -> bool {
        self.waiting.lock().ending != Ending::No
    }

    pub(super) fn demand_seal(&self) {
        self.waiting.lock().seal_demanded = true;
        self.work.notify_one();
    }

    pub(super) fn end(&self, ending: Ending) {
        let mut waiting = self.waiting.lock();
        if waiting.ending != Ending::Abandon {
            waiting.ending = ending;
        }
        drop(waiting);
        self.work.notify_one();
    }

    /// Waits for something to do, until `deadline` where there is one, and takes one group of it.
    pub(super) fn take(&self, deadline: Option<Instant>) -> Work {
        let mut waiting = self.waiting.lock();
        while waiting.pending.is_empty()
            && waiting.errands.is_empty()
            && !waiting.seal_demanded
            && waiting.ending == Ending::No
        {
            match deadline {
                None => self.work.wait(&mut waiting),
                Some(deadline) => {
                    if self.work.wait_until(&mut waiting, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        self.wait_for_company(&mut waiting);
        let seal_demanded = std::mem::take(&mut waiting.seal_demanded);
        let ending = waiting.ending;
        let mut work = Work { group: Vec::new(), errands: Vec::new(), seal_demanded, ending, cost: 0 };
        let (mut bytes, mut frames) = (0, 0);
        for pending in &waiting.pending {
            bytes += pending.payload.len();
            if frames == self.max_group_frames || (frames > 0 && bytes > MAX_GROUP_BYTES) {
                break;
            }
            frames += 1;
            work.cost += pending.cost();
        }
        work.group.extend(waiting.pending.drain(..frames));
        for (before, _) in &mut waiting.errands {
            *before = before.saturating_sub(frames);
        }
        let due = waiting.errands.iter().take_while(|(before, _)| *before == 0).count();
        work.errands.extend(waiting.errands.drain(..due).map(|(_, errand)| errand));
        if waiting.pending.is_empty() {
            waiting.pending.shrink_to(MAX_GROUP_FRAMES);
        } else if work.ending == Ending::Close {
            work.ending = Ending::No;
        }
        work
    }

    fn wait_for_company(&self, waiting: &mut MutexGuard<'_, Waiting>) {
        let Some(until) = waiting.first_at.take().map(|first| first + self.linger) else { return };
        while waiting.ending == Ending::No && !waiting.fills_a_group(self.max_group_frames) {
            if self.work.wait_until(waiting, until).timed_out() {
                return;
            }
        }
    }

    /// Frees the room of a group that is answered or handed to the answerer, which takes few.
    pub(super) fn finished(&self, cost: usize) {
        self.waiting.lock().bytes -= cost;
    }

    /// Turns away whatever is still waiting.
    pub(super) fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        waiting.ending = Ending::Abandon;
        let left = std::mem::take(&mut waiting.pending);
        let undone = std::mem::take(&mut waiting.errands);
        waiting.bytes = 0;
        drop(waiting);
        drop((left, undone));
    }

    pub(super) fn bytes(&self) -> usize {
        self.waiting.lock().bytes
    }
}

impl Work {
    /// What its group takes up in the queue.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }
}
