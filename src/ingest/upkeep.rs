//! Keeps the store in order beside what is written to it: runs are merged, what is past its time goes.
//!
//! One thread. Nothing waits for it but space on the disk, and that is also made where a commit finds none.

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
        let mut rest = 0;
        while !self.is_over() {
            match self.expire() {
                Ok(()) if rest == 0 => {
                    if let Err(error) = self.merge() {
                        rest = REST;
                        told("runs of the store could not be merged", &error);
                    }
                }
                Ok(()) => rest -= 1,
                Err(error) => told("what is past its time could not be removed", &error),
            }
            std::thread::park_timeout(EVERY);
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn expire(&self) -> Result<(), Error> {
        let expired = self.store.expire(self.clock.now())?;
        self.counts.expired_spans.add(expired.spans);
        Ok(())
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

fn told(what: &'static str, error: &Error) {
    tracing::warn!(error = error as &(dyn std::error::Error + 'static), "{what}; it is tried again");
}
