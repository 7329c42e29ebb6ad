//! What the storage's door says of itself, and to those who are wrong there.

use bytes::Bytes;
use tonic::Code;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tonic_reflection::pb::v1alpha;
use tracelodge::proto::jaeger::api_v3::{self, query_service_client::QueryServiceClient};
use tracelodge::proto::jaeger::storage::v1::span_reader_plugin_client::SpanReaderPluginClient;
use tracelodge::proto::jaeger::storage::v1::{FindTraceIDsRequest, GetServicesRequest, TraceQueryParameters};
use tracelodge::proto::jaeger::storage::v2::trace_reader_client::TraceReaderClient;
use tracelodge::proto::jaeger::storage::v2::{GetTraceParams, GetTracesRequest};

use crate::harness::Client;
use crate::stored::{Sent, Stored, span, trace_id};
use crate::writing::connect;

const SERVED: [&str; 9] = [
    "jaeger.storage.v1.SpanReaderPlugin",
    "jaeger.storage.v1.SpanWriterPlugin",
    "jaeger.storage.v1.StreamingSpanWriterPlugin",
    "jaeger.storage.v1.DependenciesReaderPlugin",
    "jaeger.storage.v1.PluginCapabilities",
    "jaeger.storage.v2.TraceReader",
    "jaeger.storage.v2.DependencyReader",
    "jaeger.storage.v2.TraceWriter",
    "jaeger.storage.v2.Capabilities",
];

#[tokio::test]
async fn each_service_is_healthy_and_unknown_ones_are_not_found() {
    let stored = Stored::with(&[]).await;
    let mut health = HealthClient::new(stored.storage().await);
    for service in SERVED.into_iter().chain(["", "plugin"]) {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.unwrap();
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
    }
    let unknown = health.check(HealthCheckRequest { service: "jaeger".into() }).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let server = stored.server;
    let ended = tokio::task::spawn_blocking(|| server.terminate());
    let last = watch.message().await;
    let is_told = matches!(&last, Ok(Some(last)) if last.status() == ServingStatus::NotServing);
    assert!(is_told || last.is_err(), "{last:?}");
    assert_eq!(ended.await.unwrap().0, Some(0));
}

#[tokio::test]
async fn reflection_names_what_is_served_in_both_its_versions() {
    let stored = Stored::with(&[]).await;
    let mut reflection = ServerReflectionClient::new(stored.storage().await);
    let ask = |request| {
        let message_request = Some(request);
        tokio_stream::once(ServerReflectionRequest { host: String::new(), message_request })
    };
    let list = ask(MessageRequest::ListServices(String::new()));
    let mut answers = reflection.server_reflection_info(list).await.unwrap().into_inner();
    let ServerReflectionResponse { message_response, .. } = answers.message().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(list)) = message_response else {
        panic!("{message_response:?}")
    };
    let names: Vec<_> = list.service.iter().map(|service| &*service.name).collect();
    for name in SERVED.iter().filter(|name| !name.ends_with("TraceWriter")) {
        assert!(names.contains(name), "{name} is not among {names:?}");
    }
    assert!(names.contains(&"grpc.health.v1.Health"));
    let other = |name: &&str| {
        ["plugin.", "jaeger.api_v", "jaeger.storage.v2.TraceWriter"]
            .iter()
            .any(|start| name.starts_with(start))
    };
    assert!(!names.iter().any(other), "{names:?}");
    let file = ask(MessageRequest::FileContainingSymbol("jaeger.storage.v2.TraceReader".into()));
    let mut answers = reflection.server_reflection_info(file).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{answer:?}");

    let mut older = v1alpha::server_reflection_client::ServerReflectionClient::new(stored.storage().await);
    let list = v1alpha::server_reflection_request::MessageRequest::ListServices(String::new());
    let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(list) };
    let answers = older.server_reflection_info(tokio_stream::once(request)).await.unwrap();
    assert!(answers.into_inner().message().await.unwrap().is_some());
}

