//! What came in Jaeger's words on its way to another OTLP server.

use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans};
use prost::Message as _;
use tracelodge::proto::jaeger::api_v2::Span;
use tracelodge::proto::opentelemetry::proto::trace::v1::TracesData;

use crate::harness::{Client, PATIENCE, Server};
use crate::there_and_back::{full, group_bytes, trace_once};
use crate::upstream_stub::{Reply, Stub};
use crate::writing::{metric, span, trace_id, write, writer};

/// An `ExportTraceServiceRequest` with a field that OTLP does not have: whoever decodes and encodes again loses it.
fn otlp_request(trace: u64) -> Bytes {
    let span = opentelemetry_proto::tonic::trace::v1::Span {
        trace_id: trace_id(trace).0.to_vec(),
        span_id: vec![7; 8],
        ..Default::default()
    };
    let scope_spans = vec![ScopeSpans { spans: vec![span], ..ScopeSpans::default() }];
    let resource_spans = vec![ResourceSpans { scope_spans, ..ResourceSpans::default() }];
    let mut request = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    request.extend([0xfa, 0x3e, 3, b'o', b'w', b'n']);
    request.into()
}

/// What readers of the storage's second version get of a trace.
async fn said(server: &Server, trace: u64) -> Vec<u8> {
    let id = Bytes::copy_from_slice(&trace_id(trace).0);
    trace_once(&server.storage, &id, 1).await;
    TracesData { resource_spans: group_bytes(server, &id).await }.encode_to_vec()
}

async fn until_nothing_is_owed(server: &Server) {
    let pending = "tracelodge_buffer_consumer_pending_items{signal=\"traces\",consumer=\"upstream\"}";
    let deadline = Instant::now() + PATIENCE;
    while metric(server, pending).await > 0 {
        assert!(Instant::now() < deadline, "something still waits for the upstream");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn counted(server: &Server, what: &str) -> u64 {
    metric(server, &format!("tracelodge_upstream_{what}_total{{signal=\"traces\"}}")).await
}

#[tokio::test]
async fn an_upstream_gets_what_readers_of_otlp_get_and_no_ids_of_zeros() {
    for protocol in ["http", "grpc"] {
        let (folder, stub) = (tempfile::tempdir().unwrap(), Stub::start());
        let server = Server::start_with(
            folder.path(),
            &[&stub.endpoint(), &format!("upstream.protocol={protocol}"), "log.level=error"],
        );
        let mut writer = writer(&server.storage).await;
        let zero = |span: Span| Span { span_id: vec![0; 8].into(), ..span };
        for span in [
            zero(full(4)),
            full(1),
            zero(span(5, 1)),
            full(2),
            Span { trace_id: vec![0; 16].into(), ..full(3) },
        ] {
            writer.write_span(write(span)).await.unwrap();
        }
        let headers = [("content-type", "application/x-protobuf")];
        let otlp = otlp_request(6);
        let answer = Client::new().post(server.otlp_http("/v1/traces"), &headers, otlp.clone()).await;
        assert!(answer.status.is_success(), "{answer:?}");
        until_nothing_is_owed(&server).await;
        let expected = [said(&server, 1).await, said(&server, 2).await, otlp.to_vec()].concat();
        let got = stub.got();
        assert!(got.iter().all(|got| !got.request.is_empty()));
        assert!(got.iter().map(|got| &got.request[..]).collect::<Vec<_>>().concat() == expected, "{got:?}");
        assert_eq!(
            (counted(&server, "forwarded_items").await, counted(&server, "left_out_items").await),
            (3, 3)
        );
        // They are kept here all the same.
        trace_once(&server.storage, &zero(full(4)).trace_id, 1).await;
    }
}

#[tokio::test]
async fn a_tag_that_a_field_says_is_not_sent_twice() {
    let (folder, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    let server = Server::start_with(folder.path(), &[&stub.endpoint()]);
    let mut sent = full(1);
    let is_text = |bytes: &Bytes| std::str::from_utf8(bytes).is_ok();
    sent.tags.retain(|tag| is_text(&tag.v_str));
    sent.warnings.retain(is_text);
    writer(&server.storage).await.write_span(write(sent)).await.unwrap();
    stub.until("it arrives", |stub| !stub.got().is_empty()).await;
    let got = stub.got().remove(0);
    assert_eq!(got.reply, Reply::Take);
    let request = ExportTraceServiceRequest::decode(got.request.clone()).unwrap();
    assert_eq!(request.encoded_len(), got.request.len(), "all fields are OTLP's");
    let span = &request.resource_spans[0].scope_spans[0].spans[0];
    let keys: Vec<_> = span.attributes.iter().map(|pair| &*pair.key).collect();
    let own = ["http.status_code", "zero", "part", "raw", "twice", "twice", "@jaeger@warnings"];
    assert_eq!(keys, own);
    assert_eq!((span.kind, span.status.as_ref().unwrap().code, span.flags), (2, 2, 1));
    assert_eq!((&span.parent_span_id[..], span.links.len()), (&5u64.to_be_bytes()[..], 2));
    let named = |pair: &opentelemetry_proto::tonic::common::v1::KeyValue| matches!(&pair.value.as_ref().unwrap().value, Some(Value::StringValue(text)) if text == "retry");
    assert!(span.events[0].name == "retry" && !span.events[0].attributes.iter().any(named));
}
