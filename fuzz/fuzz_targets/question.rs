//! Any text as a question: durations, tags and filters by themselves, and whole queries at the page's door.

#![no_main]

mod allowance;
#[expect(dead_code, reason = "other targets use the rest of it")]
mod lodge;
#[expect(dead_code, reason = "other targets use the rest of it")]
mod memory_disk;

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use libfuzzer_sys::fuzz_target;
use lodge::Lodge;
use prost::Message as _;
use tracelodge::proto::jaeger::expression::v1::Call;
use tracelodge::serve::expression;
use tracelodge::translate::jaeger_json::{parse_duration, parse_tag, parse_tags};

static LODGE: OnceLock<(Lodge, Router)> = OnceLock::new();

const PATHS: [&str; 12] = [
    "/api/traces",
    "/api/traces/1",
    "/api/operations",
    "/api/dependencies",
    "/api/metrics/calls",
    "/api/metrics/latencies",
    "/api/v3/traces",
    "/api/v3/trace-summaries",
    "/api/v3/dependencies",
    "/api/a1/search",
    "/api/a1/trace/1/find",
    "/api/a1/trace/1/spans",
];

fuzz_target!(|input: &[u8]| {
    let Some((mode, text)) = input.split_first() else { return };
    match mode % 4 {
        0 => ask(PATHS[usize::from(mode >> 2) % PATHS.len()], text),
        1 => read_words(&String::from_utf8_lossy(text)),
        // Patterns are made when they are read, and each may take as much as the regex engine is allowed.
        2 => drop(expression::of_json(&String::from_utf8_lossy(text))),
        _ => drop(Call::decode(text).map(|call| expression::of_call(&call))),
    }
});

fn read_words(text: &str) {
    allowance::at_most(8, text.as_bytes(), || {
        let whole = parse_duration(text);
        if let (Ok(whole), Ok(twice)) = (whole, parse_duration(&format!("{text}{text}"))) {
            assert!(text == "0" || whole * 2 == twice);
        }
        if let Ok((key, value)) = parse_tag(text) {
            assert_eq!(format!("{key}:{value}"), text);
        }
        for (key, value) in parse_tags(text).unwrap_or_default() {
            assert!(key.len() + value.len() <= text.len());
        }
    });
}

/// Everything is answered or refused.
fn ask(path: &str, query: &[u8]) {
    let uri = [path.as_bytes(), b"?", query].concat();
    let Ok(request) = Request::get(&uri[..]).body(Body::empty()) else { return };
    let (lodge, router) = lodge::opened(&LODGE, Lodge::page);
    let answer = lodge.ask(router, request);
    assert!(answer.status < 500, "{path} was answered {}", answer.status);
}
