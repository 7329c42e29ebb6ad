//! Jaeger's HTTP API, v1: what its page and Grafana ask.

use std::time::Duration;

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue};
use opentelemetry_proto::tonic::trace::v1::span::Link;
use serde_json::json;
use tracelodge::query::Limits;

use crate::lodge::{Answer, Lodge, trace_ids};
use crate::sketch::{attribute, drawn};
use crate::zipkin::session;

const CART: &str = "463ac35c9f6413ad";
const LATER: &str = "00000000000000070000000000000007";
const NAMES: &str = "00000000000000090000000000000000";

/// Compares with `tests/golden/api/<name>.snap`; JSON is written with `prettyPrint`, so its order is the answer's.
pub(crate) fn golden(name: &str, answer: &Answer) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../golden/api");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let text = format!("{} {}\n\n{}", answer.status, answer.header("content-type"), answer.text());
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[tokio::test]
async fn each_route_answers_as_it_always_did() {
    let lodge = Lodge::furnished();
    let routes = [
        ("services", "/api/services"),
        ("operation_names", "/api/services/shop/operations"),
        ("operations", "/api/operations?service=shop"),
        ("search", "/api/traces?service=shop&limit=1"),
        ("search_without_a_match", "/api/traces?service=nobody"),
        ("several_traces", "/api/traces?traceID=463ac35c9f6413ad&traceID=abc"),
        ("trace", "/api/traces/463ac35c9f6413ad"),
        ("trace_not_found", "/api/traces/abc"),
        ("dependencies", "/api/dependencies?endTs=1700003600000&lookback=86400000"),
        ("unknown", "/api/v9/nothing"),
    ];
    for (name, uri) in routes {
        let separator = if uri.contains('?') { '&' } else { '?' };
        golden(name, &lodge.get(&format!("{uri}{separator}prettyPrint=true")).await);
    }
    golden("archive", &lodge.post("/api/archive/463ac35c9f6413ad?prettyPrint=true", "").await);
    golden("archive_not_found", &lodge.post("/api/archive/abc", "").await);
}

#[tokio::test]
async fn raw_leaves_out_what_jaeger_adjusts() {
    let mut request = drawn(1, "shop | GET / | server | 0-10 | telemetry.sdk.name=otel b=2 a=1");
    let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
    span.attributes.extend([
        attribute("big", Value::IntValue(9_007_199_254_740_993)),
        attribute("nan", Value::DoubleValue(f64::NAN)),
        attribute("bytes", Value::BytesValue(vec![0, 1, 2])),
        attribute("peer.ipv4", Value::IntValue(0x7f00_0001)),
        attribute(
            "list",
            Value::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(Value::BoolValue(true)) }] }),
        ),
    ]);
    span.links.push(Link::default());
    let lodge = Lodge::holding(&[request]);
    golden("trace_adjusted", &lodge.get("/api/traces/1?prettyPrint=true").await);
    golden("trace_raw", &lodge.get("/api/traces/1?raw=true&prettyPrint=true").await);
}

#[tokio::test]
async fn answers_stand_in_one_line_unless_asked_otherwise() {
    let lodge = Lodge::furnished();
    let compact =
        r#"{"data":["naïve/shop one","shop","stock"],"total":3,"limit":0,"offset":0,"errors":null}"#;
    for uri in ["/api/services", "/api/services?prettyPrint=", "/api/services?prettyPrint=false"] {
        assert_eq!(lodge.get(uri).await.text(), compact, "{uri}");
    }
    assert!(lodge.get("/api/services?prettyPrint=1").await.text().starts_with("{\n    \"data\": ["));
    let nothing = r#"{"data":[],"total":0,"limit":0,"offset":0,"errors":null}"#;
    for uri in
        ["/api/traces?service=nobody", "/api/operations?service=nobody", "/api/services/nobody/operations"]
    {
        let answer = lodge.get(uri).await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, nothing), "{uri}");
    }
}

/// Whether a question is answered with 400 and this message, as Jaeger does.
async fn is_refused(lodge: &Lodge, uri: &str, message: &str) {
    let answer = lodge.get(uri).await;
    let expected = json!({
        "data": null, "total": 0, "limit": 0, "offset": 0, "errors": [{"code": 400, "msg": message}],
    });
    assert_eq!(answer.status, 400, "{uri}");
    assert_eq!(answer.json(), expected, "{uri}");
    assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "{uri}");
    assert!(answer.text().ends_with('\n'), "{uri}");
}

