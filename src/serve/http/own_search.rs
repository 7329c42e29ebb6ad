//! The page's list of traces.

use axum::extract::State;
use serde::Serialize;

use super::answer::Reply;
use super::desk::Desk;
use super::error::OwnError;
use super::parameters::{self, Asked, DEFAULT_LOOKBACK, Parameters};
use super::services::span_kind;
use crate::model::{StatusCode, Timestamp};
use crate::query::{Conditions, Root, Stopped, Summary, Trace};
use crate::serve::find::Search;
use crate::translate::jaeger_json::shown_service;

const DEFAULT_LIMIT: usize = 50;
/// Matched spans that are named for each trace.
const MAX_MATCHED: usize = 20;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    traces: Vec<Line>,
    /// Spans.
    inspected: u64,
    /// As they are stored; what was at hand in memory is not among them.
    read_bytes: u64,
    stopped: &'static str,
    limit: usize,
}

/// A trace in one line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    trace_id: String,
    root_service: String,
    root_name: String,
    /// ns, as text: JavaScript's numbers end at 2^53.
    start: String,
    /// ns.
    duration: u64,
    spans: u32,
    errors: u32,
    orphans: u32,
    services: Vec<Share>,
    matched: Vec<String>,
}

/// A service's share of a trace.
#[derive(Debug, Serialize)]
struct Share {
    name: String,
    spans: u32,
    errors: u32,
}

/// `GET /api/a1/search?service=&operation=&kind=&status=&where=key=value&min=&max=&start=&end=&limit=`.
///
/// All conditions are asked of one and the same span, every `where` too: a key that is given twice must be there with
/// both values, as it can be where an attribute is repeated, or stands in the span and in its resource, scope, an event
/// or a link.
pub(super) async fn search(State(desk): State<Desk>, asked: Asked) -> Result<Reply, OwnError> {
    let reply = desk.search(move |answers, cancel| {
        let conditions = conditions(&asked.parameters, answers.clock.now())?;
        let limit = conditions.limit;
        let search = Search::new(conditions);
        let found = search.find(&answers.query, cancel)?;
        let listed = Listed {
            traces: found.traces.iter().map(|trace| line(trace, &search)).collect(),
            inspected: found.inspected_spans,
            read_bytes: found.read_bytes,
            stopped: stopped_word(found.stopped),
            limit,
        };
        Reply::json(&listed, asked.form)
    });
    Ok(reply.await?)
}

fn conditions(parameters: &Parameters, now: Timestamp) -> Result<Conditions, parameters::Error> {
    let (min_duration, max_duration) = parameters.durations("min", "max")?;
    let end = parameters.moment("end", now)?.unwrap_or(now);
    Ok(Conditions {
        service: parameters.text("service").map(str::to_owned),
        operation: parameters.text("operation").map(str::to_owned),
        kind: span_kind(parameters, "kind")?,
        status: status(parameters)?,
        attributes: parameters
            .all("where")
            .filter(|text| !text.is_empty())
            .map(pair)
            .collect::<Result<_, _>>()?,
        filter: None,
        min_duration,
        max_duration,
        start: parameters.moment("start", now)?.unwrap_or_else(|| end.minus(DEFAULT_LOOKBACK)),
        end,
        limit: parameters.limit(DEFAULT_LIMIT)?,
    })
}

fn status(parameters: &Parameters) -> Result<Option<StatusCode>, parameters::Error> {
    let Some(value) = parameters.text("status") else { return Ok(None) };
    let all = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error];
    let status = all.into_iter().find(|status| value.eq_ignore_ascii_case(status.name()));
    status.map(Some).ok_or_else(|| parameters::Error::Malformed {
        name: "status",
        value: value.chars().take(64).collect(),
        expected: "one of unset, ok, error",
    })
}

/// Splits at the first `=`.
fn pair(text: &str) -> Result<(String, String), parameters::Error> {
    let (key, value) = text.split_once('=').ok_or_else(|| parameters::Error::Malformed {
        name: "where",
        value: text.chars().take(64).collect(),
        expected: "a condition such as http.route=/cart",
    })?;
    Ok((key.to_owned(), value.to_owned()))
}

fn line(trace: &Trace, search: &Search) -> Line {
    let summary = Summary::of(trace);
    let matched = trace.spans.iter().filter(|span| search.matches(span)).take(MAX_MATCHED);
    let services = summary.services.iter().map(|service| Share {
        name: shown_service(&service.name).to_owned(),
        spans: service.spans,
        errors: service.errors,
    });
    let root = summary.root.or_else(|| trace.spans.first().map(Root::of)).unwrap_or_default();
    Line {
        trace_id: trace.id.to_string(),
        root_service: shown_service(&root.service).to_owned(),
        root_name: root.name,
        start: summary.start.nanos().to_string(),
        duration: summary.end.nanos().saturating_sub(summary.start.nanos()),
        spans: summary.spans,
        errors: summary.errors,
        orphans: summary.orphans,
        services: services.collect(),
        matched: matched.map(|span| span.span_id.to_string()).collect(),
    }
}

/// Why no more were looked for.
fn stopped_word(stopped: Stopped) -> &'static str {
    match stopped {
        Stopped::End => "end",
        Stopped::Limit => "limit",
        Stopped::Time => "time",
        // Both ends have the same remedy.
        Stopped::Bytes | Stopped::Read => "bytes",
        Stopped::Cancelled => "cancelled",
    }
}
