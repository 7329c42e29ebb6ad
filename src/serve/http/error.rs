//! What can go wrong with a question, and how it is said: in Jaeger's envelope or in the page's own form.

use std::error::Error as _;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::answer::{Envelope, Item};
use super::parameters;
use crate::query;
use crate::serve::budget::MAX_ANSWER_BYTES;
use crate::serve::turns;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(in crate::serve) enum Error {
    #[error(transparent)]
    Parameter(#[from] parameters::Error),
    #[error("trace not found")]
    NoSuchTrace,
    #[error("the body is larger than {limit} bytes")]
    BodyTooLarge { limit: usize },
    #[error("the body did not come within {seconds} s")]
    BodyTooSlow { seconds: u64 },
    #[error("unable to read the body: {0}")]
    Body(String),
    #[error("nothing was found until {0}; ask for a shorter time or a service")]
    Unfinished(&'static str),
    #[error(transparent)]
    Turn(#[from] turns::Error),
    #[error("the stored spans could not be read; the log has the details")]
    Query(#[from] query::Error),
    #[error(transparent)]
    Metrics(query::metrics::Error),
    #[error("the answer would be larger than {} MiB; ask for less, such as fewer traces", MAX_ANSWER_BYTES >> 20)]
    TooLarge,
    #[error("the answer could not be written; the log has the details")]
    Write(#[source] std::io::Error),
}

/// Of the writer that packs, which takes no more than [`MAX_ANSWER_BYTES`].
impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::FileTooLarge { Self::TooLarge } else { Self::Write(error) }
    }
}

impl From<query::metrics::Error> for Error {
    fn from(error: query::metrics::Error) -> Self {
        match error {
            query::metrics::Error::Query(error) => Self::Query(error),
            asked_too_much => Self::Metrics(asked_too_much),
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        std::io::Error::from(error).into()
    }
}

impl Error {
    pub(in crate::serve) fn status(&self) -> StatusCode {
        match self {
            Self::Parameter(_) | Self::Body(_) | Self::Metrics(_) | Self::TooLarge => StatusCode::BAD_REQUEST,
            Self::NoSuchTrace => StatusCode::NOT_FOUND,
            Self::BodyTooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Unfinished(_) | Self::Turn(turns::Error::Busy | turns::Error::Slow) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Query(_) | Self::Write(_) | Self::Turn(turns::Error::Defect(_)) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// What is the server's fault goes to the log with its cause, which the asker is not told.
    fn log(&self) {
        match self.status() {
            StatusCode::INTERNAL_SERVER_ERROR => tracing::error!(error = self.source(), "{self}"),
            StatusCode::SERVICE_UNAVAILABLE => tracing::warn!("a question was not answered: {self}"),
            _ => {}
        }
    }

    /// The rest of an answer in either form.
    pub(in crate::serve) fn respond(&self, content_type: &'static str, body: String) -> Response {
        self.log();
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))];
        let mut response = (self.status(), content_type, body).into_response();
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// An error in Jaeger's words: the envelope with the status as `code`, as plain text with a line's end, because
/// Go's `http.Error` sends it so.
#[derive(Debug)]
pub(super) struct JaegerError(Error);

impl<E: Into<Error>> From<E> for JaegerError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for JaegerError {
    fn into_response(self) -> Response {
        let item = Item { code: self.0.status().as_u16(), msg: self.0.to_string(), trace_id: String::new() };
        let envelope = Envelope { errors: Some(vec![item]), ..Envelope::of((), 0) };
        // The envelope holds two texts and numbers, which always serialize.
        let mut body = serde_json::to_string(&envelope).unwrap_or_default();
        body.push('\n');
        self.0.respond("text/plain; charset=utf-8", body)
    }
}

/// An error in the page's own words.
#[derive(Debug)]
pub(super) struct OwnError(Error);

impl<E: Into<Error>> From<E> for OwnError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

#[derive(Serialize)]
struct Problem<'a> {
    title: &'a str,
    status: u16,
    detail: String,
}

impl IntoResponse for OwnError {
    fn into_response(self) -> Response {
        let status = self.0.status();
        let problem = Problem {
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail: self.0.to_string(),
        };
        // Two texts and a number always serialize.
        let body = serde_json::to_string(&problem).unwrap_or_default();
        self.0.respond("application/json", body)
    }
}
