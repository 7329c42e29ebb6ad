//! Jaeger's HTTP API, v3: what its page lists traces with, and Grafana with its gRPC switch on.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use serde_json::{Value as Json, json};
use tracelodge::otlp;
use tracelodge::query::Limits;

use crate::jaeger::golden;
use crate::lodge::{Answer, Lodge};
use crate::sketch::drawn;

const CART: &str = "0000000000000000463ac35c9f6413ad";
const LATER: &str = "00000000000000070000000000000007";
const NAMES: &str = "00000000000000090000000000000000";

/// All that [`Lodge::furnished`] holds.
const WINDOW: &str =
    "query.startTimeMin=2023-11-14T22:13:00Z&query.startTimeMax=2023-11-14T22:14:00.000000001Z";

/// What Jaeger's page checks of a list of traces before it shows any of it; returns the ids.
pub(crate) fn ids_of_valid_summaries(answer: &Answer) -> Vec<String> {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    let json = answer.json();
    let summaries = json["summaries"].as_array().expect("a list, even of nothing");
    summaries.iter().map(|summary| id_of_valid_summary(summary).to_owned()).collect()
}

fn id_of_valid_summary(summary: &Json) -> &str {
    let id = summary["traceId"].as_str().unwrap();
    assert!(id.len() == 32 && id.bytes().all(|digit| digit.is_ascii_hexdigit()), "{id}");
    for name in ["rootServiceName", "rootOperationName"] {
        assert!(summary[name].is_null() || summary[name].is_string(), "{summary}");
    }
    for name in ["minStartTimeUnixNano", "maxEndTimeUnixNano"] {
        let time = summary[name].as_str().unwrap();
        assert!(!time.is_empty() && time.bytes().all(|digit| digit.is_ascii_digit()), "{summary}");
    }
    for name in ["spanCount", "errorSpanCount", "orphanSpanCount"] {
        assert!(summary[name].is_u64(), "{summary}");
    }
    for service in summary["services"].as_array().unwrap() {
        assert!(service["name"].is_string(), "{summary}");
        assert!(service["spanCount"].is_u64() && service["errorSpanCount"].is_u64(), "{summary}");
    }
    id
}

/// The request that could have brought what an answer says.
fn sent(json: &Json) -> ExportTraceServiceRequest {
    let bytes = otlp::json::traces(json.to_string().as_bytes()).unwrap();
    ExportTraceServiceRequest::decode(&bytes[..]).unwrap()
}

async fn summaries(lodge: &Lodge, conditions: &str) -> Vec<String> {
    ids_of_valid_summaries(&lodge.get(&format!("/api/v3/trace-summaries?{WINDOW}{conditions}")).await)
}

#[tokio::test]
async fn each_route_answers_as_it_always_did() {
    let lodge = Lodge::furnished();
    let search = format!("/api/v3/traces?{WINDOW}&query.serviceName=shop&query.searchDepth=1");
    let summaries = format!("/api/v3/trace-summaries?{WINDOW}");
    let routes = [
        ("v3_services", "/api/v3/services"),
        ("v3_operations", "/api/v3/operations?service=shop"),
        ("v3_search", &search),
        ("v3_trace", "/api/v3/traces/463ac35c9f6413ad"),
        ("v3_trace_not_found", "/api/v3/traces/abc"),
        ("v3_summaries", &summaries),
        ("v3_dependencies", "/api/v3/dependencies?startTime=2023-11-14T00:00:00Z"),
    ];
    for (name, uri) in routes {
        let separator = if uri.contains('?') { '&' } else { '?' };
        golden(name, &lodge.get(&format!("{uri}{separator}prettyPrint=true")).await);
    }
}

