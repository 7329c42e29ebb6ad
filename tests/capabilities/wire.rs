//! Requests as clients make them, and what Jaeger's JSON must say of them: written from the specification,
//! with another decoder than the program's.

use std::collections::BTreeMap;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, metric,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use serde_json::{Value, json};

/// A string attribute.
pub(crate) fn attribute(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { value: Some(any_value::Value::StringValue(value.to_owned())) };
    KeyValue { key: key.to_owned(), value: Some(value), ..KeyValue::default() }
}

/// One span with valid ids, made from a number.
pub(crate) fn span(trace: u64, number: u64) -> Span {
    let mut trace_id = vec![0xaa; 16];
    trace_id[8..].copy_from_slice(&trace.to_be_bytes());
    let start = 1_700_000_000_000_000_000 + number * 1_000;
    Span {
        trace_id,
        span_id: (number + 1).to_be_bytes().to_vec(),
        parent_span_id: if number == 0 { Vec::new() } else { 1u64.to_be_bytes().to_vec() },
        name: format!("step {number}"),
        kind: 1,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 500_000,
        attributes: vec![attribute("number", &number.to_string())],
        ..Span::default()
    }
}

/// The hex of the trace id that [`span`] gives.
pub(crate) fn trace_id(trace: u64) -> String {
    format!("aaaaaaaaaaaaaaaa{trace:016x}")
}

/// A request of one resource.
pub(crate) fn request(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![attribute("service.name", service)],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
            ..ResourceSpans::default()
        }],
    }
}

/// Protobuf bytes of spans `0..count` of a trace.
pub(crate) fn trace(service: &str, trace: u64, count: u64) -> Bytes {
    request(service, (0..count).map(|number| span(trace, number)).collect()).encode_to_vec().into()
}

/// Protobuf bytes of one log record, which carries its number as its time.
pub(crate) fn log_record(number: u64) -> Bytes {
    let record = LogRecord { time_unix_nano: number, severity_number: 9, ..LogRecord::default() };
    let scope_logs = vec![ScopeLogs { log_records: vec![record], ..ScopeLogs::default() }];
    let resource_logs = vec![ResourceLogs { scope_logs, ..ResourceLogs::default() }];
    ExportLogsServiceRequest { resource_logs }.encode_to_vec().into()
}

/// Protobuf bytes of one data point of a gauge, which carries its number as its time.
pub(crate) fn data_point(number: u64) -> Bytes {
    let point = NumberDataPoint { time_unix_nano: number, ..NumberDataPoint::default() };
    let data = metric::Data::Gauge(Gauge { data_points: vec![point] });
    let metric = Metric { name: "gauge".to_owned(), data: Some(data), ..Metric::default() };
    let scope_metrics = vec![ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() }];
    let resource_metrics = vec![ResourceMetrics { scope_metrics, ..ResourceMetrics::default() }];
    ExportMetricsServiceRequest { resource_metrics }.encode_to_vec().into()
}

/// A span reduced to what both sides can say: span id → facts.
pub(crate) type Facts = BTreeMap<String, Value>;

/// What Jaeger's JSON must say of a request, by trace id.
pub(crate) fn expected(request: &ExportTraceServiceRequest) -> BTreeMap<String, Facts> {
    let mut traces: BTreeMap<String, Facts> = BTreeMap::new();
    for resource_spans in &request.resource_spans {
        let attributes = resource_spans.resource.as_ref().map_or(&[][..], |resource| &resource.attributes);
        let service =
            attributes.iter().find(|pair| pair.key == "service.name").map(|pair| tag(pair)["value"].clone());
        let process: Vec<Value> =
            sorted(attributes.iter().filter(|pair| pair.key != "service.name").map(tag).collect());
        for scope_spans in &resource_spans.scope_spans {
            for span in &scope_spans.spans {
                let facts = facts(span, scope_spans, &service, &process);
                traces.entry(hex(&span.trace_id)).or_default().insert(hex(&span.span_id), facts);
            }
        }
    }
    traces
}

fn facts(span: &Span, scope_spans: &ScopeSpans, service: &Option<Value>, process: &[Value]) -> Value {
    let micros = |nanos: u64| nanos / 1_000;
    let mut references = Vec::new();
    if !span.parent_span_id.is_empty() {
        references.push(json!(["CHILD_OF", hex(&span.trace_id), hex(&span.parent_span_id)]));
    }
    // A link to the parent says nothing that the parent does not.
    let links = span
        .links
        .iter()
        .filter(|link| (&link.trace_id, &link.span_id) != (&span.trace_id, &span.parent_span_id));
    references.extend(links.map(|link| json!(["FOLLOWS_FROM", hex(&link.trace_id), hex(&link.span_id)])));
    let logs: Vec<Value> = span
        .events
        .iter()
        .map(|event| {
            let mut fields: Vec<Value> = event.attributes.iter().map(tag).collect();
            if !event.name.is_empty() && !event.attributes.iter().any(|pair| pair.key == "event") {
                fields.push(json!({"key": "event", "type": "string", "value": event.name}));
            }
            json!([micros(event.time_unix_nano), sorted(fields)])
        })
        .collect();
    json!({
        "operationName": span.name,
        "startTime": micros(span.start_time_unix_nano),
        "duration": micros(span.end_time_unix_nano - span.start_time_unix_nano),
        "references": references,
        "tags": sorted(tags(span, scope_spans)),
        "logs": logs,
        "service": service,
        "process": process,
    })
}

