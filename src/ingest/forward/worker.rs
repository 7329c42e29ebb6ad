//! The loop of one signal's forwarder: gather, send, let go, and never more than one request at a time.

use std::panic::catch_unwind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::buffer::{self, Buffer, Consumer};
use crate::ingest::Signal;

use super::aside::Aside;
use super::backoff::{Backoff, Pace};
use super::held::{Answered, Frame, Held, Whole};
use super::size::RequestSize;
use super::trust::Trust;
use super::{CONSUMER, Ending, ForwardCounts, Outcome, Refusal, Route, Say, Throttle, Upstream, pending};

/// How long to wait for fresh frames before looking whether to end.
const WAIT: Duration = Duration::from_millis(100);

/// After our own disk failed.
const TRY_DISK_AGAIN: Duration = Duration::from_secs(2);

/// Requests with fresh frames before one with backlog.
const LIVE_PER_BACKLOG: u32 = 3;

/// An outage after which what is fresh waits neither for a small backlog nor for what came meanwhile.
const LONG_OUTAGE: Duration = Duration::from_secs(10);

/// What a thread of a [`super::Forwarder`] owns.
pub(super) struct Worker {
    signal: Signal,
    buffer: Buffer,
    consumer: Consumer,
    upstream: Arc<dyn Upstream>,
    /// How spans are said there.
    say_spans: Say,
    counts: Arc<ForwardCounts>,
    backoff: Backoff,
    throttle: Arc<Throttle>,
    aside: Aside,
    ending: Arc<Ending>,
    link: Link,
    backlog: Backlog,
    size: RequestSize,
    trust: Trust,
    /// A warning beside a yes is told once.
    warned: bool,
}

/// What is known of the way to the other server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Nothing was tried, and what an earlier run left has not been looked at.
    Untried,
    Up,
    /// It failed, and this was logged.
    Down {
        since: Instant,
    },
    /// It answers again, and what came meanwhile has not been looked at.
    Back {
        after: Duration,
    },
}

/// What was owed when the link came back, or when the program started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Backlog {
    Nothing,
    /// Some is left, and so many requests with fresh frames went since the last with backlog.
    Left(u32),
}

/// What became of one try.
enum Tried {
    Taken,
    Refused {
        why: String,
        too_large: bool,
    },
    /// To be tried again after this time.
    Failed(Duration),
}

impl Worker {
    pub(super) fn new(
        buffer: &Buffer,
        signal: Signal,
        route: &Route,
        counts: Arc<ForwardCounts>,
        pace: Pace,
        ending: Arc<Ending>,
    ) -> Result<Self, buffer::Error> {
        Ok(Self {
            signal,
            buffer: buffer.clone(),
            consumer: buffer.consumer(CONSUMER, route.start)?,
            upstream: Arc::clone(&route.upstream),
            say_spans: route.say_spans,
            counts,
            backoff: Backoff::new(pace),
            throttle: Arc::clone(&route.throttle),
            aside: Aside::new(&route.rejected.join(signal.name()), Arc::clone(&route.clock)),
            ending,
            link: Link::Untried,
            backlog: Backlog::Nothing,
            size: RequestSize::new(route.throttle.bytes_per_second()),
            trust: Trust::default(),
            warned: false,
        })
    }

    /// Until the buffer is closed and empty, or the program does not wait any longer. Returns whether all was sent.
    pub(super) fn run(mut self) -> bool {
        loop {
            if self.ending.stop.load(Ordering::Acquire) {
                return false;
            }
            self.look_at_what_is_owed();
            match self.gather() {
                Ok(frames) => {
                    if !self.deliver(frames) {
                        return false;
                    }
                }
                Err(buffer::Error::Closed) => return self.backlog == Backlog::Nothing,
                Err(error) => {
                    self.complain("the buffer could not be read to be forwarded; trying again", &error);
                    if !self.pause(TRY_DISK_AGAIN) {
                        return false;
                    }
                }
            }
        }
    }

    /// At the start, and when the link is back. A hiccup leaves a backlog that is being worked off as it is: each new
    /// split would put what was fresh before at its end.
    fn look_at_what_is_owed(&mut self) {
        let is_worth_it = match self.link {
            Link::Up | Link::Down { .. } => return,
            Link::Untried => true,
            Link::Back { after } if self.backlog == Backlog::Nothing => {
                after > LONG_OUTAGE || pending(&self.buffer).bytes > self.size.bound() as u64
            }
            Link::Back { after } => after > LONG_OUTAGE,
        };
        if is_worth_it {
            self.put_fresh_first();
        }
        self.link = Link::Up;
    }

    /// What is owed now becomes backlog, so that what comes from now on need not wait for it.
    fn put_fresh_first(&mut self) {
        let owed = pending(&self.buffer);
        if owed.frames == 0 {
            return;
        }
        // What is in the file that is being written counts as fresh otherwise.
        match self.buffer.seal() {
            Ok(()) | Err(buffer::Error::Closed) => {}
            Err(error) => {
                self.complain("the open file could not be finished; some backlog goes first", &error)
            }
        }
        self.consumer.go_live();
        self.backlog = Backlog::Left(0);
        let again = if self.link == Link::Untried { "" } else { " again" };
        let (signal, items) = (self.signal.name(), owed.items);
        tracing::info!(signal, items, "forwarding live{again}, {items} items of backlog to follow");
    }

