//! How much room Jaeger's messages take once they are read, told before they are: two bytes on the wire can become a
//! hundred in memory.

use crate::ingest::{Refused, Settings};
use crate::otlp::{Fields, Value};
use crate::proto::jaeger::api_v2::KeyValue;
use crate::receive::Received;
use crate::receive::hand_over::Door;

/// What a message takes while it is made a request, beside what its values take: itself, and the request in a vector
/// that grew by doubling.
pub(in crate::receive) const COPIES: usize = 4;

/// What one value takes, in a vector that grew by doubling: none is larger than a tag.
pub(in crate::receive) const VALUE_BYTES: usize = 2 * size_of::<KeyValue>();

/// As many values take what a span of a batch takes, with what it is checked and kept by.
const VALUES_OF_A_SPAN: usize = 8;

/// The messages of which every part may hold more of them.
#[derive(Debug, Clone, Copy)]
pub(in crate::receive) enum Level {
    /// `PostSpansRequest`.
    Posted,
    Batch,
    /// `WriteSpanRequest`.
    Written,
    Span,
    /// A process or a log: its second field is a list of tags.
    Tags,
}

/// Counts what is in lists, up to somewhat more than `enough`; what cannot be read ends it, and is met again when it is
/// decoded.
pub(in crate::receive) fn values(message: &[u8], level: Level, enough: usize) -> usize {
    let (mut fields, mut count) = (Fields::new(message), 0);
    while let Some((number, value)) = fields.next()
        && count <= enough
    {
        let Value::Bytes(inner) = value else { continue };
        let inside = |level| values(inner, level, enough - count);
        count += match (level, number) {
            (Level::Posted, 1) => inside(Level::Batch),
            (Level::Written, 1) => inside(Level::Span),
            (Level::Batch, 1) => VALUES_OF_A_SPAN + inside(Level::Span),
            // References, tags, warnings.
            (Level::Span, 4 | 8 | 12) | (Level::Tags, 2) => 1,
            // Logs, the process.
            (Level::Span, 9 | 10) | (Level::Batch, 2) => 1 + inside(Level::Tags),
            _ => 0,
        };
    }
    count
}

/// Bytes that reading a `PostSpansRequest` takes, itself included.
pub(super) fn of_posted(message: &[u8], settings: &Settings) -> usize {
    let too_many = settings.in_flight_bytes / VALUE_BYTES;
    COPIES * message.len() + VALUE_BYTES * values(message, Level::Posted, too_many)
}

/// Takes so many bytes for reading a batch. What can never have them is refused for good: to wait would not help.
pub(super) async fn take(needed: usize, mut received: Received, door: &Door) -> Result<Received, Refused> {
    let limit = door.ingest.settings().in_flight_bytes;
    if needed > limit {
        let (bytes, limit) = (needed as u64, limit as u64);
        return Err(Refused::TooLarge {
            what: "a batch in memory",
            bytes,
            limit,
            key: "receive.in_flight_bytes",
        });
    }
    door.patiently(|| received.reservation.grow(needed)).await?;
    Ok(received)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::proto::jaeger::api_v2::{Batch, Log, PostSpansRequest, Process, Span, SpanRef};

    #[test]
    fn every_value_of_a_batch_is_counted_until_there_are_enough() {
        let tags = |count| vec![KeyValue::default(); count];
        let span = Span {
            references: vec![SpanRef::default(); 2],
            tags: tags(3),
            logs: vec![Log { fields: tags(4), timestamp: None }],
            process: Some(Process { tags: tags(5), ..Process::default() }),
            warnings: vec!["".into(); 6],
            ..Span::default()
        };
        let of_span = 2 + 3 + (1 + 4) + (1 + 5) + 6;
        let process = Some(Process { tags: tags(7), ..Process::default() });
        let batch = Some(Batch { spans: vec![span.clone(), span], process });
        let message = PostSpansRequest { batch }.encode_to_vec();
        let all = 2 * (VALUES_OF_A_SPAN + of_span) + 1 + 7;
        assert_eq!(values(&message, Level::Posted, usize::MAX), all);
        let few = values(&message, Level::Posted, 10);
        assert!((11..all).contains(&few), "{few}");
        assert_eq!(values(b"\xff\xff", Level::Posted, 10), 0);
    }
}