fn tags(span: &Span, scope_spans: &ScopeSpans) -> Vec<Value> {
    let text = |key: &str, value: &str| json!({"key": key, "type": "string", "value": value});
    let mut tags: Vec<Value> = span.attributes.iter().map(tag).collect();
    let kind = ["", "internal", "server", "client", "producer", "consumer"][span.kind as usize];
    let status = span.status.clone().unwrap_or_default();
    let scope = scope_spans.scope.clone().unwrap_or_default();
    let derived = [
        ("span.kind", kind),
        ("otel.status_code", ["", "OK", "ERROR"][status.code as usize]),
        ("otel.status_description", &status.message),
        ("otel.scope.name", &scope.name),
        ("otel.scope.version", &scope.version),
        ("w3c.tracestate", &span.trace_state),
    ];
    tags.extend(derived.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| text(key, value)));
    if status.code == 2 {
        tags.push(json!({"key": "error", "type": "bool", "value": true}));
    }
    tags
}

fn tag(pair: &KeyValue) -> Value {
    use any_value::Value as Any;
    let (kind, value) = match pair.value.as_ref().and_then(|value| value.value.as_ref()) {
        None => ("string", json!("")),
        Some(Any::StringValue(text)) => ("string", json!(text)),
        Some(Any::BoolValue(bit)) => ("bool", json!(bit)),
        Some(Any::IntValue(number)) if number.unsigned_abs() < 1 << 53 => ("int64", json!(number)),
        Some(Any::IntValue(number)) => ("int64", json!(number.to_string())),
        Some(Any::DoubleValue(number)) if number.is_nan() => ("float64", json!("NaN")),
        Some(Any::DoubleValue(number)) if number.is_infinite() => {
            ("float64", json!(if *number > 0.0 { "Infinity" } else { "-Infinity" }))
        }
        Some(Any::DoubleValue(number)) => ("float64", json!(number)),
        Some(Any::BytesValue(bytes)) => {
            use base64::Engine as _;
            ("binary", json!(base64::engine::general_purpose::STANDARD.encode(bytes)))
        }
        Some(nested) => ("string", json!(plain(nested).to_string())),
    };
    json!({"key": pair.key, "type": kind, "value": value})
}

/// Lists and maps as the JSON they become inside a string tag.
fn plain(value: &any_value::Value) -> Value {
    use any_value::Value as Any;
    let inner = |value: &AnyValue| value.value.as_ref().map_or(Value::Null, plain);
    match value {
        Any::StringValue(text) => json!(text),
        Any::BoolValue(bit) => json!(bit),
        Any::IntValue(number) => json!(number),
        Any::DoubleValue(number) if !number.is_finite() => json!(number.to_string()),
        Any::DoubleValue(number) => json!(number),
        Any::ArrayValue(list) => list.values.iter().map(inner).collect(),
        Any::KvlistValue(list) => {
            let pairs = list.values.iter();
            Value::Object(
                pairs
                    .map(|pair| (pair.key.clone(), pair.value.as_ref().map_or(Value::Null, inner)))
                    .collect(),
            )
        }
        _ => Value::Null,
    }
}

/// What Jaeger's JSON does say, by trace id.
pub(crate) fn told(answer: &Value) -> BTreeMap<String, Facts> {
    let traces = answer["data"].as_array().unwrap();
    traces.iter().map(|trace| (trace["traceID"].as_str().unwrap().to_owned(), told_of_one(trace))).collect()
}

fn told_of_one(trace: &Value) -> Facts {
    let list = |value: &Value| value.as_array().unwrap().clone();
    let mut facts = Facts::new();
    for span in list(&trace["spans"]) {
        let process = &trace["processes"][span["processID"].as_str().unwrap()];
        let references: Vec<Value> = list(&span["references"])
            .iter()
            .map(|reference| json!([reference["refType"], reference["traceID"], reference["spanID"]]))
            .collect();
        let logs: Vec<Value> = list(&span["logs"])
            .iter()
            .map(|log| json!([log["timestamp"], sorted(list(&log["fields"]))]))
            .collect();
        let said = json!({
            "operationName": span["operationName"],
            "startTime": span["startTime"],
            "duration": span["duration"],
            "references": references,
            "tags": sorted(list(&span["tags"])),
            "logs": logs,
            "service": process["serviceName"],
            "process": sorted(list(&process["tags"])),
        });
        let span_id = span["spanID"].as_str().unwrap().to_owned();
        assert!(facts.insert(span_id.clone(), said).is_none(), "span {span_id} is there twice");
    }
    facts
}

fn sorted(mut tags: Vec<Value>) -> Vec<Value> {
    tags.sort_by_key(|tag| (tag["key"].to_string(), tag["value"].to_string()));
    tags
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
