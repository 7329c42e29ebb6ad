//! OTLP protobuf into OTLP/JSON: from the bytes straight into a serializer, nothing in between.
//!
//! The flavor is what Jaeger and the collector write: ids in hex, whole numbers of 64 bits as text, enums as numbers, bytes
//! in base64, `NaN` and the infinities by their names. What is zero or empty is left out, but not inside of a value: there
//! an empty text, an empty list and an element without a value are said. Text that is not UTF-8 is repaired.
//!
//! What was sent in pieces is put together as protobuf says: the last one of a scalar holds, messages are merged. Unknown
//! fields are left out, and so are values inside of [`MAX_VALUE_DEPTH`] lists.

use std::borrow::Cow;
use std::fmt;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::schema::{Field, Integer, Kind, Message, Presence};
use super::tables;
use crate::otlp::{Fields, MAX_VALUE_DEPTH, Value};

/// The most fields that a message of OTLP's traces has.
const MAX_FIELDS: usize = 16;

/// A `ResourceSpans` message, serialized as the JSON object that says the same.
#[derive(Debug, Clone, Copy)]
pub struct ResourceSpans<'a>(pub &'a [u8]);

impl Serialize for ResourceSpans<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Object { table: &tables::RESOURCE_SPANS, bytes: self.0, depth: 0 }.serialize(serializer)
    }
}

/// A message, as an object.
struct Object<'a> {
    table: &'static Message,
    bytes: &'a [u8],
    /// Lists of values around it.
    depth: usize,
}

/// What stands on the wire of one field.
#[derive(Clone, Copy, Default)]
struct Found<'a> {
    last: Option<Value<'a>>,
    is_several: bool,
}

impl<'a> Object<'a> {
    /// Of each field, in the order of the table.
    fn found(&self) -> [Found<'a>; MAX_FIELDS] {
        let mut found = [Found::default(); MAX_FIELDS];
        for (number, value) in Fields::new(self.bytes) {
            let place = self.table.fields.iter().position(|field| field.number == number);
            let Some(place) = place.filter(|&place| travels_as(self.table.fields[place].kind, value)) else {
                continue;
            };
            found[place] = Found { last: Some(value), is_several: found[place].last.is_some() };
        }
        found
    }

    fn member<M: SerializeMap>(
        &self,
        members: &mut M,
        field: &'static Field,
        found: Found<'a>,
    ) -> Result<(), M::Error> {
        let Some(value) = found.last else { return Ok(()) };
        if matches!(field.presence, Presence::Repeated | Presence::Values) {
            let elements = Elements { field, bytes: self.bytes, depth: self.depth };
            return members.serialize_entry(field.name, &elements);
        }
        let value = match value {
            Value::Bytes(_) if found.is_several && matches!(field.kind, Kind::Message(_)) => {
                let pieces: Vec<&[u8]> = pieces(self.bytes, field.number).collect();
                return self.single(members, field, Value::Bytes(&pieces.concat()));
            }
            value => value,
        };
        self.single(members, field, value)
    }

    fn single<M: SerializeMap>(
        &self,
        members: &mut M,
        field: &'static Field,
        value: Value<'_>,
    ) -> Result<(), M::Error> {
        let single = Single { kind: field.kind, value, depth: self.depth };
        if field.presence == Presence::Implicit && single.is_zero() {
            return Ok(());
        }
        members.serialize_entry(field.name, &single)
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        for (field, found) in self.table.fields.iter().zip(self.found()) {
            self.member(&mut members, field, found)?;
        }
        members.end()
    }
}

/// Whether a field of this kind is read from such a value; others are unknown.
fn travels_as(kind: Kind, value: Value<'_>) -> bool {
    match value {
        Value::Bytes(_) => matches!(kind, Kind::Text | Kind::Bytes | Kind::Id | Kind::Message(_)),
        Value::Varint(_) => match kind {
            Kind::Bool | Kind::Enum(_) => true,
            Kind::Integer(integer) | Kind::IntegerOrDouble(integer, _) => {
                matches!(integer, Integer::Uint32 | Integer::Sint32 | Integer::Int64 | Integer::Uint64)
            }
            _ => false,
        },
        Value::Fixed64(_) => {
            matches!(kind, Kind::Double | Kind::Integer(Integer::Fixed64 | Integer::Sfixed64))
        }
        Value::Fixed32(_) => matches!(kind, Kind::Integer(Integer::Fixed32)),
        Value::Group => false,
    }
}

