//! The forms in which lists of spans are sent, told from each other by how they begin.

use bytes::Bytes;

use super::keep::Batch;
use super::{Error, Read, Sink, json, protobuf, thrift};
use crate::translate::Batched;

/// A form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON of version 1.
    JsonV1,
    /// JSON of version 2.
    JsonV2,
    /// `zipkin.proto3.ListOfSpans`.
    Protobuf,
    /// A list of version 1 in thrift's binary protocol.
    Thrift,
}

/// What a list's first bytes say it is, whatever its sender says; `None` for nothing of these. A text that says nothing
/// of its version is of version 1.
pub fn sniff(body: &[u8]) -> Option<Format> {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    match (text, body) {
        ([b'[' | b'{', ..], _) => Some(json_version(text)),
        // The key of its first span.
        (_, [10, length, ..]) if *length != 0 => Some(Format::Protobuf),
        // The type of its elements; a reporter wrote that of texts.
        (_, [11 | 12, ..]) => Some(Format::Thrift),
        _ => None,
    }
}

fn json_version(text: &[u8]) -> Format {
    let is_second =
        ["Endpoint\"", "\"tags\""].iter().any(|word| memchr::memmem::find(text, word.as_bytes()).is_some());
    if is_second { Format::JsonV2 } else { Format::JsonV1 }
}

/// Keeps the spans of a list of this form, without those that cannot be kept, one after the other. `room` is asked after
/// each span with which more bytes are held than it was asked for so far, and says whether there is room for them; without
/// it nothing is kept.
pub fn batch(
    format: Format,
    body: &Bytes,
    room: &mut dyn FnMut(usize) -> bool,
) -> Result<Batched<Error>, Error> {
    let mut batch = Batch::new(room);
    let mut sink = |span| match span {
        Ok(span) => batch.add(&span),
        Err(error) => batch.leave_out(error),
    };
    each(format, body, &mut sink)?;
    batch.finish_if_there_was_room()
}

/// The spans of a list, all at once: for fuzzers, which look at what was read before it is kept.
#[doc(hidden)]
pub fn read(format: Format, body: &Bytes) -> Result<Read, Error> {
    Read::of(|sink| each(format, body, sink))
}

fn each(format: Format, body: &Bytes, sink: Sink<'_>) -> Result<(), Error> {
    match format {
        Format::JsonV1 => json::each_v1(body, sink),
        Format::JsonV2 => json::each(body, sink),
        Format::Protobuf => protobuf::each(body, sink),
        Format::Thrift => thrift::each(body, sink),
    }
}
