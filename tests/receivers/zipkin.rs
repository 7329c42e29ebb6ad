//! Zipkin's port: every form of a list in, the same out, and what is not taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use serde_json::{Value as Json, json};
use tower::ServiceExt as _;
use tracelodge::buffer::{Buffer, Environment, FileStorageConfig, HostClock, HostDisk, Signal};
use tracelodge::ingest::{Buffers, Ingest, Settings};
use tracelodge::receive::Counts;
use tracelodge::receive::zipkin::router;

use crate::harness::{Answer, Client, PATIENCE, Server, packed};
use crate::zipkin_lists::{BASE, List, every_form};

/// Headers of a request.
type Headers<'a> = &'a [(&'a str, &'a str)];

/// What is posted to a path.
type Posted<'a> = (&'a str, Headers<'a>, &'a [u8]);

fn at(server: &Server, path: &str) -> String {
    format!("http://{}{path}", server.door("Zipkin"))
}

async fn send(client: &Client, server: &Server, list: &List, coding: &str) -> Answer {
    let mut headers = vec![("content-encoding", coding), ("x-b3-flags", "1")];
    headers.extend(list.media_type.map(|media_type| ("content-type", media_type)));
    client.post(at(server, list.path), &headers, packed(coding, &list.body)).await
}

async fn post(server: &Server, path: &str, headers: Headers<'_>, body: &[u8]) -> Answer {
    Client::new().post(at(server, path), headers, Bytes::copy_from_slice(body)).await
}

#[tokio::test]
async fn every_form_comes_back_as_it_was_sent_though_the_program_was_killed() {
    let client = Client::new();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let (mut sent, mut traces) = (Vec::new(), 0x100..);
    for coding in ["identity", "gzip", "deflate", "zstd"] {
        for list in every_form(|| traces.next().unwrap()) {
            let answer = send(&client, &server, &list, coding).await;
            assert_eq!((answer.status.as_u16(), &answer.body[..]), (202, &b""[..]), "{list:?}");
            sent.push(list);
        }
    }
    assert_eq!(sent.len(), 28);
    server.kill();
    let server = Server::start(data.path());
    for List { told, path, media_type, .. } in &sent {
        let id = told[0]["traceId"].as_str().unwrap();
        let of_zipkin = at(&server, &format!("/api/v2/trace/{id}"));
        let answer = client.until(&of_zipkin, |answer| answer.status == 200).await;
        assert_eq!(&answer.json(), told, "{path} {media_type:?}");
        let padded = at(&server, &format!("/zipkin/api/v2/trace/{id:0>32}"));
        assert_eq!(&client.get_json(padded).await, told);
        let of_jaeger = client.get_json(server.query(&format!("/api/traces/{id}"))).await;
        assert_eq!(facts_of_jaeger(&of_jaeger["data"][0]), facts_of_zipkin(told), "{path} {media_type:?}");
    }
}

/// Service, name, start and duration of a trace's spans, and one of its tags, in the order of their starts.
type Facts = Vec<(String, String, u64, u64, Option<String>)>;

fn facts_of_zipkin(spans: &Json) -> Facts {
    let fact = |span: &Json| {
        let service = span["localEndpoint"]["serviceName"].as_str().unwrap().to_owned();
        let name = span["name"].as_str().unwrap_or_default().to_owned();
        let tag = span["tags"]["http.path"].as_str().map(str::to_owned);
        let duration = span["duration"].as_u64().unwrap_or_default();
        (service, name, span["timestamp"].as_u64().unwrap(), duration, tag)
    };
    spans.as_array().unwrap().iter().map(fact).collect()
}

fn facts_of_jaeger(trace: &Json) -> Facts {
    let fact = |span: &Json| {
        let process = &trace["processes"][span["processID"].as_str().unwrap()];
        let service = process["serviceName"].as_str().unwrap().to_owned();
        let name = span["operationName"].as_str().unwrap().to_owned();
        let mut tags = span["tags"].as_array().unwrap().iter();
        let tag = tags.find(|tag| tag["key"] == "http.path");
        let tag = tag.map(|tag| tag["value"].as_str().unwrap().to_owned());
        (service, name, span["startTime"].as_u64().unwrap(), span["duration"].as_u64().unwrap(), tag)
    };
    let mut facts: Facts = trace["spans"].as_array().unwrap().iter().map(fact).collect();
    facts.sort_by_key(|fact| fact.2);
    facts
}

