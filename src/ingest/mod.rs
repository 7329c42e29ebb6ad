//! The way in: a request is admitted, checked, made safe in the buffer, and only then acknowledged.
//!
//! Promise: [`Ingest::accept`] answers once. `Ok` means that every accepted span is on disk; a refusal says
//! why, and what limit or setting decided. Spans that cannot be used are left out and counted in the answer;
//! the others of the same request are kept. [`drain`] then carries what is safe into the store, each span once,
//! [`upkeep`] keeps that in order, and [`forward`], where an upstream is set, carries all three signals there. Log records and data points are on
//! disk too when they are acknowledged, if there is somebody to forward them to; otherwise they are counted and
//! discarded.
//!
//! [`Archive`] is the other way in, for traces that stay: without a buffer, on disk in a store of their own before it
//! answers.
//!
//! Limits: bytes in flight ([`Budget`]), bytes of a span, the buffer's own folder.
//!
//! Does not know: protocols, connections, status codes.

mod archive;
mod budget;
mod counts;
mod drain;
pub mod forward;
mod upkeep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::buffer::{self, Buffer};
use crate::otlp;

pub use archive::Archive;
pub use budget::{Budget, Reservation};
pub use counts::{Counter, DoorCounts, DrainCounts, SignalCounts};
pub use drain::{Drain, DrainError};
pub use upkeep::Upkeep;

/// What OTLP carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Signal {
    /// Spans: buffered and stored.
    Traces,
    /// Log records: forwarded, or counted and discarded.
    Logs,
    /// Metric data points: forwarded, or counted and discarded.
    Metrics,
}

impl Signal {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Traces, Self::Logs, Self::Metrics];

    /// Its name in paths, settings and numbers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Traces => "traces",
            Self::Logs => "logs",
            Self::Metrics => "metrics",
        }
    }
}

/// The buffers that are open.
#[derive(Debug, Clone)]
pub struct Buffers {
    /// Of spans.
    pub traces: Buffer,
    /// Of log records, if somebody takes them.
    pub logs: Option<Buffer>,
    /// Of data points, if somebody takes them.
    pub metrics: Option<Buffer>,
}

impl Buffers {
    /// One signal's.
    pub fn of(&self, signal: Signal) -> Option<&Buffer> {
        match signal {
            Signal::Traces => Some(&self.traces),
            Signal::Logs => self.logs.as_ref(),
            Signal::Metrics => self.metrics.as_ref(),
        }
    }

    /// Each with its signal.
    pub fn each(&self) -> impl Iterator<Item = (Signal, &Buffer)> {
        Signal::ALL.into_iter().filter_map(|signal| Some((signal, self.of(signal)?)))
    }
}

/// A request that is safe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Accepted {
    /// Items (spans, log records, data points) taken.
    pub items: u32,
    /// Items left out because they cannot be used.
    pub rejected: u32,
    /// What the sender should know: the first rejection, or a warning.
    pub message: Option<String>,
}

/// A request that was not taken, none of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The bytes are not what they claim to be; sending them again cannot help.
    #[error("{0}")]
    Malformed(String),
    /// More than a limit allows; sending it again cannot help.
    #[error("{what} of {bytes} bytes is larger than the {limit} bytes that {key} allows")]
    TooLarge {
        /// What was measured.
        what: &'static str,
        /// How large it is, as far as it was read.
        bytes: u64,
        /// What is allowed.
        limit: u64,
        /// The setting that says so.
        key: &'static str,
    },
    /// There is no room for it, and there will be none by itself.
    #[error("{what} has the {limit} bytes that it may take: {key}")]
    Full {
        /// What is full.
        what: &'static str,
        /// What it may take.
        limit: u64,
        /// The setting that says so.
        key: &'static str,
    },
    /// Not now; the same request may be taken later.
    #[error("{why}; send it again in {} s", retry_after.as_secs())]
    Later {
        /// What stands in the way.
        why: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// Our own mistake; sending it again would only meet it again.
    #[error("the server failed on this request by a defect of its own")]
    Defect,
}

