//! Questions as Jaeger's third API asks them: every parameter in camelCase, and in the snake_case of earlier versions.

use std::collections::BTreeMap;

use crate::model::Timestamp;
use crate::query::{Conditions, conditions_of_attributes};
use crate::serve::expression;
use crate::serve::http::parameters::{Error, MAX_LIMIT, Parameters, malformed};

/// Jaeger's own default.
const DEFAULT_SEARCH_DEPTH: usize = 100;

/// The spellings of a parameter; of several that are given the first counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spellings(&'static [&'static str]);

pub(super) const SPAN_KIND: Spellings = Spellings(&["spanKind", "span_kind"]);
pub(super) const START: Spellings = Spellings(&["startTime", "start_time"]);
pub(super) const END: Spellings = Spellings(&["endTime", "end_time"]);
pub(super) const RAW: Spellings = Spellings(&["rawTraces", "raw_traces"]);
const SERVICE: Spellings = Spellings(&["query.serviceName", "query.service_name"]);
const OPERATION: Spellings = Spellings(&["query.operationName", "query.operation_name"]);
const EARLIEST: Spellings = Spellings(&["query.startTimeMin", "query.start_time_min"]);
const LATEST: Spellings = Spellings(&["query.startTimeMax", "query.start_time_max"]);
const SHORTEST: Spellings = Spellings(&["query.durationMin", "query.duration_min"]);
const LONGEST: Spellings = Spellings(&["query.durationMax", "query.duration_max"]);
const DEPTH: Spellings =
    Spellings(&["query.searchDepth", "query.search_depth", "query.numTraces", "query.num_traces"]);
const RAW_FOUND: Spellings = Spellings(&["query.rawTraces", "query.raw_traces"]);
const ATTRIBUTES: Spellings = Spellings(&["query.attributes"]);
const FILTER: Spellings = Spellings(&["query.filter"]);

impl Spellings {
    /// The one that is given, or the first.
    pub(super) fn given(self, parameters: &Parameters) -> &'static str {
        let is_given = |name: &&&'static str| parameters.text(name).is_some();
        self.0.iter().find(is_given).or(self.0.first()).copied().unwrap_or_default()
    }

    fn text(self, parameters: &Parameters) -> Option<String> {
        parameters.text(self.given(parameters)).map(str::to_owned)
    }
}

/// What is searched for.
pub(super) fn conditions(parameters: &Parameters) -> Result<Conditions, Error> {
    let (start, end) = window(parameters)?;
    let (min_duration, max_duration) =
        parameters.durations(SHORTEST.given(parameters), LONGEST.given(parameters))?;
    parameters.flag(RAW_FOUND.given(parameters))?;
    Ok(Conditions {
        service: SERVICE.text(parameters),
        operation: OPERATION.text(parameters),
        min_duration,
        max_duration,
        start,
        end,
        limit: search_depth(parameters)?,
        ..of_filter(parameters)?.map_or_else(|| of_attributes(parameters), Ok)?
    })
}

/// From when to when; both are required.
fn window(parameters: &Parameters) -> Result<(Timestamp, Timestamp), Error> {
    let required = |names: Spellings| {
        let name = names.given(parameters);
        parameters.time(name)?.ok_or(Error::Missing { name })
    };
    let (start, end) = (required(EARLIEST)?, required(LATEST)?);
    if start >= end {
        let (earliest, latest) = (EARLIEST.given(parameters), LATEST.given(parameters));
        return Err(Error::Times { earliest, latest });
    }
    Ok((start, end))
}

/// How many traces are wanted; 0, which some clients send for nothing, is Jaeger's default.
fn search_depth(parameters: &Parameters) -> Result<usize, Error> {
    let name = DEPTH.given(parameters);
    match parameters.text(name).map(|value| (value, value.parse::<u32>())) {
        None | Some((_, Ok(0))) => Ok(DEFAULT_SEARCH_DEPTH),
        Some((_, Ok(depth))) => Ok((depth as usize).min(MAX_LIMIT)),
        Some((value, Err(_))) => Err(malformed(name, value, "a whole number from 0 to 1500")),
    }
}

/// A JSON object of texts, and what they mean.
fn of_attributes(parameters: &Parameters) -> Result<Conditions, Error> {
    let name = ATTRIBUTES.given(parameters);
    let wrong = |reason: &dyn ToString| Error::Unreadable { name, reason: reason.to_string() };
    let pairs: BTreeMap<String, String> = match parameters.text(name) {
        Some(json) => serde_json::from_str(json).map_err(|error| wrong(&error))?,
        None => BTreeMap::new(),
    };
    conditions_of_attributes(pairs).map_err(|error| wrong(&error))
}

/// A structured filter, beside which nothing else is said of spans.
fn of_filter(parameters: &Parameters) -> Result<Option<Conditions>, Error> {
    let name = FILTER.given(parameters);
    let Some(json) = parameters.text(name) else { return Ok(None) };
    let others = [SERVICE, OPERATION, SHORTEST, LONGEST, ATTRIBUTES].map(|names| names.given(parameters));
    if let Some(other) = others.into_iter().find(|other| parameters.text(other).is_some()) {
        return Err(Error::Together { name, other });
    }
    let filter = expression::of_json(json);
    let filter = filter.map_err(|error| Error::Unreadable { name, reason: error.to_string() })?;
    Ok(Some(Conditions { filter: Some(filter), ..Conditions::default() }))
}
