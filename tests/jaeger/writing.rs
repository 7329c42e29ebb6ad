//! Writing spans to the storage: one by one, many at once, in streams, and what is refused.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use prost::Message as _;
use prost_types::Timestamp;
use serde_json::Value;
use tokio::sync::watch;
use tokio_stream::StreamExt as _;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tower::ServiceExt as _;
use tracelodge::buffer::{Buffer, Environment, FileStorageConfig, HostClock, HostDisk, Signal};
use tracelodge::ingest::{Buffers, Ingest, Settings};
use tracelodge::proto::jaeger::api_v2::{KeyValue, Log, Process, Span};
use tracelodge::proto::jaeger::storage::v1::span_writer_plugin_client::SpanWriterPluginClient;
use tracelodge::proto::jaeger::storage::v1::streaming_span_writer_plugin_client::StreamingSpanWriterPluginClient;
use tracelodge::proto::jaeger::storage::v1::{CloseWriterRequest, WriteSpanRequest};
use tracelodge::receive::{self, Counts};

use crate::harness::{Client, PATIENCE, Server};

const WRITE_SPAN: &str = "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan";
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A trace's id as it stands on the wire, and as it is asked for.
pub(crate) fn trace_id(number: u64) -> ([u8; 16], String) {
    let id = (0x5eed_u128 << 64) | u128::from(number);
    (id.to_be_bytes(), format!("{id:032x}"))
}

/// A span of a trace, of a service that is called after it.
pub(crate) fn span(trace: u64, number: u64) -> Span {
    Span {
        trace_id: Bytes::copy_from_slice(&trace_id(trace).0),
        span_id: Bytes::copy_from_slice(&number.to_be_bytes()),
        operation_name: Bytes::from(format!("operation {number}")),
        start_time: Some(Timestamp { seconds: 1_790_000_000 + number as i64, nanos: 0 }),
        duration: Some(prost_types::Duration { seconds: 0, nanos: 1_000 }),
        process: Some(Process { service_name: "shop".into(), tags: Vec::new() }),
        ..Span::default()
    }
}

pub(crate) fn write(span: Span) -> WriteSpanRequest {
    WriteSpanRequest { span: Some(span) }
}

pub(crate) async fn connect(address: &str) -> Channel {
    Endpoint::from_shared(format!("http://{address}")).unwrap().connect().await.unwrap()
}

pub(crate) async fn writer(address: &str) -> SpanWriterPluginClient<Channel> {
    SpanWriterPluginClient::new(connect(address).await)
}

async fn streams(server: &Server) -> StreamingSpanWriterPluginClient<Channel> {
    StreamingSpanWriterPluginClient::new(connect(&server.storage).await)
}

/// How many spans of the trace there are once there are so many.
pub(crate) async fn spans_once(server: &Server, trace: u64, count: usize) -> Vec<Value> {
    let url = server.query(&format!("/api/traces/{}", trace_id(trace).1));
    let spans = |trace: &Value| trace["data"][0]["spans"].as_array().cloned().unwrap_or_default();
    let answer = Client::new().until(&url, |answer| spans(&answer.json()).len() >= count).await;
    spans(&answer.json())
}

