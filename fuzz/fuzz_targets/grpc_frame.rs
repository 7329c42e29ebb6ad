//! Any bytes as the body of a call: frames that are whole or not, packed or not, one or many.

#![no_main]

mod allowance;
#[expect(dead_code, reason = "other targets use the rest of it")]
mod lodge;
#[expect(dead_code, reason = "other targets use the rest of it")]
mod memory_disk;

use std::sync::OnceLock;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use libfuzzer_sys::fuzz_target;
use lodge::{Lodge, MAX_REQUEST_BYTES};

static LODGE: OnceLock<(Lodge, Router)> = OnceLock::new();

const METHODS: [&str; 4] = [
    "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan",
    "/jaeger.storage.v1.StreamingSpanWriterPlugin/WriteSpanStream",
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "/jaeger.storage.v1.SpanWriterPlugin/Close",
];

const CODINGS: [&str; 4] = ["identity", "gzip", "zstd", "deflate"];

/// OK, INVALID_ARGUMENT, RESOURCE_EXHAUSTED, UNIMPLEMENTED, UNAVAILABLE; any other would be a fault of ours.
const CODES: [&str; 5] = ["0", "3", "8", "12", "14"];

fuzz_target!(|input: &[u8]| {
    let Some((mode, frames)) = input.split_first() else { return };
    let (lodge, router) = lodge::opened(&LODGE, Lodge::storage);
    let request = Request::post(METHODS[usize::from(mode & 3)])
        .header("content-type", "application/grpc")
        .header("grpc-encoding", CODINGS[usize::from(mode >> 2 & 3)])
        .body(in_pieces(frames, usize::from(mode >> 4)))
        .expect("a request");
    // A span of Jaeger's may take four times its length when it is read.
    let allowed = [0; 32 * MAX_REQUEST_BYTES];
    let answer = allowance::at_most(1, &allowed, || lodge.ask(router, request));
    assert_eq!(answer.status, 200);
    let code = answer.trailers.get("grpc-status").or_else(|| answer.headers.get("grpc-status"));
    let code = code.expect("every call has a status").to_str().expect("a number");
    assert!(CODES.contains(&code), "a call was answered {code}");
});

/// As the network may cut them.
fn in_pieces(frames: &[u8], length: usize) -> Body {
    if length == 0 {
        return lodge::body(frames);
    }
    let pieces: Vec<_> =
        frames.chunks(length).map(|piece| Ok::<_, std::io::Error>(Bytes::copy_from_slice(piece))).collect();
    Body::from_stream(tokio_stream::iter(pieces))
}
