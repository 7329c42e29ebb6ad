//! Traces by conditions and by id, as OTLP/JSON.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::ser::{Error as _, SerializeSeq};
use serde::{Serialize, Serializer};

use super::error::V3Error;
use super::question::{END, RAW, START, conditions};
use crate::model::{Span, TraceId};
use crate::otlp::json::ResourceSpans;
use crate::query::{self, Cancel, Conditions, PieceLimits, Query, Stopped};
use crate::serve::find::Search;
use crate::serve::http::answer::{Form, Reply};
use crate::serve::http::desk::Desk;
use crate::serve::http::error::Error;
use crate::serve::http::parameters::{self, Asked};
use crate::translate::otlp::messages;

/// Spans that are held at a time, and their bytes.
const PIECE: PieceLimits = PieceLimits { spans: 10_000, bytes: 4 << 20 };

/// `GET /api/v3/traces?query.…`.
pub(in crate::serve::http) async fn search(State(desk): State<Desk>, asked: Asked) -> Result<Reply, V3Error> {
    let conditions = conditions(&asked.parameters)?;
    let reply = desk.search(move |answers, cancel| {
        let ids = find(&answers.query, cancel, conditions)?;
        Traces::of(&answers.query, &ids, cancel).reply(asked.form)
    });
    Ok(reply.await?)
}

/// `GET /api/v3/traces/{trace_id}`. Times are only hints where to look, as in v1.
pub(in crate::serve::http) async fn by_id(
    State(desk): State<Desk>,
    id: Result<Path<String>, PathRejection>,
    asked: Asked,
) -> Result<Reply, V3Error> {
    let name = "trace_id";
    let Path(id) = id.map_err(|error| parameters::Error::Unreadable { name, reason: error.body_text() })?;
    let id = parameters::trace_id(name, &id)?;
    for hint in [START, END] {
        asked.parameters.time(hint.given(&asked.parameters))?;
    }
    asked.parameters.flag(RAW.given(&asked.parameters))?;
    let reply = desk.ask_for_spans(move |answers| {
        // Nobody calls off what is bounded by the size of its answer.
        Traces::of(&answers.query, &[id], &Cancel::default()).reply(asked.form)
    });
    Ok(reply.await?)
}

/// The ids of the traces that fulfil the conditions, newest first; at least one.
pub(super) fn find(query: &Query, cancel: &Cancel, conditions: Conditions) -> Result<Vec<TraceId>, Error> {
    let found = Search::new(conditions).find_ids(query, cancel)?;
    if found.ids.is_empty() {
        return Err(match found.stopped {
            Stopped::End | Stopped::Limit | Stopped::Cancelled => Error::NoSuchTrace,
            Stopped::Time => Error::Unfinished("the time for searching was up"),
            Stopped::Bytes | Stopped::Read => Error::Unfinished("enough was read"),
        });
    }
    Ok(found.ids.into_iter().map(|hit| hit.id).collect())
}

/// All spans of some traces, read piece by piece while they are written: as an object `resourceSpans` in `result`.
struct Traces<'a> {
    query: &'a Query,
    ids: &'a [TraceId],
    cancel: &'a Cancel,
    /// Whether there is anything of any of them.
    is_found: Cell<bool>,
    /// Why they could not be read.
    failed: RefCell<Option<query::Error>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TracesData<T> {
    resource_spans: T,
}

#[derive(Serialize)]
struct Answer<T> {
    result: T,
}

impl<'a> Traces<'a> {
    fn of(query: &'a Query, ids: &'a [TraceId], cancel: &'a Cancel) -> Self {
        Self { query, ids, cancel, is_found: Cell::new(false), failed: RefCell::new(None) }
    }

    fn reply(&self, form: Form) -> Result<Reply, Error> {
        let reply = Reply::json(&Answer { result: TracesData { resource_spans: self } }, form);
        match self.failed.take() {
            Some(error) => Err(error.into()),
            None if self.is_found.get() => reply,
            None => Err(Error::NoSuchTrace),
        }
    }

    fn write_piece<L: SerializeSeq>(&self, list: &mut L, piece: &[Span]) -> Result<(), L::Error> {
        if self.cancel.is_cancelled() {
            return Err(L::Error::custom("nobody waits for it any more"));
        }
        self.is_found.set(true);
        for message in messages(piece, PIECE.spans, PIECE.bytes) {
            for resource_spans in &message.resource_spans {
                list.serialize_element(&ResourceSpans(resource_spans))?;
            }
        }
        Ok(())
    }
}

impl Serialize for Traces<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for &id in self.ids {
            let walked = self.query.each_piece(id, PIECE, |piece| {
                self.write_piece(&mut list, &piece).map_or_else(ControlFlow::Break, ControlFlow::Continue)
            });
            match walked {
                Ok(ControlFlow::Continue(())) => {}
                Ok(ControlFlow::Break(error)) => return Err(error),
                Err(error) => {
                    let message = S::Error::custom(&error);
                    self.failed.replace(Some(error));
                    return Err(message);
                }
            }
        }
        list.end()
    }
}
