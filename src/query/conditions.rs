//! What a span must be like to be found: every condition is asked of one and the same span.

use std::time::Duration;

use crate::model::{Span, SpanKind, StatusCode, Timestamp};
use crate::otlp::{KeyValue, ResourceView, ScopeView, SpanView, derived_attributes};
use crate::store::{IndexRow, shortened};

/// The conditions of a search. A trace is found when one of its spans fulfils all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conditions {
    /// The span's service; `Some("")` is the spans that name none.
    pub service: Option<String>,
    /// The span's name, in full or as it is listed.
    pub operation: Option<String>,
    /// The span's kind.
    pub kind: Option<SpanKind>,
    /// The span's status.
    pub status: Option<StatusCode>,
    /// Key and value as text ([`crate::otlp::AnyValue::to_text`]): each pair must stand among the attributes of
    /// the span, its resource, its scope or its events, or be what Jaeger shows in tags of its own
    /// (`error`, `span.kind`, `otel.status_code`, `otel.status_description`, `otel.scope.name`,
    /// `otel.scope.version`, `w3c.tracestate`), `event` (an event's name) and `operation` (the span's name).
    pub attributes: Vec<(String, String)>,
    /// The shortest duration, inclusive.
    pub min_duration: Option<Duration>,
    /// The longest duration, inclusive.
    pub max_duration: Option<Duration>,
    /// The earliest start, inclusive.
    pub start: Timestamp,
    /// The latest start, inclusive.
    pub end: Timestamp,
    /// How many traces are wanted at most.
    pub limit: usize,
}

impl Default for Conditions {
    /// Twenty traces of any kind from any time.
    fn default() -> Self {
        Self {
            service: None,
            operation: None,
            kind: None,
            status: None,
            attributes: Vec::new(),
            min_duration: None,
            max_duration: None,
            start: Timestamp::ZERO,
            end: Timestamp::MAX,
            limit: 20,
        }
    }
}

impl Conditions {
    /// Whether the span fulfils every condition.
    pub fn match_span(&self, span: &Span) -> bool {
        self.match_row(&IndexRow::of(span)) && self.match_attributes(span)
    }

    /// All that an index row can tell: everything except attributes.
    pub(super) fn match_row(&self, row: &IndexRow) -> bool {
        (self.start..=self.end).contains(&row.start)
            && self.service.as_ref().is_none_or(|service| shortened(service) == row.service)
            && self.operation.as_ref().is_none_or(|operation| shortened(operation) == row.operation)
            && self.kind.is_none_or(|kind| kind == row.kind)
            && self.status.is_none_or(|status| status == row.status)
            && self.min_duration.is_none_or(|shortest| row.duration >= shortest)
            && self.max_duration.is_none_or(|longest| row.duration <= longest)
    }

    fn match_attributes(&self, span: &Span) -> bool {
        if self.attributes.is_empty() {
            return true;
        }
        let views = Views::of(span);
        self.attributes.iter().all(|(key, value)| views.have(key, value))
    }
}

/// A span's messages, read once for all attribute conditions.
struct Views<'a> {
    body: SpanView<'a>,
    resource: ResourceView<'a>,
    scope: ScopeView<'a>,
    /// What Jaeger shows as tags although OTLP has fields of its own for it.
    derived: [Option<KeyValue<'a>>; 7],
}

impl<'a> Views<'a> {
    fn of(span: &'a Span) -> Self {
        let (body, scope) = (SpanView::read(&span.body), ScopeView::read(&span.scope.bytes));
        let derived = derived_attributes(span, &body, &scope);
        Self { body, resource: ResourceView::read(&span.resource.bytes), scope, derived }
    }

    fn have(&self, key: &str, value: &str) -> bool {
        let is_it = |pair: &KeyValue<'_>| pair.key == key && pair.value.to_text() == value;
        let stands_in = |pairs: &[KeyValue<'_>]| pairs.iter().any(is_it);
        stands_in(&self.body.attributes)
            || stands_in(&self.resource.attributes)
            || stands_in(&self.scope.attributes)
            || self.body.events.iter().any(|event| stands_in(&event.attributes))
            || self.derived.iter().flatten().any(is_it)
            || (key == "operation" && self.body.name == value)
            || (key == "event" && self.body.events.iter().any(|event| event.name == value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sketch::trace;

    #[test]
    fn a_long_operation_is_found_by_its_name_and_by_the_name_it_is_listed_by() {
        let name = "SELECT ".repeat(200);
        let name = name.trim();
        let span = trace(1, &format!("shop | {name} | client | 0-1")).remove(0);
        let asks =
            |operation: &str| Conditions { operation: Some(operation.into()), ..Conditions::default() };
        assert!(asks(name).match_span(&span));
        assert!(asks(&shortened(name)).match_span(&span));
        assert!(!asks(&name.replace("SELECT", "INSERT")).match_span(&span));
        assert!(!asks(&format!("{name} 1")).match_span(&span));
    }
}
