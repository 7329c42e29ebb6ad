//! Generated requests for the tests: any attributes, any ids, fields in any order, fields nobody knows.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, ArrayValue, EntityRef, InstrumentationScope, KeyValue, KeyValueList, any_value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::wire::{Fields, Value};
use super::write;

/// A request with up to three resources; every span has valid ids.
pub(crate) fn request() -> impl Strategy<Value = ExportTraceServiceRequest> {
    vec(resource_spans(), 0..3).prop_map(|resource_spans| ExportTraceServiceRequest { resource_spans })
}

fn resource_spans() -> impl Strategy<Value = ResourceSpans> {
    (option::of(resource()), vec(scope_spans(), 0..3), text())
        .prop_map(|(resource, scope_spans, schema_url)| ResourceSpans { resource, scope_spans, schema_url })
}

fn scope_spans() -> impl Strategy<Value = ScopeSpans> {
    (option::of(scope()), vec(span(), 0..3), text()).prop_map(|(scope, spans, schema_url)| ScopeSpans {
        scope,
        spans,
        schema_url,
    })
}

fn resource() -> impl Strategy<Value = Resource> {
    let service = option::of(text()).prop_map(|name| {
        name.map(|name| KeyValue {
            key: "service.name".to_owned(),
            value: Some(AnyValue { value: Some(any_value::Value::StringValue(name)) }),
            key_strindex: 0,
        })
    });
    (attributes(), service, any::<u32>(), vec(entity(), 0..2)).prop_map(
        |(mut attributes, service, dropped_attributes_count, entity_refs)| {
            attributes.extend(service);
            Resource { attributes, dropped_attributes_count, entity_refs }
        },
    )
}

fn entity() -> impl Strategy<Value = EntityRef> {
    (text(), text(), vec(text(), 0..2), vec(text(), 0..2)).prop_map(
        |(schema_url, r#type, id_keys, description_keys)| EntityRef {
            schema_url,
            r#type,
            id_keys,
            description_keys,
        },
    )
}

