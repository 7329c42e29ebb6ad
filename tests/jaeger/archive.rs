//! The archive: written at its own door and by the methods of old, read at both, and apart from everything else.

use std::ffi::OsStr;
use std::path::Path;

use bytes::Bytes;
use prost_types::Timestamp;
use tonic::{Code, Status};
use tracelodge::proto::jaeger::api_v2::{KeyValue, Span};
use tracelodge::proto::jaeger::storage::v1::GetTraceRequest;
use tracelodge::proto::jaeger::storage::v1::archive_span_reader_plugin_client::ArchiveSpanReaderPluginClient;
use tracelodge::proto::jaeger::storage::v1::archive_span_writer_plugin_client::ArchiveSpanWriterPluginClient;
use tracelodge::proto::jaeger::storage::v1::span_reader_plugin_client::SpanReaderPluginClient;

use crate::harness::{Client, Server, run};
use crate::writing::{connect, metric, span, spans_once, trace_id, write, writer};

fn question(trace: u64) -> GetTraceRequest {
    GetTraceRequest { trace_id: Bytes::copy_from_slice(&trace_id(trace).0), ..GetTraceRequest::default() }
}

/// How many spans of a trace the archive's door gives.
async fn at_its_door(server: &Server, trace: u64) -> Result<usize, Status> {
    let mut answer = SpanReaderPluginClient::new(connect(&server.archive).await)
        .get_trace(question(trace))
        .await?
        .into_inner();
    let mut spans = 0;
    while let Some(chunk) = answer.message().await? {
        spans += chunk.spans.len();
    }
    Ok(spans)
}

/// The same by the method of Jaeger 1.20 to 1.65.
async fn by_the_old_method(server: &Server, trace: u64) -> Result<usize, Status> {
    let mut client = ArchiveSpanReaderPluginClient::new(connect(&server.storage).await);
    let mut answer = client.get_archive_trace(question(trace)).await?.into_inner();
    let mut spans = 0;
    while let Some(chunk) = answer.message().await? {
        spans += chunk.spans.len();
    }
    Ok(spans)
}

#[tokio::test]
async fn what_is_archived_is_found_in_the_archive_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut old = ArchiveSpanWriterPluginClient::new(connect(&server.storage).await);
    old.write_archive_span(write(span(1, 1))).await.unwrap();
    writer(&server.archive).await.write_span(write(span(2, 1))).await.unwrap();
    writer(&server.storage).await.write_span(write(span(3, 1))).await.unwrap();
    spans_once(&server, 3, 1).await;
    for trace in [1, 2] {
        assert_eq!(at_its_door(&server, trace).await.unwrap(), 1);
        assert_eq!(by_the_old_method(&server, trace).await.unwrap(), 1);
        let url = server.query(&format!("/api/traces/{}", trace_id(trace).1));
        assert_eq!(Client::new().get(url).await.status, 404);
    }
    for unknown in [at_its_door(&server, 3).await, by_the_old_method(&server, 3).await] {
        let status = unknown.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "trace not found"));
    }
    let found = Client::new().get_json(server.query("/api/traces?service=shop&start=0")).await;
    assert_eq!(found["data"].as_array().unwrap().len(), 1, "{found}");
}

#[tokio::test]
async fn what_is_archived_stays_when_its_age_is_over_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), &["store.max_age=1s"]);
    let old = Span { start_time: Some(Timestamp { seconds: 1_000_000_000, nanos: 0 }), ..span(1, 1) };
    writer(&server.archive).await.write_span(write(old)).await.unwrap();
    writer(&server.storage).await.write_span(write(span(2, 1))).await.unwrap();
    let url = server.query(&format!("/api/traces/{}", trace_id(2).1));
    spans_once(&server, 2, 1).await;
    Client::new().until(&url, |answer| answer.status == 404).await;
    server.kill();
    let server = Server::start_with(folder.path(), &["store.max_age=1s"]);
    assert_eq!(at_its_door(&server, 1).await.unwrap(), 1);
}

#[tokio::test]
async fn a_full_archive_refuses_and_drops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), &["store.max_bytes=64MiB"]);
    let mut writer = writer(&server.archive).await;
    // Numbers that cannot be packed: a quarter of the limit is full after sixteen spans or so.
    let mut state = 1_u64;
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    };
    let mut written = 0;
    let status = loop {
        let value: Vec<u8> = (0..1 << 20).map(|_| noise()).collect();
        let tag = KeyValue { key: "noise".into(), v_type: 4, v_binary: value.into(), ..KeyValue::default() };
        match writer.write_span(write(Span { tags: vec![tag], ..span(1, written + 1) })).await {
            Ok(_) => written += 1,
            Err(status) => break status,
        }
        assert!(written < 64, "it takes more than it may");
    };
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
    assert!(status.message().contains("a quarter of store.max_bytes"), "{status:?}");
    assert!(written >= 10, "{written}");
    assert_eq!(at_its_door(&server, 1).await.unwrap() as u64, written);
    assert_eq!(metric(&server, "tracelodge_archive_spans").await, written);
    // The others are not held up.
    crate::writing::writer(&server.storage).await.write_span(write(span(2, 1))).await.unwrap();
}

#[tokio::test]
async fn a_backup_holds_the_archive() {
    let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (running, stopped) = (elsewhere.path().join("running.tar"), elsewhere.path().join("stopped.tar"));
    let server = Server::start(folder.path());
    writer(&server.archive).await.write_span(write(span(1, 1))).await.unwrap();
    writer(&server.storage).await.write_span(write(span(2, 1))).await.unwrap();
    spans_once(&server, 2, 1).await;
    let told = |arguments: &[&OsStr]| {
        let (code, said, troubles) = run(arguments);
        assert_eq!(code, Some(0), "{said}{troubles}");
        said
    };
    let said = told(&["backup".as_ref(), running.as_ref(), "--data-dir".as_ref(), folder.path().as_ref()]);
    assert!(said.contains(": 1 spans in 1 blocks and 1 that are archived, "), "{said}");
    let (code, _) = tokio::task::spawn_blocking(|| server.terminate()).await.unwrap();
    assert_eq!(code, Some(0));
    told(&["backup".as_ref(), stopped.as_ref(), "--data-dir".as_ref(), folder.path().as_ref()]);
    let said = told(&["verify".as_ref(), folder.path().as_ref()]);
    assert!(said.contains("\narchive/blocks/0000000001-") && said.contains("sound: 2 spans"), "{said}");
    for (name, backup) in [("first", &running), ("second", &stopped)] {
        told(&["verify".as_ref(), backup.as_ref()]);
        let restored = elsewhere.path().join(name);
        told(&["restore".as_ref(), backup.as_ref(), "--data-dir".as_ref(), restored.as_ref()]);
        let server = Server::start(Path::new(&restored));
        assert_eq!(at_its_door(&server, 1).await.unwrap(), 1);
        spans_once(&server, 2, 1).await;
    }
}
