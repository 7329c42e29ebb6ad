//! Traces drawn as text, for tests: one span a line, children indented below their parents.
//!
//! ```text
//! shop | GET /cart | server | 0-100 | http.status_code=500
//!   shop | load | client | 10-90 | !error
//!     cart | GET | server | 20-80 | resource:zone=a scope:name=lib event:level=warn #7 ^9
//! ```
//!
//! Service, name, kind, start and end in milliseconds after [`BASE`], marks. `!error` and `!ok` are statuses, `#7` is
//! the span's id (its line otherwise), `^9` its parent's (the line it hangs below otherwise), everything else an
//! attribute: of the span, or of its resource, scope (where `name` and `version` are its own) or one event. Whole
//! numbers and `true` are attributes of those types.

use std::sync::Arc;

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1 as resource;
use opentelemetry_proto::tonic::trace::v1 as wire;
use prost::Message as _;

use super::{Origin, Resource, Scope, Span, SpanId, SpanKind, StatusCode, Timestamp, TraceId, content_hash};

/// When every sketch begins: 2023-11-14 22:13:20 UTC.
pub(crate) const BASE: Timestamp = Timestamp(1_700_000_000_000_000_000);

/// This many milliseconds after [`BASE`].
pub(crate) fn at(millis: u64) -> Timestamp {
    Timestamp(BASE.nanos() + millis * 1_000_000)
}

/// The id of trace number `number`.
pub(crate) fn trace_id(number: u64) -> TraceId {
    TraceId(u128::from(number).to_be_bytes())
}

/// The id of span number `number`.
pub(crate) fn span_id(number: u64) -> SpanId {
    SpanId(number.to_be_bytes())
}

/// The spans of a drawn trace, in the order of the lines.
pub(crate) fn trace(number: u64, sketch: &str) -> Vec<Span> {
    let mut above: Vec<(usize, SpanId)> = Vec::new();
    let lines = sketch.lines().filter(|line| !line.trim().is_empty());
    let draw = |(place, line): (usize, &str)| {
        let indent = line.len() - line.trim_start().len();
        above.retain(|(other, _)| *other < indent);
        let drawn = Line::read(place as u64 + 1, above.last().map(|(_, id)| *id), line);
        above.push((indent, drawn.id));
        drawn.span(trace_id(number))
    };
    lines.enumerate().map(draw).collect()
}

#[derive(Default)]
struct Line {
    service: String,
    name: String,
    kind: SpanKind,
    start: Timestamp,
    end: Timestamp,
    id: SpanId,
    parent: Option<SpanId>,
    status: StatusCode,
    attributes: Vec<KeyValue>,
    resource: Vec<KeyValue>,
    scope: InstrumentationScope,
    event: Vec<KeyValue>,
}

impl Line {
    fn read(number: u64, parent: Option<SpanId>, line: &str) -> Self {
        let mut columns = line.split('|').map(str::trim);
        let mut column = || columns.next().unwrap_or_default();
        let (service, name, kind, times) = (column(), column(), column(), column());
        let (start, end) = times.split_once('-').expect("start-end");
        let mut drawn = Self {
            service: service.into(),
            name: name.into(),
            kind: SpanKind::from_name(kind).expect("a kind of span"),
            start: at(start.parse().unwrap()),
            end: at(end.parse().unwrap()),
            id: span_id(number),
            parent,
            ..Self::default()
        };
        column().split_whitespace().for_each(|mark| drawn.mark(mark));
        drawn
    }

    fn mark(&mut self, mark: &str) {
        if let Some(id) = mark.strip_prefix('#') {
            self.id = span_id(id.parse().unwrap());
        } else if let Some(id) = mark.strip_prefix('^') {
            self.parent = Some(span_id(id.parse().unwrap()));
        } else if mark == "!error" {
            self.status = StatusCode::Error;
        } else if mark == "!ok" {
            self.status = StatusCode::Ok;
        } else {
            let (key, value) = mark.split_once('=').expect("a mark is an id, a status or key=value");
            match key.split_once(':') {
                Some(("resource", key)) => self.resource.push(attribute(key, value)),
                Some(("scope", "name")) => self.scope.name = value.into(),
                Some(("scope", "version")) => self.scope.version = value.into(),
                Some(("scope", key)) => self.scope.attributes.push(attribute(key, value)),
                Some(("event", key)) => self.event.push(attribute(key, value)),
                _ => self.attributes.push(attribute(key, value)),
            }
        }
    }

    fn span(mut self, trace_id: TraceId) -> Span {
        if !self.service.is_empty() {
            self.resource.insert(0, attribute("service.name", &self.service));
        }
        let message = resource::Resource { attributes: self.resource.clone(), ..Default::default() };
        let resource = Resource {
            bytes: message.encode_to_vec().into(),
            schema_url: "https://opentelemetry.io/schemas/1.30.0".into(),
            service: self.service.clone(),
        };
        let scope = Scope { bytes: self.scope.encode_to_vec().into(), schema_url: String::new() };
        let body = Bytes::from(self.message(trace_id).encode_to_vec());
        Span {
            trace_id,
            span_id: self.id,
            parent_id: self.parent,
            start: self.start,
            end: self.end,
            kind: self.kind,
            status: self.status,
            origin: Origin::Otlp,
            flags: 0x0101,
            content_hash: content_hash(&resource, &scope, &body),
            resource: Arc::new(resource),
            scope: Arc::new(scope),
            body,
        }
    }

    fn message(&self, trace_id: TraceId) -> wire::Span {
        let event =
            wire::span::Event { name: "drawn".into(), attributes: self.event.clone(), ..Default::default() };
        wire::Span {
            trace_id: trace_id.0.into(),
            span_id: self.id.0.into(),
            parent_span_id: self.parent.map(|id| id.0.into()).unwrap_or_default(),
            name: self.name.clone(),
            kind: self.kind as i32,
            start_time_unix_nano: self.start.nanos(),
            end_time_unix_nano: self.end.nanos(),
            attributes: self.attributes.clone(),
            events: if self.event.is_empty() { Vec::new() } else { vec![event] },
            status: Some(wire::Status { code: self.status as i32, message: self.status_message().into() }),
            ..Default::default()
        }
    }

    fn status_message(&self) -> &'static str {
        if self.status == StatusCode::Error { "it broke" } else { "" }
    }
}

fn attribute(key: &str, text: &str) -> KeyValue {
    let value = match (text.parse(), text) {
        (Ok(number), _) => Value::IntValue(number),
        (_, "true") => Value::BoolValue(true),
        _ => Value::StringValue(text.into()),
    };
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}
