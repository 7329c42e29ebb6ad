//! Zipkin's API as its page and Grafana ask it, over spans that came by every protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::Request;
use prost::Message as _;
use serde_json::{Value as Json, json};
use tracelodge::model::{Clock, Timestamp};
use tracelodge::proto::jaeger::api_v2::{KeyValue, Process, Span};
use tracelodge::serve::grpc::Source;
use tracelodge::serve::guard::AllowedHosts;
use tracelodge::serve::turns::Turns;
use tracelodge::serve::zipkin::router;
use tracelodge::translate::jaeger;
use tracelodge::translate::zipkin::{Format, batch};

use crate::drawing::BASE_NANOS;
use crate::jaeger::golden;
use crate::lodge::{Answer, Lodge, send};
use crate::sketch::drawn;

/// An hour after the drawn traces, in ms.
const NOW: u64 = BASE_NANOS / 1_000_000 + 3_600_000;

/// In µs.
const BASE: u64 = BASE_NANOS / 1_000;

/// A call of which both sides have the same id, as Zipkin's clients tell it, and what the server puts into a queue.
fn of_zipkin() -> Json {
    json!([
        {"traceId": "a1", "id": "1", "kind": "CLIENT", "name": "get /checkout",
         "timestamp": BASE + 10_000, "duration": 90_000,
         "localEndpoint": {"serviceName": "Frontend", "ipv4": "10.0.0.1", "port": 8080},
         "remoteEndpoint": {"serviceName": "backend", "ipv6": "2001:db8::1"},
         "annotations": [{"timestamp": BASE + 11_000, "value": "ws"}, {"timestamp": BASE + 99_000, "value": "wr"}],
         "tags": {"http.method": "GET", "http.path": "/checkout", "error": "sold out"}},
        {"traceId": "a1", "id": "1", "kind": "SERVER", "name": "get /checkout", "shared": true,
         "timestamp": BASE + 20_000, "duration": 60_000,
         "localEndpoint": {"serviceName": "backend", "ipv4": "10.0.0.2"},
         "tags": {"http.method": "GET", "": "no key"}},
        {"traceId": "a1", "parentId": "1", "id": "2", "kind": "PRODUCER", "debug": true,
         "timestamp": BASE + 35_000,
         "localEndpoint": {"serviceName": "backend"}, "remoteEndpoint": {"serviceName": "kafka"}},
        {"traceId": "a2", "id": "3", "name": "tick", "localEndpoint": {"serviceName": "frontend"},
         "timestamp": BASE + 500_000, "duration": 5}
    ])
}

fn of_jaeger() -> Span {
    let text = |key: &'static str, value: &'static str| KeyValue {
        key: key.into(),
        v_str: value.into(),
        ..KeyValue::default()
    };
    Span {
        trace_id: Bytes::copy_from_slice(&0xb1_u128.to_be_bytes()),
        span_id: Bytes::copy_from_slice(&7_u64.to_be_bytes()),
        operation_name: "SELECT".into(),
        start_time: Some(prost_types::Timestamp { seconds: 1_700_000_000, nanos: 700_000_000 }),
        duration: Some(prost_types::Duration { seconds: 0, nanos: 4_000_000 }),
        tags: vec![text("span.kind", "client"), text("peer.service", "postgres"), text("http.method", "GET")],
        process: Some(Process { service_name: "orders".into(), tags: vec![text("hostname", "h1")] }),
        ..Span::default()
    }
}

fn furnished() -> Lodge {
    let zipkin = Bytes::from(of_zipkin().to_string());
    let otlp = drawn(
        7 << 64 | 7,
        "shop | GET /cart | server | 0-250 | http.method=GET\n\
         \x20 shop | POST /reserve | client | 20-200 | server.address=stock server.port=80\n\
         \x20   stock | POST /reserve | server | 30-190 | !error=sold-out !event=retry@100 http.method=POST n=5",
    );
    let requests = [
        batch(Format::JsonV2, &zipkin, &mut |_| true).unwrap().request,
        otlp.encode_to_vec(),
        jaeger::request(&[of_jaeger()]).unwrap(),
    ];
    Lodge::keeping(requests.map(Bytes::from))
}

/// Zipkin's own port over the same store.
fn port(lodge: &Lodge, serving: &Arc<AtomicBool>) -> Router {
    #[derive(Debug)]
    struct Still;
    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(NOW)
        }
    }
    let source = Source { query: Arc::clone(&lodge.query), turns: Turns::default(), clock: Arc::new(Still) };
    let serving = Arc::clone(serving);
    router(source, Arc::new(move || serving.load(Ordering::Relaxed)), AllowedHosts::default())
}

async fn get(router: &Router, uri: &str) -> Answer {
    send(router, Request::get(uri).body(Body::empty()).unwrap()).await
}

