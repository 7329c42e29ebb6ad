//! Jaeger's thrift in, beside prost on the same spans as `jaeger.api_v2.Batch`; nanoseconds per span, and megabytes per
//! second.
//!
//! `cargo bench --bench thrift`. Machines differ, so the ratio is what counts: to read a datagram at most half as long again
//! as prost takes for the same in protobuf. Most of either is counting who shares the bytes received.

#[path = "../examples/load/thrift_fields.rs"]
mod thrift_fields;

use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use bytes::Bytes;
use prost::Message as _;
use thrift::protocol::{
    TBinaryOutputProtocol, TCompactOutputProtocol, TMessageIdentifier, TMessageType, TType,
};
use thrift_fields::{Out, Value, field, integer, list, structure, tag, text};
use tracelodge::proto::jaeger::api_v2::Batch;
use tracelodge::translate::agent::{self, Message};
use tracelodge::translate::jaeger;
use tracelodge::translate::thrift::Protocol;

/// As many as fit into a datagram of the compact protocol.
const SPANS: i64 = 100;

fn main() -> thrift::Result<()> {
    let mut compact = Vec::new();
    emit_batch(&mut TCompactOutputProtocol::new(&mut compact))?;
    let mut binary = Vec::new();
    emit_batch(&mut TBinaryOutputProtocol::new(&mut binary, true))?;
    let datagrams =
        [("compact", Protocol::Compact, compact.into()), ("binary", Protocol::Binary, binary.into())];
    let mut out = std::io::stdout();
    writeln!(
        out,
        "{:<12}{:>8}{:>10}{:>8}{:>10}{:>14}",
        "ns per span", "bytes", "read", "MB/s", "ratio", "to a request"
    )?;
    for (name, protocol, datagram) in &datagrams {
        let protobuf: Bytes = batch(*protocol, datagram).encode_to_vec().into();
        let [read, translated, decoded] = measure([
            &|| agent::message(*protocol, black_box(datagram)).is_ok(),
            &|| jaeger::batch(&batch(*protocol, black_box(datagram))).left_out == 0,
            &|| Batch::decode(black_box(&protobuf).clone()).is_ok(),
        ]);
        let per_second = |bytes: &Bytes, nanos: f64| bytes.len() as f64 / SPANS as f64 / nanos * 1e3;
        writeln!(
            out,
            "{name:<12}{:>8}{read:>10.0}{:>8.0}{:>9.1}x{translated:>14.0}",
            datagram.len() / SPANS as usize,
            per_second(datagram, read),
            decoded / read,
        )?;
        writeln!(
            out,
            "{:<12}{:>8}{decoded:>10.0}{:>8.0}",
            "  as prost",
            protobuf.len() / SPANS as usize,
            per_second(&protobuf, decoded),
        )?;
    }
    Ok(())
}

fn batch(protocol: Protocol, datagram: &Bytes) -> Batch {
    match agent::message(protocol, datagram) {
        Ok(Message::Jaeger(emitted)) => emitted.batch,
        other => panic!("the datagram is sound, but it is {other:?}"),
    }
}

/// Nanoseconds per span of each work: the best of many rounds, taken in turns so that a noisy neighbor disturbs all
/// alike.
fn measure<const N: usize>(works: [&dyn Fn() -> bool; N]) -> [f64; N] {
    let mut best = [Duration::MAX; N];
    for _ in 0..2_000 {
        for (best, work) in best.iter_mut().zip(works) {
            let start = Instant::now();
            assert!(black_box(work()), "the batch is sound");
            *best = start.elapsed().min(*best);
        }
    }
    best.map(|time| time.as_nanos() as f64 / SPANS as f64)
}

/// What a client sends: spans of ten tags and a log.
fn emit_batch(out: Out<'_>) -> thrift::Result<()> {
    out.write_message_begin(&TMessageIdentifier::new("emitBatch", TMessageType::OneWay, 1))?;
    structure(out, |out| {
        field(out, 1, TType::Struct, |out| {
            structure(out, |out| {
                field(out, 1, TType::Struct, process)?;
                list(out, 2, &(0..SPANS).collect::<Vec<_>>(), span)
            })
        })
    })?;
    out.write_message_end()
}

fn process(out: Out<'_>) -> thrift::Result<()> {
    let tags = [("hostname", "shop-7d9c6bfb7-x2v4k"), ("jaeger.version", "Go-2.30.0"), ("ip", "172.18.0.25")];
    structure(out, |out| {
        text(out, 1, "checkout")?;
        list(out, 2, &tags.map(|(key, value)| (key, Value::Text(value))), |out, each| tag(out, *each))
    })
}

fn span(out: Out<'_>, number: &i64) -> thrift::Result<()> {
    // Any odd factor spreads the bits of the ids.
    let id = (number + 1).wrapping_mul(0x1e37_79b9_7f4a_7c15);
    let start = 1_730_291_041_637_024 + number * 1_003;
    let url = format!("http://frontend-proxy:8080/api/products/{:010X}?currency=CHF", number * 7919);
    structure(out, |out| {
        integer(out, 1, id)?;
        integer(out, 2, !id)?;
        integer(out, 3, id.rotate_left(17))?;
        integer(out, 4, id.rotate_left(31))?;
        text(out, 5, "GET /api/checkout/products/{id}")?;
        field(out, 7, TType::I32, |out| out.write_i32(1))?;
        integer(out, 8, start)?;
        integer(out, 9, 12_345)?;
        list(out, 10, &tags(&url), |out, each| tag(out, *each))?;
        list(out, 11, &[start + 76], |out, time| {
            let fields = [("event", "cache miss"), ("message", "asking the store")];
            structure(out, |out| {
                integer(out, 1, *time)?;
                list(out, 2, &fields, |out, (key, value)| tag(out, (key, Value::Text(value))))
            })
        })
    })
}

fn tags(url: &str) -> [(&'static str, Value<'_>); 10] {
    [
        ("span.kind", Value::Text("server")),
        ("http.method", Value::Text("GET")),
        ("http.url", Value::Text(url)),
        ("http.status_code", Value::Integer(200)),
        ("component", Value::Text("net/http")),
        ("peer.hostname", Value::Text("frontend-proxy")),
        ("peer.ipv4", Value::Text("172.18.0.25")),
        ("peer.port", Value::Integer(8080)),
        ("session.id", Value::Text("e1b2c9f0-7f9d-4a5c-a1d2-0d4be3a2c6d1")),
        ("sampler.param", Value::Integer(1)),
    ]
}
