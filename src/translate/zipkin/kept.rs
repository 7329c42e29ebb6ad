//! Reading the kept form of a span: what was sent, from the bytes that [`super::keep`] wrote.
//!
//! Anybody can send OTLP that says of itself that it is such a span. Whatever the bytes are, a span comes out; what is
//! not as it should be is left out of it or becomes text.

use std::net::IpAddr;

use bytes::Bytes;

use super::keep::{Keys, LOCAL, REMOTE, bits};
use super::{Annotation, Endpoint, Kind, Span};
use crate::model::{self, Timestamp};
use crate::otlp::{AnyValue, Fields, Value, ZIPKIN_FIELD};

/// The span as it was sent.
pub(in crate::translate) fn span(span: &model::Span) -> Span {
    let mut read = Span {
        trace_id: span.trace_id,
        id: span.span_id,
        parent_id: span.parent_id,
        local_endpoint: endpoint(&span.resource.bytes),
        ..Span::default()
    };
    let (mut attributes, mut said) = (Vec::new(), 0);
    for field in Fields::new(&span.body) {
        match field {
            (5, Value::Bytes(name)) => read.name = span.body.slice_ref(name),
            (9, Value::Bytes(pair)) => attributes.push(pair),
            (11, Value::Bytes(message)) => read.annotations.push(annotation(&span.body, message)),
            (ZIPKIN_FIELD, Value::Varint(number)) => said = number,
            _ => {}
        }
    }
    let is = |bit| said & bit != 0;
    read.kind = Kind::of(span.kind).filter(|_| !is(bits::NO_KIND));
    read.timestamp = (!is(bits::NO_TIMESTAMP)).then_some(span.start.micros());
    let micros = span.end.micros().saturating_sub(span.start.micros());
    read.duration = (!is(bits::NO_DURATION)).then_some(micros);
    read.remote_endpoint = remote(&span.body, &mut attributes, said);
    read.tags = attributes.into_iter().map(|pair| tag(&span.body, pair)).collect();
    (read.debug, read.shared) = (is(bits::DEBUG), is(bits::SHARED));
    read
}

/// Takes the remote endpoint off the end of the attributes.
fn remote(body: &Bytes, attributes: &mut Vec<&[u8]>, said: u64) -> Option<Endpoint> {
    let all = bits::REMOTE_NAME | bits::REMOTE_IPV4 | bits::REMOTE_IPV6 | bits::REMOTE_PORT;
    let tags = attributes.len().saturating_sub((said & all).count_ones() as usize);
    of_attributes(body, attributes.drain(tags..), &REMOTE)
}

/// The local endpoint, from its resource.
fn endpoint(resource: &Bytes) -> Option<Endpoint> {
    let attributes = Fields::new(resource).filter_map(|field| match field {
        (1, Value::Bytes(pair)) => Some(pair),
        _ => None,
    });
    of_attributes(resource, attributes, &LOCAL)
}

fn of_attributes<'a>(
    message: &Bytes,
    attributes: impl Iterator<Item = &'a [u8]>,
    keys: &Keys,
) -> Option<Endpoint> {
    let mut endpoint = Endpoint::default();
    for pair in attributes {
        let (key, value) = tag(message, pair);
        if key == keys.name.as_bytes() {
            endpoint.service_name = value;
        } else if key == keys.address.as_bytes() {
            match parsed(&value) {
                Some(IpAddr::V4(address)) => endpoint.ipv4 = Some(address),
                Some(IpAddr::V6(address)) => endpoint.ipv6 = Some(address),
                None => {}
            }
        } else if key == keys.port.as_bytes() {
            endpoint.port = parsed(&value);
        }
    }
    endpoint.unless_silent()
}

fn parsed<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn annotation(body: &Bytes, message: &[u8]) -> Annotation {
    let mut annotation = Annotation::default();
    for field in Fields::new(message) {
        match field {
            (1, Value::Fixed64(nanos)) => annotation.timestamp = Timestamp(nanos).micros(),
            (2, Value::Bytes(value)) => annotation.value = body.slice_ref(value),
            _ => {}
        }
    }
    annotation
}

/// Key and text of a `KeyValue` message.
fn tag(message: &Bytes, pair: &[u8]) -> (Bytes, Bytes) {
    let mut tag = (Bytes::new(), Bytes::new());
    for field in Fields::new(pair) {
        match field {
            (1, Value::Bytes(key)) => tag.0 = message.slice_ref(key),
            (2, Value::Bytes(value)) => tag.1 = text(message, value),
            _ => {}
        }
    }
    tag
}

fn text(message: &Bytes, value: &[u8]) -> Bytes {
    match Fields::new(value).last() {
        Some((1, Value::Bytes(text))) => message.slice_ref(text),
        _ => AnyValue::read(value).to_text().into_owned().into(),
    }
}