#[tokio::test]
async fn what_is_wrong_with_a_question_for_metrics_is_named() {
    let lodge = Lodge::furnished();
    let cases = [
        ("/api/metrics/calls", "parameter 'service' is required".to_owned()),
        ("/api/metrics/latencies?service=shop", "parameter 'quantile' is required".to_owned()),
        (
            "/api/metrics/latencies?service=shop&quantile=95",
            "unable to parse param 'quantile': '95' is not a number from 0 to 1".to_owned(),
        ),
        (
            "/api/metrics/errors?service=shop&spanKind=all",
            "unable to parse param 'spanKind': 'all' is not one of unspecified, internal, server, client, producer, \
             consumer"
                .to_owned(),
        ),
        (
            "/api/metrics/calls?service=shop&step=0",
            "unable to parse param 'step': '0' is not a whole number of milliseconds above 0".to_owned(),
        ),
        (
            "/api/metrics/calls?service=shop&step=1",
            "a series would have 3600001 points, 11000 are allowed; ask for a longer step or a shorter time".to_owned(),
        ),
    ];
    for (uri, message) in cases {
        is_refused(&lodge, uri, &message).await;
    }
}

#[tokio::test]
async fn what_was_not_understood_is_named_with_what_is_right() {
    let lodge = Lodge::furnished();
    let micros = "is not a whole number of microseconds since 1970";
    let millis = "is not a whole number of milliseconds";
    let duration = "is not a duration such as 300ms, 1.5s or 1m30s (units ns, us, µs, ms, s, m, h)";
    let cases = [
        ("/api/operations", "parameter 'service' is required".to_owned()),
        (
            "/api/operations?service=shop&spanKind=x",
            "unable to parse param 'spanKind': 'x' is not one of unspecified, internal, server, client, producer, \
             consumer"
                .to_owned(),
        ),
        ("/api/traces?start=1.5", format!("unable to parse param 'start': '1.5' {micros}")),
        ("/api/traces?end=now", format!("unable to parse param 'end': 'now' {micros}")),
        ("/api/traces?limit=0", "unable to parse param 'limit': '0' is not a whole number from 1 to 1500".into()),
        ("/api/traces?limit=-1", "unable to parse param 'limit': '-1' is not a whole number from 1 to 1500".into()),
        ("/api/traces?minDuration=5", format!("unable to parse param 'minDuration': '5' {duration}")),
        ("/api/traces?maxDuration=x", format!("unable to parse param 'maxDuration': 'x' {duration}")),
        (
            "/api/traces?minDuration=2s&maxDuration=1s",
            "'maxDuration' should be greater than 'minDuration'".to_owned(),
        ),
        ("/api/traces?tag=error", "malformed 'tag' parameter, expecting key:value, received: error".to_owned()),
        (
            "/api/traces?traceID=xyz",
            "unable to parse param 'traceID': 'xyz' is not a trace id of 1 to 32 hex digits".to_owned(),
        ),
        (
            "/api/traces/xyz",
            "unable to parse param 'traceID': 'xyz' is not a trace id of 1 to 32 hex digits".to_owned(),
        ),
        ("/api/traces/1?raw=yes", "unable to parse param 'raw': 'yes' is not true or false".to_owned()),
        ("/api/traces?raw=2", "unable to parse param 'raw': '2' is not true or false".to_owned()),
        ("/api/traces/1?start=x", format!("unable to parse param 'start': 'x' {micros}")),
        ("/api/dependencies?endTs=x", format!("unable to parse param 'endTs': 'x' {millis} since 1970")),
        ("/api/dependencies?lookback=1h", format!("unable to parse param 'lookback': '1h' {millis}")),
        ("/api/dependencies?links=some", "unable to parse param 'links': 'some' is not true or false".to_owned()),
    ];
    for (uri, message) in cases {
        is_refused(&lodge, uri, &message).await;
    }
    let answer = lodge.get("/api/traces?tags=%7B%22a%22%3A1%7D").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("malformed 'tags' parameter, expecting a JSON object of strings"));
}

