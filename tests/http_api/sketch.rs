//! Traces drawn as text.
//!
//! ```text
//! shop     GET /cart      server   0-250   http.route=/cart
//!   stock  POST /reserve  client   20-80   !error=sold-out !event=retry@30
//! ```
//!
//! A line is a span: service, name, kind, start and end in ms after [`T0`], then marks. Columns stand two spaces or
//! more apart; the indent says whose child it is. The span id is the line's number.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

/// 2023-11-14T22:13:20Z in ns.
pub(crate) const T0: u64 = 1_700_000_000_000_000_000;

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// The request that brings the drawn trace, one resource for each span.
pub(crate) fn drawn(trace_id: u128, drawing: &str) -> ExportTraceServiceRequest {
    let mut ancestors: Vec<(usize, u64)> = Vec::new();
    let mut resource_spans = Vec::new();
    for (line, id) in drawing.lines().filter(|line| !line.trim().is_empty()).zip(1..) {
        let indent = line.len() - line.trim_start().len();
        ancestors.retain(|(above, _)| *above < indent);
        let columns: Vec<&str> =
            line.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
        let mut span = span(trace_id, id, ancestors.last().map(|(_, id)| *id), &columns[1..4]);
        for mark in columns.iter().skip(4).flat_map(|marks| marks.split(' ')) {
            add_mark(&mut span, mark);
        }
        resource_spans.push(in_service(columns[0], span));
        ancestors.push((indent, id));
    }
    ExportTraceServiceRequest { resource_spans }
}

fn span(trace_id: u128, id: u64, parent: Option<u64>, columns: &[&str]) -> Span {
    let (start, end) = columns[2].split_once('-').unwrap();
    let time = |ms: &str| T0 + ms.parse::<u64>().unwrap() * 1_000_000;
    let kinds = ["unspecified", "internal", "server", "client", "producer", "consumer"];
    Span {
        trace_id: trace_id.to_be_bytes().to_vec(),
        span_id: id.to_be_bytes().to_vec(),
        parent_span_id: parent.map(|id| id.to_be_bytes().to_vec()).unwrap_or_default(),
        name: columns[0].into(),
        kind: kinds.iter().position(|kind| *kind == columns[1]).unwrap() as i32,
        start_time_unix_nano: time(start),
        end_time_unix_nano: time(end),
        ..Span::default()
    }
}

fn add_mark(span: &mut Span, mark: &str) {
    let (key, value) = mark.split_once('=').unwrap_or((mark, ""));
    match key {
        "!error" => span.status = Some(Status { code: 2, message: value.into() }),
        "!ok" => span.status = Some(Status { code: 1, message: String::new() }),
        "!parent" => span.parent_span_id = value.parse::<u64>().unwrap().to_be_bytes().to_vec(),
        "!id" => span.span_id = value.parse::<u64>().unwrap().to_be_bytes().to_vec(),
        "!link" => span.links.push(Link {
            trace_id: value.parse::<u128>().unwrap().to_be_bytes().to_vec(),
            span_id: 1u64.to_be_bytes().to_vec(),
            ..Link::default()
        }),
        "!event" => {
            let (name, ms) = value.split_once('@').unwrap();
            let time_unix_nano = T0 + ms.parse::<u64>().unwrap() * 1_000_000;
            span.events.push(Event { time_unix_nano, name: name.into(), ..Event::default() });
        }
        _ => span.attributes.push(text(key, value)),
    }
}

fn in_service(service: &str, span: Span) -> ResourceSpans {
    // A dash draws a service without a name.
    let attributes = if service == "-" {
        vec![text("host.name", "h1")]
    } else {
        vec![text("service.name", service), text("host.name", "h1")]
    };
    let scope =
        InstrumentationScope { name: "drawn".into(), version: "1".into(), ..InstrumentationScope::default() };
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope: Some(scope), spans: vec![span], ..ScopeSpans::default() }],
        ..ResourceSpans::default()
    }
}
