//! What a person is shown of a span's message, whichever words it came in.

use crate::model::{Origin, Span};
use crate::otlp::{Fields, KeyValue, LinkView, SpanView, Value, is_reserved};
use crate::translate::jaeger::{CHILD_OF, REF_TYPE};

/// The span's message without what is reserved. Of a span in Jaeger's words the reference that its parent id repeats is
/// not among the links.
pub fn view(span: &Span) -> SpanView<'_> {
    let mut view = SpanView::read(&span.body);
    let is_shown = |pair: &KeyValue<'_>| !is_reserved(&pair.key);
    view.attributes.retain(is_shown);
    view.events.iter_mut().for_each(|event| event.attributes.retain(is_shown));
    if span.origin == Origin::Jaeger
        && let Some(place) = view.links.iter().position(|link| is_parent(span, link))
    {
        view.links.remove(place);
    }
    view
}

/// Whether [`view`] has links, found out without reading anything else.
pub fn has_links(span: &Span) -> bool {
    let mut links = Fields::new(&span.body).filter_map(|field| match field {
        (13, Value::Bytes(link)) => Some(link),
        _ => None,
    });
    let mut parent_is_left_out = span.origin == Origin::Otlp;
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