#[tokio::test]
async fn what_an_sdk_sends_is_read_back_value_by_value() {
    let client = Client::new();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let body = std::fs::read("tests/golden/wire/node-zipkin-v2.json").unwrap();
    let answer = post(&server, "/api/v2/spans", &[("content-type", "application/json")], &body).await;
    assert_eq!(answer.status, 202);
    let mut traces: BTreeMap<String, Vec<Json>> = BTreeMap::new();
    for span in serde_json::from_slice::<Vec<Json>>(&body).unwrap() {
        traces.entry(span["traceId"].as_str().unwrap().to_owned()).or_default().push(span);
    }
    assert!(!traces.is_empty());
    for (id, mut expected) in traces {
        let url = at(&server, &format!("/api/v2/trace/{id}"));
        let answer = client.until(&url, |answer| answer.status == 200).await;
        let mut told: Vec<Json> = serde_json::from_slice(&answer.body).unwrap();
        for spans in [&mut expected, &mut told] {
            spans.sort_by_key(|span| span["id"].as_str().unwrap().to_owned());
        }
        assert_eq!(told, expected);
    }
}

#[tokio::test]
async fn nothing_is_a_list_too() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let json = ("content-type", "application/json");
    let thrift = ("content-type", "application/x-thrift");
    let cases: [Posted<'_>; 7] = [
        ("/api/v2/spans", &[], b""),
        ("/api/v2/spans", &[json], b"[]"),
        ("/api/v2/spans", &[json], b" [ ]\r\n"),
        ("/api/v1/spans", &[json], b"[]"),
        ("/api/v1/spans", &[thrift], &[12, 0, 0, 0, 0]),
        ("/api/v1/spans", &[thrift], b""),
        ("/api/v2/spans", &[("content-type", "application/x-protobuf")], b""),
    ];
    for (path, headers, body) in cases {
        let answer = post(&server, path, headers, body).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (202, &b""[..]),
            "{path} {headers:?} {body:?}"
        );
    }
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_with_the_reason() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start_with(data.path(), &["receive.max_request_bytes=100KiB"]);
    let json = ("content-type", "application/json");
    let protobuf = ("content-type", "application/x-protobuf");
    let thrift = ("content-type", "application/x-thrift");
    let v1 = br#"[{"traceId":"1","id":"1","name":"a","binaryAnnotations":[]}]"#;
    let large = vec![b' '; 101 << 10];
    let cases: [(&str, Headers<'_>, &[u8], u16, &str); 15] = [
        ("2", &[json], b"[{\"traceId\":\n  !", 400, "at line 2, column 3"),
        ("2", &[json], br#"[{"traceId":"0","id":"1"}]"#, 400, "none of 1 spans can be kept: span 0: "),
        ("2", &[protobuf], &[10, 2, 8, 1], 400, "none of 1 spans can be kept: "),
        ("2", &[json], v1, 400, "Expected a JSON_V2 encoded list, but received: JSON_V1"),
        ("1", &[json], &[12, 0, 0, 0, 0], 400, "Expected a JSON_V1 encoded list, but received: THRIFT"),
        ("1", &[thrift], &[12, 127, 255, 255, 255], 400, ""),
        ("2", &[json], b"hello", 400, "Expected a JSON_V2 encoded list"),
        ("2", &[json, ("content-encoding", "gzip")], b"[]", 400, "could not be inflated"),
        ("2", &[json, ("content-encoding", "br")], b"[]", 415, "content encoding 'br' is none of gzip"),
        (
            "2",
            &[("content-type", "text/html")],
            b"[]",
            415,
            "is not application/json or application/x-protobuf",
        ),
        ("1", &[("content-type", "multipart/form-data")], b"[]", 415, "or application/x-thrift"),
        ("2", &[thrift], b"[]", 415, "'application/x-thrift' is not application/json"),
        ("1", &[protobuf], b"[]", 415, "is not application/json or application/x-thrift"),
        ("2", &[("origin", "https://shop.example")], b"[]", 415, "a page says what it sends"),
        ("2", &[json], &large, 413, "receive.max_request_bytes"),
    ];
    for (version, headers, body, status, why) in cases {
        let answer = post(&server, &format!("/api/v{version}/spans"), headers, body).await;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, status, "{headers:?} {text}");
        assert!(text.contains(why), "{why}: {text}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
    let answer =
        Client::new().send(Method::PUT, at(&server, "/api/v1/spans"), &[], Bytes::new()).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "POST, OPTIONS"));
}

