//! One trace for the page: its skeleton, the details of a few spans, and where a text stands in it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use serde::Serialize;

use super::Answers;
use super::answer::Reply;
use super::desk::Desk;
use super::error::{Error, OwnError};
use super::parameters::{self, Asked, Parameters};
use super::skeleton;
use crate::model::{Span, SpanId, TraceId};
use crate::otlp::{AnyValue, EventView, KeyValue, LinkView, ResourceView, ScopeView, is_reserved};
use crate::query::{Outline, Trace};
use crate::translate::jaeger_json::{shown_service, warnings};
use crate::translate::otlp::view;

/// Spans whose details are given at once.
const MAX_IDS: usize = 100;
/// Ids that a text search in a trace gives.
const MAX_FOUND: usize = 10_000;

/// `GET /api/a1/trace/{id}/skeleton`.
pub(super) async fn skeleton(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Reply, OwnError> {
    let id = parameters::trace_id("id", &id)?;
    let reply = desk.ask_for_spans(move |answers| {
        let trace = trace(answers, id)?;
        let bytes = skeleton::encode(&trace, &Outline::of(&trace));
        Reply::bytes(skeleton::CONTENT_TYPE, &bytes, asked.form)
    });
    Ok(reply.await?)
}

/// `GET /api/a1/trace/{id}/spans?ids=…`: everything that was sent of a few spans; several entries where an id
/// is not unique.
pub(super) async fn spans(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Reply, OwnError> {
    let id = parameters::trace_id("id", &id)?;
    let wanted = span_ids(&asked.parameters)?;
    let reply = desk.ask_for_spans(move |answers| {
        let found = answers.query.spans(id, &wanted)?;
        if found.spans.is_empty() {
            // No such span, or no such trace?
            trace(answers, id)?;
        }
        let spans = found.spans.iter().map(details).collect();
        Reply::json(&Details { spans, cut: found.cut }, asked.form)
    });
    Ok(reply.await?)
}

/// `GET /api/a1/trace/{id}/find?text=…`: the spans in which a text stands, upper and lower case alike.
pub(super) async fn find(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    asked: Asked,
) -> Result<Reply, OwnError> {
    let id = parameters::trace_id("id", &id)?;
    let text = asked.parameters.required("text")?.to_lowercase();
    let reply = desk.ask_for_spans(move |answers| {
        let trace = trace(answers, id)?;
        let mut sought = Sought { text: &text, resources: HashMap::new() };
        let found: Vec<_> = trace.spans.iter().filter(|span| sought.stands_in(span)).collect();
        let spans = found.iter().take(MAX_FOUND).map(|span| span.span_id.to_string()).collect();
        Reply::json(&Places { spans, total: found.len() }, asked.form)
    });
    Ok(reply.await?)
}

fn trace(answers: &Answers, id: TraceId) -> Result<Trace, Error> {
    answers.query.trace(id)?.ok_or(Error::NoSuchTrace)
}

fn span_ids(parameters: &Parameters) -> Result<Vec<SpanId>, parameters::Error> {
    let name = "ids";
    let texts: Vec<_> = parameters.required(name)?.split(',').collect();
    if texts.len() > MAX_IDS {
        return Err(parameters::Error::TooMany { name, given: texts.len(), limit: MAX_IDS });
    }
    texts.into_iter().map(|text| parameters::span_id(name, text)).collect()
}

#[derive(Debug, Serialize)]
struct Places {
    spans: Vec<String>,
    total: usize,
}

/// A text in lower case, and the resources it was already looked for in.
struct Sought<'t> {
    text: &'t str,
    resources: HashMap<*const crate::model::Resource, bool>,
}

impl Sought<'_> {
    fn stands_in(&mut self, span: &Span) -> bool {
        let (view, scope) = (view(span), ScopeView::read(&span.scope.bytes));
        [&view.name, &view.status_message, &view.trace_state, &scope.name, &scope.version]
            .into_iter()
            .any(|text| self.is_in(text))
            || self.is_in_pairs(&view.attributes)
            || self.is_in_pairs(&scope.attributes)
            || view.events.iter().any(|event| self.is_in(&event.name) || self.is_in_pairs(&event.attributes))
            || view.links.iter().any(|link| self.is_in_link(link))
            || self.is_in(&span.span_id.to_string())
            || span.parent_id.is_some_and(|parent| self.is_in(&parent.to_string()))
            || self.is_in_resource(span)
    }

    fn is_in_link(&self, link: &LinkView<'_>) -> bool {
        self.is_in(&link.trace_id.to_string())
            || self.is_in(&link.span_id.to_string())
            || self.is_in_pairs(&link.attributes)
    }

    /// The service is one of the resource's attributes.
    fn is_in_resource(&mut self, span: &Span) -> bool {
        let address = Arc::as_ptr(&span.resource);
        if let Some(&known) = self.resources.get(&address) {
            return known;
        }
        let stands = self.is_in(&span.resource.service)
            || self.is_in_pairs(&ResourceView::read(&span.resource.bytes).attributes);
        self.resources.insert(address, stands);
        stands
    }

    fn is_in_pairs(&self, pairs: &[KeyValue<'_>]) -> bool {
        let mut shown = pairs.iter().filter(|pair| !is_reserved(&pair.key));
        shown.any(|pair| self.is_in(&pair.key) || self.is_in(&pair.value.to_text()))
    }

    fn is_in(&self, text: &str) -> bool {
        text.to_lowercase().contains(self.text)
    }
}

#[derive(Debug, Serialize)]
struct Details<'a> {
    spans: Vec<SpanDetails<'a>>,
    /// There are more than one answer may hold.
    cut: bool,
}

