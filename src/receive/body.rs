//! Request bodies: read within the budget, inflated within the limit.

use std::io::Read;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::header;
use axum::http::request::Parts;
use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt as _;

use super::grpc::PREFIX_BYTES;
use super::hand_over::Door;
use super::unpack::unpack;
use super::{Received, header_text};
use crate::ingest::{Ingest, RETRY_AFTER, Refused, Reservation};

/// The setting that limits a request.
const MAX_REQUEST_KEY: &str = "receive.max_request_bytes";

/// A body must arrive whole within this time …
const READ_WITHIN: Duration = Duration::from_secs(30);

/// … and a second more for so many bytes of it: a slow line is given its time, who only pretends to send is not.
const LEAST_BYTES_PER_SECOND: usize = 64 << 10;

/// The first that is taken in memory for a body that is announced to be as large.
const LEAST_CAPACITY: usize = 32 << 10;

/// How long the rest of a refused body is read.
const DISCARD_WITHIN: Duration = Duration::from_secs(5);

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
    /// All there are, for those who ask what would do.
    pub(super) const NAMES: &str = "gzip, deflate, zstd";

    /// From a `Content-Encoding` or `grpc-encoding`, in any case.
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

/// Where a body says how long it is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Announced {
    /// In a header, if at all.
    ByHeader(Option<u64>),
    /// In its first five bytes, as gRPC's messages.
    ByPrefix,
}

impl Announced {
    /// By the header of an HTTP request.
    pub(super) fn of(head: &Parts) -> Self {
        Self::ByHeader(header_text(&head.headers, &header::CONTENT_LENGTH).parse().ok())
    }
}

