//! Spans written in Jaeger's words and read in those of either version.

use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;
use prost_types::Timestamp;
use tonic::{Code, Status, Streaming};
use tracelodge::proto::jaeger::api_v2::{KeyValue, Log, Process, Span, SpanRef};
use tracelodge::proto::jaeger::storage::v1::archive_span_reader_plugin_client::ArchiveSpanReaderPluginClient;
use tracelodge::proto::jaeger::storage::v1::archive_span_writer_plugin_client::ArchiveSpanWriterPluginClient;
use tracelodge::proto::jaeger::storage::v1::span_reader_plugin_client::SpanReaderPluginClient;
use tracelodge::proto::jaeger::storage::v1::{
    FindTracesRequest, GetTraceRequest, SpansResponseChunk, TraceQueryParameters,
};
use tracelodge::proto::jaeger::storage::v2::trace_reader_client::TraceReaderClient;
use tracelodge::proto::jaeger::storage::v2::{self, GetTraceParams, GetTracesRequest};

use crate::harness::{PATIENCE, Server};
use crate::writing::{connect, span, trace_id, write, writer};

fn text(key: &str, value: &'static [u8]) -> KeyValue {
    KeyValue { key: Bytes::from(key.to_owned()), v_str: Bytes::from_static(value), ..KeyValue::default() }
}

fn number(key: &str, value: i64) -> KeyValue {
    KeyValue { key: Bytes::from(key.to_owned()), v_type: 2, v_int64: value, ..KeyValue::default() }
}

/// With all that a span can say, and what hardly any does.
pub(crate) fn full(trace: u64) -> Span {
    let reference = |of: u64, id: u64, ref_type| SpanRef {
        trace_id: Bytes::copy_from_slice(&trace_id(of).0),
        span_id: Bytes::copy_from_slice(&id.to_be_bytes()),
        ref_type,
    };
    let log = |nanos, fields| Log { timestamp: Some(Timestamp { seconds: 1_790_000_000, nanos }), fields };
    Span {
        references: vec![reference(9, 9, 1), reference(trace, 7, 1), reference(trace, 5, 0)],
        flags: 0b1011,
        tags: vec![
            text("span.kind", b"server"),
            KeyValue { key: "error".into(), v_type: 1, v_bool: true, ..KeyValue::default() },
            number("http.status_code", 500),
            number("zero", 0),
            KeyValue { key: "part".into(), v_type: 3, v_float64: 72.5f64.to_bits(), ..KeyValue::default() },
            KeyValue {
                key: "raw".into(),
                v_type: 4,
                v_binary: Bytes::from_static(b"\x00\xff"),
                ..KeyValue::default()
            },
            text("not text", b"caf\xe9"),
            text("twice", b"one"),
            text("twice", b""),
        ],
        logs: vec![
            log(5, vec![text("event", b"retry"), number("attempt", 2)]),
            log(5, vec![text("message", b"same time"), text("event", b"second")]),
            log(1, vec![]),
        ],
        process: Some(Process {
            service_name: "shop".into(),
            tags: vec![text("hostname", b"h1"), number("pid", 7), text("hostname", b"h2")],
        }),
        warnings: vec!["clock skew".into(), Bytes::from_static(b"\xe9")],
        ..span(trace, 6)
    }
}

async fn all(mut stream: Streaming<SpansResponseChunk>) -> Result<Vec<Span>, Status> {
    let mut spans = Vec::new();
    while let Some(chunk) = stream.message().await? {
        spans.extend(chunk.spans);
    }
    Ok(spans)
}

fn asked(id: &Bytes) -> GetTraceRequest {
    GetTraceRequest { trace_id: id.clone(), ..GetTraceRequest::default() }
}

async fn trace(address: &str, id: &Bytes) -> Result<Vec<Span>, Status> {
    let mut reader = SpanReaderPluginClient::new(connect(address).await);
    all(reader.get_trace(asked(id)).await?.into_inner()).await
}

