//! One span of Jaeger's, from its message to an export request.

use bytes::Bytes;
use prost::Message as _;

use crate::ingest::{Refused, Settings};
use crate::otlp::{MAX_ENCLOSING_BYTES, MAX_VALUES};
use crate::proto::jaeger::api_v2::Span;
use crate::proto::jaeger::storage::v1::WriteSpanRequest;
use crate::receive::Received;
use crate::receive::collector::fitted;
use crate::receive::hand_over::Door;
use crate::receive::jaeger::room::{COPIES, Level, VALUE_BYTES, values};
use crate::translate::jaeger;

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
    let values = values(message, Level::Written, MAX_VALUES)
        .map_err(|error| Refused::Malformed(format!("WriteSpanRequest: {error}")))?;
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

/// A `WriteSpanRequest` made into an export request.
pub(super) fn to_request(received: Received) -> Result<Received, Refused> {
    let Received { bytes, reservation } = received;
    let span = read(bytes)?;
    let request = request(std::slice::from_ref(&span))?;
    drop(span);
    fitted(request, reservation)
}

/// The span of a `WriteSpanRequest`.
pub(super) fn read(message: Bytes) -> Result<Span, Refused> {
    let request = WriteSpanRequest::decode(message);
    let request = request.map_err(|error| Refused::Malformed(format!("WriteSpanRequest: {error}")))?;
    request.span.ok_or_else(|| Refused::Malformed("WriteSpanRequest: there is no span in it".to_owned()))
}

/// An export request with these spans.
pub(super) fn request(spans: &[Span]) -> Result<Vec<u8>, Refused> {
    jaeger::request(spans).map_err(|error| Refused::Malformed(error.to_string()))
}
