//! A span's messages, read once for all that is asked of them.

use std::cell::Cell;

use crate::model::{Origin, Span};
use crate::otlp::{KeyValue, ResourceView, ScopeView, SpanView, derived_attributes, is_reserved};

/// Attributes that are looked at between two looks at the time: a span may have tens of thousands, and they may be asked
/// for again for each of them.
const STEPS: usize = 4_096;

/// Asks now and then whether a span is to be looked at any longer.
pub(super) struct Steps<'a> {
    taken: Cell<usize>,
    is_over: &'a dyn Fn() -> bool,
    was_over: Cell<bool>,
}

/// What a search can see of a span.
pub(super) struct Views<'a> {
    pub(super) span: &'a Span,
    pub(super) body: SpanView<'a>,
    pub(super) resource: ResourceView<'a>,
    pub(super) scope: ScopeView<'a>,
    /// What Jaeger shows as tags although OTLP has fields of its own for it.
    derived: [Option<KeyValue<'a>>; 7],
    pub(super) steps: Steps<'a>,
}

impl<'a> Steps<'a> {
    fn until(is_over: &'a dyn Fn() -> bool) -> Self {
        Self { taken: Cell::new(0), is_over, was_over: Cell::new(false) }
    }

    /// Takes some more; whether that makes sense.
    pub(super) fn go_on(&self, steps: usize) -> bool {
        let taken = self.taken.get() + steps;
        self.taken.set(taken % STEPS);
        if taken >= STEPS && !self.was_over.get() {
            self.was_over.set((self.is_over)());
        }
        !self.was_over.get()
    }
}

impl<'a> Views<'a> {
    /// Reads the span. When it is over, whatever is asked of it means nothing any more: see [`Steps`].
    pub(super) fn until(is_over: &'a dyn Fn() -> bool, span: &'a Span) -> Self {
        let steps = Steps::until(is_over);
        let (body, scope) = (SpanView::read(&span.body), ScopeView::read(&span.scope.bytes));
        let resource = ResourceView::read(&span.resource.bytes);
        match span.origin {
            Origin::Otlp | Origin::Zipkin => {
                let derived = derived_attributes(span, &body, &scope);
                Self { span, body, resource, scope, derived, steps }
            }
            // Its tags are all there as they were sent.
            Origin::Jaeger => {
                Self { span, body, resource, scope, derived: Default::default(), steps }.without_reserved()
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
        let stands_in = |pairs: &[KeyValue<'_>]| self.steps.go_on(pairs.len()) && stands_in(pairs, key, text);
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
        let pairs = &self.resource.attributes;
        self.steps.go_on(pairs.len()) && stands_in(pairs, key, text)
    }
}

fn stands_in(pairs: &[KeyValue<'_>], key: &str, text: &str) -> bool {
    pairs.iter().any(|pair| pair.key == key && pair.value.is_text(text))
}
