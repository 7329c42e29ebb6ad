//! Writing the kept form of a span: OTLP that says what OTLP can, and everything besides.

use super::checked::{Moment, Span};
use super::meaning::{Meaning, event_name};
use super::{CHILD_OF, DURATION, FOLLOWS_FROM, PROCESS_ID, REF_TYPE, SERVICE_NAME, START, TIME, WARNINGS};
use crate::model::{SpanId, StatusCode, TraceId};
use crate::otlp::{RESERVED, write};
use crate::proto::jaeger::api_v2::{KeyValue, Log, Process, SpanRefType, ValueType};

/// A `Resource` message. The name comes first, whatever it is, so that a tag of the same key is told from it; a resource
/// without attributes had no process.
pub(super) fn resource(process: Option<&Process>) -> Vec<u8> {
    let mut resource = Vec::new();
    if let Some(process) = process {
        write::message(&mut resource, 1, |out| {
            write::string(out, 1, SERVICE_NAME);
            write::message(out, 2, |out| write::bytes(out, 1, &process.service_name));
        });
        process.tags.iter().for_each(|tag| attribute(&mut resource, 1, &tag.key, tag));
    }
    resource
}

/// The fields of a `Span` message, appended to `out`.
pub(super) fn span(out: &mut Vec<u8>, span: &Span<'_>) {
    let (sent, meaning) = (span.sent, Meaning::of(span.sent));
    let header = Header::of(span.start, span.duration);
    write::bytes(out, 1, &span.trace_id.0);
    write::bytes(out, 2, &span.span_id.0);
    write::unless_empty(out, 3, meaning.trace_state);
    let parent = meaning.parent.map(|place| span.references[place].span_id);
    if let Some(parent) = parent.filter(|parent| !parent.is_zero()) {
        write::bytes(out, 4, &parent.0);
    }
    write::unless_empty(out, 5, &sent.operation_name);
    write::unless_zero(out, 6, meaning.kind as u64);
    write::fixed64(out, 7, header.start);
    write::fixed64(out, 8, header.end);
    sent.tags.iter().for_each(|tag| tag_of_span(out, 9, tag));
    reserved(out, span, &header);
    for (log, time) in sent.logs.iter().zip(&span.times) {
        write::message(out, 11, |out| event(out, log, *time));
    }
    for reference in &span.references {
        write::message(out, 13, |out| {
            link(out, reference.trace_id, reference.span_id, reference.ref_type);
        });
    }
    status(out, &meaning);
    if sent.flags != 0 {
        write::fixed32(out, 16, sent.flags);
    }
}

/// Start and end as nanoseconds since 1970 that 64 bits hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Header {
    start: u64,
    end: u64,
    /// What they cannot say.
    is_start_other: bool,
    is_duration_other: bool,
}

impl Header {
    /// The nearest there is: 1970 for what is earlier, no time at all for a negative duration.
    fn of(start: Moment, duration: i64) -> Self {
        let nanos = start.nearest();
        let end = nanos.saturating_add_signed(duration.max(0));
        Self {
            start: nanos,
            end,
            is_start_other: i128::from(nanos) != start.unix_nanos(),
            is_duration_other: i128::from(end - nanos) != i128::from(duration),
        }
    }
}

/// What no field of OTLP and none of the tags can say, where there is something to say.
fn reserved(out: &mut Vec<u8>, span: &Span<'_>, header: &Header) {
    let sent = span.sent;
    if !sent.warnings.is_empty() {
        value(out, 9, WARNINGS, |out| {
            write::message(out, 5, |out| {
                for warning in &sent.warnings {
                    write::message(out, 1, |out| write::bytes(out, 1, warning));
                }
            });
        });
    }
    if !sent.process_id.is_empty() {
        value(out, 9, PROCESS_ID, |out| write::bytes(out, 1, &sent.process_id));
    }
    if header.is_start_other {
        value(out, 9, START, |out| time(out, span.start));
    }
    if header.is_duration_other {
        value(out, 9, DURATION, |out| write::uint(out, 3, span.duration as u64));
    }
}

fn event(out: &mut Vec<u8>, log: &Log, moment: Moment) {
    let nanos = moment.nearest();
    write::fixed64(out, 1, nanos);
    write::unless_empty(out, 2, event_name(&log.fields).map_or(&[], |(_, name)| name));
    log.fields.iter().for_each(|field| tag_of_span(out, 3, field));
    if i128::from(nanos) != moment.unix_nanos() {
        value(out, 3, TIME, |out| time(out, moment));
    }
}

/// The fields of a `Link` message. A type that `model.proto` does not have is kept as its number.
pub(in crate::translate) fn link(out: &mut Vec<u8>, trace_id: TraceId, span_id: SpanId, ref_type: i32) {
    write::bytes(out, 1, &trace_id.0);
    write::bytes(out, 2, &span_id.0);
    value(out, 4, REF_TYPE, |out| match SpanRefType::try_from(ref_type) {
        Ok(SpanRefType::ChildOf) => write::string(out, 1, CHILD_OF),
        Ok(SpanRefType::FollowsFrom) => write::string(out, 1, FOLLOWS_FROM),
        Err(_) => write::uint(out, 3, i64::from(ref_type) as u64),
    });
}

/// The `Status` of a `Span` message, if there is something to say.
pub(in crate::translate) fn status(out: &mut Vec<u8>, meaning: &Meaning<'_>) {
    if meaning.status != StatusCode::Unset || !meaning.status_message.is_empty() {
        write::message(out, 15, |out| {
            write::unless_empty(out, 2, meaning.status_message);
            write::unless_zero(out, 3, meaning.status as u64);
        });
    }
}

/// A tag of a span or a field of a log. One whose key looks reserved gets the prefix once more, so that it is told from
/// what is.
fn tag_of_span(out: &mut Vec<u8>, field: u32, tag: &KeyValue) {
    if tag.key.starts_with(RESERVED.as_bytes()) {
        attribute(out, field, &[RESERVED.as_bytes(), &tag.key].concat(), tag);
    } else {
        attribute(out, field, &tag.key, tag);
    }
}

/// A `KeyValue` message of this key and the tag's value: no value if its type is not known.
pub(in crate::translate) fn attribute(out: &mut Vec<u8>, field: u32, key: &[u8], tag: &KeyValue) {
    write::message(out, field, |out| {
        write::bytes(out, 1, key);
        write::message(out, 2, |out| match ValueType::try_from(tag.v_type) {
            Ok(ValueType::String) => write::bytes(out, 1, &tag.v_str),
            Ok(ValueType::Bool) => write::uint(out, 2, tag.v_bool.into()),
            Ok(ValueType::Int64) => write::uint(out, 3, tag.v_int64 as u64),
            Ok(ValueType::Float64) => write::fixed64(out, 4, tag.v_float64),
            Ok(ValueType::Binary) => write::bytes(out, 7, &tag.v_binary),
            Err(_) => {}
        });
    });
}

/// A `KeyValue` message whose `AnyValue` has these fields.
fn value(out: &mut Vec<u8>, field: u32, key: &str, content: impl FnOnce(&mut Vec<u8>)) {
    write::message(out, field, |out| {
        write::string(out, 1, key);
        write::message(out, 2, content);
    });
}

/// A list of seconds and nanoseconds.
fn time(out: &mut Vec<u8>, moment: Moment) {
    write::message(out, 5, |out| {
        for number in [moment.seconds, moment.nanos.into()] {
            write::message(out, 1, |out| write::uint(out, 3, number as u64));
        }
    });
}
