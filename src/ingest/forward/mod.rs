//! Carries what is safe in a buffer to another OTLP server as well: the bytes that were accepted, as they are, or, of
//! spans, as [`Route::say_spans`] says them.
//!
//! Promise: every accepted request is sent until the other server has answered for it, in the order of
//! acceptance. Nothing is decoded here and nothing is kept in memory beyond the one request that is being sent: while
//! the other server cannot be reached, everything waits in the buffer. After an outage what is fresh goes first,
//! and the backlog follows beside it, one request after three fresh ones.
//!
//! What an answer means: see [`Outcome`]. Only bytes that the other server will never take are passed over, and
//! those are set aside in a folder; a server that refuses everything is not believed.
//!
//! Limits: one request in flight per signal, so that a crash sends at most one twice; requests of at most 4 MiB,
//! unless one was accepted larger, and of less where that is not taken or not in time; a bound on bytes per second;
//! 16 MiB set aside per signal; five refusals in a row.
//!
//! Does not know: protocols, addresses, what is in a request.

mod aside;
mod backoff;
mod held;
mod size;
#[cfg(test)]
mod tests;
mod throttle;
mod trust;
mod worker;

use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::buffer::{self, Amount, Buffer};
use crate::model::Clock;

use super::{Counter, Signal};
use backoff::Pace;
use worker::Worker;

pub use throttle::Throttle;

/// The name of the position that a forwarder keeps in each buffer.
pub const CONSUMER: &str = "upstream";

/// Where requests are forwarded to.
pub trait Upstream: Send + Sync + Debug {
    /// Sends one request in OTLP's protobuf encoding and waits for what becomes of it, for a bounded time.
    fn export(&self, signal: Signal, request: Bytes) -> Outcome;
}

/// What became of a request that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was taken, but for so many of its items; they are not to be sent again.
    Accepted {
        /// Items that the other server left out.
        rejected: u64,
        /// What it said about them.
        message: String,
    },
    /// Not now: unreachable, overloaded, restarting. It is sent again.
    Retry {
        /// What stands in the way.
        why: String,
        /// When the other server wants to hear of it again.
        after: Option<Duration>,
    },
    /// These bytes will never be taken.
    Refused {
        /// What is wrong with them.
        why: String,
        /// What part of it is wrong.
        cause: Refusal,
    },
    /// The address, the credentials or the settings are wrong, which says nothing about the bytes: it is sent
    /// again, slowly, until somebody has mended that.
    Blocked {
        /// What is wrong.
        why: String,
    },
    /// The same where what is wrong is the token, or that there is none.
    Unauthorized {
        /// What was said.
        why: String,
    },
}

/// What it is about bytes that a server does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// What is in them.
    Content,
    /// How many they are.
    Size,
    /// The server has run out of something: of room for a request of this size, or of something that has nothing to do
    /// with it.
    Exhausted,
}

/// What forwarding one signal counts.
#[derive(Debug, Default)]
pub struct ForwardCounts {
    /// Requests that were taken.
    pub requests: Counter,
    /// Items that were taken.
    pub items: Counter,
    /// Bytes of requests that were taken, before packing.
    pub bytes: Counter,
    /// Tries that failed and were, or will be, repeated.
    pub retries: Counter,
    /// Items that the other server left out of what it took.
    pub rejected_items: Counter,
    /// Items that it will never take.
    pub set_aside_items: Counter,
    /// Items that are not sent, because they cannot be said to it.
    pub left_out_items: Counter,
    /// Whether the last try failed.
    pub failing: AtomicBool,
    /// Whether it failed because somebody has to mend something.
    pub blocked: AtomicBool,
    /// Whether the forwarder has ended though nobody asked it to: by a defect of its own.
    pub ended: AtomicBool,
}

