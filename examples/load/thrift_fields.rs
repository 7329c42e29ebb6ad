//! Thrift, written a field at a time.

use thrift::protocol::{TFieldIdentifier, TListIdentifier, TOutputProtocol, TStructIdentifier, TType};

pub(crate) type Out<'a> = &'a mut dyn TOutputProtocol;

pub(crate) fn structure(
    out: Out<'_>,
    fields: impl FnOnce(Out<'_>) -> thrift::Result<()>,
) -> thrift::Result<()> {
    out.write_struct_begin(&TStructIdentifier::new("struct"))?;
    fields(out)?;
    out.write_field_stop()?;
    out.write_struct_end()
}

pub(crate) fn field(
    out: Out<'_>,
    id: i16,
    kind: TType,
    value: impl FnOnce(Out<'_>) -> thrift::Result<()>,
) -> thrift::Result<()> {
    out.write_field_begin(&TFieldIdentifier::new("field", kind, id))?;
    value(out)?;
    out.write_field_end()
}

pub(crate) fn text(out: Out<'_>, id: i16, text: &str) -> thrift::Result<()> {
    field(out, id, TType::String, |out| out.write_string(text))
}

pub(crate) fn integer(out: Out<'_>, id: i16, number: i64) -> thrift::Result<()> {
    field(out, id, TType::I64, |out| out.write_i64(number))
}

/// A field with a list of structs.
pub(crate) fn list<T>(
    out: Out<'_>,
    id: i16,
    elements: &[T],
    element: impl FnMut(Out<'_>, &T) -> thrift::Result<()>,
) -> thrift::Result<()> {
    field(out, id, TType::List, |out| structures(out, elements, element))
}

/// A list of structs.
pub(crate) fn structures<T>(
    out: Out<'_>,
    elements: &[T],
    mut element: impl FnMut(Out<'_>, &T) -> thrift::Result<()>,
) -> thrift::Result<()> {
    out.write_list_begin(&TListIdentifier::new(TType::Struct, elements.len() as i32))?;
    elements.iter().try_for_each(|each| element(out, each))?;
    out.write_list_end()
}

/// A value of a `Tag`, which names its type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Text(&'a str),
    Integer(i64),
}

/// A `Tag` of `jaeger.thrift`.
pub(crate) fn tag(out: Out<'_>, (key, value): (&str, Value<'_>)) -> thrift::Result<()> {
    let tag_type = match value {
        Value::Text(_) => 0,
        Value::Integer(_) => 3,
    };
    structure(out, |out| {
        text(out, 1, key)?;
        field(out, 2, TType::I32, |out| out.write_i32(tag_type))?;
        match value {
            Value::Text(value) => text(out, 3, value),
            Value::Integer(value) => integer(out, 6, value),
        }
    })
}
