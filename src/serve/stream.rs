//! Answers in many messages: made on a thread that may block, taken one by one by who asked.
//!
//! Two messages wait at most. One who is slow to take them gives its turn to others meanwhile, and is given up after
//! a while.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;
use tonic::Status;

use super::budget::{Budget, Share};
use super::turns::{Asker, Error, Lane};
use crate::query::Cancel;

/// How long an answer may take in all, who takes it slowly included.
const MAX_TIME: Duration = Duration::from_secs(600);

/// Messages by which who asked is waited for as long again as it was before any was taken.
const MESSAGES_OF_PATIENCE: u32 = 60;

/// The messages as who asked takes them. When it is dropped, work on further ones ends.
#[derive(Debug)]
pub(super) struct Stream<T> {
    messages: mpsc::Receiver<T>,
    /// How it ended; taken when it was said.
    outcome: Option<oneshot::Receiver<Result<(), Status>>>,
    _asker: Asker,
}

/// Where work puts its messages.
#[derive(Debug)]
pub(super) struct Outlet<T> {
    messages: mpsc::Sender<T>,
    lane: Lane,
    /// For what is held while messages are taken.
    held: Budget,
    /// Given back while nobody takes a message, or bytes are waited for.
    turn: Option<OwnedSemaphorePermit>,
    cancel: Cancel,
    /// How long it is still waited until messages are taken, in all.
    patience: Duration,
    late: Instant,
}

/// Who asked is gone: whatever is said now is not heard.
fn gone() -> Status {
    Status::cancelled("nobody waits for the answer any more")
}

fn busy(error: Error) -> Status {
    Status::unavailable(error.to_string())
}

impl<T: Send + 'static> Outlet<T> {
    /// Tells who asked, and how to say how it ended.
    pub(super) fn new(
        lane: Lane,
        held: Budget,
        turn: OwnedSemaphorePermit,
    ) -> (Self, Stream<T>, oneshot::Sender<Result<(), Status>>) {
        let (sender, messages) = mpsc::channel(1);
        let (end, ended) = oneshot::channel();
        let asker = Asker::default();
        let cancel = asker.told();
        let (patience, late) = (lane.patience, Instant::now() + MAX_TIME);
        let outlet = Self { messages: sender, lane, held, turn: Some(turn), cancel, patience, late };
        (outlet, Stream { messages, outcome: Some(ended), _asker: asker }, end)
    }

    /// Puts a message out, and waits as long as there is no room for it; an error when no more is to be made. Work that
    /// puts out nothing for long asks [`Outlet::check`].
    pub(super) fn send(&mut self, message: T) -> Result<(), Status> {
        self.check()?;
        self.patience += self.lane.patience / MESSAGES_OF_PATIENCE;
        match self.messages.try_send(message) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(gone()),
            Err(mpsc::error::TrySendError::Full(message)) => self.send_later(message),
        }
    }

    /// An error when no more is to be made.
    pub(super) fn check(&self) -> Result<(), Status> {
        if self.cancel.is_cancelled() {
            return Err(gone());
        }
        if Instant::now() >= self.late {
            return Err(Status::deadline_exceeded(format!(
                "the answer took longer than {} s; ask for less",
                MAX_TIME.as_secs()
            )));
        }
        Ok(())
    }

    fn send_later(&mut self, message: T) -> Result<(), Status> {
        self.turn = None;
        let doors = Handle::current();
        let (pause, begun) = (self.lane.pause.min(self.patience), Instant::now());
        match doors.block_on(timeout(pause, self.messages.send(message))) {
            Ok(Ok(())) => self.patience = self.patience.saturating_sub(begun.elapsed()),
            Ok(Err(_closed)) => return Err(gone()),
            Err(_elapsed) => {
                let said = if pause < self.lane.pause {
                    "messages were taken too slowly".to_owned()
                } else {
                    format!("no message was taken for {} s", pause.as_secs())
                };
                tracing::warn!("an answer was given up: {said}");
                return Err(Status::deadline_exceeded(said));
            }
        }
        self.turn = Some(doors.block_on(self.lane.turn()).map_err(busy)?);
        Ok(())
    }

    /// Sets the bytes of an answer aside. If none are free, they are waited for without a turn, so that others work
    /// meanwhile: among them those who hold them.
    pub(super) fn share(&mut self) -> Result<Share, Status> {
        let doors = Handle::current();
        if let Ok(share) = doors.block_on(self.held.take(Duration::ZERO)) {
            return Ok(share);
        }
        self.turn = None;
        let share = doors.block_on(async {
            tokio::select! {
                share = self.held.take(self.lane.wait) => share.map_err(busy),
                () = self.messages.closed() => Err(gone()),
            }
        })?;
        self.turn = Some(doors.block_on(self.lane.turn()).map_err(busy)?);
        Ok(share)
    }
}

impl<T> tokio_stream::Stream for Stream<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(message) = ready!(self.messages.poll_recv(context)) {
            return Poll::Ready(Some(Ok(message)));
        }
        let Some(outcome) = &mut self.outcome else { return Poll::Ready(None) };
        let outcome = ready!(Pin::new(outcome).poll(context));
        self.outcome = None;
        Poll::Ready(match outcome {
            Ok(Ok(())) => None,
            Ok(Err(status)) => Some(Err(status)),
            // Its sender went with the work that panicked.
            Err(_) => {
                Some(Err(Status::internal("a defect was met while answering; the log has the details")))
            }
        })
    }
}
