//! OTLP over gRPC and HTTP, protobuf and JSON, in one router that serves either port.
//!
//! Source: opentelemetry-proto `docs/specification.md`; the status table is drawn in `docs/protocols.md`.

mod answer;
mod body;
mod grpc;
mod http;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::routing::any;
use bytes::Bytes;
use tokio::sync::oneshot;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::ingest::{Accepted, DoorCounts, Ingest, Refused, Signal};

/// How long a browser may remember what a preflight said.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(7_200);

/// What was counted by transport.
#[derive(Debug, Default)]
pub struct Counts {
    /// Over gRPC.
    pub grpc: DoorCounts,
    /// Over HTTP.
    pub http: DoorCounts,
}

/// The OTLP door.
#[derive(Debug)]
pub(crate) struct Door {
    ingest: Arc<Ingest>,
    counts: Arc<Counts>,
}

/// All of OTLP, for one port or several. `allowed_origins` are the pages whose scripts may send spans
/// (`*` for any).
pub fn router(ingest: Arc<Ingest>, counts: Arc<Counts>, allowed_origins: Vec<String>) -> Router {
    let door = Arc::new(Door { ingest, counts });
    let mut router = Router::new();
    for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
        router =
            router.route(grpc::path(signal), any(move |state, request| grpc::export(signal, state, request)));
    }
    router.fallback(http::export).with_state(door).layer(cors(allowed_origins))
}

/// Browsers' SDKs send from other origins; `sendBeacon` sends credentials, so a bare `*` would not do
/// (Fetch, section 3.3.5). This door only takes, it tells a page nothing but whether it took.
fn cors(allowed_origins: Vec<String>) -> CorsLayer {
    let allowed = move |origin: &axum::http::HeaderValue, _: &_| {
        allowed_origins.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
    };
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_credentials(true)
        .allow_methods([Method::POST, Method::OPTIONS])
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(PREFLIGHT_MAX_AGE)
}

/// Bodies larger than this are checked off the threads that serve connections.
const INLINE_BYTES: usize = 64 << 10;

impl Door {
    /// Makes a request safe: returns when its spans are on disk.
    async fn accept(
        self: Arc<Self>,
        signal: Signal,
        body: Bytes,
        to_protobuf: fn(Signal, Bytes) -> Result<Bytes, Refused>,
    ) -> Result<Accepted, Refused> {
        let (answer, answered) = oneshot::channel();
        let door = Arc::clone(&self);
        let large = body.len() > INLINE_BYTES;
        let work = move || match to_protobuf(signal, body) {
            // Nobody waits any more when the connection is gone; the spans are safe all the same.
            Ok(request) => door.ingest.accept(signal, request, move |outcome| drop(answer.send(outcome))),
            Err(refused) => drop(answer.send(Err(refused))),
        };
        if large {
            // A panic in there drops `answer`, which is answered below.
            drop(tokio::task::spawn_blocking(work));
        } else {
            work();
        }
        answered.await.unwrap_or_else(|_dropped| {
            Err(Refused::Later {
                why: "the server stopped before the spans were safe".to_owned(),
                retry_after: crate::ingest::RETRY_AFTER,
            })
        })
    }
}

fn count(counts: &DoorCounts, signal: Signal, outcome: &Result<Accepted, Refused>) {
    counts.requests.add(1);
    match outcome {
        Ok(accepted) if signal == Signal::Traces => {
            counts.accepted_spans.add(accepted.items.into());
            counts.failed_spans.add(accepted.rejected.into());
        }
        Ok(_) => {}
        Err(Refused::Later { .. }) => drop(counts.refused_requests.add(1)),
        Err(Refused::Malformed(_) | Refused::TooLarge { .. }) => drop(counts.failed_requests.add(1)),
    }
}

/// A header as text; one that is not text is as good as absent.
fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The media type without its parameters, in lower case.
fn media_type(headers: &HeaderMap) -> String {
    header(headers, &header::CONTENT_TYPE).split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
