//! Spans in a stream: gathered into requests, each on disk before more is read.
//!
//! What comes faster than the disk takes it stays in HTTP/2's window, and so with its sender; and what came meanwhile is
//! the next request, so that a slow disk is written to in larger pieces.
//!
//! Limits: a request has at most [`MAX_SPANS`] and, beside its last span, [`MAX_BYTES`]; a message that was begun comes
//! within half a minute.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::{SPANS, Writer, span};
use crate::ingest::{Accepted, RETRY_AFTER, Refused, Reservation};
use crate::proto::jaeger::api_v2::Span;
use crate::receive::body::{Coding, too_large};
use crate::receive::grpc::{PREFIX_BYTES, inflated};
use crate::receive::hand_over::Door;
use crate::receive::{Received, answer};

/// Spans of one request.
const MAX_SPANS: usize = 1_000;

/// Bytes of messages of one request, except for its last.
const MAX_BYTES: usize = 1 << 20;

/// A message that was begun is there after this time, or never.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// Reads the stream to its end and keeps every span of it, or says why not and how many were kept.
pub(super) async fn write_all(writer: Arc<Writer>, body: Body, coding: Coding) -> Result<(), Status> {
    let door = &writer.door;
    let mut messages =
        Messages::new(Arc::clone(door), body, coding).map_err(|refused| status(&refused, 0))?;
    let (mut kept, mut ending) = (0, writer.ending.clone());
    loop {
        let mut spans = Vec::new();
        let gathered = tokio::select! {
            gathered = messages.gather(&mut spans) => gathered,
            _ = ending.wait_for(|ending| *ending) => Err(stopping()),
        };
        let written = {
            let _writing = writer.writes.begin();
            write(door, spans).await
        };
        kept += u64::from(written.kept);
        messages.forget();
        match written.refused.map_or(gathered, Err) {
            Ok(More::ToCome) => {}
            Ok(More::Nothing) => return Ok(()),
            Err(refused) => return Err(status(&refused, kept)),
        }
    }
}

/// Whether there is more of a stream.
enum More {
    ToCome,
    Nothing,
}

fn stopping() -> Refused {
    Refused::Later { why: "the server is stopping".to_owned(), retry_after: RETRY_AFTER }
}

/// Says in any case what need not be sent again.
fn status(refused: &Refused, kept: u64) -> Status {
    let mut status = answer::Status::from(refused);
    status.message = format!("{}; {kept} spans of this stream are kept", status.message);
    status.into()
}

/// The messages of a stream as they come.
struct Messages {
    door: Arc<Door>,
    body: Body,
    coding: Coding,
    /// What came and was not taken apart yet.
    read: BytesMut,
    /// Room for it, and for what was taken apart.
    room: Reservation,
    gathered_room: usize,
    gathered_bytes: usize,
}

impl Messages {
    fn new(door: Arc<Door>, body: Body, coding: Coding) -> Result<Self, Refused> {
        let room = door.ingest.reserve(0)?;
        let (read, gathered_room, gathered_bytes) = (BytesMut::new(), 0, 0);
        Ok(Self { door, body, coding, read, room, gathered_room, gathered_bytes })
    }

    /// Waits for a span and adds it with all that are at hand behind it.
    async fn gather(&mut self, spans: &mut Vec<Span>) -> Result<More, Refused> {
        let mut arrived = self.arrives().await?;
        while arrived {
            let (flag, message) = self.cut();
            spans.push(self.span(flag, message).await?);
            if spans.len() >= MAX_SPANS || self.gathered_bytes >= MAX_BYTES {
                return Ok(More::ToCome);
            }
            // Looked at once. What must wait, for its sender or for room, waits until these are on disk.
            let at_hand = {
                let mut arrives = pin!(self.arrives());
                poll_fn(|context| Poll::Ready(arrives.as_mut().poll(context))).await
            };
            match at_hand {
                Poll::Ready(next) => arrived = next?,
                Poll::Pending => return Ok(More::ToCome),
            }
        }
        Ok(More::Nothing)
    }

