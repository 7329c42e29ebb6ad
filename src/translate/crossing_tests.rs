//! Crossings between Jaeger's words and OTLP's, against the rules written a second time: slowly, over owned messages.

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use prost_types::{Duration, Timestamp};

use super::jaeger::tests::{any_span, records};
use super::{jaeger, otlp};
use crate::otlp as wire;
use crate::otlp::Limits;
use crate::otlp::arbitrary::request;
use crate::proto::jaeger::api_v2;

type Tag = api_v2::KeyValue;

fn string(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn readable(text: &mut Bytes) {
    *text = String::from_utf8_lossy(text).into_owned().into();
}

/// The span with text that prost can read.
fn legible(mut span: api_v2::Span) -> api_v2::Span {
    readable(&mut span.operation_name);
    readable(&mut span.process_id);
    span.warnings.iter_mut().for_each(readable);
    let mut process = span.process.unwrap_or_default();
    readable(&mut process.service_name);
    let fields = span.logs.iter_mut().flat_map(|log| &mut log.fields);
    for tag in span.tags.iter_mut().chain(&mut process.tags).chain(fields) {
        readable(&mut tag.key);
        readable(&mut tag.v_str);
    }
    span.process = Some(process);
    span
}

/// Jaeger to OTLP: the tags that are left, and what the others say.
struct Remaining {
    tags: Vec<Tag>,
}

impl Remaining {
    fn words(&self, keys: &[&str]) -> Vec<String> {
        let of = |key: &&str| {
            let tags = self.tags.iter().filter(move |tag| tag.key == key.as_bytes() && tag.v_type == 0);
            tags.map(|tag| string(&tag.v_str)).filter(|text| !text.is_empty()).collect::<Vec<_>>()
        };
        keys.iter().flat_map(of).collect()
    }

    fn drop_word(&mut self, keys: &[&str], is_said: impl Fn(&str) -> bool) {
        self.tags.retain(|tag| {
            let word = String::from_utf8_lossy(&tag.v_str);
            let is_key = keys.iter().any(|key| tag.key == key.as_bytes());
            !(is_key && tag.v_type == 0 && !word.is_empty() && is_said(&word))
        });
    }

    fn take(&mut self, keys: &[&str]) -> String {
        let word = self.words(keys).into_iter().next().unwrap_or_default();
        self.drop_word(keys, |other| other == word);
        word
    }

    fn kind(&mut self) -> i32 {
        let kinds = ["", "internal", "server", "client", "producer", "consumer"];
        let number = |word: &str| kinds.iter().skip(1).position(|kind| *kind == word);
        let Some(kind) = self.words(&["span.kind"]).iter().find_map(|word| number(word)) else { return 0 };
        self.drop_word(&["span.kind"], |word| number(word) == Some(kind));
        kind as i32 + 1
    }

    fn status(&mut self, kind: i32) -> Option<Status> {
        let codes = ["UNSET", "OK", "ERROR"];
        let number = |word: &str| codes.iter().position(|code| *code == word.to_uppercase());
        let is_error = |tag: &Tag| tag.key == b"error"[..] && tag.v_type == 1 && tag.v_bool;
        let code = if self.tags.iter().any(is_error) {
            2
        } else if let Some(code) = self.words(&["otel.status_code"]).iter().find_map(|word| number(word)) {
            code as i32
        } else {
            self.http_status(kind)
        };
        self.tags.retain(|tag| code != 2 || !is_error(tag));
        self.drop_word(&["otel.status_code"], |word| number(word) == Some(code as usize));
        let mut message = self.take(&["otel.status_description"]);
        if message.is_empty() && code == 2 {
            message = self.words(&["http.status_message"]).into_iter().next().unwrap_or_default();
        }
        (code != 0 || !message.is_empty()).then_some(Status { code, message })
    }

    fn http_status(&self, kind: i32) -> i32 {
        let keys = ["http.status_code", "http.response.status_code"];
        let tags = self.tags.iter().filter(|tag| keys.iter().any(|key| tag.key == key.as_bytes()));
        let number = |tag: &Tag| match tag.v_type {
            0 => std::str::from_utf8(&tag.v_str).unwrap().parse::<i64>().ok(),
            2 => Some(tag.v_int64),
            _ => None,
        };
        let code = tags.filter_map(number).next().unwrap_or_default();
        let is_failure = (500..600).contains(&code) || ((400..500).contains(&code) && kind == 3);
        if is_failure { 2 } else { 0 }
    }
}

fn attribute(tag: &Tag) -> KeyValue {
    let value = match tag.v_type {
        0 => Any::StringValue(string(&tag.v_str)),
        1 => Any::BoolValue(tag.v_bool),
        2 => Any::IntValue(tag.v_int64),
        3 => Any::DoubleValue(f64::from_bits(tag.v_float64)),
        4 => Any::BytesValue(tag.v_binary.to_vec()),
        _ => unreachable!("no such type is made here"),
    };
    pair(&string(&tag.key), value)
}

fn pair(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.into(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

fn nanos(time: &Timestamp) -> u64 {
    let nanos = i128::from(time.seconds) * 1_000_000_000 + i128::from(time.nanos);
    u64::try_from(nanos.max(0)).unwrap_or(u64::MAX)
}

/// The rules of Jaeger to OTLP.
fn as_otlp(span: &api_v2::Span) -> ResourceSpans {
    let process = span.process.as_ref().unwrap();
    let mut attributes = vec![pair("service.name", Any::StringValue(string(&process.service_name)))];
    attributes.extend(process.tags.iter().map(attribute));
    let mut rest = Remaining { tags: span.tags.clone() };
    let kind = rest.kind();
    let status = rest.status(kind);
    let trace_state = rest.take(&["w3c.tracestate"]);
    let names = ["otel.scope.name", "otel.library.name"];
    let name = rest.words(&names).into_iter().next().unwrap_or_default();
    rest.drop_word(&names, |other| other == name);
    let has_scope = !name.is_empty();
    let versions = ["otel.scope.version", "otel.library.version"];
    let version = if has_scope { rest.take(&versions) } else { String::new() };
    let mut attributes_left: Vec<_> = rest.tags.iter().map(attribute).collect();
    if !span.warnings.is_empty() {
        let text = |text: &Bytes| AnyValue { value: Some(Any::StringValue(string(text))) };
        let values = span.warnings.iter().map(text).collect();
        attributes_left.push(pair("@jaeger@warnings", Any::ArrayValue(ArrayValue { values })));
    }
    let start = nanos(span.start_time.as_ref().unwrap());
    let duration = span.duration.as_ref().unwrap();
    let length = (i128::from(duration.seconds) * 1_000_000_000 + i128::from(duration.nanos)).max(0);
    let (parent, links) = relatives(span);
    let message = Span {
        trace_id: span.trace_id.to_vec(),
        span_id: span.span_id.to_vec(),
        parent_span_id: parent,
        name: string(&span.operation_name),
        kind,
        trace_state,
        start_time_unix_nano: start,
        end_time_unix_nano: u64::try_from(i128::from(start) + length).unwrap_or(u64::MAX),
        attributes: attributes_left,
        events: span.logs.iter().map(event).collect(),
        links,
        status,
        flags: span.flags % 2,
        ..Span::default()
    };
    let scope = has_scope.then(|| InstrumentationScope { name, version, ..InstrumentationScope::default() });
    ResourceSpans {
        resource: Some(Resource { attributes, ..Resource::default() }),
        scope_spans: vec![ScopeSpans { scope, spans: vec![message], schema_url: String::new() }],
        schema_url: String::new(),
    }
}

fn event(log: &api_v2::Log) -> Event {
    let mut fields = log.fields.clone();
    let is_name = |field: &Tag| field.key == b"event"[..] && field.v_type == 0 && !field.v_str.is_empty();
    let name = fields.iter().position(is_name).map(|place| string(&fields.remove(place).v_str));
    Event {
        time_unix_nano: nanos(log.timestamp.as_ref().unwrap()),
        name: name.unwrap_or_default(),
        attributes: fields.iter().map(attribute).collect(),
        dropped_attributes_count: 0,
    }
}

fn relatives(span: &api_v2::Span) -> (Vec<u8>, Vec<Link>) {
    let mut references = span.references.clone();
    let of_type = |ref_type: i32| {
        let is_it = |reference: &api_v2::SpanRef| {
            reference.ref_type == ref_type && reference.trace_id == span.trace_id
        };
        span.references.iter().position(is_it)
    };
    let (mut parent, place) = match (of_type(0), of_type(1)) {
        (Some(child_of), _) => (references.remove(child_of).span_id.to_vec(), true),
        (None, Some(follows)) => (references[follows].span_id.to_vec(), true),
        (None, None) => (Vec::new(), false),
    };
    if place && parent == [0; 8] {
        parent.clear();
    }
    let link = |reference: &api_v2::SpanRef| Link {
        trace_id: reference.trace_id.to_vec(),
        span_id: reference.span_id.to_vec(),
        attributes: vec![pair(
            "opentracing.ref_type",
            match reference.ref_type {
                0 => Any::StringValue("child_of".into()),
                1 => Any::StringValue("follows_from".into()),
                other => Any::IntValue(other.into()),
            },
        )],
        ..Link::default()
    };
    (parent, references.iter().map(link).collect())
}

/// The rules of OTLP to Jaeger, without the order of tags.
fn as_jaeger(resource: &Resource, scope: &InstrumentationScope, span: &Span) -> api_v2::Span {
    let mut tags: Vec<_> = span.attributes.iter().map(tag).collect();
    let mut said = |key: &str, word: &str| {
        if !word.is_empty() {
            tags.push(text(key, word));
        }
    };
    said("otel.scope.name", &scope.name);
    said("otel.scope.version", &scope.version);
    let kinds = ["", "internal", "server", "client", "producer", "consumer"];
    said("span.kind", kinds.get(span.kind as usize).unwrap_or(&""));
    let status = span.status.clone().unwrap_or_default();
    said("otel.status_code", ["", "OK", "ERROR"].get(status.code as usize).unwrap_or(&""));
    said("otel.status_description", &status.message);
    said("w3c.tracestate", &span.trace_state);
    if status.code == 2 {
        tags.push(Tag { key: "error".into(), v_type: 1, v_bool: true, ..Tag::default() });
    }
    let mut references = Vec::new();
    let refers = |trace_id: &[u8], span_id: &[u8], ref_type| api_v2::SpanRef {
        trace_id: Bytes::copy_from_slice(trace_id),
        span_id: Bytes::copy_from_slice(span_id),
        ref_type,
    };
    if span.parent_span_id.iter().any(|byte| *byte != 0) {
        references.push(refers(&span.trace_id, &span.parent_span_id, 0));
    }
    references.extend(span.links.iter().map(|link| refers(&link.trace_id, &link.span_id, 1)));
    let (start, end) = (span.start_time_unix_nano, span.end_time_unix_nano);
    let length = end.saturating_sub(start).min(i64::MAX as u64) as i64;
    let early = "the span ends before it starts; its duration is shown as 0";
    api_v2::Span {
        trace_id: span.trace_id.clone().into(),
        span_id: span.span_id.clone().into(),
        operation_name: span.name.clone().into(),
        references,
        flags: span.flags % 2,
        start_time: Some(time(start)),
        duration: Some(Duration { seconds: length / 1_000_000_000, nanos: (length % 1_000_000_000) as i32 }),
        tags,
        logs: span.events.iter().map(log).collect(),
        process: Some(process(resource)),
        process_id: Bytes::new(),
        warnings: (end < start).then(|| early.into()).into_iter().collect(),
    }
}

fn process(resource: &Resource) -> api_v2::Process {
    let name = resource.attributes.iter().find(|pair| pair.key == "service.name");
    let service_name = match name.map(|pair| pair.value.clone().and_then(|value| value.value)) {
        None if resource.attributes.is_empty() => "OTLPResourceNoServiceName".into(),
        None => "missing-service-name".into(),
        Some(Some(Any::StringValue(name))) if name.is_empty() => "empty-service-name".into(),
        Some(Some(Any::StringValue(name))) => name,
        Some(_) => "service-name-wrong-type".into(),
    };
    let tags = resource.attributes.iter().filter(|pair| pair.key != "service.name").map(tag).collect();
    api_v2::Process { service_name: service_name.into(), tags }
}

fn log(event: &Event) -> api_v2::Log {
    let has_name = event.attributes.iter().any(|pair| pair.key == "event") || event.name.is_empty();
    let name = (!has_name).then(|| text("event", &event.name));
    let fields = name.into_iter().chain(event.attributes.iter().map(tag)).collect();
    api_v2::Log { timestamp: Some(time(event.time_unix_nano)), fields }
}

fn time(nanos: u64) -> Timestamp {
    Timestamp { seconds: (nanos / 1_000_000_000) as i64, nanos: (nanos % 1_000_000_000) as i32 }
}

fn text(key: &str, word: &str) -> Tag {
    let [key, v_str] = [key, word].map(|text| Bytes::copy_from_slice(text.as_bytes()));
    Tag { key, v_str, ..Tag::default() }
}

fn tag(pair: &KeyValue) -> Tag {
    let key = Bytes::copy_from_slice(pair.key.as_bytes());
    let value = match pair.value.clone().and_then(|value| value.value) {
        None => Tag::default(),
        Some(Any::StringValue(text)) => Tag { v_str: text.into(), ..Tag::default() },
        Some(Any::BoolValue(v_bool)) => Tag { v_type: 1, v_bool, ..Tag::default() },
        Some(Any::IntValue(v_int64)) => Tag { v_type: 2, v_int64, ..Tag::default() },
        Some(Any::DoubleValue(value)) => Tag { v_type: 3, v_float64: value.to_bits(), ..Tag::default() },
        Some(Any::BytesValue(bytes)) => Tag { v_type: 4, v_binary: bytes.into(), ..Tag::default() },
        Some(list) => {
            let bytes = AnyValue { value: Some(list) }.encode_to_vec();
            let json = wire::AnyValue::read(&bytes).to_text().into_owned();
            Tag { v_str: json.into(), ..Tag::default() }
        }
    };
    Tag { key, ..value }
}

/// Tags may stand in any order.
fn in_order(mut span: api_v2::Span) -> api_v2::Span {
    span.tags.sort_by_key(prost::Message::encode_to_vec);
    span
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn jaegers_words_cross_to_otlp_by_the_rules(sent in any_span()) {
        let sent = legible(sent);
        let records = records(std::slice::from_ref(&sent));
        let messages: Vec<_> = otlp::messages(&records, 10, 1 << 20).collect();
        prop_assert_eq!(messages.len(), 1);
        prop_assert_eq!(messages[0].resource_spans.len(), 1);
        let said = ResourceSpans::decode(messages[0].resource_spans[0].clone()).unwrap();
        prop_assert_eq!(said.encode_to_vec(), as_otlp(&sent).encode_to_vec(), "{:#?} {:#?}", said, as_otlp(&sent));
    }

    #[test]
    fn otlp_crosses_to_jaegers_words_by_the_rules(sent in vec(request(), 1..3)) {
        for sent in &sent {
            let bytes = Bytes::from(sent.encode_to_vec());
            let mut records = wire::spans(&bytes, &Limits::default()).unwrap().into_iter();
            for resource_spans in &sent.resource_spans {
                let resource = resource_spans.resource.clone().unwrap_or_default();
                for scope_spans in &resource_spans.scope_spans {
                    let scope = scope_spans.scope.clone().unwrap_or_default();
                    for span in &scope_spans.spans {
                        let said = in_order(jaeger::span(&records.next().unwrap()));
                        let by_rules = in_order(as_jaeger(&resource, &scope, span));
                        prop_assert_eq!(said.encode_to_vec(), by_rules.encode_to_vec(), "{:#?} {:#?}", said, by_rules);
                    }
                }
            }
        }
    }
}
