//! Zipkin's questions read into conditions.
//!
//! What Zipkin refuses is refused in its words. All conditions are asked of one and the same span; Zipkin asks them of a
//! trace's spans of one service together.

use std::collections::BTreeMap;
use std::time::Duration;

use super::error::Error;
use crate::model::Timestamp;
use crate::query::expression::{self, Comparison, Constant, Expression, Field, Level, Reference};
use crate::query::{Conditions, Query, shortened};
use crate::serve::http::parameters::Parameters;
use crate::translate::zipkin::peer_keys;

/// The most traces one search gives; more is brought down to it.
pub(super) const MAX_LIMIT: usize = 1_000;

/// Zipkin's own default.
const DEFAULT_LIMIT: i64 = 10;

/// Zipkin's own default: how far back is looked when nothing is said.
pub(super) const DEFAULT_LOOKBACK: Duration = Duration::from_secs(24 * 60 * 60);

/// Parts of an `annotationQuery`.
const MAX_PARTS: usize = 100;

/// A whole number.
fn whole(parameters: &Parameters, name: &str) -> Result<Option<i64>, Error> {
    let Some(text) = parameters.text(name) else { return Ok(None) };
    let number = text.parse().map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        Error::Asked(format!("{name}: '{shown}' is not a whole number"))
    });
    number.map(Some)
}

/// The same, above 0.
fn positive(parameters: &Parameters, name: &str) -> Result<Option<u64>, Error> {
    let number =
        whole(parameters, name)?.map(|number| u64::try_from(number).ok().filter(|number| *number > 0));
    match number {
        Some(None) => Err(Error::Asked(format!("{name} <= 0"))),
        Some(number) => Ok(number),
        None => Ok(None),
    }
}

/// From `endTs` back for as long as `lookback` says, in ms.
pub(super) fn window(parameters: &Parameters, now: Timestamp) -> Result<(Timestamp, Timestamp), Error> {
    let end = positive(parameters, "endTs")?.map_or(now, Timestamp::from_millis);
    let lookback = positive(parameters, "lookback")?.map_or(DEFAULT_LOOKBACK, Duration::from_millis);
    Ok((end.minus(lookback), end))
}

/// Both bounds, in µs.
fn durations(parameters: &Parameters) -> Result<(Option<Duration>, Option<Duration>), Error> {
    let shortest = positive(parameters, "minDuration")?;
    let longest = whole(parameters, "maxDuration")?.map(|micros| u64::try_from(micros).unwrap_or(0));
    match (shortest, longest) {
        (Some(shortest), Some(longest)) if longest < shortest => {
            Err(Error::Asked("maxDuration < minDuration".to_owned()))
        }
        (None, Some(_)) => Err(Error::Asked("maxDuration is only valid with minDuration".to_owned())),
        (shortest, longest) => Ok((shortest.map(Duration::from_micros), longest.map(Duration::from_micros))),
    }
}

fn limit(parameters: &Parameters) -> Result<usize, Error> {
    match whole(parameters, "limit")?.unwrap_or(DEFAULT_LIMIT) {
        ..=0 => Err(Error::Asked("limit <= 0".to_owned())),
        limit => Ok(usize::try_from(limit).map_or(MAX_LIMIT, |limit| limit.min(MAX_LIMIT))),
    }
}

/// What `GET /api/v2/traces` searches for.
pub(super) fn search(query: &Query, parameters: &Parameters, now: Timestamp) -> Result<Conditions, Error> {
    let (start, end) = window(parameters, now)?;
    let (min_duration, max_duration) = durations(parameters)?;
    let limit = limit(parameters)?;
    let mut asked = Narrowed {
        conditions: Conditions { start, end, min_duration, max_duration, limit, ..Conditions::default() },
        predicates: Vec::new(),
    };
    let services = match parameters.text("serviceName") {
        Some(name) => asked.service(query, name)?,
        None => Vec::new(),
    };
    if let Some(name) = parameters.text("spanName").filter(|name| !name.eq_ignore_ascii_case("all")) {
        asked.operation(query, &services, name)?;
    }
    if let Some(name) = parameters.text("remoteServiceName") {
        asked.predicates.push(remote(name)?);
    }
    for (key, value) in annotation_query(parameters.text("annotationQuery").unwrap_or_default())? {
        asked.predicates.push(annotation(&key, &value)?);
    }
    asked.finish()
}

/// Conditions that are made narrower.
#[derive(Debug, Default)]
pub(super) struct Narrowed {
    pub(super) conditions: Conditions,
    pub(super) predicates: Vec<Expression>,
}

