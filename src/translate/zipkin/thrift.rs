//! Zipkin's thrift: lists of version 1's spans.

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use super::{Endpoint, Error, Read, Sink, v1};
use crate::model::{SpanId, TraceId};
use crate::otlp::MAX_VALUES;
use crate::translate::thrift::{self, Binary, Kind, Read as Reads};

/// `TType.STRUCT`, with which a list of spans begins.
const STRUCT: u8 = 12;

/// `TType.STRING`, with which a reporter began them that was much used (openzipkin/zipkin-reporter-java#133).
const STRING: u8 = 11;

/// The spans of a list without a message around it, as it is sent over HTTP (`TBinaryProtocol`), one after the other, in
/// words of version 2. No bytes are an empty list.
pub(super) fn each(body: &Bytes, sink: Sink<'_>) -> Result<(), Error> {
    let list = match body.first() {
        None => return Ok(()),
        Some(&STRUCT) => body.clone(),
        Some(&STRING) => [&[STRUCT], &body[1..]].concat().into(),
        Some(other) => {
            return Err(Error(format!(
                "a list of elements of type {other}, structs (type {STRUCT}) were expected at byte 0"
            )));
        }
    };
    each_of(&mut Binary::new(&list), sink).map_err(|error| Error(error.to_string()))
}

/// A list of spans where a reader stands.
pub(in crate::translate) fn spans<'a>(reader: &mut impl Reads<'a>) -> thrift::Result<Read> {
    let mut read = Read::default();
    each_of(reader, &mut |span| read.take(span))?;
    Ok(read)
}

fn each_of<'a>(reader: &mut impl Reads<'a>, sink: Sink<'_>) -> thrift::Result<()> {
    let each = reader.structs(|reader| {
        match span(reader)? {
            Ok(span) => span.into_v2().into_iter().for_each(|span| sink(Ok(span))),
            Err(error) => sink(Err(error)),
        }
        Ok(None::<()>)
    });
    each.map(drop)
}

/// A span, or why it is none.
fn span<'a>(reader: &mut impl Reads<'a>) -> thrift::Result<Result<v1::Span, Error>> {
    let (mut trace_id, mut trace_id_high, mut id, mut parent_id) = (0, 0, 0, 0);
    let (mut span, mut values) = (v1::Span::default(), 0);
    reader.fields(|reader, field, kind| {
        match (field, kind) {
            (1, Kind::I64) => trace_id = reader.i64()?,
            (3, Kind::Bytes) => span.name = reader.text()?,
            (4, Kind::I64) => id = reader.i64()?,
            (5, Kind::I64) => parent_id = reader.i64()?,
            (6, Kind::List) => span.annotations = bounded(reader, &mut values, annotation)?,
            (8, Kind::List) => {
                span.binary_annotations = bounded(reader, &mut values, binary_annotation)?;
            }
            (9, Kind::Bool) => span.debug = reader.boolean()?,
            (10, Kind::I64) => span.timestamp = Some(reader.i64()?),
            (11, Kind::I64) => span.duration = Some(reader.i64()?),
            (12, Kind::I64) => trace_id_high = reader.i64()?,
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let whole_id = u128::from(trace_id_high as u64) << 64 | u128::from(trace_id as u64);
    span.trace_id = TraceId(whole_id.to_be_bytes());
    span.id = SpanId(id.to_be_bytes());
    span.parent_id = (parent_id != 0).then(|| SpanId(parent_id.to_be_bytes()));
    if values > MAX_VALUES {
        return Ok(Err(Error(format!("a span with more than {MAX_VALUES} annotations"))));
    }
    if span.trace_id.is_zero() {
        return Ok(Err(Error("a span without a trace id".to_owned())));
    }
    if span.id.is_zero() {
        return Ok(Err(Error("a span without an id".to_owned())));
    }
    Ok(Ok(span))
}

/// A list of structs, as much of it as there may be, without those that say nothing: such a one takes a byte, and would
/// take a hundred when it is read.
fn bounded<'a, R: Reads<'a>, T>(
    reader: &mut R,
    values: &mut usize,
    mut element: impl FnMut(&mut R) -> thrift::Result<Option<T>>,
) -> thrift::Result<Vec<T>> {
    reader.structs(|reader| {
        *values += 1;
        let element = element(reader)?;
        Ok(element.filter(|_| *values <= MAX_VALUES))
    })
}

fn annotation<'a>(reader: &mut impl Reads<'a>) -> thrift::Result<Option<v1::Annotation>> {
    let mut annotation = v1::Annotation::default();
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, Kind::I64) => annotation.timestamp = reader.i64()?,
            (2, Kind::Bytes) => annotation.value = reader.text()?,
            (3, Kind::Struct) => annotation.endpoint = Some(endpoint(reader)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(Some(annotation).filter(|annotation| *annotation != v1::Annotation::default()))
}

fn binary_annotation<'a>(reader: &mut impl Reads<'a>) -> thrift::Result<Option<v1::BinaryAnnotation>> {
    let (mut key, mut bytes, mut value_type, mut host) = (Bytes::new(), Bytes::new(), None, None);
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, Kind::Bytes) => key = reader.text()?,
            (2, Kind::Bytes) => bytes = reader.text()?,
            (3, Kind::I32) => value_type = Some(reader.i32()?),
            (4, Kind::Struct) => host = Some(endpoint(reader)?),
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    let says_something = !key.is_empty() || !bytes.is_empty() || host.is_some();
    Ok(says_something.then(|| v1::BinaryAnnotation { key, value: value(value_type, bytes), endpoint: host }))
}

