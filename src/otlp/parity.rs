//! The scan beside a generated decoder: same bytes, same answer.

use std::borrow::Cow;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1 as common;
use opentelemetry_proto::tonic::trace::v1 as trace;
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message as _;

use super::arbitrary::{Shape, any_fields, one_of_everything, request, scrambled};
use super::damage::DamageKind;
use super::view::{AnyValue, KeyValue, ResourceView, ScopeView, SpanView, service_name};
use super::walk::{Envelope, Found, Visitor, walk};
use super::{Limits, accepted_spans, json, scan, spans, without_rejected};
use crate::model::{self, Origin};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_sound_request_is_read_as_prost_reads_it(
        request in request(),
        dice in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut dice = dice;
        let bytes = Bytes::from(scrambled(&request.encode_to_vec(), Shape::Request, &mut dice));
        let expected = ExportTraceServiceRequest::decode(bytes.clone()).unwrap();
        let scanned = scan(&bytes, &Limits::default()).unwrap();
        let records = spans(&bytes, &Limits::default()).unwrap();
        prop_assert_eq!((scanned.rejected, scanned.repaired), (0, 0), "{:?}", scanned.first_rejection);
        prop_assert_eq!(scanned.accepted as usize, records.len());
        prop_assert_eq!(as_decoded(&records), flattened(expected));
        prop_assert_eq!(without_rejected(&bytes, &Limits::default()).unwrap(), bytes);
    }

    #[test]
    fn damaged_bytes_are_refused_exactly_when_prost_refuses_them(
        request in request(),
        damages in proptest::collection::vec((any::<Index>(), any::<Index>(), any::<u8>(), 0..5u8), 1..4),
    ) {
        let mut bytes = request.encode_to_vec();
        for damage in damages {
            damage_bytes(&mut bytes, damage);
        }
        assert_judged_alike(&bytes);
        // Whatever the bytes are, what is kept of them is sound.
        if let Ok(kept) = without_rejected(&bytes, &Limits::default()) {
            // What was accepted reads the same without being checked again.
            let request = Bytes::from(kept.clone());
            prop_assert_eq!(accepted_spans(&request).unwrap(), spans(&request, &Limits::default()).unwrap());

            let scanned = scan(&bytes, &Limits::default()).unwrap();
            let kept = scan(&kept, &Limits::default()).unwrap();
            prop_assert_eq!((kept.accepted, kept.rejected), (scanned.accepted, 0));
        }
    }

    #[test]
    fn json_of_a_request_becomes_that_request(request in request()) {
        let text = serde_json::to_string(&request).unwrap();
        let bytes = json::traces(text.as_bytes()).unwrap();
        prop_assert_eq!(ExportTraceServiceRequest::decode(&bytes[..]).unwrap(), request, "{}", text);
    }

    #[test]
    fn damaged_json_is_refused_or_becomes_protobuf(
        request in request(),
        damages in proptest::collection::vec((any::<Index>(), any::<Index>(), any::<u8>(), 0..5u8), 1..4),
    ) {
        let mut text = serde_json::to_vec(&request).unwrap();
        for damage in damages {
            damage_bytes(&mut text, damage);
        }
        if let Ok(bytes) = json::traces(&text) {
            prop_assert!(scan(&bytes, &Limits::default()).is_ok());
        }
    }

    #[test]
    fn fields_of_any_kind_in_any_message_are_judged_as_prost_judges_them(bytes in any_fields()) {
        assert_judged_alike(&bytes);
    }
}

#[test]
fn every_wrong_byte_in_every_place_is_judged_as_prost_judges_it() {
    let request = one_of_everything().encode_to_vec();
    assert_judged_alike(&request);
    for place in 0..request.len() {
        assert_judged_alike(&request[..place]);
        let mut damaged = request.clone();
        for byte in 0..=255 {
            damaged[place] = byte;
            assert_judged_alike(&damaged);
        }
    }
}

