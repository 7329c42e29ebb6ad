//! Writing spans to the storage: one by one, many at once, in streams, and what is refused.

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use prost_types::Timestamp;
use serde_json::Value;
use tokio_stream::StreamExt as _;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tracelodge::proto::jaeger::api_v2::{KeyValue, Log, Process, Span};
use tracelodge::proto::jaeger::storage::v1::span_writer_plugin_client::SpanWriterPluginClient;
use tracelodge::proto::jaeger::storage::v1::streaming_span_writer_plugin_client::StreamingSpanWriterPluginClient;
use tracelodge::proto::jaeger::storage::v1::{CloseWriterRequest, WriteSpanRequest};

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

fn names(spans: &[Value]) -> HashSet<String> {
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
