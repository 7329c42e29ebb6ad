//! Spans that came in Jaeger's words: through the store, and as every door says them.

use bytes::Bytes;
use prost::Message as _;
use prost_types::{Duration, Timestamp};
use serde_json::json;
use tracelodge::model::TraceId;
use tracelodge::proto::jaeger::api_v2::{KeyValue, Log, Process, Span, SpanRef};
use tracelodge::translate::{jaeger, otlp};

use crate::lodge::Lodge;

/// The year 1, Go's time that was not set.
const UNSET: Timestamp = Timestamp { seconds: -62_135_596_800, nanos: 0 };

fn trace_id(id: u8) -> Bytes {
    Bytes::from([vec![0; 15], vec![id]].concat())
}

fn span_id(id: u8) -> Bytes {
    Bytes::from([vec![0; 7], vec![id]].concat())
}

fn text(key: &'static str, value: &'static [u8]) -> KeyValue {
    KeyValue { key: key.into(), v_str: value.into(), ..KeyValue::default() }
}

fn reference(trace: u8, span: u8, ref_type: i32) -> SpanRef {
    SpanRef { trace_id: trace_id(trace), span_id: span_id(span), ref_type }
}

/// A span of trace 5 with all that a span can have.
fn full() -> Span {
    let tags = vec![
        text("span.kind", b"server"),
        text("error", b"yes"),
        KeyValue { key: "error".into(), v_type: 1, v_bool: true, ..KeyValue::default() },
        KeyValue { key: "http.status_code".into(), v_type: 2, v_int64: 500, ..KeyValue::default() },
        KeyValue { key: "ratio".into(), v_type: 3, v_float64: 0.25f64.to_bits(), ..KeyValue::default() },
        KeyValue { key: "raw".into(), v_type: 4, v_binary: vec![0, 255].into(), ..KeyValue::default() },
        text("span.kind", b"server"),
        text("broken", b"a\xff"),
    ];
    let log = |timestamp| Log {
        timestamp: Some(timestamp),
        fields: vec![text("event", b"retry"), text("n", b"1")],
    };
    Span {
        trace_id: trace_id(5),
        span_id: span_id(2),
        operation_name: "pay".into(),
        references: vec![reference(6, 9, 1), reference(5, 1, 0), reference(5, 4, 0)],
        flags: 11,
        start_time: Some(Timestamp { seconds: 1_700_000_000, nanos: 1_999 }),
        duration: Some(Duration { seconds: 0, nanos: 250_000 }),
        tags,
        logs: vec![log(Timestamp { seconds: 1_700_000_000, nanos: 5_000 }), log(UNSET)],
        process: Some(Process {
            service_name: "cart".into(),
            tags: vec![text("hostname", b"h1"), text("service.name", b"other")],
        }),
        process_id: "p7".into(),
        warnings: vec!["late".into()],
    }
}

/// Spans of trace 5 that are odd in other ways.
fn odd() -> Vec<Span> {
    let odd = |id: u8, span: Span| Span {
        trace_id: trace_id(5),
        span_id: span_id(id),
        start_time: Some(span.start_time.unwrap_or(UNSET)),
        duration: Some(span.duration.unwrap_or_default()),
        process: Some(span.process.clone().unwrap_or_default()),
        ..span
    };
    let at = |seconds| Some(Timestamp { seconds, nanos: 1 });
    vec![
        odd(0, Span::default()),
        odd(0, Span { operation_name: "another of no id".into(), ..Span::default() }),
        odd(
            3,
            Span {
                start_time: at(-5),
                duration: Some(Duration { seconds: -1, nanos: -2 }),
                ..Span::default()
            },
        ),
        odd(4, Span { start_time: at(253_402_300_799), ..Span::default() }),
        odd(5, Span { references: vec![reference(5, 0, 0), reference(0, 0, 1)], ..Span::default() }),
        odd(6, Span { tags: vec![text("@jaeger@start", b"x"), text("", b"")], ..Span::default() }),
    ]
}

fn keeping(spans: &[Span]) -> Lodge {
    Lodge::keeping(spans.iter().map(|span| jaeger::request(std::slice::from_ref(span)).unwrap().into()))
}

fn sorted(mut spans: Vec<Span>) -> Vec<Vec<u8>> {
    spans.sort_by_key(Span::encode_to_vec);
    spans.iter().map(Span::encode_to_vec).collect()
}