/// How long a sender is asked to wait when nothing better is known.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The settings of this floor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The largest request, inflated, in bytes.
    pub max_request_bytes: usize,
    /// The largest single span, in bytes.
    pub max_span_bytes: usize,
    /// Bytes of requests that may be in memory at once.
    pub in_flight_bytes: usize,
}

/// Takes requests of all doors.
#[derive(Debug)]
pub struct Ingest {
    keeper: Keeper,
    settings: Settings,
    limits: otlp::Limits,
    budget: Arc<Budget>,
    stopping: Arc<AtomicBool>,
    counts: Arc<SignalCounts>,
}

/// Who makes safe what is taken.
#[derive(Debug)]
enum Keeper {
    Buffers(Buffers),
    Archive(Archive),
}

impl Ingest {
    /// Into these buffers.
    pub fn new(buffers: Buffers, settings: Settings) -> Self {
        let limits = otlp::Limits { max_span_bytes: settings.max_span_bytes };
        let budget = Arc::new(Budget::new(settings.in_flight_bytes));
        let keeper = Keeper::Buffers(buffers);
        Self { keeper, settings, limits, budget, stopping: Arc::default(), counts: Arc::default() }
    }

    /// The way into an archive beside this one: both have the same limits and end at the same time.
    pub fn into_archive(&self, archive: Archive) -> Self {
        Self {
            keeper: Keeper::Archive(archive),
            settings: self.settings.clone(),
            limits: self.limits,
            budget: Arc::clone(&self.budget),
            stopping: Arc::clone(&self.stopping),
            counts: Arc::clone(&self.counts),
        }
    }

    /// The settings it was made with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What was counted and discarded.
    pub fn counts(&self) -> &SignalCounts {
        &self.counts
    }

    /// Room for a body, taken before it is read and kept until its request is answered.
    pub fn reserve(&self, bytes: usize) -> Result<Reservation, Refused> {
        if self.stopping.load(Ordering::Acquire) {
            return Err(stopping());
        }
        Budget::reserve(&self.budget, bytes)
    }

    /// The same for the beginning of a body, if so many bytes are free now, these among them.
    pub fn admit(&self, bytes: usize, free: usize) -> Result<Reservation, Refused> {
        if self.is_stopping() {
            return Err(stopping());
        }
        Budget::admit(&self.budget, bytes, free)
    }

    /// Refuses everything from now on; what was accepted before is finished.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }

    /// Whether requests are refused because the program is ending.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Takes one export request in OTLP's protobuf encoding. `done` is called once: when it is on disk, from the
    /// buffer's thread, where the signal has a buffer.
    pub fn accept(
        &self,
        signal: Signal,
        request: Bytes,
        done: impl FnOnce(Result<Accepted, Refused>) + Send + 'static,
    ) {
        if self.is_stopping() {
            return done(Err(stopping()));
        }
        match signal {
            Signal::Traces => self.keep(signal, self.check_spans(request), done),
            Signal::Logs => self.keep(signal, counted(request, otlp::count_log_records), done),
            Signal::Metrics => self.keep(signal, counted(request, otlp::count_data_points), done),
        }
    }

    /// The same for senders that do not read how many spans were left out: one that cannot be used refuses its request.
    pub fn accept_whole(
        &self,
        signal: Signal,
        request: Bytes,
        done: impl FnOnce(Result<Accepted, Refused>) + Send + 'static,
    ) {
        if signal != Signal::Traces || self.is_stopping() {
            return self.accept(signal, request, done);
        }
        let checked = self.check_spans(request).and_then(|(request, accepted)| match accepted.rejected {
            0 => Ok((request, accepted)),
            _ => Err(Refused::Malformed(accepted.message.unwrap_or_default())),
        });
        self.keep(signal, checked, done);
    }

