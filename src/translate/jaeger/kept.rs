//! Reading the kept form of a span: what was sent, from the bytes that [`super::keep`] wrote.
//!
//! Anybody can send OTLP that says of itself that it is such a span. Whatever the bytes are, a span comes out that
//! Jaeger can read; what is not as it should be is left out of it.

use bytes::Bytes;
use prost_types::Duration;

use super::checked::{BILLION, Moment};
use super::said::{self, moment};
use super::{CHILD_OF, DURATION, FOLLOWS_FROM, PROCESS_ID, REF_TYPE, SERVICE_NAME, START, TIME, WARNINGS};
use crate::model;
use crate::otlp::{AnyValue, Fields, RESERVED, Value};
use crate::proto::jaeger::api_v2::{KeyValue, Log, Process, Span, SpanRef, SpanRefType, ValueType};

/// The span as it was sent, without its process.
pub(in crate::translate) fn span(span: &model::Span) -> Span {
    let mut read = Span {
        trace_id: Bytes::copy_from_slice(&span.trace_id.0),
        span_id: Bytes::copy_from_slice(&span.span_id.0),
        flags: span.flags,
        start_time: Some(moment(span.start)),
        duration: Some(said::duration(span.end.nanos().saturating_sub(span.start.nanos()))),
        ..Span::default()
    };
    let within = Within(&span.body);
    for field in Fields::new(&span.body) {
        match field {
            (5, Value::Bytes(name)) => read.operation_name = within.slice(name),
            (9, Value::Bytes(pair)) => match within.pair(pair) {
                Pair::Tag(tag) => read.tags.push(tag),
                Pair::Reserved(key, value) => reserved(&mut read, key, value, &within),
            },
            (11, Value::Bytes(event)) => read.logs.push(within.log(event)),
            (13, Value::Bytes(link)) => read.references.push(within.reference(link)),
            _ => {}
        }
    }
    read
}

/// The process of the spans of a resource.
pub(in crate::translate) fn process(resource: &model::Resource) -> Process {
    let within = Within(&resource.bytes);
    let mut process = Process::default();
    for (place, pair) in members(&resource.bytes).enumerate() {
        let tag = within.tag(pair);
        if place == 0 && tag.key == SERVICE_NAME && tag.v_type == ValueType::String as i32 {
            process.service_name = tag.v_str;
        } else {
            process.tags.push(tag);
        }
    }
    process
}

fn reserved(span: &mut Span, key: &[u8], value: &[u8], within: &Within<'_>) {
    match Some(key) {
        key if key == name(WARNINGS) => {
            let texts = lists(value).flat_map(members).filter_map(text);
            span.warnings.extend(texts.map(|text| within.slice(text)));
        }
        key if key == name(PROCESS_ID) => {
            span.process_id = text(value).map(|text| within.slice(text)).unwrap_or_default();
        }
        key if key == name(START) => {
            span.start_time = time(value).or(span.start_time);
        }
        key if key == name(DURATION) => {
            let nanos = int(value);
            let duration = |nanos| Duration { seconds: nanos / BILLION, nanos: (nanos % BILLION) as i32 };
            span.duration = nanos.map(duration).or(span.duration);
        }
        _ => {}
    }
}

/// What follows the prefix in a reserved key.
fn name(key: &'static str) -> Option<&'static [u8]> {
    key.as_bytes().strip_prefix(RESERVED.as_bytes())
}

/// An attribute of a span or an event.
enum Pair<'a> {
    Tag(KeyValue),
    /// The rest of its key, and its `AnyValue` message.
    Reserved(&'a [u8], &'a [u8]),
}

/// The bytes from which texts are cut out without being copied.
struct Within<'a>(&'a Bytes);

