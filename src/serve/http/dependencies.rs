//! Which service calls which.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use serde::Serialize;

use super::answer::{Envelope, Reply};
use super::desk::Desk;
use super::error::JaegerError;
use super::parameters::Asked;
use crate::translate::jaeger_json::shown_service;

/// Jaeger's own default.
const DEFAULT_LOOKBACK: Duration = Duration::from_secs(24 * 60 * 60);

/// One service calling another, as Jaeger says it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Link<'a> {
    parent: &'a str,
    child: &'a str,
    call_count: u64,
}

/// `GET /api/dependencies?endTs=…&lookback=…&service=…`, both times in ms; a service keeps the links it is an
/// end of.
pub(super) async fn dependencies(State(desk): State<Desk>, asked: Asked) -> Result<Reply, JaegerError> {
    let end = asked.parameters.millis("endTs")?;
    let lookback = asked.parameters.millis_long("lookback")?.unwrap_or(DEFAULT_LOOKBACK);
    let reply = desk.ask(move |answers| {
        let end = end.unwrap_or_else(|| answers.clock.now());
        let dependencies = answers.query.dependencies(end.minus(lookback), end)?;
        let mut calls: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        // As in Jaeger's own stores, work inside a service is no call between services.
        for dependency in dependencies.iter().filter(|dependency| dependency.parent != dependency.child) {
            let ends = (shown_service(&dependency.parent), shown_service(&dependency.child));
            *calls.entry(ends).or_default() += dependency.calls;
        }
        let service = asked.parameters.text("service");
        let links: Vec<_> = calls
            .into_iter()
            .filter(|((parent, child), _)| {
                service.is_none_or(|service| service == *parent || service == *child)
            })
            .map(|((parent, child), call_count)| Link { parent, child, call_count })
            .collect();
        Reply::json(&Envelope::of(links, 0), asked.form)
    });
    Ok(reply.await?)
}
