//! The values that version 2 asks for, as text.

use std::borrow::Cow;

use crate::otlp::{AnyValue, KeyValue};
use crate::proto::jaeger::storage::v2 as proto;
use crate::proto::jaeger::storage::v2::any_value::Value;

/// A value's text, as that of a stored one is written: [`AnyValue::to_text`].
pub(super) fn text(value: Option<&proto::AnyValue>) -> String {
    read(value).to_text().into_owned()
}

/// The decoder has seen to it that values do not stand in each other too deep.
fn read(value: Option<&proto::AnyValue>) -> AnyValue<'_> {
    match value.and_then(|value| value.value.as_ref()) {
        None => AnyValue::Empty,
        Some(Value::StringValue(text)) => AnyValue::String(Cow::Borrowed(text)),
        Some(Value::BoolValue(bit)) => AnyValue::Bool(*bit),
        Some(Value::IntValue(number)) => AnyValue::Int(*number),
        Some(Value::DoubleValue(number)) => AnyValue::Double(*number),
        Some(Value::BytesValue(bytes)) => AnyValue::Bytes(bytes),
        Some(Value::ArrayValue(list)) => {
            AnyValue::Array(list.values.iter().map(|value| read(Some(value))).collect())
        }
        Some(Value::KvlistValue(list)) => AnyValue::Map(list.values.iter().map(pair).collect()),
    }
}

fn pair(pair: &proto::KeyValue) -> KeyValue<'_> {
    KeyValue { key: Cow::Borrowed(pair.key.as_str()), value: read(pair.value.as_ref()) }
}
