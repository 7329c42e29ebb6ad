//! What was read is made an export request and handed over; the answer comes when it is on disk.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, oneshot};

use super::seldom::{Seldom, loggable};
use super::{Counts, Received, Transport};
use crate::ingest::{Accepted, DoorCounts, Ingest, Refused, Reservation, Signal};

/// What is larger is made a request and checked off the threads that serve connections …
const INLINE_BYTES: usize = 64 << 10;

/// … and this if it is a request already: a full batch of an SDK is checked in 0.15 ms, and to hand it over would cost as
/// much and spread memory over many threads.
const INLINE_REQUEST_BYTES: usize = 256 << 10;

/// Taken before anything is read; the rest is taken as it arrives, because a length costs nothing to announce.
const FIRST_BYTES: usize = 16 << 10;

/// The same where more is waited for: nearly all spans of a Jaeger need no more until they are on disk.
const FIRST_BYTES_OF_THE_PATIENT: usize = 64 << 10;

/// Pauses before a request is tried again, doubling from the first to the second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How long a body that is not yet read waits for room, at any door: its sender is held up by the network meanwhile, which
/// costs nothing here, where to read it only to refuse it costs a quarter of what it does to keep it.
const ADMITTED_WITHIN: Duration = Duration::from_millis(80);

/// The pause of who is first in line for room.
const LINE_PAUSE: Duration = Duration::from_millis(1);

/// How a door deals with its senders.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// How long a request that cannot be taken now waits here before its sender is asked to send it again.
    pub(super) patience: Duration,
    /// Whether one span that cannot be used makes its request fail as a whole: for senders that do not read how many
    /// were left out.
    pub(super) whole: bool,
}

impl Terms {
    /// Of OTLP: senders keep what is refused and send it again, and read what was left out.
    pub(super) const OTLP: Self = Self { patience: Duration::ZERO, whole: false };

    /// Of Jaeger's collector: an agent sends again for a while and then drops, a client drops at once, after five seconds
    /// at most. Neither reads how many spans were left out.
    pub(super) const COLLECTOR: Self = Self { patience: Duration::from_secs(2), whole: false };

    /// Of Jaeger's storage: a Jaeger drops the spans of any request that fails, and reads no answer.
    pub(super) const STORAGE: Self = Self { patience: Duration::from_secs(10), whole: true };
}

/// What is sent, and how.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) transport: Transport,
    pub(super) signal: Signal,
    /// Whether it is an export request as it stands.
    pub(super) is_request: bool,
}

/// Where requests are handed over.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) ingest: Arc<Ingest>,
    pub(super) counts: Arc<Counts>,
    pub(super) terms: Terms,
    /// Held by the first of those that wait to be admitted: who only tried from time to time could wait for ever beside
    /// others who try more luckily.
    pub(super) line: Mutex<()>,
}

/// An export request that was made of what was received.
#[derive(Debug)]
pub(super) struct Translated {
    pub(super) request: Received,
    /// To be told when the others are kept; `None` where senders read it.
    pub(super) left_out: Option<LeftOut>,
}

/// Spans that are not in a request.
#[derive(Debug)]
pub(super) struct LeftOut {
    pub(super) spans: u32,
    /// Why the first of them is not.
    pub(super) first: String,
    /// By which it is said of these, and of those that are left out of the request in turn.
    pub(super) warning: Arc<Seldom>,
}

impl From<Received> for Translated {
    fn from(request: Received) -> Self {
        Self { request, left_out: None }
    }
}

impl LeftOut {
    /// Adds these to those that the request was kept without.
    fn add_to(self, accepted: &mut Accepted) {
        if self.spans > 0 {
            accepted.rejected = accepted.rejected.saturating_add(self.spans);
            accepted.message = Some(self.first);
        }
        if accepted.rejected > 0 {
            let first = accepted.message.as_deref().unwrap_or_default();
            tracing::debug!(spans = accepted.rejected, first = %loggable(&first), "spans were left out");
            self.warning.happened(accepted.rejected.into(), &first);
        }
    }
}

/// What came of one try.
enum Tried {
    Done(Result<Accepted, Refused>),
    /// Refused for now.
    Later(Translated),
}