#[tokio::test]
async fn what_is_not_served_is_said_to_be_so() {
    let stored = Stored::with(&[]).await;
    let client = Client::new();
    let url = |path: &str| format!("http://{}{path}", stored.server.storage);
    for path in ["/jaeger.storage.v1.SamplingStore/Get", "/jaeger.storage.v1.SpanReaderPlugin/Nothing", "/"] {
        let answer = client.grpc(url(path), "identity", &[]).await.unwrap();
        assert_eq!(answer.grpc_status().0, Code::Unimplemented as u32, "{path}: {answer:?}");
    }
    let page = client.get(url("/")).await;
    assert_eq!((page.status.as_u16(), &page.body[..]), (404, &b"this port speaks gRPC\n"[..]));
}

#[tokio::test]
async fn packed_questions_are_read_and_answers_are_packed_for_who_takes_them_so() {
    let spans: Vec<Sent> = (1..=50).map(|id| span(&format!("service-{id}"), "a", 1, id)).collect();
    let stored = Stored::with(&spans).await;
    for encoding in [CompressionEncoding::Gzip, CompressionEncoding::Zstd] {
        let reader = SpanReaderPluginClient::new(stored.storage().await);
        let mut packing = reader.clone().send_compressed(encoding).accept_compressed(encoding);
        let answer = packing.get_services(GetServicesRequest {}).await.unwrap();
        assert!(packed(answer.metadata()), "{answer:?}");
        assert_eq!(answer.into_inner().services.len(), 50);
        let answer = reader.clone().get_services(GetServicesRequest {}).await.unwrap();
        assert!(!packed(answer.metadata()), "{answer:?}");
    }
    let client = Client::new();
    let url = format!("http://{}/jaeger.storage.v1.SpanReaderPlugin/GetTrace", stored.server.storage);
    let broken = client.grpc(url, "identity", &Bytes::from_static(b"\x0a\xff")).await.unwrap();
    assert_ne!(broken.grpc_status().0, 0);
}

#[tokio::test]
async fn a_question_is_as_long_inflated_as_a_question_may_be() {
    let stored = Stored::with(&[span("shop", "a", 1, 1)]).await;
    // Two bytes each on the wire, eighty in memory, and all of them next to nothing when they are packed.
    let asking = |ids| GetTracesRequest { query: vec![GetTraceParams::default(); ids] };
    let mut reader =
        TraceReaderClient::new(stored.storage().await).send_compressed(CompressionEncoding::Gzip);
    for (ids, code) in [(2 << 20, Code::ResourceExhausted), (100_000, Code::InvalidArgument)] {
        assert_eq!(reader.get_traces(asking(ids)).await.unwrap_err().code(), code, "{ids}");
    }
    let ids = vec![GetTraceParams { trace_id: trace_id(1), ..GetTraceParams::default() }; 10_000];
    let mut traces = reader.get_traces(GetTracesRequest { query: ids }).await.unwrap().into_inner();
    assert!(traces.message().await.unwrap().is_some());
    let tags = |count: u32| (0..count).map(|number| (number.to_string(), String::new())).collect();
    let mut older = SpanReaderPluginClient::new(stored.storage().await);
    for (count, is_answered) in [(1_000, true), (1_001, false)] {
        let query = Some(TraceQueryParameters { tags: tags(count), ..TraceQueryParameters::default() });
        let code = older.find_trace_i_ds(FindTraceIDsRequest { query }).await.map_err(|status| status.code());
        assert_eq!(code.is_ok(), is_answered, "{count}: {code:?}");
        assert!(is_answered || code.unwrap_err() == Code::InvalidArgument);
    }
    let mut questions = QueryServiceClient::new(connect(&stored.server.grpc_query).await);
    let query = api_v3::TraceQueryParameters { service_name: "s".repeat(300 << 10), ..Default::default() };
    let asked = questions.find_traces(api_v3::FindTracesRequest { query: Some(query) }).await;
    assert_eq!(asked.unwrap_err().code(), Code::OutOfRange);
}

fn packed(metadata: &MetadataMap) -> bool {
    metadata.get("grpc-encoding").is_some()
}
