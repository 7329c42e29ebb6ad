//! Archiving: a trace is pinned, so that it outlives its age.

use axum::extract::{Path, State};

use super::answer::{Envelope, Reply};
use super::desk::Desk;
use super::error::{Error, JaegerError};
use super::parameters::{self, Asked};

/// `POST /api/archive/{id}`; pinning twice is the same as once.
pub(super) async fn pin(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Reply, JaegerError> {
    let id = parameters::trace_id("traceID", &id)?;
    let reply = desk.ask(move |answers| {
        if !answers.query.pin(id, answers.clock.now())? {
            return Err(Error::NoSuchTrace);
        }
        let nothing: [(); 0] = [];
        Reply::json(&Envelope::of(nothing, 0), asked.form)
    });
    Ok(reply.await?)
}
