//! What Jaeger 1 reads: `jaeger.storage.v1`.

use std::collections::{BTreeSet, HashMap};

use http::uri::PathAndQuery;
use prost::Message as _;
use tokio::task::JoinSet;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tracelodge::proto::jaeger::api_v2;
use tracelodge::proto::jaeger::storage::v1::archive_span_reader_plugin_client::ArchiveSpanReaderPluginClient;
use tracelodge::proto::jaeger::storage::v1::dependencies_reader_plugin_client::DependenciesReaderPluginClient;
use tracelodge::proto::jaeger::storage::v1::span_reader_plugin_client::SpanReaderPluginClient;
use tracelodge::proto::jaeger::storage::v1::{
    FindTraceIDsRequest, FindTracesRequest, GetDependenciesRequest, GetOperationsRequest,
    GetOperationsResponse, GetServicesRequest, GetTraceRequest, TraceQueryParameters,
};

use crate::stored::{BASE, Sent, Stored, at, lasting, span, trace_id, year_1};

type Reader = SpanReaderPluginClient<Channel>;

/// What Go's client takes.
const MAX_MESSAGE_BYTES: usize = 4 << 20;

async fn reader(stored: &Stored) -> Reader {
    // No client of Jaeger's takes more.
    SpanReaderPluginClient::new(stored.storage().await).max_decoding_message_size(MAX_MESSAGE_BYTES)
}

/// The chunks of a trace.
async fn chunks(reader: &mut Reader, id: bytes::Bytes) -> Result<Vec<Vec<api_v2::Span>>, Status> {
    let request = GetTraceRequest { trace_id: id, ..GetTraceRequest::default() };
    let mut stream = reader.get_trace(request).await?.into_inner();
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.message().await? {
        assert!(!chunk.spans.is_empty() && chunk.spans.len() <= 1_000, "{} spans", chunk.spans.len());
        assert!(chunk.encoded_len() < MAX_MESSAGE_BYTES);
        chunks.push(chunk.spans);
    }
    Ok(chunks)
}

async fn trace(reader: &mut Reader, number: u128) -> Result<Vec<api_v2::Span>, Status> {
    Ok(chunks(reader, trace_id(number)).await?.concat())
}

async fn spans_found(reader: &mut Reader, query: TraceQueryParameters) -> Result<Vec<api_v2::Span>, Status> {
    let request = FindTracesRequest { query: Some(query) };
    let mut stream = reader.find_traces(request).await?.into_inner();
    let mut spans = Vec::new();
    while let Some(chunk) = stream.message().await? {
        assert!(!chunk.spans.is_empty() && chunk.spans.len() <= 1_000);
        spans.extend(chunk.spans);
    }
    Ok(spans)
}

/// Trace ids and numbers of spans as a client puts them together: a new trace where the id changes.
async fn found(reader: &mut Reader, query: TraceQueryParameters) -> Vec<(u128, usize)> {
    let spans = spans_found(reader, query).await.unwrap();
    let same = spans.chunk_by(|one, other| one.trace_id == other.trace_id);
    same.map(|spans| (u128::from_be_bytes(spans[0].trace_id[..].try_into().unwrap()), spans.len())).collect()
}

fn of(service: &str) -> TraceQueryParameters {
    TraceQueryParameters { service_name: service.into(), ..TraceQueryParameters::default() }
}

fn tagged(tags: &[(&str, &str)]) -> TraceQueryParameters {
    let tags = tags.iter().map(|(key, value)| ((*key).into(), (*value).into()));
    TraceQueryParameters { tags: tags.collect::<HashMap<_, _>>(), ..of("shop") }
}

/// A trace of so many spans.
fn many(trace: u128, count: u64) -> Vec<Sent> {
    (1..=count).map(|id| span("shop", "step", trace, id).at(id % 1_000)).collect()
}

#[tokio::test]
async fn a_trace_that_is_not_there_is_not_found_in_the_words_jaeger_compares() {
    let stored = Stored::with(&[]).await;
    let mut reader = reader(&stored).await;
    for id in [trace_id(1), trace_id(0), vec![0; 8].into()] {
        let status = chunks(&mut reader, id).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::NotFound, "trace not found"));
    }
    let mut archive = ArchiveSpanReaderPluginClient::new(stored.storage().await);
    let request = GetTraceRequest { trace_id: trace_id(7), ..GetTraceRequest::default() };
    let mut stream = archive.get_archive_trace(request).await.unwrap().into_inner();
    let status = stream.message().await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::NotFound, "trace not found"));
    assert_eq!(found(&mut reader, of("shop")).await, []);
}

