//! Traces in Jaeger's words: the mapping as JSON, and each adjuster by what it changes.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, InstrumentationScope, KeyValue, KeyValueList,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Message, Status};
use serde_json::{Value as Json, json};

use super::*;
use crate::model::sketch::span;
use crate::model::{Span as Record, SpanId, Timestamp, TraceId};
use crate::otlp::{Limits, spans};
use crate::translate::zipkin;

const TRACE: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0x46, 0x3a, 0xc3, 0x5c, 0x9f, 0x64, 0x13, 0xad];

fn any(value: Any) -> Option<AnyValue> {
    Some(AnyValue { value: Some(value) })
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: any(value), ..KeyValue::default() }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Any::StringValue(value.into()))
}

fn resource(attributes: Vec<KeyValue>) -> Resource {
    Resource { attributes, ..Resource::default() }
}

fn record(message: &Message, resource: &Resource) -> Record {
    let scope = InstrumentationScope {
        name: "net/http".into(),
        version: "1.2".into(),
        ..InstrumentationScope::default()
    };
    let spans = vec![message.clone()];
    let scope_spans = vec![ScopeSpans { scope: Some(scope), spans, ..ScopeSpans::default() }];
    span(&ResourceSpans { resource: Some(resource.clone()), scope_spans, ..ResourceSpans::default() })
}

fn message(id: u8, parent: Option<u8>) -> Message {
    Message {
        trace_id: TRACE.to_vec(),
        span_id: vec![0, 0, 0, 0, 0, 0, 0, id],
        parent_span_id: parent.map(|id| vec![0, 0, 0, 0, 0, 0, 0, id]).unwrap_or_default(),
        name: format!("operation {id}"),
        start_time_unix_nano: 1_700_000_000_000_001_999,
        end_time_unix_nano: 1_700_000_000_000_251_999,
        ..Message::default()
    }
}

fn json(records: &[Record], view: View) -> Json {
    serde_json::to_value(trace(records, view)).unwrap()
}

#[test]
fn a_span_is_said_field_by_field_in_jaegers_order() {
    let shop = resource(vec![text("service.name", "shop"), text("host.name", "h1")]);
    let span = Message {
        kind: 2,
        flags: 0x301,
        trace_state: "a=b".into(),
        status: Some(Status { code: 2, message: "no stock".into() }),
        attributes: vec![
            pair("n", Any::IntValue(1 << 60)),
            pair(
                "list",
                Any::ArrayValue(ArrayValue { values: vec![AnyValue { value: Some(Any::IntValue(1)) }] }),
            ),
            pair("map", Any::KvlistValue(KeyValueList { values: vec![text("k", "v")] })),
            pair("bytes", Any::BytesValue(vec![1, 2])),
            KeyValue { key: "empty".into(), ..KeyValue::default() },
            pair(
                "@jaeger@warnings",
                Any::ArrayValue(ArrayValue {
                    values: vec![AnyValue { value: Some(Any::StringValue("late".into())) }],
                }),
            ),
            text("@jaeger@format", "proto"),
        ],
        events: vec![
            Event {
                time_unix_nano: 1_700_000_000_000_002_000,
                name: "queued".into(),
                attributes: vec![text("depth", "3")],
                dropped_attributes_count: 0,
            },
            Event { name: "lost".into(), attributes: vec![text("event", "kept")], ..Event::default() },
        ],
        ..message(1, None)
    };
    let written = serde_json::to_string(&trace(&[record(&span, &shop)], View::Raw)).unwrap();
    let expected = concat!(
        r#"{"traceID":"463ac35c9f6413ad","spans":[{"traceID":"463ac35c9f6413ad","spanID":"0000000000000001","#,
        r#""flags":1,"operationName":"operation 1","references":[],"startTime":1700000000000001,"duration":250,"#,
        r#""tags":[{"key":"otel.scope.name","type":"string","value":"net/http"},"#,
        r#"{"key":"otel.scope.version","type":"string","value":"1.2"},"#,
        r#"{"key":"n","type":"int64","value":"1152921504606846976"},"#,
        r#"{"key":"list","type":"string","value":"[1]"},{"key":"map","type":"string","value":"{\"k\":\"v\"}"},"#,
        r#"{"key":"bytes","type":"binary","value":"AQI="},{"key":"empty","type":"string","value":""},"#,
        r#"{"key":"span.kind","type":"string","value":"server"},"#,
        r#"{"key":"otel.status_code","type":"string","value":"ERROR"},{"key":"error","type":"bool","value":true},"#,
        r#"{"key":"otel.status_description","type":"string","value":"no stock"},"#,
        r#"{"key":"w3c.tracestate","type":"string","value":"a=b"}],"#,
        r#""logs":[{"timestamp":1700000000000002,"fields":[{"key":"event","type":"string","value":"queued"},"#,
        r#"{"key":"depth","type":"string","value":"3"}]},"#,
        r#"{"timestamp":0,"fields":[{"key":"event","type":"string","value":"kept"}]}],"#,
        r#""processID":"p1","warnings":["late"]}],"#,
        r#""processes":{"p1":{"serviceName":"shop","tags":[{"key":"host.name","type":"string","value":"h1"}]}},"#,
        r#""warnings":null}"#,
    );
    assert_eq!(written, expected);
}

