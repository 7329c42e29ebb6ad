//! OTLP over gRPC: the three `Export` methods.
//!
//! A unary call is one framed message in each direction. It is taken apart here, not by a gRPC library: those
//! make room for a message by its announced length and inflate it on the threads that serve connections, and
//! both are ours to bound.
//!
//! Source: grpc `doc/PROTOCOL-HTTP2.md`, `doc/compression.md`.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, header};
use bytes::{Buf as _, BufMut as _, BytesMut};
use http_body_util::{BodyExt as _, Full};

use super::answer::{Code, Encoding, Status};
use super::body::{self, Coding};
use super::{Door, Received, Transport, header as header_text, media_type};
use crate::ingest::{Ingest, Refused, Signal};

/// The content types of gRPC whose messages are protobuf.
pub(super) const MEDIA_TYPES: [&str; 2] = ["application/grpc", "application/grpc+proto"];

/// The bytes before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Where a signal's method is.
pub(super) fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }
}

/// Answers for a method that is not here.
pub(super) fn unknown_service(path: &str) -> Response<Body> {
    let known = "OTLP's TraceService, LogsService and MetricsService are";
    unimplemented(format!("{path} is not served here; {known}"))
}

/// Serves one call of a signal's `Export`.
pub(super) async fn export(
    signal: Signal,
    State(door): State<Arc<Door>>,
    request: Request<Body>,
) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    if !MEDIA_TYPES.contains(&media_type(&head.headers).as_str()) {
        return super::http::export(State(door), Request::from_parts(head, body)).await;
    }
    let name = header_text(&head.headers, &GRPC_ENCODING);
    let Some(coding) = Coding::from_name(name) else {
        return unimplemented(format!("grpc-encoding '{name}' is none of {}", Coding::NAMES));
    };
    let outcome =
        door.export(Transport::Grpc, signal, message(&mut body, coding, &door.ingest), Encoding::Protobuf);
    match outcome.await {
        Ok(accepted) => success(&Encoding::Protobuf.response(signal, &accepted)),
        Err(refused) => tonic::Status::from(Status::from(&refused)).into_http(),
    }
}

/// The one message of a call, inflated.
async fn message(body: &mut Body, coding: Coding, ingest: &Ingest) -> Result<Received, Refused> {
    let limit = ingest.settings().max_request_bytes;
    let mut received = body::read(body, None, limit.saturating_add(PREFIX_BYTES), ingest).await?;
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
    match (compressed, coding) {
        (0, _) => Ok(received),
        (1, Coding::Identity) => malformed("a compressed message came without a grpc-encoding".to_owned()),
        (1, coding) => body::inflate(coding, received, ingest).await,
        (flag, _) => malformed(format!("a message's first byte is 0 or 1, not {flag}")),
    }
}

fn success(message: &[u8]) -> Response<Body> {
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

fn unimplemented(message: String) -> Response<Body> {
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
