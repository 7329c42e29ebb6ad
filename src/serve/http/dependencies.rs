//! Which service calls which.

use std::time::Duration;

use axum::extract::State;
use serde::Serialize;

use super::answer::{Envelope, Reply};
use super::desk::Desk;
use super::error::JaegerError;
use super::parameters::Asked;
use crate::query::{Call, shortened};
use crate::serve::services;
use crate::translate::jaeger_json::asked_services;

/// Jaeger's own default.
const DEFAULT_LOOKBACK: Duration = Duration::from_secs(24 * 60 * 60);

/// One service calling another, as Jaeger says it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    parent: String,
    child: String,
    call_count: u64,
}

/// `GET /api/dependencies?endTs=…&lookback=…&service=…&links=true`, both times in ms; a service keeps the links it is an
/// end of. Calls that are known by a span's link alone are none in Jaeger, and are added where they are asked for.
pub(super) async fn dependencies(State(desk): State<Desk>, asked: Asked) -> Result<Reply, JaegerError> {
    let end = asked.parameters.millis("endTs")?;
    let lookback = asked.parameters.millis_long("lookback")?.unwrap_or(DEFAULT_LOOKBACK);
    let with_links = asked.parameters.flag("links")?;
    let reply = desk.ask(move |answers| {
        let end = end.unwrap_or_else(|| answers.clock.now());
        let is_asked = |call: &Call| asked.parameters.text("service").is_none_or(|shown| is_end(call, shown));
        let calls = services::calls(&answers.query, (end.minus(lookback), end), with_links, is_asked)?;
        let links: Vec<_> = calls
            .into_iter()
            .map(|((parent, child), call_count)| Link { parent, child, call_count })
            .collect();
        Reply::json(&Envelope::of(links, 0), asked.form)
    });
    Ok(reply.await?)
}

/// Whether one of the services that may be meant calls or is called.
fn is_end(call: &Call, shown: &str) -> bool {
    asked_services(shown).any(|service| {
        let service = shortened(service);
        service == call.parent || service == call.child
    })
}
