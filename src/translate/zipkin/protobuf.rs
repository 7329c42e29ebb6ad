//! Zipkin's protobuf: `zipkin.proto3.ListOfSpans`.

use bytes::Bytes;

use super::{Annotation, CheckedIds, Endpoint, Error, Kind, Sink, Span, checked_ids};
use crate::model::{SpanId, TraceId};
use crate::otlp::{Fields, MAX_VALUES, Value, WireError};

/// The spans of a `ListOfSpans`, one after the other. Fields of another type than theirs, and those that `zipkin.proto`
/// does not have, are passed over; a span that is damaged is left out alone.
pub(super) fn each(body: &Bytes, sink: Sink<'_>) -> Result<(), Error> {
    let mut fields = Fields::new(body);
    let mut place = 0;
    while let Some(field) = fields.next_field().map_err(damaged)? {
        if let (1, Value::Bytes(message)) = field {
            sink(span(body, message).map_err(|error: Error| error.of_span(place)));
            place += 1;
        }
    }
    Ok(())
}

fn damaged(error: WireError) -> Error {
    Error(error.to_string())
}

fn span(body: &Bytes, message: &[u8]) -> Result<Span, Error> {
    let (mut span, mut ids) = (Span::default(), [&[][..]; 3]);
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next_field().map_err(damaged)? {
        match field {
            (1, Value::Bytes(id)) => ids[0] = id,
            (2, Value::Bytes(id)) => ids[2] = id,
            (3, Value::Bytes(id)) => ids[1] = id,
            (4, Value::Varint(number)) => span.kind = kind(number),
            (5, Value::Bytes(name)) => span.name = body.slice_ref(name),
            (6, Value::Fixed64(micros)) => span.timestamp = Some(micros).filter(|micros| *micros != 0),
            (7, Value::Varint(micros)) => span.duration = Some(micros).filter(|micros| *micros != 0),
            (8, Value::Bytes(message)) => span.local_endpoint = endpoint(body, message)?,
            (9, Value::Bytes(message)) => span.remote_endpoint = endpoint(body, message)?,
            (10, Value::Bytes(message)) => span.annotations.extend(annotation(body, message)?),
            (11, Value::Bytes(message)) => span.tags.push(tag(body, message)?),
            (12, Value::Varint(bit)) => span.debug = bit != 0,
            (13, Value::Varint(bit)) => span.shared = bit != 0,
            _ => {}
        }
        if span.tags.len() + span.annotations.len() > MAX_VALUES {
            return Err(Error(format!("more than {MAX_VALUES} tags and annotations")));
        }
    }
    let (trace_id, id, parent_id) = self::ids(ids)?;
    Ok(Span { trace_id, id, parent_id, ..span })
}

fn ids([trace_id, id, parent_id]: [&[u8]; 3]) -> Result<CheckedIds, Error> {
    let wrong = |name: &str, id: &[u8], right: &str| {
        Error(format!("a {name} of {} bytes, where {right} are right", id.len()))
    };
    let mut whole = [0; 16];
    match trace_id.len() {
        8 => whole[8..].copy_from_slice(trace_id),
        16 => whole.copy_from_slice(trace_id),
        _ => return Err(wrong("trace id", trace_id, "8 or 16")),
    }
    let own = SpanId::from_slice(id).ok_or_else(|| wrong("span id", id, "8"))?;
    let parent = match parent_id {
        [] => None,
        _ => Some(SpanId::from_slice(parent_id).ok_or_else(|| wrong("parent id", parent_id, "0 or 8"))?),
    };
    checked_ids(TraceId(whole), own, parent)
}

/// Not OTLP's numbers.
fn kind(number: u64) -> Option<Kind> {
    match number {
        1 => Some(Kind::Client),
        2 => Some(Kind::Server),
        3 => Some(Kind::Producer),
        4 => Some(Kind::Consumer),
        _ => None,
    }
}

/// `None` is an endpoint that says nothing. Addresses of other lengths are left out of it.
fn endpoint(body: &Bytes, message: &[u8]) -> Result<Option<Endpoint>, Error> {
    let mut endpoint = Endpoint::default();
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next_field().map_err(damaged)? {
        match field {
            (1, Value::Bytes(name)) => endpoint.service_name = body.slice_ref(name),
            (2, Value::Bytes(bytes)) => endpoint.ipv4 = <[u8; 4]>::try_from(bytes).ok().map(Into::into),
            (3, Value::Bytes(bytes)) => endpoint.ipv6 = <[u8; 16]>::try_from(bytes).ok().map(Into::into),
            (4, Value::Varint(number)) => {
                endpoint.port = u16::try_from(number).ok().filter(|port| *port != 0);
            }
            _ => {}
        }
    }
    Ok(endpoint.unless_silent())
}

/// `None` is an annotation that says nothing.
fn annotation(body: &Bytes, message: &[u8]) -> Result<Option<Annotation>, Error> {
    let mut annotation = Annotation::default();
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next_field().map_err(damaged)? {
        match field {
            (1, Value::Fixed64(micros)) => annotation.timestamp = micros,
            (2, Value::Bytes(value)) => annotation.value = body.slice_ref(value),
            _ => {}
        }
    }
    Ok(Some(annotation).filter(|annotation| *annotation != Annotation::default()))
}

fn tag(body: &Bytes, message: &[u8]) -> Result<(Bytes, Bytes), Error> {
    let mut tag = (Bytes::new(), Bytes::new());
    let mut fields = Fields::new(message);
    while let Some(field) = fields.next_field().map_err(damaged)? {
        match field {
            (1, Value::Bytes(key)) => tag.0 = body.slice_ref(key),
            (2, Value::Bytes(value)) => tag.1 = body.slice_ref(value),
            _ => {}
        }
    }
    Ok(tag)
}