#[test]
fn parent_and_links_become_references_parent_first() {
    let shop = resource(vec![text("service.name", "shop")]);
    let link = |trace: [u8; 16], id: u8, attributes: Vec<KeyValue>| Link {
        trace_id: trace.to_vec(),
        span_id: vec![0, 0, 0, 0, 0, 0, 0, id],
        attributes,
        ..Link::default()
    };
    let span = Message {
        links: vec![
            link([7; 16], 9, vec![]),
            link(TRACE, 1, vec![]),
            link(TRACE, 3, vec![text("opentracing.ref_type", "child_of")]),
        ],
        ..message(2, Some(1))
    };
    let json = json(&[record(&span, &shop)], View::Raw);
    let expected = json!([
        {"refType": "CHILD_OF", "traceID": "463ac35c9f6413ad", "spanID": "0000000000000001"},
        {"refType": "FOLLOWS_FROM", "traceID": "07070707070707070707070707070707", "spanID": "0000000000000009"},
        {"refType": "CHILD_OF", "traceID": "463ac35c9f6413ad", "spanID": "0000000000000003"},
    ]);
    assert_eq!(json["spans"][0]["references"], expected);
}

#[test]
fn a_service_without_a_name_is_called_by_what_is_missing() {
    let cases = [
        (vec![], "OTLPResourceNoServiceName"),
        (vec![text("host.name", "h")], "missing-service-name"),
        (vec![pair("service.name", Any::IntValue(1))], "service-name-wrong-type"),
        (vec![text("service.name", "")], "empty-service-name"),
        (vec![text("service.name", "shop")], "shop"),
    ];
    for (attributes, expected) in cases {
        let records = [record(&message(1, None), &resource(attributes))];
        assert_eq!(json(&records, View::Raw)["processes"]["p1"]["serviceName"], expected);
        let asked: Vec<_> = asked_services(expected).collect();
        assert_eq!(asked, if expected == "shop" { vec!["shop"] } else { vec![expected, ""] });
    }
}

#[test]
fn equal_processes_share_one_key_in_order_of_appearance() {
    let shop = || resource(vec![text("service.name", "shop")]);
    let stock = resource(vec![text("service.name", "stock")]);
    let records = [
        record(&message(1, None), &stock),
        record(&message(2, None), &shop()),
        record(&message(3, None), &shop()),
    ];
    let json = json(&records, View::Adjusted);
    let keys: Vec<_> = (0..3).map(|place| json["spans"][place]["processID"].clone()).collect();
    assert_eq!(keys, ["p1", "p2", "p2"]);
    assert_eq!(json["processes"].as_object().unwrap().len(), 2);
    assert_eq!(json["processes"]["p1"]["serviceName"], "stock");
}