#[tokio::test]
async fn a_question_that_cannot_be_read_is_the_askers_fault() {
    let stored = Stored::with(&[]).await;
    // Its id stands where the service's name would.
    let request = GetTraceRequest { trace_id: vec![0xff, 0xfe].into(), ..GetTraceRequest::default() };
    let codec = ProstCodec::<GetTraceRequest, GetOperationsResponse>::default();
    let path = PathAndQuery::from_static("/jaeger.storage.v1.SpanReaderPlugin/GetOperations");
    let mut client = tonic::client::Grpc::new(stored.storage().await);
    client.ready().await.unwrap();
    let status = client.unary(tonic::Request::new(request), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    assert!(status.message().contains("GetOperationsRequest.service"), "{status:?}");
}

#[tokio::test]
async fn an_id_of_eight_bytes_is_the_lower_half_and_others_are_refused() {
    let stored = Stored::with(&[span("shop", "a", 5, 1), span("shop", "a", (9 << 64) + 5, 1)]).await;
    let mut reader = reader(&stored).await;
    let half = chunks(&mut reader, 5u64.to_be_bytes().to_vec().into()).await.unwrap().concat();
    assert_eq!((half.len(), half[0].trace_id.clone()), (1, trace_id(5)));
    for length in [0, 1, 7, 9, 15, 17] {
        let status = chunks(&mut reader, vec![1; length].into()).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
    }
}

#[tokio::test]
async fn a_trace_comes_whole_in_messages_that_clients_take() {
    let mut sent = many(1, 10_000);
    sent.extend(many(2, 3));
    // Above 4 MiB together.
    let long = "x".repeat(20_000);
    sent.extend((1..=400).map(|id| span("shop", "long", 3, id).tag("text", long.as_str())));
    // Alone above 3.5 MiB.
    let longest = "y".repeat(3_900_000);
    sent.push(span("shop", "longest", 4, 1).tag("text", longest.as_str()).tag("kept", 7));
    let stored = Stored::with_settings(&["receive.max_span_bytes=4MiB"], &sent).await;
    let mut reader = reader(&stored).await;
    for (number, count) in [(1, 10_000), (2, 3), (3, 400)] {
        let spans = trace(&mut reader, number).await.unwrap();
        let ids: BTreeSet<_> = spans.iter().map(|span| span.span_id.clone()).collect();
        assert_eq!((spans.len(), ids.len()), (count, count));
        assert!(spans.iter().all(|span| span.process.as_ref().unwrap().service_name == "shop"));
    }
    let longest = trace(&mut reader, 4).await.unwrap().remove(0);
    assert!(!longest.warnings.is_empty() && longest.tags.iter().any(|tag| tag.v_int64 == 7));
    // All at once: all spans of a trace are side by side.
    let mut all = found(&mut reader, of("shop")).await;
    all.sort_unstable();
    assert_eq!(all, [(1, 10_000), (2, 3), (3, 400), (4, 1)]);
}

#[tokio::test]
async fn a_trace_of_a_hundred_thousand_spans_comes_whole() {
    let stored = Stored::with(&[]).await;
    for part in 0..4 {
        let ids = part * 25_000 + 1..=(part + 1) * 25_000;
        stored.add(&ids.map(|id| span("shop", "step", 1, id)).collect::<Vec<_>>()).await;
    }
    assert_eq!(trace(&mut reader(&stored).await, 1).await.unwrap().len(), 100_000);
}

#[tokio::test]
async fn two_hundred_readers_are_all_served() {
    let mut sent: Vec<Sent> = (1..=20).flat_map(|trace| many(trace, 100)).collect();
    sent.extend(many(21, 2_000));
    let stored = Stored::with(&sent).await;
    let channel = stored.storage().await;
    let mut readers = JoinSet::new();
    for number in 0..200u128 {
        let mut reader = SpanReaderPluginClient::new(channel.clone());
        readers.spawn(async move {
            match number % 4 {
                0 => trace(&mut reader, 21).await.unwrap().len() == 2_000,
                1 => {
                    found(&mut reader, TraceQueryParameters { num_traces: 3, ..of("shop") }).await.len() == 3
                }
                2 => {
                    reader.get_services(GetServicesRequest {}).await.unwrap().into_inner().services
                        == ["shop"]
                }
                _ => trace(&mut reader, number / 4 % 20 + 1).await.unwrap().len() == 100,
            }
        });
    }
    assert!(readers.join_all().await.into_iter().all(|served| served));
}

#[tokio::test]
async fn who_goes_away_in_the_middle_leaves_the_way_to_others() {
    let stored = Stored::with(&many(1, 20_000)).await;
    let channel = stored.storage().await;
    // More than there are places for answers.
    for _ in 0..40 {
        let mut reader = SpanReaderPluginClient::new(channel.clone());
        let request = GetTraceRequest { trace_id: trace_id(1), ..GetTraceRequest::default() };
        let mut stream = reader.get_trace(request).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().is_some());
    }
    assert_eq!(trace(&mut SpanReaderPluginClient::new(channel), 1).await.unwrap().len(), 20_000);
}