/// Unless a limit is reached or an id is wrong, about which prost has no rule: prost decodes the bytes exactly
/// when the scan finds no damage and no text that is not UTF-8.
#[track_caller]
fn assert_judged_alike(bytes: &[u8]) {
    let mut verdict = Verdict::default();
    let walked = walk(bytes, &Limits::default(), &mut verdict);
    if let Err(error) = &walked {
        verdict.note(error.kind());
    }
    if !verdict.own_rule {
        let decoded = ExportTraceServiceRequest::decode(bytes);
        let refused = verdict.damaged || verdict.broken_text;
        assert_eq!(refused, decoded.is_err(), "{walked:?} {decoded:?} {bytes:02x?}");
    }
}

/// Flips, cuts, inserts, copies or overwrites.
fn damage_bytes(bytes: &mut Vec<u8>, (at, other, byte, how): (Index, Index, u8, u8)) {
    if bytes.is_empty() {
        return;
    }
    let (at, other) = (at.index(bytes.len()), other.index(bytes.len()));
    match how {
        0 => bytes[at] ^= 1 << (byte % 8),
        1 => bytes.truncate(at),
        2 => bytes.insert(at, byte),
        3 => {
            let splice = bytes[at.min(other)..at.max(other)].to_vec();
            bytes.splice(other..other, splice);
        }
        _ => bytes[at] = byte,
    }
}

/// What a walk came upon.
#[derive(Debug, Default)]
struct Verdict {
    damaged: bool,
    broken_text: bool,
    /// Something that prost has no rule about.
    own_rule: bool,
}

impl Verdict {
    fn note(&mut self, kind: DamageKind) {
        match kind {
            DamageKind::Wire(_) | DamageKind::FieldType { .. } => self.damaged = true,
            _ => self.own_rule = true,
        }
    }
}

impl<'a> Visitor<'a> for Verdict {
    fn resource(&mut self, resource: Envelope<'a>, _origin: Origin) {
        self.broken_text |= resource.broken_text;
    }

    fn scope(&mut self, scope: Envelope<'a>) {
        self.broken_text |= scope.broken_text;
    }

    fn span(&mut self, span: Found<'a>) {
        self.broken_text |= span.broken_text;
        if let Err(damage) = span.header {
            self.note(damage.kind);
        }
    }
}

/// A span as a decoder gives it, with what encloses it.
#[derive(Debug, PartialEq)]
struct Decoded {
    resource: (Vec<common::KeyValue>, u32, String, String),
    scope: (common::InstrumentationScope, String),
    span: trace::Span,
}

fn flattened(request: ExportTraceServiceRequest) -> Vec<Decoded> {
    let mut flat = Vec::new();
    for resource_spans in request.resource_spans {
        let resource = resource_spans.resource.unwrap_or_default();
        let service = service_name(&resource.encode_to_vec()).into_owned();
        for scope_spans in resource_spans.scope_spans {
            for mut span in scope_spans.spans {
                // Numbers nobody has named yet are not told apart.
                span.kind = model::SpanKind::from_number(span.kind as u64) as i32;
                span.status = Some(span.status.unwrap_or_default());
                let status = span.status.as_mut().unwrap();
                status.code = model::StatusCode::from_number(status.code as u64) as i32;
                flat.push(Decoded {
                    resource: (
                        resource.attributes.clone(),
                        resource.dropped_attributes_count,
                        resource_spans.schema_url.clone(),
                        service.clone(),
                    ),
                    scope: (scope_spans.scope.clone().unwrap_or_default(), scope_spans.schema_url.clone()),
                    span: with_empty_values(span),
                });
            }
        }
    }
    for decoded in &mut flat {
        decoded.resource.0.iter_mut().for_each(fill);
        decoded.scope.0.attributes.iter_mut().for_each(fill);
    }
    flat
}

/// The view does not tell a missing value from an empty one.
fn fill(pair: &mut common::KeyValue) {
    let value = pair.value.get_or_insert_default();
    match &mut value.value {
        Some(common::any_value::Value::ArrayValue(array)) => array.values.iter_mut().for_each(fill_value),
        Some(common::any_value::Value::KvlistValue(list)) => list.values.iter_mut().for_each(fill),
        _ => {}
    }
}

fn fill_value(value: &mut common::AnyValue) {
    let mut pair = common::KeyValue { value: Some(std::mem::take(value)), ..Default::default() };
    fill(&mut pair);
    *value = pair.value.unwrap();
}

