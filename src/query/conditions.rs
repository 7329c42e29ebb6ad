//! What a span must be like to be found: every condition is asked of one and the same span.

use std::time::Duration;

use crate::model::{Span, SpanKind, StatusCode, Timestamp};
use crate::otlp::{KeyValue, ResourceView, ScopeView, SpanView, derived_attributes};
use crate::store::{Filter, shortened, tag_hash};

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
    /// the span, its resource, its scope, its events or its links, or be what Jaeger shows in tags of its own
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
        let named = |wanted: &String, name: &str| shortened(wanted) == shortened(name);
        (self.start..=self.end).contains(&span.start)
            && self.service.as_ref().is_none_or(|service| named(service, &span.resource.service))
            && self.kind.is_none_or(|kind| kind == span.kind)
            && self.status.is_none_or(|status| status == span.status)
            && self.min_duration.is_none_or(|shortest| span.duration() >= shortest)
            && self.max_duration.is_none_or(|longest| span.duration() <= longest)
            && self.operation.as_ref().is_none_or(|name| named(name, &SpanView::name_of(&span.body)))
            && self.match_attributes(span)
    }

    /// All that indexes and filters can tell.
    pub(super) fn filter(&self) -> Filter {
        let shortened = |name: &String| shortened(name).into_owned();
        Filter {
            service: self.service.as_ref().map(shortened),
            operation: self.operation.as_ref().map(shortened),
            kind: self.kind,
            status: self.status,
            tags: self.attributes.iter().map(|(key, value)| tag_hash(key, value)).collect(),
            starts: self.start..=self.end,
            durations: self.min_duration.unwrap_or_default()..=self.max_duration.unwrap_or(Duration::MAX),
        }
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
            || self.body.links.iter().any(|link| stands_in(&link.attributes))
            || self.derived.iter().flatten().any(is_it)
            || (key == "operation" && self.body.name == value)
            || (key == "event" && self.body.events.iter().any(|event| event.name == value))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use bytes::Bytes;
    use proptest::prelude::*;
    use prost::Message as _;

    use super::*;
    use crate::model::sketch::trace;
    use crate::otlp::arbitrary::{Shape, request, scrambled};
    use crate::otlp::{self, Fields, Value, write};
    use crate::store::bloom;
    use crate::store::tags::{Tags, source_tags, tag_hash};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_filter_lets_pass_whatever_a_search_can_find(
            request in request(),
            dice in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut dice = dice;
            let bytes = Bytes::from(scrambled(&request.encode_to_vec(), Shape::Request, &mut dice));
            for span in otlp::spans(&bytes, &otlp::Limits::default()).unwrap() {
                let filters = [filter(&span, |body, tags| tags.fields(body)), filter(&span, feed_in_pieces)];
                let (keys, values) = words(&span);
                let views = Views::of(&span);
                for (key, value) in keys.iter().flat_map(|key| values.iter().map(move |value| (key, value))) {
                    let hash = tag_hash(key, value);
                    let passes = filters.iter().all(|filter| bloom::may_hold(filter, hash));
                    prop_assert!(passes || !views.have(key, value), "{key:?} {value:?}");
                }
            }
        }
    }

    #[test]
    fn what_stands_in_any_place_of_a_span_is_found_and_let_pass() {
        let drawing = "shop | GET /cart | server | 0-10 | n=-5 ok=true resource:zone=a scope:name=lib \
                       scope:part=x event:level=warn !event=retry@3 !link=5 !error=refused";
        let span = trace(1, drawing).remove(0);
        let mut body = span.body.to_vec();
        write::message(&mut body, 13, |link| {
            write::message(link, 4, |pair| {
                write::string(pair, 1, "why");
                write::message(pair, 2, |value| write::string(value, 1, "batch"));
            });
        });
        let span = Span { body: body.into(), ..span };
        let filters = [filter(&span, |body, tags| tags.fields(body)), filter(&span, feed_in_pieces)];
        for (key, value) in [
            ("n", "-5"),
            ("ok", "true"),
            ("zone", "a"),
            ("otel.scope.name", "lib"),
            ("part", "x"),
            ("level", "warn"),
            ("event", "retry"),
            ("why", "batch"),
            ("span.kind", "server"),
            ("error", "true"),
            ("otel.status_code", "ERROR"),
            ("otel.status_description", "refused"),
            ("operation", "GET /cart"),
        ] {
            let asks = |value: &str| Conditions {
                attributes: vec![(key.into(), value.into())],
                ..Conditions::default()
            };
            assert!(asks(value).match_span(&span), "{key}={value}");
            assert!(!asks("other").match_span(&span), "{key}");
            for filter in &filters {
                assert!(bloom::may_hold(filter, tag_hash(key, value)), "{key}={value}");
                assert!(!bloom::may_hold(filter, tag_hash(key, "other")), "{key}");
            }
        }
    }

    /// The filter of a chunk that has this span only.
    fn filter(span: &Span, feed: impl Fn(&[u8], &mut Tags)) -> Vec<u8> {
        let mut tags = Tags::default();
        tags.source(&source_tags(&span.resource, &span.scope));
        tags.outcome(span.kind, span.status);
        tags.name(SpanView::name_of(&span.body).as_bytes());
        feed(&span.body, &mut tags);
        bloom::build(tags.finish().iter().copied(), bloom::TAG_BITS)
    }

    /// As a chunk feeds a span: plain attributes one by one, whatever stands between them as it is.
    fn feed_in_pieces(body: &[u8], tags: &mut Tags) {
        let mut fields = Fields::new(body);
        let mut fed = 0;
        loop {
            let start = fields.offset();
            let Some(field) = fields.next() else { break };
            if let (9, Value::Bytes(pair)) = field
                && let Some((key, value)) = plain_pair(pair)
            {
                tags.fields(&body[fed..start]);
                tags.attribute(key, value);
                fed = fields.offset();
            }
        }
        tags.fields(&body[fed..]);
    }

    fn plain_pair(pair: &[u8]) -> Option<(&[u8], &[u8])> {
        let fields: Vec<_> = Fields::new(pair).collect();
        let [(1, Value::Bytes(key)), (2, Value::Bytes(value))] = fields[..] else { return None };
        Some((key, value))
    }

    /// The keys and values that may be asked for, all that stand anywhere in the span.
    fn words(span: &Span) -> (Vec<Cow<'_, str>>, Vec<Cow<'_, str>>) {
        let views = Views::of(span);
        let SpanView { name, trace_state, status_message, attributes, events, links, .. } = views.body;
        let (mut keys, mut values) = (Vec::new(), vec![name, trace_state, status_message]);
        values.extend(["", "true", "OK", "ERROR", span.kind.name()].map(Cow::Borrowed));
        values.extend([views.scope.name, views.scope.version]);
        keys.extend(["error", "span.kind", "otel.status_code", "otel.status_description"].map(Cow::Borrowed));
        keys.extend(["otel.scope.name", "otel.scope.version", "w3c.tracestate"].map(Cow::Borrowed));
        keys.extend(["event", "operation"].map(Cow::Borrowed));
        let mut pairs = [attributes, views.resource.attributes, views.scope.attributes].concat();
        for event in events {
            values.push(event.name);
            pairs.extend(event.attributes);
        }
        pairs.extend(links.into_iter().flat_map(|link| link.attributes));
        for pair in pairs {
            values.push(pair.value.to_text().into_owned().into());
            keys.push(pair.key);
        }
        (keys, values)
    }

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
