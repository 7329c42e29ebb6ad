//! OTLP over gRPC and HTTP, protobuf and JSON, in one router that serves either port.
//!
//! Source: opentelemetry-proto `docs/specification.md`; the status table is drawn in `docs/protocols.md`.

mod answer;
mod body;
mod grpc;
mod http;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderMap, HeaderName, Method, header};
use axum::routing::any;
use bytes::Bytes;
use tokio::sync::oneshot;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use crate::ingest::{Accepted, DoorCounts, Ingest, Refused, Reservation, Signal};
use crate::otlp;

use answer::Encoding;

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

impl Counts {
    fn of(&self, transport: Transport) -> &DoorCounts {
        match transport {
            Transport::Grpc => &self.grpc,
            Transport::Http => &self.http,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Transport {
    Grpc,
    Http,
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

/// A body that was read, and the room it takes.
#[derive(Debug)]
struct Received {
    bytes: Bytes,
    reservation: Reservation,
}

impl Door {
    /// Reads, inflates, translates and makes safe: returns when the spans are on disk.
    ///
    /// Once the bytes are with the buffer they are its own: a client that goes away changes neither what is
    /// counted nor what is kept, nor gives room back too early.
    async fn export(
        self: &Arc<Self>,
        transport: Transport,
        signal: Signal,
        received: impl Future<Output = Result<Received, Refused>>,
        encoding: Encoding,
    ) -> Result<Accepted, Refused> {
        let received = match received.await {
            Ok(received) => received,
            Err(refused) => {
                count(self.counts.of(transport), signal, &Err(refused.clone()));
                return Err(refused);
            }
        };
        let (answer, answered) = oneshot::channel();
        let door = Arc::clone(self);
        let large = received.bytes.len() > INLINE_BYTES;
        let work = move || door.accept(transport, signal, received, encoding, answer);
        // A panic is reported by its own hook; it drops `answer`, which is told below.
        let work = move || drop(catch_unwind(AssertUnwindSafe(work)));
        if large {
            drop(tokio::task::spawn_blocking(work));
        } else {
            work();
        }
        answered.await.unwrap_or_else(|_dropped| {
            count(self.counts.of(transport), signal, &Err(Refused::Defect));
            Err(Refused::Defect)
        })
    }

    fn accept(
        self: Arc<Self>,
        transport: Transport,
        signal: Signal,
        received: Received,
        encoding: Encoding,
        answer: oneshot::Sender<Result<Accepted, Refused>>,
    ) {
        let Received { bytes, mut reservation } = received;
        let request = match encoding {
            Encoding::Protobuf => Ok(bytes),
            Encoding::Json => from_json(signal, &bytes, &mut reservation),
        };
        let counts = Arc::clone(&self.counts);
        let done = move |outcome| {
            count(counts.of(transport), signal, &outcome);
            drop(reservation);
            // Nobody may wait any more.
            drop(answer.send(outcome));
        };
        match request {
            Ok(request) => self.ingest.accept(signal, request, done),
            Err(refused) => done(Err(refused)),
        }
    }
}

fn from_json(signal: Signal, json: &Bytes, reservation: &mut Reservation) -> Result<Bytes, Refused> {
    // The protobuf form stands beside the JSON while it is written, and is rarely larger.
    reservation.grow(2 * json.len())?;
    let transcoded = match signal {
        Signal::Traces => otlp::json::traces(json),
        Signal::Logs => otlp::json::logs(json),
        Signal::Metrics => otlp::json::metrics(json),
    };
    let mut request = transcoded.map_err(|error| Refused::Malformed(error.to_string()))?;
    // As with bodies: what is kept pins no more than it says.
    request.shrink_to_fit();
    Ok(request.into())
}

fn count(counts: &DoorCounts, signal: Signal, outcome: &Result<Accepted, Refused>) {
    counts.requests.add(1);
    match outcome {
        Ok(accepted) if signal == Signal::Traces => {
            counts.accepted_spans.add(accepted.items.into());
            counts.rejected_spans.add(accepted.rejected.into());
        }
        Ok(_) => {}
        Err(Refused::Later { .. }) => {
            counts.refused_requests.add(1);
        }
        Err(Refused::Malformed(_) | Refused::TooLarge { .. } | Refused::Defect) => {
            counts.failed_requests.add(1);
        }
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
