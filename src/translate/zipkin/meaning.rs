//! What some of a span's tags mean, whose fields OTLP has: OpenTelemetry's exporters write those as tags, and everybody
//! else writes `error`.
//!
//! Source: opentelemetry.io, "OpenTelemetry to Zipkin", "OpenTelemetry to non-OTLP exporters"; zipkin-api, the tag `error`.

use bytes::Bytes;

use crate::model::{SpanKind, StatusCode};
use crate::translate::exported::{
    ERROR, SCOPE_NAMES, SCOPE_VERSIONS, SPAN_KIND, STATUS_CODE, STATUS_DESCRIPTION, TRACE_STATE, status_code,
};

/// What fields of OTLP say of a span because its tags do. Of tags of one key the first that means something counts.
#[derive(Debug)]
pub(in crate::translate) struct Meaning<'a> {
    /// Of a span without a kind of its own.
    pub(in crate::translate) kind: SpanKind,
    /// Failed if there is an `error` other than `false`.
    pub(in crate::translate) status: StatusCode,
    /// What `error` says if that is more than that there is one, else the description.
    pub(in crate::translate) status_message: &'a [u8],
    pub(in crate::translate) trace_state: &'a [u8],
    pub(in crate::translate) scope_name: &'a [u8],
    pub(in crate::translate) scope_version: &'a [u8],
}

impl<'a> Meaning<'a> {
    pub(in crate::translate) fn of(tags: &'a [(Bytes, Bytes)]) -> Self {
        let texts = |wanted: &'static [u8]| {
            tags.iter().filter(move |(key, _)| *key == wanted).map(|(_, value)| &value[..])
        };
        let first = |key| texts(key).find(|text| !text.is_empty()).unwrap_or_default();
        let first_of = |keys: [&'static [u8]; 2]| match first(keys[0]) {
            [] => first(keys[1]),
            text => text,
        };
        let error = texts(ERROR).find(|text| is_error(text));
        let said = texts(STATUS_CODE).find_map(status_code).unwrap_or_default();
        let scope_name = first_of(SCOPE_NAMES);
        Self {
            kind: texts(SPAN_KIND).find_map(kind).unwrap_or_default(),
            status: if error.is_some() { StatusCode::Error } else { said },
            status_message: match error.filter(|text| !is_bare(text)) {
                Some(text) => text,
                None => first(STATUS_DESCRIPTION),
            },
            trace_state: first(TRACE_STATE),
            scope_name,
            scope_version: if scope_name.is_empty() { &[] } else { first_of(SCOPE_VERSIONS) },
        }
    }

    /// Whether a field of the span, whose kind this is, says what this tag says.
    pub(in crate::translate) fn says(&self, kind: SpanKind, key: &[u8], value: &[u8]) -> bool {
        match key {
            ERROR if is_error(value) => is_bare(value) || value == self.status_message,
            _ if value.is_empty() => false,
            SPAN_KIND => self::kind(value) == Some(kind),
            STATUS_CODE => status_code(value) == Some(self.status),
            STATUS_DESCRIPTION => value == self.status_message,
            TRACE_STATE => value == self.trace_state,
            _ => false,
        }
    }

    /// Whether the scope that is said with the span says what this tag says.
    pub(in crate::translate) fn says_in_scope(&self, key: &[u8], value: &[u8]) -> bool {
        let is_name = SCOPE_NAMES.contains(&key) && value == self.scope_name;
        let is_version = SCOPE_VERSIONS.contains(&key) && value == self.scope_version;
        !value.is_empty() && (is_name || is_version)
    }
}

/// The tag says by being there that something failed; some write `false` into it.
fn is_error(text: &[u8]) -> bool {
    !text.eq_ignore_ascii_case(b"false")
}

/// Whether it says no more than that.
fn is_bare(text: &[u8]) -> bool {
    text.is_empty() || text.eq_ignore_ascii_case(b"true")
}

fn kind(word: &[u8]) -> Option<SpanKind> {
    let word = std::str::from_utf8(word).ok()?.to_ascii_lowercase();
    SpanKind::from_name(&word).filter(|kind| *kind != SpanKind::Unspecified)
}
