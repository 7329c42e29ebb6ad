//! Services and their operations.

use std::collections::BTreeSet;

use axum::extract::State;
use serde::Serialize;

use super::error::V3Error;
use super::question::SPAN_KIND;
use crate::model::SpanKind;
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
    operations: BTreeSet<Operation>,
}

/// An operation, as Jaeger says it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
struct Operation {
    name: String,
    span_kind: &'static str,
}

impl From<query::Operation> for Operation {
    /// In OTLP, a kind that was not said is taken for internal, and Jaeger says so here.
    fn from(operation: query::Operation) -> Self {
        let said = Some(operation.kind).filter(|kind| *kind != SpanKind::Unspecified);
        Self { name: operation.name, span_kind: said.unwrap_or(SpanKind::Internal).name() }
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
        let mut operations = stored::operations(&answers.query, &service, kind)?;
        if kind == Some(SpanKind::Internal) {
            operations.extend(stored::operations(&answers.query, &service, Some(SpanKind::Unspecified))?);
        }
        let operations = operations.into_iter().map(Operation::from).collect();
        Reply::json(&Operations { operations }, asked.form)
    });
    Ok(reply.await?)
}
