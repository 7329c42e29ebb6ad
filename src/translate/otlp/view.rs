//! What a person is shown of a span's message, whichever words it came in.

use crate::model::{Origin, Span};
use crate::otlp::{AnyValue, EventView, Fields, KeyValue, LinkView, SpanView, Value};
use crate::translate::jaeger::{CHILD_OF, REF_TYPE};

/// The span's message. If it was kept for Jaeger, without what is there for Jaeger only: the reference that the parent
/// id repeats, and the fields that repeat the names of events. What is reserved stays:
/// [`is_reserved`](crate::otlp::is_reserved).
pub fn view(span: &Span) -> SpanView<'_> {
    let mut view = SpanView::read(&span.body);
    if span.origin == Origin::Jaeger {
        if let Some(place) = view.links.iter().position(|link| is_parent(span, link)) {
            view.links.remove(place);
        }
        view.events.iter_mut().for_each(leave_out_name);
    }
    view
}

fn leave_out_name(event: &mut EventView<'_>) {
    let is_name = |pair: &KeyValue<'_>| {
        pair.key == "event" && matches!(&pair.value, AnyValue::String(text) if *text == event.name)
    };
    if let Some(place) = event.attributes.iter().position(is_name) {
        event.attributes.remove(place);
    }
}

/// Whether [`view`] has links, found out without reading anything else.
pub fn has_links(span: &Span) -> bool {
    let mut links = Fields::new(&span.body).filter_map(|field| match field {
        (13, Value::Bytes(link)) => Some(link),
        _ => None,
    });
    let mut parent_is_left_out = span.origin != Origin::Jaeger;
    links.any(|link| {
        let is_left_out = !parent_is_left_out && is_parent(span, &LinkView::read(link));
        parent_is_left_out |= is_left_out;
        !is_left_out
    })
}

fn is_parent(span: &Span, link: &LinkView<'_>) -> bool {
    link.trace_id == span.trace_id
        && Some(link.span_id) == span.parent_id
        && link.attributes.iter().any(|pair| pair.key == REF_TYPE && pair.value.to_text() == CHILD_OF)
}
