//! Port 16686: the page, Jaeger's HTTP API (v1 and v3), the page's own API, and Zipkin's below its name
//! ([`crate::serve::zipkin`]).
//!
//! Handlers are thin: parse the question, ask [`crate::query`] on a thread that may block ([`desk`]), write the
//! answer there too, in the asker's words.
//!
//! Limits: 16 questions at once, a further one waits 10 s for its turn. One who asks is answered within 30 s of that.
//! Work that takes longer, or whose asker went away, keeps its turn till its end, so that there is never more of it; a
//! search ends soon then, what is bounded otherwise goes on. Answers made of spans take 96 MiB together, from before the
//! first span is read until the last byte is sent ([`budget`]): three are made at once, others wait 10 s for that, and
//! one that is larger than 32 MiB packed is refused; answers made of metrics count as such, and have at most 11 000
//! points a series and a million together. Two of the three may be searches or lists of traces by id, others wait 10 s
//! before all else: one is left to reading a trace. A search gives at most 1 500 traces, and looks for 10 s or until it
//! has read 1 GiB, for each service that the name asked for may mean. A body has at most 20 MiB and comes within 30 s,
//! two are held at a time.
//!
//! Source: Jaeger `cmd/query/app` (HTTP v1); Grafana's Jaeger data source, for what is really asked.

mod agent;
pub(super) mod answer;
mod archive;
mod body;
mod dependencies;
mod desk;
pub(super) mod error;
mod metrics;
mod own_search;
mod own_status;
mod own_trace;
pub(super) mod parameters;
mod services;
#[cfg(test)]
mod shown_is_found;
mod skeleton;
mod traces;
mod transform;
mod unpacked;
mod v3;

use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::header::HeaderMap;
use http::{StatusCode, Uri};

pub use self::agent::{Agent, AgentService, AskAgent};
use self::desk::Desk;
use super::grpc;
use super::guard::{self, AllowedHosts};
use super::turns::Turns;
use super::{ui, zipkin};
use crate::model::Clock;
use crate::query::Query;

/// What the answers are made from.
#[derive(Debug)]
pub struct Answers {
    /// Whom to ask.
    pub query: Arc<Query>,
    /// What "now" is in questions that leave the end out.
    pub clock: Arc<dyn Clock>,
    /// What the server says of itself.
    pub about: About,
    /// The names it may be asked by.
    pub allowed_hosts: AllowedHosts,
    /// Where questions wait, those of other doors too.
    pub turns: Turns,
}

/// What the server says of itself.
#[derive(Debug, Clone, Default)]
pub struct About {
    /// Its version.
    pub version: String,
    /// Where spans can be sent and questions asked: a name for people, and an address.
    pub doors: Vec<(String, String)>,
    /// What a person should know of those that others than this machine can reach, a sentence each without its full stop.
    pub open_doors: Vec<String>,
    /// Of Jaeger's agent.
    pub agent: AskAgent,
}

/// Every route of this port.
pub fn router(answers: Arc<Answers>) -> Router {
    let hosts = answers.allowed_hosts.clone();
    let for_zipkin = grpc::Source {
        query: Arc::clone(&answers.query),
        turns: answers.turns.clone(),
        clock: Arc::clone(&answers.clock),
    };
    let routes = Router::new()
        // Jaeger's API, v1.
        .route("/api/services", get(services::services))
        .route("/api/services/{*path}", get(services::operation_names))
        .route("/api/operations", get(services::operations))
        .route("/api/traces", get(traces::search))
        .route("/api/traces/{id}", get(traces::by_id))
        .route("/api/archive/{id}", post(archive::pin))
        .route("/api/dependencies", get(dependencies::dependencies))
        .route("/api/transform", post(transform::transform))
        .route("/api/metrics/calls", get(metrics::calls))
        .route("/api/metrics/errors", get(metrics::errors))
        .route("/api/metrics/latencies", get(metrics::latencies))
        // Jaeger's API, v3.
        .route("/api/v3/services", get(v3::services))
        .route("/api/v3/operations", get(v3::operations))
        .route("/api/v3/traces", get(v3::search))
        .route("/api/v3/traces/{trace_id}", get(v3::by_id))
        .route("/api/v3/trace-summaries", get(v3::summaries))
        .route("/api/v3/dependencies", get(v3::dependencies))
        // The page's own.
        .route("/api/a1/search", get(own_search::search))
        .route("/api/a1/status", get(own_status::status))
        .route("/api/a1/trace/{id}/skeleton", get(own_trace::skeleton))
        .route("/api/a1/trace/{id}/spans", get(own_trace::spans))
        .route("/api/a1/trace/{id}/find", get(own_trace::find))
        // The page: the addresses it gives itself are those of Jaeger's links.
        .route("/", get(ui::page))
        .route("/search", get(ui::page))
        .route("/trace/{id}", get(ui::page))
        .fallback(fallback)
        .with_state(Desk::new(answers))
        .merge(zipkin::beside_others(for_zipkin));
    guard::protect(routes, hosts)
}

/// What has no route: gRPC clients at the wrong port, unknown API paths, files of the page.
async fn fallback(uri: Uri, headers: HeaderMap) -> Response {
    if grpc::is_grpc(&headers) {
        return grpc::unimplemented("no gRPC service on this port");
    }
    if uri.path() == "/api" || uri.path().starts_with("/api/") {
        return no_such_route();
    }
    ui::file_or_not_found(&uri, &headers)
}

fn no_such_route() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}
