//! Traces in one line each, as Jaeger's page lists them.

use axum::extract::State;
use serde::Serialize;

use super::error::V3Error;
use super::question::conditions;
use super::traces::find;
use crate::serve::http::answer::Reply;
use crate::serve::http::desk::Desk;
use crate::serve::http::error::Error;
use crate::serve::http::parameters::Asked;
use crate::serve::summary;

#[derive(Debug, Serialize)]
struct Summaries {
    summaries: Vec<Summary>,
}

/// A trace in one line. Jaeger's page checks all of it, and shows nothing if one member is missing or of another form.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    /// 32 hex digits.
    trace_id: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    root_service_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    root_operation_name: String,
    /// Both as text: JavaScript's numbers end at 2^53.
    min_start_time_unix_nano: String,
    max_end_time_unix_nano: String,
    span_count: u32,
    error_span_count: u32,
    orphan_span_count: u32,
    services: Vec<Service>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Service {
    name: String,
    span_count: u32,
    error_span_count: u32,
}

impl From<summary::Summary> for Summary {
    fn from(listed: summary::Summary) -> Self {
        let services = listed.services.into_iter();
        Self {
            trace_id: listed.id.to_string(),
            root_service_name: listed.root_service,
            root_operation_name: listed.root_name,
            min_start_time_unix_nano: listed.start.nanos().to_string(),
            max_end_time_unix_nano: listed.end.nanos().to_string(),
            span_count: listed.spans,
            error_span_count: listed.errors,
            orphan_span_count: listed.orphans,
            services: services
                .map(|(name, (spans, errors))| Service { name, span_count: spans, error_span_count: errors })
                .collect(),
        }
    }
}

/// `GET /api/v3/trace-summaries?query.…`, newest first.
pub(in crate::serve::http) async fn summaries(
    State(desk): State<Desk>,
    asked: Asked,
) -> Result<Reply, V3Error> {
    let conditions = conditions(&asked.parameters)?;
    let reply = desk.search(move |answers, cancel| {
        let ids = match find(&answers.query, cancel, conditions) {
            Err(Error::NoSuchTrace) => Vec::new(),
            found => found?,
        };
        let mut summaries = Vec::with_capacity(ids.len());
        for id in ids.into_iter().take_while(|_| !cancel.is_cancelled()) {
            summaries.extend(summary::Summary::read(&answers.query, id, cancel)?.map(Summary::from));
        }
        Reply::json(&Summaries { summaries }, asked.form)
    });
    Ok(reply.await?)
}
