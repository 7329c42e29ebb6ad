//! Services and their operations.

use std::collections::BTreeSet;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use serde::Serialize;

use super::answer::{Envelope, Reply};
use super::desk::Desk;
use super::error::JaegerError;
use super::no_such_route;
use super::parameters::{self, Asked};
use crate::model::SpanKind;
use crate::serve::services;

/// An operation, as Jaeger says it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Operation {
    name: String,
    span_kind: &'static str,
}

/// `GET /api/services`, by name.
pub(super) async fn services(State(desk): State<Desk>, asked: Asked) -> Result<Reply, JaegerError> {
    let reply = desk.ask(move |answers| {
        let names = services::names(&answers.query)?;
        Reply::json(&Envelope::of(&names, names.len()), asked.form)
    });
    Ok(reply.await?)
}

/// `GET /api/services/{service}/operations`: names only, each once. A slash in the service's name may stand as it is: that is
/// how Grafana asks.
pub(super) async fn operation_names(
    State(desk): State<Desk>,
    Path(path): Path<String>,
    asked: Asked,
) -> Result<Response, JaegerError> {
    let service = path.strip_suffix("/operations").filter(|service| !service.is_empty());
    let Some(service) = service.map(str::to_owned) else { return Ok(no_such_route()) };
    let reply = desk.ask(move |answers| {
        let operations = services::operations(&answers.query, &service, None)?;
        let names: BTreeSet<String> = operations.into_iter().map(|operation| operation.name).collect();
        Reply::json(&Envelope::of(&names, names.len()), asked.form)
    });
    Ok(reply.await?.into_response())
}

/// `GET /api/operations?service=…&spanKind=…`: names with their kinds.
pub(super) async fn operations(State(desk): State<Desk>, asked: Asked) -> Result<Reply, JaegerError> {
    let service = asked.parameters.required("service")?.to_owned();
    let kind = span_kind(&asked.parameters, "spanKind")?;
    let reply = desk.ask(move |answers| {
        let operations: Vec<_> = services::operations(&answers.query, &service, kind)?
            .into_iter()
            .map(|operation| Operation { name: operation.name, span_kind: operation.kind.name() })
            .collect();
        Reply::json(&Envelope::of(&operations, operations.len()), asked.form)
    });
    Ok(reply.await?)
}

/// The kind that a parameter of this name says.
pub(super) fn span_kind(
    parameters: &parameters::Parameters,
    name: &'static str,
) -> Result<Option<SpanKind>, parameters::Error> {
    parameters.text(name).map(|value| parameters::span_kind(name, value)).transpose()
}