/// What was asked and answered, one span a line.
pub(crate) async fn session(router: &Router, asked: &[&str]) -> Answer {
    let mut said = String::new();
    let mut last = None;
    for uri in asked {
        let answer = get(router, uri).await;
        let spans = answer.text().replace("{\"traceId\"", "\n  {\"traceId\"");
        let text = spans.replace("{\"traceID\"", "\n  {\"traceID\"").replace("\n]", "]");
        said.push_str(&format!("GET {uri}\n{} {}\n{text}\n\n", answer.status, answer.header("content-type")));
        last = Some(answer);
    }
    Answer { body: said.into(), ..last.unwrap() }
}

#[tokio::test]
async fn zipkins_page_is_answered_as_it_always_was() {
    let lodge = furnished();
    let window = format!("endTs={NOW}&lookback=86400000");
    let asked = [
        "/zipkin/config.json",
        "/zipkin/api/v2/services",
        "/zipkin/api/v2/autocompleteKeys",
        "/zipkin/api/v2/autocompleteValues?key=http.method",
        "/zipkin/api/v2/spans?serviceName=shop",
        "/zipkin/api/v2/remoteServices?serviceName=shop",
        "/zipkin/api/v2/remoteServices?serviceName=orders",
        &format!("/zipkin/api/v2/traces?serviceName=frontend&{window}&limit=10"),
        &format!("/zipkin/api/v2/traces?annotationQuery=http.method%3DPOST+and+retry&{window}&limit=10"),
        "/zipkin/api/v2/trace/00000000000000a1",
        "/zipkin/api/v2/trace/b1",
        "/zipkin/api/v2/trace/00000000000000070000000000000007",
        &format!("/zipkin/api/v2/dependencies?{window}"),
    ];
    golden("zipkin_page", &session(&lodge.router, &asked).await);
}

#[tokio::test]
async fn grafana_is_answered_as_it_always_was() {
    let router = port(&furnished(), &Arc::default());
    let asked = [
        "/api/v2/services",
        "/api/v2/spans?serviceName=backend",
        "/api/v2/traces?serviceName=backend&spanName=get+%2Fcheckout",
        "/api/v2/trace/00000000000000a1",
        "/api/v2/trace/ffff",
    ];
    golden("zipkin_grafana", &session(&router, &asked).await);
}

#[tokio::test]
async fn what_was_sent_in_zipkins_words_is_said_as_it_was_sent() {
    let lodge = furnished();
    let answer = lodge.get("/zipkin/api/v2/trace/a1").await;
    let padded = |id: &Json| format!("{:0>16}", id.as_str().unwrap());
    let mut sent: Vec<_> = of_zipkin().as_array().unwrap()[..3].to_vec();
    for span in &mut sent {
        for key in
            ["traceId", "id", "parentId"].into_iter().filter(|key| !span[*key].is_null()).collect::<Vec<_>>()
        {
            span[key] = padded(&span[key]).into();
        }
    }
    assert_eq!(answer.json(), Json::from(sent));
}

/// The ids of the first spans of the traces of an answer.
fn ids(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    let traces = json.as_array().unwrap().iter();
    let id = |trace: &Json| trace[0]["traceId"].as_str().unwrap().trim_start_matches('0').to_owned();
    traces.map(id).collect()
}

#[tokio::test]
async fn every_condition_narrows_what_is_found() {
    let router = port(&furnished(), &Arc::default());
    let otlp = "70000000000000007";
    let cases: [(&str, &[&str]); 36] = [
        ("", &["b1", "a2", "a1", otlp]),
        ("limit=2", &["b1", "a2"]),
        ("limit=100000", &["b1", "a2", "a1", otlp]),
        ("serviceName=FRONTEND", &["a2", "a1"]),
        ("serviceName=frontend&spanName=Get+%2FCheckout", &["a1"]),
        ("spanName=GET+%2FCHECKOUT", &["a1"]),
        ("spanName=all&serviceName=shop", &[otlp]),
        ("spanName=get+.checkout", &[]),
        ("serviceName=nobody", &[]),
        ("serviceName=shop&spanName=nothing", &[]),
        ("remoteServiceName=backend", &["a1"]),
        ("remoteServiceName=Backend", &["a1"]),
        ("remoteServiceName=kafka&serviceName=backend", &["a1"]),
        ("remoteServiceName=kafka&serviceName=frontend", &[]),
        ("remoteServiceName=postgres", &["b1"]),
        ("remoteServiceName=stock", &[otlp]),
        ("annotationQuery=http.method%3DGET", &["b1", "a1", otlp]),
        ("annotationQuery=http.method", &["b1", otlp, "a1"]),
        ("annotationQuery=http.method%3D", &["b1", otlp, "a1"]),
        ("annotationQuery=http.method%3DPUT+and+http.method%3DGET", &["b1", "a1", otlp]),
        ("annotationQuery=ws", &["a1"]),
        ("annotationQuery=ws+and+http.path%3D%2Fcheckout", &["a1"]),
        ("annotationQuery=ws+and+retry", &[]),
        ("annotationQuery=error", &[otlp, "a1"]),
        ("annotationQuery=error%3Dsold+out", &["a1"]),
        ("annotationQuery=error%3Dsold-out", &[otlp]),
        ("annotationQuery=n%3D5", &[otlp]),
        ("annotationQuery=hostname%3Dh1", &["b1"]),
        ("annotationQuery=+and+%3Dx", &["b1", "a2", "a1", otlp]),
        ("minDuration=100000", &[otlp]),
        ("minDuration=4000&maxDuration=90000", &["b1", "a1"]),
        ("minDuration=5&maxDuration=5", &["a2"]),
        ("lookback=1000", &[]),
        ("lookback=3600000", &["b1", "a2", "a1", otlp]),
        ("endTs=1700000000600&lookback=550", &["a2"]),
        ("endTs=1600000000000", &[]),
    ];
    for (question, expected) in cases {
        let answer = get(&router, &format!("/api/v2/traces?{question}")).await;
        assert_eq!(answer.status, 200, "{question}: {}", answer.text());
        assert_eq!(ids(&answer), expected, "{question}");
    }
}

