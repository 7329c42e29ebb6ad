//! A span that came by another protocol, in Zipkin's words.
//!
//! Attributes of the resource become tags, as most exporters to Zipkin have it; a span's own come after them. Links have
//! no word. The kind "internal" has none either: Zipkin knows only sides of calls and messages.
//!
//! Source: opentelemetry.io, "OpenTelemetry to Zipkin".

use std::borrow::Cow;
use std::net::IpAddr;

use bytes::Bytes;

use super::{Annotation, Endpoint, Kind, Span};
use crate::model::{self, Origin, StatusCode};
use crate::otlp::{
    AnyValue, EventView, KeyValue, ResourceView, ScopeView, SpanView, derived_attributes, is_reserved,
};
use crate::translate::otlp::said;

/// Keys whose values name the other side, the best first, each with the key of its port.
const PEERS: [(&str, &str); 12] = [
    ("peer.service", ""),
    ("server.address", "server.port"),
    ("net.peer.name", "net.peer.port"),
    ("network.peer.address", "network.peer.port"),
    ("server.socket.domain", "server.socket.port"),
    ("server.socket.address", "server.socket.port"),
    ("net.sock.peer.name", "net.sock.peer.port"),
    ("net.sock.peer.addr", "net.sock.peer.port"),
    ("net.peer.ip", "net.peer.port"),
    ("peer.hostname", ""),
    ("peer.address", ""),
    ("db.name", ""),
];

/// The keys of attributes that may name the other side, the best first.
pub fn peer_keys() -> impl Iterator<Item = &'static str> {
    PEERS.into_iter().map(|(key, _port)| key)
}

/// Of Jaeger's flags, that a span is recorded whatever a sampler says.
const DEBUG: u32 = 2;

/// The span by OpenTelemetry's rules.
pub(super) fn span(span: &model::Span) -> Span {
    let Some(said) = said(span) else {
        return views(span, &SpanView::read(&span.body), &ScopeView::read(&span.scope.bytes));
    };
    let debug = span.origin == Origin::Jaeger && span.flags & DEBUG != 0;
    Span { debug, ..views(span, &SpanView::read(&said.body), &ScopeView::read(&said.scope)) }
}

fn views(span: &model::Span, body: &SpanView<'_>, scope: &ScopeView<'_>) -> Span {
    let resource = ResourceView::read(&span.resource.bytes);
    let service = &span.resource.service;
    let kind = Kind::of(span.kind);
    Span {
        trace_id: span.trace_id,
        id: span.span_id,
        parent_id: span.parent_id,
        kind,
        name: text(&body.name),
        timestamp: Some(span.start.micros()).filter(|micros| *micros != 0),
        duration: Some((span.end.nanos().saturating_sub(span.start.nanos()) / 1_000).max(1)),
        local_endpoint: Endpoint { service_name: text(service), ..Endpoint::default() }.unless_silent(),
        remote_endpoint: kind.and_then(|_| remote(&body.attributes)),
        annotations: body.events.iter().map(annotation).collect(),
        tags: tags(span, body, scope, &resource),
        debug: false,
        shared: false,
    }
}

fn tags(
    span: &model::Span,
    body: &SpanView<'_>,
    scope: &ScopeView<'_>,
    resource: &ResourceView<'_>,
) -> Vec<(Bytes, Bytes)> {
    let derived = derived_attributes(span, body, scope);
    let of_resource = resource.attributes.iter().filter(|pair| pair.key != "service.name");
    // The tag says by being there that something failed.
    let own = body.attributes.iter().filter(|pair| pair.key != "error" || pair.value.to_text() != "false");
    let failed = span.status == StatusCode::Error;
    let is_said_otherwise = |key: &str| is_reserved(key) || failed && key == "error";
    let sent = of_resource.chain(own).filter(|pair| !is_said_otherwise(&pair.key));
    // The kind has a member of its own, the description is what the error says.
    let is_tag =
        |pair: &&KeyValue<'_>| !["span.kind", "error", "otel.status_description"].contains(&&*pair.key);
    let tags = sent.chain(derived.iter().flatten().filter(is_tag));
    let error = failed.then(|| (Bytes::from_static(b"error"), text(&body.status_message)));
    tags.map(|pair| (text(&pair.key), text(&pair.value.to_text()))).chain(error).collect()
}

/// Who the attributes say was on the other side.
pub(super) fn remote(attributes: &[KeyValue<'_>]) -> Option<Endpoint> {
    let find = |key: &str| attributes.iter().find(|pair| pair.key == key).map(|pair| pair.value.to_text());
    let peer = |(key, port)| Some((find(key).filter(|text| !text.is_empty())?, find(port)));
    let (name, port): (Cow<'_, str>, Option<Cow<'_, str>>) = PEERS.into_iter().find_map(peer)?;
    let mut endpoint = Endpoint { port: port.and_then(|port| port.parse().ok()), ..Endpoint::default() };
    match name.parse() {
        Ok(IpAddr::V4(address)) => endpoint.ipv4 = Some(address),
        Ok(IpAddr::V6(address)) => endpoint.ipv6 = Some(address),
        Err(_) => endpoint.service_name = text(&name),
    }
    endpoint.unless_silent()
}

/// The event's name, and its attributes as a JSON object if it has any: `"name": {"key":"value"}`.
fn annotation(event: &EventView<'_>) -> Annotation {
    let attributes: Vec<_> =
        event.attributes.iter().filter(|pair| !is_reserved(&pair.key)).cloned().collect();
    let timestamp = event.time.micros();
    if attributes.is_empty() {
        return Annotation { timestamp, value: text(&event.name) };
    }
    let mut value = String::new();
    if !event.name.is_empty() {
        AnyValue::String(event.name.clone()).write_json(&mut value);
        value.push_str(": ");
    }
    AnyValue::Map(attributes).write_json(&mut value);
    Annotation { timestamp, value: value.into() }
}

fn text(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}
