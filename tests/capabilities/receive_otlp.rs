//! OTLP as real SDKs send it, read back value by value.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;

use bytes::Bytes;
use http::Method;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::{AnyValue, any_value};
use prost::Message as _;

use crate::harness::{Client, Server, packed};
use crate::wire::{self, Facts};

const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A captured request: its file, and how it was sent.
struct Captured {
    file: String,
    body: Bytes,
    json: bool,
    encoding: &'static str,
    grpc: bool,
}

/// All requests of `tests/golden/wire`, as they stood on the wire. Bulk files are kept packed.
fn captured() -> Vec<Captured> {
    let mut all = Vec::new();
    for entry in fs::read_dir("tests/golden/wire").unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !file.contains("otlp") || file.ends_with(".txt") || file.ends_with(".md") {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let packed = file.contains("bulk") && file.ends_with(".gz");
        let body = if packed { inflate("gzip", &bytes) } else { bytes };
        let encoding = match () {
            () if packed => "identity",
            () if file.ends_with(".gz") => "gzip",
            () if file.ends_with(".zlib") => "deflate",
            () => "identity",
        };
        let (json, grpc) = (file.contains(".json"), file.contains("grpcmsg"));
        all.push(Captured { file, body: body.into(), json, encoding, grpc });
    }
    assert!(all.len() >= 12, "only {} captured requests", all.len());
    all
}

fn inflate(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut inflated = Vec::new();
    match encoding {
        "gzip" => drop(flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut inflated).unwrap()),
        "deflate" => drop(flate2::read::ZlibDecoder::new(bytes).read_to_end(&mut inflated).unwrap()),
        _ => inflated.extend(bytes),
    }
    inflated
}

/// What a captured request says, read by another decoder.
fn decoded(captured: &Captured) -> ExportTraceServiceRequest {
    let plain = inflate(captured.encoding, &captured.body);
    if !captured.json {
        return ExportTraceServiceRequest::decode(&plain[..]).unwrap();
    }
    // That decoder takes no whole number above 2^63, which the SDK writes for 1e300; it is put back below.
    let text = String::from_utf8(plain).unwrap().replace("\"intValue\":1e+300", "\"doubleValue\":1e+300");
    serde_json::from_str(&text).unwrap()
}

async fn send(client: &Client, server: &Server, captured: &Captured) {
    if captured.grpc {
        let url = format!("{}{TRACES}", server.otlp_grpc());
        // The capture holds the message after the library inflated it.
        let answer = client.grpc(url, "identity", &captured.body).await.unwrap();
        assert_eq!(answer.grpc_status(), (0, String::new()), "{}", captured.file);
        return;
    }
    let media_type = if captured.json { "application/json" } else { "application/x-protobuf" };
    let mut headers = vec![("content-type", media_type)];
    if captured.encoding != "identity" {
        headers.push(("content-encoding", captured.encoding));
    }
    let answer = client.post(server.otlp_http("/v1/traces"), &headers, captured.body.clone()).await;
    let expected: &[u8] = if captured.json { b"{}" } else { b"" };
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, expected), "{}", captured.file);
    assert_eq!(answer.header("content-type"), media_type);
}

#[tokio::test]
async fn every_captured_sdk_request_is_read_back_value_by_value() {
    let client = Client::new();
    for captured in captured() {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path());
        send(&client, &server, &captured).await;
        let expected = wire::expected(&decoded(&captured));
        assert!(!expected.is_empty(), "{}", captured.file);
        let ids: Vec<String> = expected.keys().cloned().collect();
        for some in ids.chunks(100) {
            let told = traces(&client, &server, some).await;
            for id in some {
                assert_eq!(told[id], expected[id], "{} trace {id}", captured.file);
            }
        }
    }
}

/// Several traces, asked for until all their spans are there.
async fn traces(client: &Client, server: &Server, ids: &[String]) -> BTreeMap<String, Facts> {
    let ids: Vec<String> = ids.iter().map(|id| format!("traceID={id}")).collect();
    let url = server.query(&format!("/api/traces?raw=true&{}", ids.join("&")));
    // A request is applied whole, so a trace that is there is there with all that was sent at once.
    let all = |answer: &crate::harness::Answer| answer.json()["errors"].is_null();
    wire::told(&client.until(&url, all).await.json())
}

