//! OTLP JSON in, Jaeger's traces out; nothing is stored.

use std::collections::HashMap;

use axum::body::Body;
use axum::extract::State;
use bytes::Bytes;

use super::answer::{Envelope, Item, Reply};
use super::desk::Desk;
use super::error::{Error, JaegerError};
use super::parameters::Asked;
use super::traces::Shown;
use crate::model::{Span, TraceId};
use crate::otlp;
use crate::translate::jaeger_json::View;

/// `POST /api/transform`: shown as sent, as Jaeger does with files that are dropped on its page. Spans that are
/// refused are left out and counted in `errors`.
pub(super) async fn transform(
    State(desk): State<Desk>,
    asked: Asked,
    body: Body,
) -> Result<Reply, JaegerError> {
    let json = desk.bodies.read(body).await?;
    let reply = desk.ask_for_spans(move |_| {
        let (traces, errors) = traces(&json.bytes)?;
        let traces: Vec<_> =
            traces.iter().map(|spans| Shown { spans, is_cut: false, view: View::Raw }).collect();
        let errors = (!errors.is_empty()).then_some(errors);
        Reply::json(&Envelope { errors, ..Envelope::of(traces, 0) }, asked.form)
    });
    Ok(reply.await?)
}

/// Spans by trace, in order of first appearance, and what is to be said of those left out.
fn traces(json: &[u8]) -> Result<(Vec<Vec<Span>>, Vec<Item>), Error> {
    let wrong = |error: &dyn std::error::Error| Error::Body(error.to_string());
    let limits = otlp::Limits::default();
    let request = Bytes::from(otlp::json::traces(json).map_err(|error| wrong(&error))?);
    let scanned = otlp::scan(&request, &limits).map_err(|error| wrong(&error))?;
    let spans = otlp::spans(&request, &limits).map_err(|error| wrong(&error))?;
    let refused = scanned.first_rejection.map(|reason| {
        let msg = format!("spans left out: {}; the first: {reason}", scanned.rejected);
        Item { code: 0, msg, trace_id: String::new() }
    });
    Ok((by_trace(spans), refused.into_iter().collect()))
}

fn by_trace(spans: Vec<Span>) -> Vec<Vec<Span>> {
    let mut places: HashMap<TraceId, usize> = HashMap::new();
    let mut traces: Vec<Vec<Span>> = Vec::new();
    for span in spans {
        let place = *places.entry(span.trace_id).or_insert(traces.len());
        if place == traces.len() {
            traces.push(Vec::new());
        }
        traces[place].push(span);
    }
    traces
}