pub(crate) fn names(spans: &[Value]) -> HashSet<String> {
    spans.iter().map(|span| span["operationName"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn what_is_answered_ok_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut writer = writer(&server.storage).await;
    for number in 1..=20 {
        writer.write_span(write(span(1, number))).await.unwrap();
    }
    server.kill();
    let server = Server::start(folder.path());
    let spans = spans_once(&server, 1, 20).await;
    assert_eq!(names(&spans).len(), 20);
}

/// A number of `/metrics`.
pub(crate) async fn metric(server: &Server, name: &str) -> u64 {
    let text = Client::new().get(server.admin("/metrics")).await.body;
    let text = String::from_utf8(text.to_vec()).unwrap();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).split(' ').nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn many_who_write_at_the_same_time_share_their_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let writer = writer(&server.storage).await;
    // As many as a collector has workers.
    let workers = (0..50).map(|worker| {
        let mut writer = writer.clone();
        tokio::spawn(async move {
            for number in 1..=20 {
                writer.write_span(write(span(1, worker * 100 + number))).await.unwrap();
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    let frames = metric(&server, "tracelodge_buffer_frames_total{signal=\"traces\"}").await;
    let groups = metric(&server, "tracelodge_buffer_groups_total{signal=\"traces\"}").await;
    assert_eq!(frames, 1_000);
    assert!(groups < 500, "{groups} groups for {frames} spans");
    let counted = "otelcol_receiver_accepted_spans{receiver=\"jaeger_storage\",transport=\"grpc\"}";
    assert_eq!(metric(&server, counted).await, 1_000);
    assert_eq!(names(&spans_once(&server, 1, 1_000).await).len(), 1_000);
}

#[tokio::test]
async fn a_stream_is_on_disk_when_it_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let spans: Vec<_> = (1..=3_000).map(|number| write(span(1, number))).collect();
    streams(&server).await.write_span_stream(tokio_stream::iter(spans)).await.unwrap();
    let frames = metric(&server, "tracelodge_buffer_frames_total{signal=\"traces\"}").await;
    assert!(frames < 300, "{frames} requests for 3000 spans");
    server.kill();
    let server = Server::start(folder.path());
    assert_eq!(spans_once(&server, 1, 3_000).await.len(), 3_000);
}

/// The storage's door into a buffer, without a network; open as long as `ending` says nothing.
fn door(folder: &Path, counts: &Arc<Counts>, ending: watch::Receiver<bool>) -> Router {
    let environment = Environment::new(Arc::new(HostDisk), Arc::new(HostClock));
    let settings = FileStorageConfig::appliance();
    let (traces, _recovery) = Buffer::open(folder, Signal::Traces, settings, environment).unwrap();
    let settings =
        Settings { max_request_bytes: 1 << 20, max_span_bytes: 1 << 20, in_flight_bytes: 64 << 20 };
    let ingest = Arc::new(Ingest::new(Buffers { traces, logs: None, metrics: None }, settings));
    receive::storage::router(Arc::clone(&ingest), ingest, Arc::clone(counts), ending)
}

#[tokio::test]
async fn what_came_of_a_stream_is_kept_when_its_writer_goes_away() {
    let (folder, counts) = (tempfile::tempdir().unwrap(), Arc::new(Counts::default()));
    let mut sent = Vec::new();
    for number in 1..=500 {
        let message = write(span(1, number)).encode_to_vec();
        sent.push(0);
        sent.extend((message.len() as u32).to_be_bytes());
        sent.extend(message);
    }
    let came = tokio_stream::once(Ok::<_, std::convert::Infallible>(Bytes::from(sent)));
    let body = Body::from_stream(came.chain(tokio_stream::pending()));
    let request = http::Request::post("/jaeger.storage.v1.StreamingSpanWriterPlugin/WriteSpanStream");
    let request = request.header("content-type", "application/grpc").body(body).unwrap();
    let (_running, ending) = watch::channel(false);
    let mut call = Box::pin(door(folder.path(), &counts, ending).oneshot(request));
    assert!(std::future::poll_fn(|context| Poll::Ready(call.as_mut().poll(context))).await.is_pending());
    drop(call);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while counts.grpc.accepted_spans.value() < 500 {
        assert!(tokio::time::Instant::now() < deadline, "{} spans", counts.grpc.accepted_spans.value());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_stream_that_fails_says_how_much_of_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let short = Span { trace_id: Bytes::from_static(b"short"), ..span(1, 71) };
    let spans = (1..=70).map(|number| span(1, number)).chain([short]).chain((72..=90).map(|n| span(1, n)));
    let spans: Vec<_> = spans.map(write).collect();
    let refused = streams(&server).await.write_span_stream(tokio_stream::iter(spans)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let said = refused.message();
    assert!(
        said.contains("trace id of 5 bytes") && said.ends_with("; 70 spans of this stream are kept"),
        "{said}"
    );
    assert_eq!(names(&spans_once(&server, 1, 70).await).len(), 70);
}

#[tokio::test]
async fn a_silent_stream_does_not_hold_up_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut client = streams(&server).await;
    let (sender, spans) = tokio::sync::mpsc::channel(8);
    let stream = tokio_stream::wrappers::ReceiverStream::new(spans);
    let call = tokio::spawn(async move { client.write_span_stream(stream).await });
    sender.send(write(span(1, 1))).await.unwrap();
    spans_once(&server, 1, 1).await;
    let (code, took) = tokio::task::spawn_blocking(|| server.terminate()).await.unwrap();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
    let status = call.await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable, "{status:?}");
    assert!(status.message().ends_with("; 1 spans of this stream are kept"), "{status:?}");
}

#[tokio::test]
async fn what_is_on_its_way_stops_neither_who_closes_nor_who_writes() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let channel = connect(&server.storage).await;
    let mut slow = tonic::client::Grpc::new(channel.clone());
    slow.ready().await.unwrap();
    let (sender, spans) = tokio::sync::mpsc::channel(8);
    let stream = tokio_stream::wrappers::ReceiverStream::new(spans);
    let codec = tonic_prost::ProstCodec::<WriteSpanRequest, ()>::default();
    let call = tokio::spawn(async move {
        let path = http::uri::PathAndQuery::from_static(WRITE_SPAN);
        slow.client_streaming(Request::new(stream), path, codec).await
    });
    // More than wait on this side: it has begun when a later call on this connection is answered.
    for number in 1..=20 {
        sender.send(write(span(2, number))).await.unwrap();
    }
    let mut writer = SpanWriterPluginClient::new(channel);
    writer.write_span(write(span(1, 1))).await.unwrap();
    let soon = Duration::from_secs(10);
    tokio::time::timeout(soon, writer.close(CloseWriterRequest {})).await.unwrap().unwrap();
    tokio::time::timeout(soon, writer.write_span(write(span(1, 2)))).await.unwrap().unwrap();
    drop(sender);
    // It may have one message only.
    assert_eq!(call.await.unwrap().unwrap_err().code(), Code::InvalidArgument);
    spans_once(&server, 1, 2).await;
}

#[tokio::test]
async fn packed_messages_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let codings = [CompressionEncoding::Gzip, CompressionEncoding::Zstd, CompressionEncoding::Deflate];
    for (number, coding) in (1..).zip(codings) {
        let mut one = writer(&server.storage).await.send_compressed(coding);
        one.write_span(write(span(1, number))).await.unwrap();
        let mut stream = streams(&server).await.send_compressed(coding);
        let spans = vec![write(span(1, 10 + number)), write(span(1, 20 + number))];
        stream.write_span_stream(tokio_stream::iter(spans)).await.unwrap();
    }
    assert_eq!(names(&spans_once(&server, 1, 9).await).len(), 9);
}

#[tokio::test]
async fn only_what_cannot_be_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut writer = writer(&server.storage).await;
    let kept = [
        Span { process: None, ..span(1, 1) },
        Span { span_id: Bytes::from_static(&[0; 8]), operation_name: Bytes::new(), ..span(1, 2) },
        Span { trace_id: Bytes::from_static(&[0; 16]), ..span(2, 3) },
        // A span id again, at another time.
        Span { start_time: Some(Timestamp { seconds: 4_000_000_000, nanos: 1 }), ..span(1, 1) },
        Span { start_time: None, duration: None, ..span(1, 5) },
        Span { duration: Some(prost_types::Duration { seconds: -1, nanos: -1 }), ..span(1, 6) },
        Span { operation_name: Bytes::from_static(b"\xff\xfe"), ..span(1, 7) },
        Span { tags: vec![tag("same"), tag("same")], logs: vec![Log::default()], ..span(1, 8) },
        Span { trace_id: Bytes::from_static(&[1; 8]), ..span(1, 9) },
        Span { trace_id: Bytes::new(), span_id: Bytes::new(), ..span(1, 10) },
    ];
    for span in kept {
        let what = format!("{span:?}");
        writer.write_span(write(span)).await.unwrap_or_else(|status| panic!("{what}: {status:?}"));
    }
    let refused = [
        (Span { trace_id: Bytes::from_static(b"short"), ..span(3, 1) }, "trace id of 5 bytes"),
        (Span { span_id: Bytes::from_static(&[1; 16]), ..span(3, 1) }, "span id of 16 bytes"),
        (Span { start_time: Some(Timestamp { seconds: 1 << 60, nanos: 0 }), ..span(3, 1) }, "start time"),
        (
            Span { duration: Some(prost_types::Duration { seconds: 1 << 60, nanos: 0 }), ..span(3, 1) },
            "duration",
        ),
    ];
    for (span, what) in refused {
        let status = writer.write_span(write(span)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        assert!(status.message().contains(what), "{status:?}");
    }
    let status = writer.write_span(WriteSpanRequest { span: None }).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    writer.close(CloseWriterRequest {}).await.unwrap();
    writer.write_span(write(span(1, 30))).await.unwrap();
    assert_eq!(spans_once(&server, 1, 8).await.len(), 8);
}

fn tag(key: &str) -> KeyValue {
    KeyValue { key: Bytes::copy_from_slice(key.as_bytes()), v_str: "value".into(), ..KeyValue::default() }
}

#[tokio::test]
async fn what_is_over_a_limit_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        ["receive.max_request_bytes=1MiB", "receive.max_span_bytes=512KiB", "receive.in_flight_bytes=8MiB"];
    let server = Server::start_with(folder.path(), &settings);
    let long = |bytes: usize| {
        let value = KeyValue { v_str: vec![b'x'; bytes].into(), ..tag("long") };
        write(Span { tags: vec![value], ..span(1, 1) })
    };
    let mut writer = writer(&server.storage).await;
    let status = writer.write_span(long(2 << 20)).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("receive.max_request_bytes"), "{status:?}");
    let status = writer.write_span(long(600 << 10)).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    let mut stream = streams(&server).await;
    let status = stream.write_span_stream(tokio_stream::iter(vec![long(2 << 20)])).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    // Two bytes each on the wire, a hundred in memory.
    let values = write(Span { tags: vec![KeyValue::default(); 200_000], ..span(1, 1) });
    let status = writer.write_span(values).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    writer.write_span(long(400 << 10)).await.unwrap();
}

#[tokio::test]
async fn what_there_will_never_be_room_for_is_not_told_to_come_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = ["receive.max_request_bytes=1MiB", "receive.in_flight_bytes=3MiB"];
    for (limit, key) in
        [("receive.max_span_bytes=512KiB", "max_span_bytes"), ("log.level=info", "in_flight_bytes")]
    {
        let server = Server::start_with(folder.path(), &[&settings[..], &[limit]].concat());
        let value = KeyValue { v_str: vec![b'x'; 900 << 10].into(), ..tag("long") };
        let long = write(Span { tags: vec![value], ..span(1, 1) });
        let status = writer(&server.storage).await.write_span(long.clone()).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
        assert!(status.message().contains(&format!("receive.{key} allows")), "{status:?}");
        let stream = tokio_stream::iter(vec![long]);
        let status = streams(&server).await.write_span_stream(stream).await.unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    }
}

