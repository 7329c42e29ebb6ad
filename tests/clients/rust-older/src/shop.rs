//! The spans that every client sends: an order, what it calls, and what it causes.

use opentelemetry::trace::{
    Link, Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use opentelemetry_sdk::trace::TracerProvider;

pub fn sell(provider: &TracerProvider) {
    let tracer = provider.tracer_builder("tests.shop").with_version("1.0").build();
    let root = Context::new();
    let order = tracer
        .span_builder("checkout")
        .with_kind(SpanKind::Server)
        .with_attributes(order())
        .start_with_context(&tracer, &root);
    let below = root.with_span(order);
    let parts = Value::Array(Array::I64(vec![1, 2]));
    below.span().add_event("priced", vec![KeyValue::new("currency", "EUR"), KeyValue::new("parts", parts)]);
    let mut pay = tracer.span_builder("pay").with_kind(SpanKind::Client).start_with_context(&tracer, &below);
    pay.record_error(&std::io::Error::other("card refused"));
    pay.set_status(Status::error("card refused"));
    pay.end();
    let mut queue =
        tracer.span_builder("queue mail").with_kind(SpanKind::Producer).start_with_context(&tracer, &below);
    queue.set_status(Status::Ok);
    queue.end();
    tracer.span_builder("count").start_with_context(&tracer, &below).end();
    below.span().end();
    let links = vec![Link::with_context(queue.span_context().clone())];
    let mail = tracer.span_builder("mail").with_kind(SpanKind::Consumer).with_links(links);
    mail.start_with_context(&tracer, &root).end();
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
