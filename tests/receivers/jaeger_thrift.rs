//! Batches as Jaeger's clients write them, written by thrift's own crate.

use thrift::protocol::{
    TBinaryOutputProtocol, TCompactOutputProtocol, TFieldIdentifier, TListIdentifier, TMessageIdentifier,
    TMessageType, TOutputProtocol, TStructIdentifier, TType,
};

/// A value; lists are of structs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Bool(bool),
    I16(i16),
    I32(i32),
    I64(i64),
    Double(f64),
    Bytes(Vec<u8>),
    Struct(Fields),
    List(Vec<Fields>),
}

pub(crate) type Fields = Vec<(i16, Value)>;

/// How a message is written: binary ones with the version word or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Compact,
    Strict,
    Lax,
}

pub(crate) fn text(text: impl AsRef<[u8]>) -> Value {
    Value::Bytes(text.as_ref().to_vec())
}

/// A message with one argument.
pub(crate) fn message(form: Form, method: &str, message_type: TMessageType, argument: Value) -> Vec<u8> {
    let identifier = TMessageIdentifier::new(method, message_type, 7);
    written(form, |out| {
        out.write_message_begin(&identifier).unwrap();
        write(out, &Value::Struct(vec![(1, argument)]));
        out.write_message_end().unwrap();
    })
}

/// A batch in a message of the agent's.
pub(crate) fn emitted(form: Form, batch: Fields) -> Vec<u8> {
    message(form, "emitBatch", TMessageType::OneWay, Value::Struct(batch))
}

/// A struct alone, in the binary protocol.
pub(crate) fn alone(fields: Fields) -> Vec<u8> {
    written(Form::Strict, |out| write(out, &Value::Struct(fields)))
}

fn written(form: Form, write: impl FnOnce(&mut dyn TOutputProtocol)) -> Vec<u8> {
    let mut bytes = Vec::new();
    match form {
        Form::Compact => write(&mut TCompactOutputProtocol::new(&mut bytes)),
        Form::Strict => write(&mut TBinaryOutputProtocol::new(&mut bytes, true)),
        Form::Lax => write(&mut TBinaryOutputProtocol::new(&mut bytes, false)),
    }
    bytes
}

fn write(out: &mut dyn TOutputProtocol, value: &Value) {
    match value {
        Value::Bool(value) => out.write_bool(*value),
        Value::I16(value) => out.write_i16(*value),
        Value::I32(value) => out.write_i32(*value),
        Value::I64(value) => out.write_i64(*value),
        Value::Double(value) => out.write_double(*value),
        Value::Bytes(value) => out.write_bytes(value),
        Value::Struct(fields) => {
            out.write_struct_begin(&TStructIdentifier::new("struct")).unwrap();
            for (id, value) in fields {
                out.write_field_begin(&TFieldIdentifier::new("field", wire(value), *id)).unwrap();
                write(out, value);
                out.write_field_end().unwrap();
            }
            out.write_field_stop().unwrap();
            out.write_struct_end()
        }
        Value::List(structs) => {
            let length = structs.len() as i32;
            out.write_list_begin(&TListIdentifier::new(TType::Struct, length)).unwrap();
            structs.iter().for_each(|fields| write(out, &Value::Struct(fields.clone())));
            out.write_list_end()
        }
    }
    .unwrap();
}

fn wire(value: &Value) -> TType {
    match value {
        Value::Bool(_) => TType::Bool,
        Value::I16(_) => TType::I16,
        Value::I32(_) => TType::I32,
        Value::I64(_) => TType::I64,
        Value::Double(_) => TType::Double,
        Value::Bytes(_) => TType::String,
        Value::Struct(_) => TType::Struct,
        Value::List(_) => TType::List,
    }
}

/// A tag of `jaeger.thrift`; the type goes by the value, and text is text.
pub(crate) fn tag(key: &str, value: Value) -> Fields {
    let (tag_type, id) = match value {
        Value::Bytes(_) => (0, 3),
        Value::Double(_) => (1, 4),
        Value::Bool(_) => (2, 5),
        Value::I64(_) => (3, 6),
        _ => panic!("no tag is {value:?}"),
    };
    vec![(1, text(key)), (2, Value::I32(tag_type)), (id, value)]
}

/// A tag of bytes that are no text.
pub(crate) fn binary_tag(key: &str, bytes: &[u8]) -> Fields {
    vec![(1, text(key)), (2, Value::I32(4)), (7, text(bytes))]
}

pub(crate) fn log(micros: i64, fields: Vec<Fields>) -> Fields {
    vec![(1, Value::I64(micros)), (2, Value::List(fields))]
}

/// When all spans begin, in µs since 1970.
pub(crate) const START: i64 = 1_790_000_000_000_000;

/// The high half of all trace ids.
const HIGH: i64 = 0x5eed;

/// A span of a trace, beginning `id` µs after the others.
pub(crate) fn span(trace: i64, id: i64) -> Fields {
    let fields = [
        (1, Value::I64(trace)),
        (2, Value::I64(HIGH)),
        (3, Value::I64(id)),
        (4, Value::I64(0)),
        (5, text(format!("operation {id}"))),
        (7, Value::I32(1)),
        (8, Value::I64(START + id)),
        (9, Value::I64(1_000)),
    ];
    fields.into()
}

/// The id of a trace as it is asked for.
pub(crate) fn trace_id(trace: i64) -> String {
    format!("{HIGH:016x}{trace:016x}")
}

/// The same with another field, or one of another value.
pub(crate) fn with(mut fields: Fields, id: i16, value: Value) -> Fields {
    fields.retain(|field| field.0 != id);
    fields.push((id, value));
    fields.sort_by_key(|field| field.0);
    fields
}

pub(crate) fn process(service: &str, tags: Vec<Fields>) -> Value {
    Value::Struct(vec![(1, text(service)), (2, Value::List(tags))])
}

/// A batch of a service.
pub(crate) fn batch(service: &str, spans: Vec<Fields>) -> Fields {
    vec![(1, process(service, vec![])), (2, Value::List(spans))]
}

/// A span of Zipkin's first version that a server recorded.
pub(crate) fn zipkin_span(service: &str, trace: i64, id: i64) -> Fields {
    let host = Value::Struct(vec![(1, Value::I32(0x7f00_0001)), (2, Value::I16(80)), (3, text(service))]);
    let annotation = |micros, what| vec![(1, Value::I64(micros)), (2, text(what)), (3, host.clone())];
    vec![
        (1, Value::I64(trace)),
        (3, text(format!("operation {id}"))),
        (4, Value::I64(id)),
        (6, Value::List(vec![annotation(START + id, "sr"), annotation(START + id + 1_000, "ss")])),
        (8, Value::List(vec![])),
        (12, Value::I64(HIGH)),
    ]
}