#[tokio::test]
async fn those_who_do_not_read_do_not_hold_up_the_end() {
    let logs = tempfile::tempdir().unwrap();
    let log = logs.path().join("log");
    let stored = Stored::saying(&log, &many(1, 20_000)).await;
    let mut reader = reader(&stored).await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        let request = GetTraceRequest { trace_id: trace_id(1), ..GetTraceRequest::default() };
        let mut stream = reader.get_trace(request).await.unwrap().into_inner();
        assert!(stream.message().await.unwrap().is_some());
        streams.push(stream);
    }
    // This thread reads nothing meanwhile.
    let (code, took) = stored.server.terminate();
    assert_eq!(code, Some(0));
    assert!(took.as_secs() < 10, "{took:?}");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains("panicked"), "{log}");
}

#[tokio::test]
async fn a_connected_client_outlives_a_restart() {
    let stored = Stored::with(&many(1, 3)).await;
    let channel = stored.endpoint().connect_lazy();
    let mut reader = SpanReaderPluginClient::new(channel);
    assert_eq!(trace(&mut reader, 1).await.unwrap().len(), 3);
    let _stored = stored.restarted().await;
    // What was on its way when the connection broke may fail, and the next one connects anew.
    let again = match trace(&mut reader, 1).await {
        Err(_) => trace(&mut reader, 1).await,
        first => first,
    };
    assert_eq!(again.unwrap().len(), 3);
}

#[tokio::test]
async fn spans_that_share_an_id_are_all_kept_and_what_is_sent_again_is_not() {
    let sent = [span("shop", "a", 1, 7), span("shop", "a", 1, 7).at(5), span("cart", "a", 1, 7)];
    let stored = Stored::with(&sent).await;
    stored.add(&sent).await;
    let mut reader = reader(&stored).await;
    assert_eq!(trace(&mut reader, 1).await.unwrap().len(), 3);
    assert_eq!(found(&mut reader, of("shop")).await, [(1, 3)]);
}

#[tokio::test]
async fn services_are_sorted_and_operations_stand_in_both_fields_with_their_kinds() {
    let sent = [
        span("shop", "pay", 1, 1).kind(2),
        span("shop", "pay", 1, 2).kind(3),
        span("shop", "look", 1, 3).kind(0),
        span("shop", "put", 1, 4).kind(4),
        span("cart", "take", 1, 5).kind(5),
        span("cart", "sort", 1, 6).kind(1),
        span("cart", "", 1, 7),
    ];
    let stored = Stored::with(&sent).await;
    let mut reader = reader(&stored).await;
    let services = reader.get_services(GetServicesRequest {}).await.unwrap().into_inner().services;
    assert_eq!(services, ["cart", "shop"]);
    for (service, kind, expected, names) in [
        ("shop", "", vec!["look:", "pay:client", "pay:server", "put:producer"], vec!["look", "pay", "put"]),
        ("shop", "server", vec!["pay:server"], vec!["pay"]),
        ("shop", "Server", vec![], vec![]),
        ("cart", "", vec![":", "sort:internal", "take:consumer"], vec!["", "sort", "take"]),
        ("nobody", "", vec![], vec![]),
    ] {
        assert_eq!(
            operations(&mut reader, service, kind).await,
            (
                expected.into_iter().map(str::to_owned).collect(),
                names.into_iter().map(str::to_owned).collect()
            ),
            "{service} {kind}"
        );
    }
}

async fn operations(reader: &mut Reader, service: &str, kind: &str) -> (Vec<String>, Vec<String>) {
    let request = GetOperationsRequest { service: service.into(), span_kind: kind.into() };
    let answer = reader.get_operations(request).await.unwrap().into_inner();
    let mut shown: Vec<_> = answer
        .operations
        .iter()
        .map(|operation| format!("{}:{}", operation.name, operation.span_kind))
        .collect();
    shown.sort_unstable();
    (shown, answer.operation_names)
}

#[tokio::test]
async fn a_missing_kind_is_called_as_it_was_set() {
    let settings = ["storage.missing_kind=unspecified"];
    let stored = Stored::with_settings(&settings, &[span("shop", "look", 1, 3)]).await;
    let mut reader = reader(&stored).await;
    for kind in ["", "unspecified"] {
        assert_eq!(operations(&mut reader, "shop", kind).await.0, ["look:unspecified"]);
    }
}

