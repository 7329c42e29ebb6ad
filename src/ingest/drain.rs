//! Carries what is safe in the buffer into the store, batch by batch, each span once.
//!
//! One thread. The buffer's position is written in the store's own transaction, so a crash at any moment
//! repeats nothing and skips nothing. After a silence a batch is committed at once; while spans keep coming it gathers
//! for a moment, so that the store has few large runs and not many small ones.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::buffer::{self, Buffer, Consumer, Frame, Reserve, Take};
use crate::model::{Clock, Span};
use crate::otlp;
use crate::store::{self, Cursor, Store};

use super::DrainCounts;

/// The most one commit takes, unless one frame alone is more: one run of the store, packed in a twentieth of a second.
const BATCH: Take = Take { max_frames: 4_096, max_bytes: 32 << 20, max_items: 50_000 };

/// How long after the last commit the next one follows while spans keep coming and do not fill a batch.
const GATHER: Duration = Duration::from_millis(150);

/// A batch that comes this long after the last commit is not made to wait.
const SILENCE: Duration = Duration::from_millis(200);

/// A batch of so many spans is read by two threads.
const READ_BY_TWO: usize = 10_000;

/// How long the thread sleeps at most before it looks whether it should stop.
const WAIT: Duration = Duration::from_millis(100);

/// Waits after a failed commit, doubling from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The signal's number in the store's cursor; the buffer's segment headers have the same.
const TRACES: u8 = 1;