fn scope() -> impl Strategy<Value = InstrumentationScope> {
    (text(), text(), attributes(), any::<u32>()).prop_map(
        |(name, version, attributes, dropped_attributes_count)| InstrumentationScope {
            name,
            version,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    let context = (id(16), id(8), prop_oneof![Just(Vec::new()), id(8)], text(), any::<u32>());
    let what = (text(), 0..7i32, any::<u64>(), any::<u64>(), attributes());
    let more = (vec(event(), 0..3), vec(link(), 0..3), option::of(status()), any::<[u32; 3]>());
    (context, what, more).prop_map(|(context, what, more)| {
        let (trace_id, span_id, parent_span_id, trace_state, flags) = context;
        let (name, kind, start_time_unix_nano, end_time_unix_nano, attributes) = what;
        let (events, links, status, dropped) = more;
        Span {
            trace_id,
            span_id,
            trace_state,
            parent_span_id,
            flags,
            name,
            kind,
            start_time_unix_nano,
            end_time_unix_nano,
            attributes,
            dropped_attributes_count: dropped[0],
            events,
            dropped_events_count: dropped[1],
            links,
            dropped_links_count: dropped[2],
            status,
        }
    })
}

fn event() -> impl Strategy<Value = Event> {
    (any::<u64>(), text(), attributes(), any::<u32>()).prop_map(
        |(time_unix_nano, name, attributes, dropped_attributes_count)| Event {
            time_unix_nano,
            name,
            attributes,
            dropped_attributes_count,
        },
    )
}

fn link() -> impl Strategy<Value = Link> {
    (id(16), id(8), text(), attributes(), any::<u32>(), any::<u32>()).prop_map(
        |(trace_id, span_id, trace_state, attributes, dropped_attributes_count, flags)| Link {
            trace_id,
            span_id,
            trace_state,
            attributes,
            dropped_attributes_count,
            flags,
        },
    )
}

fn status() -> impl Strategy<Value = Status> {
    (text(), 0..4i32).prop_map(|(message, code)| Status { message, code })
}

fn attributes() -> impl Strategy<Value = Vec<KeyValue>> {
    vec(key_value(any_value()), 0..4)
}

fn key_value(value: impl Strategy<Value = AnyValue>) -> impl Strategy<Value = KeyValue> {
    (text(), option::weighted(0.9, value)).prop_map(|(key, value)| KeyValue { key, value, key_strindex: 0 })
}

/// Every kind of value, lists and maps up to a few levels; no NaN, which equals nothing.
fn any_value() -> impl Strategy<Value = AnyValue> {
    let leaf = prop_oneof![
        4 => text().prop_map(any_value::Value::StringValue),
        1 => any::<bool>().prop_map(any_value::Value::BoolValue),
        2 => any::<i64>().prop_map(any_value::Value::IntValue),
        1 => any::<f64>().prop_map(any_value::Value::DoubleValue),
        1 => vec(any::<u8>(), 0..20).prop_map(any_value::Value::BytesValue),
    ];
    let leaf = leaf.prop_map(|value| AnyValue { value: Some(value) });
    leaf.prop_recursive(4, 12, 3, |inner| {
        let array =
            vec(inner.clone(), 0..3).prop_map(|values| any_value::Value::ArrayValue(ArrayValue { values }));
        let list = vec(key_value(inner), 0..3)
            .prop_map(|values| any_value::Value::KvlistValue(KeyValueList { values }));
        prop_oneof![array, list].prop_map(|value| AnyValue { value: Some(value) })
    })
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![4 => "[a-z.]{0,20}", 1 => "\\PC{0,12}", 1 => "[a-z]{120,140}"]
}

/// A request whose messages have fields of any number and wire type: with luck the right ones. Unlike bytes at random,
/// much of it is protobuf, and some of it gets as far as a span.
pub(super) fn any_fields() -> impl Strategy<Value = Vec<u8>> {
    let field = |number, kind: u8, value: u64, inner: &[u8]| {
        let mut field = Vec::new();
        match kind {
            0 => write::uint(&mut field, number, value),
            1 => write::fixed64(&mut field, number, value),
            2 => write::fixed32(&mut field, number, value as u32),
            _ => write::bytes(&mut field, number, inner),
        }
        field
    };
    let content = prop_oneof![Just(vec![1; 16]), Just(vec![1; 8]), vec(any::<u8>(), 0..4)].boxed();
    let message = content.prop_recursive(8, 64, 4, move |inner| {
        vec((prop_oneof![8 => 1..4u32, 2 => 4..18u32], 0..12u8, any::<u64>(), inner), 0..5).prop_map(
            move |fields| {
                let fields =
                    fields.iter().map(|(number, kind, value, inner)| field(*number, *kind, *value, inner));
                fields.collect::<Vec<_>>().concat()
            },
        )
    });
    (message, any::<bool>()).prop_map(|(message, is_in_scope)| {
        let mut request = message;
        for number in if is_in_scope { &[2, 2, 1][..] } else { &[1] } {
            let message = std::mem::take(&mut request);
            write::bytes(&mut request, *number, &message);
        }
        request
    })
}

/// An id that is not zero.
fn id(length: usize) -> impl Strategy<Value = Vec<u8>> {
    (vec(any::<u8>(), length), 0..length).prop_map(|(mut id, place)| {
        id[place] |= 1;
        id
    })
}

/// The shortest request that has every known field of every message.
pub(super) fn one_of_everything() -> ExportTraceServiceRequest {
    let ab = || "ab".to_owned();
    let one = vec![plain(any_value::Value::StringValue(ab()))];
    let entity =
        EntityRef { schema_url: ab(), r#type: ab(), id_keys: vec![ab()], description_keys: vec![ab()] };
    let scope = InstrumentationScope {
        name: ab(),
        version: ab(),
        attributes: one.clone(),
        dropped_attributes_count: 1,
    };
    let resource = Resource { attributes: one, dropped_attributes_count: 1, entity_refs: vec![entity] };
    let scope_spans = ScopeSpans { scope: Some(scope), spans: vec![full_span()], schema_url: ab() };
    let resource_spans =
        ResourceSpans { resource: Some(resource), scope_spans: vec![scope_spans], schema_url: ab() };
    ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
}

fn full_span() -> Span {
    let ab = || "ab".to_owned();
    let attributes = one_of_each_kind();
    let one = attributes[..1].to_vec();
    let event = Event { time_unix_nano: 1, name: ab(), attributes: one.clone(), dropped_attributes_count: 1 };
    let link = Link {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        trace_state: ab(),
        attributes: one,
        dropped_attributes_count: 1,
        flags: 1,
    };
    Span {
        trace_id: vec![1; 16],
        span_id: vec![1; 8],
        trace_state: ab(),
        parent_span_id: vec![1; 8],
        flags: 1,
        name: ab(),
        kind: 1,
        start_time_unix_nano: 1,
        end_time_unix_nano: 2,
        attributes,
        dropped_attributes_count: 1,
        events: vec![event],
        dropped_events_count: 1,
        links: vec![link],
        dropped_links_count: 1,
        status: Some(Status { message: ab(), code: 1 }),
    }
}

fn one_of_each_kind() -> Vec<KeyValue> {
    use any_value::Value;
    let text = Value::StringValue("ab".to_owned());
    let list = KeyValueList { values: vec![plain(text.clone())] };
    let array = ArrayValue { values: vec![AnyValue { value: Some(Value::KvlistValue(list)) }] };
    vec![
        plain(text),
        plain(Value::BoolValue(true)),
        plain(Value::IntValue(-1)),
        plain(Value::DoubleValue(1.0)),
        plain(Value::BytesValue(vec![1])),
        KeyValue { key_strindex: 1, ..plain(Value::ArrayValue(array)) },
        plain(Value::StringValueStrindex(1)),
    ]
}

fn plain(value: any_value::Value) -> KeyValue {
    KeyValue { key: "ab".to_owned(), value: Some(AnyValue { value: Some(value) }), key_strindex: 0 }
}

/// Which fields of a message are messages themselves, so that they can be scrambled too.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    Request,
    ResourceSpans,
    ScopeSpans,
    Span,
    Attributed,
    KeyValue,
    AnyValue,
    List,
    Leaf,
}

impl Shape {
    fn inner(self, field: u32) -> Self {
        match (self, field) {
            (Self::Request, 1) => Self::ResourceSpans,
            (Self::ResourceSpans, 2) => Self::ScopeSpans,
            (Self::ScopeSpans, 2) => Self::Span,
            (Self::Span, 9) => Self::KeyValue,
            (Self::Span, 11 | 13) => Self::Attributed,
            (Self::KeyValue, 2) => Self::AnyValue,
            (Self::AnyValue, 5 | 6) => Self::List,
            _ => Self::Leaf,
        }
    }
}

/// The same kind of message with its fields in another order, some twice, and unknown fields among them.
/// `dice` is used up from the end.
pub(crate) fn scrambled(message: &[u8], shape: Shape, dice: &mut Vec<u8>) -> Vec<u8> {
    let mut fields = Fields::new(message);
    let mut pieces: Vec<Vec<u8>> = Vec::new();
    while let Some((field, value)) = fields.next() {
        let raw = fields.last_field().0.to_vec();
        let inner = shape.inner(field);
        pieces.push(match (value, inner) {
            (Value::Bytes(_), Shape::Leaf) => raw,
            (Value::Bytes(bytes), _) => {
                let mut piece = Vec::new();
                write::bytes(&mut piece, field, &scrambled(bytes, inner, dice));
                piece
            }
            _ => raw,
        });
    }
    for _ in 0..2 {
        let die = usize::from(dice.pop().unwrap_or(0));
        match die % 8 {
            0 => pieces.insert(die % (pieces.len() + 1), unknown_field(die)),
            1 if !pieces.is_empty() => pieces.push(pieces[die % pieces.len()].clone()),
            2 => pieces.reverse(),
            3 if !pieces.is_empty() => {
                let middle = die % pieces.len();
                pieces.rotate_left(middle);
            }
            _ => {}
        }
    }
    pieces.concat()
}

fn unknown_field(die: usize) -> Vec<u8> {
    let mut field = Vec::new();
    match die / 8 % 5 {
        0 => write::uint(&mut field, 100, u64::MAX),
        1 => write::fixed32(&mut field, 536_870_911, 1),
        2 => write::fixed64(&mut field, 1000, 1),
        3 => write::bytes(&mut field, 99, &[0xff, 0xfe]),
        // A group of field 50 with a number in it.
        _ => field.extend([0x93, 0x03, 0x08, 0x01, 0x94, 0x03]),
    }
    field
}