#[tokio::test]
async fn the_newest_traces_are_found_and_none_or_less_means_the_usual_number() {
    let sent: Vec<Sent> = (1..=130).map(|trace| span("shop", "a", trace, 1).at(trace as u64)).collect();
    let stored = Stored::with(&sent).await;
    let mut reader = reader(&stored).await;
    for (num_traces, expected) in [(0, 100), (-1, 100), (i32::MIN, 100), (3, 3), (125, 125), (i32::MAX, 130)]
    {
        let query = TraceQueryParameters { num_traces, ..of("shop") };
        let newest: Vec<u128> = (1..=130).rev().take(expected).collect();
        let traces: Vec<u128> =
            found(&mut reader, query.clone()).await.into_iter().map(|(trace, _)| trace).collect();
        assert_eq!(traces, newest);
        let ids = reader.find_trace_i_ds(FindTraceIDsRequest { query: Some(query) }).await.unwrap();
        let newest: Vec<_> = newest.into_iter().map(trace_id).collect();
        assert_eq!(ids.into_inner().trace_ids, newest);
    }
}

#[tokio::test]
async fn bounds_are_inclusive_and_open_when_they_are_not_set() {
    let sent = [
        span("shop", "a", 1, 1).at(10).lasting(5),
        span("shop", "a", 2, 1).at(20).lasting(10),
        span("shop", "a", 3, 1).at(30).lasting(15),
    ];
    let stored = Stored::with(&sent).await;
    let mut reader = reader(&stored).await;
    let between = |start_time_min, start_time_max| TraceQueryParameters {
        start_time_min,
        start_time_max,
        ..of("shop")
    };
    let taking =
        |duration_min, duration_max| TraceQueryParameters { duration_min, duration_max, ..of("shop") };
    let (epoch, before) = (
        Some(prost_types::Timestamp { seconds: 0, nanos: 0 }),
        Some(prost_types::Timestamp { seconds: -5, nanos: 3 }),
    );
    for (query, expected) in [
        (between(None, None), vec![3, 2, 1]),
        (between(year_1(), year_1()), vec![3, 2, 1]),
        (between(epoch, epoch), vec![3, 2, 1]),
        (between(before, None), vec![3, 2, 1]),
        (between(None, before), vec![]),
        (between(at(10), at(20)), vec![2, 1]),
        (between(at(20), at(20)), vec![2]),
        (between(at(21), year_1()), vec![3]),
        (between(year_1(), at(19)), vec![1]),
        (taking(lasting(0), lasting(0)), vec![3, 2, 1]),
        (taking(lasting(10), None), vec![3, 2]),
        (taking(None, lasting(10)), vec![2, 1]),
        (taking(lasting(10), lasting(10)), vec![2]),
        (taking(lasting(11), lasting(14)), vec![]),
    ] {
        let traces: Vec<u128> =
            found(&mut reader, query.clone()).await.into_iter().map(|(trace, _)| trace).collect();
        assert_eq!(traces, expected, "{query:?}");
    }
    let out = Some(prost_types::Timestamp { seconds: 5, nanos: -1 });
    let mixed = Some(prost_types::Duration { seconds: 1, nanos: -1 });
    for (query, named) in [
        (between(at(2), at(1)), "start_time_max is less than start_time_min"),
        (between(out, None), "start_time_min is out of range"),
        (taking(lasting(2), lasting(1)), "duration_max is less than duration_min"),
        (taking(None, mixed), "duration_max is out of range"),
    ] {
        let status = spans_found(&mut reader, query).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(named), "{status:?}");
    }
}

#[tokio::test]
async fn all_is_asked_of_one_span_and_answered_with_the_whole_trace() {
    let sent = [
        span("shop", "pay", 1, 1).at(10).tag("color", "red").resource_tag("zone", "a"),
        span("shop", "pay", 1, 2).at(10).tag("size", 5),
        span("cart", "load", 1, 3).at(90_000).below(1),
        span("shop", "look", 2, 1).at(20).tag("color", "red").tag("size", 5).event_tag("level", "warn"),
    ];
    let stored = Stored::with(&sent).await;
    let mut reader = reader(&stored).await;
    let within = |query| TraceQueryParameters { start_time_min: at(5), start_time_max: at(25), ..query };
    for (query, expected) in [
        (within(of("shop")), vec![(2, 1), (1, 3)]),
        (within(of("cart")), vec![]),
        (within(of("")), vec![(2, 1), (1, 3)]),
        (within(tagged(&[("color", "red")])), vec![(2, 1), (1, 3)]),
        (within(tagged(&[("color", "red"), ("size", "5")])), vec![(2, 1)]),
        (within(tagged(&[("color", "red"), ("zone", "a")])), vec![(1, 3)]),
        (within(tagged(&[("size", "5"), ("level", "warn")])), vec![(2, 1)]),
        (within(TraceQueryParameters { operation_name: "pay".into(), ..of("shop") }), vec![(1, 3)]),
        (
            within(TraceQueryParameters { operation_name: "pay".into(), ..tagged(&[("size", "5")]) }),
            vec![(1, 3)],
        ),
        (TraceQueryParameters { operation_name: "load".into(), ..of("shop") }, vec![]),
        (of("Shop"), vec![]),
    ] {
        assert_eq!(found(&mut reader, query.clone()).await, expected, "{query:?}");
    }
}

