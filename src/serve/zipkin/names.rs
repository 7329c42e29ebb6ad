//! Names to choose from.
//!
//! Services and spans are listed in the store. Nothing lists who was on the other side, nor the keys and values of tags:
//! they are read from the spans that match of the [`MAX_TRACES`] newest traces of the last day that have such, so that
//! each was really sent, and rare ones may be missing.

use std::collections::BTreeSet;

use axum::extract::State;

use super::desk::Desk;
use super::error::Error;
use super::question::{DEFAULT_LOOKBACK, Narrowed, has_remote, in_any_case};
use crate::model::Span;
use crate::query::expression::{Expression, Reference};
use crate::query::{Cancel, Conditions};
use crate::serve::find::Search;
use crate::serve::grpc::Source;
use crate::serve::http::answer::Reply;
use crate::serve::http::parameters::{Asked, Parameters};
use crate::translate::zipkin;

/// Traces that names are read from.
const MAX_TRACES: usize = 100;

/// Names that are read from spans.
const MAX_NAMES: usize = 1_000;

/// Of a value that somebody could choose; longer ones are none.
const MAX_VALUE_BYTES: usize = 256;

/// `GET /api/v2/services`.
pub(super) async fn services(State(desk): State<Desk>, asked: Asked) -> Result<Reply, Error> {
    let reply = desk.ask(move |source| {
        let mut names = source.query.services()?;
        names.retain(|name| !name.is_empty());
        Ok(Reply::json(&names, asked.form)?)
    });
    reply.await
}

/// `GET /api/v2/spans?serviceName=…`.
pub(super) async fn spans(State(desk): State<Desk>, asked: Asked) -> Result<Reply, Error> {
    let reply = desk.ask(move |source| {
        let mut names = BTreeSet::new();
        for service in in_any_case(source.query.services()?, required(&asked.parameters, "serviceName")?) {
            names.extend(source.query.operations(&service, None)?.into_iter().map(|it| it.name));
        }
        names.remove("");
        Ok(Reply::json(&names, asked.form)?)
    });
    reply.await
}

/// `GET /api/v2/remoteServices?serviceName=…`.
pub(super) async fn remote_services(State(desk): State<Desk>, asked: Asked) -> Result<Reply, Error> {
    let reply = desk.search(move |source, cancel| {
        let mut narrowed = newest(source);
        narrowed.service(&source.query, required(&asked.parameters, "serviceName")?)?;
        narrowed.predicates.push(has_remote()?);
        let names = read(source, cancel, narrowed, |span| {
            let remote = zipkin::span(span).remote_endpoint.map(|remote| remote.service_name);
            remote.map(text).into_iter().collect()
        })?;
        Ok(Reply::json(&names, asked.form)?)
    });
    reply.await
}

/// `GET /api/v2/autocompleteKeys`.
pub(super) async fn keys(State(desk): State<Desk>, asked: Asked) -> Result<Reply, Error> {
    let reply = desk.search(move |source, cancel| {
        let keys = read(source, cancel, newest(source), |span| {
            zipkin::span(span).tags.into_iter().map(|(key, _)| text(key)).collect()
        })?;
        Ok(Reply::json(&keys, asked.form)?)
    });
    reply.await
}

/// `GET /api/v2/autocompleteValues?key=…`.
pub(super) async fn values(State(desk): State<Desk>, asked: Asked) -> Result<Reply, Error> {
    let reply = desk.search(move |source, cancel| {
        let key = required(&asked.parameters, "key")?;
        let mut narrowed = newest(source);
        narrowed.predicates.push(Expression::exists(Reference::attribute(key, None))?);
        let values = read(source, cancel, narrowed, |span| {
            let tags = zipkin::span(span).tags.into_iter();
            tags.filter(|(name, _)| name == key.as_bytes()).map(|(_, value)| text(value)).collect()
        })?;
        Ok(Reply::json(&values, asked.form)?)
    });
    reply.await
}

fn required<'a>(parameters: &'a Parameters, name: &str) -> Result<&'a str, Error> {
    parameters.text(name).ok_or_else(|| Error::Asked(format!("{name} is required")))
}

fn newest(source: &Source) -> Narrowed {
    let end = source.clock.now();
    let start = end.minus(DEFAULT_LOOKBACK);
    let conditions = Conditions { start, end, limit: MAX_TRACES, ..Conditions::default() };
    Narrowed { conditions, ..Narrowed::default() }
}

/// The names that matching spans say.
fn read(
    source: &Source,
    cancel: &Cancel,
    narrowed: Narrowed,
    said: impl Fn(&Span) -> Vec<String>,
) -> Result<BTreeSet<String>, Error> {
    let search = Search::new(narrowed.finish()?);
    let mut names = BTreeSet::new();
    for trace in search.find(&source.query, cancel)?.traces {
        for span in trace.spans.iter().filter(|span| search.matches(span)) {
            let sensible = |name: &String| (1..=MAX_VALUE_BYTES).contains(&name.len());
            for name in said(span).into_iter().filter(sensible) {
                names.insert(name);
                if names.len() == MAX_NAMES {
                    return Ok(names);
                }
            }
        }
    }
    Ok(names)
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8_lossy(bytes.as_ref()).into_owned()
}
