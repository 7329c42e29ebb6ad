//! Millions of things that are next to nothing.

use crate::attack::{Attack, Door, Means, PART, post};
use crate::ground;
use crate::packed::gzip;
use crate::protobuf::{attribute, field, framed, request, span};

const MILLION: usize = 1_000_000 / PART;

const PROTOBUF: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];
const PACKED: &[(&str, &str)] = &[("content-type", "application/x-protobuf"), ("content-encoding", "gzip")];
const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
const PACKED_JSON: &[(&str, &str)] = &[("content-type", "application/json"), ("content-encoding", "gzip")];

/// A span with a million of an empty field.
fn empty(number: u32) -> Vec<u8> {
    request(&[], [span(1, &field(number, &[]).repeat(MILLION))])
}

fn in_a_span() -> Vec<Attack> {
    vec![
        post("a million empty attributes", &["400"], PROTOBUF, || empty(9)),
        post("a million empty events", &["400"], PROTOBUF, || empty(11)),
        post("a million empty links", &["400"], PROTOBUF, || empty(13)),
        post("a million values in a list", &["400"], PROTOBUF, || {
            let list = field(5, &field(1, &[]).repeat(MILLION));
            request(&[], [span(1, &field(9, &[field(1, b"wide"), field(2, &list)].concat()))])
        }),
        post("a million names, the last one counts", &["200", "400"], PROTOBUF, || {
            request(&[], [span(1, &field(5, b"n").repeat(MILLION))])
        }),
        post("a million fields that nobody knows", &["200", "400"], PROTOBUF, || {
            request(&[], [span(1, &field(1_000, &[]).repeat(MILLION))])
        }),
        post("a name of 4 MB", &["200"], PROTOBUF, || request(&[], [span(1, &field(5, &[b'n'; 4_000_000]))])),
        post("a key of 4 MB", &["200"], PROTOBUF, || {
            request(&[], [span(1, &field(9, &attribute(&[b'k'; 4_000_000], b"v")))])
        }),
        post("a trace state of 4 MB", &["200"], PROTOBUF, || {
            request(&[], [span(1, &field(3, &[b't'; 4_000_000]))])
        }),
        post("a name of 4 MB that is not UTF-8", &["200"], PROTOBUF, || {
            request(&[], [span(1, &field(5, &[0xff; 4_000_000]))])
        }),
        post("60 000 keys that are not UTF-8", &["200"], PROTOBUF, || {
            let bad = field(9, &attribute(&[0xc3, 0x28, 0xf0, 0x9f], &[0xe2, 0x82]));
            request(&[], [span(1, &bad.repeat(60_000))])
        }),
    ]
}

fn around_spans() -> Vec<Attack> {
    vec![
        post("a million empty attributes of a resource", &["400"], PACKED, || {
            gzip(&request(&field(1, &[]).repeat(500_000), [span(1, &[])]))
        }),
        post("a million empty resources", &["200", "400"], PROTOBUF, || field(1, &[]).repeat(MILLION)),
        post("ten million empty scopes, packed", &["200", "400"], PACKED, || {
            gzip(&field(1, &field(2, &[]).repeat(10 * MILLION)))
        }),
        post("ten million empty spans, packed", &["400"], PACKED, || {
            gzip(&field(1, &field(2, &field(2, &[]).repeat(10 * MILLION))))
        }),
        post("ten million pieces of one resource, packed", &["200", "400"], PACKED, || {
            gzip(&field(1, &[field(1, &[]).repeat(9 * MILLION), field(2, &field(2, &span(1, &[])))].concat()))
        }),
        post("a resource of 20 MB", &["400"], PROTOBUF, || {
            request(&field(1, &attribute(b"service.name", &[b's'; 20_000_000])), [span(1, &[])])
        }),
        post("20 000 spans beside a resource of a megabyte", &["200"], PROTOBUF, || {
            request(
                &field(1, &attribute(b"service.name", &[b's'; 1_000_000])),
                (0..20_000 / PART as u64).map(|n| span(n, &[])),
            )
        }),
        post("100 000 spans without ids", &["400"], PROTOBUF, || {
            request(&[], (0..MILLION / 10).map(|_| field(5, b"nobody")))
        }),
        Attack {
            name: "a span of Jaeger's with a million empty tags",
            answers: &["grpc 3", "grpc 8"],
            door: Door::Storage,
            means: Means::Call {
                path: "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan",
                coding: "identity",
                body: || {
                    let ids = [field(1, &[1; 16]), field(2, &[1; 8])].concat();
                    framed(0, &field(1, &[ids, field(8, &[]).repeat(MILLION)].concat()))
                },
            },
        },
        Attack {
            name: "a span of Jaeger's with ten million warnings, packed",
            answers: &["grpc 3", "grpc 8"],
            door: Door::Storage,
            means: Means::Call {
                path: "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan",
                coding: "gzip",
                body: || {
                    let ids = [field(1, &[1; 16]), field(2, &[1; 8])].concat();
                    framed(1, &gzip(&field(1, &[ids, field(12, &[]).repeat(10 * MILLION - 100)].concat())))
                },
            },
        },
    ]
}

