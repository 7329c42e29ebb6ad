//! Lengths that are announced and never come.

use crate::attack::{Attack, Door, Means};
use crate::ground;
use crate::protobuf::{announced, field, framed};

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const WRITE_SPAN: &str = "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan";
const WRITE_SPAN_STREAM: &str = "/jaeger.storage.v1.StreamingSpanWriterPlugin/WriteSpanStream";
const FIND_TRACES: &str = "/jaeger.api_v3.QueryService/FindTraces";

const PROTOBUF: &[(&str, &str)] = &[("content-type", "application/x-protobuf")];

/// A prefix that announces 4 GiB, and a few bytes of them.
fn four_gib() -> Vec<u8> {
    [&[0, 0xff, 0xff, 0xff, 0xff][..], &[0x0a; 16]].concat()
}

fn post(name: &'static str, body: fn() -> Vec<u8>) -> Attack {
    let means = Means::Post { path: "/v1/traces", headers: PROTOBUF, body };
    Attack { name, answers: &["400"], door: Door::OtlpHttp, means }
}

fn call(
    name: &'static str,
    answers: &'static [&'static str],
    door: Door,
    path: &'static str,
    body: fn() -> Vec<u8>,
) -> Attack {
    Attack { name, answers, door, means: Means::Call { path, coding: "gzip", body } }
}

fn said(name: &'static str, answers: &'static [&'static str], bytes: fn() -> Vec<u8>) -> Attack {
    Attack { name, answers, door: Door::OtlpHttp, means: Means::Said(bytes) }
}

fn left(name: &'static str, bytes: fn() -> Vec<u8>) -> Attack {
    Attack { name, answers: &["400", "closed"], door: Door::OtlpHttp, means: Means::Left(bytes) }
}

const POST: &str = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n";

fn with_head(more: &str, body: &[u8]) -> Vec<u8> {
    [POST.as_bytes(), more.as_bytes(), b"\r\n", body].concat()
}

fn in_protobuf() -> Vec<Attack> {
    vec![
        post("protobuf: a resource of 2 GiB in six bytes", || announced(1, i32::MAX as u64)),
        post("protobuf: a resource of 16 EiB", || announced(1, u64::MAX)),
        post("protobuf: a span of 4 GiB", || field(1, &field(2, &announced(2, u32::MAX.into())))),
        post("protobuf: an attribute of 1 TiB", || {
            field(1, &field(2, &field(2, &field(9, &announced(2, 1 << 40)))))
        }),
        post("protobuf: a number of eleven bytes", || [&[0x0a][..], &[0xff; 11]].concat()),
        call("a span of Jaeger's with an id of 2 GiB", &["grpc 3"], Door::Storage, WRITE_SPAN, || {
            framed(0, &field(1, &announced(1, i32::MAX as u64)))
        }),
        call("a question with a name of 2 GiB", &["grpc 3"], Door::Query, FIND_TRACES, || {
            framed(0, &field(1, &announced(1, i32::MAX as u64)))
        }),
    ]
}

fn in_frames() -> Vec<Attack> {
    vec![
        call("a call of 4 GiB in 21 bytes", &["grpc 3", "grpc 8"], Door::OtlpGrpc, EXPORT, four_gib),
        call("a packed call of 4 GiB in 21 bytes", &["grpc 3", "grpc 8"], Door::OtlpGrpc, EXPORT, || {
            [&[1][..], &four_gib()[1..]].concat()
        }),
        call(
            "a span of Jaeger's of 4 GiB in 21 bytes",
            &["grpc 3", "grpc 8"],
            Door::Storage,
            WRITE_SPAN,
            four_gib,
        ),
        call(
            "a stream of spans of 4 GiB in 21 bytes",
            &["grpc 8"],
            Door::Storage,
            WRITE_SPAN_STREAM,
            four_gib,
        ),
        call("a question of 4 GiB in 21 bytes", &["grpc 8", "grpc 11"], Door::Query, FIND_TRACES, four_gib),
        call("four million empty messages in a call", &["grpc 3"], Door::OtlpGrpc, EXPORT, || {
            vec![0; 20_000_000]
        }),
        call("four million empty spans in a stream", &["grpc 3"], Door::Storage, WRITE_SPAN_STREAM, || {
            vec![0; 20_000_000]
        }),
    ]
}

fn in_heads() -> Vec<Attack> {
    const REFUSED: &[&str] = &["400", "413", "closed"];
    vec![
        said("a body of 9 EiB", &["413"], || with_head("content-length: 9223372036854775807\r\n", b"\n")),
        said("a body of more than 16 EiB", REFUSED, || {
            with_head("content-length: 99999999999999999999999\r\n", b"\n")
        }),
        said("a body of two lengths", REFUSED, || {
            with_head("content-length: 3\r\ncontent-length: 99999999\r\n", b"\n")
        }),
        left("a chunk of 16 EiB", || with_head("transfer-encoding: chunked\r\n", b"ffffffffffffffff\r\nx")),
        left("a chunk with a size of a million digits", || {
            with_head("transfer-encoding: chunked\r\n", &[b'0'; 1_000_000])
        }),
        said("a chunk with an endless extension", REFUSED, || {
            with_head("transfer-encoding: chunked\r\n", &[b"1;", &[b'x'; 1_000_000][..]].concat())
        }),
        Attack {
            name: "chunks without an end",
            answers: &["413"],
            door: Door::OtlpHttp,
            means: Means::Endless {
                start: "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\n\
                        content-type: application/x-protobuf\r\ntransfer-encoding: chunked\r\n\r\n",
                again: || [&b"10000\r\n"[..], &[0x0a; 1 << 16], b"\r\n"].concat(),
            },
        },
        Attack {
            name: "chunks of one byte without an end",
            answers: &["413", "400", "took", "no answer"],
            door: Door::OtlpHttp,
            means: Means::Endless {
                start: "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\n\
                        content-type: application/x-protobuf\r\ntransfer-encoding: chunked\r\n\r\n",
                again: || b"1\r\n\n\r\n".repeat(10_000),
            },
        },
        Attack {
            name: "a body without an end to the page's door",
            answers: &["413", "400"],
            door: Door::Page,
            means: Means::Endless {
                start: "POST /api/transform HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n",
                again: || [&b"10000\r\n"[..], &[b' '; 1 << 16], b"\r\n"].concat(),
            },
        },
        Attack {
            name: "a body without an end to the admin door",
            answers: &["40", "closed"],
            door: Door::Admin,
            means: Means::Endless {
                start: "POST /purge HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n",
                again: || [&b"10000\r\n"[..], &[b' '; 1 << 16], b"\r\n"].concat(),
            },
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_made_room_for_by_an_announced_length() {
    ground::withstands(&in_protobuf()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_has_room_before_it_comes() {
    ground::withstands(&in_frames()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_body_is_longer_than_the_limit() {
    ground::withstands(&in_heads()).await;
}
