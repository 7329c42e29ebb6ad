//! The page's own API.

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use serde_json::{Value as Json, json};
use tracelodge::query::Limits;

use crate::lodge::Lodge;
use crate::sketch::{attribute, drawn, text};

const CART: &str = "0000000000000000463ac35c9f6413ad";

fn ids(listed: &Json) -> Vec<&str> {
    listed["traces"].as_array().unwrap().iter().map(|line| line["traceId"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_search_lists_traces_with_what_a_reader_needs() {
    let lodge = Lodge::furnished();
    let listed = lodge.get("/api/a1/search?service=stock&where=error=true&min=100ms").await.json();
    assert_eq!(
        listed["traces"],
        json!([{
            "traceId": CART, "rootService": "shop", "rootName": "GET /cart", "start": "1700000000000000000",
            "duration": 250_000_000, "spans": 3, "errors": 1, "orphans": 0,
            "services": [
                {"name": "shop", "spans": 2, "errors": 0},
                {"name": "stock", "spans": 1, "errors": 1},
            ],
            "matched": ["0000000000000003"],
        }])
    );
    assert_eq!((&listed["stopped"], &listed["limit"]), (&json!("end"), &json!(50)));
    assert!(listed["inspected"].as_u64().unwrap() >= 1);
    assert!(listed["readBytes"].as_u64().unwrap() >= 1);
}

#[tokio::test]
async fn times_conditions_and_limits_narrow_a_search() {
    let lodge = Lodge::furnished();
    let cases = [
        ("", 3),
        ("?service=", 3),
        ("?start=-30m", 0),
        ("?start=-2h&end=now", 3),
        ("?start=1700000001", 2),
        ("?start=1700000001000", 2),
        ("?start=2023-11-14T22:13:21Z&end=2023-11-14T22:13:21.5Z", 1),
        ("?where=host.name=h1&where=http.route=/cart", 1),
        ("?where=x%3D1=", 0),
        ("?operation=GET%20/cart&max=1s", 1),
        ("?kind=server&service=shop", 2),
        ("?where=span.kind=server&service=shop", 2),
        ("?kind=CLIENT", 1),
        ("?kind=consumer", 0),
        ("?status=error", 1),
        ("?where=error=true", 1),
        ("?status=ok&kind=server", 1),
        ("?status=unset", 2),
        ("?kind=&status=", 3),
    ];
    for (question, expected) in cases {
        let answer = lodge.get(&format!("/api/a1/search{question}")).await;
        assert_eq!(ids(&answer.json()).len(), expected, "{question}");
    }
    let first = lodge.get("/api/a1/search?limit=1").await.json();
    assert_eq!((ids(&first).len(), first["stopped"].as_str()), (1, Some("limit")));
}

#[tokio::test]
async fn a_search_that_did_not_look_at_everything_says_why() {
    let out_of_time = Limits { search_time: Duration::ZERO, ..Limits::default() };
    let full = Limits { search_bytes: 1, ..Limits::default() };
    let has_read = Limits { read_bytes: 1, ..Limits::default() };
    for (limits, reason) in [(out_of_time, "time"), (full, "bytes"), (has_read, "bytes")] {
        let listed = Lodge::furnished().within(limits).get("/api/a1/search?service=shop").await.json();
        assert_eq!(listed["stopped"], reason);
    }
}

#[tokio::test]
async fn errors_have_a_title_a_status_and_a_detail() {
    let lodge = Lodge::furnished();
    let not_an_id = "'x' is not a trace id of 1 to 32 hex digits";
    let cases = [
        (
            "search?start=soon",
            400,
            "unable to parse param 'start': 'soon' is not a time such as now, -15m".into(),
        ),
        ("search?where=x", 400, "unable to parse param 'where': 'x' is not a condition such as".to_owned()),
        ("search?kind=x", 400, "unable to parse param 'kind': 'x' is not one of unspecified,".to_owned()),
        ("search?status=x", 400, "unable to parse param 'status': 'x' is not one of unset, ok".to_owned()),
        ("search?min=2s&max=1s", 400, "'max' should be greater than 'min'".to_owned()),
        ("trace/x/skeleton", 400, format!("unable to parse param 'id': {not_an_id}")),
        ("trace/abc/skeleton", 404, "trace not found".to_owned()),
        ("trace/abc/spans?ids=1", 404, "trace not found".to_owned()),
        ("trace/abc/find?text=1", 404, "trace not found".to_owned()),
        ("trace/abc/spans", 400, "parameter 'ids' is required".to_owned()),
        ("trace/abc/spans?ids=1,x", 400, "unable to parse param 'ids': 'x' is not a span id".to_owned()),
        ("trace/abc/find?text=", 400, "parameter 'text' is required".to_owned()),
    ];
    for (question, status, detail) in cases {
        let answer = lodge.get(&format!("/api/a1/{question}")).await;
        let json = answer.json();
        assert_eq!((answer.status.as_u16(), &json["status"]), (status, &json!(status)), "{question}");
        assert!(json["detail"].as_str().unwrap().starts_with(&detail), "{question}: {json}");
        assert_eq!(json["title"], if status == 404 { "Not Found" } else { "Bad Request" });
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let many = vec!["1"; 101].join(",");
    let answer = lodge.get(&format!("/api/a1/trace/{CART}/spans?ids={many}")).await;
    assert!(answer.text().contains("101 values are given, 100 are allowed"), "{}", answer.text());
}

#[tokio::test]
async fn the_details_of_a_span_are_all_that_was_sent() {
    let mut request = drawn(5, "shop | GET / | server | 0-10 | !error=no !event=retry@4 !link=6");
    let resource_spans = &mut request.resource_spans[0];
    resource_spans.schema_url = "https://example.org/r".into();
    let span = &mut resource_spans.scope_spans[0].spans[0];
    span.trace_state = "a=b".into();
    span.flags = 0x101;
    span.parent_span_id = vec![1; 8];
    span.attributes = vec![
        text("s", "x"),
        attribute("i", Value::IntValue(i64::MIN)),
        attribute("d", Value::DoubleValue(0.5)),
        attribute("b", Value::BoolValue(true)),
        attribute("y", Value::BytesValue(vec![255])),
    ];
    span.dropped_attributes_count = 3;
    let lodge = Lodge::holding(&[request]);
    let details = lodge.get("/api/a1/trace/5/spans?ids=0000000000000001,0000000000000099").await.json();
    let host = json!({"key": "host.name", "type": "string", "value": "h1"});
    let service = json!({"key": "service.name", "type": "string", "value": "shop"});
    assert_eq!(
        details,
        json!({"cut": false, "spans": [{
            "spanId": "0000000000000001", "parentId": "0101010101010101", "name": "GET /", "kind": "server",
            "status": {"code": "error", "message": "no"}, "start": "1700000000000000000", "duration": 10_000_000,
            "service": "shop", "traceState": "a=b", "flags": 257,
            "attributes": [
                {"key": "s", "type": "string", "value": "x"},
                {"key": "i", "type": "int", "value": "-9223372036854775808"},
                {"key": "d", "type": "double", "value": "0.5"},
                {"key": "b", "type": "bool", "value": "true"},
                {"key": "y", "type": "bytes", "value": "/w=="},
            ],
            "events": [{"name": "retry", "time": "1700000000004000000", "attributes": [], "dropped": 0}],
            "links": [{
                "traceId": "00000000000000000000000000000006", "spanId": "0000000000000001", "attributes": [],
            }],
            "resource": {"attributes": [service, host], "schemaUrl": "https://example.org/r"},
            "scope": {"name": "drawn", "version": "1", "attributes": [], "schemaUrl": ""},
            "dropped": {"attributes": 3, "events": 0, "links": 0},
        }]})
    );
}

#[tokio::test]
async fn spans_that_share_an_id_are_all_given() {
    let lodge = Lodge::holding(&[drawn(5, "a | call | client | 0-9\nb | call | server | 1-8 | #1")]);
    let details = lodge.get("/api/a1/trace/5/spans?ids=1").await.json();
    let services: Vec<_> = details["spans"].as_array().unwrap().iter().map(|span| &span["service"]).collect();
    assert_eq!(services, ["a", "b"]);
}

#[tokio::test]
async fn a_text_is_found_wherever_it_stands_in_a_span() {
    let lodge = Lodge::furnished();
    let cases = [
        ("CART", vec!["0000000000000001"]),
        ("reserve", vec!["0000000000000002", "0000000000000003"]),
        ("Stock", vec!["0000000000000002", "0000000000000003"]),
        ("sold-out", vec!["0000000000000003"]),
        ("retry", vec!["0000000000000003"]),
        ("http.rou", vec!["0000000000000001"]),
        ("host.name", vec!["0000000000000001", "0000000000000002", "0000000000000003"]),
        ("0000000000000002", vec!["0000000000000002", "0000000000000003"]),
        ("Drawn", vec!["0000000000000001", "0000000000000002", "0000000000000003"]),
        ("nowhere", vec![]),
    ];
    for (sought, expected) in cases {
        let places = lodge.get(&format!("/api/a1/trace/{CART}/find?text={sought}")).await.json();
        assert_eq!(places, json!({"spans": expected, "total": expected.len()}), "{sought}");
    }
    let mut request = drawn(5, "shop | GET / | server | 0-10 | !link=2748\nshop | x | server | 0-10");
    let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
    span.trace_state = "vendor=Q7".into();
    span.links[0].attributes = vec![text("why", "retried")];
    request.resource_spans[0].scope_spans[0].scope.as_mut().unwrap().version = "9.8".into();
    let lodge = Lodge::holding(&[request]);
    for sought in ["vendor=q7", "00ABC", "retried", "9.8"] {
        let places = lodge.get(&format!("/api/a1/trace/5/find?text={sought}")).await.json();
        assert_eq!(places, json!({"spans": ["0000000000000001"], "total": 1}), "{sought}");
    }
}

#[tokio::test]
async fn the_status_says_what_is_kept_and_where_to_send() {
    let status = Lodge::furnished().get("/api/a1/status").await.json();
    assert_eq!((&status["version"], &status["spans"]), (&json!("1.2.3"), &json!(5)));
    assert_eq!(status["oldest"], "1700000000000000000");
    assert_eq!(status["doors"], json!([{"name": "OTLP gRPC and HTTP", "address": "127.0.0.1:4317"}]));
    assert_eq!(status["openDoors"], json!(["Others can reach OTLP"]));
    assert!(status["dataBytes"].as_u64().unwrap() > 0);
    let empty = Lodge::holding(&[]).get("/api/a1/status").await.json();
    assert_eq!(empty["oldest"], Json::Null);
}
