//! Zipkin's API for reading, as its page (Lens), Grafana and scripts ask it: at 9411 below `/api/v2` and
//! `/zipkin/api/v2`, at the page's port below the latter.
//!
//! Promise: whatever came by whichever protocol is said in Zipkin's words, and what came in those is said as it was sent.
//! Traces are whole; both halves of a shared span are there. All that is asked of a trace is asked of one of its spans.
//! Names of services and spans are found whatever their case, and are listed as they were sent.
//!
//! Limits: at most [`MAX_LIMIT`](question::MAX_LIMIT) traces; others as of [`crate::serve::http`], with whose questions
//! these wait for their turns. Names that nothing lists are read from the newest spans: see [`names`].
//!
//! Does not know: that spans are sent to the same port.
//!
//! Source: openzipkin/zipkin-api `zipkin2-api.yaml`; zipkin-server `ZipkinQueryApiV2` and `QueryRequest`; zipkin-lens and
//! Grafana's Zipkin data source, for what is really asked.

mod about;
mod dependencies;
mod desk;
mod error;
mod names;
mod question;
mod traces;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::HeaderMap;

use super::grpc::{self, Source};
use super::guard::{self, AllowedHosts};
use super::health::IsServing;
use desk::Desk;

/// Everything at Zipkin's own port.
pub fn router(source: Source, is_serving: IsServing, hosts: AllowedHosts) -> Router {
    let routes = questions(source.clone())
        .merge(beside_others(source))
        .merge(about::health(is_serving))
        .fallback(fallback);
    guard::protect(routes, hosts)
}

/// What stands below Zipkin's name, for a port that has more; [`guard`] is to be put before it.
pub(super) fn beside_others(source: Source) -> Router {
    let page = Router::new().route("/config.json", get(about::config));
    Router::new().nest("/zipkin", questions(source).merge(page))
}

fn questions(source: Source) -> Router {
    Router::new()
        .route("/api/v2/services", get(names::services))
        .route("/api/v2/spans", get(names::spans))
        .route("/api/v2/remoteServices", get(names::remote_services))
        .route("/api/v2/autocompleteKeys", get(names::keys))
        .route("/api/v2/autocompleteValues", get(names::values))
        .route("/api/v2/traces", get(traces::search))
        .route("/api/v2/trace/{id}", get(traces::by_id))
        .route("/api/v2/traceMany", get(traces::several))
        .route("/api/v2/dependencies", get(dependencies::dependencies))
        .with_state(Desk(source))
}

async fn fallback(headers: HeaderMap) -> Response {
    if grpc::is_grpc(&headers) {
        return grpc::unimplemented("no gRPC service on this port");
    }
    let text = "this is Zipkin's port: spans are sent to /api/v2/spans, questions are asked below /api/v2\n";
    (StatusCode::NOT_FOUND, text).into_response()
}
