//! OTLP said in Jaeger's words: the mapping, field by field. Spans in Zipkin's words are kept so that it holds for them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::record::{Log, Process, Reference, ReferenceType, Span, Tag, Trace, Value};
use super::sent;
use crate::model::{self, Origin, Resource, TraceId};
use crate::otlp::{
    AnyValue, EventView, KeyValue, LinkView, ResourceView, ScopeView, SpanView, derived_attributes,
    is_reserved,
};
use crate::translate::jaeger::{CHILD_OF, FOLLOWS_FROM, REF_TYPE, WARNINGS};
use crate::translate::zipkin;

/// What stands for the name of a service that was not named, by what was wrong with the resource:
/// it has no attributes at all (the name of Jaeger 1's OTLP receiver), no `service.name`, one that is not
/// text, an empty one (the names of Jaeger 2's sanitizer).
pub const NO_SERVICE: [&str; 4] =
    ["OTLPResourceNoServiceName", "missing-service-name", "service-name-wrong-type", "empty-service-name"];

const SERVICE_NAME: &str = "service.name";

/// The warning of a span that took less than no time.
pub(super) const ENDS_EARLY: &str = "the span ends before it starts; its duration is shown as 0";

/// The name a service is listed by: "" inside is a service that was not named.
pub fn shown_service(name: &str) -> &str {
    if name.is_empty() { NO_SERVICE[1] } else { name }
}

/// The services that may be meant by a name: the one of that name and, if it is one of [`NO_SERVICE`], also the one
/// that was not named, "" inside. Some Collectors write those names themselves, so both can be there.
pub fn asked_services(name: &str) -> impl Iterator<Item = &str> {
    let unnamed = NO_SERVICE.contains(&name).then_some("");
    std::iter::once(name).chain(unnamed)
}

/// A trace id as Jaeger writes it: 16 digits when the high half is zero, otherwise 32.
pub fn hex_trace_id(id: TraceId) -> String {
    let mut text = id.to_string();
    if id.0[..8] == [0; 8] {
        text.drain(..16);
    }
    text
}

/// A span that came as OTLP or in Zipkin's words, and its process.
pub(in crate::translate) fn said(span: &model::Span) -> (Span<'_>, Process<'_>) {
    (self::span(span, 0), process(&span.resource))
}

/// The trace as it was sent, not adjusted.
pub(super) fn trace(spans: &[model::Span]) -> Trace<'_> {
    let mut processes = Vec::new();
    let mut places = HashMap::new();
    let spans: Vec<_> = spans
        .iter()
        .map(|span| {
            // Spans of one request or one stored row share their resource, so its address finds it quickly;
            // equal ones at other addresses meet when the keys are handed out.
            let source = (Arc::as_ptr(&span.resource), span.origin);
            let place = *places.entry(source).or_insert_with(|| {
                processes.push(match span.origin {
                    Origin::Otlp | Origin::Zipkin => process(&span.resource),
                    Origin::Jaeger => sent::process(&span.resource),
                });
                processes.len() - 1
            });
            match span.origin {
                Origin::Otlp | Origin::Zipkin => self::span(span, place),
                Origin::Jaeger => sent::span(span, place),
            }
        })
        .collect();
    let trace_id = spans.first().map(|span| span.trace_id).unwrap_or_default();
    Trace { trace_id, spans, processes, warnings: Vec::new() }
}

fn process(resource: &Resource) -> Process<'_> {
    let attributes = ResourceView::read(&resource.bytes).attributes;
    Process {
        service_name: service_name(resource, &attributes),
        tags: attributes.into_iter().filter(|pair| pair.key != SERVICE_NAME).filter_map(tag).collect(),
    }
}

pub(super) fn service_name<'a>(resource: &'a Resource, attributes: &[KeyValue<'_>]) -> Cow<'a, str> {
    if !resource.service.is_empty() {
        return Cow::Borrowed(&resource.service);
    }
    let [nothing, missing, wrong_type, empty] = NO_SERVICE;
    Cow::Borrowed(match attributes.iter().find(|pair| pair.key == SERVICE_NAME) {
        None if attributes.is_empty() => nothing,
        None => missing,
        Some(KeyValue { value: AnyValue::String(_), .. }) => empty,
        Some(_) => wrong_type,
    })
}

fn span(span: &model::Span, process: usize) -> Span<'_> {
    let mut view = SpanView::read(&span.body);
    let mut warnings = warnings(&view.attributes);
    if span.end < span.start {
        warnings.push(ENDS_EARLY.into());
    }
    Span {
        trace_id: span.trace_id,
        span_id: span.span_id,
        flags: span.flags & 1,
        operation_name: std::mem::take(&mut view.name),
        references: references(span, &view.links),
        start: span.start,
        duration: span.end.nanos().saturating_sub(span.start.nanos()),
        logs: std::mem::take(&mut view.events).into_iter().map(log).collect(),
        tags: tags(span, view),
        process,
        warnings,
    }
}

