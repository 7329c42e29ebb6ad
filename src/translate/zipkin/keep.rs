//! Writing the kept form of a span: OTLP that says all of it but a few bits.

use std::net::IpAddr;

use super::meaning::Meaning;
use super::{Annotation, Endpoint, Error, Kind, Span};
use crate::model::{Origin, SpanKind, StatusCode, Timestamp};
use crate::otlp::{MAX_ENCLOSING_BYTES, ORIGIN_FIELD, ZIPKIN_FIELD, write};
use crate::translate::Batched;
use crate::translate::batch::ByResource;

/// The bits of [`ZIPKIN_FIELD`].
pub(super) mod bits {
    pub(in crate::translate::zipkin) const SHARED: u64 = crate::otlp::ZIPKIN_SHARED;
    pub(in crate::translate::zipkin) const DEBUG: u64 = 1 << 1;
    /// The start is that of the first annotation, or 1970.
    pub(in crate::translate::zipkin) const NO_TIMESTAMP: u64 = 1 << 2;
    /// The end is the start.
    pub(in crate::translate::zipkin) const NO_DURATION: u64 = 1 << 3;
    /// The kind is that of the tag `span.kind`.
    pub(in crate::translate::zipkin) const NO_KIND: u64 = 1 << 4;
    /// Which of the attributes of the remote endpoint stand behind the tags.
    pub(in crate::translate::zipkin) const REMOTE_NAME: u64 = 1 << 5;
    pub(in crate::translate::zipkin) const REMOTE_IPV4: u64 = 1 << 6;
    pub(in crate::translate::zipkin) const REMOTE_IPV6: u64 = 1 << 7;
    pub(in crate::translate::zipkin) const REMOTE_PORT: u64 = 1 << 8;
}

/// The keys of an endpoint's attributes.
#[derive(Debug)]
pub(super) struct Keys {
    pub(super) name: &'static str,
    pub(super) address: &'static str,
    pub(super) port: &'static str,
}

/// Of who recorded the span, in its resource.
pub(super) const LOCAL: Keys = Keys { name: "service.name", address: "net.host.ip", port: "net.host.port" };
/// Of the other side, behind the tags.
pub(super) const REMOTE: Keys = Keys { name: "peer.service", address: "net.peer.ip", port: "net.peer.port" };

/// Room in a resource for all that is not the name.
const MAX_NAME_BYTES: usize = MAX_ENCLOSING_BYTES - 256;

/// Resources whose spans wait for others of theirs, and the bytes of all that waits: then it is written.
const MAX_GROUPS: usize = 256;
const MAX_WAITING_BYTES: usize = 1 << 20;

/// A list that is written as its spans come.
pub(super) struct Batch<'r> {
    /// Spans as fields of a `ScopeSpans` message.
    groups: ByResource<Vec<u8>>,
    /// Bytes of those spans.
    span_bytes: usize,
    batched: Batched<Error>,
    /// Whether there is room for so many bytes.
    room: &'r mut dyn FnMut(usize) -> bool,
    /// For so many there is.
    granted: usize,
    had_room: bool,
}

impl<'r> Batch<'r> {
    pub(super) fn new(room: &'r mut dyn FnMut(usize) -> bool) -> Self {
        Self {
            groups: ByResource::default(),
            span_bytes: 0,
            batched: Batched::default(),
            room,
            granted: 0,
            had_room: true,
        }
    }

    pub(super) fn add(&mut self, span: &Span) {
        let name = span.local_endpoint.as_ref().map_or(0, |endpoint| endpoint.service_name.len());
        if name > MAX_NAME_BYTES {
            return self.leave_out(Error(format!("a service's name of {name} bytes")));
        }
        if !self.had_room {
            return;
        }
        self.batched.spans += 1;
        let mut resource = Vec::new();
        if let Some(endpoint) = &span.local_endpoint {
            self::endpoint(&mut resource, 1, endpoint, &LOCAL);
        }
        let place = self.groups.place(resource);
        let group = self.groups.at(place);
        let before = group.len();
        write::message(group, 2, |out| self::span(out, span));
        self.span_bytes += group.len() - before;
        if self.groups.len() > MAX_GROUPS || self.waiting() > MAX_WAITING_BYTES {
            self.write_groups();
        }
        let held = self.waiting() + self.batched.request.capacity();
        if held > self.granted {
            self.granted = held + held / 8;
            self.had_room = (self.room)(self.granted);
        }
    }

    pub(super) fn leave_out(&mut self, error: Error) {
        self.batched.leave_out(error);
    }

    /// Bytes of what is not in the request yet.
    fn waiting(&self) -> usize {
        self.groups.bytes() + self.span_bytes
    }

    fn write_groups(&mut self) {
        for (resource, spans) in self.groups.drain() {
            write::message(&mut self.batched.request, 1, |out| {
                write::bytes(out, 1, &resource);
                write::bytes(out, 2, &spans);
                write::uint(out, ORIGIN_FIELD, Origin::Zipkin as u64);
            });
        }
        self.span_bytes = 0;
    }

