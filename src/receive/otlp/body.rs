//! Request bodies: read within the budget, inflated within the limit.

use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;

use crate::ingest::{Ingest, Refused, Reservation};

/// The setting that limits a request.
pub(super) const MAX_REQUEST_KEY: &str = "receive.max_request_bytes";

/// A body must arrive whole within this time.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// How long the rest of a refused body is read.
const DISCARD_WITHIN: Duration = Duration::from_secs(5);

/// Taken for a body that does not say its length; it grows with what arrives.
const UNANNOUNCED_BYTES: usize = 16 << 10;

/// What a body is inflated by at a time.
const INFLATE_STEP: usize = 64 << 10;

/// How a body is compressed (RFC 9110, section 8.4.1; RFC 8878).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    /// What HTTP calls deflate: the zlib format of RFC 1950.
    Deflate,
    Zstd,
}

impl Coding {
    /// From a `Content-Encoding`, in any case.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" | "none" => Some(Self::Identity),
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" | "zlib" => Some(Self::Deflate),
            "zstd" => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// Room for a body, by its announced length if it has one.
pub(super) fn reserve(ingest: &Ingest, announced: Option<u64>) -> Result<Reservation, Refused> {
    let limit = ingest.settings().max_request_bytes;
    match announced {
        Some(length) if length > limit as u64 => Err(too_large(length, limit)),
        Some(length) => ingest.reserve(length as usize),
        None => ingest.reserve(UNANNOUNCED_BYTES),
    }
}

/// Reads on after a refusal, keeping nothing: a client that is cut off while it writes never sees why it was
/// refused, and sends the same again. Gives up after as much as a request may have, or five seconds.
pub(super) async fn discard(body: &mut Body, limit: usize) {
    let mut left = limit;
    let rest = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(less) = left.checked_sub(length) else { return };
            left = less;
        }
    };
    // Whoever is slower than that is cut off after all.
    let _given_up = tokio::time::timeout(DISCARD_WITHIN, rest).await;
}

/// Reads a whole body. The reservation grows with what arrives, never with what was announced beyond it.
pub(super) async fn read(
    body: &mut Body,
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, Refused> {
    let mut read = BytesMut::new();
    let gather = async {
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| Refused::Malformed(format!("the body ended early: {error}")))?;
            let Ok(data) = frame.into_data() else { continue };
            let length = read.len() + data.len();
            if length > limit {
                return Err(too_large(length as u64, limit));
            }
            reservation.grow_to(length)?;
            read.extend_from_slice(&data);
        }
        Ok(read.freeze())
    };
    tokio::time::timeout(READ_WITHIN, gather).await.unwrap_or_else(|_elapsed| {
        Err(Refused::Malformed(format!("the body did not arrive within {} s", READ_WITHIN.as_secs())))
    })
}

/// Inflates a body. What comes out is bounded by the limit and by the budget while it grows.
pub(super) fn inflate(
    coding: Coding,
    body: Bytes,
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Bytes, Refused> {
    match coding {
        Coding::Identity => Ok(body),
        // Clients join gzip members when they flush in between (RFC 1952, section 2.2).
        Coding::Gzip => inflate_from(flate2::read::MultiGzDecoder::new(&body[..]), limit, reservation),
        Coding::Deflate => inflate_from(flate2::read::ZlibDecoder::new(&body[..]), limit, reservation),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::new(&body[..]).map_err(damaged)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG).map_err(damaged)?;
            inflate_from(decoder, limit, reservation)
        }
    }
}

/// 8 MiB, what every decoder of RFC 8878 must accept (section 3.1.1.1.2) and the most that this one does.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

fn inflate_from(mut from: impl Read, limit: usize, reservation: &mut Reservation) -> Result<Bytes, Refused> {
    let mut inflated = Vec::new();
    loop {
        let length = inflated.len();
        reservation.grow_to(length + INFLATE_STEP)?;
        inflated.resize(length + INFLATE_STEP, 0);
        let read = fill(&mut from, &mut inflated[length..]).map_err(damaged)?;
        inflated.truncate(length + read);
        if inflated.len() > limit {
            return Err(too_large(inflated.len() as u64, limit));
        }
        if read < INFLATE_STEP {
            return Ok(inflated.into());
        }
    }
}

/// Reads until the buffer is full or the source ends.
fn fill(from: &mut impl Read, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match from.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

fn damaged(error: std::io::Error) -> Refused {
    Refused::Malformed(format!("the body could not be inflated: {error}"))
}

/// A request over the limit. `bytes` is how large it is as far as it was read.
pub(super) fn too_large(bytes: u64, limit: usize) -> Refused {
    Refused::TooLarge { what: "a request", bytes, limit: limit as u64, key: MAX_REQUEST_KEY }
}

/// A body whose bytes are taken from the budget as they pass, for a reader that is not ours.
#[derive(Debug)]
pub(super) struct Metered {
    body: Body,
    passed: usize,
    limit: usize,
    meter: Meter,
}

/// What a [`Metered`] body has taken, and why it stopped if it did.
#[derive(Debug, Clone)]
pub(super) struct Meter(Arc<Mutex<MeterState>>);

#[derive(Debug)]
struct MeterState {
    reservation: Reservation,
    refused: Option<Refused>,
}

impl Meter {
    pub(super) fn new(reservation: Reservation) -> Self {
        Self(Arc::new(Mutex::new(MeterState { reservation, refused: None })))
    }

    /// Makes the reservation at least this large.
    pub(super) fn grow_to(&self, bytes: usize) -> Result<(), Refused> {
        self.0.lock().reservation.grow_to(bytes)
    }

    /// Why the body was cut short.
    pub(super) fn refused(&self) -> Option<Refused> {
        self.0.lock().refused.clone()
    }

    fn refuse(&self, refused: Refused) -> axum::Error {
        let error = axum::Error::new(refused.clone());
        self.0.lock().refused = Some(refused);
        error
    }
}

impl Metered {
    /// `limit` is what may pass at most.
    pub(super) fn new(body: Body, limit: usize, meter: Meter) -> Self {
        Self { body, passed: 0, limit, meter }
    }

    fn pass(&mut self, length: usize) -> Result<(), axum::Error> {
        self.passed += length;
        if self.passed > self.limit {
            return Err(self.meter.refuse(too_large(self.passed as u64, self.limit)));
        }
        self.meter.grow_to(self.passed).map_err(|refused| self.meter.refuse(refused))
    }
}

impl http_body::Body for Metered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            let frame = frame?;
            if let Some(data) = frame.data_ref() {
                self.pass(data.len())?;
            }
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How long a whole body may take, for readers that are not ours.
pub(super) fn read_within() -> Duration {
    READ_WITHIN
}
