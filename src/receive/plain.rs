//! Answers over HTTP for people: a code and a line of text.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::body::Coding;
use crate::ingest::Refused;

/// An answer of one line.
pub(super) fn plain(code: StatusCode, text: impl std::fmt::Display) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{text}\n")));
    *response.status_mut() = code;
    with(response, header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"))
}

/// Taken, with nothing to say of it.
pub(super) fn accepted() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// What a refusal is in HTTP.
pub(super) fn code(refused: &Refused) -> StatusCode {
    match refused {
        Refused::Malformed(_) => StatusCode::BAD_REQUEST,
        Refused::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        Refused::Later { .. } => StatusCode::SERVICE_UNAVAILABLE,
        Refused::Full { .. } => StatusCode::INSUFFICIENT_STORAGE,
        Refused::Defect => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Why a request was not taken, and when to send it again where that can help.
pub(super) fn refusal(refused: &Refused) -> Response<Body> {
    let response = plain(code(refused), refused);
    match refused {
        Refused::Later { retry_after, .. } => {
            with(response, header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs()))
        }
        _ => response,
    }
}

/// Another method than the one there is. `text` says how it would be right.
pub(super) fn wrong_method(text: &'static str) -> Response<Body> {
    let response = plain(StatusCode::METHOD_NOT_ALLOWED, text);
    with(response, header::ALLOW, HeaderValue::from_static("POST, OPTIONS"))
}

/// RFC 9110, section 12.5.3: a 415 for a coding says which ones would do.
pub(super) fn unsupported_coding(coding: &str) -> Response<Body> {
    let text = format!("content encoding '{}' is none of {}", shortened(coding), Coding::NAMES);
    let response = plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, text);
    with(response, header::ACCEPT_ENCODING, HeaderValue::from_static(Coding::NAMES))
}

/// As much of what was sent as is worth repeating.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

fn with(mut response: Response<Body>, name: HeaderName, value: HeaderValue) -> Response<Body> {
    response.headers_mut().insert(name, value);
    response
}