#[tokio::test]
async fn one_bad_span_does_not_cost_the_others() {
    let client = Client::new();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let good = json!({"traceId": "000000000000000a", "id": "000000000000000b", "timestamp": BASE, "kind": null,
                      "localEndpoint": {"serviceName": "shop"}});
    let list = json!([good, {"traceId": "a"}, {"traceId": "a", "id": "0"}, {"id": "b"}, 7]);
    let answer = post(&server, "/api/v2/spans", &[], list.to_string().as_bytes()).await;
    assert_eq!(answer.status, 202);
    let url = at(&server, "/api/v2/trace/a");
    let told = client.until(&url, |answer| answer.status == 200).await.json();
    assert_eq!(told[0]["id"], "000000000000000b");
    assert_eq!(told.as_array().unwrap().len(), 1);
    let metrics = String::from_utf8(client.get(server.admin("/metrics")).await.body.to_vec()).unwrap();
    let counted = |name: &str| {
        let is_ours = |line: &&str| line.starts_with(name) && line.contains("receiver=\"zipkin\"");
        metrics.lines().find(is_ours).and_then(|line| line.rsplit(' ').next()).unwrap().to_owned()
    };
    assert_eq!(counted("otelcol_receiver_accepted_spans"), "1");
    assert_eq!(counted("tracelodge_rejected_spans_total"), "4", "{metrics}");
}

#[tokio::test]
async fn a_page_may_send_if_it_may_and_never_read() {
    let data = tempfile::tempdir().unwrap();
    let shop = "https://shop.example";
    let server = Server::start_with(data.path(), &["receive.allowed_origins=[\"https://shop.example\"]"]);
    let client = Client::new();
    for path in ["/api/v1/spans", "/api/v2/spans"] {
        for (origin, allowed) in [(shop, shop), ("https://evil.example", "")] {
            let asks = [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "content-type"),
            ];
            let answer = client.send(Method::OPTIONS, at(&server, path), &asks, Bytes::new()).await.unwrap();
            assert_eq!(answer.status, 200, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{path}");
            let json = [("origin", origin), ("content-type", "application/json")];
            let answer = post(&server, path, &json, b"[]").await;
            let expected = if allowed.is_empty() { 403 } else { 202 };
            assert_eq!(answer.status, expected, "{path}");
            assert_eq!(answer.header("access-control-allow-origin"), allowed, "{path}");
        }
    }
    for path in ["/api/v2/spans?serviceName=shop", "/api/v2/services", "/zipkin/api/v2/services"] {
        let url = at(&server, path);
        let answer = client.send(Method::GET, url.clone(), &[("origin", shop)], Bytes::new()).await.unwrap();
        assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"[]"[..]), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
        let rebound = [("host", "evil.example:9411")];
        let answer = client.send(Method::GET, url, &rebound, Bytes::new()).await.unwrap();
        assert_eq!(answer.status, 403, "{path}");
    }
}

#[tokio::test]
async fn health_is_told_where_zipkins_is() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let client = Client::new();
    assert_eq!(client.get_json(at(&server, "/health")).await["status"], "UP");
    assert_eq!(client.get_json(at(&server, "/zipkin/config.json")).await["queryLimit"], 10);
    assert_eq!(client.get_json(server.query("/zipkin/api/v2/services")).await, json!([]));
}

#[tokio::test]
async fn what_is_left_out_is_counted_though_its_sender_went_away() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::new(Arc::new(HostDisk), Arc::new(HostClock));
    let settings = FileStorageConfig::appliance();
    let (traces, _recovery) = Buffer::open(folder.path(), Signal::Traces, settings, environment).unwrap();
    let settings = Settings { max_request_bytes: 1 << 20, max_span_bytes: 1 << 20, in_flight_bytes: 4 << 20 };
    let ingest = Arc::new(Ingest::new(Buffers { traces, logs: None, metrics: None }, settings));
    let counts = Arc::new(Counts::default());
    let router = router(ingest, Arc::clone(&counts), Vec::new());
    let list = json!([{"traceId": "a", "id": "b"}, {"traceId": "a"}, {"id": "b"}]).to_string();
    let request = http::Request::post("/api/v2/spans").body(axum::body::Body::from(list)).unwrap();
    // Once is enough to hand it over; nobody waits for what comes of it.
    let answer = tokio::time::timeout(Duration::ZERO, router.oneshot(request)).await;
    let counted = || (counts.http.accepted_spans.value(), counts.http.rejected_spans.value());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while counted() != (1, 2) {
        assert!(tokio::time::Instant::now() < deadline, "{:?} {answer:?}", counted());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
