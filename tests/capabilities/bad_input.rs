//! Bad input: answered as the specification's table says, naming what, where and the limit; nothing else suffers.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, any_value};
use prost::Message as _;
use serde_json::json;
use std::time::Instant;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::harness::{Answer, Client, PATIENCE, Server};
use crate::wire;

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const LIMIT: usize = 20 << 20;

/// A request that must be refused: how it is sent, and what the answer must be.
struct Case {
    name: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Bytes,
    status: u16,
    code: u32,
    says: &'static str,
}

fn protobuf(name: &'static str, body: impl Into<Bytes>, status: u16, code: u32, says: &'static str) -> Case {
    Case {
        name,
        headers: vec![("content-type", "application/x-protobuf")],
        body: body.into(),
        status,
        code,
        says,
    }
}

fn json(name: &'static str, body: impl Into<Bytes>, status: u16, code: u32, says: &'static str) -> Case {
    Case { headers: vec![("content-type", "application/json")], ..protobuf(name, body, status, code, says) }
}

fn packed(case: Case, encoding: &'static str) -> Case {
    let mut headers = case.headers;
    headers.push(("content-encoding", encoding));
    Case { headers, ..case }
}

/// Zeros, packed: a few kilobytes that claim to be `bytes`.
fn bomb(encoding: &str, bytes: usize) -> Vec<u8> {
    use std::io::{Read as _, repeat};
    let zeros = repeat(0).take(bytes as u64);
    let mut bomb = Vec::new();
    let read = match encoding {
        "gzip" => flate2::read::GzEncoder::new(zeros, flate2::Compression::best()).read_to_end(&mut bomb),
        "deflate" => {
            flate2::read::ZlibEncoder::new(zeros, flate2::Compression::best()).read_to_end(&mut bomb)
        }
        _ => zstd::stream::read::Encoder::new(zeros, 3).unwrap().read_to_end(&mut bomb),
    };
    read.unwrap();
    bomb
}

/// A value inside `depth` lists.
fn nested(depth: usize) -> AnyValue {
    let mut value = AnyValue { value: Some(any_value::Value::BoolValue(true)) };
    for _ in 0..depth {
        value = AnyValue { value: Some(any_value::Value::ArrayValue(ArrayValue { values: vec![value] })) };
    }
    value
}

fn deep_request(depth: usize) -> Vec<u8> {
    let mut span = wire::span(9, 0);
    span.attributes[0].value = Some(nested(depth));
    wire::request("deep", vec![span]).encode_to_vec()
}

fn with_span(change: impl Fn(&mut opentelemetry_proto::tonic::trace::v1::Span)) -> Vec<u8> {
    let mut span = wire::span(9, 0);
    change(&mut span);
    wire::request("bad", vec![span]).encode_to_vec()
}

fn cases() -> Vec<Case> {
    let truncated = &wire::trace("cut", 1, 3)[..60];
    let (open, close) = ("{\"arrayValue\":{\"values\":[".repeat(100), "]}}".repeat(100));
    let deep_json = format!(
        "{{\"resourceSpans\":[{{\"resource\":{{\"attributes\":[{{\"key\":\"deep\",\"value\":{open}{close}}}]}}}}]}}"
    );
    vec![
        protobuf("garbage", &b"\xff\xff\xff\xff not protobuf"[..], 400, 3, "byte"),
        protobuf("truncated", truncated.to_vec(), 400, 3, "truncated"),
        protobuf("a group without an end", &b"\x0b\x08\x01"[..], 400, 3, "byte"),
        protobuf("a length beyond the end", &b"\x0a\xff\xff\xff\xff\x07"[..], 400, 3, "byte"),
        protobuf("a trace id of 15 bytes", with_span(|span| span.trace_id.truncate(15)), 400, 3, "trace id"),
        protobuf("a trace id of zeros", with_span(|span| span.trace_id = vec![0; 16]), 400, 3, "trace id"),
        protobuf("no span id", with_span(|span| span.span_id.clear()), 400, 3, "span id"),
        protobuf(
            "a parent of 3 bytes",
            with_span(|span| span.parent_span_id = vec![1; 3]),
            400,
            3,
            "parent span id",
        ),
        protobuf("33 levels", deep_request(33), 400, 3, "32"),
        protobuf("more than the limit", vec![0x0a; LIMIT + 1], 413, 8, "receive.max_request_bytes"),
        protobuf(
            "a span over its limit",
            with_span(|span| span.name = "x".repeat(5 << 20)),
            400,
            3,
            "4194304",
        ),
        json("not JSON", &b"{\"resourceSpans\": [}"[..], 400, 3, "column"),
        json("the wrong type", &b"{\"resourceSpans\": 7}"[..], 400, 3, "resourceSpans"),
        json("cut JSON", &b"{\"resourceSpans\": [{\"scopeSpans\":"[..], 400, 3, "column"),
        json("deep JSON", deep_json, 400, 3, "64"),
        json("a list", &b"[]"[..], 400, 3, "column"),
        packed(protobuf("a gzip bomb", bomb("gzip", 200 << 20), 413, 8, "receive.max_request_bytes"), "gzip"),
        packed(
            protobuf("a deflate bomb", bomb("deflate", 200 << 20), 413, 8, "receive.max_request_bytes"),
            "deflate",
        ),
        packed(protobuf("a zstd bomb", bomb("zstd", 200 << 20), 413, 8, "receive.max_request_bytes"), "zstd"),
        packed(
            json("a JSON gzip bomb", bomb("gzip", 200 << 20), 413, 8, "receive.max_request_bytes"),
            "gzip",
        ),
        packed(protobuf("not gzip", &b"plain"[..], 400, 3, "inflated"), "gzip"),
        packed(protobuf("cut gzip", bomb("gzip", 1 << 20)[..100].to_vec(), 400, 3, "inflated"), "gzip"),
        packed(protobuf("not zstd", &b"plain"[..], 400, 3, "inflated"), "zstd"),
        packed(protobuf("raw deflate", &b"\x4b\x04\x00"[..], 400, 3, "inflated"), "deflate"),
        packed(protobuf("snappy", &b"x"[..], 415, 3, "snappy"), "snappy"),
    ]
}

