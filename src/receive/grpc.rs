//! gRPC's calls, taken apart by hand.
//!
//! A unary call is one framed message in each direction. It is taken apart here, not by a gRPC library: those
//! make room for a message by its announced length and inflate it on the threads that serve connections, and
//! both are ours to bound.
//!
//! Source: grpc `doc/PROTOCOL-HTTP2.md`, `doc/compression.md`.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use bytes::{Buf as _, BufMut as _, BytesMut};
use http_body_util::{BodyExt as _, Full};

use super::answer::{Code, Encoding, Status};
use super::body::{self, Announced, Coding};
use super::hand_over::Door;
use super::{Received, header_text, media_type};
use crate::ingest::{Ingest, Refused};

/// The content types of gRPC whose messages are protobuf.
pub(super) const MEDIA_TYPES: [&str; 2] = ["application/grpc", "application/grpc+proto"];

/// The bytes before each message: whether it is compressed, and its length.
pub(super) const PREFIX_BYTES: usize = 5;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Whether a call is one of gRPC.
pub(super) fn is_call(headers: &HeaderMap) -> bool {
    MEDIA_TYPES.contains(&media_type(headers).as_str())
}

/// How the messages of a call are compressed; an error says that we cannot read them.
pub(super) fn coding(headers: &HeaderMap) -> Result<Coding, String> {
    let name = header_text(headers, &GRPC_ENCODING);
    Coding::from_name(name).ok_or_else(|| format!("grpc-encoding '{name}' is none of {}", Coding::NAMES))
}

/// The same of what must be a call; `otherwise` is the error if it is none.
pub(super) fn coding_of_call(headers: &HeaderMap, otherwise: &str) -> Result<Coding, String> {
    if is_call(headers) { coding(headers) } else { Err(otherwise.to_owned()) }
}

/// The one message of a call, inflated.
pub(super) async fn message(body: &mut Body, coding: Coding, door: &Door) -> Result<Received, Refused> {
    let limit = door.ingest.settings().max_request_bytes;
    let mut received =
        body::read(body, Announced::ByPrefix, limit.saturating_add(PREFIX_BYTES), door).await?;
    let malformed = |what: String| Err(Refused::Malformed(what));
    if received.bytes.len() < PREFIX_BYTES {
        return malformed(format!("a call of {} bytes holds no message", received.bytes.len()));
    }
    let (compressed, length) = (received.bytes.get_u8(), received.bytes.get_u32() as usize);
    if length != received.bytes.len() {
        return malformed(format!(
            "a message of {length} bytes was announced, {} came",
            received.bytes.len()
        ));
    }
    inflated(compressed, coding, received, &door.ingest).await
}

/// A message whose first byte says whether it is compressed.
pub(super) async fn inflated(
    compressed: u8,
    coding: Coding,
    received: Received,
    ingest: &Ingest,
) -> Result<Received, Refused> {
    let malformed = |what: String| Err(Refused::Malformed(what));
    match (compressed, coding) {
        (0, _) => Ok(received),
        (1, Coding::Identity) => malformed("a compressed message came without a grpc-encoding".to_owned()),
        (1, coding) => body::inflate(coding, received, ingest).await,
        (flag, _) => malformed(format!("a message's first byte is 0 or 1, not {flag}")),
    }
}

/// The answer to a call that went well.
pub(super) fn success(message: &[u8]) -> Response<Body> {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    // An answer is a number and a sentence.
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    let trailers = HeaderMap::from_iter([(GRPC_STATUS, HeaderValue::from_static("0"))]);
    let body = Full::new(framed.freeze()).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPES[0]));
    response
}

/// The answer to a call that was refused.
pub(super) fn refusal(refused: &Refused) -> Response<Body> {
    tonic::Status::from(Status::from(refused)).into_http()
}

/// The answer to a call that asks for what is not here.
pub(super) fn unimplemented(message: String) -> Response<Body> {
    let status = Status { code: Code::Unimplemented, message, retry_after: None };
    let mut response: Response<Body> = tonic::Status::from(status).into_http();
    response
        .headers_mut()
        .insert(GRPC_ACCEPT_ENCODING, HeaderValue::from_static("identity,gzip,deflate,zstd"));
    response
}

impl From<Status> for tonic::Status {
    fn from(status: Status) -> Self {
        let code = match status.code {
            Code::InvalidArgument => tonic::Code::InvalidArgument,
            Code::ResourceExhausted => tonic::Code::ResourceExhausted,
            Code::Unimplemented => tonic::Code::Unimplemented,
            Code::Internal => tonic::Code::Internal,
            Code::Unavailable => tonic::Code::Unavailable,
        };
        match status.retry_after {
            Some(_) => {
                Self::with_details(code, status.message.clone(), Encoding::Protobuf.status(&status).into())
            }
            None => Self::new(code, status.message),
        }
    }
}
