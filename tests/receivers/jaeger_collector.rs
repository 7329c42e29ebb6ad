//! Jaeger's collector: batches over gRPC and over HTTP, and what each is answered.

use std::time::Instant;

use bytes::Bytes;
use http::Method;
use prost::Message as _;
use serde_json::Value as Json;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::transport::Endpoint;
use tracelodge::proto::jaeger::api_v2::collector_service_client::CollectorServiceClient;
use tracelodge::proto::jaeger::api_v2::{Batch, KeyValue, PostSpansRequest, Process, Span};

use crate::harness::{Answer, Client, Server, packed};
use crate::jaeger_agent::{metric, spans_once};
use crate::jaeger_thrift::{self as thrift, Value, alone, batch, text, trace_id, with};

const GRPC: &str = "Jaeger gRPC";
const HTTP: &str = "Jaeger thrift";
const THRIFT: &str = "application/x-thrift";

fn url(server: &Server) -> String {
    format!("http://{}/api/traces", server.door(HTTP))
}

fn posted(spans: Vec<Span>) -> PostSpansRequest {
    let process = Some(Process { service_name: "of the batch".into(), tags: vec![] });
    PostSpansRequest { batch: Some(Batch { spans, process }) }
}

fn span(trace: i64, id: u64) -> Span {
    Span {
        trace_id: Bytes::from(u128::from_str_radix(&trace_id(trace), 16).unwrap().to_be_bytes().to_vec()),
        span_id: Bytes::from(id.to_be_bytes().to_vec()),
        operation_name: Bytes::from(format!("operation {id}")),
        start_time: Some(prost_types::Timestamp { seconds: 1_790_000_000, nanos: id as i32 * 1_000 }),
        duration: Some(prost_types::Duration { seconds: 0, nanos: 1_000_000 }),
        ..Span::default()
    }
}

async fn collector(server: &Server) -> CollectorServiceClient<tonic::transport::Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.door(GRPC))).unwrap();
    CollectorServiceClient::new(endpoint.connect().await.unwrap())
}

#[tokio::test]
async fn a_spans_own_process_wins_over_that_of_its_batch() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let own = Some(Process { service_name: "its own".into(), tags: vec![] });
    let spans = vec![span(1, 1), Span { process: own, ..span(1, 2) }, span(1, 3)];
    let gzip = CompressionEncoding::Gzip;
    let mut collector = collector(&server).await.send_compressed(gzip);
    collector.post_spans(posted(spans)).await.unwrap();
    spans_once(&server, 1, 3).await;
    let answer = Client::new().get_json(server.query(&format!("/api/traces/{}", trace_id(1)))).await;
    let service = |span: &Json| {
        let process = &answer["data"][0]["processes"][span["processID"].as_str().unwrap()];
        (
            span["operationName"].as_str().unwrap().to_owned(),
            process["serviceName"].as_str().unwrap().to_owned(),
        )
    };
    let mut services: Vec<_> = answer["data"][0]["spans"].as_array().unwrap().iter().map(service).collect();
    services.sort();
    let expected =
        [("operation 1", "of the batch"), ("operation 2", "its own"), ("operation 3", "of the batch")];
    assert_eq!(services, expected.map(|(operation, service)| (operation.to_owned(), service.to_owned())));
}

#[tokio::test]
async fn spans_that_cannot_be_kept_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut collector = collector(&server).await;
    let bad = Span { span_id: Bytes::from_static(b"long enough"), ..span(1, 9) };
    collector.post_spans(posted(vec![bad.clone(), span(1, 1)])).await.unwrap();
    let status = collector.post_spans(posted(vec![bad.clone(), bad])).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("span id of 11 bytes"), "{status:?}");
    collector.post_spans(posted(vec![])).await.unwrap();
    collector.post_spans(PostSpansRequest { batch: None }).await.unwrap();
    assert_eq!(spans_once(&server, 1, 1).await.len(), 1);
    let lacking = vec![(5, text("nobody's"))];
    let sent = alone(batch("shop", vec![lacking.clone(), thrift::span(2, 1)]));
    assert_eq!(Client::new().post(url(&server), &[("content-type", THRIFT)], sent.into()).await.status, 202);
    let sent = alone(batch("shop", vec![lacking]));
    let answer = Client::new().post(url(&server), &[("content-type", THRIFT)], sent.into()).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    for (transport, expected) in [("grpc", [4, 1, 1, 1]), ("http", [2, 1, 1, 1])] {
        let names = [
            "otelcol_receiver_requests",
            "otelcol_receiver_accepted_spans",
            "tracelodge_rejected_spans_total",
            "tracelodge_failed_requests_total",
        ];
        for (name, expected) in names.into_iter().zip(expected) {
            let name = format!("{name}{{receiver=\"jaeger\",transport=\"{transport}\"}}");
            assert_eq!(metric(&server, &name).await, expected, "{name}");
        }
    }
}