#[tokio::test]
async fn bad_requests_over_http_are_answered_by_the_table() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    for case in cases() {
        let answer = client.post(server.otlp_http("/v1/traces"), &case.headers, case.body.clone()).await;
        assert_eq!(answer.status.as_u16(), case.status, "{}: {:?}", case.name, answer.body);
        assert_eq!(answer.header("content-type"), case.headers[0].1, "{}", case.name);
        let (code, message) = status(&answer);
        assert_eq!(code, case.code, "{}: {message}", case.name);
        assert!(message.contains(case.says), "{}: {message}", case.name);
    }
    good_request_is_taken(&client, &server).await;
}

/// `google.rpc.Status` in the encoding of the answer.
fn status(answer: &Answer) -> (u32, String) {
    if answer.header("content-type").contains("json") {
        let status = answer.json();
        return (status["code"].as_u64().unwrap() as u32, status["message"].as_str().unwrap().to_owned());
    }
    #[derive(prost::Message)]
    struct Status {
        #[prost(int32, tag = "1")]
        code: i32,
        #[prost(string, tag = "2")]
        message: String,
    }
    let status = Status::decode(answer.body.clone()).unwrap();
    (status.code as u32, status.message)
}

async fn good_request_is_taken(client: &Client, server: &Server) {
    let headers = [("content-type", "application/x-protobuf")];
    let answer = client.post(server.otlp_http("/v1/traces"), &headers, wire::trace("good", 77, 2)).await;
    assert_eq!(answer.status, 200);
    let url = server.query(&format!("/api/traces/{}", wire::trace_id(77)));
    client.until(&url, |answer| answer.status == 200).await;
}

#[tokio::test]
async fn bad_calls_over_grpc_are_answered_by_the_table() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    let url = format!("{}{TRACES}", server.otlp_grpc());
    let garbage: &[u8] = b"\xff\xff\xff\xff";
    let cases: [(&str, &str, Vec<u8>, u32, &str); 8] = [
        ("garbage", "identity", garbage.to_vec(), 3, "byte"),
        ("a trace id of zeros", "identity", with_span(|span| span.trace_id = vec![0; 16]), 3, "trace id"),
        ("oversize", "identity", vec![0; LIMIT + 1], 8, "receive.max_request_bytes"),
        ("a gzip bomb", "gzip", bomb("gzip", 200 << 20), 8, "receive.max_request_bytes"),
        ("a deflate bomb", "deflate", bomb("deflate", 200 << 20), 8, "receive.max_request_bytes"),
        ("a zstd bomb", "zstd", bomb("zstd", 200 << 20), 8, "receive.max_request_bytes"),
        ("not gzip", "gzip", b"plain".to_vec(), 3, "inflated"),
        ("snappy", "snappy", b"plain".to_vec(), 12, "snappy"),
    ];
    for (name, encoding, message, code, says) in cases {
        let answer = client.grpc(url.clone(), encoding, &message).await.unwrap();
        assert_eq!(answer.status, 200, "{name}");
        let (status, message) = answer.grpc_status();
        assert_eq!(status, code, "{name}: {message}");
        assert!(message.contains(says), "{name}: {message}");
    }
    let unknown = format!("{}/no.such.Service/Call", server.otlp_grpc());
    let (code, message) = client.grpc(unknown, "identity", b"").await.unwrap().grpc_status();
    assert_eq!(code, 12);
    assert!(message.contains("/no.such.Service/Call"), "{message}");
    good_request_is_taken(&client, &server).await;
}

