//! Keeps the store in order beside what is written to it: runs are merged, what is past its time goes.
//!
//! One thread. Nothing waits for it but space on the disk, and that is also made where a commit finds none.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::model::Clock;
use crate::store::{Error, Store};

use super::DrainCounts;

/// How often it is looked whether something is to be done.
const EVERY: Duration = Duration::from_secs(1);

/// Rounds that are left out after one that failed.
const REST: u32 = 30;

/// The running upkeep; it ends when this is dropped.
#[derive(Debug)]
pub struct Upkeep {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Upkeep {
    /// Starts it.
    pub fn start(
        store: Arc<Store>,
        clock: Arc<dyn Clock>,
        counts: Arc<DrainCounts>,
    ) -> Result<Self, std::io::Error> {
        let stop = Arc::new(AtomicBool::new(false));
        let worker = Worker { store, clock, counts, stop: Arc::clone(&stop) };
        let thread = std::thread::Builder::new().name("upkeep".into()).spawn(move || worker.run())?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A panic in it was told when it happened.
            drop(thread.join());
        }
    }
}

struct Worker {
    store: Arc<Store>,
    clock: Arc<dyn Clock>,
    counts: Arc<DrainCounts>,
    stop: Arc<AtomicBool>,
}

impl Worker {
    fn run(&self) {
        let mut expiry = Chore::new("removing what is past its time");
        let mut merging = Chore::new("merging runs of the store");
        while !self.is_over() {
            expiry.round(|| self.expire());
            merging.round(|| self.merge());
            std::thread::park_timeout(EVERY);
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn expire(&self) -> Result<(), Error> {
        self.store.expire(self.clock.now()).map(drop)
    }

    fn merge(&self) -> Result<(), Error> {
        while !self.is_over()
            && let Some(merged) = self.store.merge()?
        {
            self.counts.merged_runs.add(merged.runs as u64);
            self.counts.duplicate_spans.add(merged.duplicates);
        }
        Ok(())
    }
}

/// Something that is done in every round, unless it failed a moment ago.
struct Chore {
    /// Said in the log.
    what: &'static str,
    is_failing: bool,
    /// Rounds that are left out.
    rest: u32,
}

impl Chore {
    fn new(what: &'static str) -> Self {
        Self { what, is_failing: false, rest: 0 }
    }

    fn round(&mut self, work: impl FnOnce() -> Result<(), Error>) {
        if self.rest > 0 {
            self.rest -= 1;
            return;
        }
        // Unwind safety: what the store holds is changed by commits, which are whole or not at all.
        match catch_unwind(AssertUnwindSafe(work)) {
            Ok(Ok(())) if self.is_failing => {
                self.is_failing = false;
                tracing::info!("{} works again", self.what);
            }
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.failed(&error),
            Err(_panic) => self.failed(&Defect),
        }
    }

    /// Said once, until it works again: a disk may fail for days.
    fn failed(&mut self, error: &(dyn std::error::Error + 'static)) {
        if !self.is_failing {
            tracing::error!(error, "{} failed; it is tried again every half minute", self.what);
        }
        (self.is_failing, self.rest) = (true, REST);
    }
}

/// A panic, told by its hook.
#[derive(Debug, thiserror::Error)]
#[error("a defect of this program was met")]
struct Defect;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_done_again_after_a_rest() {
        let failures: [fn() -> Result<(), Error>; 2] =
            [|| Err(Error::ArchiveFull { limit: 0 }), || panic!("a defect")];
        for fail in failures {
            let (mut chore, mut done) = (Chore::new("doing it"), 0);
            chore.round(fail);
            for _round in 0..REST {
                chore.round(|| {
                    done += 1;
                    Ok(())
                });
            }
            assert_eq!((done, chore.is_failing), (0, true));
            for _round in 0..3 {
                chore.round(|| {
                    done += 1;
                    Ok(())
                });
            }
            assert_eq!((done, chore.is_failing), (3, false));
        }
    }
}
