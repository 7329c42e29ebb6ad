//! Which service calls which.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use serde::Serialize;

use super::answer::{Envelope, Reply};
use super::desk::Desk;
use super::error::JaegerError;
use super::parameters::Asked;
use crate::query::{Dependency, EdgeKind, shortened};
use crate::translate::jaeger_json::{asked_services, shown_service};

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

/// `GET /api/dependencies?endTs=…&lookback=…&service=…&links=true`, both times in ms; a service keeps the links it is an
/// end of. Calls that are known by a span's link alone are none in Jaeger, and are added where they are asked for.
pub(super) async fn dependencies(State(desk): State<Desk>, asked: Asked) -> Result<Reply, JaegerError> {
    let end = asked.parameters.millis("endTs")?;
    let lookback = asked.parameters.millis_long("lookback")?.unwrap_or(DEFAULT_LOOKBACK);
    let with_links = asked.parameters.flag("links")?;
    let reply = desk.ask(move |answers| {
        let end = end.unwrap_or_else(|| answers.clock.now());
        let dependencies = answers.query.dependencies(end.minus(lookback), end)?;
        let mut calls: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let is_asked = |dependency: &&Dependency| {
            asked.parameters.text("service").is_none_or(|shown| is_end(dependency, shown))
        };
        // As in Jaeger's own stores, work inside a service is no call between services.
        let between = |dependency: &&Dependency| dependency.parent != dependency.child;
        let is_call = |dependency: &&Dependency| with_links || dependency.kind != EdgeKind::Link;
        for dependency in dependencies.iter().filter(between).filter(is_call).filter(is_asked) {
            let ends = (shown_service(&dependency.parent), shown_service(&dependency.child));
            *calls.entry(ends).or_default() += dependency.calls;
        }
        let links: Vec<_> = calls
            .into_iter()
            .map(|((parent, child), call_count)| Link { parent, child, call_count })
            .collect();
        Reply::json(&Envelope::of(links, 0), asked.form)
    });
    Ok(reply.await?)
}

/// Whether one of the services that may be meant calls or is called.
fn is_end(dependency: &Dependency, shown: &str) -> bool {
    asked_services(shown).any(|service| {
        let service = shortened(service);
        service == dependency.parent || service == dependency.child
    })
}