/// Why the drain could not start.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// The store does not say how far it has come.
    #[error("read the buffer's position from the store")]
    Cursor(#[from] store::Error),
    /// The buffer does not let itself be read.
    #[error("read the buffer")]
    Buffer(#[from] buffer::Error),
    /// No thread could be started.
    #[error("start the drain's thread")]
    Thread(#[from] std::io::Error),
}

/// The running drain; it ends when this is dropped.
#[derive(Debug)]
pub struct Drain {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drain {
    /// Starts where the store says it stopped.
    pub fn start(
        buffer: &Buffer,
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        counts: Arc<DrainCounts>,
    ) -> Result<Self, DrainError> {
        let applied = store.cursor(buffer.id(), TRACES)?;
        let consumer = buffer.external_consumer("store", applied)?;
        let stop = Arc::new(AtomicBool::new(false));
        let worker = Worker {
            buffer: buffer.id(),
            reserve: buffer.reserve(),
            consumer,
            store,
            clock,
            counts,
            stop: Arc::clone(&stop),
            committed: None,
        };
        let thread = std::thread::Builder::new().name("drain".into()).spawn(move || worker.run())?;
        Ok(Self { stop, thread: Some(thread) })
    }

    /// Applies what a closed buffer still holds, for at most this long. What is left stays in the buffer and
    /// is applied after the next start. Returns whether all of it was applied.
    pub fn finish(mut self, within: Duration) -> bool {
        let deadline = Instant::now() + within;
        while !self.has_ended() && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let in_time = self.has_ended();
        self.stop() && in_time
    }

    fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until it has ended. Returns whether it did without a panic.
    fn stop(&mut self) -> bool {
        self.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.take() else { return true };
        // It may be waiting before it tries again; otherwise it ends after the commit it is in.
        thread.thread().unpark();
        // A panic in it was told when it happened.
        thread.join().is_ok()
    }
}

impl Drop for Drain {
    /// Whoever has the data folder next finds nobody who writes to it.
    fn drop(&mut self) {
        self.stop();
    }
}

struct Worker {
    buffer: [u8; 16],
    reserve: Option<Arc<Reserve>>,
    consumer: Consumer,
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    counts: Arc<DrainCounts>,
    stop: Arc<AtomicBool>,
    /// When the last commit was made.
    committed: Option<Instant>,
}

impl Worker {
    fn run(mut self) {
        while !self.stop.load(Ordering::Acquire) {
            match self.gather() {
                Ok(frames) => self.apply(&frames),
                Err(buffer::Error::Closed) => break,
                Err(error) => {
                    self.counts.failing.store(true, Ordering::Relaxed);
                    tracing::error!(
                        error = &error as &(dyn std::error::Error + 'static),
                        "the buffer could not be read; trying again"
                    );
                    std::thread::park_timeout(LONGEST_PAUSE);
                }
            }
        }
    }

    /// The frames of the next batch.
    fn gather(&mut self) -> Result<Vec<Frame>, buffer::Error> {
        let mut frames = self.consumer.next(BATCH, WAIT)?;
        let Some(until) = self.committed.filter(|at| at.elapsed() < SILENCE).map(|at| at + GATHER) else {
            return Ok(frames);
        };
        let mut room = BATCH;
        let mut added = frames.len();
        while added > 0 && take_out(&mut room, &frames[frames.len() - added..]) {
            match self.consumer.next(room, until.saturating_duration_since(Instant::now())) {
                Ok(more) => {
                    added = more.len();
                    frames.extend(more);
                }
                // What was gathered is applied first; the next call says it again.
                Err(_) => break,
            }
        }
        Ok(frames)
    }

    fn apply(&mut self, frames: &[Frame]) {
        let Some(last) = frames.last() else { return };
        let spans = self.spans_of(frames);
        let cursor = Cursor { buffer: self.buffer, signal: TRACES, sequence: last.sequence };
        if self.commit(&spans, &cursor) {
            self.consumer.release(last.sequence);
            self.committed = Some(Instant::now());
        }
    }

    /// The spans of a batch. Those of a large one are read by two: this thread is the one that all others wait for.
    fn spans_of(&self, frames: &[Frame]) -> Vec<Span> {
        let count = frames.iter().map(|frame| frame.items as usize).sum();
        let read = |frames: &[Frame], room| {
            let mut spans = Vec::with_capacity(room);
            frames.iter().for_each(|frame| spans.extend(self.spans(frame)));
            spans
        };
        if count < READ_BY_TWO {
            return read(frames, count);
        }
        let (first, second) = frames.split_at(frames.len() / 2);
        std::thread::scope(|scope| {
            let helper = std::thread::Builder::new().name("drain-read".into());
            let helper = helper.spawn_scoped(scope, || read(second, count / 2));
            let mut spans = read(first, count);
            spans.extend(match helper {
                Ok(helper) => helper.join().unwrap_or_else(|panic| resume_unwind(panic)),
                // Without a thread more it takes longer, and that is all.
                Err(_) => read(second, count / 2),
            });
            spans
        })
    }

    /// Frames were checked when they were accepted; one that cannot be read any more is counted and passed,
    /// because it would stand in the way of all that follow.
    fn spans(&self, frame: &Frame) -> Vec<Span> {
        // A defect that one request meets must not keep all others from being stored.
        let read = catch_unwind(|| otlp::accepted_spans(&frame.payload));
        let why = match read {
            Ok(Ok(spans)) => return spans,
            Ok(Err(error)) => error.to_string(),
            Err(_panic) => "reading it met a defect of this program".to_owned(),
        };
        self.counts.damaged_frames.add(1);
        tracing::error!(
            frame.sequence,
            frame.items,
            why,
            "an accepted frame could not be read; it is passed over"
        );
        Vec::new()
    }

    /// Until it succeeds or the program ends. Returns whether it succeeded.
    fn commit(&self, spans: &[Span], cursor: &Cursor) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            // Unwind safety: after a panic the store's writer starts over.
            match catch_unwind(AssertUnwindSafe(|| self.store.append(spans, cursor, self.clock.now()))) {
                Ok(Ok(appended)) => {
                    self.counts.commits.add(1);
                    self.counts.stored_spans.add(appended.new);
                    self.counts.duplicate_spans.add(appended.duplicates);
                    self.counts.failing.store(false, Ordering::Relaxed);
                    return true;
                }
                Ok(Err(error)) => self.refused(&error),
                Err(_panic) => {
                    self.failed();
                    tracing::error!(
                        "storing a batch met a defect of this program; it stays in the buffer and is tried again"
                    );
                }
            }
            if self.stop.load(Ordering::Acquire) {
                return false;
            }
            std::thread::park_timeout(pause);
            pause = (pause * 2).min(LONGEST_PAUSE);
            // On a full disk, this is what makes room.
            self.expire();
        }
    }

    fn failed(&self) {
        self.counts.failed_commits.add(1);
        self.counts.failing.store(true, Ordering::Relaxed);
    }

    fn refused(&self, error: &store::Error) {
        self.failed();
        tracing::error!(
            error = error as &(dyn std::error::Error + 'static),
            "the store refused a batch; it stays in the buffer and is tried again"
        );
        if let (true, Some(reserve)) = (error.is_no_space(), &self.reserve) {
            reserve.release();
        }
    }

    fn expire(&self) {
        if let Err(error) = self.store.expire(self.clock.now()) {
            tracing::error!(
                error = &error as &(dyn std::error::Error + 'static),
                "expired spans could not be removed"
            );
        }
    }
}

/// Takes from the room what the frames need; false when there is none left.
fn take_out(room: &mut Take, frames: &[Frame]) -> bool {
    let bytes = frames.iter().map(|frame| frame.payload.len()).sum();
    let items = frames.iter().map(|frame| u64::from(frame.items)).sum();
    let left = (
        room.max_frames.checked_sub(frames.len()),
        room.max_bytes.checked_sub(bytes),
        room.max_items.checked_sub(items),
    );
    let (Some(max_frames), Some(max_bytes), Some(max_items)) = left else { return false };
    *room = Take { max_frames, max_bytes, max_items };
    max_frames > 0 && max_bytes > 0 && max_items > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::buffer::{Environment, FileStorageConfig, HostClock, Signal};
    use crate::model::Timestamp;
    use crate::store::Settings;

    #[derive(Debug)]
    struct Still;

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp(1_700_000_000_000_000_000)
        }
    }

    #[test]
    fn one_that_is_dropped_has_let_go_of_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::host(Arc::new(HostClock));
        let settings = FileStorageConfig::appliance();
        let (buffer, _) =
            Buffer::open(&folder.path().join("buffer"), Signal::Traces, settings, environment).unwrap();
        let settings = Settings::for_good(1 << 20);
        let store = Arc::new(Store::open(folder.path(), &settings, Still.now()).unwrap());
        let counts = Arc::new(DrainCounts::default());
        drop(Drain::start(&buffer, Arc::clone(&store), Arc::new(Still), counts).unwrap());
        assert_eq!(Arc::strong_count(&store), 1);
    }
}
