//! What is searched for at gRPC doors: every version of the question has these fields, each in a message of its own.

use prost_types::{Duration, Timestamp};

use super::grpc::Error;
use super::{expression, times};
use crate::proto::jaeger::expression::v1::Call;
use crate::query::{Conditions, conditions_of_attributes};

/// Traces of a search when none or less than none are asked for, as in Jaeger's own stores.
const DEFAULT_TRACES: usize = 100;

/// Traces of a search.
const MAX_TRACES: usize = 10_000;

/// What is said in any version; what is not set is open.
#[derive(Debug)]
pub(super) struct Searched {
    pub(super) service: String,
    pub(super) operation: String,
    pub(super) start_time_min: Option<Timestamp>,
    pub(super) start_time_max: Option<Timestamp>,
    pub(super) duration_min: Option<Duration>,
    pub(super) duration_max: Option<Duration>,
    pub(super) traces: i32,
}

impl Searched {
    /// With tags that mean what they are; no key is a word of its own.
    pub(super) fn with_tags(
        self,
        tags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Conditions, Error> {
        Ok(Conditions { attributes: tags.into_iter().collect(), ..self.conditions()? })
    }

    /// With attributes, or with a structured filter, beside which nothing else is said of spans.
    pub(super) fn with_attributes_or_filter(
        self,
        attributes: impl IntoIterator<Item = (String, String)>,
        filter: Option<&Call>,
    ) -> Result<Conditions, Error> {
        let plain = self.conditions()?;
        let mut attributes = attributes.into_iter().peekable();
        let Some(filter) = filter else {
            let Conditions { attributes, filter, .. } = conditions_of_attributes(attributes)?;
            return Ok(Conditions { attributes, filter, ..plain });
        };
        let is_plain = plain.service.is_some()
            || plain.operation.is_some()
            || plain.min_duration.is_some()
            || plain.max_duration.is_some()
            || attributes.peek().is_some();
        if is_plain {
            return Err(Error::Contradiction(
                "filter stands instead of service_name, operation_name, attributes and durations".into(),
            ));
        }
        Ok(Conditions { filter: Some(expression::of_call(filter)?), ..plain })
    }

    fn conditions(self) -> Result<Conditions, Error> {
        let (min_duration, max_duration) =
            times::durations(("duration_min", &self.duration_min), ("duration_max", &self.duration_max))?;
        let (start, end) = times::bounds(
            ("start_time_min", &self.start_time_min),
            ("start_time_max", &self.start_time_max),
        )?;
        let said = |text: String| Some(text).filter(|text| !text.is_empty());
        Ok(Conditions {
            service: said(self.service),
            operation: said(self.operation),
            min_duration,
            max_duration,
            start,
            end,
            limit: limit(self.traces),
            ..Conditions::default()
        })
    }
}

/// How many traces are meant by a number.
fn limit(asked: i32) -> usize {
    match usize::try_from(asked) {
        Ok(asked @ 1..) => asked.min(MAX_TRACES),
        _ => DEFAULT_TRACES,
    }
}
