//! What Jaeger's door shows of a span is what a search by tags finds it by.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use crate::otlp::{self, AnyValue};
use crate::query::Conditions;
use crate::translate::jaeger_json::{self, Tag, Value, View};

/// A tag as a person types it into the search, and as Jaeger 1 writes it.
fn typed(tag: &Tag<'_>) -> Vec<(String, String)> {
    let value = match &tag.value {
        Value::String(text) => AnyValue::String(text.as_ref().into()),
        Value::Bool(bit) => AnyValue::Bool(*bit),
        Value::Int64(number) => AnyValue::Int(*number),
        Value::Float64(number) => AnyValue::Double(*number),
        Value::Binary(bytes) => AnyValue::Bytes(bytes),
    };
    let (text, other) = value.texts();
    let texts = std::iter::once(text.into_owned()).chain(other);
    texts.map(|text| (tag.key.to_string(), text)).collect()
}

proptest! {
    #[test]
    fn every_tag_that_is_shown_finds_its_span(request in otlp::arbitrary::request()) {
        let request = Bytes::from(request.encode_to_vec());
        for span in otlp::spans(&request, &otlp::Limits::default()).unwrap() {
            let shown = jaeger_json::trace(std::slice::from_ref(&span), View::Raw);
            let of_logs = shown.spans[0].logs.iter().flat_map(|log| &log.fields);
            for tag in shown.spans[0].tags.iter().chain(of_logs).chain(&shown.processes[0].tags) {
                for pair in typed(tag) {
                    let conditions = Conditions { attributes: vec![pair], ..Conditions::default() };
                    prop_assert!(conditions.match_span(&span), "{tag:?}");
                }
            }
        }
    }
}