#[tokio::test]
async fn what_is_answered_well_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (client, mut collector) = (Client::new(), collector(&server).await);
    for id in 1..=20 {
        collector.post_spans(posted(vec![span(1, id)])).await.unwrap();
        let sent = alone(batch("shop", vec![thrift::span(2, id as i64)]));
        let answer = client.post(url(&server), &[("content-type", THRIFT)], sent.into()).await;
        assert!(answer.status == 202 && answer.body.is_empty(), "{answer:?}");
    }
    server.kill();
    let server = Server::start(folder.path());
    for trace in [1, 2] {
        assert_eq!(spans_once(&server, trace, 20).await.len(), 20);
    }
}

#[tokio::test]
async fn a_batch_that_would_take_too_much_memory_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let client = Client::new();
    let many_tags = Span { tags: vec![KeyValue::default(); 300_000], ..span(1, 1) };
    // Two bytes each, and each would be several hundred in memory.
    let many_spans =
        PostSpansRequest { batch: Some(Batch { spans: vec![Span::default(); 300_000], process: None }) };
    for (what, request) in [("tags", posted(vec![many_tags])), ("spans", many_spans)] {
        let url = format!("http://{}/jaeger.api_v2.CollectorService/PostSpans", server.door(GRPC));
        let answer = client.grpc(url, "gzip", &packed("gzip", &request.encode_to_vec())).await.unwrap();
        let (code, message) = answer.grpc_status();
        assert_eq!(code, Code::ResourceExhausted as u32, "{what}: {message}");
        assert!(message.contains("receive.in_flight_bytes"), "{what}: {message}");
    }
    let tags = vec![thrift::tag("", text("")); 300_000];
    let sent = alone(batch("shop", vec![with(thrift::span(1, 1), 10, Value::List(tags))]));
    let answer = client.post(url(&server), &[("content-type", THRIFT)], sent.into()).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    assert!(said(&answer).contains("receive.in_flight_bytes"), "{answer:?}");
}

fn said(answer: &Answer) -> String {
    String::from_utf8(answer.body.to_vec()).unwrap()
}

/// Method, path, content type, coding, body, and the code and the words of the answer.
type Case<'a> = (&'a str, &'a str, &'a str, &'a str, &'a [u8], u16, &'a str);