#[tokio::test]
async fn values_are_compared_in_the_form_jaeger_1_gives_them() {
    let one = span("shop", "a", 1, 1)
        .tag("bit", true)
        .tag("number", -42)
        .tag("part", 72.5)
        .tag("third", 1.0 / 3.0)
        .tag("large", 1e10)
        .tag("raw", &b"\x01\xff"[..])
        .tag("twice", "one")
        .tag("twice", "two")
        .tag("dotted.key", "x")
        .status(2)
        .kind(2);
    let stored = Stored::with(&[one]).await;
    let mut reader = reader(&stored).await;
    for (key, value) in [
        ("bit", "true"),
        ("number", "-42"),
        ("part", "72.5"),
        ("third", "0.3333333333"),
        ("large", "1e+10"),
        ("raw", "01ff"),
        ("twice", "one"),
        ("twice", "two"),
        ("dotted.key", "x"),
        ("error", "true"),
        ("span.kind", "server"),
    ] {
        assert_eq!(found(&mut reader, tagged(&[(key, value)])).await, [(1, 1)], "{key}={value}");
    }
    for (key, value) in
        [("bit", "false"), ("number", "42"), ("part", "72"), ("twice", "three"), ("dotted", "x")]
    {
        assert_eq!(found(&mut reader, tagged(&[(key, value)])).await, [], "{key}={value}");
    }
}

#[tokio::test]
async fn calls_between_services_are_counted_and_work_inside_one_is_not() {
    let sent = [
        span("shop", "pay", 1, 1).kind(2),
        span("shop", "ask", 1, 2).kind(3).below(1),
        span("cart", "load", 1, 3).kind(2).below(2),
        span("cart", "load", 1, 4).kind(2).below(2),
        span("shop", "put", 1, 5).kind(4).below(1),
        span("cart", "take", 1, 6).kind(5).below(5),
        span("store", "keep", 1, 7).kind(2).below(3),
    ];
    let stored = Stored::with(&sent).await;
    let mut dependencies = DependenciesReaderPluginClient::new(stored.storage().await);
    let hour = Some(prost_types::Timestamp { seconds: BASE as i64 + 3_600, nanos: 0 });
    for (start_time, end_time) in [(None, None), (year_1(), hour), (at(0), year_1()), (at(0), at(0))] {
        let request = GetDependenciesRequest { start_time, end_time };
        let answer = dependencies.get_dependencies(request).await.unwrap().into_inner();
        let links: Vec<_> = answer
            .dependencies
            .iter()
            .map(|link| (link.parent.clone(), link.child.clone(), link.call_count))
            .collect();
        let expected = [("cart", "store", 1), ("shop", "cart", 3)];
        assert_eq!(links, expected.map(|(parent, child, count)| (parent.into(), child.into(), count)));
    }
    let long_ago = Some(prost_types::Timestamp { seconds: 1_000_000, nanos: 0 });
    let request = GetDependenciesRequest { start_time: None, end_time: long_ago };
    let answer = dependencies.get_dependencies(request).await.unwrap().into_inner();
    assert_eq!(answer.dependencies, []);
}

#[tokio::test]
async fn a_list_that_is_too_long_for_a_message_is_cut_at_its_end() {
    let name = |number: u64| format!("{number:04}{}", "x".repeat(996));
    let sent: Vec<Sent> = (0..4_500).map(|number| span(&name(number), "a", 1, number + 1)).collect();
    let stored = Stored::with(&sent).await;
    let mut reader = reader(&stored).await;
    let services = reader.get_services(GetServicesRequest {}).await.unwrap().into_inner().services;
    assert!((3_000..4_500).contains(&services.len()), "{} services", services.len());
    assert!(services.iter().zip(0..).all(|(service, number)| *service == name(number)));
}