impl Within<'_> {
    fn slice(&self, part: &[u8]) -> Bytes {
        self.0.slice_ref(part)
    }

    /// A tag whose key looks reserved has the prefix twice.
    fn pair<'a>(&self, pair: &'a [u8]) -> Pair<'a> {
        let (key, value) = key_and_value(pair);
        match key.strip_prefix(RESERVED.as_bytes()) {
            Some(rest) if rest.starts_with(RESERVED.as_bytes()) => {
                Pair::Tag(KeyValue { key: self.slice(rest), ..self.value(value) })
            }
            Some(rest) => Pair::Reserved(rest, value),
            None => Pair::Tag(KeyValue { key: self.slice(key), ..self.value(value) }),
        }
    }

    fn tag(&self, pair: &[u8]) -> KeyValue {
        let (key, value) = key_and_value(pair);
        KeyValue { key: self.slice(key), ..self.value(value) }
    }

    /// Without a key. Lists and maps, which no tag was, become JSON text.
    fn value(&self, value: &[u8]) -> KeyValue {
        let typed = |v_type: ValueType| KeyValue { v_type: v_type.into(), ..KeyValue::default() };
        match Fields::new(value).last() {
            Some((1, Value::Bytes(text))) => KeyValue { v_str: self.slice(text), ..typed(ValueType::String) },
            Some((2, Value::Varint(bit))) => KeyValue { v_bool: bit != 0, ..typed(ValueType::Bool) },
            Some((3, Value::Varint(number))) => {
                KeyValue { v_int64: number as i64, ..typed(ValueType::Int64) }
            }
            Some((4, Value::Fixed64(bits))) => KeyValue { v_float64: bits, ..typed(ValueType::Float64) },
            Some((7, Value::Bytes(bytes))) => {
                KeyValue { v_binary: self.slice(bytes), ..typed(ValueType::Binary) }
            }
            _ => {
                let text = AnyValue::read(value).to_text().into_owned();
                KeyValue { v_str: text.into(), ..typed(ValueType::String) }
            }
        }
    }

    fn log(&self, event: &[u8]) -> Log {
        let mut log = Log { timestamp: Some(moment(model::Timestamp::ZERO)), fields: Vec::new() };
        for field in Fields::new(event) {
            match field {
                (1, Value::Fixed64(nanos)) => log.timestamp = Some(moment(model::Timestamp(nanos))),
                (3, Value::Bytes(pair)) => match self.pair(pair) {
                    Pair::Tag(tag) => log.fields.push(tag),
                    Pair::Reserved(key, value) if Some(key) == name(TIME) => {
                        log.timestamp = time(value).or(log.timestamp);
                    }
                    Pair::Reserved(..) => {}
                },
                _ => {}
            }
        }
        log
    }

    fn reference(&self, link: &[u8]) -> SpanRef {
        let mut reference = SpanRef {
            trace_id: Bytes::from_static(&[0; 16]),
            span_id: Bytes::from_static(&[0; 8]),
            ref_type: SpanRefType::FollowsFrom.into(),
        };
        for field in Fields::new(link) {
            match field {
                (1, Value::Bytes(id)) if id.len() == 16 => reference.trace_id = self.slice(id),
                (2, Value::Bytes(id)) if id.len() == 8 => reference.span_id = self.slice(id),
                (4, Value::Bytes(pair)) => {
                    let (key, value) = key_and_value(pair);
                    let named = (key == REF_TYPE.as_bytes()).then(|| ref_type(value)).flatten();
                    reference.ref_type = named.unwrap_or(reference.ref_type);
                }
                _ => {}
            }
        }
        reference
    }
}

fn ref_type(value: &[u8]) -> Option<i32> {
    match text(value) {
        Some(word) if word == CHILD_OF.as_bytes() => Some(SpanRefType::ChildOf.into()),
        Some(word) if word == FOLLOWS_FROM.as_bytes() => Some(SpanRefType::FollowsFrom.into()),
        _ => i32::try_from(int(value)?).ok(),
    }
}

/// Key and `AnyValue` of a `KeyValue` message.
pub(super) fn key_and_value(pair: &[u8]) -> (&[u8], &[u8]) {
    let (mut key, mut value) = (&[][..], &[][..]);
    for field in Fields::new(pair) {
        match field {
            (1, Value::Bytes(text)) => key = text,
            (2, Value::Bytes(message)) => value = message,
            _ => {}
        }
    }
    (key, value)
}

/// The text that an `AnyValue` message is.
fn text(value: &[u8]) -> Option<&[u8]> {
    match Fields::new(value).last()? {
        (1, Value::Bytes(text)) => Some(text),
        _ => None,
    }
}

/// The number that an `AnyValue` message is.
fn int(value: &[u8]) -> Option<i64> {
    match Fields::new(value).last()? {
        (3, Value::Varint(number)) => Some(number as i64),
        _ => None,
    }
}

/// The lists that stand in an `AnyValue` message.
fn lists(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    Fields::new(value).filter_map(|field| match field {
        (5, Value::Bytes(list)) => Some(list),
        _ => None,
    })
}

/// The embedded messages of field 1: of a list its values, of a resource its attributes.
pub(super) fn members(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    Fields::new(list).filter_map(|field| match field {
        (1, Value::Bytes(message)) => Some(message),
        _ => None,
    })
}

/// The time that a list of two numbers is.
fn time(value: &[u8]) -> Option<prost_types::Timestamp> {
    let mut numbers = lists(value).flat_map(members).map(int);
    let (seconds, nanos) = (numbers.next()??, numbers.next()??);
    let moment = Moment::new(seconds, i32::try_from(nanos).ok()?)?;
    Some(prost_types::Timestamp { seconds: moment.seconds, nanos: moment.nanos })
}