#[tokio::test]
async fn of_a_span_with_thousands_of_tags_a_thousand_keys_are_listed() {
    let tags: serde_json::Map<_, _> =
        (0..3_000).map(|number| (format!("key {number}"), json!("value"))).collect();
    let span = json!([{"traceId": "a1", "id": "1", "timestamp": BASE, "tags": tags}]);
    let kept = batch(Format::JsonV2, &Bytes::from(span.to_string()), &mut |_| true).unwrap();
    let router = port(&Lodge::keeping([Bytes::from(kept.request)]), &Arc::default());
    let keys = get(&router, "/api/v2/autocompleteKeys").await.json();
    assert_eq!(keys.as_array().unwrap().len(), 1_000);
}

#[tokio::test]
async fn what_makes_no_sense_is_said_in_zipkins_words() {
    let router = port(&furnished(), &Arc::default());
    let cases = [
        ("traces?limit=0", 400, "limit <= 0"),
        ("traces?limit=ten", 400, "limit: 'ten' is not a whole number"),
        ("traces?endTs=0", 400, "endTs <= 0"),
        ("traces?lookback=-1", 400, "lookback <= 0"),
        ("traces?minDuration=0", 400, "minDuration <= 0"),
        ("traces?minDuration=2&maxDuration=1", 400, "maxDuration < minDuration"),
        ("traces?maxDuration=1", 400, "maxDuration is only valid with minDuration"),
        ("trace/xyz", 400, "xyz should be lower-hex encoded with no prefix"),
        ("trace/0", 400, "traceId is all zeros"),
        ("trace/123456789012345678901234567890123", 400, "traceId.length > 32"),
        ("trace/ffff", 404, "ffff not found"),
        ("traceMany", 400, "traceIds parameter is empty"),
        ("traceMany?traceIds=a1,,a2", 400, "traceId is empty"),
        ("traceMany?traceIds=a1,0a1", 400, "redundant traceId: 000000000000000000000000000000a1"),
        ("spans", 400, "serviceName is required"),
        ("remoteServices?serviceName=", 400, "serviceName is required"),
        ("autocompleteValues", 400, "key is required"),
        ("dependencies?endTs=-5", 400, "endTs <= 0"),
    ];
    for (question, status, text) in cases {
        let answer = get(&router, &format!("/api/v2/{question}")).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (status, text), "{question}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
    let many = vec!["part"; 101].join("+and+");
    assert_eq!(get(&router, &format!("/api/v2/traces?annotationQuery={many}")).await.status, 400);
}

#[tokio::test]
async fn several_traces_come_in_the_order_they_are_asked_for() {
    let router = port(&furnished(), &Arc::default());
    let answer = get(&router, "/api/v2/traceMany?traceIds=b1,ffff,00000000000000a1").await;
    assert_eq!(ids(&answer), ["b1", "a1"]);
    assert_eq!(get(&router, "/api/v2/traceMany?traceIds=ffff").await.text(), "[]");
}

#[tokio::test]
async fn health_is_up_or_down() {
    let serving = Arc::new(AtomicBool::new(true));
    let router = port(&furnished(), &serving);
    for (code, status) in [(200, "UP"), (503, "DOWN")] {
        serving.store(status == "UP", Ordering::Relaxed);
        for uri in ["/health", "/actuator/health"] {
            let answer = get(&router, uri).await;
            assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (code, &status.into()), "{uri}");
        }
    }
}

#[tokio::test]
async fn strangers_learn_nothing_at_zipkins_port() {
    let router = port(&furnished(), &Arc::default());
    for uri in ["/api/v2/services", "/zipkin/api/v2/trace/a1", "/zipkin/config.json", "/health", "/"] {
        let asked = Request::get(uri).header("host", "evil.example:9411");
        let answer = send(&router, asked.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, 403, "{uri}");
        let answer = get(&router, uri).await;
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{uri}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{uri}");
    }
    assert_eq!(get(&router, "/api/v2/nothing").await.status, 404);
}
