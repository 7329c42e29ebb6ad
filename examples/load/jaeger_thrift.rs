//! Jaeger's words in thrift.

use thrift::protocol::{TMessageIdentifier, TMessageType, TType};

use super::batch::{SERVICE, Span};
use super::thrift_fields::{Out, Value, field, integer, list, structure, tag, text};

/// `Agent.emitBatch`.
pub(crate) fn emit_batch(out: Out<'_>, spans: &[Span]) -> thrift::Result<()> {
    call(out, "emitBatch", TType::Struct, |out| batch(out, spans))
}

/// `Batch`.
pub(crate) fn batch(out: Out<'_>, spans: &[Span]) -> thrift::Result<()> {
    structure(out, |out| {
        field(out, 1, TType::Struct, |out| {
            structure(out, |out| {
                text(out, 1, SERVICE[0].1)?;
                list(out, 2, &SERVICE[1..], |out, (key, value)| tag(out, (key, Value::Text(value))))
            })
        })?;
        list(out, 2, spans, span)
    })
}

fn span(out: Out<'_>, span: &Span) -> thrift::Result<()> {
    let texts = span.texts().map(|(key, value)| (key, Value::Text(value)));
    let numbers = span.numbers().map(|(key, value)| (key, Value::Integer(value)));
    let kind = ("span.kind", Value::Text("server"));
    let tags: Vec<_> = [kind].into_iter().chain(texts).chain(numbers).collect();
    structure(out, |out| {
        integer(out, 1, span.trace_id as i64)?;
        integer(out, 2, (span.trace_id >> 64) as i64)?;
        integer(out, 3, span.id as i64)?;
        integer(out, 4, span.parent_id as i64)?;
        text(out, 5, &span.name)?;
        field(out, 7, TType::I32, |out| out.write_i32(1))?;
        integer(out, 8, (span.start / 1_000) as i64)?;
        integer(out, 9, (span.duration / 1_000) as i64)?;
        list(out, 10, &tags, |out, each| tag(out, *each))
    })
}

/// A call of an agent's method, which has one argument and waits for no answer.
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