#[tokio::test]
async fn jaegers_page_finds_and_opens_a_trace() {
    let lodge = Lodge::furnished();
    let services = lodge.get("/api/v3/services").await.json();
    assert_eq!(services, json!({"services": ["naïve/shop one", "shop", "stock"]}));
    let operations = lodge.get("/api/v3/operations?service=stock").await.json();
    assert_eq!(operations, json!({"operations": [{"name": "POST /reserve", "spanKind": "server"}]}));
    let found = lodge
        .get(
            "/api/v3/trace-summaries?query.serviceName=stock&query.operationName=POST+%2Freserve\
             &query.startTimeMin=2023-11-14T21%3A13%3A20.000Z&query.startTimeMax=2023-11-14T23%3A13%3A20.000Z\
             &query.searchDepth=20&query.durationMin=100ms&query.durationMax=1.2s\
             &query.attributes=%7B%22error%22%3A%22true%22%2C%22sku%22%3A%22a%252Fb%22%7D",
        )
        .await;
    assert_eq!(ids_of_valid_summaries(&found), [CART]);
    let trace = lodge.get(&format!("/api/traces/{CART}")).await.json();
    assert_eq!(trace["data"][0]["spans"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn grafana_reads_a_trace_by_times_that_it_does_not_encode() {
    let lodge = Lodge::furnished();
    assert_eq!(lodge.get("/api/v3/services").await.json()["services"][1], "shop");
    let operations = lodge.get("/api/v3/operations?service=naïve%2Fshop+one").await.json();
    assert_eq!(operations["operations"][0], json!({"name": "GET /a b/ü", "spanKind": "server"}));
    for id in [CART, &CART[16..]] {
        // Hours beside the trace: a hint that is wrong hides nothing.
        let times = "start_time=2023-11-15T00:13:20.5+02:00&end_time=2023-11-15T00:13:21%2B02:00";
        let answer = lodge.get(&format!("/api/v3/traces/{id}?{times}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(sent(&answer.json()["result"]).resource_spans.len(), 2, "one for each service");
    }
}

#[tokio::test]
async fn a_trace_reads_back_as_the_spans_that_were_sent() {
    let request = drawn(5, "shop | GET / | server | 0-10 | n=-5 ok=true scope:part=x !event=e@3 !link=7");
    let lodge = Lodge::holding(std::slice::from_ref(&request));
    for uri in ["/api/v3/traces/5", "/api/v3/traces/5?rawTraces=true", "/api/v3/traces/5?raw_traces=1"] {
        let json = lodge.get(uri).await.json();
        assert_eq!(sent(&json["result"]), request, "{uri}");
    }
}

#[tokio::test]
async fn every_spelling_of_a_parameter_is_that_parameter() {
    let lodge = Lodge::furnished();
    let same = [
        ("query.serviceName=shop", "query.service_name=shop", vec![LATER, CART]),
        ("query.operationName=GET+%2F", "query.operation_name=GET+%2F", vec![LATER]),
        ("query.durationMin=180ms", "query.duration_min=180ms", vec![CART]),
        ("query.durationMax=1ms", "query.duration_max=1ms", vec![NAMES]),
        ("query.searchDepth=1", "query.search_depth=1", vec![NAMES]),
        ("query.numTraces=1", "query.num_traces=1", vec![NAMES]),
        ("query.searchDepth=0", "query.searchDepth=", vec![NAMES, LATER, CART]),
        ("query.rawTraces=true", "query.raw_traces=true", vec![NAMES, LATER, CART]),
    ];
    for (camel, snake, expected) in same {
        for spelled in [camel, snake] {
            assert_eq!(summaries(&lodge, &format!("&{spelled}")).await, expected, "{spelled}");
        }
    }
    let snake =
        "query.start_time_min=2023-11-14T22:13:21Z&query.start_time_max=2023-11-15T00:13:21.000000001+02:00";
    let found = lodge.get(&format!("/api/v3/trace-summaries?{snake}")).await;
    assert_eq!(ids_of_valid_summaries(&found), [LATER], "both ends belong to it");
    let far = "query.startTimeMin=2023-11-14T22:13:00Z&query.startTimeMax=3000-01-01T00:00:00Z";
    let found = lodge.get(&format!("/api/v3/trace-summaries?{far}")).await;
    assert_eq!(ids_of_valid_summaries(&found), [NAMES, LATER, CART], "beyond what is counted in 64 bits");
    for kind in ["spanKind", "span_kind"] {
        let operations = lodge.get(&format!("/api/v3/operations?service=shop&{kind}=client")).await.json();
        assert_eq!(operations, json!({"operations": [{"name": "POST /reserve", "spanKind": "client"}]}));
    }
}

#[tokio::test]
async fn some_attributes_are_words_of_jaegers_own() {
    let lodge = Lodge::furnished();
    let cases = [
        (r#"{"error":"true"}"#, vec![CART]),
        (r#"{"span.status":"OK"}"#, vec![LATER]),
        (r#"{"span.kind":"client"}"#, vec![CART]),
        (r#"{"resource.host.name":"h1","x":"1"}"#, vec![NAMES]),
        (r#"{"user":"ann"}"#, vec![LATER]),
        (r#"{"user":"bob"}"#, vec![]),
        ("{}", vec![NAMES, LATER, CART]),
    ];
    for (attributes, expected) in cases {
        let asked: String = form_urlencoded::byte_serialize(attributes.as_bytes()).collect();
        assert_eq!(summaries(&lodge, &format!("&query.attributes={asked}")).await, expected, "{attributes}");
    }
}

#[tokio::test]
async fn a_structured_filter_says_all_of_what_is_searched_for() {
    let lodge = Lodge::furnished();
    let filter = json!({"op": "or", "args": [
        {"call": {"op": "eq", "args": [{"attr": {"key": "user"}}, {"scalar": {"value": "ann"}}]}},
        {"call": {"op": "eq", "args": [{"field": {"name": "name", "level": "span"}}, {"scalar": {"value": "POST /reserve"}}]}},
    ]});
    let asked = |filter: &str| -> String { form_urlencoded::byte_serialize(filter.as_bytes()).collect() };
    let found = summaries(&lodge, &format!("&query.filter={}", asked(&filter.to_string()))).await;
    assert_eq!(found, [LATER, CART]);
    let cases = [
        (
            format!("query.filter={}&query.service_name=shop", asked(&filter.to_string())),
            "parameter 'query.filter' cannot be given together with 'query.service_name'",
        ),
        ("query.filter=x".into(), "unable to parse param 'query.filter': filter is not JSON: "),
        (
            format!("query.filter={}", asked(r#"{"op":"like"}"#)),
            "unable to parse param 'query.filter': filter, at depth 1: unknown operator 'like'",
        ),
    ];
    for (conditions, message) in cases {
        let answer = lodge.get(&format!("/api/v3/traces?{WINDOW}&{conditions}")).await;
        assert_eq!(answer.status, 400, "{conditions}");
        let said = answer.json()["error"]["message"].as_str().unwrap().to_owned();
        assert!(said.starts_with(message), "{said}");
    }
}

#[tokio::test]
async fn summaries_count_what_jaeger_counts() {
    let lodge = Lodge::holding(&[
        drawn(
            1,
            "b | late | server | 5-9 | ^77 !error=x\na | early | server | 1-2 | ^78\n| nameless | client | 3-4 | ^1",
        ),
        drawn(
            2,
            "a | second | server | 101-110\n| first | client | 100-105 | !error=x !error=y\n  a | in it | server | 101-102",
        ),
    ]);
    let answer = lodge.get(&format!("/api/v3/trace-summaries?{WINDOW}")).await;
    ids_of_valid_summaries(&answer);
    let nanos = |millis: u64| (1_700_000_000_000_000_000 + millis * 1_000_000).to_string();
    let expected = json!({"summaries": [
        {
            "traceId": "00000000000000000000000000000002",
            "rootServiceName": "missing-service-name",
            "rootOperationName": "first",
            "minStartTimeUnixNano": nanos(100),
            "maxEndTimeUnixNano": nanos(110),
            "spanCount": 3,
            "errorSpanCount": 1,
            "orphanSpanCount": 0,
            "services": [
                {"name": "a", "spanCount": 2, "errorSpanCount": 0},
                {"name": "missing-service-name", "spanCount": 1, "errorSpanCount": 1},
            ],
        },
        {
            "traceId": "00000000000000000000000000000001",
            "minStartTimeUnixNano": nanos(1),
            "maxEndTimeUnixNano": nanos(9),
            "spanCount": 3,
            "errorSpanCount": 1,
            "orphanSpanCount": 2,
            "services": [
                {"name": "a", "spanCount": 1, "errorSpanCount": 0},
                {"name": "b", "spanCount": 1, "errorSpanCount": 1},
                {"name": "missing-service-name", "spanCount": 1, "errorSpanCount": 0},
            ],
        },
    ]});
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn nothing_is_an_empty_list_or_not_found() {
    let lodge = Lodge::furnished();
    let nobody = format!("{WINDOW}&query.serviceName=nobody");
    let cases = [
        (format!("/api/v3/trace-summaries?{nobody}"), 200, json!({"summaries": []})),
        ("/api/v3/operations?service=nobody".into(), 200, json!({"operations": []})),
        ("/api/v3/dependencies?endTime=1980-01-01T00:00:00Z".into(), 200, json!({"dependencies": []})),
        (
            format!("/api/v3/traces?{nobody}"),
            404,
            json!({"error": {"httpCode": 404, "message": "No traces found"}}),
        ),
    ];
    for (uri, status, expected) in cases {
        let answer = lodge.get(&uri).await;
        assert_eq!((answer.status.as_u16(), answer.json()), (status, expected), "{uri}");
        assert_eq!(answer.header("content-type"), "application/json", "{uri}");
    }
    assert_eq!(Lodge::holding(&[]).get("/api/v3/services").await.json(), json!({"services": []}));
}

#[tokio::test]
async fn a_search_that_ends_before_it_finds_anything_says_so() {
    let lodge = Lodge::furnished().within(Limits { search_time: Duration::ZERO, ..Limits::default() });
    for uri in ["/api/v3/traces", "/api/v3/trace-summaries"] {
        let answer = lodge.get(&format!("{uri}?{WINDOW}")).await;
        assert_eq!(answer.status, 503, "{uri}");
        let message =
            "nothing was found until the time for searching was up; ask for a shorter time or a service";
        assert_eq!(answer.json(), json!({"error": {"httpCode": 503, "message": message}}), "{uri}");
    }
}

#[tokio::test]
async fn what_was_not_understood_is_named_with_what_is_right() {
    let lodge = Lodge::furnished();
    let time = "is not a time such as 2026-01-31T12:00:00.123456789Z";
    let duration = "is not a duration such as 300ms, 1.5s or 1m30s (units ns, us, µs, ms, s, m, h)";
    let end = "&query.startTimeMax=2023-11-14T22:14:00Z";
    let with = |text: &str| format!("/api/v3/traces?{WINDOW}&{text}");
    let cases = [
        ("/api/v3/operations".to_owned(), "parameter 'service' is required".to_owned()),
        (
            "/api/v3/operations?service=shop&span_kind=x".into(),
            "unable to parse param 'span_kind': 'x' is not one of unspecified, internal, server, client, producer, \
             consumer"
                .into(),
        ),
        ("/api/v3/traces".into(), "parameter 'query.startTimeMin' is required".into()),
        (
            "/api/v3/traces?query.start_time_min=2023-11-14T22:13:20Z".into(),
            "parameter 'query.startTimeMax' is required".into(),
        ),
        (
            format!("/api/v3/traces?query.start_time_min=1700000000{end}"),
            format!("unable to parse param 'query.start_time_min': '1700000000' {time}"),
        ),
        (
            format!("/api/v3/trace-summaries?query.start_time_min=2023-11-14T22:14:00Z{end}"),
            "'query.start_time_min' should be before 'query.startTimeMax'".into(),
        ),
        (with("query.duration_min=5"), format!("unable to parse param 'query.duration_min': '5' {duration}")),
        (
            with("query.durationMin=2s&query.durationMax=1s"),
            "'query.durationMax' should be greater than 'query.durationMin'".into(),
        ),
        (
            with("query.num_traces=-1"),
            "unable to parse param 'query.num_traces': '-1' is not a whole number from 0 to 1500".into(),
        ),
        (
            with("query.rawTraces=yes"),
            "unable to parse param 'query.rawTraces': 'yes' is not true or false".into(),
        ),
        (
            with("query.attributes=%7B%22a%22%3A1%7D"),
            "unable to parse param 'query.attributes': invalid type: integer `1`, expected a string at line 1 column 6"
                .into(),
        ),
        (
            "/api/v3/traces/xyz".into(),
            "unable to parse param 'trace_id': 'xyz' is not a trace id of 1 to 32 hex digits".into(),
        ),
        (
            "/api/v3/traces/%FF".into(),
            "unable to parse param 'trace_id': Invalid URL: Invalid UTF-8 in `trace_id`".into(),
        ),
        (
            "/api/v3/traces/1?raw_traces=2".into(),
            "unable to parse param 'raw_traces': '2' is not true or false".into(),
        ),
        (
            "/api/v3/traces/1?startTime=yesterday".into(),
            format!("unable to parse param 'startTime': 'yesterday' {time}"),
        ),
    ];
    for (uri, message) in cases {
        let answer = lodge.get(&uri).await;
        assert_eq!(answer.status, 400, "{uri}");
        assert_eq!(answer.json(), json!({"error": {"httpCode": 400, "message": message}}), "{uri}");
    }
}

#[tokio::test]
async fn a_kind_that_was_not_said_is_internal() {
    let lodge = Lodge::holding(&[drawn(1, "shop | tick | unspecified | 0-1\nshop | tick | internal | 1-2")]);
    let expected = json!({"operations": [{"name": "tick", "spanKind": "internal"}]});
    for kind in ["", "&spanKind=internal", "&spanKind=unspecified"] {
        let answer = lodge.get(&format!("/api/v3/operations?service=shop{kind}")).await;
        assert_eq!(answer.json(), expected, "{kind}");
    }
}

#[tokio::test]
async fn only_get_is_a_question() {
    let lodge = Lodge::furnished();
    for uri in ["/api/v3/services", "/api/v3/traces", "/api/v3/trace-summaries"] {
        assert_eq!(lodge.post(uri, "{}").await.status, 405, "{uri}");
    }
    assert_eq!(lodge.get("/api/v3/nothing").await.text(), "404 page not found\n");
}
