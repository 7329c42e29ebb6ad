//! `jaeger.api_v2.QueryService`, as its clients ask it.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use tonic::Code;
use tonic::transport::Channel;
use tracelodge::proto::jaeger::api_v2::query_service_client::QueryServiceClient;
use tracelodge::proto::jaeger::api_v2::*;

use crate::asked::{Asked, CART, LATER, all, at, failure, heavy};
use crate::drawing::{attribute, draw};
use crate::writing;

async fn door(asked: &Asked) -> QueryServiceClient<Channel> {
    QueryServiceClient::new(asked.door().await)
}

fn by_id(id: u128, raw_traces: bool) -> GetTraceRequest {
    let trace_id = id.to_be_bytes().to_vec().into();
    GetTraceRequest { trace_id, raw_traces, ..GetTraceRequest::default() }
}

fn spans(chunks: Vec<SpansResponseChunk>) -> Vec<Span> {
    chunks.into_iter().flat_map(|chunk| chunk.spans).collect()
}

/// A span as Jaeger's JSON has it, without its process.
fn as_json(span: &Span) -> Json {
    let text = |text: &[u8]| String::from_utf8(text.to_vec()).unwrap();
    let hex = |id: &[u8]| id.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let trace_id = |id: &[u8]| hex(if id[..8] == [0; 8] { &id[8..] } else { id });
    let micros = |seconds: i64, nanos: i32| seconds * 1_000_000 + i64::from(nanos) / 1_000;
    let tag = |tag: &KeyValue| {
        let value = match tag.v_type() {
            ValueType::String => json!(text(&tag.v_str)),
            ValueType::Bool => json!(tag.v_bool),
            ValueType::Int64 => json!(tag.v_int64),
            other => panic!("{other:?} is not drawn"),
        };
        json!({"key": text(&tag.key), "type": tag.v_type().as_str_name().to_lowercase(), "value": value})
    };
    let reference = |reference: &SpanRef| {
        json!({
            "refType": reference.ref_type().as_str_name(),
            "traceID": trace_id(&reference.trace_id),
            "spanID": hex(&reference.span_id),
        })
    };
    let time = |time: &Option<prost_types::Timestamp>| time.map(|time| micros(time.seconds, time.nanos));
    let logs = span.logs.iter().map(|log| {
        json!({"timestamp": time(&log.timestamp), "fields": log.fields.iter().map(tag).collect::<Vec<_>>()})
    });
    let warnings: Vec<_> = span.warnings.iter().map(|warning| text(warning)).collect();
    let mut json = json!({
        "traceID": trace_id(&span.trace_id),
        "spanID": hex(&span.span_id),
        "operationName": text(&span.operation_name),
        "references": span.references.iter().map(reference).collect::<Vec<_>>(),
        "startTime": time(&span.start_time),
        "duration": span.duration.map(|time| micros(time.seconds, time.nanos)),
        "tags": span.tags.iter().map(tag).collect::<Vec<_>>(),
        "logs": logs.collect::<Vec<_>>(),
        "warnings": if warnings.is_empty() { Json::Null } else { json!(warnings) },
    });
    if span.flags != 0 {
        json["flags"] = json!(span.flags);
    }
    json
}

#[tokio::test]
async fn a_trace_is_said_as_over_http_adjusted_or_raw() {
    let asked = Asked::furnished().await;
    let mut door = door(&asked).await;
    for (is_raw, id) in [(false, CART), (true, CART), (false, LATER)] {
        let said = spans(all(door.get_trace(by_id(id, is_raw)).await).await);
        let url = asked.server.query(&format!("/api/traces/{id:x}?raw={is_raw}"));
        let mut json = asked.client.get_json(url).await["data"][0].take();
        let processes = json["processes"].take();
        for (span, expected) in said.iter().zip(json["spans"].as_array_mut().unwrap()) {
            let process = expected.as_object_mut().unwrap().remove("processID").unwrap();
            assert_eq!(as_json(span), *expected);
            let process = &processes[process.as_str().unwrap()];
            assert_eq!(span.process.as_ref().unwrap().service_name, process["serviceName"].as_str().unwrap());
        }
        assert_eq!(said.len(), json["spans"].as_array().unwrap().len());
    }
    let shared = |said: &[Span]| said.iter().filter(|span| span.span_id.ends_with(&[2])).count();
    assert_eq!(shared(&spans(all(door.get_trace(by_id(CART, true)).await).await)), 2);
    assert_eq!(
        shared(&spans(all(door.get_trace(by_id(CART, false)).await).await)),
        1,
        "the server has its own"
    );
}

