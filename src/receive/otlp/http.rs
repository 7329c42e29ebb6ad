//! OTLP over HTTP: `POST /v1/{traces,logs,metrics}`, protobuf or JSON.

use std::sync::Arc;

use super::{from_json, grpc};
use crate::ingest::{Refused, Signal};
use crate::receive::answer::{Code, Encoding, Status};
use crate::receive::body::{self, Announced, Coding};
use crate::receive::grpc::MEDIA_TYPES;
use crate::receive::hand_over::{Door, Sent};
use crate::receive::plain::{code, plain, shortened, wrong_method};
use crate::receive::{Transport, header_text, media_type};
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, header};

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

/// Whatever no gRPC route took.
pub(super) async fn export(State(door): State<Arc<Door>>, request: Request<Body>) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let response = answer(&door, &head, &mut body).await;
    if !response.status().is_success() {
        body::discard(&head, body, &door.ingest);
    }
    response
}

async fn answer(door: &Arc<Door>, head: &Parts, body: &mut Body) -> Response<Body> {
    let media_type = media_type(&head.headers);
    let path = head.uri.path();
    if MEDIA_TYPES.contains(&media_type.as_str()) {
        return grpc::unknown_service(path);
    }
    let Some(signal) = signal(path, &media_type) else {
        return plain(StatusCode::NOT_FOUND, "OTLP/HTTP is served at /v1/traces, /v1/logs and /v1/metrics");
    };
    if head.method != Method::POST {
        return wrong_method("send OTLP with POST");
    }
    let encoding = match media_type.as_str() {
        PROTOBUF => Encoding::Protobuf,
        JSON => Encoding::Json,
        _ => return unsupported_type(&media_type),
    };
    let coding = header_text(&head.headers, &header::CONTENT_ENCODING);
    let Some(coding) = Coding::from_name(coding) else { return unsupported_coding(coding, encoding) };
    let announced = Announced::of(head);
    let limit = door.ingest.settings().max_request_bytes;
    let received = async {
        let received = body::read(body, announced, limit, door).await?;
        body::inflate(coding, received, &door.ingest).await
    };
    let sent = Sent { transport: Transport::Http, signal, is_request: encoding == Encoding::Protobuf };
    let convert = move |received| match encoding {
        Encoding::Protobuf => Ok(received),
        Encoding::Json => from_json(signal, received),
    };
    match door.take(sent, received, convert).await {
        Ok(accepted) => respond(StatusCode::OK, encoding, encoding.response(signal, &accepted)),
        Err(refused) => refusal(&refused, encoding),
    }
}

/// The signal a path means. Exporters that were given a full path append theirs to it, and some send to the
/// root what belongs to `/v1/traces`; both are understood.
fn signal(path: &str, media_type: &str) -> Option<Signal> {
    let path = path.trim_end_matches('/');
    match path {
        _ if path.ends_with("/v1/traces") => Some(Signal::Traces),
        _ if path.ends_with("/v1/logs") => Some(Signal::Logs),
        _ if path.ends_with("/v1/metrics") => Some(Signal::Metrics),
        "" if media_type == PROTOBUF || media_type == JSON => Some(Signal::Traces),
        _ => None,
    }
}

fn refusal(refused: &Refused, encoding: Encoding) -> Response<Body> {
    let status = Status::from(refused);
    let mut response = respond(code(refused), encoding, encoding.status(&status));
    if let Some(retry_after) = status.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs()));
    }
    response
}

fn unsupported_type(media_type: &str) -> Response<Body> {
    let message = format!("content type '{}' is not {PROTOBUF} or {JSON}", shortened(media_type));
    let status = Status { code: Code::InvalidArgument, message, retry_after: None };
    respond(StatusCode::UNSUPPORTED_MEDIA_TYPE, Encoding::Json, Encoding::Json.status(&status))
}

fn unsupported_coding(coding: &str, encoding: Encoding) -> Response<Body> {
    let message = format!("content encoding '{}' is none of {}", shortened(coding), Coding::NAMES);
    let status = Status { code: Code::InvalidArgument, message, retry_after: None };
    let mut response = respond(StatusCode::UNSUPPORTED_MEDIA_TYPE, encoding, encoding.status(&status));
    // RFC 9110, section 12.5.3: a 415 for a coding says which ones would do.
    response.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static(Coding::NAMES));
    response
}

fn respond(code: StatusCode, encoding: Encoding, bytes: Vec<u8>) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(encoding.media_type()));
    response
}