    /// Waits for a whole message and for room to read it; false at the end of the stream. May be given up and called
    /// again.
    async fn arrives(&mut self) -> Result<bool, Refused> {
        let mut deadline = None;
        loop {
            let whole = self.whole()?;
            let needed = match whole {
                Some((0, message)) => {
                    span::room_to_read(message, self.read.len(), self.door.ingest.settings())?
                }
                // What is compressed tells nothing of what it takes.
                Some(_) | None => 0,
            };
            let is_whole = whole.is_some();
            let (room, needed) = (&mut self.room, self.gathered_room + self.read.len() + needed);
            self.door.patiently(|| room.grow(needed)).await?;
            if is_whole {
                return Ok(true);
            }
            let frame = if self.read.is_empty() {
                self.body.frame().await
            } else {
                let deadline = *deadline.get_or_insert_with(|| Instant::now() + READ_WITHIN);
                timeout_at(deadline, self.body.frame()).await.map_err(|_elapsed| slow())?
            };
            let early = |how: String| Refused::Malformed(format!("the stream ended early: {how}"));
            match frame {
                Some(frame) => {
                    let frame = frame.map_err(|error| early(error.to_string()))?;
                    self.read.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
                }
                None if self.read.is_empty() => return Ok(false),
                None => return Err(early("within a message".to_owned())),
            }
        }
    }

    /// The next message as it came, if all of it did, behind the byte that says whether it is compressed.
    fn whole(&self) -> Result<Option<(u8, &[u8])>, Refused> {
        let Some((mut prefix, behind)) = self.read.split_at_checked(PREFIX_BYTES) else { return Ok(None) };
        let flag = prefix.get_u8();
        let length = prefix.get_u32() as usize;
        if length > self.door.ingest.settings().max_request_bytes {
            return Err(too_large(length as u64, &self.door.ingest));
        }
        Ok(behind.get(..length).map(|message| (flag, message)))
    }

    /// Takes off the message that is whole, and the byte that says whether it is compressed.
    fn cut(&mut self) -> (u8, Bytes) {
        let flag = self.read.get_u8();
        let length = self.read.get_u32() as usize;
        (flag, self.read.split_to(length).freeze())
    }

    async fn span(&mut self, flag: u8, mut message: Bytes) -> Result<Span, Refused> {
        if flag != 0 {
            let reservation = self.door.ingest.reserve(message.len())?;
            let packed = Received { bytes: message, reservation };
            message = inflated(flag, self.coding, packed, &self.door.ingest).await?.bytes;
        }
        self.gathered_room += span::room_to_read(&message, self.read.len(), self.door.ingest.settings())?;
        self.gathered_bytes += message.len();
        let (room, needed) = (&mut self.room, self.gathered_room + self.read.len());
        self.door.patiently(|| room.grow(needed)).await?;
        span::read(message)
    }

    /// What was gathered is on disk, or will never be.
    fn forget(&mut self) {
        (self.gathered_room, self.gathered_bytes) = (0, 0);
        // A stream may be silent for hours.
        self.read = BytesMut::from(&self.read[..]);
        self.room.shrink(self.read.len());
    }
}

fn slow() -> Refused {
    let why = format!("a message did not arrive within {} s", READ_WITHIN.as_secs());
    Refused::Later { why, retry_after: RETRY_AFTER }
}

/// What became of a part of a stream.
#[derive(Default)]
struct Written {
    kept: u32,
    /// Why not all of it was.
    refused: Option<Refused>,
}

/// Keeps these spans, but for the first that cannot be kept and those behind it: it is looked for by halves.
async fn write(door: &Arc<Door>, spans: Vec<Span>) -> Written {
    let mut written = Written::default();
    let mut parts = vec![spans];
    while let Some(part) = parts.pop().filter(|part| !part.is_empty()) {
        let (mut part, outcome) = write_part(door, part).await;
        match outcome {
            Ok(accepted) => written.kept += accepted.items,
            Err(Refused::Malformed(_)) if part.len() > 1 => {
                let behind = part.split_off(part.len() / 2);
                parts.extend([behind, part]);
            }
            Err(refused) => return Written { refused: Some(refused), ..written },
        }
    }
    written
}

async fn write_part(door: &Arc<Door>, part: Vec<Span>) -> (Vec<Span>, Result<Accepted, Refused>) {
    let translated = tokio::task::spawn_blocking(move || {
        let request = span::request(&part);
        (part, request)
    });
    let Ok((part, request)) = translated.await else { return (Vec::new(), Err(Refused::Defect)) };
    let received = async {
        // The stream has room for it already.
        Ok(Received { bytes: request?.into_boxed_slice().into(), reservation: door.ingest.reserve(0)? })
    };
    let outcome = door.take(SPANS, received, Ok).await;
    (part, outcome)
}
