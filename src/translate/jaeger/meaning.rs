//! What a span in Jaeger's words means to OTLP: parent, kind, status, trace state, scope.
//!
//! Jaeger's translator makes a map of the tags, where the last of several of one key holds. Here the first that says
//! something holds, as everywhere else in Jaeger, and a tag is only ever taken for a field that then says the same: what
//! no field can say stays a tag.
//!
//! Source: opentelemetry-collector-contrib `pkg/translator/jaeger`, "Jaeger proto to traces".

use super::checked;
use crate::model::{SpanKind, StatusCode};
use crate::proto::jaeger::api_v2::{KeyValue, Span, SpanRefType, ValueType};
use crate::translate::exported::{
    ERROR, SCOPE_NAMES, SCOPE_VERSIONS, SPAN_KIND, STATUS_CODE, STATUS_DESCRIPTION, TRACE_STATE, status_code,
};

const HTTP_STATUS_MESSAGE: &[u8] = b"http.status_message";
const HTTP_STATUS_CODES: [&[u8]; 2] = [b"http.status_code", b"http.response.status_code"];

/// What OTLP has fields for.
#[derive(Debug, Default)]
pub(in crate::translate) struct Meaning<'a> {
    /// Which of the references is the parent: the first `CHILD_OF` within the trace, else the first `FOLLOWS_FROM`.
    pub(in crate::translate) parent: Option<usize>,
    pub(in crate::translate) kind: SpanKind,
    pub(in crate::translate) status: StatusCode,
    pub(in crate::translate) status_message: &'a [u8],
    pub(in crate::translate) trace_state: &'a [u8],
    pub(in crate::translate) scope_name: &'a [u8],
    pub(in crate::translate) scope_version: &'a [u8],
}

impl<'a> Meaning<'a> {
    pub(in crate::translate) fn of(span: &'a Span) -> Self {
        let texts = |key: &'static [u8]| {
            let of_key = span.tags.iter().filter(move |tag| tag.key == key);
            of_key.filter_map(text).filter(|text| !text.is_empty())
        };
        let first = |key| texts(key).next().unwrap_or_default();
        let first_of = |keys: [&'static [u8]; 2]| keys.map(first).into_iter().find(|text| !text.is_empty());
        let kind = texts(SPAN_KIND).find_map(kind).unwrap_or_default();
        let is_failed = span.tags.iter().any(says_error);
        let said = texts(STATUS_CODE).find_map(status_code);
        let status = match (is_failed, said) {
            (true, _) => StatusCode::Error,
            (false, Some(said)) => said,
            (false, None) => http_status(&span.tags, kind),
        };
        let description = match first(STATUS_DESCRIPTION) {
            [] if status == StatusCode::Error => first(HTTP_STATUS_MESSAGE),
            description => description,
        };
        let scope_name = first_of(SCOPE_NAMES).unwrap_or_default();
        let scope_version = first_of(SCOPE_VERSIONS).filter(|_| !scope_name.is_empty());
        Self {
            parent: parent(span),
            kind,
            status,
            status_message: description,
            trace_state: first(TRACE_STATE),
            scope_name,
            scope_version: scope_version.unwrap_or_default(),
        }
    }

    /// Whether a field says what this tag says.
    pub(in crate::translate) fn says(&self, tag: &KeyValue) -> bool {
        if says_error(tag) {
            return self.status == StatusCode::Error;
        }
        let Some(text) = text(tag).filter(|text| !text.is_empty()) else { return false };
        match &tag.key[..] {
            SPAN_KIND => kind(text) == Some(self.kind),
            STATUS_CODE => status_code(text) == Some(self.status),
            STATUS_DESCRIPTION => text == self.status_message,
            TRACE_STATE => text == self.trace_state,
            key if SCOPE_NAMES.contains(&key) => text == self.scope_name,
            key if SCOPE_VERSIONS.contains(&key) => text == self.scope_version,
            _ => false,
        }
    }
}

/// The name of an event: its first field `event` that is a text and not empty.
pub(in crate::translate) fn event_name(fields: &[KeyValue]) -> Option<(usize, &[u8])> {
    let named = |(place, field)| Some((place, event_text(field)?));
    fields.iter().enumerate().find_map(named)
}

fn event_text(field: &KeyValue) -> Option<&[u8]> {
    text(field).filter(|text| field.key == b"event"[..] && !text.is_empty())
}

fn parent(span: &Span) -> Option<usize> {
    // Either may have been sent without its high half.
    let whole = |id: &[u8]| checked::trace_id("trace id", id).ok();
    let own = whole(&span.trace_id);
    let first = |wanted: SpanRefType| {
        span.references
            .iter()
            .position(|reference| reference.ref_type == wanted as i32 && whole(&reference.trace_id) == own)
    };
    first(SpanRefType::ChildOf).or_else(|| first(SpanRefType::FollowsFrom))
}

fn text(tag: &KeyValue) -> Option<&[u8]> {
    (tag.v_type == ValueType::String as i32).then_some(&tag.v_str[..])
}

fn says_error(tag: &KeyValue) -> bool {
    tag.key == ERROR && tag.v_type == ValueType::Bool as i32 && tag.v_bool
}

fn kind(word: &[u8]) -> Option<SpanKind> {
    let kind = SpanKind::from_name(std::str::from_utf8(word).ok()?);
    kind.filter(|kind| *kind != SpanKind::Unspecified)
}

/// A server that is asked for what it has not got has not failed; who asked has.
fn http_status(tags: &[KeyValue], kind: SpanKind) -> StatusCode {
    let of_key = tags.iter().filter(|tag| HTTP_STATUS_CODES.contains(&&tag.key[..]));
    let number = |tag: &KeyValue| match text(tag) {
        Some(text) => std::str::from_utf8(text).ok()?.parse().ok(),
        None => (tag.v_type == ValueType::Int64 as i32).then_some(tag.v_int64),
    };
    match of_key.filter_map(number).next() {
        Some(500..600) => StatusCode::Error,
        Some(400..500) if kind == SpanKind::Client => StatusCode::Error,
        _ => StatusCode::Unset,
    }
}
