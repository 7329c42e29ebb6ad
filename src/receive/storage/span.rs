//! One span of Jaeger's, from its message to an export request.

use bytes::Bytes;
use prost::Message as _;

use crate::ingest::{Refused, Settings};
use crate::otlp::{Fields, MAX_ENCLOSING_BYTES, MAX_VALUES, Value};
use crate::proto::jaeger::api_v2::{KeyValue, Span};
use crate::proto::jaeger::storage::v1::WriteSpanRequest;
use crate::receive::Received;
use crate::receive::hand_over::Door;
use crate::translate::jaeger;

/// What a span takes while it is made a request, beside what its values take: its message, and the request in a vector
/// that grew by doubling.
const COPIES: usize = 4;

/// What one value takes, in a vector that grew by doubling: none is larger than a tag.
const VALUE_BYTES: usize = 2 * size_of::<KeyValue>();

/// Takes the room that reading a message takes: two bytes on the wire can become a hundred in memory.
pub(super) async fn with_room_to_read(mut received: Received, door: &Door) -> Result<Received, Refused> {
    let (bytes, limit) = (received.bytes.len(), door.ingest.settings().max_span_bytes);
    // Its process is kept beside it; with that, too, it could not be kept.
    if bytes > limit.saturating_add(MAX_ENCLOSING_BYTES) {
        let (bytes, limit) = (bytes as u64, limit as u64);
        return Err(Refused::TooLarge { what: "a span", bytes, limit, key: "receive.max_span_bytes" });
    }
    let needed = room_to_read(&received.bytes, 0, door.ingest.settings())?;
    door.patiently(|| received.reservation.grow(needed)).await?;
    Ok(received)
}

/// Bytes that reading a `WriteSpanRequest` takes, itself included. What can never have so many, beside so many that its
/// sender takes anyway, is refused for good: to wait would not help.
pub(super) fn room_to_read(message: &[u8], beside: usize, settings: &Settings) -> Result<usize, Refused> {
    let values = values(message, Level::Request);
    if values > MAX_VALUES {
        return Err(Refused::Malformed(format!(
            "span: above the limit of {MAX_VALUES} tags, logs and references"
        )));
    }
    let needed = COPIES * message.len() + values * VALUE_BYTES;
    if needed + beside <= settings.in_flight_bytes {
        return Ok(needed);
    }
    let too_large = |bytes: usize, limit: usize, what, key| {
        Err(Refused::TooLarge { what, bytes: bytes as u64, limit: limit as u64, key })
    };
    // With more room it would be refused all the same.
    if message.len() > settings.max_span_bytes {
        return too_large(message.len(), settings.max_span_bytes, "a span", "receive.max_span_bytes");
    }
    too_large(needed + beside, settings.in_flight_bytes, "a span in memory", "receive.in_flight_bytes")
}

/// The messages of which every part may hold more of them.
#[derive(Debug, Clone, Copy)]
enum Level {
    Request,
    Span,
    /// A process or a log: its second field is a list of tags.
    Tags,
}

/// Counts what is in lists; what cannot be read ends it, and is met again when it is decoded.
fn values(message: &[u8], level: Level) -> usize {
    let (mut fields, mut count) = (Fields::new(message), 0);
    while let Some((number, value)) = fields.next()
        && count <= MAX_VALUES
    {
        let Value::Bytes(inner) = value else { continue };
        count += match (level, number) {
            (Level::Request, 1) => values(inner, Level::Span),
            // References, tags, warnings.
            (Level::Span, 4 | 8 | 12) | (Level::Tags, 2) => 1,
            // Logs, the process.
            (Level::Span, 9 | 10) => 1 + values(inner, Level::Tags),
            _ => 0,
        };
    }
    count
}

/// A `WriteSpanRequest` made into an export request.
pub(super) fn to_request(received: Received) -> Result<Received, Refused> {
    let Received { bytes, mut reservation } = received;
    let span = read(bytes)?;
    let request = request(std::slice::from_ref(&span))?;
    drop(span);
    reservation.shrink(request.len());
    reservation.grow(request.len())?;
    Ok(Received { bytes: request, reservation })
}

/// The span of a `WriteSpanRequest`.
pub(super) fn read(message: Bytes) -> Result<Span, Refused> {
    let request = WriteSpanRequest::decode(message);
    let request = request.map_err(|error| Refused::Malformed(format!("WriteSpanRequest: {error}")))?;
    request.span.ok_or_else(|| Refused::Malformed("WriteSpanRequest: there is no span in it".to_owned()))
}

/// An export request with these spans; it pins no more than it says.
pub(super) fn request(spans: &[Span]) -> Result<Bytes, Refused> {
    let request = jaeger::request(spans).map_err(|error| Refused::Malformed(error.to_string()))?;
    Ok(request.into_boxed_slice().into())
}
