//! Any bytes as a packed body: inflated within the limit, taken, or refused; never more memory than the limit wants.

#![no_main]

mod allowance;
#[expect(dead_code, reason = "other targets use the rest of it")]
mod lodge;
#[expect(dead_code, reason = "other targets use the rest of it")]
mod memory_disk;

use std::io::Read;
use std::sync::OnceLock;

use axum::Router;
use axum::http::Request;
use libfuzzer_sys::fuzz_target;
use lodge::{Lodge, MAX_REQUEST_BYTES};

static LODGE: OnceLock<(Lodge, Router)> = OnceLock::new();

const CODINGS: [&str; 4] = ["gzip", "deflate", "zstd", "identity"];

/// Of log records any number can be nothing, so that all that can be inflated and is protobuf is taken.
const PATHS: [&str; 2] = ["/v1/traces", "/v1/logs"];

fuzz_target!(|input: &[u8]| {
    let Some((mode, packed)) = input.split_first() else { return };
    let (lodge, router) = lodge::opened(&LODGE, Lodge::otlp);
    let coding = CODINGS[usize::from(mode & 3)];
    let request = Request::post(PATHS[usize::from(mode >> 2 & 1)])
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", coding)
        .body(lodge::body(packed))
        .expect("a request");
    // What is inflated grows by doubling, beside a copy that fits.
    let allowed = [0; 16 * MAX_REQUEST_BYTES];
    let answer = allowance::at_most(1, &allowed, || lodge.ask(router, request));
    let inflated = inflated(coding, packed);
    match answer.status {
        200 => assert!(inflated.is_some_and(|bytes| bytes.len() <= MAX_REQUEST_BYTES), "{coding} was taken"),
        413 => assert!(
            packed.len() > MAX_REQUEST_BYTES || inflated.is_none_or(|bytes| bytes.len() > MAX_REQUEST_BYTES)
        ),
        400 => {}
        status => panic!("{coding} was answered {status}"),
    }
});

/// As far as the limit and one byte; none if it is no such thing.
fn inflated(coding: &str, packed: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = MAX_REQUEST_BYTES as u64 + 1;
    let read = match coding {
        "gzip" => flate2::read::MultiGzDecoder::new(packed).take(limit).read_to_end(&mut bytes),
        "deflate" => flate2::read::ZlibDecoder::new(packed).take(limit).read_to_end(&mut bytes),
        "zstd" => zstd::stream::read::Decoder::new(packed).ok()?.take(limit).read_to_end(&mut bytes),
        _ => packed.take(limit).read_to_end(&mut bytes),
    };
    read.ok().map(|_| bytes)
}