    fn keep(
        &self,
        signal: Signal,
        checked: Result<(Bytes, Accepted), Refused>,
        done: impl FnOnce(Result<Accepted, Refused>) + Send + 'static,
    ) {
        let (request, accepted) = match checked {
            Ok(checked) => checked,
            Err(refused) => return done(Err(refused)),
        };
        // What is no item that we know, such as a new kind of metric, is for the upstream to judge; it is not stored here.
        let is_nothing = accepted.items == 0 && (signal == Signal::Traces || request.is_empty());
        let buffer = match &self.keeper {
            Keeper::Buffers(buffers) => buffers.of(signal),
            Keeper::Archive(archive) if signal == Signal::Traces && !is_nothing => {
                return archive.append(request, accepted.items, move |kept| done(kept.map(|()| accepted)));
            }
            Keeper::Archive(_) => None,
        };
        match buffer {
            Some(buffer) if !is_nothing => buffer.append(request, accepted.items, move |appended| {
                done(appended.map(|_sequence| accepted).map_err(Refused::from));
            }),
            Some(_) => done(Ok(accepted)),
            None => {
                self.discard(signal, accepted.items);
                done(Ok(accepted));
            }
        }
    }

    /// Log records and data points have no store here: they are counted, and the sender hears "ok", because a
    /// client that sends all three signals to one address would otherwise report an error every interval.
    fn discard(&self, signal: Signal, items: u32) {
        let counter = match signal {
            Signal::Logs if items > 0 => &self.counts.log_records,
            Signal::Metrics if items > 0 => &self.counts.data_points,
            _ => return,
        };
        if counter.add(u64::from(items)) == 0 {
            tracing::info!("{} are accepted and discarded: only spans are stored", signal.name());
        }
    }

    /// The request as it will be kept, and what its sender is told.
    fn check_spans(&self, request: Bytes) -> Result<(Bytes, Accepted), Refused> {
        let malformed = |error: otlp::ScanError| Refused::Malformed(error.to_string());
        let scanned = otlp::scan(&request, &self.limits).map_err(malformed)?;
        let first = scanned.first_rejection;
        let accepted = |message| Accepted { items: scanned.accepted, rejected: scanned.rejected, message };
        match (scanned.accepted, scanned.rejected) {
            (_, 0) => Ok((request, accepted(repair_warning(scanned.repaired)))),
            (0, _) => Err(Refused::Malformed(first.unwrap_or_default())),
            _ => {
                let kept = otlp::without_rejected(&request, &self.limits).map_err(malformed)?;
                Ok((kept.into(), accepted(first)))
            }
        }
    }
}

impl From<buffer::Error> for Refused {
    /// All that keeps the buffer from taking a frame passes, but a frame that no file of it could hold.
    fn from(error: buffer::Error) -> Self {
        let (why, retry_after) = match error {
            buffer::Error::Closed => return stopping(),
            buffer::Error::TooLarge { bytes, limit } => {
                let (bytes, limit) = (bytes as u64, limit as u64);
                return Self::TooLarge { what: "a request", bytes, limit, key: "buffer.max_file_size" };
            }
            buffer::Error::Full { used, limit, retry_after } => {
                let why = format!(
                    "{used} of the {limit} bytes of buffer.max_folder_size wait to be stored or forwarded"
                );
                (why, retry_after)
            }
            buffer::Error::Busy { queued, limit, retry_after } => {
                (format!("{queued} of {limit} bytes wait for the disk"), retry_after)
            }
            buffer::Error::NoSpace { retry_after, .. } => {
                ("no space is left on the disk".to_owned(), retry_after)
            }
            error => {
                // Its words name folders of this machine: for our log, not for a sender.
                tracing::error!(
                    error = &error as &(dyn std::error::Error + 'static),
                    "a request could not be made safe"
                );
                ("the disk does not take it".to_owned(), RETRY_AFTER)
            }
        };
        Self::Later { why, retry_after }
    }
}

fn stopping() -> Refused {
    Refused::Later { why: "the server is stopping".to_owned(), retry_after: RETRY_AFTER }
}

fn repair_warning(repaired: u32) -> Option<String> {
    (repaired > 0).then(|| {
        format!("text that is not UTF-8 in {repaired} span(s): kept as sent, shown with U+FFFD in its place")
    })
}

/// A request whose items are only counted, as it came.
fn counted(
    request: Bytes,
    count: fn(&[u8]) -> Result<u32, otlp::ScanError>,
) -> Result<(Bytes, Accepted), Refused> {
    let items = count(&request).map_err(|error| Refused::Malformed(error.to_string()))?;
    Ok((request, Accepted { items, ..Accepted::default() }))
}