fn references(span: &model::Span, links: &[LinkView<'_>]) -> Vec<Reference> {
    let mut references = Vec::with_capacity(links.len() + 1);
    references.extend(span.parent_id.map(|span_id| Reference {
        ref_type: ReferenceType::ChildOf,
        trace_id: span.trace_id,
        span_id,
    }));
    for link in links {
        let named = named_type(link);
        let is_parent = link.trace_id == span.trace_id && Some(link.span_id) == span.parent_id;
        if is_parent {
            // The parent id already says it; such a link only tells what kind of parent.
            references[0].ref_type = named.unwrap_or(references[0].ref_type);
        } else {
            references.push(Reference {
                ref_type: named.unwrap_or(ReferenceType::FollowsFrom),
                trace_id: link.trace_id,
                span_id: link.span_id,
            });
        }
    }
    references
}

fn named_type(link: &LinkView<'_>) -> Option<ReferenceType> {
    let attribute = link.attributes.iter().find(|pair| pair.key == REF_TYPE)?;
    match &attribute.value {
        AnyValue::String(word) if word == CHILD_OF => Some(ReferenceType::ChildOf),
        AnyValue::String(word) if word == FOLLOWS_FROM => Some(ReferenceType::FollowsFrom),
        _ => None,
    }
}

fn tags<'a>(span: &'a model::Span, mut view: SpanView<'a>) -> Vec<Tag<'a>> {
    if span.origin == Origin::Zipkin {
        // What is derived below came from tags, which would be shown twice.
        let mut repeated = zipkin::repeated(span);
        view.attributes.retain(|_| repeated.next() != Some(true));
    }
    let scope = ScopeView::read(&span.scope.bytes);
    let [scope_name, scope_version, rest @ ..] = derived_attributes(span, &view, &scope);
    let first = [scope_name, scope_version].into_iter().flatten();
    let attributes = first.chain(view.attributes).chain(rest.into_iter().flatten());
    attributes.filter_map(tag).collect()
}

fn log(event: EventView<'_>) -> Log<'_> {
    let is_named = event.attributes.iter().any(|pair| pair.key == "event");
    let name = (!is_named && !event.name.is_empty()).then(|| Tag::text("event", event.name));
    Log {
        timestamp: event.time,
        fields: name.into_iter().chain(event.attributes.into_iter().filter_map(tag)).collect(),
    }
}

/// `None` for what is reserved.
fn tag(pair: KeyValue<'_>) -> Option<Tag<'_>> {
    if is_reserved(&pair.key) {
        return None;
    }
    let value = match pair.value {
        AnyValue::Bool(bit) => Value::Bool(bit),
        AnyValue::Int(number) => Value::Int64(number),
        AnyValue::Double(number) => Value::Float64(number),
        AnyValue::Bytes(bytes) => Value::Binary(bytes.into()),
        AnyValue::String(text) => Value::String(text),
        AnyValue::Empty => Value::String(Cow::Borrowed("")),
        list @ (AnyValue::Array(_) | AnyValue::Map(_)) => Value::String(list.to_text().into_owned().into()),
    };
    Some(Tag { key: pair.key, value })
}

/// What Jaeger's warnings say among a span's attributes.
pub fn warnings<'a>(attributes: &[KeyValue<'a>]) -> Vec<Cow<'a, str>> {
    let mut warnings = Vec::new();
    for pair in attributes.iter().filter(|pair| pair.key == WARNINGS) {
        match &pair.value {
            AnyValue::Array(values) => {
                warnings.extend(values.iter().map(|value| Cow::Owned(value.to_text().into_owned())));
            }
            value => warnings.push(Cow::Owned(value.to_text().into_owned())),
        }
    }
    warnings
}