/// Every embedded message, text or bytes of this field.
fn pieces(message: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Fields::new(message).filter_map(move |field| match field {
        (found, Value::Bytes(piece)) if found == number => Some(piece),
        _ => None,
    })
}

/// A repeated field of a message, as an array.
struct Elements<'a> {
    field: &'static Field,
    bytes: &'a [u8],
    depth: usize,
}

impl Serialize for Elements<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let kind = self.field.kind;
        let elements = pieces(self.bytes, self.field.number);
        serializer.collect_seq(elements.map(|piece| Single {
            kind,
            value: Value::Bytes(piece),
            depth: self.depth,
        }))
    }
}

/// One value of a field.
struct Single<'a> {
    kind: Kind,
    value: Value<'a>,
    depth: usize,
}

impl Single<'_> {
    fn is_zero(&self) -> bool {
        match self.value {
            Value::Varint(number) | Value::Fixed64(number) => number == 0,
            Value::Fixed32(number) => number == 0,
            Value::Bytes(bytes) => bytes.is_empty(),
            Value::Group => true,
        }
    }
}

impl Serialize for Single<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.value {
            Value::Bytes(bytes) => match self.kind {
                Kind::Message(table) if std::ptr::eq(table, &tables::ANY_VALUE) => {
                    AnyValue { bytes, depth: self.depth }.serialize(serializer)
                }
                Kind::Message(table) => Object { table, bytes, depth: self.depth }.serialize(serializer),
                Kind::Id => serializer.collect_str(&Hex(bytes)),
                Kind::Bytes => serializer.collect_str(&Base64Display::new(bytes, &STANDARD)),
                _ => serializer.serialize_str(&String::from_utf8_lossy(bytes)),
            },
            Value::Varint(number) => match self.kind {
                Kind::Bool => serializer.serialize_bool(number != 0),
                Kind::Integer(Integer::Uint32) => serializer.serialize_u32(number as u32),
                Kind::Integer(Integer::Uint64) => serializer.collect_str(&number),
                Kind::Integer(Integer::Int64) | Kind::IntegerOrDouble(..) => {
                    serializer.collect_str(&(number as i64))
                }
                // An enum: its number, whether or not it has a name.
                _ => serializer.serialize_i32(number as i32),
            },
            Value::Fixed64(bits) => match self.kind {
                Kind::Double => double(serializer, f64::from_bits(bits)),
                _ => serializer.collect_str(&bits),
            },
            Value::Fixed32(number) => serializer.serialize_u32(number),
            Value::Group => serializer.serialize_unit(),
        }
    }
}

/// JSON has no word for what is not finite; the ones here are protobuf's (ProtoJSON, "double").
fn double<S: Serializer>(serializer: S, number: f64) -> Result<S::Ok, S::Error> {
    match number {
        _ if number.is_nan() => serializer.serialize_str("NaN"),
        f64::INFINITY => serializer.serialize_str("Infinity"),
        f64::NEG_INFINITY => serializer.serialize_str("-Infinity"),
        _ => serializer.serialize_f64(number),
    }
}

/// Bytes as digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A value of an attribute: of its members only the last one is said.
struct AnyValue<'a> {
    bytes: &'a [u8],
    depth: usize,
}

const ARRAY: u32 = 5;
const MAP: u32 = 6;

/// The member that holds.
enum Held<'a> {
    Scalar(&'static Field, Value<'a>),
    /// With all pieces that came one after the other.
    List(&'static Field, Cow<'a, [u8]>),
}

impl<'a> AnyValue<'a> {
    fn held(&self) -> Option<Held<'a>> {
        let mut held = None;
        for (number, value) in Fields::new(self.bytes) {
            let known = tables::ANY_VALUE.fields.iter().find(|field| field.number == number);
            match (known.filter(|field| travels_as(field.kind, value)), value) {
                (Some(list), Value::Bytes(piece)) if matches!(number, ARRAY | MAP) => {
                    if self.depth >= MAX_VALUE_DEPTH {
                        continue;
                    }
                    match &mut held {
                        Some(Held::List(before, pieces)) if before.number == number => {
                            pieces.to_mut().extend_from_slice(piece);
                        }
                        _ => held = Some(Held::List(list, Cow::Borrowed(piece))),
                    }
                }
                (Some(scalar), value) => held = Some(Held::Scalar(scalar, value)),
                // An index into a table of texts that only profiles have.
                (None, Value::Varint(_)) if number == 8 => held = None,
                _ => {}
            }
        }
        held
    }
}