#[test]
fn a_span_that_ends_before_it_starts_takes_no_time_and_says_so() {
    let span = Message { end_time_unix_nano: 5, ..message(1, None) };
    let json = json(&[record(&span, &Resource::default())], View::Raw);
    assert_eq!(json["spans"][0]["duration"], 0);
    assert_eq!(json["spans"][0]["warnings"][0], "the span ends before it starts; its duration is shown as 0");
}

/// A span of Jaeger's shape: id, parent, kind, start and duration in µs.
fn shaped(id: u8, parent: Option<u8>, kind: &'static str, start: u64, duration: u64) -> Span<'static> {
    let span_id = |id: u8| SpanId([0, 0, 0, 0, 0, 0, 0, id]);
    let reference =
        |id| Reference { ref_type: ReferenceType::ChildOf, trace_id: TraceId(TRACE), span_id: span_id(id) };
    Span {
        trace_id: TraceId(TRACE),
        span_id: span_id(id),
        flags: 0,
        operation_name: "".into(),
        references: parent.map(reference).into_iter().collect(),
        start: Timestamp(start * 1_000),
        duration: duration * 1_000,
        tags: vec![Tag::text("span.kind", kind)],
        logs: vec![],
        process: 0,
        warnings: vec![],
    }
}

fn of(spans: Vec<Span<'static>>) -> Trace<'static> {
    let process = Process { service_name: "shop".into(), tags: vec![] };
    Trace { trace_id: TraceId(TRACE), spans, processes: vec![process], warnings: vec![] }
}

/// Ids and parents, as numbers.
fn family(trace: &Trace<'_>) -> Vec<(u8, Option<u8>)> {
    trace.spans.iter().map(|span| (span.span_id.0[7], span.parent().map(|parent| parent.0[7]))).collect()
}

#[test]
fn halves_of_a_call_that_share_an_id_are_separated() {
    let mut trace = of(vec![
        shaped(1, None, "server", 0, 9),
        shaped(2, Some(1), "client", 1, 8),
        shaped(2, Some(1), "server", 2, 6),
        shaped(2, Some(1), "server", 3, 6),
        shaped(4, Some(2), "internal", 3, 2),
    ]);
    adjust::separate_shared_ids(&mut trace);
    assert_eq!(
        family(&trace),
        [(1, None), (2, Some(1)), (3, Some(2)), (5, Some(2)), (4, Some(5))],
        "server halves hang on the client half, the rest on the last server half"
    );
}

/// A list of Zipkin's version 2, kept and said.
fn of_zipkin(list: &str, view: View) -> Json {
    let read = zipkin::json::read(list.as_bytes()).unwrap();
    let request = Bytes::from(zipkin::request(&read.spans));
    json(&spans(&request, &Limits::default()).unwrap(), view)
}

#[test]
fn halves_that_zipkin_shares_an_id_among_become_caller_and_called() {
    let half = |kind: &str, service: &str, id: &str, parent: &str| {
        format!(
            r#"{{"traceId":"a","id":"{id}"{parent},"kind":"{kind}","timestamp":5,"duration":2,
                "localEndpoint":{{"serviceName":"{service}"}},"shared":{}}}"#,
            kind == "SERVER"
        )
    };
    let list = [
        half("CLIENT", "shop", "b", ""),
        half("SERVER", "cart", "b", ""),
        half("CLIENT", "cart", "c", r#","parentId":"b""#),
    ];
    let said = of_zipkin(&format!("[{}]", list.join(",")), View::Adjusted);
    let family = |span: &Json| {
        let parent =
            span["references"].as_array().and_then(|all| all.first()?["spanID"].as_str()).unwrap_or("-");
        format!("{} < {parent}", span["spanID"].as_str().unwrap())
    };
    let families: Vec<_> = said["spans"].as_array().unwrap().iter().map(family).collect();
    let (client, server, child) = ("000000000000000b", "0000000000000001", "000000000000000c");
    let expected = [format!("{client} < -"), format!("{server} < {client}"), format!("{child} < {server}")];
    assert_eq!(families, expected);
}

#[test]
fn a_span_in_zipkins_words_is_said_once() {
    let list = r#"[{"traceId":"a","id":"b","kind":"CLIENT","name":"get","timestamp":7,"debug":true,
        "localEndpoint":{"serviceName":"shop","ipv4":"10.0.0.1","port":80},
        "remoteEndpoint":{"serviceName":"cart","ipv6":"::1"},
        "annotations":[{"timestamp":8,"value":"ws"}],
        "tags":{"error":"boom","otel.status_code":"ERROR","w3c.tracestate":"a=b","http.path":"/","otel.scope.name":"x"}}]"#;
    let said = of_zipkin(list, View::Raw);
    let span = &said["spans"][0];
    let tag = |key: &str, kind: &str, value: Json| json!({"key": key, "type": kind, "value": value});
    let text = |key: &str, value: &str| tag(key, "string", json!(value));
    let expected = json!([
        text("http.path", "/"),
        text("otel.scope.name", "x"),
        text("peer.service", "cart"),
        text("net.peer.ip", "::1"),
        text("span.kind", "client"),
        text("otel.status_code", "ERROR"),
        tag("error", "bool", json!(true)),
        text("otel.status_description", "boom"),
        text("w3c.tracestate", "a=b"),
    ]);
    assert_eq!(span["tags"], expected);
    assert_eq!(span["logs"], json!([{"timestamp": 8, "fields": [text("event", "ws")]}]));
    let process = json!({
        "serviceName": "shop",
        "tags": [text("net.host.ip", "10.0.0.1"), tag("net.host.port", "int64", json!(80))],
    });
    assert_eq!(said["processes"]["p1"], process);
}

