//! Questions as they are asked: named texts after the `?`, read into times, durations, ids and numbers.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::request;

use super::answer::Form;
use crate::model::{ParseIdError, SpanId, SpanKind, Timestamp, TraceId};
use crate::translate::jaeger_json::{self, DurationError, TagError, parse_duration};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// How far back is searched when the question does not say.
pub(super) const DEFAULT_LOOKBACK: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// The most traces one search gives.
pub(super) const MAX_LIMIT: usize = 1_500;

/// Why a question was not understood. Every message names the parameter, the value and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::serve) enum Error {
    #[error("parameter '{name}' is required")]
    Missing { name: &'static str },
    #[error("unable to parse param '{name}': '{value}' is not {expected}")]
    Malformed { name: &'static str, value: String, expected: &'static str },
    #[error("unable to parse param '{name}': {reason}")]
    Duration { name: &'static str, reason: DurationError },
    #[error("unable to parse param '{name}': {reason}")]
    Id { name: &'static str, reason: ParseIdError },
    #[error(transparent)]
    Tag(#[from] TagError),
    #[error("'{longest}' should be greater than '{shortest}'")]
    Durations { shortest: &'static str, longest: &'static str },
    #[error("'{earliest}' should be before '{latest}'")]
    Times { earliest: &'static str, latest: &'static str },
    #[error("unable to parse param '{name}': {reason}")]
    Unreadable { name: &'static str, reason: String },
    #[error("parameter '{name}' cannot be given together with '{other}'")]
    Together { name: &'static str, other: &'static str },
    #[error("unable to parse param '{name}': {given} values are given, {limit} are allowed")]
    TooMany { name: &'static str, given: usize, limit: usize },
}

/// Everything after the `?`, decoded.
#[derive(Debug, Clone, Default)]
pub(in crate::serve) struct Parameters(Vec<(String, String)>);

/// A question without a body.
#[derive(Debug)]
pub(in crate::serve) struct Asked {
    /// What is asked.
    pub parameters: Parameters,
    /// How the answer is to be written.
    pub form: Form,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut request::Parts, _state: &S) -> Result<Self, Infallible> {
        let parameters = Parameters::read(parts.uri.query().unwrap_or_default());
        let form = Form::of(&parameters, &parts.headers);
        Ok(Self { parameters, form })
    }
}

impl Parameters {
    pub(super) fn read(query: &str) -> Self {
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The first value of this name; one that is empty counts as not given.
    pub(in crate::serve) fn text(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    /// Every value of this name.
    pub(super) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn required(&self, name: &'static str) -> Result<&str, Error> {
        self.text(name).ok_or(Error::Missing { name })
    }

    /// The words that Go's `ParseBool` takes.
    pub(super) fn flag(&self, name: &'static str) -> Result<bool, Error> {
        match self.text(name) {
            Some("1" | "t" | "T" | "true" | "True" | "TRUE") => Ok(true),
            None | Some("0" | "f" | "F" | "false" | "False" | "FALSE") => Ok(false),
            Some(value) => Err(malformed(name, value, "true or false")),
        }
    }

    /// Microseconds since the epoch; before it counts as the epoch.
    pub(super) fn micros(&self, name: &'static str) -> Result<Option<Timestamp>, Error> {
        let expected = "a whole number of microseconds since 1970";
        Ok(self.whole(name, expected)?.map(Timestamp::from_micros))
    }

    /// Milliseconds since the epoch; before it counts as the epoch.
    pub(super) fn millis(&self, name: &'static str) -> Result<Option<Timestamp>, Error> {
        let expected = "a whole number of milliseconds since 1970";
        Ok(self.whole(name, expected)?.map(Timestamp::from_millis))
    }

    /// A length of time in milliseconds.
    pub(super) fn millis_long(&self, name: &'static str) -> Result<Option<Duration>, Error> {
        Ok(self.whole(name, "a whole number of milliseconds")?.map(Duration::from_millis))
    }

    fn whole(&self, name: &'static str, expected: &'static str) -> Result<Option<u64>, Error> {
        let Some(value) = self.text(name) else { return Ok(None) };
        let number = value.parse::<i64>().map_err(|_| malformed(name, value, expected))?;
        Ok(Some(u64::try_from(number).unwrap_or(0)))
    }

    /// A time in any of the forms that people and programs write, see [`moment`].
    pub(super) fn moment(&self, name: &'static str, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        let expected =
            "a time such as now, -15m, 2026-01-31T12:00:00Z or a number of s, ms, µs or ns since 1970";
        let Some(value) = self.text(name) else { return Ok(None) };
        moment(value, now).map(Some).ok_or_else(|| malformed(name, value, expected))
    }

    /// A time as RFC 3339 has it; before 1970 counts as that, after 2554 as the last there is.
    pub(super) fn time(&self, name: &'static str) -> Result<Option<Timestamp>, Error> {
        let expected = "a time such as 2026-01-31T12:00:00.123456789Z";
        let Some(value) = self.text(name) else { return Ok(None) };
        rfc_3339(value).map(Some).ok_or_else(|| malformed(name, value, expected))
    }

    pub(super) fn duration(&self, name: &'static str) -> Result<Option<Duration>, Error> {
        self.text(name).map(parse_duration).transpose().map_err(|reason| Error::Duration { name, reason })
    }

    /// Both bounds of a duration, the lower not above the upper.
    pub(super) fn durations(
        &self,
        shortest: &'static str,
        longest: &'static str,
    ) -> Result<(Option<Duration>, Option<Duration>), Error> {
        let bounds = (self.duration(shortest)?, self.duration(longest)?);
        match bounds {
            (Some(low), Some(high)) if high < low => Err(Error::Durations { shortest, longest }),
            bounds => Ok(bounds),
        }
    }

    /// How many traces are wanted: at least 1; more than [`MAX_LIMIT`] is brought down to it.
    pub(super) fn limit(&self, default: usize) -> Result<usize, Error> {
        let Some(value) = self.text("limit") else { return Ok(default) };
        let limit = value.parse::<usize>().ok().filter(|&limit| limit >= 1);
        let limit = limit.ok_or_else(|| malformed("limit", value, "a whole number from 1 to 1500"))?;
        Ok(limit.min(MAX_LIMIT))
    }

    /// How far back the words of Jaeger's page reach (`1h`, `2d`); `None` for those that name no length, such as
    /// `custom`: Jaeger does not look at them at all.
    pub(super) fn lookback(&self) -> Option<Duration> {
        self.text("lookback").and_then(long_duration)
    }
}

/// A value that cannot be read, or its beginning.
pub(super) fn malformed(name: &'static str, value: &str, expected: &'static str) -> Error {
    Error::Malformed { name, value: value.chars().take(64).collect(), expected }
}

/// The kind of spans that a parameter's value says.
pub(super) fn span_kind(name: &'static str, value: &str) -> Result<SpanKind, Error> {
    let expected = "one of unspecified, internal, server, client, producer, consumer";
    SpanKind::from_name(&value.to_ascii_lowercase()).ok_or_else(|| malformed(name, value, expected))
}

/// 1 to 32 hex digits, or base64 of 8 or 16 bytes, which newer Jaeger takes too.
pub(super) fn trace_id(name: &'static str, text: &str) -> Result<TraceId, Error> {
    TraceId::parse_hex(text).or_else(|reason| base64_id(text).ok_or(Error::Id { name, reason }))
}

/// Either alphabet, with or without padding.
fn base64_id(text: &str) -> Option<TraceId> {
    let padding = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let text = text.replace('-', "+").replace('_', "/");
    let bytes = GeneralPurpose::new(&alphabet::STANDARD, padding).decode(text).ok()?;
    let mut id = [0; 16];
    match bytes.len() {
        8 => id[8..].copy_from_slice(&bytes),
        16 => id.copy_from_slice(&bytes),
        _ => return None,
    }
    Some(TraceId(id))
}

pub(super) fn span_id(name: &'static str, text: &str) -> Result<SpanId, Error> {
    SpanId::parse_hex(text).map_err(|reason| Error::Id { name, reason })
}

/// Pairs of `tag` and `tags`, each once.
pub(super) fn tags(parameters: &Parameters) -> Result<Vec<(String, String)>, Error> {
    let mut pairs = Vec::new();
    for text in parameters.all("tag") {
        pairs.push(jaeger_json::parse_tag(text)?);
    }
    for text in parameters.all("tags").filter(|text| !text.is_empty()) {
        pairs.extend(jaeger_json::parse_tags(text)?);
    }
    pairs.sort();
    pairs.dedup();
    Ok(pairs)
}

/// `now`; `-15m` or `now-15m`; RFC 3339; a whole number whose size tells its unit.
fn moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    let text = text.trim();
    let relative = text.strip_prefix("now").unwrap_or(text);
    if relative.is_empty() {
        return (text == "now").then_some(now);
    }
    if let Some(ago) = relative.strip_prefix('-') {
        return long_duration(ago).map(|ago| now.minus(ago));
    }
    if let Ok(number) = text.parse::<u64>() {
        return Some(by_magnitude(number));
    }
    rfc_3339(text)
}

/// The units lie a thousandfold apart, so a number between the years 1973 and 5138 belongs to one of them only.
fn by_magnitude(number: u64) -> Timestamp {
    const SECONDS_END: u64 = 100_000_000_000;
    match number {
        0..SECONDS_END => Timestamp::from_millis(number * 1_000),
        SECONDS_END..100_000_000_000_000 => Timestamp::from_millis(number),
        100_000_000_000_000..100_000_000_000_000_000 => Timestamp::from_micros(number),
        _ => Timestamp(number),
    }
}

/// What lies before 1970 is the first moment there is, and what lies after 2554 the last.
fn rfc_3339(text: &str) -> Option<Timestamp> {
    let moment = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        // A `+` that was not percent-encoded arrives as a space.
        let (day, offset) = text.rsplit_once(' ')?;
        format!("{day}+{offset}").parse().ok()
    })?;
    Some(Timestamp(u64::try_from(moment.as_nanosecond().max(0)).unwrap_or(u64::MAX)))
}

/// A duration, or whole days or weeks (`2d`, `1w`).
fn long_duration(text: &str) -> Option<Duration> {
    let days = |count: &str, of: u32| Some(DAY.saturating_mul(count.parse::<u32>().ok()?.saturating_mul(of)));
    match (text.strip_suffix('d'), text.strip_suffix('w')) {
        (Some(count), _) => days(count, 1),
        (_, Some(count)) => days(count, 7),
        _ => parse_duration(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_every_form_people_write() {
        let now = Timestamp(1_700_000_000_123_456_789);
        let cases = [
            ("now", now),
            ("-15m", now.minus(Duration::from_secs(900))),
            ("now-1h30m", now.minus(Duration::from_secs(5_400))),
            ("-2d", now.minus(DAY * 2)),
            ("-1w", now.minus(DAY * 7)),
            ("1700000000", Timestamp(1_700_000_000_000_000_000)),
            ("1700000000123", Timestamp(1_700_000_000_123_000_000)),
            ("1700000000123456", Timestamp(1_700_000_000_123_456_000)),
            ("1700000000123456789", now),
            ("2023-11-14T22:13:20.123456789Z", now),
            ("2023-11-14T23:13:20.123456789+01:00", now),
            ("2023-11-14T23:13:20.123456789 01:00", now),
            ("1969-12-31T23:00:00Z", Timestamp::ZERO),
            ("3000-01-01T00:00:00Z", Timestamp::MAX),
        ];
        for (text, expected) in cases {
            assert_eq!(moment(text, now), Some(expected), "{text}");
        }
        for text in ["", "yesterday", "-", "-15", "nowish", "2023-11-14", "-1h-", "1.5"] {
            assert_eq!(moment(text, now), None, "{text}");
        }
    }

    #[test]
    fn a_trace_id_may_be_short_long_or_base64() {
        let id = TraceId::parse_hex("463ac35c9f6413ad").unwrap();
        let texts = ["463ac35c9f6413ad", "0000000000000000463AC35C9F6413AD", "RjrDXJ9kE60=", "RjrDXJ9kE60"];
        for text in texts {
            assert_eq!(trace_id("traceID", text), Ok(id), "{text}");
        }
        let long = trace_id("traceID", "AAAAAAAAAAAAAAAAAAAA_w").unwrap();
        assert_eq!(long.to_string(), "000000000000000000000000000000ff");
        for text in ["", "xyz", "00000000000000000463ac35c9f6413ad1", "RjrDXJ9kEw=="] {
            let error = trace_id("traceID", text).unwrap_err().to_string();
            assert!(error.starts_with("unable to parse param 'traceID': '"), "{error}");
            assert!(error.ends_with("is not a trace id of 1 to 32 hex digits"), "{error}");
        }
    }

    #[test]
    fn the_words_of_jaegers_page_say_how_far_back() {
        let lookback = |text: &str| Parameters::read(&format!("lookback={text}")).lookback();
        assert_eq!(lookback("1h"), Some(Duration::from_secs(3_600)));
        assert_eq!(lookback("2d"), Some(DAY * 2));
        assert_eq!(lookback("1w"), Some(DAY * 7));
        assert_eq!(lookback("custom"), None);
        assert_eq!(lookback("99999999999d"), None);
    }
}