impl Narrowed {
    /// To the services of this name in any case, which are returned.
    pub(super) fn service(&mut self, query: &Query, asked: &str) -> Result<Vec<String>, Error> {
        let services = in_any_case(query.services()?, asked);
        match services.as_slice() {
            [] => self.conditions.service = Some(asked.to_owned()),
            [service] => self.conditions.service = Some(service.clone()),
            several => self.predicates.push(one_of(Field::Service, several)?),
        }
        Ok(services)
    }

    /// To the spans of this name in any case. With services the names that they have are compared, else those of all
    /// spans that are looked at.
    fn operation(&mut self, query: &Query, services: &[String], asked: &str) -> Result<(), Error> {
        let pattern = format!("(?i)^(?:{})$", regex::escape(asked));
        if services.is_empty() && pattern.len() <= expression::MAX_PATTERN_BYTES {
            let by_name = Expression::regex(Reference::Field(Field::Name), &pattern)?;
            self.predicates.push(by_name);
            return Ok(());
        }
        let mut names = Vec::new();
        for service in services {
            let operations = query.operations(service, None)?;
            names.extend(in_any_case(operations.into_iter().map(|operation| operation.name), asked));
        }
        names.sort();
        names.dedup();
        match names.as_slice() {
            [] => self.conditions.operation = Some(asked.to_owned()),
            [name] => self.conditions.operation = Some(name.clone()),
            several => self.predicates.push(one_of(Field::Name, several)?),
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<Conditions, Error> {
        let filter = match self.predicates.len() {
            0 | 1 => self.predicates.pop(),
            _ => Some(Expression::all(self.predicates)?),
        };
        Ok(Conditions { filter, ..self.conditions })
    }
}

/// Those of the names that differ from this one in nothing but case.
pub(super) fn in_any_case(names: impl IntoIterator<Item = String>, asked: &str) -> Vec<String> {
    let asked = shortened(asked).to_lowercase();
    names.into_iter().filter(|name| name.to_lowercase() == asked).collect()
}

fn one_of(field: Field, names: &[String]) -> Result<Expression, expression::Error> {
    let names = names.iter().take(expression::MAX_ELEMENTS).cloned().map(Constant::String).collect();
    Expression::member(Reference::Field(field), names, true)
}

/// That the other side goes by this name, as it is written or in lower case.
fn remote(name: &str) -> Result<Expression, expression::Error> {
    let lower = name.to_lowercase();
    let names = if lower == name { vec![lower] } else { vec![name.to_owned(), lower] };
    any(peer_keys().map(|key| {
        let names = names.iter().cloned().map(Constant::String).collect();
        Expression::member(Reference::attribute(key, Some(Level::Span)), names, true)
    }))
}

/// That the other side has a name.
pub(super) fn has_remote() -> Result<Expression, expression::Error> {
    any(peer_keys().map(|key| Expression::exists(Reference::attribute(key, Some(Level::Span)))))
}

fn any(
    predicates: impl Iterator<Item = Result<Expression, expression::Error>>,
) -> Result<Expression, expression::Error> {
    Expression::any(predicates.collect::<Result<_, _>>()?)
}

/// Keys and values of `key=value and key2`; a value that is empty is any, or an annotation's. Of a key that is given
/// twice the last value counts, as in Zipkin.
fn annotation_query(text: &str) -> Result<BTreeMap<String, String>, Error> {
    let mut pairs = BTreeMap::new();
    for (place, part) in text.split(" and ").enumerate() {
        if place >= MAX_PARTS {
            return Err(Error::Asked(format!("annotationQuery: more than {MAX_PARTS} parts")));
        }
        match part.split_once('=') {
            Some((key, value)) => {
                pairs.insert(key.trim().to_owned(), value.trim().to_owned());
            }
            None => {
                pairs.entry(part.trim().to_owned()).or_default();
            }
        }
    }
    pairs.remove("");
    Ok(pairs)
}

/// That the span has this tag, or, without a value, a tag of this key or an annotation that says it.
fn annotation(key: &str, value: &str) -> Result<Expression, expression::Error> {
    let tag = || Reference::attribute(key, None);
    let given = || Constant::Any(value.to_owned());
    match (key, value) {
        // An error is said by being there, and what it says is what went wrong.
        ("error", "") => Expression::compare(Comparison::Ne, tag(), Constant::Any("false".to_owned())),
        ("error", _) => Expression::any(vec![
            Expression::compare(Comparison::Eq, tag(), given())?,
            Expression::compare(Comparison::Eq, Field::StatusMessage, Constant::String(value.to_owned()))?,
        ]),
        (_, "") => Expression::any(vec![
            Expression::exists(tag())?,
            Expression::compare(Comparison::Eq, Field::EventName, Constant::String(key.to_owned()))?,
        ]),
        _ => Expression::compare(Comparison::Eq, tag(), given()),
    }
}