    /// The frames of the next request; none if nothing came for a while.
    fn gather(&mut self) -> Result<Vec<buffer::Frame>, buffer::Error> {
        let Backlog::Left(live) = self.backlog else { return self.consumer.next(self.size.take(), WAIT) };
        if live < LIVE_PER_BACKLOG {
            match self.consumer.next(self.size.take(), Duration::ZERO) {
                Ok(frames) if !frames.is_empty() => {
                    self.backlog = Backlog::Left(live + 1);
                    return Ok(frames);
                }
                // Nothing fresh, and nothing fresh to come: the rest is the backlog's.
                Ok(_) | Err(buffer::Error::Closed) => {}
                Err(error) => return Err(error),
            }
        }
        let frames = self.consumer.next_backfill(self.size.take())?;
        self.backlog = if frames.is_empty() { Backlog::Nothing } else { Backlog::Left(0) };
        if frames.is_empty() {
            tracing::info!(signal = self.signal.name(), "backlog forwarded");
        }
        Ok(frames)
    }

    /// Sends these frames, in as few requests as the size of one allows, until the other server has answered for
    /// all of them that are still owed. Returns whether to go on.
    fn deliver(&mut self, frames: Vec<buffer::Frame>) -> bool {
        let mut held = Held::new(self.said(frames));
        loop {
            for whole in held.keep(|sequence| self.consumer.owes(sequence)) {
                self.learn(whole);
            }
            if held.is_empty() {
                return true;
            }
            if !self.advance(&mut held) {
                return false;
            }
        }
    }

    /// The frames as the other server gets them.
    fn said(&self, frames: Vec<buffer::Frame>) -> Vec<Frame> {
        frames.into_iter().map(|frame| self.said_one(frame)).collect()
    }

    fn said_one(&self, frame: buffer::Frame) -> Frame {
        let buffer::Frame { sequence, items, payload, .. } = frame;
        let say = self.say_spans;
        if self.signal != Signal::Traces {
            return Frame { sequence, request: payload, items, left_out: 0 };
        }
        // A defect that one request meets must not keep all others from being sent.
        let (request, left_out) = catch_unwind(|| say(&payload)).unwrap_or_else(|_panic| {
            tracing::error!(
                sequence,
                items,
                "saying a request for the upstream met a defect of this program; it goes as it is kept"
            );
            (payload.clone(), 0)
        });
        Frame { sequence, request, items: items.saturating_sub(left_out), left_out: left_out.min(items) }
    }

    /// One try.
    fn advance(&mut self, held: &mut Held) -> bool {
        let these = if self.trust.is_spent() {
            self.look_further(held);
            held.probe()
        } else {
            held.next(&self.size)
        };
        let (request, items) = (held.request(&these), held.items(&these));
        let left_out = held.left_out(&these);
        if request.is_empty() && left_out > 0 {
            self.leave_out(left_out);
            return self.let_go(held.take(these));
        }
        if !self.pause(self.throttle.reserve(request.len(), Instant::now())) {
            return false;
        }
        match self.send(&request, items) {
            Tried::Failed(wait) => {
                self.size.failed(request.len());
                return self.pause(wait);
            }
            Tried::Refused { too_large, .. } if these.len() > 1 => {
                let set_aside = self.counts.set_aside_items.value();
                held.divide(&these, Whole { bytes: request.len(), too_large, set_aside });
                return true;
            }
            Tried::Refused { why, .. } => {
                if !self.set_aside(&request, items, &why) {
                    return self.pause(TRY_DISK_AGAIN);
                }
            }
            Tried::Taken => self.size.taken(),
        }
        self.leave_out(left_out);
        self.let_go(held.take(these))
    }

    /// Counts what is not in what is let go.
    fn leave_out(&self, items: u64) {
        if self.counts.left_out_items.add(items) == 0 && items > 0 {
            tracing::warn!(
                signal = self.signal.name(),
                items,
                "spans with ids of zeros, which OTLP does not have, are not forwarded (told once, counted always)"
            );
        }
    }

    /// When all that is held is refused, what comes meanwhile may be what the other server takes.
    fn look_further(&mut self, held: &mut Held) {
        // Whatever keeps the buffer from being read is met, and said, when it is read for itself.
        if let Some(take) = held.room()
            && let Ok(frames) = self.consumer.next(take, Duration::ZERO)
        {
            held.add(self.said(frames));
        }
    }

    /// A request that was refused has been taken in halves. Where nothing of it was refused again, it was its size.
    fn learn(&mut self, whole: Whole) {
        if whole.too_large
            && whole.set_aside == self.counts.set_aside_items.value()
            && let Some(bound) = self.size.too_large(whole.bytes)
        {
            tracing::info!(signal = self.signal.name(), "requests have {bound} bytes at most from now on");
        }
    }