/// Reads a whole body of at most `limit` bytes.
pub(super) async fn read(
    body: &mut Body,
    announced: Announced,
    limit: usize,
    door: &Door,
) -> Result<Received, Refused> {
    let ingest = &door.ingest;
    let (by_header, is_prefixed) = match announced {
        Announced::ByHeader(length) => (length.unwrap_or_default(), false),
        Announced::ByPrefix => (0, true),
    };
    if by_header > limit as u64 {
        return Err(too_large(by_header, ingest));
    }
    // No more than the limit, which is a length in memory.
    let mut announced = by_header as usize;
    let mut reservation = door.admit(announced).await?;
    let mut read = Vec::new();
    let started = Instant::now();
    while let Some(frame) = next_frame(body, started, read.len()).await? {
        let frame = frame.map_err(|error| Refused::Malformed(format!("the body ended early: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = read.len() + data.len();
        if length > limit {
            return Err(too_large(length as u64, ingest));
        }
        if is_prefixed && read.is_empty() {
            announced = prefixed(&data).unwrap_or_default().min(limit);
        }
        let capacity = enough(&read, length, announced, limit);
        door.patiently(|| reservation.grow(capacity)).await?;
        read.reserve_exact(capacity - read.len());
        read.extend_from_slice(&data);
    }
    Ok(fitted(read, reservation))
}

/// The length of a message of gRPC and its prefix, if the latter is there.
fn prefixed(start: &[u8]) -> Option<usize> {
    let (_compressed, start) = start.split_first()?;
    let length = u32::from_be_bytes(*start.first_chunk()?);
    Some((length as usize).saturating_add(PREFIX_BYTES))
}

/// Room for so many bytes: what there is, or twice that, but not beyond what was announced or can come. To announce much
/// costs nothing, so it is not taken at once.
fn enough(read: &Vec<u8>, length: usize, announced: usize, limit: usize) -> usize {
    if length <= read.capacity() {
        return read.capacity();
    }
    let most = if announced < length { limit } else { announced };
    (2 * read.capacity()).max(LEAST_CAPACITY).min(most).max(length)
}

/// What comes next, unless it comes too late after so many bytes.
async fn next_frame(
    body: &mut Body,
    started: Instant,
    read: usize,
) -> Result<Option<Result<Frame<Bytes>, axum::Error>>, Refused> {
    let within = READ_WITHIN + Duration::from_secs((read / LEAST_BYTES_PER_SECOND) as u64);
    // Who sent much quickly and then nothing has no more time than others.
    let until = (started + within).min(Instant::now() + READ_WITHIN);
    tokio::time::timeout_at(until.into(), body.frame()).await.map_err(|_elapsed| {
        let why = format!("the body did not arrive within {} s", within.as_secs());
        Refused::Later { why, retry_after: RETRY_AFTER }
    })
}

/// What is kept until the store has it must not pin more than it says: the room that reading took in advance is
/// given back.
fn fitted(mut bytes: Vec<u8>, mut reservation: Reservation) -> Received {
    bytes.shrink_to_fit();
    reservation.shrink(bytes.len());
    Received { bytes: bytes.into(), reservation }
}

/// Reads on behind a refusal, keeping nothing: a client that is cut off while it writes never sees why it was
/// refused, and sends the same again. The refusal does not wait for that: who has announced much and sends nothing is
/// answered at once. Gives up after as much as a request may have, or five seconds.
pub(super) fn discard(head: &Parts, body: Body, ingest: &Ingest) {
    // Who asked before sending (RFC 9110, section 10.1.1) has sent nothing yet.
    if head.headers.contains_key(header::EXPECT) {
        return;
    }
    let mut left = ingest.settings().max_request_bytes;
    let mut body = body;
    let rest = async move {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            let Some(less) = left.checked_sub(length) else { return };
            left = less;
        }
    };
    // Whoever is slower than that is cut off after all.
    drop(tokio::spawn(tokio::time::timeout(DISCARD_WITHIN, rest)));
}

/// Inflates what was read, off the threads that serve connections: even a small body can inflate for long.
pub(super) async fn inflate(
    coding: Coding,
    received: Received,
    ingest: &Ingest,
) -> Result<Received, Refused> {
    if coding == Coding::Identity {
        return Ok(received);
    }
    let limit = ingest.settings().max_request_bytes;
    let inflated = tokio::task::spawn_blocking(move || inflate_now(coding, received, limit)).await;
    match inflated.map_err(|_panicked| Refused::Defect)? {
        Ok(received) => Ok(received),
        Err(Stopped::Damaged(error)) => {
            Err(Refused::Malformed(format!("the body could not be inflated: {error}")))
        }
        Err(Stopped::TooLarge(bytes)) => Err(too_large(bytes, ingest)),
        Err(Stopped::Refused(refused)) => Err(refused),
    }
}

/// Why inflating ended early.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error(transparent)]
    Damaged(#[from] std::io::Error),
    #[error("{0} bytes")]
    TooLarge(u64),
    #[error(transparent)]
    Refused(#[from] Refused),
}

fn inflate_now(coding: Coding, received: Received, limit: usize) -> Result<Received, Stopped> {
    let Received { bytes, mut reservation } = received;
    let inflated = inflate_from(unpack(coding, &bytes)?, bytes.len(), limit, &mut reservation)?;
    drop(bytes);
    Ok(fitted(inflated, reservation))
}

/// What comes out is bounded by the limit, and taken from the budget as it grows.
fn inflate_from(
    mut from: impl Read,
    packed_bytes: usize,
    limit: usize,
    reservation: &mut Reservation,
) -> Result<Vec<u8>, Stopped> {
    let mut inflated = Vec::new();
    loop {
        let length = inflated.len();
        inflated.reserve(INFLATE_STEP);
        reservation.grow(packed_bytes + inflated.capacity())?;
        let read = from.by_ref().take(INFLATE_STEP as u64).read_to_end(&mut inflated)?;
        if length + read > limit {
            return Err(Stopped::TooLarge((length + read) as u64));
        }
        if read < INFLATE_STEP {
            return Ok(inflated);
        }
    }
}

/// A request over the limit. `bytes` is how large it is as far as it was read.
pub(super) fn too_large(bytes: u64, ingest: &Ingest) -> Refused {
    let limit = ingest.settings().max_request_bytes as u64;
    Refused::TooLarge { what: "a request", bytes, limit, key: MAX_REQUEST_KEY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_sends_too_slowly_is_asked_to_come_again_and_a_slow_line_is_waited_for() {
        let silent = || Body::from_stream(tokio_stream::pending::<Result<Bytes, std::io::Error>>());
        let late = Instant::now().checked_sub(READ_WITHIN).unwrap();
        let refused = next_frame(&mut silent(), late, LEAST_BYTES_PER_SECOND - 1).await.unwrap_err();
        assert!(matches!(&refused, Refused::Later { why, .. } if why.contains("within 30 s")), "{refused:?}");
        let moment = Duration::from_millis(20);
        let mut body = silent();
        for (started, read) in [(late, LEAST_BYTES_PER_SECOND * 60), (Instant::now(), 0)] {
            tokio::time::timeout(moment, next_frame(&mut body, started, read)).await.unwrap_err();
        }
    }
}
