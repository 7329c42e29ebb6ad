//! How a span of OpenTelemetry's SDK for Rust is told to check.py.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{Array, Context, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{Span, SpanData, SpanProcessor};
use serde_json::{Map, json};

/// Writes each span that ends, with the client that sends it.
#[derive(Debug)]
pub struct Teller {
    client: String,
    resource: Mutex<Map<String, serde_json::Value>>,
}

impl Teller {
    pub fn new(client: &str) -> Self {
        Self { client: client.to_owned(), resource: Mutex::default() }
    }
}

impl SpanProcessor for Teller {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let resource = self.resource.lock().expect("nothing panics while it is held");
        println!("{}", told(&self.client, &span, &resource));
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        let values = resource.iter().map(|(key, value)| (key.to_string(), said(value)));
        *self.resource.lock().expect("nothing panics while it is held") = values.collect();
    }
}

fn told(client: &str, span: &SpanData, resource: &Map<String, serde_json::Value>) -> serde_json::Value {
    let events = span.events.iter().map(|event| {
        json!({"name": event.name, "time": nanos(event.timestamp), "attributes": values(&event.attributes)})
    });
    let mut line = json!({
        "client": client,
        "parent": (span.parent_span_id != SpanId::INVALID).then(|| span.parent_span_id.to_string()),
        "name": span.name,
        "kind": kind(&span.span_kind),
        "start": nanos(span.start_time),
        "end": nanos(span.end_time),
        "attributes": values(&span.attributes),
        "events": events.collect::<Vec<_>>(),
        "links": span.links.iter().map(|link| context(&link.span_context)).collect::<Vec<_>>(),
        "status": status(&span.status),
        "resource": resource,
        "scope": {"name": span.instrumentation_scope.name(), "version": span.instrumentation_scope.version()},
    });
    line["trace"] = json!(span.span_context.trace_id().to_string());
    line["span"] = json!(span.span_context.span_id().to_string());
    line
}

fn context(context: &SpanContext) -> serde_json::Value {
    json!({"trace": context.trace_id().to_string(), "span": context.span_id().to_string()})
}

fn kind(kind: &SpanKind) -> &'static str {
    match kind {
        SpanKind::Client => "client",
        SpanKind::Server => "server",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        SpanKind::Internal => "internal",
    }
}

fn status(status: &Status) -> serde_json::Value {
    match status {
        Status::Unset => json!({"code": "unset"}),
        Status::Ok => json!({"code": "ok"}),
        Status::Error { description } => json!({"code": "error", "message": description}),
    }
}

fn values(attributes: &[KeyValue]) -> Map<String, serde_json::Value> {
    attributes.iter().map(|pair| (pair.key.to_string(), said(&pair.value))).collect()
}

fn said(value: &Value) -> serde_json::Value {
    match value {
        Value::Bool(value) => json!(value),
        Value::I64(value) => json!(value),
        Value::F64(value) => json!(value),
        Value::Array(Array::Bool(values)) => json!(values),
        Value::Array(Array::I64(values)) => json!(values),
        Value::Array(Array::F64(values)) => json!(values),
        Value::Array(Array::String(values)) => values.iter().map(|each| each.as_str()).collect(),
        other => json!(other.as_str()),
    }
}

fn nanos(time: SystemTime) -> String {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).expect("a clock is past 1970");
    since.as_nanos().to_string()
}