fn with_empty_values(mut span: trace::Span) -> trace::Span {
    span.attributes.iter_mut().for_each(fill);
    span.events.iter_mut().for_each(|event| event.attributes.iter_mut().for_each(fill));
    span.links.iter_mut().for_each(|link| link.attributes.iter_mut().for_each(fill));
    span
}

fn as_decoded(spans: &[model::Span]) -> Vec<Decoded> {
    spans.iter().map(decoded).collect()
}

fn decoded(span: &model::Span) -> Decoded {
    let resource = ResourceView::read(&span.resource.bytes);
    let scope = ScopeView::read(&span.scope.bytes);
    Decoded {
        resource: (
            pairs(&resource.attributes),
            resource.dropped_attributes,
            span.resource.schema_url.clone(),
            span.resource.service.clone(),
        ),
        scope: (
            common::InstrumentationScope {
                name: scope.name.into_owned(),
                version: scope.version.into_owned(),
                attributes: pairs(&scope.attributes),
                dropped_attributes_count: scope.dropped_attributes,
            },
            span.scope.schema_url.clone(),
        ),
        span: decoded_span(span),
    }
}

fn decoded_span(span: &model::Span) -> trace::Span {
    let view = SpanView::read(&span.body);
    assert_eq!(SpanView::name_of(&span.body), view.name);
    trace::Span {
        trace_id: span.trace_id.0.to_vec(),
        span_id: span.span_id.0.to_vec(),
        trace_state: view.trace_state.into_owned(),
        parent_span_id: span.parent_id.map(|id| id.0.to_vec()).unwrap_or_default(),
        flags: span.flags,
        name: view.name.into_owned(),
        kind: span.kind as i32,
        start_time_unix_nano: span.start.nanos(),
        end_time_unix_nano: span.end.nanos(),
        attributes: pairs(&view.attributes),
        dropped_attributes_count: view.dropped_attributes,
        events: view.events.into_iter().map(event).collect(),
        dropped_events_count: view.dropped_events,
        links: view.links.into_iter().map(link).collect(),
        dropped_links_count: view.dropped_links,
        status: Some(trace::Status { message: view.status_message.into_owned(), code: span.status as i32 }),
    }
}

fn event(event: super::EventView<'_>) -> trace::span::Event {
    trace::span::Event {
        time_unix_nano: event.time.nanos(),
        name: event.name.into_owned(),
        attributes: pairs(&event.attributes),
        dropped_attributes_count: event.dropped_attributes,
    }
}

fn link(link: super::LinkView<'_>) -> trace::span::Link {
    trace::span::Link {
        trace_id: link.trace_id.0.to_vec(),
        span_id: link.span_id.0.to_vec(),
        trace_state: link.trace_state.into_owned(),
        attributes: pairs(&link.attributes),
        dropped_attributes_count: link.dropped_attributes,
        flags: link.flags,
    }
}

fn pairs(attributes: &[KeyValue<'_>]) -> Vec<common::KeyValue> {
    let pair = |pair: &KeyValue<'_>| common::KeyValue {
        key: Cow::into_owned(pair.key.clone()),
        value: Some(value(&pair.value)),
        key_strindex: 0,
    };
    attributes.iter().map(pair).collect()
}

fn value(value_view: &AnyValue<'_>) -> common::AnyValue {
    use common::any_value::Value;
    let value = match value_view {
        AnyValue::Empty => None,
        AnyValue::String(text) => Some(Value::StringValue(text.to_string())),
        AnyValue::Bool(bit) => Some(Value::BoolValue(*bit)),
        AnyValue::Int(number) => Some(Value::IntValue(*number)),
        AnyValue::Double(number) => Some(Value::DoubleValue(*number)),
        AnyValue::Bytes(bytes) => Some(Value::BytesValue(bytes.to_vec())),
        AnyValue::Array(values) => {
            Some(Value::ArrayValue(common::ArrayValue { values: values.iter().map(value).collect() }))
        }
        AnyValue::Map(list) => Some(Value::KvlistValue(common::KeyValueList { values: pairs(list) })),
    };
    common::AnyValue { value }
}