#[tokio::test]
async fn metrics_are_families_of_series_outside_of_the_envelope() {
    let lodge = Lodge::furnished();
    let cases = [
        ("calls?service=shop", "service_call_rate"),
        ("errors?service=shop&groupByOperation=true", "service_operation_error_rate"),
        ("latencies?service=nobody&quantile=.95&spanKind=client&spanKind=server", "service_latencies"),
    ];
    for (question, name) in cases {
        let answer = lodge.get(&format!("/api/metrics/{question}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header("content-type")),
            (200, "application/json"),
            "{name}"
        );
        let family = answer.json();
        assert_eq!((&family["name"], &family["type"]), (&json!(name), &json!("GAUGE")));
        assert!(family["metrics"].is_array(), "{name}");
    }
    assert_eq!(lodge.get("/api/metrics/minstep?service=shop").await.status, 404);
}

#[tokio::test]
async fn a_search_that_did_not_look_at_everything_says_so() {
    let out_of_time = Limits { search_time: Duration::ZERO, ..Limits::default() };
    let narrow = Limits { search_bytes: 1, ..Limits::default() };
    let has_read = Limits { read_bytes: 1, ..Limits::default() };
    let cases = [
        (out_of_time, 0, "its time was up"),
        (narrow, 1, "the largest answer"),
        (has_read, 0, "read enough"),
    ];
    for (limits, count, reason) in cases {
        let lodge = Lodge::furnished().within(limits);
        let answer = lodge.get("/api/traces?service=shop").await;
        assert_eq!((answer.status.as_u16(), trace_ids(&answer).len()), (200, count));
        let items = &answer.json()["errors"];
        assert!(items[0]["msg"].as_str().unwrap().contains(reason), "{items}");
    }
    assert!(Lodge::furnished().get("/api/traces?service=shop&limit=1").await.json()["errors"].is_null());
}

#[tokio::test]
async fn grafana_gets_all_it_asks_for() {
    let lodge = Lodge::furnished();
    let services = lodge.get("/api/services").await.json();
    assert!(services["data"].as_array().unwrap().contains(&json!("shop")));
    let operations = lodge.get("/api/services/shop/operations").await.json();
    assert_eq!(operations["data"], json!(["GET /", "GET /cart", "POST /reserve"]));
    let search = "/api/traces?service=stock&operation=POST%20%2Freserve&tags=%7B%22error%22%3A%22true%22%7D\
                  &minDuration=100ms&maxDuration=1s&limit=20&start=1700000000000000&end=1700003600000000";
    assert_eq!(trace_ids(&lodge.get(search).await), [CART]);
    assert_eq!(trace_ids(&lodge.get(&format!("{search}&lookback=custom")).await), [CART]);
    let graph = lodge.get("/api/dependencies?endTs=1700003600000&lookback=3600000").await;
    assert_eq!(graph.json()["data"], json!([{"parent": "shop", "child": "stock", "callCount": 1}]));
    let by_id = format!("/api/traces/{CART}?start=1699996400000&end=1700003600000");
    assert_eq!(trace_ids(&lodge.get(&by_id).await), [CART], "Grafana says these in milliseconds");
}

#[tokio::test]
async fn grafana_is_answered_as_it_always_was() {
    let lodge = Lodge::furnished();
    // As its data source writes them, parameters in the order of their names.
    let asked = [
        "/api/services",
        "/api/services/stock/operations",
        "/api/services/na%C3%AFve/shop%20one/operations",
        "/api/traces?end=1700003600000000&limit=20&maxDuration=1s&minDuration=100ms&operation=POST+%2Freserve\
         &service=stock&start=1700000000000000&tags=%7B%22error%22%3A%22true%22%7D",
        "/api/traces?end=1700003600000000&limit=20&service=nobody&start=1700000000000000",
        "/api/traces/463ac35c9f6413ad",
        "/api/traces/463ac35c9f6413ad?end=1700003600000&start=1699996400000",
        "/api/traces/ffff",
        "/api/dependencies?endTs=1700003600000&lookback=7200000",
    ];
    golden("jaeger_grafana", &session(&lodge.router, &asked).await);
}

#[tokio::test]
async fn times_beside_an_id_never_hide_its_trace() {
    let lodge = Lodge::furnished();
    for hints in
        ["start=1&end=2", "start=1700000000000&end=1700000000001", "end=0", "start=9000000000000000000"]
    {
        assert_eq!(trace_ids(&lodge.get(&format!("/api/traces/{CART}?{hints}")).await), [CART], "{hints}");
    }
}

#[tokio::test]
async fn a_trace_has_one_id_in_every_spelling() {
    let lodge = Lodge::furnished();
    for id in [CART, "463AC35C9F6413AD", "0000000000000000463ac35c9f6413ad", "RjrDXJ9kE60="] {
        assert_eq!(trace_ids(&lodge.get(&format!("/api/traces/{id}")).await), [CART], "{id}");
    }
    assert_eq!(trace_ids(&lodge.get("/api/traces/70000000000000007").await), [LATER]);
}

#[tokio::test]
async fn every_condition_is_asked_of_one_span() {
    let lodge = Lodge::furnished();
    let cases: [(&str, &[&str]); 22] = [
        ("", &[NAMES, LATER, CART]),
        ("service=shop", &[LATER, CART]),
        ("service=shop&operation=GET%20/cart", &[CART]),
        ("operation=GET+/cart", &[CART]),
        ("tag=http.route:/cart", &[CART]),
        ("tag=http.route:/cart&tag=peer.service:stock", &[]),
        ("tag=error:true", &[CART]),
        ("tag=sku:a%252Fb&tags=%7B%22error%22%3A%22true%22%7D", &[CART]),
        ("service=shop&tag=error:true", &[]),
        ("tag=host.name:h1&limit=2", &[NAMES, LATER]),
        ("minDuration=240ms", &[CART]),
        ("minDuration=250000us&maxDuration=0.25s", &[CART]),
        ("minDuration=250000%C2%B5s", &[CART]),
        ("minDuration=250000%CE%BCs", &[CART]),
        ("minDuration=250001%CE%BCs", &[]),
        ("maxDuration=1ms", &[NAMES]),
        ("start=1700000001000000", &[NAMES, LATER]),
        ("start=1700000000000000&end=1700000000999999", &[CART]),
        ("end=1700000001000000&lookback=1s", &[LATER, CART]),
        ("lookback=30m", &[]),
        ("lookback=custom", &[NAMES, LATER, CART]),
        ("limit=100000", &[NAMES, LATER, CART]),
    ];
    for (conditions, expected) in cases {
        let answer = lodge.get(&format!("/api/traces?{conditions}")).await;
        assert_eq!(answer.status, 200, "{conditions}");
        assert_eq!(trace_ids(&answer), expected, "{conditions}");
    }
}

#[tokio::test]
async fn names_with_slashes_spaces_and_letters_of_any_script_are_found() {
    let lodge = Lodge::furnished();
    for path in ["na%C3%AFve%2Fshop%20one/operations", "na%C3%AFve/shop%20one/operations"] {
        let answer = lodge.get(&format!("/api/services/{path}")).await;
        assert_eq!(answer.json()["data"], json!(["GET /a b/ü"]), "{path}");
    }
    for path in ["shop", "shop/", "operations", "/operations", "shop/operations/"] {
        assert_eq!(lodge.get(&format!("/api/services/{path}")).await.status, 404, "{path}");
    }
    let search = "/api/traces?service=na%C3%AFve/shop+one&operation=GET%20%2Fa%20b%2F%C3%BC";
    assert_eq!(trace_ids(&lodge.get(search).await), [NAMES]);
}

#[tokio::test]
async fn operations_are_listed_by_kind() {
    let lodge = Lodge::furnished();
    let answer = lodge.get("/api/operations?service=shop&spanKind=CLIENT").await;
    assert_eq!(answer.json()["data"], json!([{"name": "POST /reserve", "spanKind": "client"}]));
}

#[tokio::test]
async fn a_service_without_a_name_can_be_listed_and_found() {
    let lodge = Lodge::holding(&[drawn(1, "| work | internal | 0-1")]);
    assert_eq!(lodge.get("/api/services").await.json()["data"], json!(["missing-service-name"]));
    let operations = lodge.get("/api/services/missing-service-name/operations").await;
    assert_eq!(operations.json()["data"], json!(["work"]));
    let found = lodge.get("/api/traces?service=missing-service-name").await;
    assert_eq!(found.json()["data"][0]["processes"]["p1"]["serviceName"], "missing-service-name");
}

#[tokio::test]
async fn a_service_really_named_as_one_without_a_name_is_found_beside_it() {
    let real = "missing-service-name";
    let lodge = Lodge::holding(&[
        drawn(1, "| work | internal | 0-1\n\x20 shop | sell | server | 0-1"),
        drawn(2, &format!("{real} | rest | internal | 10-11\n\x20 stock | count | server | 10-11")),
        drawn(3, &format!("| work | internal | 20-21\n\x20 {real} | rest | server | 20-21")),
        drawn(4, "shop | sell | server | 30-31"),
    ]);
    let (one, two, three) = ("0000000000000001", "0000000000000002", "0000000000000003");
    assert_eq!(lodge.get("/api/services").await.json()["data"], json!([real, "shop", "stock"]));
    let operations = lodge.get(&format!("/api/services/{real}/operations")).await;
    assert_eq!(operations.json()["data"], json!(["rest", "work"]));
    let operations = lodge.get(&format!("/api/operations?service={real}&spanKind=server")).await;
    assert_eq!(operations.json()["data"], json!([{"name": "rest", "spanKind": "server"}]));
    let searches: [(&str, &[&str]); 4] = [
        ("", &[three, two, one]),
        ("&limit=2", &[three, two]),
        ("&operation=rest", &[three, two]),
        ("&operation=sell", &[]),
    ];
    for (more, expected) in searches {
        let answer = lodge.get(&format!("/api/traces?service={real}{more}")).await;
        assert_eq!(trace_ids(&answer), expected, "{more}");
    }
    let listed = lodge.get(&format!("/api/a1/search?service={real}&limit=1")).await.json();
    assert_eq!(listed["traces"][0]["matched"], json!([one, two]), "both spans of the newest trace");
    assert_eq!((listed["traces"].as_array().unwrap().len(), &listed["stopped"]), (1, &json!("limit")));
    let call = |parent, child| json!({"parent": parent, "child": child, "callCount": 1});
    for (name, links) in [
        (real, vec![call(real, "shop"), call(real, real), call(real, "stock")]),
        ("empty-service-name", vec![call(real, "shop"), call(real, real)]),
    ] {
        let answer = lodge
            .get(&format!("/api/dependencies?endTs=1700003600000&lookback=86400000&service={name}"))
            .await;
        assert_eq!(answer.json()["data"].as_array().map(Vec::len), Some(links.len()), "{name}");
        for link in links {
            assert!(answer.json()["data"].as_array().unwrap().contains(&link), "{name}: {link}");
        }
    }
}

#[tokio::test]
async fn dependencies_are_those_of_the_time_and_the_service() {
    let lodge = Lodge::furnished();
    let call = json!([{"parent": "shop", "child": "stock", "callCount": 1}]);
    let window = "endTs=1700003600000&lookback=86400000";
    let cases = [
        (String::new(), call.clone()),
        (format!("?{window}"), call.clone()),
        (format!("?{window}&service=stock"), call.clone()),
        (format!("?{window}&service=nobody"), json!([])),
        ("?endTs=1000000000000&lookback=3600000".into(), json!([])),
    ];
    for (question, expected) in cases {
        assert_eq!(
            lodge.get(&format!("/api/dependencies{question}")).await.json()["data"],
            expected,
            "{question}"
        );
    }
}

#[tokio::test]
async fn archiving_pins_a_trace_and_takes_a_post() {
    let lodge = Lodge::furnished();
    assert_eq!(lodge.get(&format!("/api/archive/{CART}")).await.status, 405);
    assert_eq!(lodge.query.status().traces_pinned, 0);
    assert_eq!(lodge.post(&format!("/api/archive/{CART}"), "").await.status, 200);
    assert_eq!(lodge.query.status().traces_pinned, 1);
    assert_eq!(lodge.post("/api/archive/zzz", "").await.status, 400);
}

/// Two traces in one request, one span of which no store would take.
const OTLP_JSON: &str = r#"{"resourceSpans":[{
    "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}}]},
    "scopeSpans":[{"scope":{"name":"drawn"},"spans":[
        {"traceId":"0000000000000000000000000000000a","spanId":"0000000000000001","name":"first","kind":2,
         "startTimeUnixNano":"1700000000000000000","endTimeUnixNano":"1700000000005000000",
         "attributes":[{"key":"n","value":{"intValue":"9007199254740993"}}]},
        {"traceId":"0b000000000000000000000000000000","spanId":"0000000000000002","name":"second"},
        {"traceId":"0000000000000000000000000000000a","spanId":"0000000000000003","parentSpanId":"0000000000000001",
         "name":"third","kind":"SPAN_KIND_CLIENT"},
        {"traceId":"0a","spanId":"0000000000000004","name":"refused"}
    ]}]
}]}"#;

#[tokio::test]
async fn otlp_json_is_transformed_and_not_stored() {
    let lodge = Lodge::holding(&[]);
    golden("transform", &lodge.post("/api/transform?prettyPrint=true", OTLP_JSON).await);
    assert_eq!(lodge.get("/api/traces/a").await.status, 404);
    assert_eq!(trace_ids(&lodge.post("/api/transform", r#"{"resourceSpans":[]}"#).await), [""; 0]);
}

#[tokio::test]
async fn what_is_no_otlp_json_or_too_large_is_refused_with_the_reason() {
    let lodge = Lodge::holding(&[]);
    for body in ["", "{", "[]", r#"{"resourceSpans":7}"#] {
        let answer = lodge.post("/api/transform", body).await;
        assert_eq!(answer.status, 400, "{body}");
        let message = &answer.json()["errors"][0]["msg"];
        assert!(message.as_str().unwrap().starts_with("unable to read the body: "), "{message}");
    }
    let answer = lodge.post("/api/transform", vec![b' '; 20 * 1024 * 1024 + 1]).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.json()["errors"][0]["msg"], "the body is larger than 20971520 bytes");
}
