//! How much room Jaeger's messages take once they are read, told before they are: two bytes on the wire can become a
//! hundred in memory.

use crate::ingest::{Refused, Settings};
use crate::otlp::{Fields, Value, WireErrorKind};
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

/// Counts what is in lists, up to somewhat more than `enough`. What cannot be read here must not be decoded: who decodes
/// may read on, and what follows would not have been counted.
pub(in crate::receive) fn values(
    message: &[u8],
    level: Level,
    enough: usize,
) -> Result<usize, WireErrorKind> {
    let (mut fields, mut count) = (Fields::new(message), 0);
    while count <= enough {
        let Some((number, value)) = fields.next_field().map_err(|error| error.kind)? else { break };
        let Value::Bytes(inner) = value else { continue };
        let inside = |level| values(inner, level, enough - count);
        count += match (level, number) {
            (Level::Posted, 1) => inside(Level::Batch)?,
            (Level::Written, 1) => inside(Level::Span)?,
            (Level::Batch, 1) => VALUES_OF_A_SPAN + inside(Level::Span)?,
            // References, tags, warnings.
            (Level::Span, 4 | 8 | 12) | (Level::Tags, 2) => 1,
            // Logs, the process.
            (Level::Span, 9 | 10) | (Level::Batch, 2) => 1 + inside(Level::Tags)?,
            _ => 0,
        };
    }
    Ok(count)
}

/// Bytes that reading a `PostSpansRequest` takes, itself included.
pub(super) fn of_posted(message: &[u8], settings: &Settings) -> Result<usize, Refused> {
    let too_many = settings.in_flight_bytes / VALUE_BYTES;
    let values = values(message, Level::Posted, too_many)
        .map_err(|error| Refused::Malformed(format!("PostSpansRequest: {error}")))?;
    Ok(COPIES * message.len() + VALUE_BYTES * values)
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
    use crate::proto::jaeger::storage::v1::WriteSpanRequest;

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
        assert_eq!(values(&message, Level::Posted, usize::MAX), Ok(all));
        let few = values(&message, Level::Posted, 10).unwrap();
        assert!((11..all).contains(&few), "{few}");
    }

    #[test]
    fn what_the_decoder_would_read_and_we_do_not_is_refused() {
        assert_eq!(values(b"\xff\xff", Level::Posted, 10), Err(WireErrorKind::Truncated));
        let groups = [[0xa3, 0x06].repeat(40), [0xa4, 0x06].repeat(40)].concat();
        let first_field = |content: &[u8]| {
            let mut message = vec![0x0a];
            prost::encode_length_delimiter(content.len(), &mut message).unwrap();
            [message, content.to_vec()].concat()
        };
        let posted = first_field(&[groups.clone(), [0x0a, 0x00].repeat(1_000)].concat());
        assert_eq!(PostSpansRequest::decode(posted.as_slice()).unwrap().batch.unwrap().spans.len(), 1_000);
        assert_eq!(values(&posted, Level::Posted, 10), Err(WireErrorKind::Group));
        let written = first_field(&[groups, [0x42, 0x00].repeat(1_000)].concat());
        assert_eq!(WriteSpanRequest::decode(written.as_slice()).unwrap().span.unwrap().tags.len(), 1_000);
        assert_eq!(values(&written, Level::Written, 10), Err(WireErrorKind::Group));
    }
}