/// What a buffer still holds for the other server.
pub fn pending(buffer: &Buffer) -> Amount {
    let consumers = buffer.stats().consumers;
    consumers
        .iter()
        .find(|consumer| consumer.name == CONSUMER)
        .map_or_else(Amount::default, |own| own.pending)
}

/// Says an accepted request of spans as every OTLP server knows it: what is sent, perhaps nothing, and how many of its
/// items are not in it. Always the same of the same bytes.
pub type Say = fn(&Bytes) -> (Bytes, u32);

/// What all forwarders of a process have in common.
#[derive(Debug, Clone)]
pub struct Route {
    /// The other server.
    pub upstream: Arc<dyn Upstream>,
    /// How spans are said there.
    pub say_spans: Say,
    /// Where a forwarder that never ran before begins.
    pub start: buffer::StartAt,
    /// The bound on bytes per second, over all signals.
    pub throttle: Arc<Throttle>,
    /// The folder of what was refused; each signal has one inside.
    pub rejected: PathBuf,
    /// Names the files in it.
    pub clock: Arc<dyn Clock>,
}

/// Why a forwarder could not start.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The buffer does not let itself be read.
    #[error("read the buffer of {} to forward it", signal.name())]
    Buffer {
        /// Which.
        signal: Signal,
        /// Why.
        source: buffer::Error,
    },
    /// No thread could be started.
    #[error("start a forwarder's thread")]
    Thread(#[from] std::io::Error),
}

/// The running forwarder of one signal.
#[derive(Debug)]
pub struct Forwarder {
    ending: Arc<Ending>,
    thread: Option<JoinHandle<bool>>,
}

/// How far the end has come.
#[derive(Debug, Default)]
struct Ending {
    /// Nothing is waited for any more; what can be sent at once still is.
    closing: AtomicBool,
    /// Nothing more is begun.
    stop: AtomicBool,
}

/// Says when a thread ends, by a panic too.
struct Watch {
    counts: Arc<ForwardCounts>,
    ending: Arc<Ending>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.ending.closing.load(Ordering::Acquire) {
            self.counts.ended.store(true, Ordering::Relaxed);
        }
    }
}

impl Forwarder {
    /// Starts where it stopped the last time.
    pub fn start(
        buffer: &Buffer,
        signal: Signal,
        route: &Route,
        counts: Arc<ForwardCounts>,
    ) -> Result<Self, ForwardError> {
        Self::start_with(buffer, signal, route, counts, Pace::default())
    }

    fn start_with(
        buffer: &Buffer,
        signal: Signal,
        route: &Route,
        counts: Arc<ForwardCounts>,
        pace: Pace,
    ) -> Result<Self, ForwardError> {
        let ending = Arc::new(Ending::default());
        let watch = Watch { counts: Arc::clone(&counts), ending: Arc::clone(&ending) };
        let worker = Worker::new(buffer, signal, route, counts, pace, Arc::clone(&ending))
            .map_err(|source| ForwardError::Buffer { signal, source })?;
        let name = format!("forward {}", signal.name());
        let run = move || {
            let _watch = watch;
            worker.run()
        };
        let thread = std::thread::Builder::new().name(name).spawn(run)?;
        Ok(Self { ending, thread: Some(thread) })
    }

    /// Asks it to end: what a closed buffer still holds is sent if the other server takes it at once.
    pub fn close(&self) {
        self.ending.closing.store(true, Ordering::Release);
        self.wake();
    }

    /// Waits until it has ended, until `deadline`. A call that is still waiting for its answer then is left
    /// behind: its request stays in the buffer, and is sent again after the next start. Returns whether
    /// everything was sent.
    pub fn finish(mut self, deadline: Instant) -> bool {
        self.close();
        let Some(thread) = self.thread.take() else { return true };
        while !thread.is_finished() && Instant::now() < deadline {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        self.ending.stop.store(true, Ordering::Release);
        thread.is_finished() && thread.join().unwrap_or(false)
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.ending.stop.store(true, Ordering::Release);
        self.close();
    }
}
