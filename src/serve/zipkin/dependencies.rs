//! Which service calls which.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;

use super::desk::Desk;
use super::error::Error;
use super::question::window;
use crate::query::{Dependency, EdgeKind};
use crate::serve::http::answer::Reply;
use crate::serve::http::parameters::Asked;

/// One service calling another, as Zipkin says it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    parent: String,
    child: String,
    call_count: u64,
    #[serde(skip_serializing_if = "is_zero")]
    error_count: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// `GET /api/v2/dependencies?endTs=…&lookback=…`, both in ms: calls in the hours that overlap with that time. Services
/// without a name are no service's neighbors, as in Zipkin; a call is one whatever carries it, and a link alone is none.
pub(super) async fn dependencies(State(desk): State<Desk>, asked: Asked) -> Result<Reply, Error> {
    let reply = desk.ask(move |source| {
        let (start, end) = window(&asked.parameters, source.clock.now())?;
        let links = links(source.query.dependencies(start, end)?);
        Ok(Reply::json(&links, asked.form)?)
    });
    reply.await
}

fn links(dependencies: Vec<Dependency>) -> Vec<Link> {
    let mut counts: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    for Dependency { parent, child, kind, calls, errors, .. } in dependencies {
        let is_named = !parent.is_empty() && !child.is_empty();
        if is_named && kind != EdgeKind::Link && parent != child {
            let (call_count, error_count) = counts.entry((parent, child)).or_default();
            *call_count += calls;
            *error_count += errors;
        }
    }
    let link = |((parent, child), (call_count, error_count))| Link { parent, child, call_count, error_count };
    counts.into_iter().map(link).collect()
}
