//! Spans that stay: written into a store of their own, in which nothing goes for its age.
//!
//! One thread. Requests that wait while it commits are the next commit, all together, so that many who write at the same
//! time wait for few commits.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::model::{Clock, Span};
use crate::otlp;
use crate::store::{self, Store};

use super::{RETRY_AFTER, Refused, stopping};

/// Requests that wait for the thread.
const MAX_WAITING: usize = 1_024;

/// Spans and bytes behind which a commit takes no more requests.
const MAX_SPANS: usize = 50_000;
const MAX_BYTES: usize = 32 << 20;

/// The limit, in a sender's words.
const LIMIT_KEY: &str = "a quarter of store.max_bytes; nothing in it is dropped to make room";

/// The running archive; cheap to clone.
#[derive(Debug, Clone)]
pub struct Archive {
    running: Arc<Running>,
}

#[derive(Debug)]
struct Running {
    /// `None` once it is closed.
    jobs: Mutex<Option<SyncSender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Told when it is done.
type Done<T> = Box<dyn FnOnce(Result<(), T>) + Send>;

enum Job {
    Keep(Request),
    Purge(Done<store::Error>),
}

struct Request {
    bytes: Bytes,
    spans: usize,
    done: Done<Refused>,
}

impl Archive {
    /// Starts the thread that writes to this store, which may take so many bytes on the disk.
    pub fn start(store: Arc<Store>, max_bytes: u64, clock: Arc<dyn Clock>) -> Result<Self, std::io::Error> {
        let (sender, jobs) = sync_channel(MAX_WAITING);
        let worker = Worker { store, max_bytes, clock, jobs, fails: Cell::new(false) };
        let thread = std::thread::Builder::new().name("archive".into()).spawn(move || worker.run())?;
        let running = Running { jobs: Mutex::new(Some(sender)), thread: Mutex::new(Some(thread)) };
        Ok(Self { running: Arc::new(running) })
    }

    /// Keeps the spans of a request that was checked. `done` is called once: when they are on disk, on the archive's
    /// thread; or with the reason why they are not, perhaps before this returns.
    pub fn append(
        &self,
        request: Bytes,
        spans: u32,
        done: impl FnOnce(Result<(), Refused>) + Send + 'static,
    ) {
        let request = Request { bytes: request, spans: spans as usize, done: Box::new(done) };
        let Some(jobs) = self.running.jobs.lock().clone() else { return (request.done)(Err(stopping())) };
        let (job, refused) = match jobs.try_send(Job::Keep(request)) {
            Ok(()) => return,
            Err(TrySendError::Full(job)) => {
                let why = format!("{MAX_WAITING} requests wait for the archive");
                (job, Refused::Later { why, retry_after: RETRY_AFTER })
            }
            Err(TrySendError::Disconnected(job)) => (job, Refused::Defect),
        };
        if let Job::Keep(request) = job {
            (request.done)(Err(refused));
        }
    }

    /// Empties it of all that was appended before; false when it is closed.
    pub fn purge(&self) -> Option<Result<(), store::Error>> {
        let jobs = self.running.jobs.lock().clone()?;
        let (told, hears) = sync_channel(1);
        let done = move |purged| drop(told.send(purged));
        jobs.send(Job::Purge(Box::new(done))).ok()?;
        hears.recv().ok()
    }

    /// Refuses new requests, writes those that wait, ends the thread.
    pub fn close(&self) {
        drop(self.running.jobs.lock().take());
        if let Some(thread) = self.running.thread.lock().take() {
            // A panic in it was told when it happened.
            drop(thread.join());
        }
    }
}

struct Worker {
    store: Arc<Store>,
    max_bytes: u64,
    clock: Arc<dyn Clock>,
    jobs: Receiver<Job>,
    /// Whether the last commit failed: those who wait try again many times, and the log is told once.
    fails: Cell<bool>,
}

impl Worker {
    fn run(self) {
        while let Ok(job) = self.jobs.recv() {
            let purge = match job {
                Job::Keep(request) => {
                    let (requests, purge) = self.gather(request);
                    self.keep(requests);
                    purge
                }
                Job::Purge(done) => Some(done),
            };
            if let Some(done) = purge {
                // Unwind safety: as of a commit.
                let purged = catch_unwind(AssertUnwindSafe(|| self.store.purge(self.clock.now())));
                let died = |_panic| Err(store::Error::Panicked("while the archive was emptied".to_owned()));
                done(purged.unwrap_or_else(died));
            }
        }
    }

    /// All that wait behind the first, up to a commit's size, or to one who wants the archive emptied.
    fn gather(&self, first: Request) -> (Vec<Request>, Option<Done<store::Error>>) {
        let (mut spans, mut bytes) = (first.spans, first.bytes.len());
        let mut requests = vec![first];
        while spans < MAX_SPANS && bytes < MAX_BYTES {
            match self.jobs.try_recv() {
                Ok(Job::Keep(request)) => {
                    spans += request.spans;
                    bytes += request.bytes.len();
                    requests.push(request);
                }
                Ok(Job::Purge(done)) => return (requests, Some(done)),
                Err(_none) => break,
            }
        }
        (requests, None)
    }

    /// One commit.
    fn keep(&self, requests: Vec<Request>) {
        let outcome = if self.store.data_bytes() >= self.max_bytes {
            Err(Refused::Full { what: "the archive", limit: self.max_bytes, key: LIMIT_KEY })
        } else {
            // Unwind safety: after a panic the store's writer starts over.
            let committed = catch_unwind(AssertUnwindSafe(|| self.commit(&requests)));
            committed.unwrap_or(Err(Refused::Defect))
        };
        for request in requests {
            (request.done)(outcome.clone());
        }
    }

    fn commit(&self, requests: &[Request]) -> Result<(), Refused> {
        let mut spans: Vec<Span> = Vec::with_capacity(requests.iter().map(|request| request.spans).sum());
        for request in requests {
            // It was checked when it came.
            spans.extend(otlp::accepted_spans(&request.bytes).map_err(|_damaged| Refused::Defect)?);
        }
        let kept = self.store.keep(&spans, self.clock.now());
        let failed_before = self.fails.replace(kept.is_err());
        if kept.is_ok() && failed_before {
            tracing::info!("spans can be written to the archive again");
        }
        kept.map(drop).map_err(|error| {
            if !failed_before {
                tracing::error!(
                    error = &error as &(dyn std::error::Error + 'static),
                    "spans cannot be written to the archive"
                );
            }
            // Its words name folders of this machine: for our log, not for a sender.
            let why = if error.is_no_space() {
                "no space is left on the disk"
            } else {
                "the disk does not take it"
            };
            Refused::Later { why: why.to_owned(), retry_after: RETRY_AFTER }
        })
    }
}