#[test]
fn tags_are_sorted_and_event_comes_first() {
    let mut span = shaped(1, None, "server", 0, 1);
    span.tags = vec![Tag::text("b", "1"), Tag::text("a", "2")];
    span.logs = vec![Log {
        timestamp: Timestamp(0),
        fields: vec![Tag::text("level", "info"), Tag::text("a", "x"), Tag::text("event", "e")],
    }];
    let mut trace = of(vec![span]);
    adjust::sort_tags_and_fields(&mut trace);
    let keys = |tags: &[Tag<'_>]| tags.iter().map(|tag| tag.key.to_string()).collect::<Vec<_>>();
    assert_eq!(keys(&trace.spans[0].tags), ["a", "b"]);
    assert_eq!(keys(&trace.spans[0].logs[0].fields), ["event", "a", "level"]);
}

#[test]
fn equal_spans_are_shown_once_and_different_ones_of_one_id_are_kept() {
    let mut not_a_number = shaped(3, None, "server", 0, 1);
    not_a_number.tags.push(Tag { key: "x".into(), value: Value::Float64(f64::NAN) });
    let mut elsewhere = shaped(1, None, "server", 0, 1);
    elsewhere.process = 1;
    let mut trace = of(vec![
        shaped(1, None, "server", 0, 1),
        shaped(1, None, "server", 0, 1),
        elsewhere,
        shaped(1, None, "server", 0, 2),
        not_a_number.clone(),
        not_a_number,
    ]);
    trace.processes.push(trace.processes[0].clone());
    adjust::drop_duplicates(&mut trace);
    assert_eq!(family(&trace), [(1, None), (1, None), (3, None)]);
}

#[test]
fn many_different_spans_of_one_id_are_told_apart_in_no_time() {
    let started = std::time::Instant::now();
    let spans = (0..10_000).map(|start| shaped(1, None, "server", start % 8_000, 1)).collect();
    let mut trace = of(spans);
    adjust::drop_duplicates(&mut trace);
    assert_eq!(trace.spans.len(), 8_000);
    assert!(started.elapsed() < std::time::Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_clock_that_is_off_is_named_and_nothing_is_shifted() {
    let cases = [
        ("inside", shaped(2, Some(1), "server", 120, 10), ""),
        ("before", shaped(2, Some(1), "server", 50, 10), "off by 95 µs"),
        ("after", shaped(2, Some(1), "server", 300, 10), "off by -155 µs"),
        ("longer, after its start", shaped(2, Some(1), "server", 150, 900), ""),
        ("longer, before its start", shaped(2, Some(1), "server", 50, 900), "off by 50 µs"),
        ("orphan", shaped(2, Some(9), "server", 50, 10), "0000000000000009 is not in the trace"),
        ("shared", shaped(1, None, "server", 50, 10), "another span has the same id"),
    ];
    for (case, child, expected) in cases {
        let start = child.start;
        let mut trace = of(vec![shaped(1, None, "client", 100, 100), child]);
        adjust::warn_of_clock_skew(&mut trace);
        assert_eq!(trace.spans[1].start, start, "{case}");
        let warning = trace.spans[1].warnings.first().cloned().unwrap_or_default();
        assert_eq!(warning.is_empty(), expected.is_empty(), "{case}: {warning}");
        assert!(warning.contains(expected), "{case}: {warning}");
    }
}

#[test]
fn hosts_that_are_known_to_be_the_same_have_the_same_clock() {
    let mut trace = of(vec![shaped(1, None, "client", 100, 100), shaped(2, Some(1), "server", 50, 10)]);
    trace.processes[0].tags = vec![Tag::text("ip", "10.0.0.1")];
    adjust::warn_of_clock_skew(&mut trace);
    assert!(trace.spans[1].warnings.is_empty());
}

#[test]
fn addresses_sent_as_numbers_are_spelled() {
    let mut span = shaped(1, None, "server", 0, 1);
    span.tags = vec![
        Tag { key: "peer.ipv4".into(), value: Value::Int64(0x0808_0404) },
        Tag { key: "ip".into(), value: Value::Int64(-1) },
        Tag { key: "port".into(), value: Value::Int64(80) },
    ];
    let mut trace = of(vec![span]);
    adjust::spell_addresses(&mut trace);
    assert_eq!(trace.spans[0].tags[0], Tag::text("peer.ipv4", "8.8.4.4"));
    assert_eq!(trace.spans[0].tags[1], Tag::text("ip", "255.255.255.255"));
    assert_eq!(trace.spans[0].tags[2].value, Value::Int64(80));
}

#[test]
fn what_speaks_of_the_sdk_moves_to_the_process() {
    let mut first = shaped(1, None, "server", 0, 1);
    first.tags.push(Tag::text("telemetry.sdk.name", "opentelemetry"));
    let mut trace = of(vec![first.clone(), shaped(2, None, "server", 0, 1), first]);
    adjust::move_library_tags(&mut trace);
    assert_eq!(trace.spans[0].tags, [Tag::text("span.kind", "server")]);
    assert_eq!(
        trace.processes[trace.spans[0].process].tags,
        [Tag::text("telemetry.sdk.name", "opentelemetry")]
    );
    assert!(trace.processes[trace.spans[1].process].tags.is_empty(), "the others keep theirs");
    assert_eq!(trace.spans[0].process, trace.spans[2].process);
}

#[test]
fn empty_references_go_and_the_parent_comes_first() {
    let mut span = shaped(2, Some(1), "server", 0, 1);
    let elsewhere = Reference {
        ref_type: ReferenceType::FollowsFrom,
        trace_id: TraceId([1; 16]),
        span_id: SpanId([1; 8]),
    };
    span.references.insert(0, elsewhere);
    span.references.insert(0, Reference { trace_id: TraceId([0; 16]), ..elsewhere });
    let mut trace = of(vec![span]);
    adjust::all(&mut trace);
    let span = &trace.spans[0];
    assert_eq!(span.references.len(), 2);
    assert_eq!(span.references[0].span_id, SpanId([0, 0, 0, 0, 0, 0, 0, 1]));
    assert!(span.warnings[1].starts_with("a reference without an id was left out"), "{:?}", span.warnings);
}