impl Serialize for AnyValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(None)?;
        match self.held() {
            None => {}
            Some(Held::Scalar(field, value)) => {
                members
                    .serialize_entry(field.name, &Single { kind: field.kind, value, depth: self.depth })?;
            }
            Some(Held::List(field, list)) => {
                let of = if field.number == ARRAY { &tables::ARRAY_VALUE } else { &tables::KEY_VALUE_LIST };
                members.serialize_entry(
                    field.name,
                    &List { field: &of.fields[0], bytes: &list, depth: self.depth },
                )?;
            }
        }
        members.end()
    }
}

/// A list of values or of pairs, which has its `values` even when there are none.
struct List<'a> {
    field: &'static Field,
    bytes: &'a [u8],
    depth: usize,
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_map(Some(1))?;
        let values = Elements { field: self.field, bytes: self.bytes, depth: self.depth + 1 };
        members.serialize_entry(self.field.name, &values)?;
        members.end()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::tonic::common::v1::any_value;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::otlp::arbitrary::{Shape, one_of_everything, request, scrambled};
    use crate::otlp::{json, write};

    fn json(request: &[u8]) -> String {
        let resource_spans: Vec<_> = pieces(request, 1).map(ResourceSpans).collect();
        format!(r#"{{"resourceSpans":{}}}"#, serde_json::to_string(&resource_spans).unwrap())
    }

    fn decoded(request: &[u8]) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(request).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn what_is_written_reads_back_as_the_same(
            request in request(),
            dice in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut dice = dice;
            let bytes = scrambled(&request.encode_to_vec(), Shape::Request, &mut dice);
            let json = json(&bytes);
            let back = json::traces(json.as_bytes()).unwrap();
            prop_assert_eq!(decoded(&back), decoded(&bytes), "{}", json);
        }
    }

    /// What [`one_of_everything`] has that JSON does not say, or that `opentelemetry-proto` says in its own way.
    fn is_told_alike(value: &any_value::Value) -> bool {
        !matches!(value, any_value::Value::StringValueStrindex(_) | any_value::Value::BytesValue(_))
    }

    #[test]
    fn others_read_the_same_from_it() {
        let mut request = one_of_everything();
        let span = &mut request.resource_spans[0].scope_spans[0].spans[0];
        span.attributes.retain(|pair| pair.value.as_ref().unwrap().value.as_ref().is_some_and(is_told_alike));
        span.attributes.iter_mut().for_each(|pair| pair.key_strindex = 0);
        let read: ExportTraceServiceRequest = serde_json::from_str(&json(&request.encode_to_vec())).unwrap();
        assert_eq!(read, request);
    }

    #[test]
    fn everything_has_its_name_and_its_form() {
        let expected = serde_json::json!({"resourceSpans": [{
            "resource": {
                "attributes": [{"key": "ab", "value": {"stringValue": "ab"}}],
                "droppedAttributesCount": 1,
                "entityRefs": [{"schemaUrl": "ab", "type": "ab", "idKeys": ["ab"], "descriptionKeys": ["ab"]}],
            },
            "scopeSpans": [{
                "scope": {
                    "name": "ab",
                    "version": "ab",
                    "attributes": [{"key": "ab", "value": {"stringValue": "ab"}}],
                    "droppedAttributesCount": 1,
                },
                "spans": [{
                    "traceId": "01010101010101010101010101010101",
                    "spanId": "0101010101010101",
                    "traceState": "ab",
                    "parentSpanId": "0101010101010101",
                    "name": "ab",
                    "kind": 1,
                    "startTimeUnixNano": "1",
                    "endTimeUnixNano": "2",
                    "attributes": [
                        {"key": "ab", "value": {"stringValue": "ab"}},
                        {"key": "ab", "value": {"boolValue": true}},
                        {"key": "ab", "value": {"intValue": "-1"}},
                        {"key": "ab", "value": {"doubleValue": 1.0}},
                        {"key": "ab", "value": {"bytesValue": "AQ=="}},
                        {"key": "ab", "value": {"arrayValue": {"values": [
                            {"kvlistValue": {"values": [{"key": "ab", "value": {"stringValue": "ab"}}]}},
                        ]}}},
                        {"key": "ab", "value": {}},
                    ],
                    "droppedAttributesCount": 1,
                    "events": [{
                        "timeUnixNano": "1",
                        "name": "ab",
                        "attributes": [{"key": "ab", "value": {"stringValue": "ab"}}],
                        "droppedAttributesCount": 1,
                    }],
                    "droppedEventsCount": 1,
                    "links": [{
                        "traceId": "01010101010101010101010101010101",
                        "spanId": "0101010101010101",
                        "traceState": "ab",
                        "attributes": [{"key": "ab", "value": {"stringValue": "ab"}}],
                        "droppedAttributesCount": 1,
                        "flags": 1,
                    }],
                    "droppedLinksCount": 1,
                    "status": {"message": "ab", "code": 1},
                    "flags": 1,
                }],
                "schemaUrl": "ab",
            }],
            "schemaUrl": "ab",
        }]});
        let said: serde_json::Value =
            serde_json::from_str(&json(&one_of_everything().encode_to_vec())).unwrap();
        assert_eq!(said, expected);
    }

    /// The value of an attribute that is written so.
    fn value(content: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut bytes = Vec::new();
        content(&mut bytes);
        serde_json::to_string(&AnyValue { bytes: &bytes, depth: 0 }).unwrap()
    }

    #[test]
    fn a_value_is_said_even_when_it_is_zero_or_empty() {
        assert_eq!(value(|_| {}), "{}");
        assert_eq!(value(|out| write::string(out, 1, "")), r#"{"stringValue":""}"#);
        assert_eq!(value(|out| write::bytes(out, 1, b"sh\xffp")), "{\"stringValue\":\"sh\u{fffd}p\"}");
        assert_eq!(value(|out| write::uint(out, 2, 0)), r#"{"boolValue":false}"#);
        assert_eq!(value(|out| write::uint(out, 3, 1 << 63)), r#"{"intValue":"-9223372036854775808"}"#);
        assert_eq!(value(|out| write::double(out, 4, 0.0)), r#"{"doubleValue":0.0}"#);
        assert_eq!(value(|out| write::double(out, 4, f64::NAN)), r#"{"doubleValue":"NaN"}"#);
        assert_eq!(value(|out| write::double(out, 4, f64::INFINITY)), r#"{"doubleValue":"Infinity"}"#);
        assert_eq!(value(|out| write::double(out, 4, f64::NEG_INFINITY)), r#"{"doubleValue":"-Infinity"}"#);
        assert_eq!(value(|out| write::bytes(out, 5, b"")), r#"{"arrayValue":{"values":[]}}"#);
        assert_eq!(value(|out| write::bytes(out, 6, b"\x0a\0")), r#"{"kvlistValue":{"values":[{}]}}"#);
        assert_eq!(value(|out| write::bytes(out, 7, b"")), r#"{"bytesValue":""}"#);
        let two_kinds = value(|out| {
            write::string(out, 1, "first");
            write::bytes(out, 5, b"\x0a\0");
            write::bytes(out, 5, b"\x0a\x02\x10\x01");
        });
        assert_eq!(two_kinds, r#"{"arrayValue":{"values":[{},{"boolValue":true}]}}"#);
    }

    #[test]
    fn lists_end_where_values_may_not_nest_deeper() {
        let mut nested = Vec::new();
        for _ in 0..1_000 {
            let inner = std::mem::take(&mut nested);
            write::message(&mut nested, ARRAY, |list| write::bytes(list, 1, &inner));
        }
        let json = serde_json::to_string(&AnyValue { bytes: &nested, depth: 0 }).unwrap();
        assert_eq!(json.matches("arrayValue").count(), MAX_VALUE_DEPTH);
    }

    #[test]
    fn what_is_no_field_of_a_message_is_left_out() {
        let mut message = Vec::new();
        // A schema's address that is a number, a field of our own, and text that breaks off.
        write::uint(&mut message, 3, 7);
        write::uint(&mut message, crate::otlp::ORIGIN_FIELD, 1);
        message.extend([0x1a, 9, b'x']);
        assert_eq!(serde_json::to_string(&ResourceSpans(&message)).unwrap(), "{}");
    }
}
