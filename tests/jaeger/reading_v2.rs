//! What Jaeger 2 reads: `jaeger.storage.v2`.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, Span};
use prost::Message as _;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tracelodge::proto::jaeger::expression::v1::{
    AttributeReference, Call, Expression, Scalar, expression::Term,
};
use tracelodge::proto::jaeger::storage::v2::any_value::Value;
use tracelodge::proto::jaeger::storage::v2::capabilities_client::CapabilitiesClient;
use tracelodge::proto::jaeger::storage::v2::dependency_reader_client::DependencyReaderClient;
use tracelodge::proto::jaeger::storage::v2::trace_reader_client::TraceReaderClient;
use tracelodge::proto::jaeger::storage::v2::{
    AnyValue, ArrayValue, FindTraceIDsRequest, FindTraceSummariesRequest, FindTracesRequest,
    GetCapabilitiesRequest, GetDependenciesRequest, GetOperationsRequest, GetServicesRequest, GetTraceParams,
    GetTracesRequest, KeyValue, TraceQueryParameters, TraceSummary,
};
use tracelodge::proto::opentelemetry::proto::trace::v1::TracesData;

use crate::stored::{Sent, Stored, at, lasting, span, trace_id, year_1};

type Reader = TraceReaderClient<Channel>;

/// What Go's client takes.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

async fn reader(stored: &Stored) -> Reader {
    TraceReaderClient::new(stored.storage().await).max_decoding_message_size(MAX_MESSAGE_BYTES)
}

/// Traces put together as Jaeger's client does: messages that follow one another and are of one trace.
async fn glued(mut stream: tonic::Streaming<TracesData>) -> Result<Vec<Vec<Span>>, Status> {
    let mut traces: Vec<Vec<Span>> = Vec::new();
    while let Some(message) = stream.message().await? {
        assert!(message.encoded_len() < MAX_MESSAGE_BYTES);
        let spans: Vec<Span> = message.resource_spans.iter().flat_map(|bytes| spans(bytes)).collect();
        assert!((1..=1_000).contains(&spans.len()), "{} spans", spans.len());
        assert!(spans.iter().all(|span| span.trace_id == spans[0].trace_id), "of one trace");
        match traces.last_mut() {
            Some(last) if last[0].trace_id == spans[0].trace_id => last.extend(spans),
            _ => traces.push(spans),
        }
    }
    Ok(traces)
}

/// The spans of a group, each scope of which has some.
fn spans(bytes: &[u8]) -> Vec<Span> {
    let group = ResourceSpans::decode(bytes).unwrap();
    assert!(group.scope_spans.iter().all(|scope_spans| !scope_spans.spans.is_empty()));
    group.scope_spans.into_iter().flat_map(|scope_spans| scope_spans.spans).collect()
}

async fn traces(reader: &mut Reader, ids: &[u128]) -> Vec<Vec<Span>> {
    let asked = |id: &u128| GetTraceParams { trace_id: trace_id(*id), ..GetTraceParams::default() };
    let request = GetTracesRequest { query: ids.iter().map(asked).collect() };
    glued(reader.get_traces(request).await.unwrap().into_inner()).await.unwrap()
}

async fn find(reader: &mut Reader, query: TraceQueryParameters) -> Result<Vec<(u128, usize)>, Status> {
    let request = FindTracesRequest { query: Some(query) };
    let traces = glued(reader.find_traces(request).await?.into_inner()).await?;
    Ok(traces.iter().map(|spans| (number(&spans[0].trace_id), spans.len())).collect())
}

fn number(id: &[u8]) -> u128 {
    u128::from_be_bytes(id.try_into().unwrap())
}

fn of(service: &str) -> TraceQueryParameters {
    TraceQueryParameters { service_name: service.into(), ..TraceQueryParameters::default() }
}

fn asking(pairs: Vec<(&str, Value)>) -> TraceQueryParameters {
    let pair = |(key, value): (&str, Value)| KeyValue {
        key: key.into(),
        value: Some(AnyValue { value: Some(value) }),
    };
    TraceQueryParameters {
        attributes: pairs.into_iter().map(pair).collect(),
        ..TraceQueryParameters::default()
    }
}

fn text(text: &str) -> Value {
    Value::StringValue(text.into())
}

fn many(trace: u128, count: u64) -> Vec<Sent> {
    (1..=count).map(|id| span("shop", "step", trace, id).at(id % 1_000)).collect()
}