/// What the bytes are by their type (`AnnotationType`); bytes still if they cannot be that.
fn value(value_type: Option<i32>, bytes: Bytes) -> v1::Value {
    use v1::Value;

    let exactly = || match (value_type?, &bytes[..]) {
        (0, [byte]) => Some(Value::Bool(*byte != 0)),
        (2, two) => Some(Value::Integer(i16::from_be_bytes(two.try_into().ok()?).into())),
        (3, four) => Some(Value::Integer(i32::from_be_bytes(four.try_into().ok()?).into())),
        (4, eight) => Some(Value::Integer(i64::from_be_bytes(eight.try_into().ok()?))),
        (5, eight) => Some(Value::Double(f64::from_be_bytes(eight.try_into().ok()?))),
        (6, _) => Some(Value::Text(bytes.clone())),
        _ => None,
    };
    exactly().unwrap_or(Value::Bytes(bytes))
}

/// Zeros are no address and no port.
fn endpoint<'a>(reader: &mut impl Reads<'a>) -> thrift::Result<Endpoint> {
    let mut endpoint = Endpoint::default();
    reader.fields(|reader, id, kind| {
        match (id, kind) {
            (1, Kind::I32) => {
                let address = Ipv4Addr::from_bits(reader.i32()? as u32);
                endpoint.ipv4 = Some(address).filter(|address| !address.is_unspecified());
            }
            (2, Kind::I16) => endpoint.port = Some(reader.i16()? as u16).filter(|port| *port != 0),
            (3, Kind::Bytes) => endpoint.service_name = reader.text()?,
            (4, Kind::Bytes) => {
                let address = <[u8; 16]>::try_from(reader.bytes()?).ok().map(Ipv6Addr::from);
                endpoint.ipv6 = address.filter(|address| !address.is_unspecified());
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    Ok(endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::translate::thrift::written::Value;
    use crate::translate::thrift::{Compact, Protocol};

    fn read(body: &Bytes) -> Result<Read, Error> {
        Read::of(|sink| each(body, sink))
    }

    fn host(address: i32, port: i16, name: &str) -> Value {
        Value::Struct(vec![(1, Value::I32(address)), (2, Value::I16(port)), (3, Value::text(name))])
    }

    fn whole_span() -> Value {
        let event = vec![(1, Value::I64(11)), (2, Value::text("cs")), (3, host(0x7f00_0001, -1, "cart"))];
        let address =
            [(1, Value::text("sa")), (2, Value::Bytes(vec![1])), (3, Value::I32(0)), (4, host(0, 0, "db"))];
        Value::Struct(vec![
            (1, Value::I64(-1)),
            (3, Value::text("get")),
            (4, Value::I64(2)),
            (5, Value::I64(3)),
            (6, Value::structs([event])),
            (8, Value::structs([address.to_vec()])),
            (9, Value::Bool(true)),
            (10, Value::I64(10)),
            (11, Value::I64(20)),
            (12, Value::I64(1)),
        ])
    }

    fn read_span(value: &Value) -> Result<v1::Span, Error> {
        let [compact, binary] = [Protocol::Compact, Protocol::Binary].map(|protocol| value.bytes(protocol));
        let [compact, binary] = [span(&mut Compact::new(&compact)), span(&mut Binary::new(&binary))];
        assert_eq!(compact, binary);
        compact.unwrap()
    }

    #[test]
    fn every_field_of_a_span_is_read() {
        let cart = Endpoint {
            service_name: "cart".into(),
            ipv4: Some(Ipv4Addr::LOCALHOST),
            ipv6: None,
            port: Some(65_535),
        };
        let db = Endpoint { service_name: "db".into(), ..Endpoint::default() };
        let expected = v1::Span {
            trace_id: TraceId::parse_hex("1ffffffffffffffff").unwrap(),
            id: SpanId([0, 0, 0, 0, 0, 0, 0, 2]),
            parent_id: Some(SpanId([0, 0, 0, 0, 0, 0, 0, 3])),
            name: "get".into(),
            timestamp: Some(10),
            duration: Some(20),
            annotations: vec![v1::Annotation { timestamp: 11, value: "cs".into(), endpoint: Some(cart) }],
            binary_annotations: vec![v1::BinaryAnnotation {
                key: "sa".into(),
                value: v1::Value::Bool(true),
                endpoint: Some(db),
            }],
            debug: true,
        };
        assert_eq!(read_span(&whole_span()), Ok(expected));
    }

    #[test]
    fn values_are_what_their_type_says_if_they_can_be() {
        let cases: [(Option<i32>, &'static [u8], v1::Value); 14] = [
            (Some(0), &[0], v1::Value::Bool(false)),
            (Some(0), &[7], v1::Value::Bool(true)),
            (Some(0), &[], v1::Value::Bytes(Bytes::new())),
            (Some(1), &[1, 0xff], v1::Value::Bytes(Bytes::from_static(&[1, 0xff]))),
            (Some(2), &[0xff, 0xfe], v1::Value::Integer(-2)),
            (Some(3), &[0, 0, 1, 0], v1::Value::Integer(256)),
            (Some(3), &[0, 1, 0], v1::Value::Bytes(Bytes::from_static(&[0, 1, 0]))),
            (Some(4), &[0x80, 0, 0, 0, 0, 0, 0, 0], v1::Value::Integer(i64::MIN)),
            (Some(5), &[0x3f, 0xf8, 0, 0, 0, 0, 0, 0], v1::Value::Double(1.5)),
            (Some(6), b"text", v1::Value::Text("text".into())),
            (Some(6), &[0xff], v1::Value::Text(Bytes::from_static(&[0xff]))),
            (Some(7), b"?", v1::Value::Bytes("?".into())),
            (Some(-1), b"?", v1::Value::Bytes("?".into())),
            (None, b"?", v1::Value::Bytes("?".into())),
        ];
        for (value_type, bytes, expected) in cases {
            assert_eq!(value(value_type, Bytes::from_static(bytes)), expected, "{value_type:?} {bytes:?}");
        }
    }

    #[test]
    fn addresses_of_six_are_sixteen_bytes() {
        let of = |bytes: &[u8]| {
            let value = Value::Struct(vec![(4, Value::Bytes(bytes.to_vec()))]).bytes(Protocol::Compact);
            endpoint(&mut Compact::new(&value)).unwrap().ipv6
        };
        assert_eq!(of(&Ipv6Addr::LOCALHOST.octets()), Some(Ipv6Addr::LOCALHOST));
        assert_eq!((of(&[0; 16]), of(&[1; 4]), of(&[])), (None, None, None));
    }

    #[test]
    fn a_span_without_its_ids_is_left_out_alone() {
        let Value::Struct(fields) = whole_span() else { panic!() };
        let without = |ids: &[i16]| {
            let mut fields = fields.clone();
            fields.retain(|(id, _)| !ids.contains(id));
            fields
        };
        assert_eq!(
            read_span(&Value::Struct(without(&[1, 12]))).unwrap_err().to_string(),
            "a span without a trace id"
        );
        assert_eq!(read_span(&Value::Struct(without(&[4]))).unwrap_err().to_string(), "a span without an id");
        assert!(read_span(&Value::Struct(without(&[1]))).is_ok(), "the high half is an id as well");
        let list = Value::structs([without(&[4]), fields.clone(), without(&[1, 12])]).bytes(Protocol::Binary);
        let read = read(&list).unwrap();
        let whole = read_span(&Value::Struct(fields.clone())).unwrap();
        assert_eq!((read.spans, read.left_out), (whole.into_v2(), 2));
        assert_eq!(read.first, Some(Error("a span without an id".to_owned())));
    }

    #[test]
    fn a_list_by_hand_is_read() {
        let list = b"\x0c\0\0\0\x01\
            \x0a\0\x01\0\0\0\0\0\0\0\x01\
            \x0b\0\x03\0\0\0\x03get\
            \x0a\0\x04\0\0\0\0\0\0\0\x02\
            \x0f\0\x06\x0c\0\0\0\0\x0f\0\x08\x0c\0\0\0\0\0";
        let list = Bytes::from_static(list);
        let read_list = read(&list).unwrap();
        assert_eq!((read_list.left_out, read_list.first), (0, None));
        for end in 1..list.len() {
            assert!(read(&list.slice(..end)).is_err(), "up to {end}");
        }
    }

    #[test]
    fn a_list_that_says_it_is_of_texts_is_read() {
        let list = Value::structs([Vec::new()]).bytes(Protocol::Binary);
        let of_texts = Bytes::from([&[STRING], &list[1..]].concat());
        assert_eq!(read(&of_texts), read(&list));
        assert_eq!(read(&of_texts).unwrap().left_out, 1);
    }

    #[test]
    fn annotations_that_say_nothing_are_none() {
        let span = Value::Struct(vec![
            (4, Value::I64(2)),
            (12, Value::I64(1)),
            (6, Value::structs(vec![Vec::new(); 3])),
            (8, Value::structs([Vec::new(), vec![(3, Value::I32(6))], vec![(1, Value::text("key"))]])),
        ]);
        let span = read_span(&span).unwrap();
        let value = v1::Value::Bytes(Bytes::new());
        let said = v1::BinaryAnnotation { key: "key".into(), value, endpoint: None };
        assert_eq!((span.annotations, span.binary_annotations), (Vec::new(), vec![said]));
    }

    #[test]
    fn a_span_with_too_many_annotations_is_left_out_alone() {
        let Value::Struct(fields) = whole_span() else { panic!() };
        let annotated = |count: usize| {
            let mut fields = fields.clone();
            fields.push((6, Value::structs(vec![Vec::new(); count])));
            fields
        };
        let list = Value::structs([annotated(MAX_VALUES), annotated(1)]).bytes(Protocol::Binary);
        let read = read(&list).unwrap();
        assert_eq!((read.spans.len(), read.left_out), (1, 1));
        assert_eq!(read.first, Some(Error("a span with more than 65536 annotations".to_owned())));
    }

    #[test]
    fn what_is_no_list_of_spans_is_refused_with_what_it_is() {
        let cases: [(&'static [u8], &str); 4] = [
            (b"\x08\0\0\0\x01", "a list of elements of type 8, structs (type 12) were expected at byte 0"),
            (b"[{}]", "a list of elements of type 91, structs (type 12) were expected at byte 0"),
            (b"\x0c\0\x0f\x42\x40\0", "a container of 1000000 elements where 1 bytes are left at byte 0"),
            (b"\x0c\0\0", "the end after 2 of 4 bytes at byte 1"),
        ];
        for (bytes, error) in cases {
            assert_eq!(read(&Bytes::from_static(bytes)), Err(Error(error.to_owned())));
        }
        assert_eq!(read(&Bytes::new()), Ok(Read::default()));
    }
}
