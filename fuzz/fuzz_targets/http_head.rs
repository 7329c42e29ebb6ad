//! Any lines as the head of a request to the page's door: no answer to a stranger, and never a defect.

#![no_main]

mod allowance;
#[expect(dead_code, reason = "other targets use the rest of it")]
mod lodge;
#[expect(dead_code, reason = "other targets use the rest of it")]
mod memory_disk;

use std::net::IpAddr;
use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, Uri};
use libfuzzer_sys::fuzz_target;
use lodge::Lodge;

static LODGE: OnceLock<(Lodge, Router)> = OnceLock::new();

fuzz_target!(|input: &[u8]| {
    let Some(request) = request(input) else { return };
    let hosts = said(request.headers(), "host");
    let target = request.uri().authority().map(|authority| authority.as_str().to_owned());
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
    let is_cross_site = said(request.headers(), "sec-fetch-site") == ["cross-site"];
    let (lodge, router) = lodge::opened(&LODGE, Lodge::page);
    // The page itself is among the answers.
    let allowed = [0; 4 << 20];
    let answer = allowance::at_most(1, &allowed, || lodge.ask(router, request));
    assert!(answer.status < 500, "{}", answer.status);
    assert!(answer.headers.contains_key("content-security-policy"));
    assert!(!answer.headers.contains_key("access-control-allow-origin"));
    if hosts.iter().chain(&target).any(|host| is_a_strangers(host)) || changes && is_cross_site {
        assert_eq!(answer.status, 403, "{hosts:?} {target:?}");
    }
});

/// The first line is method and target, all others are headers.
fn request(input: &[u8]) -> Option<Request<Body>> {
    let mut lines = input.split(|byte| *byte == b'\n');
    let first = lines.next()?;
    let space = first.iter().position(|byte| *byte == b' ')?;
    let method = Method::from_bytes(&first[..space]).ok()?;
    let mut request = Request::builder().method(method).uri(Uri::try_from(&first[space + 1..]).ok()?);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        request = request.header(&line[..colon], &line[colon + 1..]);
    }
    request.body(Body::empty()).ok()
}

fn said(headers: &HeaderMap, name: &str) -> Vec<String> {
    headers.get_all(name).iter().map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// Only what surely is one: a name of letters and dots that is no address, not ours and not local, perhaps with a port.
fn is_a_strangers(host: &str) -> bool {
    let host = host.rsplit_once('@').map_or(host, |(_user, host)| host);
    let name = host.split_once(':').map_or(host, |(name, _port)| name).to_ascii_lowercase();
    let is_plain =
        name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'-' || letter == b'.');
    let name = name.strip_suffix('.').unwrap_or(&name);
    let is_local = !name.contains('.') || name.ends_with(".localhost") || name == lodge::ALLOWED_HOST;
    is_plain && !is_local && name.parse::<IpAddr>().is_err()
}