#[tokio::test]
async fn a_client_goes_on_when_the_server_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let address = server.storage.clone();
    let mut writer = writer(&address).await;
    writer.write_span(write(span(1, 1))).await.unwrap();
    server.kill();
    let server = Server::start_with(folder.path(), &[&format!("doors.storage={address}")]);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Err(status) = writer.write_span(write(span(1, 2))).await {
        assert!(tokio::time::Instant::now() < deadline, "{status:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(spans_once(&server, 1, 2).await.len(), 2);
}

#[tokio::test]
async fn an_export_with_a_span_that_cannot_be_kept_fails_as_a_whole() {
    use tracelodge::otlp::write as otlp;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let export = |ids: &[[u8; 16]]| {
        let mut request = Vec::new();
        otlp::message(&mut request, 1, |resource| {
            otlp::message(resource, 2, |scope| {
                for id in ids {
                    otlp::message(scope, 2, |span| {
                        otlp::bytes(span, 1, id);
                        otlp::bytes(span, 2, &[7; 8]);
                    });
                }
            });
        });
        request
    };
    for door in [&server.storage, &server.archive] {
        let url = format!("http://{door}{EXPORT}");
        let both = export(&[trace_id(1).0, [0; 16]]);
        let answer = Client::new().grpc(url.clone(), "identity", &both).await.unwrap();
        let (code, message) = answer.grpc_status();
        assert_eq!(code, Code::InvalidArgument as u32, "{message}");
        assert!(message.contains("resource_spans[0].scope_spans[0].spans[1]"), "{message}");
        let good = export(&[trace_id(2).0]);
        assert_eq!(Client::new().grpc(url, "identity", &good).await.unwrap().grpc_status().0, 0);
    }
    spans_once(&server, 2, 1).await;
    let url = server.query(&format!("/api/traces/{}", trace_id(1).1));
    assert_eq!(Client::new().get(url).await.status, 404);
    // At the public door the good span is kept, and the answer says so.
    let both = export(&[trace_id(1).0, [0; 16]]);
    let answer = Client::new().grpc(format!("{}{EXPORT}", server.otlp_grpc()), "identity", &both).await;
    assert_eq!(answer.unwrap().grpc_status().0, 0);
    spans_once(&server, 1, 1).await;
}

#[tokio::test]
async fn headers_of_jaegers_own_change_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut request = Request::new(write(span(1, 1)));
    let headers = [
        ("x-tenant", "acme"),
        ("bearer.token", "secret"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("uber-trace-id", "1:2:0:1"),
    ];
    for (name, value) in headers {
        request.metadata_mut().insert(name, value.parse().unwrap());
    }
    request.set_timeout(Duration::from_secs(10));
    writer(&server.storage).await.write_span(request).await.unwrap();
    spans_once(&server, 1, 1).await;
}

#[tokio::test]
async fn what_is_not_served_is_said_in_grpcs_words() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    for path in ["/jaeger.storage.v1.SpanWriterPlugin/Nothing", "/no.such.Service/Method"] {
        let answer = Client::new().grpc(format!("http://{}{path}", server.storage), "identity", &[]).await;
        assert_eq!(answer.unwrap().grpc_status().0, Code::Unimplemented as u32, "{path}");
    }
    let url = format!("http://{}{WRITE_SPAN}", server.storage);
    let mut cut = write(span(1, 1)).encode_to_vec();
    cut.truncate(cut.len() - 3);
    let (code, message) = Client::new().grpc(url, "identity", &cut).await.unwrap().grpc_status();
    assert_eq!(code, Code::InvalidArgument as u32, "{message}");
}