    /// The position is on disk before anything more is sent. Returns whether to go on.
    fn let_go(&mut self, answered: Answered) -> bool {
        match answered {
            Answered::UpTo(last) => self.consumer.release(last),
            Answered::Only(numbers) => {
                numbers.into_iter().for_each(|number| self.consumer.release_one(number));
            }
        }
        let mut complained = false;
        while let Err(error) = self.consumer.save() {
            if !complained {
                self.complain(
                    "how far forwarding has come could not be written down; nothing is sent until it can",
                    &error,
                );
            }
            complained = true;
            if !self.pause(TRY_DISK_AGAIN) {
                return false;
            }
        }
        true
    }

    /// Sends it once.
    fn send(&mut self, request: &Bytes, items: u64) -> Tried {
        let wait = match self.upstream.export(self.signal, request.clone()) {
            Outcome::Accepted { rejected, message } => {
                self.trust.taken(request.len());
                self.taken(request.len(), items, rejected.min(items), &message);
                return Tried::Taken;
            }
            Outcome::Refused { why, cause } if self.trust.passes(cause, request.len()) => {
                self.failed(&why);
                self.backoff.after_failure(None)
            }
            Outcome::Refused { why, .. } if self.trust.is_spent() => {
                self.blocked(
                    &why,
                    "it refuses everything; nothing more is set aside until it takes something",
                );
                self.backoff.after_block()
            }
            Outcome::Refused { why, cause } => {
                self.answered();
                return Tried::Refused { why, too_large: cause != Refusal::Content };
            }
            Outcome::Retry { why, after } => {
                self.failed(&why);
                self.backoff.after_failure(after)
            }
            Outcome::Blocked { why } | Outcome::Unauthorized { why } => {
                self.blocked(&why, "see upstream.endpoint, its headers and certificates");
                self.backoff.after_block()
            }
        };
        self.counts.retries.add(1);
        self.counts.failing.store(true, Ordering::Relaxed);
        if !matches!(self.link, Link::Down { .. }) {
            self.link = Link::Down { since: Instant::now() };
        }
        Tried::Failed(wait)
    }

    fn taken(&mut self, bytes: usize, items: u64, rejected: u64, message: &str) {
        self.answered();
        self.counts.requests.add(1);
        self.counts.bytes.add(bytes as u64);
        self.counts.items.add(items - rejected);
        let signal = self.signal.name();
        if rejected == 0 && !message.is_empty() && !self.warned {
            self.warned = true;
            tracing::warn!(
                signal,
                said = message,
                "the upstream takes everything, with a warning (told once)"
            );
        }
        if self.counts.rejected_items.add(rejected) == 0 && rejected > 0 {
            tracing::warn!(
                signal,
                rejected,
                said = message,
                "the upstream leaves items out (told once, counted always)"
            );
        }
    }

    /// An answer about the bytes: whatever it is, the way is free.
    fn answered(&mut self) {
        self.backoff.reset();
        self.counts.failing.store(false, Ordering::Relaxed);
        self.counts.blocked.store(false, Ordering::Relaxed);
        if let Link::Down { since } = self.link {
            self.link = Link::Back { after: since.elapsed() };
            tracing::info!(signal = self.signal.name(), "the upstream answers again");
        }
    }

    fn failed(&self, why: &str) {
        self.counts.blocked.store(false, Ordering::Relaxed);
        let signal = self.signal.name();
        if matches!(self.link, Link::Down { .. }) {
            tracing::debug!(signal, why, "the upstream still does not take it");
        } else {
            tracing::warn!(signal, why, "the upstream does not take it now; everything waits in the buffer");
        }
    }

    fn blocked(&self, why: &str, advice: &str) {
        let signal = self.signal.name();
        if self.counts.blocked.swap(true, Ordering::Relaxed) {
            tracing::debug!(signal, why, "forwarding is still blocked");
        } else {
            tracing::error!(
                signal,
                why,
                "forwarding is blocked: {advice}; nothing is lost while the buffer has room"
            );
        }
    }

    /// Returns whether that was possible. Where it was not, it may be tried again: a full disk is no reason to lose it.
    fn set_aside(&mut self, request: &Bytes, items: u64, why: &str) -> bool {
        let (signal, folder) = (self.signal.name(), self.aside.folder().display().to_string());
        if let Err(error) = self.aside.put(request) {
            tracing::error!(
                signal, items, why, folder, %error,
                "the upstream refused a request, and it could not be set aside; trying again"
            );
            return false;
        }
        tracing::warn!(signal, items, why, folder, "the upstream refused a request; it is set aside");
        self.counts.set_aside_items.add(items);
        self.trust.refused();
        true
    }

    /// Returns early, and false, when the program ends.
    fn pause(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        loop {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return !self.ending.stop.load(Ordering::Acquire);
            }
            if self.ending.closing.load(Ordering::Acquire) {
                return false;
            }
            std::thread::park_timeout(rest);
        }
    }

    fn complain(&self, what: &str, error: &buffer::Error) {
        let error = error as &(dyn std::error::Error + 'static);
        tracing::error!(signal = self.signal.name(), error, "{what}");
    }
}