async fn one_trace(client: &Client, server: &Server, trace_id: &str, spans: usize) -> Facts {
    let url = server.query(&format!("/api/traces/{trace_id}?raw=true"));
    let whole = |answer: &crate::harness::Answer| {
        answer.status == 200 && answer.json()["data"][0]["spans"].as_array().unwrap().len() == spans
    };
    let told = wire::told(&client.until(&url, whole).await.json());
    told.into_values().next().unwrap()
}

#[tokio::test]
async fn both_ports_take_every_transport_encoding_and_compression() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    let mut number = 0;
    for port in &server.otlp {
        for coding in ["identity", "gzip", "deflate", "zstd", "GZIP"] {
            // Each way has a trace of its own, read back below.
            let mut message = || {
                number += 1;
                wire::trace("all", number, 2)
            };
            let sent = packed(&coding.to_lowercase(), &message());
            let answer = client.grpc(format!("http://{port}{TRACES}"), coding, &sent).await.unwrap();
            assert_eq!(answer.grpc_status(), (0, String::new()), "gRPC {coding} on {port}");
            for media_type in ["application/x-protobuf", "application/json; charset=utf-8"] {
                let mut body = || {
                    let message = message();
                    let request = ExportTraceServiceRequest::decode(&message[..]).unwrap();
                    let json = media_type.contains("json");
                    let body = if json { serde_json::to_vec(&request).unwrap() } else { message.to_vec() };
                    packed(&coding.to_lowercase(), &body)
                };
                let headers = [("content-type", media_type), ("content-encoding", coding)];
                let url = format!("http://{port}/v1/traces");
                let over_http1 = client.post(url.clone(), &headers, body()).await;
                let over_http2 = client.post_http2(url, &headers, body()).await;
                for answer in [over_http1, over_http2] {
                    assert_eq!(answer.status, 200, "{media_type} {coding} on {port}: {:?}", answer.body);
                }
            }
        }
    }
    let ids: Vec<String> = (1..=number).map(wire::trace_id).collect();
    let told = traces(&client, &server, &ids).await;
    assert_eq!(told.len(), 2 * 5 * 5);
    assert!(told.values().all(|spans| spans.len() == 2), "{told:?}");
}

#[tokio::test]
async fn spans_that_cannot_be_used_are_left_out_and_said() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    let mut spans: Vec<_> = (0..3).map(|number| wire::span(1, number)).collect();
    spans[1].trace_id.pop();
    let message = wire::request("partly", spans).encode_to_vec();

    let headers = [("content-type", "application/x-protobuf")];
    let answer = client.post(server.otlp_http("/v1/traces"), &headers, message.clone().into()).await;
    assert_eq!(answer.status, 200);
    let partial = ExportTraceServiceResponse::decode(answer.body).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);
    assert!(partial.error_message.contains("trace id"), "{}", partial.error_message);

    let url = format!("{}{TRACES}", server.otlp_grpc());
    let answer = client.grpc(url, "identity", &message).await.unwrap();
    assert_eq!(answer.grpc_status().0, 0);
    let partial = ExportTraceServiceResponse::decode(&answer.body[5..]).unwrap().partial_success.unwrap();
    assert_eq!(partial.rejected_spans, 1);

    let spans = one_trace(&client, &server, &wire::trace_id(1), 2).await;
    assert_eq!(spans.len(), 2);
}

#[tokio::test]
async fn text_that_is_not_utf_8_is_kept_and_shown_repaired() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    let mut span = wire::span(1, 0);
    span.name = "caf#".to_owned();
    let mut message = wire::request("latin", vec![span]).encode_to_vec();
    let at = message.windows(4).position(|window| window == b"caf#").unwrap();
    message[at + 3] = 0xe9;
    let headers = [("content-type", "application/x-protobuf")];
    let answer = client.post(server.otlp_http("/v1/traces"), &headers, message.into()).await;
    assert_eq!(answer.status, 200);
    let warning = ExportTraceServiceResponse::decode(answer.body).unwrap().partial_success.unwrap();
    assert_eq!(warning.rejected_spans, 0);
    assert!(warning.error_message.contains("UTF-8"), "{}", warning.error_message);
    let spans = one_trace(&client, &server, &wire::trace_id(1), 1).await;
    assert_eq!(spans.into_values().next().unwrap()["operationName"], "caf\u{fffd}");
}

