//! Health: of "plugin", the name that the host asks for, this process speaks itself; of all others, whoever has the data
//! folder.
//!
//! Source: grpc `health/v1/health.proto`; hashicorp/go-plugin `grpc_server.go` (`GRPCServiceName`).

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response, StatusCode};
use axum::routing::post;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use prost::Message as _;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::server::health_reporter;

use super::calls::Calls;

/// The name.
const PLUGIN: &str = "plugin";

/// The bytes before a message of gRPC.
const PREFIX_BYTES: usize = 5;

/// A question holds a name.
const MAX_QUESTION_BYTES: usize = 4 << 10;

/// Both methods.
pub(super) async fn router(calls: &Calls) -> Router {
    let (reporter, service) = health_reporter();
    reporter.set_service_status(PLUGIN, ServingStatus::Serving).await;
    let ours = Routes::new(service).into_axum_router();
    let health = Health { ours, calls: calls.clone() };
    Router::new()
        .route("/grpc.health.v1.Health/Check", post(answer))
        .route("/grpc.health.v1.Health/Watch", post(answer))
        .with_state(health)
}

#[derive(Clone)]
struct Health {
    ours: Router,
    calls: Calls,
}

async fn answer(State(health): State<Health>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(question) = Limited::new(body, MAX_QUESTION_BYTES).collect().await else {
        let mut refused = Response::new(Body::empty());
        *refused.status_mut() = StatusCode::PAYLOAD_TOO_LARGE;
        return refused;
    };
    let question = question.to_bytes();
    let is_ours = service(&question).is_some_and(|service| service == PLUGIN);
    let request = Request::from_parts(head, Body::from(question));
    if is_ours {
        super::calls::ask(health.ours, request).await
    } else {
        Calls::answer(State(health.calls), request).await
    }
}

fn service(question: &Bytes) -> Option<String> {
    let message = question.get(PREFIX_BYTES..)?;
    Some(HealthCheckRequest::decode(message).ok()?.service)
}
