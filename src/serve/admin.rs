//! The admin door: is it alive, is it ready, what does it count.
//!
//! `/livez` says that the process runs and depends on nothing else. `/readyz` says whether spans can be accepted
//! and acknowledged. `/healthz` and `/` (where Jaeger's admin port answers) say the same with details. A full disk
//! is: alive, not ready for spans, ready for queries.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::{StatusCode, header};
use serde::Serialize;
use tokio::task::spawn_blocking;

use super::guard::{self, AllowedHosts, DEFECT};

const PATHS: &str = "404 page not found; there are /livez, /readyz, /healthz and /metrics\n";

/// The state of a process, in the OpenTelemetry Collector's words (`component/componentstatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Status {
    /// Not everything runs yet.
    Starting,
    /// Everything runs.
    #[serde(rename = "OK")]
    Ok,
    /// Something does not, and may by itself again.
    RecoverableError,
    /// Something does not, and will not without help.
    PermanentError,
    /// The process is about to end because of it.
    FatalError,
    /// The process was told to end.
    Stopping,
    /// Everything has ended.
    Stopped,
}

/// Whether one of the two things the server is for can be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// It can.
    pub ready: bool,
    /// Why not, or what a person should know though it can.
    pub reasons: Vec<String>,
}

/// What the process knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// In one word.
    pub status: Status,
    /// Accepting spans and keeping them.
    pub ingest: Readiness,
    /// Answering questions.
    pub query: Readiness,
}

/// Asks the process how it is; must not block.
pub type AskHealth = Arc<dyn Fn() -> Health + Send + Sync>;
/// Writes every metric in Prometheus' text format 0.0.4; may block.
pub type WriteMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Everything of the admin port.
pub fn router(health: AskHealth, metrics: WriteMetrics, hosts: AllowedHosts) -> Router {
    let routes = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready))
        .route("/healthz", get(details))
        .route("/", get(details))
        .with_state(health)
        .route("/metrics", get(move || prometheus(metrics)))
        .fallback(|| async { (StatusCode::NOT_FOUND, PATHS) });
    guard::protect(routes, hosts)
}

async fn ready(State(health): State<AskHealth>) -> Response {
    let health = health();
    let status = status_code(&health);
    if health.ingest.ready {
        return (status, "ready\n").into_response();
    }
    (status, format!("not ready: {}\n", health.ingest.reasons.join("; "))).into_response()
}

async fn details(State(health): State<AskHealth>) -> Response {
    let health = health();
    (status_code(&health), Json(health)).into_response()
}

fn status_code(health: &Health) -> StatusCode {
    if health.ingest.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// On a thread that may block: some numbers are asked of the store.
async fn prometheus(metrics: WriteMetrics) -> Response {
    match spawn_blocking(move || metrics()).await {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(defect) => {
            tracing::error!(%defect, "the metrics were not written");
            (StatusCode::INTERNAL_SERVER_ERROR, DEFECT).into_response()
        }
    }
}
