//! Traces by conditions and by id, as lists of spans.

use std::io::Write;
use std::ops::ControlFlow;

use axum::extract::{Path, State};

use super::desk::Desk;
use super::error::Error;
use super::question::{self, MAX_LIMIT};
use crate::model::TraceId;
use crate::query::{Cancel, Conditions, PieceLimits, Query, Stopped};
use crate::serve::find::Search;
use crate::serve::http::answer::Reply;
use crate::serve::http::error::Error as Failure;
use crate::serve::http::parameters::Asked;
use crate::translate::zipkin;

/// Spans that are held at a time, and their bytes.
const PIECE: PieceLimits = PieceLimits { spans: 10_000, bytes: 4 << 20 };

/// `GET /api/v2/traces?…`: traces by their newest matching span, newest first.
pub(super) async fn search(State(desk): State<Desk>, asked: Asked) -> Result<Reply, Error> {
    let reply = desk.search(move |source, cancel| {
        let conditions = question::search(&source.query, &asked.parameters, source.clock.now())?;
        let ids = find(&source.query, cancel, conditions)?;
        Reply::written(asked.form, |out| traces(&Reading { query: &source.query, cancel }, &ids, out))
    });
    reply.await
}

/// `GET /api/v2/trace/{id}`.
pub(super) async fn by_id(
    State(desk): State<Desk>,
    Path(asked_id): Path<String>,
    asked: Asked,
) -> Result<Reply, Error> {
    let id = trace_id(asked_id.trim())?;
    let reply = desk.ask_for_spans(move |source, cancel| {
        Reply::written(asked.form, |out| {
            let is_found = Reading { query: &source.query, cancel }.trace(id, b"", out)?;
            if is_found { Ok(()) } else { Err(Error::NoSuchTrace(asked_id.trim().to_owned())) }
        })
    });
    reply.await
}

/// `GET /api/v2/traceMany?traceIds=a,b`: those of these traces that there are, in this order.
pub(super) async fn several(State(desk): State<Desk>, asked: Asked) -> Result<Reply, Error> {
    let ids = trace_ids(asked.parameters.text("traceIds").unwrap_or_default())?;
    let reply = desk.search(move |source, cancel| {
        Reply::written(asked.form, |out| traces(&Reading { query: &source.query, cancel }, &ids, out))
    });
    reply.await
}

/// The ids of the traces that fulfil the conditions.
fn find(query: &Query, cancel: &Cancel, conditions: Conditions) -> Result<Vec<TraceId>, Error> {
    let found = Search::new(conditions).find_ids(query, cancel)?;
    let is_empty = found.ids.is_empty();
    match found.stopped {
        Stopped::Time if is_empty => Err(Failure::Unfinished("the time for searching was up").into()),
        Stopped::Read if is_empty => Err(Failure::Unfinished("enough was read").into()),
        _ => Ok(found.ids.into_iter().map(|hit| hit.id).collect()),
    }
}

/// A list of traces.
fn traces(reading: &Reading<'_>, ids: &[TraceId], out: &mut dyn Write) -> Result<(), Error> {
    out.write_all(b"[")?;
    let mut before: &[u8] = b"";
    for &id in ids {
        if reading.trace(id, before, out)? {
            before = b",";
        }
    }
    Ok(out.write_all(b"]")?)
}

/// Reads traces piece by piece while they are written.
struct Reading<'a> {
    query: &'a Query,
    cancel: &'a Cancel,
}

impl Reading<'_> {
    /// Writes the list of a trace's spans after something else; nothing if there are none, which is false.
    fn trace(&self, id: TraceId, before: &[u8], out: &mut dyn Write) -> Result<bool, Error> {
        let (mut is_found, mut text) = (false, Vec::new());
        let walked = self.query.each_piece(id, PIECE, |piece| {
            if self.cancel.is_cancelled() {
                return ControlFlow::Break(std::io::ErrorKind::Interrupted.into());
            }
            for span in &piece {
                text.clear();
                if is_found {
                    text.push(b',');
                } else {
                    text.extend_from_slice(before);
                    text.push(b'[');
                }
                is_found = true;
                zipkin::json::write(&mut text, &zipkin::span(span));
                if let Err(error) = out.write_all(&text) {
                    return ControlFlow::Break(error);
                }
            }
            ControlFlow::Continue(())
        });
        if let ControlFlow::Break(error) = walked? {
            return Err(error.into());
        }
        if is_found {
            out.write_all(b"]")?;
        }
        Ok(is_found)
    }
}

/// At most 32 hex digits; as Zipkin says it when they are not, though letters may be of either case.
fn trace_id(text: &str) -> Result<TraceId, Error> {
    let wrong = |why: String| Err(Error::Asked(why));
    match TraceId::parse_hex(text) {
        Ok(id) if id.is_zero() => wrong("traceId is all zeros".to_owned()),
        Ok(id) => Ok(id),
        Err(_) if text.is_empty() => wrong("traceId is empty".to_owned()),
        Err(_) if text.len() > 32 => wrong("traceId.length > 32".to_owned()),
        Err(_) => wrong(format!("{text} should be lower-hex encoded with no prefix")),
    }
}

fn trace_ids(text: &str) -> Result<Vec<TraceId>, Error> {
    let mut ids = Vec::new();
    if text.is_empty() {
        return Err(Error::Asked("traceIds parameter is empty".to_owned()));
    }
    for text in text.split(',') {
        if ids.len() == MAX_LIMIT {
            return Err(Error::Asked(format!("traceIds: more than {MAX_LIMIT} are given")));
        }
        let id = trace_id(text.trim())?;
        if ids.contains(&id) {
            return Err(Error::Asked(format!("redundant traceId: {id}")));
        }
        ids.push(id);
    }
    Ok(ids)
}