/// Everything that was sent of a span; times in ns as text, because JavaScript's numbers end at 2^53.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SpanDetails<'a> {
    span_id: String,
    parent_id: String,
    name: String,
    kind: &'static str,
    status: StatusDetails,
    start: String,
    duration: u64,
    service: &'a str,
    trace_state: String,
    flags: u32,
    /// What went wrong with the span on its way here, as Jaeger keeps it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    attributes: Vec<AttributeDetails>,
    events: Vec<EventDetails>,
    links: Vec<LinkDetails>,
    resource: ResourceDetails<'a>,
    scope: ScopeDetails<'a>,
    dropped: Dropped,
}

#[derive(Debug, Serialize)]
struct StatusDetails {
    code: &'static str,
    message: String,
}

/// The value is text whatever its type; the type says how it was sent.
#[derive(Debug, Serialize)]
struct AttributeDetails {
    key: String,
    #[serde(rename = "type")]
    kind: &'static str,
    value: String,
}

#[derive(Debug, Serialize)]
struct EventDetails {
    name: String,
    time: String,
    attributes: Vec<AttributeDetails>,
    dropped: u32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LinkDetails {
    trace_id: String,
    span_id: String,
    attributes: Vec<AttributeDetails>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceDetails<'a> {
    attributes: Vec<AttributeDetails>,
    schema_url: &'a str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScopeDetails<'a> {
    name: String,
    version: String,
    attributes: Vec<AttributeDetails>,
    schema_url: &'a str,
}

/// What the client left out.
#[derive(Debug, Serialize)]
struct Dropped {
    attributes: u32,
    events: u32,
    links: u32,
}

fn details(span: &Span) -> SpanDetails<'_> {
    let view = view(span);
    SpanDetails {
        span_id: span.span_id.to_string(),
        parent_id: span.parent_id.map(|parent| parent.to_string()).unwrap_or_default(),
        name: view.name.into_owned(),
        kind: span.kind.name(),
        status: StatusDetails { code: span.status.name(), message: view.status_message.into_owned() },
        start: span.start.nanos().to_string(),
        duration: span.end.nanos().saturating_sub(span.start.nanos()),
        service: shown_service(&span.resource.service),
        trace_state: view.trace_state.into_owned(),
        flags: span.flags,
        warnings: warnings(&view.attributes).into_iter().map(Cow::into_owned).collect(),
        attributes: attributes(view.attributes),
        events: view.events.into_iter().map(event).collect(),
        links: view.links.into_iter().map(link).collect(),
        resource: ResourceDetails {
            attributes: attributes(ResourceView::read(&span.resource.bytes).attributes),
            schema_url: &span.resource.schema_url,
        },
        scope: scope(span),
        dropped: Dropped {
            attributes: view.dropped_attributes,
            events: view.dropped_events,
            links: view.dropped_links,
        },
    }
}

fn scope(span: &Span) -> ScopeDetails<'_> {
    let view = ScopeView::read(&span.scope.bytes);
    ScopeDetails {
        name: view.name.into_owned(),
        version: view.version.into_owned(),
        attributes: attributes(view.attributes),
        schema_url: &span.scope.schema_url,
    }
}

fn event(view: EventView<'_>) -> EventDetails {
    EventDetails {
        name: view.name.into_owned(),
        time: view.time.nanos().to_string(),
        attributes: attributes(view.attributes),
        dropped: view.dropped_attributes,
    }
}

fn link(view: LinkView<'_>) -> LinkDetails {
    LinkDetails {
        trace_id: view.trace_id.to_string(),
        span_id: view.span_id.to_string(),
        attributes: attributes(view.attributes),
    }
}

fn attributes(pairs: Vec<KeyValue<'_>>) -> Vec<AttributeDetails> {
    let attribute = |pair: KeyValue<'_>| AttributeDetails {
        kind: type_word(&pair.value),
        value: pair.value.to_text().into_owned(),
        key: pair.key.into_owned(),
    };
    pairs.into_iter().filter(|pair| !is_reserved(&pair.key)).map(attribute).collect()
}

fn type_word(value: &AnyValue<'_>) -> &'static str {
    match value {
        AnyValue::Empty => "empty",
        AnyValue::String(_) => "string",
        AnyValue::Bool(_) => "bool",
        AnyValue::Int(_) => "int",
        AnyValue::Double(_) => "double",
        AnyValue::Bytes(_) => "bytes",
        AnyValue::Array(_) => "array",
        AnyValue::Map(_) => "map",
    }
}
