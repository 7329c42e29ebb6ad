//! What the gRPC doors of answers have alike: whom they ask, how an error is said, and what is said to who is wrong here.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn, map_response};
use axum::response::{IntoResponse as _, Response};
use http::header::{self, HeaderMap};
use http::{HeaderValue, StatusCode};
use tonic::Status;
use tonic::service::Routes;
use tower_http::catch_panic::CatchPanicLayer;

use super::turns::{self, Turns};
use super::{expression, times};
use crate::model::{Clock, TraceId};
use crate::query::{self, Query};

/// Whom a gRPC door asks; cheap to clone.
#[derive(Debug, Clone)]
pub struct Source {
    /// What is stored.
    pub query: Arc<Query>,
    /// Where questions wait, those of other doors too.
    pub turns: Turns,
    /// What "now" is.
    pub clock: Arc<dyn Clock>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(transparent)]
    Turn(#[from] turns::Error),
    #[error("the stored spans could not be read; the log has the details")]
    Query(#[from] query::Error),
    #[error(transparent)]
    Time(#[from] times::Error),
    #[error(transparent)]
    Filter(#[from] expression::Error),
    #[error(transparent)]
    Conditions(#[from] query::expression::Error),
    #[error("the search ended before anything was found; ask for a shorter time or a service")]
    Unfinished,
    /// Something else of the question makes no sense.
    #[error("{0}")]
    Contradiction(String),
}

impl From<Error> for Status {
    /// What is the server's fault goes to the log with its cause, which the asker is not told.
    fn from(error: Error) -> Self {
        use std::error::Error as _;
        match &error {
            Error::Turn(turns::Error::Busy | turns::Error::Slow) => {
                tracing::warn!("a question was not answered: {error}");
                Self::unavailable(error.to_string())
            }
            Error::Time(_) | Error::Filter(_) | Error::Conditions(_) | Error::Contradiction(_) => {
                Self::invalid_argument(error.to_string())
            }
            Error::Unfinished => Self::deadline_exceeded(error.to_string()),
            Error::Turn(turns::Error::Defect(_)) | Error::Query(_) => {
                tracing::error!(error = error.source(), "{error}");
                Self::internal(error.to_string())
            }
        }
    }
}

/// The longest question, inflated; as long as HTTP's longest filter. Two bytes of it can become eighty when it is read,
/// which is before it waits for a turn.
pub(super) const MAX_QUESTION_BYTES: usize = 256 << 10;

/// A server of a service that takes what is packed, and packs its answers for who says that it takes them so.
macro_rules! packing {
    ($server:expr) => {
        $server
            .max_decoding_message_size($crate::serve::grpc::MAX_QUESTION_BYTES)
            .accept_compressed(tonic::codec::CompressionEncoding::Gzip)
            .accept_compressed(tonic::codec::CompressionEncoding::Zstd)
            .accept_compressed(tonic::codec::CompressionEncoding::Deflate)
            .send_compressed(tonic::codec::CompressionEncoding::Gzip)
            .send_compressed(tonic::codec::CompressionEncoding::Zstd)
    };
}
pub(super) use packing;

/// A trace's id as Jaeger sends it: 16 bytes, or the 8 of its lower half.
pub(super) fn trace_id(bytes: &[u8]) -> Result<TraceId, Error> {
    let half = |low: [u8; 8]| TraceId(u128::from(u64::from_be_bytes(low)).to_be_bytes());
    TraceId::from_slice(bytes).or_else(|| bytes.try_into().ok().map(half)).ok_or_else(|| {
        Error::Contradiction(format!("trace_id has {} bytes; it has to have 16, or 8", bytes.len()))
    })
}

/// Services as a router that can be put beside others at one port; [`closed`] makes a door of it.
pub(super) fn router(services: Routes) -> Router {
    let router = services.into_axum_router().reset_fallback();
    router.layer(map_response(blame_the_asker)).layer(CatchPanicLayer::new())
}

/// What cannot be read as the message that is asked with is called a fault of the server by the library, before any of
/// ours is asked.
async fn blame_the_asker(mut response: Response) -> Response {
    /// How messages of such answers begin, as they are written in a header.
    const BEGINNINGS: [&[u8]; 2] = [b"failed%20to%20decode%20Protobuf%20message", b"Error%20decompressing"];
    let headers = response.headers_mut();
    let is_internal = headers.get(Status::GRPC_STATUS).is_some_and(|code| code == "13");
    let is_unread = headers
        .get(Status::GRPC_MESSAGE)
        .is_some_and(|message| BEGINNINGS.iter().any(|beginning| message.as_bytes().starts_with(beginning)));
    if is_internal && is_unread {
        headers.insert(Status::GRPC_STATUS, HeaderValue::from_static("3"));
    }
    response
}

/// A router of gRPC services that tells all others that they are wrong here: those who ask for what is not here, who do
/// not speak gRPC, and web pages. A page can send what looks like a call without asking first, and one that points its own
/// name here could read the answer; browsers say of each such request that it is one, programs never do. What `guarded` puts
/// around the router stands before what is not here, too.
pub fn closed(router: Router, guarded: impl FnOnce(Router) -> Router) -> Router {
    guarded(router.fallback(refuse)).layer(from_fn(refuse_strangers))
}

async fn refuse_strangers(request: Request, next: Next) -> Response {
    let headers = request.headers();
    if headers.contains_key(header::ORIGIN) || headers.contains_key("sec-fetch-site") {
        return (StatusCode::FORBIDDEN, "this port is not for web pages\n").into_response();
    }
    if is_grpc(headers) { next.run(request).await } else { refuse(request.into_parts().0.headers).await }
}

async fn refuse(headers: HeaderMap) -> Response {
    if is_grpc(&headers) {
        return unimplemented("no such gRPC service on this port");
    }
    (StatusCode::NOT_FOUND, "this port speaks gRPC\n").into_response()
}

/// Whether who asks speaks gRPC.
pub(super) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// A gRPC answer without messages: the status stands in the headers (gRPC over HTTP/2, "Trailers-Only").
pub(super) fn unimplemented(message: &'static str) -> Response {
    let field = |text: &'static str| HeaderValue::from_static(text);
    let headers = [
        ("content-type", field("application/grpc")),
        ("grpc-status", field("12")),
        ("grpc-message", field(message)),
    ];
    (StatusCode::OK, headers).into_response()
}
