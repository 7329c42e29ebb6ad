//! Services and their operations.

use std::collections::BTreeSet;

use axum::extract::State;
use serde::Serialize;

use super::error::V3Error;
use super::question::SPAN_KIND;
use crate::query;
use crate::serve::http::answer::Reply;
use crate::serve::http::desk::Desk;
use crate::serve::http::parameters::Asked;
use crate::serve::http::services::span_kind;
use crate::serve::services as stored;

#[derive(Debug, Serialize)]
struct Services {
    services: BTreeSet<String>,
}

#[derive(Debug, Serialize)]
struct Operations {
    operations: Vec<Operation>,
}

/// An operation, as Jaeger says it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Operation {
    name: String,
    span_kind: &'static str,
}

impl From<query::Operation> for Operation {
    fn from(operation: query::Operation) -> Self {
        Self { name: operation.name, span_kind: operation.kind.name() }
    }
}

/// `GET /api/v3/services`, by name.
pub(in crate::serve::http) async fn services(
    State(desk): State<Desk>,
    asked: Asked,
) -> Result<Reply, V3Error> {
    let reply = desk
        .ask(move |answers| Reply::json(&Services { services: stored::names(&answers.query)? }, asked.form));
    Ok(reply.await?)
}

/// `GET /api/v3/operations?service=…&spanKind=…`, by name.
pub(in crate::serve::http) async fn operations(
    State(desk): State<Desk>,
    asked: Asked,
) -> Result<Reply, V3Error> {
    let service = asked.parameters.required("service")?.to_owned();
    let kind = span_kind(&asked.parameters, SPAN_KIND.given(&asked.parameters))?;
    let reply = desk.ask(move |answers| {
        let operations = stored::operations_of_otlp(&answers.query, &service, kind)?;
        let operations = operations.into_iter().map(Operation::from).collect();
        Reply::json(&Operations { operations }, asked.form)
    });
    Ok(reply.await?)
}
