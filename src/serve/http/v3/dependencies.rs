//! Which service calls which.

use axum::extract::State;
use serde::Serialize;

use super::error::V3Error;
use super::question::{END, START};
use crate::model::Timestamp;
use crate::serve::http::answer::Reply;
use crate::serve::http::desk::Desk;
use crate::serve::http::parameters::Asked;
use crate::serve::services;

#[derive(Debug, Serialize)]
struct Dependencies {
    dependencies: Vec<Dependency>,
}

/// One service calling another.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    parent: String,
    child: String,
    /// As text, as protobuf's 64-bit numbers are in JSON.
    call_count: String,
}

/// `GET /api/v3/dependencies?startTime=…&endTime=…`; a time that is not given is no bound.
pub(in crate::serve::http) async fn dependencies(
    State(desk): State<Desk>,
    asked: Asked,
) -> Result<Reply, V3Error> {
    let time = |name| asked.parameters.time(name);
    let start = time(START.given(&asked.parameters))?.unwrap_or(Timestamp::ZERO);
    let end = time(END.given(&asked.parameters))?;
    let reply = desk.ask(move |answers| {
        let end = end.unwrap_or_else(|| answers.clock.now());
        let calls = services::calls(&answers.query, (start, end), false, |_| true)?.into_iter();
        let dependencies = calls
            .map(|((parent, child), calls)| Dependency { parent, child, call_count: calls.to_string() })
            .collect();
        Reply::json(&Dependencies { dependencies }, asked.form)
    });
    Ok(reply.await?)
}