#[tokio::test]
async fn the_wrong_method_path_and_type_are_told_apart() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    let get = client.get(server.otlp_http("/v1/traces")).await;
    assert_eq!((get.status.as_u16(), get.header("allow")), (405, "POST, OPTIONS"));
    let headers = [("content-type", "application/json")];
    let lost = client.post(server.otlp_http("/v2/spans"), &headers, Bytes::from_static(b"{}")).await;
    assert_eq!(lost.status, 404);
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"] {
        let headers = [("content-type", media_type)];
        let answer = client.post(server.otlp_http("/v1/traces"), &headers, Bytes::from_static(b"{}")).await;
        assert_eq!(answer.status, 415, "{media_type}");
        assert_eq!(answer.json()["code"], json!(3));
    }
    for path in ["/v1/traces/", "/v1/traces/v1/traces", "/"] {
        let answer = client.post(server.otlp_http(path), &headers, Bytes::from_static(b"{}")).await;
        assert_eq!(answer.status, 200, "{path}");
    }
}

#[tokio::test]
async fn what_does_not_fit_into_memory_is_asked_to_come_again() {
    let data = tempfile::tempdir().unwrap();
    let settings = ["receive.max_request_bytes=1MiB", "receive.in_flight_bytes=3MiB"];
    let server = Server::start_with(data.path(), &settings);
    let client = Client::new();
    // Half-sent bodies hold what they sent, and no more than that.
    let mut half_sent = Vec::new();
    let mut refused = None;
    let body = wire::trace("large", 1, 2_000);
    for _ in 0..8 {
        let mut stream = TcpStream::connect(&server.otlp[1]).await.unwrap();
        let head = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![b' '; 999_999]).await.unwrap();
        half_sent.push(stream);
        let headers = [("content-type", "application/json")];
        let answer = client.post(server.otlp_http("/v1/traces"), &headers, body.clone()).await;
        if answer.status == 503 {
            refused = Some(answer);
            break;
        }
    }
    let answer = refused.expect("eight half-sent bodies of 1 MB do not fit into 3 MiB");
    assert_eq!(answer.header("retry-after"), "1");
    let (code, message) = status(&answer);
    assert_eq!(code, 14);
    assert!(message.contains("receive.in_flight_bytes"), "{message}");
    assert!(String::from_utf8_lossy(&answer.body).contains("RetryInfo"));

    let url = format!("{}{TRACES}", server.otlp_grpc());
    let answer = client.grpc(url, "identity", &body).await.unwrap();
    assert_eq!(answer.grpc_status().0, 14);
    assert!(answer.header("grpc-status-details-bin").len() > 20);
    drop(half_sent);
    let headers = [("content-type", "application/x-protobuf")];
    let deadline = Instant::now() + PATIENCE;
    while client.post(server.otlp_http("/v1/traces"), &headers, body.clone()).await.status != 200 {
        assert!(Instant::now() < deadline, "room is not given back");
        tokio::task::yield_now().await;
    }
    good_request_is_taken(&client, &server).await;
}

#[tokio::test]
async fn an_announced_length_takes_no_room() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    let mut announced = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(&server.otlp[1]).await.unwrap();
        let head = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 20000000\r\n\r\n ";
        stream.write_all(head.as_bytes()).await.unwrap();
        announced.push(stream);
    }
    good_request_is_taken(&client, &server).await;
}

#[tokio::test]
async fn a_grpc_frame_that_lies_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    let url = format!("{}{TRACES}", server.otlp_grpc());
    let headers = [("content-type", "application/grpc"), ("te", "trailers")];
    let cases: [(&[u8], &str); 5] = [
        (b"", "a call of 0 bytes holds no message"),
        (b"\0\0\0", "a call of 3 bytes holds no message"),
        (b"\0\xff\xff\xff\xff", "a message of 4294967295 bytes was announced, 0 came"),
        (b"\0\0\0\0\0more", "a message of 0 bytes was announced, 4 came"),
        (b"\x01\0\0\0\0", "a compressed message came without a grpc-encoding"),
    ];
    for (body, says) in cases {
        let answer = client.post_http2(url.clone(), &headers, Bytes::from_static(body)).await;
        assert_eq!(answer.grpc_status(), (3, says.to_owned()));
    }
    let web = [("content-type", "application/grpc-web+proto")];
    assert_eq!(client.post_http2(url, &web, Bytes::new()).await.status, 404);
}
