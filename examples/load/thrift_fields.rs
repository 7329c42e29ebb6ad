//! Thrift, written a field at a time.

use thrift::protocol::{
    TFieldIdentifier, TListIdentifier, TMessageIdentifier, TMessageType, TOutputProtocol, TStructIdentifier,
    TType,
};

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

/// A call of a method with one argument, which waits for no answer.
pub(crate) fn call(
    out: Out<'_>,
    method: &str,
    kind: TType,
    argument: impl FnOnce(Out<'_>) -> thrift::Result<()>,
) -> thrift::Result<()> {
    out.write_message_begin(&TMessageIdentifier::new(method, TMessageType::OneWay, 1))?;
    structure(out, |out| field(out, 1, kind, argument))?;
    out.write_message_end()
}
