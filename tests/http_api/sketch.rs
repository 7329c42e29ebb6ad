//! Drawn traces as requests, with a host and a scope on each span.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};

use crate::drawing;

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.into()))
}

/// The request that brings the drawn trace, one resource for each span.
pub(crate) fn drawn(trace_id: u128, drawing: &str) -> ExportTraceServiceRequest {
    let mut resource_spans = drawing::draw(trace_id, drawing);
    for brought in &mut resource_spans {
        brought.resource.as_mut().unwrap().attributes.push(drawing::attribute("host.name", "h1"));
        brought.scope_spans[0].scope =
            Some(InstrumentationScope { name: "drawn".into(), version: "1".into(), ..Default::default() });
    }
    ExportTraceServiceRequest { resource_spans }
}
