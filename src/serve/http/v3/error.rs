//! Errors as Jaeger's third API says them.

use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::serve::http::error::Error;

/// Any error, in an object of its own.
#[derive(Debug)]
pub(in crate::serve::http) struct V3Error(Error);

impl<E: Into<Error>> From<E> for V3Error {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    error: Details,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Details {
    http_code: u16,
    message: String,
}

impl IntoResponse for V3Error {
    fn into_response(self) -> Response {
        let message = match &self.0 {
            Error::NoSuchTrace => "No traces found".to_owned(),
            error => error.to_string(),
        };
        let body = Body { error: Details { http_code: self.0.status().as_u16(), message } };
        // A text and a number always serialize.
        self.0.respond("application/json", serde_json::to_string(&body).unwrap_or_default())
    }
}
