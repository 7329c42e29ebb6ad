//! Keys whose bytes sort as their values: numbers most significant byte first, names ended by a byte none contains.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_64;

use crate::model::{Span, SpanId, SpanKind, Timestamp, TraceId};

/// Longest name, in bytes, that stands in a key as it is.
pub const MAX_NAME_BYTES: usize = 1024;

/// How much of a longer name is kept before its hash.
const KEPT_NAME_BYTES: usize = 1000;

/// A name as keys and lists have it: itself, or, above [`MAX_NAME_BYTES`], its beginning, `…` and the hash of the
/// whole. Shortening again changes nothing, so a listed name asks for the same rows as the whole one.
pub fn shortened(name: &str) -> Cow<'_, str> {
    if name.len() <= MAX_NAME_BYTES {
        return Cow::Borrowed(name);
    }
    let kept = &name[..name.floor_char_boundary(KEPT_NAME_BYTES)];
    Cow::Owned(format!("{kept}…{:016x}", xxh3_64(name.as_bytes())))
}

/// What makes a span this span: retries have all three alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its id within the trace.
    pub span_id: SpanId,
    /// Hash of everything else: [`crate::model::content_hash`].
    pub content_hash: u64,
}

impl Identity {
    /// Bytes of a key made of an identity.
    pub(super) const BYTES: usize = 32;

    pub(super) fn of(span: &Span) -> Self {
        Self { trace_id: span.trace_id, span_id: span.span_id, content_hash: span.content_hash }
    }

    pub(super) fn to_key(self) -> [u8; Self::BYTES] {
        let mut key = [0; Self::BYTES];
        key[..16].copy_from_slice(&self.trace_id.0);
        key[16..24].copy_from_slice(&self.span_id.0);
        key[24..].copy_from_slice(&self.content_hash.to_be_bytes());
        key
    }

    pub(super) fn from_key(key: &[u8]) -> Option<Self> {
        let (trace_id, rest) = key.split_first_chunk()?;
        let (span_id, rest) = rest.split_first_chunk()?;
        let hash: [u8; 8] = rest.try_into().ok()?;
        Some(Self {
            trace_id: TraceId(*trace_id),
            span_id: SpanId(*span_id),
            content_hash: u64::from_be_bytes(hash),
        })
    }
}

/// `jaeger.services`: Name.
pub(super) fn service(service: &str) -> Vec<u8> {
    name(service)
}

/// `jaeger.operations`: ServiceName ‖ 00 ‖ Name ‖ 00 ‖ SpanKind.
pub(super) fn operation(service: &str, operation: &str, kind: SpanKind) -> Vec<u8> {
    let mut key = name(service);
    key.extend_from_slice(&name(operation));
    key.push(kind as u8);
    key
}

/// First and last key of a service's operations.
pub(super) fn operation_bounds(service: &str) -> (Vec<u8>, Vec<u8>) {
    let first = name(service);
    let mut last = first.clone();
    // No name contains it: UTF-8 has no byte 0xff.
    last.push(0xff);
    (first, last)
}

/// CallTimeBucket: whole hours since the epoch. The last moment a timestamp can say is in hour 5 124 095.
pub(super) fn hour(time: Timestamp) -> u32 {
    (time.nanos() / 3_600_000_000_000) as u32
}

/// `buffer.cursor`: buffer id ‖ signal.
pub(super) fn cursor(buffer: [u8; 16], signal: u8) -> [u8; 17] {
    let mut key = [0; 17];
    key[..16].copy_from_slice(&buffer);
    key[16] = signal;
    key
}

/// A name that sorts as its text and ends with 00: 00 inside becomes 01 01, 01 becomes 01 02.
pub(super) fn name(text: &str) -> Vec<u8> {
    let short = shortened(text);
    let mut key = Vec::with_capacity(short.len() + 1);
    for &byte in short.as_bytes() {
        match byte {
            0 | 1 => key.extend_from_slice(&[1, byte + 1]),
            _ => key.push(byte),
        }
    }
    key.push(0);
    key
}

/// The name at the start of a key, and what follows it.
pub(super) fn split_name(key: &[u8]) -> Option<(String, &[u8])> {
    let end = memchr::memchr(0, key)?;
    let mut text = Vec::with_capacity(end);
    let mut bytes = key[..end].iter();
    while let Some(&byte) = bytes.next() {
        text.push(if byte == 1 { bytes.next()?.checked_sub(1)? } else { byte });
    }
    Some((String::from_utf8(text).ok()?, &key[end + 1..]))
}
