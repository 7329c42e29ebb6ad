//! What Jaeger's door shows of a span is what a search by tags finds it by.

use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;

use crate::otlp::{self, AnyValue};
use crate::query::Conditions;
use crate::translate::jaeger_json::{self, Tag, Value, View};

/// A tag as a person types it into the search.
fn typed(tag: &Tag<'_>) -> (String, String) {
    let value = match &tag.value {
        Value::String(text) => text.to_string(),
        Value::Bool(bit) => bit.to_string(),
        Value::Int64(number) => number.to_string(),
        Value::Float64(number) => AnyValue::Double(*number).to_text().into_owned(),
        Value::Binary(bytes) => AnyValue::Bytes(bytes).to_text().into_owned(),
    };
    (tag.key.to_string(), value)
}

proptest! {
    #[test]
    fn every_tag_that_is_shown_finds_its_span(request in otlp::arbitrary::request()) {
        let request = Bytes::from(request.encode_to_vec());
        for span in otlp::spans(&request, &otlp::Limits::default()).unwrap() {
            let shown = jaeger_json::trace(std::slice::from_ref(&span), View::Raw);
            let of_logs = shown.spans[0].logs.iter().flat_map(|log| &log.fields);
            for tag in shown.spans[0].tags.iter().chain(of_logs).chain(&shown.processes[0].tags) {
                let conditions = Conditions { attributes: vec![typed(tag)], ..Conditions::default() };
                prop_assert!(conditions.match_span(&span), "{tag:?}");
            }
        }
    }
}
