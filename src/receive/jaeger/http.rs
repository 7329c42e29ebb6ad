//! `POST /api/traces`: a batch of thrift.

use std::sync::Arc;

use axum::Router;

use crate::ingest::Ingest;
use crate::receive::Counts;

/// The route, to be merged with what else is on its port. `allowed_origins` are the pages whose scripts may send spans.
pub fn router(_ingest: Arc<Ingest>, _counts: Arc<Counts>, _allowed_origins: Vec<String>) -> Router {
    Router::new()
}
