//! Deleting everything while the server goes on.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::json;

use crate::harness::{Answer, Client, PATIENCE, Server};
use crate::writing::{connect, names, span, spans_once, trace_id, write, writer};

const ON: &str = "doors.purge=true";

async fn purge(server: &Server) -> Answer {
    Client::new().post(server.admin("/purge"), &[], Bytes::new()).await
}

async fn status_of(server: &Server, trace: u64) -> u16 {
    let url = server.query(&format!("/api/traces/{}", trace_id(trace).1));
    Client::new().get(url).await.status.as_u16()
}

#[tokio::test]
async fn nothing_is_left_and_what_comes_later_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), &[ON]);
    let (client, mut spans) = (Client::new(), writer(&server.storage).await);
    let mut archive = writer(&server.archive).await;
    for round in 0..3 {
        for number in 1..=10 {
            spans.write_span(write(span(1, number))).await.unwrap();
        }
        archive.write_span(write(span(2, 1))).await.unwrap();
        assert_eq!(spans_once(&server, 1, 10).await.len(), 10, "the same spans again, in round {round}");
        let pinned = client.post(server.query(&format!("/api/archive/{}", trace_id(1).1)), &[], Bytes::new());
        assert_eq!(pinned.await.status, 200);
        // Not all of it is in the store yet.
        spans.write_span(write(span(3, 1))).await.unwrap();
        let answer = purge(&server).await;
        assert_eq!((answer.status.as_u16(), answer.header("connection")), (200, "close"), "{answer:?}");
        for trace in [1, 3] {
            assert_eq!(status_of(&server, trace).await, 404);
        }
        assert_eq!(client.get_json(server.query("/api/services")).await["data"], json!([]));
        let status = client.get_json(server.admin("/status")).await;
        assert_eq!([&status["spans"], &status["tracesPinned"]], [&json!(0), &json!(0)], "{status}");
    }
    spans.write_span(write(span(4, 1))).await.unwrap();
    spans_once(&server, 4, 1).await;
    server.kill();
    let server = Server::start_with(folder.path(), &[ON]);
    spans_once(&server, 4, 1).await;
    assert_eq!(status_of(&server, 1).await, 404, "not after a restart either");
}

#[tokio::test]
async fn writers_need_not_stop_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Arc::new(Server::start_with(folder.path(), &[ON]));
    let stop = Arc::new(AtomicBool::new(false));
    let channel = connect(&server.storage).await;
    let begun: Vec<_> = (0..8).map(|_worker| Arc::new(AtomicU64::new(0))).collect();
    let writers = (0..).zip(&begun).map(|(worker, begun)| {
        let (channel, stop, begun) = (channel.clone(), Arc::clone(&stop), Arc::clone(begun));
        tokio::spawn(async move {
            let mut writer =
                tracelodge::proto::jaeger::storage::v1::span_writer_plugin_client::SpanWriterPluginClient::new(
                    channel,
                );
            for number in 1.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                begun.store(number, Ordering::Relaxed);
                writer.write_span(write(span(100 + worker, number))).await.unwrap();
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    for trace in 1..=5 {
        writer(&server.storage).await.write_span(write(span(trace, 1))).await.unwrap();
        let answer = purge(&server).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(status_of(&server, trace).await, 404);
    }
    let purged: Vec<_> = begun.iter().map(|begun| begun.load(Ordering::Relaxed)).collect();
    let go_on = async {
        while begun.iter().zip(&purged).any(|(begun, purged)| begun.load(Ordering::Relaxed) <= *purged) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, go_on).await.unwrap();
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    for ((trace, begun), purged) in (100..).zip(&begun).zip(purged) {
        let later = purged + 1..=begun.load(Ordering::Relaxed);
        let later: HashSet<_> = later.map(|number| format!("operation {number}")).collect();
        let url = server.query(&format!("/api/traces/{}", trace_id(trace).1));
        let spans = |answer: &Answer| answer.json()["data"][0]["spans"].as_array().cloned();
        let are_there =
            |answer: &Answer| spans(answer).is_some_and(|spans| names(&spans).is_superset(&later));
        Client::new().until(&url, are_there).await;
    }
    writer(&server.storage).await.write_span(write(span(6, 1))).await.unwrap();
    spans_once(&server, 6, 1).await;
}

#[tokio::test]
async fn nobody_can_unless_it_is_switched_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let answer = purge(&server).await;
    assert_eq!(answer.status, 404);
    assert!(String::from_utf8_lossy(&answer.body).contains("doors.purge"), "{answer:?}");
    let folder = tempfile::tempdir().unwrap();
    let on = Server::start_with(folder.path(), &[ON]);
    let looked = Client::new().send(Method::GET, on.admin("/purge"), &[], Bytes::new()).await.unwrap();
    assert_eq!(looked.status, 405);
}