/// The same once it has so many spans.
pub(crate) async fn trace_once(address: &str, id: &Bytes, count: usize) -> Vec<Span> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match trace(address, id).await {
            Ok(spans) if spans.len() >= count => return spans,
            other => assert!(Instant::now() < deadline, "{other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The groups of a trace in OTLP's words, as they stand in the answer.
pub(crate) async fn group_bytes(server: &Server, id: &Bytes) -> Vec<Bytes> {
    let mut reader = TraceReaderClient::new(connect(&server.storage).await);
    let query = vec![GetTraceParams { trace_id: id.clone(), ..GetTraceParams::default() }];
    let mut stream = reader.get_traces(GetTracesRequest { query }).await.unwrap().into_inner();
    let mut groups = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        groups.extend(message.resource_spans);
    }
    groups
}

async fn groups(server: &Server, id: &Bytes) -> Vec<ResourceSpans> {
    let groups = group_bytes(server, id).await;
    groups.iter().map(|group| ResourceSpans::decode(&group[..]).unwrap()).collect()
}

#[tokio::test]
async fn a_span_comes_back_as_it_was_in_its_own_words_and_can_be_said_in_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut writer = writer(&server.storage).await;
    let early = Span { start_time: Some(Timestamp { seconds: -5, nanos: 7 }), ..span(1, 7) };
    let backward = Span { duration: Some(prost_types::Duration { seconds: -3, nanos: -5 }), ..span(1, 8) };
    let sent = [full(1), early, backward];
    for span in &sent {
        writer.write_span(write(span.clone())).await.unwrap();
    }
    let id = &sent[0].trace_id;
    let mut spans = trace_once(&server.storage, id, sent.len()).await;
    spans.sort_by(|one, other| one.span_id.cmp(&other.span_id));
    assert_eq!(spans, sent);
    // The messages of the tests insist on UTF-8, which Jaeger's do not.
    let is_text = |bytes: &Bytes| std::str::from_utf8(bytes).is_ok();
    let mut clean = full(2);
    clean.tags.retain(|tag| is_text(&tag.v_str));
    clean.warnings.retain(is_text);
    writer.write_span(write(clean.clone())).await.unwrap();
    trace_once(&server.storage, &clean.trace_id, 1).await;
    let groups = groups(&server, &clean.trace_id).await;
    let [said] = &groups[0].scope_spans[0].spans[..] else { panic!("{groups:?}") };
    assert_eq!((&*said.name, said.kind, said.status.as_ref().unwrap().code), ("operation 6", 2, 2));
    assert_eq!(said.parent_span_id, 5u64.to_be_bytes());
    assert_eq!((said.events.len(), &*said.events[0].name), (3, "retry"));
}

#[tokio::test]
async fn ids_of_zero_are_given_to_who_asks_for_them_and_not_found_by_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut writer = writer(&server.storage).await;
    let zero = Span { trace_id: vec![0; 16].into(), span_id: vec![0; 8].into(), ..span(1, 1) };
    for span in [zero.clone(), span(2, 1)] {
        writer.write_span(write(span)).await.unwrap();
    }
    assert_eq!(trace_once(&server.storage, &zero.trace_id, 1).await, std::slice::from_ref(&zero));
    trace_once(&server.storage, &span(2, 1).trace_id, 1).await;
    assert_eq!(groups(&server, &zero.trace_id).await.len(), 1);
    let mut reader = SpanReaderPluginClient::new(connect(&server.storage).await);
    let query = TraceQueryParameters { num_traces: 1, ..TraceQueryParameters::default() };
    let found = reader.find_traces(FindTracesRequest { query: Some(query) }).await.unwrap();
    assert_eq!(all(found.into_inner()).await.unwrap(), [span(2, 1)]);
    let mut reader = TraceReaderClient::new(connect(&server.storage).await);
    let request = v2::FindTraceIDsRequest { query: Some(v2::TraceQueryParameters::default()) };
    let ids = reader.find_trace_i_ds(request).await.unwrap().into_inner().trace_ids;
    let ids: Vec<_> = ids.into_iter().map(|found| found.trace_id).collect();
    assert_eq!(ids, [span(2, 1).trace_id]);
}

#[tokio::test]
async fn what_is_archived_is_read_from_the_archive_alone() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut old = ArchiveSpanWriterPluginClient::new(connect(&server.storage).await);
    old.write_archive_span(write(full(1))).await.unwrap();
    let id = &full(1).trace_id;
    assert_eq!(trace_once(&server.archive, id, 1).await, [full(1)]);
    let mut archive = ArchiveSpanReaderPluginClient::new(connect(&server.storage).await);
    let stream = archive.get_archive_trace(asked(id)).await.unwrap().into_inner();
    assert_eq!(all(stream).await.unwrap(), [full(1)]);
    let status = trace(&server.storage, id).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "trace not found"));
}
