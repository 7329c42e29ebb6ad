//! OTLP over gRPC and HTTP, protobuf and JSON, in one router that serves either port.
//!
//! Source: opentelemetry-proto `docs/specification.md`; the status table is drawn in `docs/protocols.md`.

mod grpc;
mod http;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use tokio::sync::Mutex;

use super::hand_over::{Door, Terms};
use super::{Counts, Received, pages};
use crate::ingest::{Ingest, Refused, Signal};
use crate::otlp;

/// All of OTLP, for one port or several. `allowed_origins` are the pages whose scripts may send spans
/// (`*` for any).
pub fn router(ingest: Arc<Ingest>, counts: Arc<Counts>, allowed_origins: Vec<String>) -> Router {
    let door = Arc::new(Door { ingest, counts, terms: Terms::OTLP, line: Mutex::default() });
    let mut router = Router::new();
    for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
        router =
            router.route(grpc::path(signal), any(move |state, request| grpc::export(signal, state, request)));
    }
    pages::admit(router.fallback(http::export).with_state(door), allowed_origins)
}

/// The writer of `jaeger.storage.v2`, which is OTLP's method for spans over gRPC.
pub(super) fn writer(door: Arc<Door>) -> Router {
    let signal = Signal::Traces;
    let export = any(move |state, request| grpc::export(signal, state, request));
    Router::new().route(grpc::path(signal), export).with_state(door)
}

fn from_json(signal: Signal, received: Received) -> Result<Received, Refused> {
    let Received { bytes: json, mut reservation } = received;
    // The protobuf form stands beside the JSON while it is written, and is rarely larger.
    reservation.grow(2 * json.len())?;
    let transcoded = match signal {
        Signal::Traces => otlp::json::traces(&json),
        Signal::Logs => otlp::json::logs(&json),
        Signal::Metrics => otlp::json::metrics(&json),
    };
    let mut request = transcoded.map_err(|error| Refused::Malformed(error.to_string()))?;
    // As with bodies: what is kept pins no more than it says.
    request.shrink_to_fit();
    Ok(Received { bytes: request.into(), reservation })
}
