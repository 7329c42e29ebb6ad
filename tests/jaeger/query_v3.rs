//! `jaeger.api_v3.QueryService`, as its clients ask it.

use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use prost::Message as _;
use tonic::Code;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tracelodge::proto::jaeger::api_v3::query_service_client::QueryServiceClient;
use tracelodge::proto::jaeger::api_v3::*;
use tracelodge::proto::jaeger::expression::v1::expression::Term;
use tracelodge::proto::jaeger::expression::v1::{AttributeReference, Call, Expression, Scalar};
use tracelodge::proto::opentelemetry::proto::trace::v1::TracesData;

use crate::asked::{Asked, CART, LATER, all, at, failure, heavy};
use crate::drawing::draw;

async fn door(asked: &Asked) -> QueryServiceClient<Channel> {
    QueryServiceClient::new(asked.door().await)
}

fn by_id(id: &str) -> GetTraceRequest {
    GetTraceRequest { trace_id: id.into(), ..GetTraceRequest::default() }
}

fn opened(messages: &[TracesData]) -> Vec<ResourceSpans> {
    let closed = messages.iter().flat_map(|message| &message.resource_spans);
    closed.map(|message| ResourceSpans::decode(message.clone()).unwrap()).collect()
}

fn trace_ids(messages: &[TracesData]) -> Vec<u128> {
    let opened = opened(messages);
    let spans = opened.iter().flat_map(|resource| &resource.scope_spans).flat_map(|scope| &scope.spans);
    let mut ids: Vec<_> =
        spans.map(|span| u128::from_be_bytes(span.trace_id[..].try_into().unwrap())).collect();
    ids.dedup();
    ids
}

#[tokio::test]
async fn a_trace_leaves_as_it_came() {
    let asked = Asked::furnished().await;
    let mut door = door(&asked).await;
    for id in [format!("{LATER:032x}"), format!("{LATER:X}")] {
        let messages = all(door.get_trace(by_id(&id)).await).await;
        assert_eq!(
            opened(&messages),
            draw(LATER, "shop | GET / | server | 1000-1100 | !ok user=ann !link=5 scope:name=lib")
        );
    }
}

fn all_of_it() -> TraceQueryParameters {
    TraceQueryParameters { start_time_min: at(0), start_time_max: at(1_000), ..Default::default() }
}

fn attributes(key: &str, value: &str) -> TraceQueryParameters {
    TraceQueryParameters { attributes: [(key.into(), value.into())].into(), ..all_of_it() }
}