#[tokio::test]
async fn traces_that_are_missing_are_skipped_and_none_is_no_error() {
    let sent = [span("shop", "a", 1, 1), span("cart", "b", 1, 2), span("shop", "a", 2, 1)];
    let stored = Stored::with(&sent).await;
    let mut reader = reader(&stored).await;
    let found = traces(&mut reader, &[2, 7, 1, 2, 0]).await;
    let found: Vec<_> = found.iter().map(|spans| (number(&spans[0].trace_id), spans.len())).collect();
    assert_eq!(found, [(2, 1), (1, 2)]);
    assert_eq!(traces(&mut reader, &[7, 8]).await, [] as [Vec<Span>; 0]);
    assert_eq!(traces(&mut reader, &[]).await, [] as [Vec<Span>; 0]);
    let asked = |trace_id, start_time, end_time| GetTraceParams { trace_id, start_time, end_time };
    let far = asked(trace_id(1), at(86_400_000), year_1());
    let request = GetTracesRequest { query: vec![far] };
    let hinted = glued(reader.get_traces(request).await.unwrap().into_inner()).await.unwrap();
    assert_eq!(hinted[0].len(), 2, "times are only hints");
    let request = GetTracesRequest { query: vec![asked(vec![1; 5].into(), None, None)] };
    assert_eq!(reader.get_traces(request).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_trace_comes_whole_in_messages_of_its_own() {
    let mut sent = many(1, 10_000);
    sent.extend(many(2, 3));
    let long = "x".repeat(20_000);
    sent.extend((1..=400).map(|id| span("shop", "long", 3, id).tag("text", long.as_str())));
    let longest = "y".repeat(3_900_000);
    sent.push(span("shop", "longest", 4, 1).tag("text", longest.as_str()));
    let stored = Stored::with(&sent).await;
    let mut reader = reader(&stored).await;
    let whole = traces(&mut reader, &[4, 3, 2, 1]).await;
    let counts: Vec<_> = whole.iter().map(|spans| (number(&spans[0].trace_id), spans.len())).collect();
    assert_eq!(counts, [(4, 1), (3, 400), (2, 3), (1, 10_000)]);
    let ids: BTreeSet<_> = whole[3].iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), 10_000);
    let mut all = find(&mut reader, of("shop")).await.unwrap();
    all.sort_unstable();
    assert_eq!(all, [(1, 10_000), (2, 3), (3, 400), (4, 1)]);
}

