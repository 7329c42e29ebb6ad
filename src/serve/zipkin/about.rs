//! What Zipkin says of itself: whether it is well, and what its page is to show.

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, header};
use serde_json::json;

use crate::serve::health::IsServing;

const JSON: &str = "application/json; charset=utf-8";

/// `GET /health`, and where it moved to in some versions.
pub(super) fn health(is_serving: IsServing) -> Router {
    let health = get(async move || {
        let status = tokio::task::spawn_blocking(move || is_serving()).await;
        match status {
            Ok(true) => said(StatusCode::OK, "UP"),
            Ok(false) | Err(_) => said(StatusCode::SERVICE_UNAVAILABLE, "DOWN"),
        }
    });
    Router::new().route("/health", health.clone()).route("/actuator/health", health)
}

fn said(code: StatusCode, status: &str) -> Response {
    let details = json!({"tracelodge": {"status": status}});
    let body = json!({"status": status, "zipkin": {"status": status, "details": details}});
    (code, [(header::CONTENT_TYPE, JSON)], body.to_string()).into_response()
}

/// `GET /zipkin/config.json`: what the page reads before all else. The numbers are its own defaults; the archive that it
/// could send traces to is not ours, which is asked by Jaeger's page.
pub(super) async fn config() -> Response {
    let config = json!({
        "environment": "",
        "queryLimit": 10,
        "defaultLookback": 900_000,
        "searchEnabled": true,
        "logsUrl": null,
        "supportUrl": null,
        "archivePostUrl": null,
        "archiveUrl": null,
        "dependency": {"enabled": true, "lowErrorRate": 0.5, "highErrorRate": 0.75},
    });
    ([(header::CONTENT_TYPE, JSON)], config.to_string()).into_response()
}