fn user_is_ann() -> Call {
    let term = |term| Expression { term: Some(term) };
    let key = AttributeReference { key: "user".into(), level: String::new() };
    let value = Scalar { value: "ann".into(), r#type: String::new() };
    Call { op: "eq".into(), args: vec![term(Term::Attr(key)), term(Term::Scalar(value))] }
}

#[tokio::test]
async fn traces_and_their_summaries_are_found_newest_first() {
    let asked = Asked::furnished().await;
    let mut door = door(&asked).await;
    let cases = [
        (TraceQueryParameters::default(), vec![LATER, CART]),
        (TraceQueryParameters { search_depth: 1, ..all_of_it() }, vec![LATER]),
        (TraceQueryParameters { service_name: "stock".into(), ..all_of_it() }, vec![CART]),
        (attributes("error", "true"), vec![CART]),
        (attributes("span.status", "ok"), vec![LATER]),
        (attributes("user", "bob"), vec![]),
        (TraceQueryParameters { filter: Some(user_is_ann()), ..all_of_it() }, vec![LATER]),
    ];
    for (query, expected) in cases {
        let found = all(door.find_traces(FindTracesRequest { query: Some(query.clone()) }).await).await;
        assert_eq!(trace_ids(&found), expected, "{query:?}");
        let request = FindTraceSummariesRequest { query: Some(query.clone()) };
        let listed = all(door.find_trace_summaries(request).await).await;
        let ids: Vec<_> =
            listed.into_iter().flat_map(|message| message.summaries).map(|it| it.trace_id).collect();
        let expected: Vec<_> = expected.iter().map(|id| format!("{id:032x}")).collect();
        assert_eq!(ids, expected, "{query:?}");
    }
}

#[tokio::test]
async fn a_summary_counts_the_whole_trace() {
    let asked = Asked::furnished().await;
    let request = FindTraceSummariesRequest { query: Some(attributes("sku", "x")) };
    let listed = all(door(&asked).await.find_trace_summaries(request).await).await;
    let nanos = |millis: u64| crate::drawing::BASE_NANOS + millis * 1_000_000;
    let service = |name: &str, span_count, error_span_count| ServiceSummary {
        name: name.into(),
        span_count,
        error_span_count,
    };
    let expected = TraceSummary {
        trace_id: format!("{CART:032x}"),
        root_service_name: "shop".into(),
        root_operation_name: "GET /cart".into(),
        min_start_time_unix_nano: nanos(0),
        max_end_time_unix_nano: nanos(250),
        span_count: 3,
        error_span_count: 1,
        orphan_span_count: 0,
        services: vec![service("shop", 2, 0), service("stock", 1, 1)],
    };
    assert_eq!(listed, [FindTraceSummariesResponse { summaries: vec![expected] }]);
}

#[tokio::test]
async fn what_there_is_is_listed() {
    let asked = Asked::furnished().await;
    let mut door = door(&asked).await;
    let services = door.get_services(GetServicesRequest {}).await.unwrap().into_inner();
    assert_eq!(services.services, ["shop", "stock"]);
    let request = GetOperationsRequest { service: "stock".into(), span_kind: String::new() };
    let operations = door.get_operations(request).await.unwrap().into_inner().operations;
    assert_eq!(operations, [Operation { name: "POST /reserve".into(), span_kind: "server".into() }]);
    let dependencies = door.get_dependencies(GetDependenciesRequest::default()).await.unwrap().into_inner();
    let call = Dependency { parent: "shop".into(), child: "stock".into(), call_count: 1 };
    assert_eq!(dependencies.dependencies, [call]);
}

#[tokio::test]
async fn a_kind_that_was_not_said_is_internal() {
    const TRACE: u128 = 3;
    let asked = Asked::empty();
    asked.deliver(draw(TRACE, "shop | tick | unspecified | 0-1\nshop | tick | internal | 1-2")).await;
    asked.has(TRACE, 2).await;
    let mut door = door(&asked).await;
    for kind in ["", "internal", "unspecified"] {
        let request = GetOperationsRequest { service: "shop".into(), span_kind: kind.into() };
        let operations = door.get_operations(request).await.unwrap().into_inner().operations;
        assert_eq!(operations, [Operation { name: "tick".into(), span_kind: "internal".into() }], "{kind}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_said() {
    let asked = Asked::empty();
    let mut door = door(&asked).await;
    let not_found = (Code::NotFound, "trace not found".to_owned());
    assert_eq!(failure(door.get_trace(by_id("5")).await).await, not_found);
    let invalid = |message: &str| (Code::InvalidArgument, message.to_owned());
    let message = "trace_id: 'xyz' is not a trace id of 1 to 32 hex digits";
    assert_eq!(failure(door.get_trace(by_id("xyz")).await).await, invalid(message));
    assert_eq!(
        failure(door.find_traces(FindTracesRequest { query: None }).await).await,
        invalid("query is required")
    );
    let both =
        TraceQueryParameters { filter: Some(user_is_ann()), service_name: "shop".into(), ..all_of_it() };
    let message = "filter stands instead of service_name, operation_name, attributes and durations";
    assert_eq!(
        failure(door.find_traces(FindTracesRequest { query: Some(both) }).await).await,
        invalid(message)
    );
    let none = FindTracesRequest { query: Some(all_of_it()) };
    assert_eq!(all(door.find_traces(none).await).await, []);
}

#[tokio::test]
async fn a_trace_of_any_size_comes_in_messages_that_clients_take() {
    const TRACE: u128 = 3;
    let asked = Asked::empty();
    for number in 1..=9 {
        asked.deliver(heavy(TRACE, number)).await;
    }
    asked.has(TRACE, 9).await;
    let messages = all(door(&asked).await.get_trace(by_id("3")).await).await;
    assert_eq!(trace_ids(&messages), [TRACE]);
    let spans = opened(&messages)
        .iter()
        .flat_map(|resource| &resource.scope_spans)
        .map(|it| it.spans.len())
        .sum::<usize>();
    assert_eq!(spans, 9);
    let over_http = asked.client.get_json(asked.server.query("/api/v3/traces/3")).await;
    let resources = over_http["result"]["resourceSpans"].as_array().unwrap().len();
    assert_eq!(resources, opened(&messages).len(), "nothing of it is cut there either");
}

#[tokio::test]
async fn the_door_says_what_it_has() {
    let asked = Asked::empty();
    let mut health = HealthClient::new(asked.door().await);
    for service in ["", "jaeger.api_v2.QueryService", "jaeger.api_v3.QueryService"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
    }
    let mut reflection = ServerReflectionClient::new(asked.door().await);
    let file = MessageRequest::FileContainingSymbol("jaeger.api_v3.QueryService".into());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(file) };
    let answer = reflection.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    let answer = answer.into_inner().message().await.unwrap().unwrap().message_response;
    assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{answer:?}");
    let other = format!("http://{}/jaeger.storage.v2.TraceReader/GetServices", asked.server.grpc_query);
    let answer = asked.client.grpc(other, "identity", &[]).await.unwrap();
    assert_eq!(answer.grpc_status().0, Code::Unimplemented as u32);
}
