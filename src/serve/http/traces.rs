//! Traces by conditions and by id, in Jaeger's words.

use axum::extract::{Path, State};
use serde::{Serialize, Serializer};

use super::Answers;
use super::answer::{Envelope, Item, Reply};
use super::desk::Desk;
use super::error::{Error, JaegerError};
use super::parameters::{self, Asked, DEFAULT_LOOKBACK, MAX_LIMIT, Parameters};
use crate::model::{Span, Timestamp, TraceId};
use crate::query::{Cancel, Conditions, Stopped, Trace};
use crate::serve::find::Search;
use crate::translate::jaeger_json::{self, View, hex_trace_id};

/// Jaeger's own default.
const DEFAULT_LIMIT: usize = 100;

/// Bytes of spans after which no further trace of a list of ids is read.
const MAX_BYTES: usize = 16 << 20;
const TOO_MUCH: &str = "left out, the answer holds 16 MiB of spans; ask for fewer traces at once";

const SEARCHED_TOO_LONG: &str =
    "the search stopped when its time was up, there may be more traces; ask for a shorter time or a service";
const READ_TOO_MUCH: &str = "the search stopped when it had read enough, there may be more traces; ask for a shorter time or a service";
const FOUND_TOO_MUCH: &str =
    "the search stopped at the largest answer there can be, there may be more traces; ask for fewer";

/// `GET /api/traces`: by conditions, which all are asked of one and the same span, or by ids when there are any.
pub(super) async fn search(State(desk): State<Desk>, asked: Asked) -> Result<Reply, JaegerError> {
    let reply = desk.search(move |answers, cancel| {
        let parameters = &asked.parameters;
        let (ids, view) = (trace_ids(parameters)?, view(parameters)?);
        let (traces, errors) = if ids.is_empty() {
            found(answers, cancel, conditions(parameters, answers.clock.now())?)?
        } else {
            several(answers, cancel, &ids)?
        };
        Reply::json(&envelope(&traces, errors, view), asked.form)
    });
    Ok(reply.await?)
}

/// `GET /api/traces/{id}`. Times are only hints where to look (Jaeger's in µs, Grafana's in ms): the lookup here
/// does not need them, so they are checked and otherwise not used, and can never hide a trace.
pub(super) async fn by_id(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Reply, JaegerError> {
    let id = parameters::trace_id("traceID", &id)?;
    let _hints = (asked.parameters.micros("start")?, asked.parameters.micros("end")?);
    let view = view(&asked.parameters)?;
    let reply = desk.ask_for_spans(move |answers| {
        let trace = answers.query.trace(id)?.ok_or(Error::NoSuchTrace)?;
        Reply::json(&envelope(&[trace], Vec::new(), view), asked.form)
    });
    Ok(reply.await?)
}

/// The traces that fulfil the conditions, and an item that says so when there may be more.
fn found(
    answers: &Answers,
    cancel: &Cancel,
    conditions: Conditions,
) -> Result<(Vec<Trace>, Vec<Item>), Error> {
    let found = Search::new(conditions).find(&answers.query, cancel)?;
    let msg = match found.stopped {
        // Of a search that was called off nobody reads the answer.
        Stopped::End | Stopped::Limit | Stopped::Cancelled => None,
        Stopped::Time => Some(SEARCHED_TOO_LONG),
        Stopped::Bytes => Some(FOUND_TOO_MUCH),
        Stopped::Read => Some(READ_TOO_MUCH),
    };
    let item = msg.map(|msg| Item { code: 0, msg: msg.to_owned(), trace_id: String::new() });
    Ok((found.traces, item.into_iter().collect()))
}

/// The traces of these ids, and an item for each that is not among them.
fn several(answers: &Answers, cancel: &Cancel, ids: &[TraceId]) -> Result<(Vec<Trace>, Vec<Item>), Error> {
    let (mut traces, mut errors, mut bytes) = (Vec::new(), Vec::new(), 0);
    for &id in ids.iter().take_while(|_| !cancel.is_cancelled()) {
        let msg = if bytes >= MAX_BYTES {
            TOO_MUCH.to_owned()
        } else if let Some(trace) = answers.query.trace(id)? {
            bytes += trace.spans.iter().map(bytes_of).sum::<usize>();
            traces.push(trace);
            continue;
        } else {
            Error::NoSuchTrace.to_string()
        };
        errors.push(Item { code: 0, msg, trace_id: hex_trace_id(id) });
    }
    Ok((traces, errors))
}

/// What a span takes in the store, where each has its resource and scope beside it.
fn bytes_of(span: &Span) -> usize {
    span.body.len() + span.resource.bytes.len() + span.scope.bytes.len()
}

/// The envelope of traces: its numbers are 0 whatever is in it.
fn envelope(traces: &[Trace], errors: Vec<Item>, view: View) -> Envelope<Vec<Shown<'_>>> {
    let traces = traces.iter().map(|trace| Shown { spans: &trace.spans, is_cut: trace.cut, view }).collect();
    Envelope { errors: (!errors.is_empty()).then_some(errors), ..Envelope::of(traces, 0) }
}

/// A trace that is put into Jaeger's words when its turn comes to be written: they take more room than the spans.
pub(super) struct Shown<'a> {
    /// All of one trace.
    pub spans: &'a [Span],
    /// Whether there are more that had no room.
    pub is_cut: bool,
    pub view: View,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut trace = jaeger_json::trace(self.spans, self.view);
        if self.is_cut {
            trace.warnings.push("the trace is larger than one answer may be; spans are missing".into());
        }
        trace.serialize(serializer)
    }
}

fn view(parameters: &Parameters) -> Result<View, parameters::Error> {
    Ok(if parameters.flag("raw")? { View::Raw } else { View::Adjusted })
}

fn trace_ids(parameters: &Parameters) -> Result<Vec<TraceId>, parameters::Error> {
    let name = "traceID";
    let ids: Vec<_> =
        parameters.all(name).map(|text| parameters::trace_id(name, text)).collect::<Result<_, _>>()?;
    if ids.len() > MAX_LIMIT {
        return Err(parameters::Error::TooMany { name, given: ids.len(), limit: MAX_LIMIT });
    }
    Ok(ids)
}

fn conditions(parameters: &Parameters, now: Timestamp) -> Result<Conditions, parameters::Error> {
    let (min_duration, max_duration) = parameters.durations("minDuration", "maxDuration")?;
    let end = parameters.micros("end")?.unwrap_or(now);
    let lookback = parameters.lookback().unwrap_or(DEFAULT_LOOKBACK);
    Ok(Conditions {
        service: parameters.text("service").map(str::to_owned),
        operation: parameters.text("operation").map(str::to_owned),
        attributes: parameters::tags(parameters)?,
        min_duration,
        max_duration,
        start: parameters.micros("start")?.unwrap_or_else(|| end.minus(lookback)),
        end,
        limit: parameters.limit(DEFAULT_LIMIT)?,
        ..Conditions::default()
    })
}