#[tokio::test]
async fn what_came_in_jaegers_words_leaves_in_them() {
    let asked = Asked::empty();
    let tag = |key: &str, v_str: &'static [u8]| KeyValue {
        key: key.to_owned().into(),
        v_str: v_str.into(),
        ..KeyValue::default()
    };
    let other = SpanRef {
        trace_id: vec![9; 16].into(),
        span_id: vec![9; 8].into(),
        ref_type: SpanRefType::FollowsFrom.into(),
    };
    let sent = Span {
        flags: 9,
        references: vec![other],
        tags: vec![tag("z", b"1"), tag("a", b"2"), tag("a", b"1")],
        warnings: vec!["odd".into()],
        ..writing::span(9, 1)
    };
    let odd = Span { tags: vec![tag("not text", b"\xff")], ..writing::span(9, 2) };
    let mut writer = writing::writer(&asked.server.storage).await;
    for span in [&sent, &odd] {
        writer.write_span(writing::write(span.clone())).await.unwrap();
    }
    let id = u128::from_be_bytes(writing::trace_id(9).0);
    asked.has(id, 2).await;
    let mut door = door(&asked).await;
    assert_eq!(spans(all(door.get_trace(by_id(id, true)).await).await), [sent, odd]);
    let adjusted = spans(all(door.get_trace(by_id(id, false)).await).await);
    let json = asked.client.get_json(asked.server.query(&format!("/api/traces/{id:x}"))).await;
    for (span, expected) in adjusted.iter().zip(json["data"][0]["spans"].as_array().unwrap()) {
        let mut expected = expected.clone();
        expected.as_object_mut().unwrap().remove("processID");
        assert_eq!(as_json(span), expected);
    }
    let keys: Vec<_> = adjusted[0].tags.iter().map(|tag| (&tag.key[..], &tag.v_str[..])).collect();
    assert_eq!(keys, [(&b"a"[..], &b"1"[..]), (b"a", b"2"), (b"z", b"1")]);
}

#[tokio::test]
async fn whole_traces_are_found_newest_first() {
    let asked = Asked::furnished().await;
    let mut door = door(&asked).await;
    let all_of_it =
        || TraceQueryParameters { start_time_min: at(0), start_time_max: at(1_000), ..Default::default() };
    let tags = |pairs: &[(&str, &str)]| -> HashMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    };
    let milliseconds = |nanos| Some(prost_types::Duration { seconds: 0, nanos: nanos * 1_000_000 });
    let unset = prost_types::Timestamp { seconds: -62_135_596_800, nanos: 0 };
    let cases = [
        (all_of_it(), vec![LATER, CART]),
        (TraceQueryParameters { search_depth: 1, ..all_of_it() }, vec![LATER]),
        (TraceQueryParameters { start_time_max: at(999), ..all_of_it() }, vec![CART]),
        (
            TraceQueryParameters {
                start_time_min: Some(unset),
                start_time_max: Some(unset),
                ..Default::default()
            },
            vec![LATER, CART],
        ),
        (TraceQueryParameters { service_name: "stock".into(), ..all_of_it() }, vec![CART]),
        (TraceQueryParameters { operation_name: "GET /".into(), ..all_of_it() }, vec![LATER]),
        (TraceQueryParameters { tags: tags(&[("error", "true"), ("sku", "x")]), ..all_of_it() }, vec![CART]),
        (TraceQueryParameters { tags: tags(&[("error", "true"), ("user", "ann")]), ..all_of_it() }, vec![]),
        (TraceQueryParameters { duration_min: milliseconds(181), ..all_of_it() }, vec![CART]),
        (TraceQueryParameters { duration_max: milliseconds(100), ..all_of_it() }, vec![LATER]),
    ];
    for (query, expected) in cases {
        let request = FindTracesRequest { query: Some(query) };
        let found = spans(all(door.find_traces(request.clone()).await).await);
        let mut ids: Vec<_> =
            found.iter().map(|span| u128::from_be_bytes(span.trace_id[..].try_into().unwrap())).collect();
        let count = ids.len();
        ids.dedup();
        assert_eq!(ids, expected, "{request:?}");
        assert_eq!(count, expected.iter().map(|id| if *id == CART { 3 } else { 1 }).sum::<usize>());
    }
}

#[tokio::test]
async fn what_there_is_is_listed() {
    let asked = Asked::furnished().await;
    let mut door = door(&asked).await;
    let services = door.get_services(GetServicesRequest {}).await.unwrap().into_inner();
    assert_eq!(services.services, ["shop", "stock"]);
    let operations = |service: &str, span_kind: &str| GetOperationsRequest {
        service: service.into(),
        span_kind: span_kind.into(),
    };
    let listed = door.get_operations(operations("shop", "")).await.unwrap().into_inner();
    assert_eq!(listed.operation_names, ["GET /", "GET /cart", "POST /reserve"]);
    let client = Operation { name: "POST /reserve".into(), span_kind: "client".into() };
    assert_eq!(listed.operations[2], client);
    let listed = door.get_operations(operations("shop", "client")).await.unwrap().into_inner();
    assert_eq!((listed.operations.len(), listed.operation_names.len()), (1, 1));
    let times = GetDependenciesRequest { start_time: at(0), end_time: at(3_600_000) };
    let calls = door.get_dependencies(times).await.unwrap().into_inner().dependencies;
    let call =
        DependencyLink { parent: "shop".into(), child: "stock".into(), call_count: 1, source: "".into() };
    assert_eq!(calls, [call]);
}

