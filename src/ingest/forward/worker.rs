//! The loop of one signal's forwarder: gather, send, let go, and never more than one request at a time.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::buffer::{self, Buffer, Consumer, Frame};
use crate::ingest::Signal;

use super::aside::Aside;
use super::backoff::{Backoff, Pace};
use super::size::RequestSize;
use super::{CONSUMER, Ending, ForwardCounts, Outcome, Route, Throttle, Upstream};

/// How long to wait for fresh frames before looking whether to end.
const WAIT: Duration = Duration::from_millis(100);

/// After the buffer could not be read.
const READ_AGAIN: Duration = Duration::from_secs(2);

/// Requests with fresh frames before one with backlog.
const LIVE_PER_BACKLOG: u32 = 3;

/// What a thread of a [`super::Forwarder`] owns.
pub(super) struct Worker {
    signal: Signal,
    buffer: Buffer,
    consumer: Consumer,
    upstream: Arc<dyn Upstream>,
    counts: Arc<ForwardCounts>,
    backoff: Backoff,
    throttle: Arc<Throttle>,
    aside: Aside,
    ending: Arc<Ending>,
    link: Link,
    backlog: Backlog,
    size: RequestSize,
}

/// What is known of the way to the other server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    /// Nothing was tried, and what an earlier run left has not been looked at.
    Untried,
    Up,
    /// It failed, and this was logged.
    Down,
    /// It answers again, and what came meanwhile has not been looked at.
    Back,
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
    Refused(String),
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
            counts,
            backoff: Backoff::new(pace),
            throttle: Arc::clone(&route.throttle),
            aside: Aside::new(&route.rejected.join(signal.name()), Arc::clone(&route.clock)),
            ending,
            link: Link::Untried,
            backlog: Backlog::Nothing,
            size: RequestSize::new(route.throttle.bytes_per_second()),
        })
    }

    /// Until the buffer is closed and empty, or the program does not wait any longer. Returns whether all was sent.
    pub(super) fn run(mut self) -> bool {
        loop {
            if self.ending.stop.load(Ordering::Acquire) {
                return false;
            }
            if let Link::Untried | Link::Back = self.link {
                self.put_fresh_first();
                self.link = Link::Up;
            }
            match self.gather() {
                Ok(frames) if frames.is_empty() => {}
                Ok(frames) => {
                    if !self.deliver(&frames) {
                        return false;
                    }
                }
                Err(buffer::Error::Closed) => return self.backlog == Backlog::Nothing,
                Err(error) => {
                    self.complain("the buffer could not be read to be forwarded; trying again", &error);
                    if !self.pause(READ_AGAIN) {
                        return false;
                    }
                }
            }
        }
    }

    /// What is owed now becomes backlog, so that what comes from now on need not wait for it.
    fn put_fresh_first(&mut self) {
        let items = self.pending_items();
        if items == 0 {
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
        let again = if self.link == Link::Back { " again" } else { "" };
        let signal = self.signal.name();
        tracing::info!(signal, items, "forwarding live{again}, {items} items of backlog to follow");
    }

    fn pending_items(&self) -> u64 {
        let consumers = self.buffer.stats().consumers;
        consumers.iter().find(|consumer| consumer.name == CONSUMER).map_or(0, |own| own.pending.items)
    }

    /// The frames of the next request; none if nothing came for a while.
    fn gather(&mut self) -> Result<Vec<Frame>, buffer::Error> {
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
    /// all of them. Returns whether to go on.
    fn deliver(&mut self, frames: &[Frame]) -> bool {
        let mut left = frames;
        while !left.is_empty() {
            let (these, later) = left.split_at(self.size.fitting(left));
            let request = merged(these);
            if !self.pause(self.throttle.reserve(request.len(), Instant::now())) {
                return false;
            }
            match self.send(&request, items(these)) {
                Tried::Failed(wait) => {
                    self.size.failed(request.len());
                    if !self.pause(wait) {
                        return false;
                    }
                    continue;
                }
                Tried::Refused(why) if these.len() > 1 => {
                    if !self.deliver_halves(these, request.len(), &why) {
                        return false;
                    }
                }
                Tried::Refused(why) => {
                    self.set_aside(&request, items(these), &why);
                    self.let_go(these);
                }
                Tried::Taken => {
                    self.size.taken();
                    self.let_go(these);
                }
            }
            left = later;
        }
        true
    }

    /// So that only the frame that cannot be taken is set aside. Where none is, it was their size that was refused.
    fn deliver_halves(&mut self, frames: &[Frame], bytes: usize, why: &str) -> bool {
        let set_aside = self.counts.set_aside_items.value();
        let (first, second) = frames.split_at(frames.len() / 2);
        if !(self.deliver(first) && self.deliver(second)) {
            return false;
        }
        if self.counts.set_aside_items.value() == set_aside
            && let Some(bound) = self.size.too_large(bytes)
        {
            tracing::info!(
                signal = self.signal.name(),
                why,
                "requests have {bound} bytes at most from now on"
            );
        }
        true
    }

    /// The position is on disk before anything more is sent.
    fn let_go(&mut self, frames: &[Frame]) {
        let Some(last) = frames.last() else { return };
        self.consumer.release(last.sequence);
        if let Err(error) = self.consumer.save() {
            // It is only sent again after a crash.
            self.complain("how far forwarding has come could not be written down", &error);
        }
    }

    /// Sends it once.
    fn send(&mut self, request: &Bytes, items: u64) -> Tried {
        let wait = match self.upstream.export(self.signal, request.clone()) {
            Outcome::Accepted { rejected, message } => {
                self.taken(request.len(), items, rejected.min(items), &message);
                return Tried::Taken;
            }
            Outcome::Refused { why } => {
                self.answered();
                return Tried::Refused(why);
            }
            Outcome::Retry { why, after } => {
                self.failed(&why);
                self.backoff.after_failure(after)
            }
            Outcome::Blocked { why } => {
                self.blocked(&why);
                self.backoff.after_block()
            }
        };
        self.counts.retries.add(1);
        self.counts.failing.store(true, Ordering::Relaxed);
        self.link = Link::Down;
        Tried::Failed(wait)
    }

    fn taken(&mut self, bytes: usize, items: u64, rejected: u64, message: &str) {
        self.answered();
        self.counts.requests.add(1);
        self.counts.bytes.add(bytes as u64);
        self.counts.items.add(items - rejected);
        if self.counts.rejected_items.add(rejected) == 0 && rejected > 0 {
            let signal = self.signal.name();
            tracing::warn!(
                signal,
                rejected,
                message,
                "the upstream leaves items out (told once, counted always)"
            );
        }
    }

    /// An answer about the bytes: whatever it is, the way is free.
    fn answered(&mut self) {
        self.backoff.reset();
        self.counts.failing.store(false, Ordering::Relaxed);
        self.counts.blocked.store(false, Ordering::Relaxed);
        if self.link == Link::Down {
            self.link = Link::Back;
            tracing::info!(signal = self.signal.name(), "the upstream answers again");
        }
    }

    fn failed(&self, why: &str) {
        self.counts.blocked.store(false, Ordering::Relaxed);
        let signal = self.signal.name();
        if self.link == Link::Down {
            tracing::debug!(signal, why, "the upstream still does not take it");
        } else {
            tracing::warn!(signal, why, "the upstream does not take it now; everything waits in the buffer");
        }
    }

    fn blocked(&self, why: &str) {
        let signal = self.signal.name();
        if self.counts.blocked.swap(true, Ordering::Relaxed) {
            tracing::debug!(signal, why, "forwarding is still blocked");
        } else {
            tracing::error!(
                signal,
                why,
                "forwarding is blocked: see upstream.endpoint, its headers and certificates; nothing is lost while \
                 the buffer has room"
            );
        }
    }

    fn set_aside(&mut self, request: &Bytes, items: u64, why: &str) {
        let (signal, folder) = (self.signal.name(), self.aside.folder().display().to_string());
        self.counts.set_aside_items.add(items);
        match self.aside.put(request) {
            Ok(()) => {
                tracing::warn!(signal, items, why, folder, "the upstream refused a request; it is set aside")
            }
            Err(error) => tracing::error!(
                signal, items, why, folder, %error,
                "the upstream refused a request, and it could not be set aside: it is not forwarded"
            ),
        }
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

fn items(frames: &[Frame]) -> u64 {
    frames.iter().map(|frame| u64::from(frame.items)).sum()
}

/// One after the other, which is one request with the resources of all of them (protobuf.dev, "Last One Wins": the
/// elements of repeated fields are concatenated). A single one is not copied.
fn merged(frames: &[Frame]) -> Bytes {
    if let [frame] = frames {
        return frame.payload.clone();
    }
    let bytes = frames.iter().map(|frame| frame.payload.len()).sum();
    let mut request = BytesMut::with_capacity(bytes);
    for frame in frames {
        request.extend_from_slice(&frame.payload);
    }
    request.freeze()
}
