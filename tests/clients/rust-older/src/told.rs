//! How a span is told to check.py that the exporter brings into Jaeger's words.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Event, Link, SpanId, SpanKind, Status, TraceResult};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_sdk::export::trace::SpanData;
use opentelemetry_sdk::trace::{Span, SpanProcessor};
use serde_json::json;

/// Writes what the exporter makes of each span that ends, with the client that sends it.
#[derive(Debug)]
pub struct Teller {
    client: &'static str,
    process: serde_json::Value,
}

impl Teller {
    /// The service's name is a tag too, as the exporter sends it.
    pub fn new(client: &'static str, resource: &[KeyValue]) -> Self {
        Self { client, process: json!({"serviceName": resource[0].value.as_str(), "tags": tags(resource)}) }
    }
}

impl SpanProcessor for Teller {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let context = &span.span_context;
        let parent = (span.parent_span_id != SpanId::INVALID).then(|| span.parent_span_id.to_string());
        let jaeger = json!({
            "operationName": span.name,
            "parentSpanID": parent,
            "references": span.links.iter().map(reference).collect::<Vec<_>>(),
            "flags": context.trace_flags().to_u8(),
            "startTime": micros(span.start_time),
            "duration": span.end_time.duration_since(span.start_time).unwrap_or_default().as_micros() as u64,
            "tags": span_tags(&span),
            "logs": span.events.iter().map(log).collect::<Vec<_>>(),
            "process": self.process,
        });
        let (trace, id) = (context.trace_id().to_string(), context.span_id().to_string());
        println!("{}", json!({"client": self.client, "trace": trace, "span": id, "jaeger": jaeger}));
    }

    fn force_flush(&self) -> TraceResult<()> {
        Ok(())
    }

    fn shutdown(&mut self) -> TraceResult<()> {
        Ok(())
    }
}

fn reference(link: &Link) -> serde_json::Value {
    let context = &link.span_context;
    json!({
        "refType": "FOLLOWS_FROM",
        "traceID": context.trace_id().to_string(),
        "spanID": context.span_id().to_string(),
    })
}

fn log(event: &Event) -> serde_json::Value {
    let mut fields = tags(&event.attributes);
    fields.push(tag("event", &event.name.clone().into_owned().into()));
    json!({"timestamp": micros(event.timestamp), "fields": fields})
}

fn span_tags(span: &SpanData) -> Vec<serde_json::Value> {
    let text = |key, value: &str| tag(key, &value.to_owned().into());
    let mut told = tags(&span.attributes);
    told.push(text("otel.library.name", &span.instrumentation_lib.name));
    told.extend(
        span.instrumentation_lib.version.as_deref().map(|version| text("otel.library.version", version)),
    );
    if span.span_kind != SpanKind::Internal {
        told.push(text("span.kind", &format!("{:?}", span.span_kind).to_lowercase()));
    }
    match &span.status {
        Status::Unset => {}
        Status::Ok => told.push(text("otel.status_code", "OK")),
        Status::Error { description } => told.extend([
            tag("error", &true.into()),
            text("otel.status_code", "ERROR"),
            text("otel.status_description", description),
        ]),
    }
    told
}

fn tags(attributes: &[KeyValue]) -> Vec<serde_json::Value> {
    attributes.iter().map(|pair| tag(pair.key.as_str(), &pair.value)).collect()
}

fn tag(key: &str, value: &Value) -> serde_json::Value {
    let (kind, value) = match value {
        Value::Bool(value) => ("bool", json!(value)),
        Value::I64(value) => ("int64", json!(value)),
        Value::F64(value) => ("float64", json!(value)),
        other => ("string", json!(other.as_str())),
    };
    json!({"key": key, "type": kind, "value": value})
}

fn micros(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros() as u64
}
