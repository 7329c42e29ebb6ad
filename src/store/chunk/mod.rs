//! A run's spans in pieces of about two thousand: columnar, interned, packed.
//!
//! Promise: every field of every span comes back as it was, its body byte for byte, however it was written. What a
//! search asks first (ids, times, parents, sources, names, kinds) is read without the bodies. Any bytes can be opened:
//! they are a chunk or [`Damaged`], and whatever is read of them stays within the limits below.
//!
//! Limits: [`MAX_SPANS`] in a chunk; [`MAX_BODY_BYTES`] in their bodies together; [`MAX_UNPACKED_BYTES`] in each of the two
//! packed stretches; [`MAX_KEYS`] attribute keys with a column of their own.
//!
//! Does not know: redb, runs, which row a chunk is cut into, what a source holds, what is searched for.
//!
//! # The bytes
//!
//! A *number* is written in groups of seven bits, least significant first, the upper bit set on all but the last
//! (protobuf's varint). A *signed* one is zigzagged first. A *column* of numbers has one for each span, in the order of
//! the spans, nothing in between. *Strings* are their number n, n lengths, then all their bytes.
//!
//! ```text
//! byte     version, 1
//! number   spans, n
//! number   traces, t
//! number   foreign parents, f
//! number   values in the body's columns, all together
//! number   distinct ones, all together
//! number   bytes of the head, unpacked
//! number   bytes of the head, packed
//! number   bytes of the body, unpacked
//! 16 × t   TraceIDs, in the order of the spans
//!  8 × n   SpanIDs
//!  8 × f   parents that are not among the spans of the same trace in this chunk
//! bytes    the head: a zstd frame
//! bytes    the body: a zstd frame, to the end
//! ```
//!
//! The head:
//!
//! ```text
//! number   base: the earliest start of all
//! t ×      spans of the trace
//! t ×      earliest start in the trace − base
//! column   start − earliest start in the trace
//! column   end − start, signed, modulo 2^64
//! column   parent: 0 none, 1 the next foreign one, 2 + i the i-th span of the trace
//! number   sources; each a number, the id of a row of jaeger.resources
//! column   source: which of these
//! strings  names
//! number   shapes; each 7 bytes: kind, status, origin, flags (u32, little-endian)
//! number   classes; each two numbers: which shape, which name
//! column   class: which of these
//! ```
//!
//! The body:
//!
//! ```text
//! each shape's ops: their number, then a number for each op
//! strings  keys, k
//! 2 + k ×  two numbers: bytes of the column's ids, distinct values in it
//! 2 + k ×  the column's ids: for each of its values 0 if it is the next of the distinct ones, 1 + i if it is the i-th
//! 2 + k ×  the lengths of the distinct values
//! 2 + k ×  the distinct values
//! ```
//!
//! A span's body is what its shape's ops say, one after the other. 0 to 6 is a field of the `Span` message as protobuf
//! writes it, its content from the head: trace id, span id, parent id, start, end, kind, name. 7 + c is the next value of
//! column c. Column 0 holds any other bytes as they are: events, links, status, flags, fields nobody knows, fields written
//! in an unusual way, what is no field at all. Column 1 holds fields of a name that a later one replaced. Column 2 + i
//! holds the `AnyValue` messages of the i-th key; a value stands for the field
//!
//! ```text
//! 4a length  ┌ 0a length key ┐ ┌ 12 length value ┐
//! ```
//!
//! with every length as short as it can be. Attributes with a key of more than 127 bytes, or with a key that comes after
//! [`MAX_KEYS`] others, are among the other bytes.

mod body;
mod body_columns;
mod decode;
mod dictionary;
mod encode;
mod head;
mod head_columns;
mod numbers;
mod page;
mod parts;
#[cfg(test)]
mod tests;

use crate::model::Span;

pub(super) use decode::Chunk;
pub(super) use encode::Encoder;

/// A span on its way into a run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item<'a> {
    /// The span.
    pub(super) span: &'a Span,
    /// Its resource and scope: their row in `jaeger.resources`.
    pub(super) source: u32,
}

/// Spans in a chunk.
pub(super) const MAX_SPANS: usize = 1 << 16;

/// Bytes of all bodies of a chunk. It is cut at about 1 MiB: what may come above is one span, or spans of one id.
pub(super) const MAX_BODY_BYTES: usize = 48 << 20;

/// The largest span that a store should be given: with this a run of one id and one span more are a chunk.
pub const MAX_SPAN_BYTES: usize = 16 << 20;

/// Bytes of the head, and of the body, before they were packed. Bodies of the oddest fields take twice their bytes. Each
/// op, value and distinct value takes one of them at least, and four in memory.
const MAX_UNPACKED_BYTES: usize = 2 * MAX_BODY_BYTES;

/// Attribute keys that have a column.
const MAX_KEYS: u32 = 1 << 10;

/// What comes first in a chunk.
const VERSION: u8 = 1;

/// A shape before its ops: kind, status, origin, flags.
const SHAPE_HEADER_BYTES: usize = 7;

/// The columns of the body: other bytes, replaced names, then the keys'.
const REST: u32 = 0;
const FORMER_NAMES: u32 = 1;
const FIRST_KEY: u32 = 2;

/// Opens any bytes as a chunk and reads all there is in it; how many spans that were. For the fuzzer.
#[doc(hidden)]
pub fn read_any(bytes: &[u8]) -> usize {
    let Ok(chunk) = Chunk::open(bytes) else { return 0 };
    for span in 0..chunk.len() {
        let found = chunk.find(chunk.trace_id(span), chunk.span_id(span));
        assert!(found.end <= chunk.len() && chunk.trace(chunk.trace_id(span)).end <= chunk.len());
        let class = chunk.class(span);
        assert!(chunk.class_name(class).len() <= chunk.bytes());
    }
    let spans = chunk.spans(0..chunk.len(), &mut |_| Some(Default::default()));
    assert!(spans.iter().map(|span| span.body.len()).sum::<usize>() <= MAX_BODY_BYTES);
    spans.len()
}