impl Door {
    /// Reads, inflates, translates and makes safe: returns when the spans are on disk. `convert` makes an export
    /// request of what was read. What is refused for now is tried again while the door has patience.
    ///
    /// Once the bytes are with the buffer they are its own: a client that goes away changes neither what is
    /// counted nor what is kept, nor gives room back too early.
    pub(super) async fn take<T: Into<Translated>>(
        self: &Arc<Self>,
        sent: Sent,
        received: impl Future<Output = Result<Received, Refused>>,
        convert: impl FnOnce(Received) -> Result<T, Refused> + Send + 'static,
    ) -> Result<Accepted, Refused> {
        let mut received = match received.await {
            Ok(received) => Translated::from(received),
            Err(refused) => return self.counted(sent, Err(refused)),
        };
        let (mut convert, mut waiting) = (Some(convert), Waiting::new(self.terms.patience));
        loop {
            let (answer, answered) = oneshot::channel();
            let (door, convert, is_last) = (Arc::clone(self), convert.take(), waiting.is_over());
            let inline = if sent.is_request { INLINE_REQUEST_BYTES } else { INLINE_BYTES };
            let large = received.request.bytes.len() > inline;
            let work = move || {
                let converted = match convert {
                    Some(convert) => convert(received.request).map(Into::into),
                    None => Ok(received),
                };
                door.attempt(sent, converted, is_last, answer);
            };
            // A panic is reported by its own hook; it drops `answer`, which is told below.
            let work = move || drop(catch_unwind(AssertUnwindSafe(work)));
            if large {
                drop(tokio::task::spawn_blocking(work));
            } else {
                work();
            }
            match answered.await {
                Ok(Tried::Done(outcome)) => return outcome,
                Ok(Tried::Later(refused)) => received = refused,
                Err(_dropped) => return self.counted(sent, Err(Refused::Defect)),
            }
            waiting.pause().await;
        }
    }

    fn attempt(
        self: Arc<Self>,
        sent: Sent,
        translated: Result<Translated, Refused>,
        is_last: bool,
        answer: oneshot::Sender<Tried>,
    ) {
        let Translated { request: Received { bytes, reservation }, left_out } = match translated {
            Ok(translated) => translated,
            Err(refused) => return drop(answer.send(Tried::Done(self.counted(sent, Err(refused))))),
        };
        let (ingest, whole, request) = (Arc::clone(&self.ingest), self.terms.whole, bytes.clone());
        let done = move |outcome| {
            let tried = match outcome {
                Err(Refused::Later { .. }) if !is_last && !self.ingest.is_stopping() => {
                    Tried::Later(Translated { request: Received { bytes, reservation }, left_out })
                }
                mut outcome => {
                    drop((bytes, reservation));
                    if let (Ok(accepted), Some(left_out)) = (&mut outcome, left_out) {
                        left_out.add_to(accepted);
                    }
                    Tried::Done(self.counted(sent, outcome))
                }
            };
            // Nobody may wait any more.
            drop(answer.send(tried));
        };
        if whole {
            ingest.accept_whole(sent.signal, request, done);
        } else {
            ingest.accept(sent.signal, request, done);
        }
    }

    fn counted(&self, sent: Sent, outcome: Result<Accepted, Refused>) -> Result<Accepted, Refused> {
        count(self.counts.of(sent.transport), sent.signal, &outcome);
        outcome
    }

    /// Room for the beginning of a body, if there is room for as much as was announced: to read it until there is none
    /// would only keep others waiting.
    pub(super) async fn admit(&self, announced: usize) -> Result<Reservation, Refused> {
        let (first, free) = if self.terms.patience.is_zero() {
            (FIRST_BYTES, announced)
        } else {
            // Half of all stays for those who are there already: without it all would wait for each other.
            (FIRST_BYTES_OF_THE_PATIENT, announced.max(self.ingest.settings().in_flight_bytes / 2))
        };
        let waiting = Waiting::in_line(self.terms.patience.max(ADMITTED_WITHIN));
        let _first = tokio::time::timeout_at(waiting.until.into(), self.line.lock()).await;
        self.patiently_until(waiting, || self.ingest.admit(first, free)).await
    }

    /// Tries until it succeeds, is refused for good, or the door's patience is over.
    pub(super) async fn patiently<T>(
        &self,
        attempt: impl FnMut() -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        self.patiently_until(Waiting::new(self.terms.patience), attempt).await
    }

    async fn patiently_until<T>(
        &self,
        mut waiting: Waiting,
        mut attempt: impl FnMut() -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        loop {
            match attempt() {
                Err(Refused::Later { .. }) if !waiting.is_over() && !self.ingest.is_stopping() => {}
                outcome => return outcome,
            }
            waiting.pause().await;
        }
    }
}

/// Longer and longer pauses, up to a deadline.
struct Waiting {
    until: Instant,
    pause: Duration,
    longest: Duration,
}

impl Waiting {
    fn new(patience: Duration) -> Self {
        Self { until: Instant::now() + patience, pause: FIRST_PAUSE, longest: LONGEST_PAUSE }
    }

    fn in_line(patience: Duration) -> Self {
        Self { pause: LINE_PAUSE, longest: LINE_PAUSE, ..Self::new(patience) }
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(self.longest);
    }
}

fn count(counts: &DoorCounts, signal: Signal, outcome: &Result<Accepted, Refused>) {
    counts.requests.add(1);
    match outcome {
        Ok(accepted) if signal == Signal::Traces => {
            counts.accepted_spans.add(accepted.items.into());
            counts.rejected_spans.add(accepted.rejected.into());
        }
        Ok(_) => {}
        Err(Refused::Later { .. }) => {
            counts.refused_requests.add(1);
        }
        Err(Refused::Malformed(_) | Refused::TooLarge { .. } | Refused::Full { .. } | Refused::Defect) => {
            counts.failed_requests.add(1);
        }
    }
}
