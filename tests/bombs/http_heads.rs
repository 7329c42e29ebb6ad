//! Heads of HTTP/1.1 without measure, and requests that come before anyone reads the answers.

use crate::attack::{Attack, Door, Means, PART};
use crate::ground;

const REFUSED: &[&str] = &["400", "414", "431", "closed"];

fn said(name: &'static str, door: Door, answers: &'static [&'static str], bytes: fn() -> Vec<u8>) -> Attack {
    Attack { name, answers, door, means: Means::Said(bytes) }
}

fn get(more: &str) -> Vec<u8> {
    format!("GET /api/services HTTP/1.1\r\nhost: localhost\r\n{more}\r\n").into_bytes()
}

fn heads() -> Vec<Attack> {
    vec![
        said("a header of 16 MiB", Door::Page, REFUSED, || get(&format!("x: {}\r\n", "x".repeat(16 << 20)))),
        said("a hundred thousand headers", Door::Page, REFUSED, || get(&"x: y\r\n".repeat(100_000))),
        said("5 000 short headers", Door::Page, REFUSED, || get(&"x:\r\n".repeat(5_000))),
        said("a header's name of a megabyte", Door::Admin, REFUSED, || {
            get(&format!("{}: y\r\n", "x".repeat(1 << 20)))
        }),
        said("a path of 16 MiB", Door::Page, REFUSED, || {
            format!("GET /{} HTTP/1.1\r\nhost: localhost\r\n\r\n", "x".repeat(16 << 20)).into_bytes()
        }),
        said("a method of a megabyte", Door::OtlpHttp, REFUSED, || {
            format!("{} / HTTP/1.1\r\nhost: localhost\r\n\r\n", "X".repeat(1 << 20)).into_bytes()
        }),
        said("a megabyte of empty lines", Door::OtlpHttp, REFUSED, || b"\r\n".repeat(1 << 19)),
        said("a host of 60 000 letters", Door::Page, &["403", "400", "431"], || {
            format!("GET / HTTP/1.1\r\nhost: {}.example\r\n\r\n", "x".repeat(60_000)).into_bytes()
        }),
        said("90 hosts that are not ours", Door::Page, &["403", "400"], || {
            format!("GET / HTTP/1.1\r\n{}\r\n", "host: evil.example\r\n".repeat(90)).into_bytes()
        }),
        said("a request without a host", Door::Page, &["200", "400", "403", "404"], || {
            b"GET / HTTP/1.1\r\n\r\n".to_vec()
        }),
        said("20 000 codings", Door::OtlpHttp, &["400", "413", "415", "431"], || {
            let codings = "gzip,".repeat(10_000);
            format!("POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-encoding: {codings}\r\ncontent-length: 0\r\n\r\n").into_bytes()
        }),
        said("a preflight for 10 000 headers", Door::OtlpHttp, &["200", "204", "431"], || {
            let names = "x-a,".repeat(10_000);
            format!("OPTIONS /v1/traces HTTP/1.1\r\nhost: localhost\r\norigin: http://a.example\r\naccess-control-request-method: POST\r\naccess-control-request-headers: {names}\r\n\r\n").into_bytes()
        }),
        said("random bytes", Door::OtlpHttp, REFUSED, || {
            (0..1_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
        }),
        said("a greeting of TLS", Door::OtlpHttp, REFUSED, || {
            [&[0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc, 3, 3][..], &[0; 1 << 14]].concat()
        }),
        Attack {
            name: "a head without an end",
            answers: REFUSED,
            door: Door::OtlpHttp,
            means: Means::Endless {
                start: "GET / HTTP/1.1\r\n",
                again: || b"x-more: and more\r\n".repeat(1_000),
            },
        },
        Attack {
            name: "trailers without an end",
            answers: &["400", "413", "431", "closed"],
            door: Door::OtlpHttp,
            means: Means::Endless {
                start: "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\n\
                        content-type: application/x-protobuf\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
                again: || b"x-more: and more\r\n".repeat(1_000),
            },
        },
    ]
}

fn pipelines() -> Vec<Attack> {
    let taken: &[&str] = &["200", "took"];
    vec![
        said("100 000 requests in a row, no answer read", Door::Page, taken, || {
            get("").repeat(100_000 / PART)
        }),
        said("10 000 requests for the page, no answer read", Door::Page, taken, || {
            b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(10_000 / PART)
        }),
        said("50 000 requests to send in a row", Door::OtlpHttp, taken, || {
            b"POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n".repeat(50_000 / PART)
        }),
        said("20 000 requests for what is measured", Door::Admin, taken, || {
            b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(20_000 / PART)
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_are_short() {
    ground::withstands(&heads()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_not_answered_further() {
    ground::withstands(&pipelines()).await;
}