/// Passes bytes on; counts connections.
async fn proxy(to: String) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&connections);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let mut server = tokio::net::TcpStream::connect(&to).await.unwrap();
            tokio::spawn(async move {
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    (address, connections)
}

#[tokio::test]
async fn clients_may_ping_often() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (address, connections) = proxy(server.storage.clone()).await;
    let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
    let endpoint = endpoint.http2_keep_alive_interval(Duration::from_millis(20)).keep_alive_while_idle(true);
    let mut writer = SpanWriterPluginClient::new(endpoint.connect().await.unwrap());
    for number in 1..=5 {
        writer.write_span(write(span(1, number))).await.unwrap();
        // Ten pings without a call between them.
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!(connections.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn two_hundred_write_and_read_at_the_same_time() {
    let folder = tempfile::tempdir().unwrap();
    let server = std::sync::Arc::new(Server::start(folder.path()));
    let channel = connect(&server.storage).await;
    let clients = (1..=200).map(|trace| {
        let (server, mut writer) =
            (std::sync::Arc::clone(&server), SpanWriterPluginClient::new(channel.clone()));
        tokio::spawn(async move {
            for number in 1..=3 {
                writer.write_span(write(span(trace, number))).await.unwrap();
            }
            assert_eq!(spans_once(&server, trace, 3).await.len(), 3);
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn writers_wait_where_there_is_no_room_for_all() {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        ["receive.max_request_bytes=1MiB", "receive.max_span_bytes=512KiB", "receive.in_flight_bytes=3MiB"];
    let server = Server::start_with(folder.path(), &settings);
    let channel = connect(&server.storage).await;
    // Each takes at least 16 KiB before it is read, and several times its length while it is translated.
    let writers = (1..=300).map(|number| {
        let mut writer = SpanWriterPluginClient::new(channel.clone());
        let value = KeyValue { v_str: vec![b'x'; 20 << 10].into(), ..tag("long") };
        let span = Span { tags: vec![value], ..span(1, number) };
        tokio::spawn(async move { writer.write_span(write(span)).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    assert_eq!(spans_once(&server, 1, 300).await.len(), 300);
}