fn in_json() -> Vec<Attack> {
    /// A resource with so many of these attributes.
    fn attributes(one: &str, count: usize) -> Vec<u8> {
        let all = vec![one; count].join(",");
        format!(r#"{{"resourceSpans":[{{"resource":{{"attributes":[{all}]}}}}]}}"#).into_bytes()
    }
    vec![
        post("JSON with seven million empty resources, packed", &["200", "400"], PACKED_JSON, || {
            gzip(format!(r#"{{"resourceSpans":[{}]}}"#, vec!["{}"; 6_900_000 / PART].join(",")).as_bytes())
        }),
        post("JSON with a million empty attributes", &["200", "400"], JSON, || attributes("{}", MILLION)),
        post("JSON with six million empty spans, packed", &["400"], PACKED_JSON, || {
            let spans = vec!["{}"; 6_900_000 / PART].join(",");
            gzip(format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{spans}]}}]}}]}}"#).as_bytes())
        }),
        post("JSON with a million keys that nobody knows", &["200"], JSON, || {
            let fields: Vec<_> = (0..MILLION).map(|number| format!(r#""k{number}":{number}"#)).collect();
            format!("{{{}}}", fields.join(",")).into_bytes()
        }),
        post("JSON with a million times the same key", &["200", "400"], JSON, || {
            format!("{{{}}}", vec![r#""resourceSpans":[]"#; MILLION].join(",")).into_bytes()
        }),
        post("JSON with a key of 19 MiB", &["200", "400"], JSON, || {
            format!(r#"{{"{}":1}}"#, "k".repeat(19 << 20)).into_bytes()
        }),
        post("JSON with a number of 19 million digits", &["200", "400"], JSON, || {
            format!(r#"{{"k":{}}}"#, "7".repeat(19 * MILLION)).into_bytes()
        }),
        post("JSON with a value of 10 million digits", &["400"], JSON, || {
            attributes(&format!(r#"{{"key":"k","value":{{"doubleValue":{}}}}}"#, "7".repeat(10 * MILLION)), 1)
        }),
        post("JSON with numbers beyond all numbers", &["200", "400"], JSON, || {
            attributes(r#"{"key":"k","value":{"doubleValue":1e999999999}}"#, 10_000)
        }),
        post("JSON with three million escapes", &["200", "400"], JSON, || {
            let text = r"\u0000".repeat(3 * MILLION);
            attributes(&format!(r#"{{"key":"{text}"}}"#), 1)
        }),
        post("JSON with halves of pairs", &["200", "400"], JSON, || {
            attributes(&format!(r#"{{"key":"{}"}}"#, r"\ud800".repeat(100_000)), 1)
        }),
        post("JSON that is not UTF-8", &["200", "400"], JSON, || {
            [&br#"{"resourceSpans":[{"schemaUrl":""#[..], &[0xff; 1 << 20], br#""}]}"#].concat()
        }),
        post("JSON with a trace id of 19 million digits", &["400"], JSON, || {
            let span = format!(r#"{{"traceId":"{}","spanId":"0000000000000001"}}"#, "a".repeat(19 * MILLION));
            format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{span}]}}]}}]}}"#).into_bytes()
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_span_is_too_wide() {
    ground::withstands(&in_a_span()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_around_spans_is_too_wide() {
    ground::withstands(&around_spans()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_json_is_too_wide() {
    ground::withstands(&in_json()).await;
}
