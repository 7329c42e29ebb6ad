//! Values inside values, deeper than any stack.

use crate::attack::{Attack, Door, Means};
use crate::ground;
use crate::protobuf::{attribute, field, framed, nested, request, span};

const LEVELS: usize = 200_000;

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const WRITE_SPAN: &str = "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan";
const FIND_TRACES: &str = "/jaeger.storage.v2.TraceReader/FindTraces";

const PROTOBUF: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// `AnyValue.array_value.values`.
const LISTS: &[u32] = &[5, 1];

/// `AnyValue.kvlist_value.values.value`.
const MAPS: &[u32] = &[6, 1, 2];

fn with_value(value: &[u8]) -> Vec<u8> {
    let attribute = [field(1, b"deep"), field(2, value)].concat();
    request(&[], [span(1, &field(9, &attribute))])
}

fn in_a_link() -> Vec<u8> {
    let value = nested(MAPS, 3 * LEVELS, &[]);
    let attribute = [field(1, b"deep"), field(2, &value)].concat();
    request(
        &[],
        [span(1, &field(13, &[field(1, &[1; 16]), field(2, &[1; 8]), field(4, &attribute)].concat()))],
    )
}

fn in_a_resource() -> Vec<u8> {
    // Kept below a mebibyte, which is as long as a resource may be.
    let value = nested(LISTS, 2 * 100_000, &[]);
    let attribute = [field(1, b"deep"), field(2, &value)].concat();
    request(&field(1, &attribute), [span(1, &[])])
}

/// A request to export spans whose resource has a value in so many lists.
pub(crate) fn json_value(levels: usize) -> Vec<u8> {
    let (open, close) = (r#"{"arrayValue":{"values":["#.repeat(levels), "]}}".repeat(levels));
    let key = r#"{"resourceSpans":[{"resource":{"attributes":[{"key":"deep","value":"#;
    format!("{key}{open}{close}}}]}}}}]}}").into_bytes()
}

fn post(
    name: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: fn() -> Vec<u8>,
) -> Attack {
    let means = Means::Post { path: "/v1/traces", headers, body };
    Attack { name, answers: &["400"], door: Door::OtlpHttp, means }
}

fn protobuf() -> Vec<Attack> {
    vec![
        post("an attribute in 200 000 lists", PROTOBUF, || with_value(&nested(LISTS, 2 * LEVELS, &[]))),
        post("an attribute in 200 000 maps", PROTOBUF, || with_value(&nested(MAPS, 3 * LEVELS, &[]))),
        post("an attribute of a link in 200 000 maps", PROTOBUF, in_a_link),
        post("an attribute of a resource in 100 000 lists", PROTOBUF, in_a_resource),
        post("20 million groups that begin", PROTOBUF, || vec![0x0b; 20_000_000]),
        post("10 million groups in a span", PROTOBUF, || {
            request(
                &[],
                [span(1, &[[0xfb, 0x7f].repeat(1_000_000), [0xfc, 0x7f].repeat(1_000_000)].concat())],
            )
        }),
        Attack {
            name: "an attribute in 200 000 lists, in a call",
            answers: &["grpc 3"],
            door: Door::OtlpGrpc,
            means: Means::Call {
                path: EXPORT,
                coding: "identity",
                body: || framed(0, &with_value(&nested(LISTS, 2 * LEVELS, &[]))),
            },
        },
        Attack {
            name: "groups in a span of Jaeger's",
            answers: &["grpc 3"],
            door: Door::Storage,
            means: Means::Call {
                path: WRITE_SPAN,
                coding: "identity",
                body: || framed(0, &field(1, &vec![0x7b; 4_000_000])),
            },
        },
        Attack {
            name: "a question for a value in 20 000 lists",
            answers: &["grpc 3"],
            door: Door::Storage,
            means: Means::Call {
                path: FIND_TRACES,
                coding: "identity",
                body: || {
                    let value = nested(LISTS, 40_000, &[]);
                    framed(0, &field(1, &field(3, &[field(1, b"deep"), field(2, &value)].concat())))
                },
            },
        },
        Attack {
            name: "a question for a filter in 10 000 calls",
            answers: &["grpc 3"],
            door: Door::Query,
            means: Means::Call {
                path: "/jaeger.api_v3.QueryService/FindTraces",
                coding: "identity",
                // `TraceQueryParameters.filter`, then `Call.args`, `Expression.call`: three bytes of each would do.
                body: || {
                    framed(0, &field(1, &field(10, &nested(&[2, 6], 20_000, &attribute(b"op", b"and")))))
                },
            },
        },
    ]
}

fn json() -> Vec<Attack> {
    vec![
        post("JSON of a million levels of lists", JSON, || vec![b'['; 1_000_000]),
        post("JSON of a million levels of objects", JSON, || br#"{"a":"#.repeat(1_000_000)),
        post("JSON of 20 MiB of levels nobody reads", JSON, || {
            [&br#"{"unknown":"#[..], &vec![b'['; (20 << 20) - 100]].concat()
        }),
        post("JSON of a value in 200 000 lists", JSON, || json_value(LEVELS)),
        post("JSON of a value in 65 lists", JSON, || json_value(65)),
        Attack {
            name: "JSON of a value in 200 000 lists, to be shown",
            answers: &["400"],
            door: Door::Page,
            means: Means::Post { path: "/api/transform", headers: JSON, body: || json_value(LEVELS) },
        },
        Attack {
            name: "JSON of a million levels, to be shown",
            answers: &["400"],
            door: Door::Page,
            means: Means::Post { path: "/api/transform", headers: JSON, body: || vec![b'['; 1_000_000] },
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deep_in_protobuf_is_refused() {
    ground::withstands(&protobuf()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_deep_in_json_is_refused() {
    ground::withstands(&json()).await;
}