#[tokio::test]
async fn every_request_over_http_has_its_status() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(
        folder.path(),
        &["receive.max_request_bytes=64KiB", "receive.max_span_bytes=32KiB"],
    );
    let good = alone(batch("shop", vec![thrift::span(1, 1)]));
    let (good, cut, large) = (&good[..], &good[..good.len() / 2], vec![0; 70 << 10]);
    let bomb = vec![0; 1 << 20];
    let vnd = "application/vnd.apache.thrift.binary";
    let is_right = "application/x-thrift or application/vnd.apache.thrift.binary";
    let cases: [Case<'_>; 22] = [
        ("POST", "/api/traces", THRIFT, "", good, 202, ""),
        ("POST", "/api/traces", vnd, "", good, 202, ""),
        ("POST", "/api/traces", "Application/X-Thrift; charset=utf-8", "identity", good, 202, ""),
        ("POST", "/api/traces?format=jaeger.thrift", THRIFT, "", good, 202, ""),
        ("POST", "/api/traces?format=other&x", THRIFT, "", good, 202, ""),
        ("POST", "/api/traces", THRIFT, "gzip", good, 202, ""),
        ("POST", "/api/traces", THRIFT, "deflate", good, 202, ""),
        ("POST", "/api/traces", THRIFT, "zstd", good, 202, ""),
        ("POST", "/api/traces", "", "", good, 400, is_right),
        ("POST", "/api/traces", "application/json", "", b"{}", 400, is_right),
        ("POST", "/api/traces", "text/plain", "", good, 400, is_right),
        ("POST", "/api/traces", "application/x-thriftier", "", good, 400, is_right),
        ("POST", "/api/traces", THRIFT, "", b"", 400, "at byte 0"),
        ("POST", "/api/traces", THRIFT, "", cut, 400, "at byte "),
        ("POST", "/api/traces", THRIFT, "", b"hello", 400, "at byte "),
        ("POST", "/api/traces", THRIFT, "br", good, 415, "gzip, deflate, zstd"),
        ("POST", "/api/traces", THRIFT, "", &large, 413, "receive.max_request_bytes"),
        ("POST", "/api/traces", THRIFT, "gzip", &bomb, 413, "receive.max_request_bytes"),
        ("GET", "/api/traces", THRIFT, "", b"", 405, "POST"),
        ("PUT", "/api/traces", THRIFT, "", good, 405, "POST"),
        ("POST", "/api/trace", THRIFT, "", good, 404, ""),
        ("GET", "/", "", "", b"", 404, ""),
    ];
    let client = Client::new();
    for (method, path, media_type, coding, body, status, words) in cases {
        let mut headers = vec![("authorization", "Basic dXNlcjpwYXNz")];
        headers.extend([("content-type", media_type), ("content-encoding", coding)]);
        headers.retain(|(_, value)| !value.is_empty());
        let method: Method = method.parse().unwrap();
        let url = format!("http://{}{path}", server.door(HTTP));
        let answer = client.send(method, url, &headers, packed(coding, body)).await.unwrap();
        let what = format!("{path} {media_type} {coding} {} bytes: {answer:?}", body.len());
        assert_eq!(answer.status, status, "{what}");
        assert!(said(&answer).contains(words), "{what}");
        assert_eq!(answer.header("retry-after"), "", "{what}");
    }
    assert_eq!(
        client.send(Method::GET, url(&server), &[], Bytes::new()).await.unwrap().header("allow"),
        "POST, OPTIONS"
    );
    assert_eq!(spans_once(&server, 1, 1).await.len(), 1);
}

#[tokio::test]
async fn who_comes_when_there_is_no_room_is_told_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        ["receive.max_request_bytes=1MiB", "receive.max_span_bytes=512KiB", "receive.in_flight_bytes=3MiB"];
    let server = Server::start_with(folder.path(), &settings);
    let client = Client::new();
    // Senders that announce much, send most of it and no more.
    let mut held = Vec::new();
    for _ in 0..4 {
        use tokio::io::AsyncWriteExt as _;
        let mut stream = tokio::net::TcpStream::connect(server.door(HTTP)).await.unwrap();
        let head = format!(
            "POST /api/traces HTTP/1.1\r\nhost: x\r\ncontent-type: {THRIFT}\r\ncontent-length: 1000000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![0; 900_000]).await.unwrap();
        held.push(stream);
    }
    let sent = alone(batch("shop", vec![thrift::span(1, 1)]));
    let deadline = Instant::now() + crate::harness::PATIENCE;
    loop {
        let answer = client.post(url(&server), &[("content-type", THRIFT)], sent.clone().into()).await;
        if answer.status == 503 {
            assert_eq!(answer.header("retry-after"), "1", "{answer:?}");
            break;
        }
        assert!(answer.status == 202 && Instant::now() < deadline, "{answer:?}");
    }
    let status = collector(&server).await.post_spans(posted(vec![span(1, 2)])).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    drop(held);
    let deadline = Instant::now() + crate::harness::PATIENCE;
    while collector(&server).await.post_spans(posted(vec![span(1, 2)])).await.is_err() {
        assert!(Instant::now() < deadline);
    }
}
