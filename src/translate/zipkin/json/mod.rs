//! Zipkin's JSON: lists of version 1 and 2 in, of version 2 out.
//!
//! Promise: what any sender means is understood. `null` is absent, a value that should be text may be anything, a number
//! may be text, ids may be short and in upper case, unknown members are passed over, of repeated members the last holds but
//! tags and annotations are added up, a span may stand without a list around it. A span that cannot be kept is left out
//! alone; only a text that is not JSON is refused as a whole.
//!
//! Limits: lists and objects nest at most 64 levels; tags and annotations of a span are at most
//! [`MAX_VALUES`](crate::otlp::MAX_VALUES).

mod members;
mod reader;
mod v1;
mod v2;
mod write;

use bytes::Bytes;

use super::{Error, Sink};
use reader::{Reader, Syntax};
pub use write::write;

/// Spans of a list. An empty one takes three bytes, and almost none packed; one with its ids fifty, so that as many as a
/// request has room for are taken.
const MAX_SPANS: usize = 512 << 10;

/// A list of version 2, or a span of it alone.
#[cfg(test)]
pub(in crate::translate) fn read(body: &[u8]) -> Result<super::Read, Error> {
    super::Read::of(|sink| each(&Bytes::copy_from_slice(body), sink))
}

/// The spans of version 2, one after the other; one may stand alone, without a list.
pub(super) fn each(body: &Bytes, sink: Sink<'_>) -> Result<(), Error> {
    list(body, |reader, place| {
        sink(v2::span(reader)?.map_err(|error| error.of_span(place)));
        Ok(())
    })
}

/// The spans of version 1, one after the other or one alone, in words of version 2.
pub(super) fn each_v1(body: &Bytes, sink: Sink<'_>) -> Result<(), Error> {
    list(body, |reader, place| {
        match v1::span(reader)? {
            Ok(span) => span.into_v2().into_iter().for_each(|span| sink(Ok(span))),
            Err(error) => sink(Err(error.of_span(place))),
        }
        Ok(())
    })
}

fn list(
    body: &Bytes,
    mut each: impl FnMut(&mut Reader<'_>, usize) -> Result<(), Syntax>,
) -> Result<(), Error> {
    let mut reader = Reader::new(body);
    let mut read = || {
        match reader.peek() {
            None => {}
            Some(b'{') => each(&mut reader, 0)?,
            Some(b'[') => {
                let mut places = 0..MAX_SPANS;
                reader.value()?;
                reader.elements(|reader| match places.next() {
                    Some(place) => each(reader, place),
                    None => Err(reader.wrong("a list has at most 524288 spans")),
                })?;
            }
            Some(_) => return Err(reader.wrong("a list of spans was expected")),
        }
        reader.end()
    };
    read().map_err(|syntax| error(body, syntax))
}

fn error(body: &[u8], Syntax { what, offset }: Syntax) -> Error {
    let before = &body[..offset.min(body.len())];
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let column = offset - memchr::memrchr(b'\n', before).map_or(0, |place| place + 1) + 1;
    Error(format!("{what} at line {line}, column {column}"))
}

#[cfg(test)]
mod tests;