#[tokio::test]
async fn a_whole_number_beyond_64_bits_is_a_double() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    let mut span = wire::span(3, 0);
    let value = AnyValue { value: Some(any_value::Value::DoubleValue(1e300)) };
    span.attributes = vec![wire::attribute("kept", "yes"), wire::attribute("huge", "")];
    span.attributes[1].value = Some(value);
    let json = serde_json::to_string(&wire::request("node", vec![span])).unwrap();
    let sent = json.replace("\"doubleValue\":1e+300", "\"intValue\":1e+300");
    assert_ne!(sent, json);
    let headers = [("content-type", "application/json")];
    let answer = client.post(server.otlp_http("/v1/traces"), &headers, sent.into()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let spans = one_trace(&client, &server, &wire::trace_id(3), 1).await;
    let tags = spans.into_values().next().unwrap()["tags"].clone();
    let huge = tags.as_array().unwrap().iter().find(|tag| tag["key"] == "huge").unwrap().clone();
    assert_eq!(huge["value"], 1e300);
    assert_eq!(huge["type"], "float64");
}

#[tokio::test]
async fn logs_and_metrics_are_accepted_and_counted() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    let log = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"a"}},{}]}]}]}"#;
    let metric = r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","sum":{"dataPoints":[{"asInt":"1"},{},{}]}}]}]}]}"#;
    for (path, json) in [("/v1/logs", log), ("/v1/metrics", metric)] {
        let headers = [("content-type", "application/json")];
        let answer = client.post(server.otlp_http(path), &headers, json.into()).await;
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"{}"[..]), "{path}");
    }
    for service in ["logs.v1.LogsService", "metrics.v1.MetricsService"] {
        let url = format!("{}/opentelemetry.proto.collector.{service}/Export", server.otlp_grpc());
        let answer = client.grpc(url, "identity", b"").await.unwrap();
        assert_eq!(answer.grpc_status(), (0, String::new()), "{service}");
    }
    let metrics = client.get(server.admin("/metrics")).await;
    let text = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(text.contains("tracelodge_discarded_items_total{signal=\"logs\"} 2"), "{text}");
    assert!(text.contains("tracelodge_discarded_items_total{signal=\"metrics\"} 3"), "{text}");
}

#[tokio::test]
async fn a_page_of_another_origin_may_send_but_not_read() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    let preflight = [
        ("origin", "https://shop.example"),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-team"),
    ];
    let url = server.otlp_http("/v1/traces");
    let answer = client.send(Method::OPTIONS, url.clone(), &preflight, Bytes::new()).await.unwrap();
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example");
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
    assert_eq!(answer.header("access-control-allow-headers"), "content-type,x-team");
    assert!(answer.header("vary").to_lowercase().contains("origin"));
    let headers = [("origin", "https://shop.example"), ("content-type", "application/json")];
    let answer = client.post(url, &headers, Bytes::from_static(b"{}")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), "https://shop.example");

    let url = server.query("/api/services");
    let answer = client.send(Method::GET, url, &headers[..1], Bytes::new()).await.unwrap();
    assert_eq!(answer.header("access-control-allow-origin"), "");
}

#[tokio::test]
async fn a_retry_is_stored_once() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    let headers = [("content-type", "application/x-protobuf")];
    for _ in 0..3 {
        let answer = client.post(server.otlp_http("/v1/traces"), &headers, wire::trace("again", 5, 4)).await;
        assert_eq!(answer.status, 200);
    }
    let duplicates = |answer: &crate::harness::Answer| {
        String::from_utf8_lossy(&answer.body).contains("\ntracelodge_store_duplicate_spans_total 8\n")
    };
    client.until(&server.admin("/metrics"), duplicates).await;
    assert_eq!(one_trace(&client, &server, &wire::trace_id(5), 4).await.len(), 4);
    let services: BTreeMap<String, serde_json::Value> =
        serde_json::from_slice(&client.get(server.query("/api/services")).await.body).unwrap();
    assert_eq!(services["data"], serde_json::json!(["again"]));
}