    pub(super) fn finish(mut self) -> Batched<Error> {
        self.write_groups();
        self.batched
    }

    pub(super) fn finish_if_there_was_room(self) -> Result<Batched<Error>, Error> {
        if self.had_room {
            Ok(self.finish())
        } else {
            Err(Error("there is no room for its spans".to_owned()))
        }
    }
}

/// The fields of a `Span` message, appended to `out`.
fn span(out: &mut Vec<u8>, span: &Span) {
    let meaning = Meaning::of(&span.tags);
    let kind = span.kind.map(Kind::to_otlp);
    write::bytes(out, 1, &span.trace_id.0);
    write::bytes(out, 2, &span.id.0);
    write::unless_empty(out, 3, meaning.trace_state);
    if let Some(parent) = span.parent_id {
        write::bytes(out, 4, &parent.0);
    }
    write::unless_empty(out, 5, &span.name);
    write::unless_zero(out, 6, kind.unwrap_or(meaning.kind) as u64);
    let (start, end) = times(span);
    write::fixed64(out, 7, start);
    write::fixed64(out, 8, end);
    for (key, value) in &span.tags {
        attribute(out, 9, key, |out| write::bytes(out, 1, value));
    }
    if let Some(remote) = &span.remote_endpoint {
        endpoint(out, 9, remote, &REMOTE);
    }
    span.annotations.iter().for_each(|annotation| event(out, annotation));
    status(out, &meaning);
    write::unless_zero(out, ZIPKIN_FIELD, bits(span, &meaning));
}

/// Start and end in ns. Who does not say when he started did so when the first thing happened to him.
fn times(span: &Span) -> (u64, u64) {
    let first = || span.annotations.iter().map(|annotation| annotation.timestamp).min();
    let start = span.timestamp.or_else(first).unwrap_or_default();
    let end = start.saturating_add(span.duration.unwrap_or_default());
    (Timestamp::from_micros(start).nanos(), Timestamp::from_micros(end).nanos())
}

/// What no field of OTLP can say.
fn bits(span: &Span, meaning: &Meaning<'_>) -> u64 {
    let remote = span.remote_endpoint.as_ref();
    let remote_has = |part: fn(&Endpoint) -> bool| remote.is_some_and(part);
    let bits = [
        (bits::SHARED, span.shared),
        (bits::DEBUG, span.debug),
        (bits::NO_TIMESTAMP, span.timestamp.is_none()),
        (bits::NO_DURATION, span.duration.is_none()),
        (bits::NO_KIND, span.kind.is_none() && meaning.kind != SpanKind::Unspecified),
        (bits::REMOTE_NAME, remote_has(|remote| !remote.service_name.is_empty())),
        (bits::REMOTE_IPV4, remote_has(|remote| remote.ipv4.is_some())),
        (bits::REMOTE_IPV6, remote_has(|remote| remote.ipv6.is_some())),
        (bits::REMOTE_PORT, remote_has(|remote| remote.port.is_some())),
    ];
    bits.into_iter().filter(|(_, is_set)| *is_set).map(|(bit, _)| bit).sum()
}

/// The attributes of an endpoint: one for each thing it says, in this order.
fn endpoint(out: &mut Vec<u8>, field: u32, endpoint: &Endpoint, keys: &Keys) {
    if !endpoint.service_name.is_empty() {
        attribute(out, field, keys.name.as_bytes(), |out| write::bytes(out, 1, &endpoint.service_name));
    }
    let addresses = [endpoint.ipv4.map(IpAddr::V4), endpoint.ipv6.map(IpAddr::V6)];
    for address in addresses.into_iter().flatten() {
        let text = address.to_string();
        attribute(out, field, keys.address.as_bytes(), |out| write::string(out, 1, &text));
    }
    if let Some(port) = endpoint.port {
        attribute(out, field, keys.port.as_bytes(), |out| write::uint(out, 3, port.into()));
    }
}

fn event(out: &mut Vec<u8>, annotation: &Annotation) {
    write::message(out, 11, |out| {
        write::fixed64(out, 1, Timestamp::from_micros(annotation.timestamp).nanos());
        write::unless_empty(out, 2, &annotation.value);
    });
}

fn status(out: &mut Vec<u8>, meaning: &Meaning<'_>) {
    if meaning.status != StatusCode::Unset || !meaning.status_message.is_empty() {
        write::message(out, 15, |out| {
            write::unless_empty(out, 2, meaning.status_message);
            write::unless_zero(out, 3, meaning.status as u64);
        });
    }
}

/// A `KeyValue` message whose `AnyValue` has these fields.
fn attribute(out: &mut Vec<u8>, field: u32, key: &[u8], value: impl FnOnce(&mut Vec<u8>)) {
    write::message(out, field, |out| {
        write::bytes(out, 1, key);
        write::message(out, 2, value);
    });
}
