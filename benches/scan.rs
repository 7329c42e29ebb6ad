//! OTLP in: the scan beside prost, our JSON beside serde's, on the same bytes; nanoseconds per span and the ratio.
//!
//! `cargo bench --bench scan`. Machines differ, so the ratio is what counts: at least 4 for the scan, at 350 ns per span.

use std::fs::File;
use std::hint::black_box;
use std::io::Read as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::read::GzDecoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::Event;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use prost::Message as _;
use tracelodge::otlp::{Limits, json, scan, spans};

fn main() -> std::io::Result<()> {
    let requests = [
        ("a web shop, generated", web_shop(40, 13)),
        ("python sdk, captured", captured("py-otlp-http-bulk1000.pb.gz")?),
        ("node sdk, captured", captured("node-otlp-proto-bulk1000.pb.gz")?),
    ];
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:<24}{:>8}{:>10}{:>10}{:>10}{:>8}",
        "ns per span", "bytes", "scan", "spans", "prost", "ratio"
    )?;
    for (name, request) in &requests {
        let limits = Limits::default();
        let nanos = measure(
            count(request),
            [
                &|| scan(black_box(request), &limits).is_ok(),
                &|| spans(black_box(request), &limits).is_ok(),
                &|| ExportTraceServiceRequest::decode(&black_box(request)[..]).is_ok(),
            ],
        );
        let [scanned, recorded, decoded] = nanos;
        let (bytes, ratio) = (request.len() / count(request), decoded / scanned);
        writeln!(out, "{name:<24}{bytes:>8}{scanned:>10.0}{recorded:>10.0}{decoded:>10.0}{ratio:>7.1}x")?;
    }
    writeln!(out, "{:<24}{:>8}{:>10}{:>20}{:>8}", "", "bytes", "json", "serde", "ratio")?;
    for (name, request) in &requests[..2] {
        let text = ExportTraceServiceRequest::decode(&request[..])
            .map_err(std::io::Error::other)
            .and_then(|request| Ok(serde_json::to_string(&request)?))?;
        let [ours, theirs] = measure(
            count(request),
            [&|| json::traces(black_box(text.as_bytes())).is_ok(), &|| {
                serde_json::from_str::<ExportTraceServiceRequest>(black_box(&text)).is_ok()
            }],
        );
        let (bytes, ratio) = (text.len() / count(request), theirs / ours);
        writeln!(out, "{name:<24}{bytes:>8}{ours:>10.0}{theirs:>20.0}{ratio:>7.1}x")?;
    }
    Ok(())
}

fn count(request: &[u8]) -> usize {
    scan(request, &Limits::default()).map_or(1, |scanned| scanned.accepted as usize)
}

/// Nanoseconds per span of each work: the best of many rounds, taken in turns so that a noisy neighbor disturbs all
/// alike.
fn measure<const N: usize>(spans: usize, works: [&dyn Fn() -> bool; N]) -> [f64; N] {
    let mut best = [Duration::MAX; N];
    for _ in 0..200 {
        for (best, work) in best.iter_mut().zip(works) {
            *best = time(work).min(*best);
        }
    }
    best.map(|time| time.as_nanos() as f64 / spans as f64)
}

fn time(work: impl FnOnce() -> bool) -> Duration {
    let start = Instant::now();
    assert!(black_box(work()), "the request is sound");
    start.elapsed()
}

fn captured(name: &str) -> std::io::Result<Bytes> {
    let path = format!("{}/tests/golden/wire/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut bytes = Vec::new();
    GzDecoder::new(File::open(path)?).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

/// Batches of services with 11 resource attributes, of spans with nine attributes and now and then an event: about
/// 700 bytes per span in all.
fn web_shop(batches: u64, spans_per_batch: u64) -> Bytes {
    let services = ["frontend", "cart", "checkout", "payment", "recommendation"];
    let resource_spans = (0..batches).zip(services.into_iter().cycle()).map(|(batch, service)| {
        let numbers = batch * spans_per_batch..(batch + 1) * spans_per_batch;
        let scope = InstrumentationScope {
            name: "@opentelemetry/instrumentation-http".to_owned(),
            version: "0.57.1".to_owned(),
            ..Default::default()
        };
        let spans = numbers.map(|number| span(number, service)).collect();
        ResourceSpans {
            resource: Some(resource(service)),
            scope_spans: vec![ScopeSpans { scope: Some(scope), spans, ..Default::default() }],
            schema_url: "https://opentelemetry.io/schemas/1.24.0".to_owned(),
        }
    });
    ExportTraceServiceRequest { resource_spans: resource_spans.collect() }.encode_to_vec().into()
}

fn resource(service: &str) -> Resource {
    let attributes = vec![
        text("service.name", service),
        text("service.namespace", "web-shop"),
        text("service.version", "1.12.0"),
        text("service.instance.id", "5f0c3a52-2f6e-4ed5-9d46-6c9a5d3a7b10"),
        text("telemetry.sdk.language", "nodejs"),
        text("telemetry.sdk.name", "opentelemetry"),
        text("telemetry.sdk.version", "1.30.1"),
        text("host.name", "shop-7d9c6bfb7-x2v4k"),
        text("host.arch", "amd64"),
        text("container.id", "4c9f2b7a1e6d8035c9f2b7a1e6d80354c9f2b7a1e6d8035c9f2b7a1e6d80354"),
        number("process.pid", 17),
    ];
    Resource { attributes, ..Default::default() }
}

fn span(number_of_span: u64, service: &str) -> Span {
    // Any odd factor spreads the bits of the ids.
    let id = (number_of_span + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let start = 1_730_291_041_637_024_540 + number_of_span * 1_000_003;
    let failed = number_of_span.is_multiple_of(50);
    Span {
        trace_id: [id.to_be_bytes(), (!id).to_be_bytes()].concat(),
        span_id: id.rotate_left(17).to_be_bytes().to_vec(),
        parent_span_id: id.rotate_left(31).to_be_bytes().to_vec(),
        flags: 0x101,
        name: format!("GET /api/{service}/products/{{id}}"),
        kind: 2 + (number_of_span % 2) as i32,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 12_345_678,
        attributes: span_attributes(number_of_span),
        events: if number_of_span.is_multiple_of(4) { vec![event(start)] } else { Vec::new() },
        status: Some(Status { code: if failed { 2 } else { 0 }, ..Default::default() }),
        ..Default::default()
    }
}

fn span_attributes(number_of_span: u64) -> Vec<KeyValue> {
    vec![
        text("http.request.method", "GET"),
        text(
            "url.full",
            &format!("http://frontend-proxy:8080/api/products/{:010X}?currency=CHF", number_of_span * 7919),
        ),
        text("user_agent.original", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
        text("server.address", "frontend-proxy"),
        number("server.port", 8080),
        number("http.response.status_code", 200),
        text("net.peer.ip", "172.18.0.25"),
        text("session.id", "e1b2c9f0-7f9d-4a5c-a1d2-0d4be3a2c6d1"),
        text("app.product.name", "Lunettes d’étoiles pour les nuits claires et les yeux patients"),
    ]
}

fn event(time_unix_nano: u64) -> Event {
    let attributes = vec![text("message.type", "SENT"), number("message.id", 1)];
    Event { time_unix_nano, name: "message".to_owned(), attributes, ..Default::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, any_value::Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: i64) -> KeyValue {
    attribute(key, any_value::Value::IntValue(value))
}

fn attribute(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}
