//! A span of version 2, written as JSON.

use std::fmt::Display;
use std::io::Write as _;

use crate::model::TraceId;
use crate::translate::zipkin::{Endpoint, Span};

/// Appends a span of version 2, in Zipkin's order of members; what it does not say is left out. Bytes that are not
/// UTF-8 become U+FFFD.
pub fn write(out: &mut Vec<u8>, span: &Span) {
    out.extend_from_slice(b"{\"traceId\":\"");
    append(out, trace_id(span.trace_id));
    out.push(b'"');
    if let Some(parent) = span.parent_id {
        append(out, format_args!(",\"parentId\":\"{parent}\""));
    }
    append(out, format_args!(",\"id\":\"{}\"", span.id));
    if let Some(kind) = span.kind {
        append(out, format_args!(",\"kind\":\"{}\"", kind.word()));
    }
    if !span.name.is_empty() {
        out.extend_from_slice(b",\"name\":");
        text(out, &span.name);
    }
    if let Some(timestamp) = span.timestamp {
        append(out, format_args!(",\"timestamp\":{timestamp}"));
    }
    if let Some(duration) = span.duration {
        append(out, format_args!(",\"duration\":{duration}"));
    }
    endpoint(out, b",\"localEndpoint\":", span.local_endpoint.as_ref());
    endpoint(out, b",\"remoteEndpoint\":", span.remote_endpoint.as_ref());
    values(out, span);
    if span.debug {
        out.extend_from_slice(b",\"debug\":true");
    }
    if span.shared {
        out.extend_from_slice(b",\"shared\":true");
    }
    out.push(b'}');
}

fn values(out: &mut Vec<u8>, span: &Span) {
    for (place, annotation) in span.annotations.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b",\"annotations\":[" } else { b"," });
        append(out, format_args!("{{\"timestamp\":{},\"value\":", annotation.timestamp));
        text(out, &annotation.value);
        out.push(b'}');
    }
    if !span.annotations.is_empty() {
        out.push(b']');
    }
    for (place, (key, value)) in span.tags.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b",\"tags\":{" } else { b"," });
        text(out, key);
        out.push(b':');
        text(out, value);
    }
    if !span.tags.is_empty() {
        out.push(b'}');
    }
}

fn endpoint(out: &mut Vec<u8>, member: &[u8], endpoint: Option<&Endpoint>) {
    let Some(endpoint) = endpoint else { return };
    out.extend_from_slice(member);
    let start = out.len();
    if !endpoint.service_name.is_empty() {
        out.extend_from_slice(b",\"serviceName\":");
        text(out, &endpoint.service_name);
    }
    if let Some(address) = endpoint.ipv4 {
        append(out, format_args!(",\"ipv4\":\"{address}\""));
    }
    if let Some(address) = endpoint.ipv6 {
        append(out, format_args!(",\"ipv6\":\"{address}\""));
    }
    if let Some(port) = endpoint.port {
        append(out, format_args!(",\"port\":{port}"));
    }
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// 16 digits when the high half is zero, otherwise 32.
fn trace_id(id: TraceId) -> String {
    let mut digits = id.to_string();
    if id.0[..8] == [0; 8] {
        digits.drain(..16);
    }
    digits
}

fn append(out: &mut Vec<u8>, what: impl Display) {
    write!(out, "{what}").expect("a Vec takes all that is written");
}

fn text(out: &mut Vec<u8>, text: &[u8]) {
    serde_json::to_writer(out, &String::from_utf8_lossy(text)).expect("a Vec takes all that is written");
}
