//! The spans that every client sends: an order, what it calls, and what it causes.

use opentelemetry::trace::{
    Link, Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Array, Context, InstrumentationScope, KeyValue, StringValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider, SpanExporter, SpanProcessor};

/// The teller is for what the exporter sends: it tells check.py of each span, unless the exporter does so itself.
pub fn send(
    client: &str,
    exporter: impl SpanExporter + 'static,
    teller: Option<impl SpanProcessor + 'static>,
) -> OTelSdkResult {
    let attributes = [KeyValue::new("service.version", "1.2.3"), KeyValue::new("pid", 42)];
    let resource = Resource::builder_empty()
        .with_service_name(client.replace([' ', '/'], "-"))
        .with_attributes(attributes)
        .build();
    let mut provider = SdkTracerProvider::builder().with_resource(resource);
    if let Some(teller) = teller {
        provider = provider.with_span_processor(teller);
    }
    let provider = provider.with_batch_exporter(exporter).build();
    let scope = InstrumentationScope::builder("tests.shop").with_version("1.0").build();
    sell(&provider.tracer_with_scope(scope));
    provider.shutdown()
}

fn sell(tracer: &SdkTracer) {
    let root = Context::new();
    let order = tracer
        .span_builder("checkout")
        .with_kind(SpanKind::Server)
        .with_attributes(order())
        .start_with_context(tracer, &root);
    let below = root.with_span(order);
    let parts = Value::Array(Array::I64(vec![1, 2]));
    below.span().add_event("priced", vec![KeyValue::new("currency", "EUR"), KeyValue::new("parts", parts)]);
    let mut pay = tracer.span_builder("pay").with_kind(SpanKind::Client).start_with_context(tracer, &below);
    pay.record_error(&std::io::Error::other("card refused"));
    pay.set_status(Status::error("card refused"));
    pay.end();
    let mut queue =
        tracer.span_builder("queue mail").with_kind(SpanKind::Producer).start_with_context(tracer, &below);
    queue.set_status(Status::Ok);
    queue.end();
    tracer.span_builder("count").start_with_context(tracer, &below).end();
    below.span().end();
    let links = vec![Link::with_context(queue.span_context().clone())];
    let mail = tracer.span_builder("mail").with_kind(SpanKind::Consumer).with_links(links);
    mail.start_with_context(tracer, &root).end();
}

fn order() -> Vec<KeyValue> {
    let tags: Vec<StringValue> = vec!["new".into(), "gift".into()];
    vec![
        KeyValue::new("cart.items", 3),
        KeyValue::new("cart.total", 12.5),
        KeyValue::new("cart.gift", true),
        KeyValue::new("cart.tags", Value::Array(Array::String(tags))),
        KeyValue::new("cart.sizes", Value::Array(Array::I64(vec![1, 2, 3]))),
        KeyValue::new("largest", i64::MAX),
        KeyValue::new("smallest", i64::MIN),
        KeyValue::new("tiny", 5e-324),
        KeyValue::new("huge", 1.5e300),
        KeyValue::new("empty", ""),
        KeyValue::new("customer", "Zoë 🛒\n\"quoted\" \\ \t"),
    ]
}
