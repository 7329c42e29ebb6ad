//! Traces drawn as text, for tests: one span a line, children indented below their parents.
//!
//! ```text
//! shop | GET /cart | server | 0-100 | http.status_code=500
//!   shop | load | client | 10-90 | !error=refused !event=retry@30 !link=5
//!     cart | GET | server | 20-80 | resource:zone=a scope:name=lib event:level=warn #7 ^9
//! ```
//!
//! Service, name, kind, start and end in milliseconds after [`BASE_NANOS`], marks. `!error` (with its message) and `!ok`
//! are statuses, `!event=retry@30` is an event and when it was, `!link=5` links the first span of trace 5, `#7` is the
//! span's id (its line otherwise), `^9` its parent's (the line it hangs below otherwise). Everything else is an
//! attribute: of the span, or of its resource, scope (where `name` and `version` are its own) or one more event. Whole
//! numbers and `true` are attributes of those types.
//!
//! Knows nothing but OTLP's messages: tests of the whole program include this file too.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// When every drawing begins: 2023-11-14 22:13:20 UTC, in ns.
pub(crate) const BASE_NANOS: u64 = 1_700_000_000_000_000_000;

/// By their OTLP numbers.
const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];

/// The spans of a drawn trace in the order of the lines, each in a resource and scope of its own.
pub(crate) fn draw(trace_id: u128, drawing: &str) -> Vec<ResourceSpans> {
    let mut above: Vec<(usize, Vec<u8>)> = Vec::new();
    let lines = drawing.lines().filter(|line| !line.trim().is_empty());
    let draw = |(number, line): (u64, &str)| {
        let indent = line.len() - line.trim_start().len();
        above.retain(|(other, _)| *other < indent);
        let mut drawn = Drawn::read(line);
        let span = &mut drawn.span;
        span.trace_id = trace_id.to_be_bytes().into();
        if span.span_id.is_empty() {
            span.span_id = number.to_be_bytes().into();
        }
        if let (true, Some((_, parent))) = (span.parent_span_id.is_empty(), above.last()) {
            span.parent_span_id.clone_from(parent);
        }
        above.push((indent, span.span_id.clone()));
        drawn.into_message()
    };
    (1..).zip(lines).map(draw).collect()
}

/// An attribute, of the type its text looks like.
pub(crate) fn attribute(key: &str, text: &str) -> KeyValue {
    let value = match (text.parse(), text) {
        (Ok(number), _) => Value::IntValue(number),
        (_, "true") => Value::BoolValue(true),
        _ => Value::StringValue(text.into()),
    };
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

#[derive(Default)]
struct Drawn {
    resource: Resource,
    scope: InstrumentationScope,
    span: Span,
    /// Attributes of an event that has no name of its own.
    event: Vec<KeyValue>,
}

impl Drawn {
    fn read(line: &str) -> Self {
        let mut columns = line.split('|').map(str::trim);
        let mut column = || columns.next().unwrap_or_default();
        let (service, name, kind, times) = (column(), column(), column(), column());
        let (start, end) = times.split_once('-').expect("start-end");
        let mut drawn = Self::default();
        if !service.is_empty() {
            let name = Value::StringValue(service.into());
            let named =
                KeyValue { value: Some(AnyValue { value: Some(name) }), ..attribute("service.name", "") };
            drawn.resource.attributes.push(named);
        }
        drawn.span = Span {
            name: name.into(),
            kind: KINDS.iter().position(|known| *known == kind).expect("a kind of span") as i32,
            start_time_unix_nano: nanos(start),
            end_time_unix_nano: nanos(end),
            status: Some(Status::default()),
            flags: 0x0101,
            ..Span::default()
        };
        column().split_whitespace().for_each(|mark| drawn.mark(mark));
        drawn
    }

    fn mark(&mut self, mark: &str) {
        let span = &mut self.span;
        let (key, value) = mark.split_once('=').unwrap_or((mark, ""));
        match key {
            "!ok" => span.status = Some(Status { code: 1, message: String::new() }),
            "!error" => span.status = Some(Status { code: 2, message: value.into() }),
            "!event" => span.events.push(event(value)),
            "!link" => span.links.push(Link {
                trace_id: value.parse::<u128>().unwrap().to_be_bytes().into(),
                span_id: 1u64.to_be_bytes().into(),
                ..Link::default()
            }),
            "scope:name" => self.scope.name = value.into(),
            "scope:version" => self.scope.version = value.into(),
            _ if key.starts_with('#') => span.span_id = id(&key[1..]),
            _ if key.starts_with('^') => span.parent_span_id = id(&key[1..]),
            _ => self.add(key, value),
        }
    }

    fn add(&mut self, key: &str, value: &str) {
        let (owner, key) = key.split_once(':').unwrap_or(("span", key));
        let attributes = match owner {
            "resource" => &mut self.resource.attributes,
            "scope" => &mut self.scope.attributes,
            "event" => &mut self.event,
            _ => &mut self.span.attributes,
        };
        attributes.push(attribute(key, value));
    }

    fn into_message(mut self) -> ResourceSpans {
        if !self.event.is_empty() {
            let name = "drawn".into();
            self.span.events.push(Event { name, attributes: self.event, ..Event::default() });
        }
        let spans = vec![self.span];
        let scope_spans = vec![ScopeSpans { scope: Some(self.scope), spans, ..ScopeSpans::default() }];
        ResourceSpans { resource: Some(self.resource), scope_spans, ..ResourceSpans::default() }
    }
}

fn nanos(millis: &str) -> u64 {
    BASE_NANOS + millis.parse::<u64>().unwrap() * 1_000_000
}

fn id(number: &str) -> Vec<u8> {
    number.parse::<u64>().unwrap().to_be_bytes().into()
}

/// `name@milliseconds`.
fn event(text: &str) -> Event {
    let (name, millis) = text.split_once('@').expect("name@milliseconds");
    Event { time_unix_nano: nanos(millis), name: name.into(), ..Event::default() }
}
