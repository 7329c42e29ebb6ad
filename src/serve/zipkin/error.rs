//! What can go wrong with a question, in Zipkin's words: a status and a text.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use crate::query;
use crate::query::expression;
use crate::serve::http::error::Error as Failure;
use crate::serve::turns;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The question makes no sense.
    #[error("{0}")]
    Asked(String),
    /// Nothing has this id, as it was asked for.
    #[error("{0} not found")]
    NoSuchTrace(String),
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<turns::Error> for Error {
    fn from(error: turns::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<query::Error> for Error {
    fn from(error: query::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.into())
    }
}

impl From<expression::Error> for Error {
    fn from(error: expression::Error) -> Self {
        Self::Asked(error.to_string())
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Asked(_) => StatusCode::BAD_REQUEST,
            Self::NoSuchTrace(_) => StatusCode::NOT_FOUND,
            Self::Failed(failure) => return failure.respond(TEXT, failure.to_string()),
        };
        (status, [(header::CONTENT_TYPE, TEXT)], self.to_string()).into_response()
    }
}