#[test]
fn a_store_gives_back_what_jaeger_wrote() {
    let sent = [vec![full()], odd()].concat();
    let lodge = keeping(&sent);
    let of_5 = TraceId::from_slice(&trace_id(5)).unwrap();
    let trace = lodge.query.trace(of_5).unwrap().unwrap();
    assert_eq!(sorted(trace.spans.iter().map(jaeger::span).collect()), sorted(sent));
    let spans: usize =
        otlp::messages(&trace.spans, 2, 1 << 20).map(|message| message.encoded_len().min(1)).sum();
    assert_eq!(spans, 4);
}

#[test]
fn spans_without_a_trace_are_found_under_zeros() {
    let sent = Span { trace_id: trace_id(0), ..full() };
    let trace = keeping(std::slice::from_ref(&sent)).query.trace(TraceId::default()).unwrap().unwrap();
    assert_eq!(trace.spans.iter().map(jaeger::span).collect::<Vec<_>>(), [sent]);
}

#[tokio::test]
async fn jaegers_api_says_a_jaeger_span_as_it_was_sent() {
    let answer = keeping(&[full()]).get("/api/traces/5?raw=true").await.json();
    let tag = |key: &str, kind: &str, value| json!({"key": key, "type": kind, "value": value});
    let fields = json!([tag("event", "string", json!("retry")), tag("n", "string", json!("1"))]);
    let id = |id: &str| format!("{id:0>16}");
    assert_eq!(
        answer["data"][0],
        json!({
            "traceID": id("5"),
            "spans": [{
                "traceID": id("5"), "spanID": id("2"), "flags": 11, "operationName": "pay",
                "references": [
                    {"refType": "FOLLOWS_FROM", "traceID": id("6"), "spanID": id("9")},
                    {"refType": "CHILD_OF", "traceID": id("5"), "spanID": id("1")},
                    {"refType": "CHILD_OF", "traceID": id("5"), "spanID": id("4")},
                ],
                "startTime": 1_700_000_000_000_001u64, "duration": 250,
                "tags": [
                    tag("span.kind", "string", json!("server")),
                    tag("error", "string", json!("yes")),
                    tag("error", "bool", json!(true)),
                    tag("http.status_code", "int64", json!(500)),
                    tag("ratio", "float64", json!(0.25)),
                    tag("raw", "binary", json!("AP8=")),
                    tag("span.kind", "string", json!("server")),
                    tag("broken", "string", json!("a\u{fffd}")),
                ],
                "logs": [
                    {"timestamp": 1_700_000_000_000_005u64, "fields": fields},
                    {"timestamp": 0, "fields": fields},
                ],
                "processID": "p1", "warnings": ["late"],
            }],
            "processes": {"p1": {"serviceName": "cart", "tags": [
                tag("hostname", "string", json!("h1")),
                tag("service.name", "string", json!("other")),
            ]}},
            "warnings": null,
        })
    );
}

#[tokio::test]
async fn the_page_is_shown_a_jaeger_span_without_what_is_reserved() {
    let lodge = keeping(&[full()]);
    let details = lodge.get("/api/a1/trace/5/spans?ids=2").await.json();
    let span = &details["spans"][0];
    let keys = |pairs: &serde_json::Value| {
        let keys = pairs.as_array().unwrap().iter().map(|pair| pair["key"].as_str().unwrap().to_owned());
        keys.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(
        keys(&span["attributes"]),
        "span.kind error error http.status_code ratio raw span.kind broken"
    );
    assert_eq!(keys(&span["events"][1]["attributes"]), "n");
    assert_eq!(span["events"][1]["name"], "retry");
    let linked: Vec<_> = span["links"].as_array().unwrap().iter().map(|link| &link["spanId"]).collect();
    assert_eq!(linked, ["0000000000000009", "0000000000000004"]);
    assert_eq!((&span["parentId"], &span["kind"]), (&json!("0000000000000001"), &json!("server")));
    assert_eq!((&span["status"]["code"], &span["flags"]), (&json!("error"), &json!(11)));
    assert_eq!(span["warnings"], json!(["late"]));
    for (text, is_found) in
        [("retry", true), ("h1", true), ("@jaeger@", false), ("p7", false), ("late", false)]
    {
        let places = lodge.get(&format!("/api/a1/trace/5/find?text={text}")).await.json();
        assert_eq!(places["total"], i32::from(is_found), "{text}");
    }
}
