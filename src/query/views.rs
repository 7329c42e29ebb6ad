//! A span's messages, read once for all that is asked of them.

use crate::model::{Origin, Span};
use crate::otlp::{KeyValue, ResourceView, ScopeView, SpanView, derived_attributes, is_reserved};

/// What a search can see of a span.
pub(super) struct Views<'a> {
    pub(super) span: &'a Span,
    pub(super) body: SpanView<'a>,
    pub(super) resource: ResourceView<'a>,
    pub(super) scope: ScopeView<'a>,
    /// What Jaeger shows as tags although OTLP has fields of its own for it.
    derived: [Option<KeyValue<'a>>; 7],
}

impl<'a> Views<'a> {
    pub(super) fn of(span: &'a Span) -> Self {
        let (body, scope) = (SpanView::read(&span.body), ScopeView::read(&span.scope.bytes));
        let resource = ResourceView::read(&span.resource.bytes);
        match span.origin {
            Origin::Otlp => {
                let derived = derived_attributes(span, &body, &scope);
                Self { span, body, resource, scope, derived }
            }
            // Its tags are all there as they were sent.
            Origin::Jaeger => {
                Self { span, body, resource, scope, derived: Default::default() }.without_reserved()
            }
        }
    }

    /// Without what the translator put beside the span's own attributes.
    fn without_reserved(mut self) -> Self {
        let unreserve = |pairs: &mut Vec<KeyValue<'_>>| pairs.retain(|pair| !is_reserved(&pair.key));
        unreserve(&mut self.resource.attributes);
        unreserve(&mut self.scope.attributes);
        unreserve(&mut self.body.attributes);
        self.body.events.iter_mut().for_each(|event| unreserve(&mut event.attributes));
        self.body.links.iter_mut().for_each(|link| unreserve(&mut link.attributes));
        self
    }

    /// Whether the pair stands anywhere, see [`crate::query::Conditions::attributes`].
    pub(super) fn have(&self, key: &str, text: &str) -> bool {
        let stands_in = |pairs: &[KeyValue<'_>]| stands_in(pairs, key, text);
        stands_in(&self.body.attributes)
            || stands_in(&self.resource.attributes)
            || stands_in(&self.scope.attributes)
            || self.body.events.iter().any(|event| stands_in(&event.attributes))
            || self.body.links.iter().any(|link| stands_in(&link.attributes))
            || self.derived.iter().flatten().any(|pair| pair.key == key && pair.value.is_text(text))
            || (key == "operation" && self.body.name == text)
            || (key == "event" && self.body.events.iter().any(|event| event.name == text))
    }

    /// Whether the pair is an attribute of the resource.
    pub(super) fn resource_has(&self, key: &str, text: &str) -> bool {
        stands_in(&self.resource.attributes, key, text)
    }
}

fn stands_in(pairs: &[KeyValue<'_>], key: &str, text: &str) -> bool {
    pairs.iter().any(|pair| pair.key == key && pair.value.is_text(text))
}