#[tokio::test]
async fn an_archived_trace_is_pinned() {
    let asked = Asked::furnished().await;
    let mut door = door(&asked).await;
    let request = |id: u128| ArchiveTraceRequest {
        trace_id: id.to_be_bytes().to_vec().into(),
        ..ArchiveTraceRequest::default()
    };
    door.archive_trace(request(CART)).await.unwrap();
    let status = door.archive_trace(request(5)).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "trace not found"));
    let metrics = asked.client.get(asked.server.admin("/metrics")).await.body;
    assert!(String::from_utf8_lossy(&metrics).contains("tracelodge_store_pinned_traces 1"));
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_said() {
    let asked = Asked::empty();
    let mut door = door(&asked).await;
    let not_found = (Code::NotFound, "trace not found".to_owned());
    assert_eq!(failure(door.get_trace(by_id(5, false)).await).await, not_found);
    assert_eq!(failure(door.get_trace(by_id(5, true)).await).await, not_found);
    let short = GetTraceRequest { trace_id: vec![1; 3].into(), ..GetTraceRequest::default() };
    let invalid = |message: &str| (Code::InvalidArgument, message.to_owned());
    let message = "trace_id has 3 bytes; it has to have 16, or 8";
    assert_eq!(failure(door.get_trace(short).await).await, invalid(message));
    let request = FindTracesRequest { query: None };
    assert_eq!(failure(door.find_traces(request).await).await, invalid("query is required"));
    let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    let query =
        TraceQueryParameters { duration_min: seconds(2), duration_max: seconds(1), ..Default::default() };
    let message = "duration_max is less than duration_min";
    assert_eq!(
        failure(door.find_traces(FindTracesRequest { query: Some(query) }).await).await,
        invalid(message)
    );
    let kind = GetOperationsRequest { service: "shop".into(), span_kind: "all".into() };
    let status = door.get_operations(kind).await.unwrap_err();
    let message = "span_kind: 'all' is not one of unspecified, internal, server, client, producer, consumer";
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, message));
}

#[tokio::test]
async fn a_trace_of_any_size_comes_in_messages_that_clients_take() {
    const TRACE: u128 = 3;
    let asked = Asked::empty();
    asked.deliver(heavy(TRACE, 1)).await;
    asked.deliver(heavy(TRACE, 2)).await;
    asked.has(TRACE, 2).await;
    let mut door = door(&asked).await;
    let is_sorted = |span: &Span| span.tags.is_sorted_by_key(|tag| tag.key.clone());
    let said = spans(all(door.get_trace(by_id(TRACE, false)).await).await);
    assert!(said.len() == 2 && said.iter().all(is_sorted), "it is adjusted");
    for number in 3..=9 {
        asked.deliver(heavy(TRACE, number)).await;
    }
    asked.has(TRACE, 9).await;
    let said = spans(all(door.get_trace(by_id(TRACE, false)).await).await);
    assert!(said.len() == 9 && !said.iter().any(is_sorted), "it is too large for that, but whole");
    let mut names: Vec<_> = said.iter().map(|span| span.operation_name.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 9);
}

#[tokio::test]
async fn a_trace_of_many_small_tags_is_too_large_to_adjust_sooner() {
    const TRACE: u128 = 5;
    let asked = Asked::empty();
    let mut door = door(&asked).await;
    let is_sorted = |span: &Span| span.tags.is_sorted_by_key(|tag| tag.key.clone());
    // 0.7 MB each, and 4 MB adjusted.
    for (number, is_adjusted) in (1..=10).map(|number| (number, number < 7)) {
        let drawing = format!("shop | step {number} | internal | {number}-{number} | #{number} z=1 a=1");
        let mut drawn = draw(TRACE, &drawing);
        let attributes = &mut drawn[0].scope_spans[0].spans[0].attributes;
        attributes.extend(std::iter::repeat_n(attribute("t", "x"), 60_000));
        asked.deliver(drawn).await;
        if matches!(number, 6 | 10) {
            asked.has(TRACE, number).await;
            let said = spans(all(door.get_trace(by_id(TRACE, false)).await).await);
            assert_eq!(said.len(), number);
            assert!(said.iter().all(|span| is_sorted(span) == is_adjusted), "{number}");
        }
    }
}

#[tokio::test]
async fn many_small_spans_share_a_message() {
    const TRACE: u128 = 4;
    let asked = Asked::empty();
    let drawing: String = (0..2_500).map(|n| format!("shop | step {n} | internal | {n}-{n}\n")).collect();
    asked.deliver(draw(TRACE, &drawing)).await;
    asked.has(TRACE, 2_500).await;
    let chunks = all(door(&asked).await.get_trace(by_id(TRACE, false)).await).await;
    let counts: Vec<_> = chunks.iter().map(|chunk| chunk.spans.len()).collect();
    assert_eq!(counts, [1_000, 1_000, 500]);
}