#[tokio::test]
async fn the_newest_are_found_by_the_bounds_of_one_span() {
    let sent: Vec<Sent> =
        (1..=120).map(|trace| span("shop", "a", trace, 1).at(trace as u64).lasting(trace as u64)).collect();
    let stored = Stored::with(&sent).await;
    let mut reader = reader(&stored).await;
    let between = |start_time_min, start_time_max| TraceQueryParameters {
        start_time_min,
        start_time_max,
        ..of("shop")
    };
    let taking = |duration_min, duration_max| TraceQueryParameters { duration_min, duration_max, ..of("") };
    for (query, expected) in [
        (TraceQueryParameters { search_depth: 2, ..of("shop") }, (119..=120).rev().collect::<Vec<u128>>()),
        (of("shop"), (21..=120).rev().collect()),
        (TraceQueryParameters { search_depth: -3, ..of("") }, (21..=120).rev().collect()),
        (between(year_1(), at(3)), vec![3, 2, 1]),
        (between(at(7), at(8)), vec![8, 7]),
        (taking(lasting(119), None), vec![120, 119]),
        (taking(lasting(0), lasting(2)), vec![2, 1]),
        (taking(lasting(3), lasting(3)), vec![3]),
    ] {
        let found: Vec<u128> =
            find(&mut reader, query.clone()).await.unwrap().into_iter().map(|(trace, _)| trace).collect();
        assert_eq!(found, expected, "{query:?}");
        let request = FindTraceIDsRequest { query: Some(query) };
        let ids = reader.find_trace_i_ds(request).await.unwrap().into_inner().trace_ids;
        for (found, expected) in ids.iter().zip(&expected) {
            assert_eq!(number(&found.trace_id), *expected);
            let start = *expected as u64;
            assert_eq!((found.start, found.end), (at(start), at(2 * start)));
        }
        assert_eq!(ids.len(), expected.len());
    }
    for query in [between(at(2), at(1)), taking(lasting(2), lasting(1))] {
        assert_eq!(find(&mut reader, query).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn attributes_are_found_wherever_they_stand_whatever_their_type() {
    let one = span("shop", "a", 1, 1)
        .tag("in.span", true)
        .tag("number", 123)
        .tag("part", 72.5)
        .tag("raw", &b"\x01\xff"[..])
        .resource_tag("in.resource", "r")
        .scope_tag("in.scope", 7)
        .event_tag("in.event", "e")
        .link_tag("in.link", 0.5)
        .status(2)
        .kind(2);
    let other = span("shop", "a", 2, 1).tag("in.span", true).status(1);
    let stored = Stored::with(&[one, other, span("cart", "b", 2, 2).tag("number", 123)]).await;
    let mut reader = reader(&stored).await;
    for (pair, expected) in [
        (("in.span", text("true")), vec![1, 2]),
        (("in.span", Value::BoolValue(true)), vec![1, 2]),
        (("in.span", Value::BoolValue(false)), vec![]),
        (("number", text("123")), vec![1, 2]),
        (("number", Value::IntValue(123)), vec![1, 2]),
        (("part", Value::DoubleValue(72.5)), vec![1]),
        (("part", text("72.5")), vec![1]),
        (("raw", text("Af8=")), vec![1]),
        (("raw", Value::BytesValue(vec![1, 255].into())), vec![1]),
        (("raw", Value::ArrayValue(ArrayValue::default())), vec![]),
        (("in.resource", text("r")), vec![1]),
        (("resource.in.resource", text("r")), vec![1]),
        (("resource.in.span", text("true")), vec![]),
        (("in.scope", text("7")), vec![1]),
        (("in.event", text("e")), vec![1]),
        (("in.link", text("0.5")), vec![1]),
        (("error", text("true")), vec![1]),
        (("error", text("maybe")), vec![]),
        (("span.status", text("OK")), vec![2]),
        (("span.kind", text("server")), vec![1]),
    ] {
        let query = asking(vec![pair.clone()]);
        let mut found: Vec<u128> =
            find(&mut reader, query).await.unwrap().into_iter().map(|(trace, _)| trace).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{pair:?}");
    }
    let together = |pairs| TraceQueryParameters { service_name: "shop".into(), ..asking(pairs) };
    let both = together(vec![("in.span", text("true")), ("number", text("123"))]);
    assert_eq!(find(&mut reader, both).await.unwrap(), [(1, 1)], "all on one span");
}

fn equals(key: &str, value: &str) -> Call {
    let attribute = AttributeReference { key: key.into(), ..AttributeReference::default() };
    let scalar = Scalar { value: value.into(), ..Scalar::default() };
    let args = [Term::Attr(attribute), Term::Scalar(scalar)];
    Call { op: "eq".into(), args: args.map(|term| Expression { term: Some(term) }).into() }
}

#[tokio::test]
async fn a_filter_is_asked_alone() {
    let sent = [span("shop", "a", 1, 1).tag("color", "red"), span("shop", "a", 2, 1).tag("color", "blue")];
    let stored = Stored::with(&sent).await;
    let mut reader = reader(&stored).await;
    let filtered = |filter| TraceQueryParameters { filter: Some(filter), search_depth: 5, ..of("") };
    let query = TraceQueryParameters { start_time_min: at(0), ..filtered(equals("color", "red")) };
    assert_eq!(find(&mut reader, query.clone()).await.unwrap(), [(1, 1)]);
    for wrong in [
        TraceQueryParameters { service_name: "shop".into(), ..query.clone() },
        TraceQueryParameters { operation_name: "a".into(), ..query.clone() },
        TraceQueryParameters { duration_min: lasting(1), ..query.clone() },
        TraceQueryParameters { attributes: asking(vec![("a", text("b"))]).attributes, ..query.clone() },
        filtered(Call { op: "perhaps".into(), ..equals("color", "red") }),
    ] {
        assert_eq!(find(&mut reader, wrong).await.unwrap_err().code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn summaries_count_what_is_in_the_whole_trace() {
    let sent = [
        span("shop", "late root", 1, 1).at(20).lasting(10),
        span("shop", "root", 1, 2).at(10).lasting(50),
        span("cart", "load", 1, 3).at(5).below(2).status(2),
        span("cart", "load", 1, 4).at(70_000).below(77),
        span("shop", "child", 2, 1).at(1).below(9),
    ];
    let stored = Stored::with(&sent).await;
    let mut reader = reader(&stored).await;
    let request = |query| FindTraceSummariesRequest { query: Some(query) };
    let mut stream = reader.find_trace_summaries(request(of("shop"))).await.unwrap().into_inner();
    let mut summaries: Vec<TraceSummary> = Vec::new();
    while let Some(message) = stream.message().await.unwrap() {
        assert!(!message.summaries.is_empty());
        summaries.extend(message.summaries);
    }
    let [whole, rootless] = summaries.try_into().unwrap();
    let nanos = |moment: Option<prost_types::Timestamp>| {
        let moment = moment.unwrap();
        moment.seconds as u64 * 1_000_000_000 + moment.nanos as u64
    };
    assert_eq!(whole.trace_id, trace_id(1));
    assert_eq!((&*whole.root_service_name, &*whole.root_operation_name), ("shop", "root"));
    assert_eq!(whole.min_start_time_unix_nano, nanos(at(5)));
    assert_eq!(whole.max_end_time_unix_nano, nanos(at(70_001)));
    assert_eq!((whole.span_count, whole.error_span_count, whole.orphan_span_count), (4, 1, 1));
    let services: Vec<_> = whole
        .services
        .iter()
        .map(|service| (&*service.name, service.span_count, service.error_span_count))
        .collect();
    assert_eq!(services, [("cart", 2, 1), ("shop", 2, 0)]);
    assert_eq!(rootless.trace_id, trace_id(2));
    assert_eq!((&*rootless.root_service_name, &*rootless.root_operation_name), ("", ""));
    assert_eq!(rootless.orphan_span_count, 1);
    let none = reader.find_trace_summaries(request(of("nobody"))).await.unwrap();
    assert!(none.into_inner().message().await.unwrap().is_none());
}

#[tokio::test]
async fn services_that_are_shown_by_one_name_are_counted_together() {
    let sent = [span("missing-service-name", "root", 1, 1), span("", "load", 1, 2).below(1).status(2)];
    let stored = Stored::with(&sent).await;
    let request = FindTraceSummariesRequest { query: Some(of("missing-service-name")) };
    let mut stream = reader(&stored).await.find_trace_summaries(request).await.unwrap().into_inner();
    let [summary] = stream.message().await.unwrap().unwrap().summaries.try_into().unwrap();
    let [service] = summary.services.try_into().unwrap();
    assert_eq!(
        (&*service.name, service.span_count, service.error_span_count),
        ("missing-service-name", 2, 1)
    );
}

#[tokio::test]
async fn services_and_operations_are_listed_with_their_kinds() {
    let sent =
        [span("shop", "pay", 1, 1).kind(2), span("shop", "look", 1, 2), span("cart", "sort", 1, 3).kind(1)];
    let stored = Stored::with_settings(&["storage.missing_kind=unspecified"], &sent).await;
    let mut reader = reader(&stored).await;
    let services = reader.get_services(GetServicesRequest {}).await.unwrap().into_inner().services;
    assert_eq!(services, ["cart", "shop"]);
    for (kind, expected) in
        [("", vec![("look", ""), ("pay", "server")]), ("server", vec![("pay", "server")]), ("client", vec![])]
    {
        let request = GetOperationsRequest { service: "shop".into(), span_kind: kind.into() };
        let answer = reader.get_operations(request).await.unwrap().into_inner();
        let listed: Vec<_> =
            answer.operations.iter().map(|operation| (&*operation.name, &*operation.span_kind)).collect();
        assert_eq!(listed, expected);
    }
}

#[tokio::test]
async fn calls_are_counted_and_bounds_that_are_not_set_are_open() {
    let sent = [span("shop", "ask", 1, 1).kind(3), span("cart", "load", 1, 2).kind(2).below(1)];
    let stored = Stored::with(&sent).await;
    let mut dependencies = DependencyReaderClient::new(stored.storage().await);
    for (start_time, end_time) in [(at(0), None), (year_1(), at(5)), (None, year_1())] {
        let request = GetDependenciesRequest { start_time, end_time };
        let answer = dependencies.get_dependencies(request).await.unwrap().into_inner();
        let [link] = answer.dependencies.try_into().unwrap();
        assert_eq!((&*link.parent, &*link.child, link.call_count), ("shop", "cart", 1));
    }
}

#[tokio::test]
async fn it_says_that_it_can_filter_and_needs_no_service() {
    let stored = Stored::with(&[]).await;
    let mut capabilities = CapabilitiesClient::new(stored.storage().await);
    let answer = capabilities.get_capabilities(GetCapabilitiesRequest {}).await.unwrap().into_inner();
    let search = answer.search.unwrap();
    assert!(search.without_service_name && search.same_span_conjunction);
    let filter = search.filter.unwrap();
    assert_eq!(filter.levels, ["span", "resource", "scope", "event", "link"]);
    assert!(filter.operators.iter().any(|operator| operator == "not_in"));
}
