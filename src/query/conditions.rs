//! What a span must be like to be found: every condition is asked of one and the same span.

use std::time::Duration;

use crate::model::{Span, SpanKind, StatusCode, Timestamp};
use crate::otlp::SpanView;
use crate::query::expression::{self, Comparison, Constant, Expression, Field, Level, Reference};
use crate::query::views::Views;
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
    /// Key and value as text (either of [`crate::otlp::AnyValue::is_text`]'s two forms): each pair must stand among the attributes of
    /// the span, its resource, its scope, its events or its links, or be what Jaeger shows in tags of its own
    /// (`error`, `span.kind`, `otel.status_code`, `otel.status_description`, `otel.scope.name`,
    /// `otel.scope.version`, `w3c.tracestate`), `event` (an event's name) and `operation` (the span's name).
    pub attributes: Vec<(String, String)>,
    /// What else it must be like.
    pub filter: Option<Expression>,
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
            filter: None,
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
        self.match_until(&|| false, span)
    }

    /// The same, unless it is over before that is known: then it is false.
    pub(super) fn match_until(&self, is_over: &dyn Fn() -> bool, span: &Span) -> bool {
        let named = |wanted: &String, name: &str| shortened(wanted) == shortened(name);
        (self.start..=self.end).contains(&span.start)
            && self.service.as_ref().is_none_or(|service| named(service, &span.resource.service))
            && self.kind.is_none_or(|kind| kind == span.kind)
            && self.status.is_none_or(|status| status == span.status)
            && self.min_duration.is_none_or(|shortest| span.duration() >= shortest)
            && self.max_duration.is_none_or(|longest| span.duration() <= longest)
            && self.operation.as_ref().is_none_or(|name| named(name, &SpanView::name_of(&span.body)))
            && self.match_views(is_over, span)
    }

    /// All that indexes and filters can tell.
    pub(super) fn filter(&self) -> Filter {
        let shortened = |name: &String| shortened(name).into_owned();
        let filter = Filter {
            service: self.service.as_ref().map(shortened),
            operation: self.operation.as_ref().map(shortened),
            kind: self.kind,
            status: self.status,
            tags: self.attributes.iter().map(|(key, value)| vec![tag_hash(key, value)]).collect(),
            starts: self.start..=self.end,
            durations: self.min_duration.unwrap_or_default()..=self.max_duration.unwrap_or(Duration::MAX),
        };
        match &self.filter {
            Some(expression) => expression.needs().narrow(filter),
            None => filter,
        }
    }

    /// What only the span itself can tell.
    fn match_views(&self, is_over: &dyn Fn() -> bool, span: &Span) -> bool {
        if self.attributes.is_empty() && self.filter.is_none() {
            return true;
        }
        let views = Views::until(is_over, span);
        self.attributes.iter().all(|(key, value)| views.have(key, value))
            && self.filter.as_ref().is_none_or(|filter| filter.holds(&views))
            && views.steps.go_on(0)
    }
}

/// What storage v2 and api_v3 mean by attributes, where some keys are words of their own; whatever else is asked is for
/// the caller to add.
///
/// | key | means |
/// | --- | --- |
/// | `error` | true: the status is an error, or an attribute of the span says so; false: neither; else: nothing |
/// | `span.status` | `ok`, `error` or `unset`, in any case |
/// | `span.kind` | `server` and so on, in any case; `unspecified` |
/// | `scope.name`, `scope.version` | the scope's |
/// | `resource.…` | an attribute of the resource of the key after the dot, or one of the whole key anywhere |
///
/// Source: Jaeger 2.20, memory storage; of later versions that no error is what is not an error.
pub fn conditions_of_attributes(
    pairs: impl IntoIterator<Item = (String, String)>,
) -> Result<Conditions, expression::Error> {
    let mut conditions = Conditions::default();
    let mut special = Vec::new();
    for (key, text) in pairs {
        match special_key(&key, &text)? {
            Some(predicate) => special.push(predicate),
            None => conditions.attributes.push((key, text)),
        }
    }
    conditions.filter = match special.len() {
        0 | 1 => special.pop(),
        _ => Some(Expression::all(special)?),
    };
    Ok(conditions)
}

/// What a key means that is more than an attribute's; none if it is not.
fn special_key(key: &str, text: &str) -> Result<Option<Expression>, expression::Error> {
    let is = |field: Field, text: &str| {
        Expression::compare(Comparison::Eq, field, Constant::String(text.to_owned()))
    };
    let word = text.to_ascii_lowercase();
    let predicate = match key {
        "error" => {
            let attribute = Reference::attribute("error", Some(Level::Span));
            let is_error = Expression::compare(Comparison::Eq, attribute, Constant::Any("true".into()))?;
            match expression::bool_of(text) {
                Some(true) => Ok(is_error),
                Some(false) => Expression::negation(is_error),
                None => Ok(Expression::never()),
            }
        }
        // Words that are none are no span's.
        "span.status" => is(Field::Status, &word).or_else(|_| Ok(Expression::never())),
        "span.kind" => is(Field::Kind, &word).or_else(|_| Ok(Expression::never())),
        "scope.name" => is(Field::ScopeName, text),
        "scope.version" => is(Field::ScopeVersion, text),
        _ => match key.strip_prefix("resource.") {
            Some(inner) if !inner.is_empty() => {
                Expression::any(vec![Expression::pair_of_resource(inner, text), Expression::pair(key, text)])
            }
            _ => return Ok(None),
        },
    };
    predicate.map(Some)
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
    use crate::store::tags::{Tags, key_hash, source_tags, tag_hash};

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
                let views = Views::until(&|| false, &span);
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
                tags.attribute(key_hash(key), value);
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
        let views = Views::until(&|| false, span);
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
            let (text, other) = pair.value.texts();
            values.push(text.into_owned().into());
            values.extend(other.map(Cow::Owned));
            keys.push(pair.key);
        }
        (keys, values)
    }

    /// Whether storage v2's question for these pairs finds the span.
    fn asks(pairs: &str, span: &Span) -> bool {
        let pairs = pairs.split_whitespace().filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(key, text)| (key.to_owned(), text.to_owned()));
        conditions_of_attributes(pairs).unwrap().match_span(span)
    }

    #[test]
    fn some_keys_of_storage_v2_are_words_of_their_own() {
        let spans = trace(
            1,
            "shop | a | server | 0-1 | zone=a resource:zone=b resource:host=h scope:name=lib scope:version=1 !error
             shop | b | unspecified | 0-1 | span.kind=server span.status=error scope.name=lib !ok
             shop | c | client | 0-1 | error=true resource.zone=c
             shop | d | internal | 0-1 | error=no event:error=true event:resource.zone=d",
        );
        let cases: [(&str, &[usize]); 30] = [
            ("", &[0, 1, 2, 3]),
            ("error=true", &[0, 2]),
            ("error=1", &[0, 2]),
            ("error=false", &[1, 3]),
            ("error=F", &[1, 3]),
            ("error=no", &[]),
            ("error=", &[]),
            ("span.status=error", &[0]),
            ("span.status=OK", &[1]),
            ("span.status=Unset", &[2, 3]),
            ("span.status=STATUS_CODE_ERROR", &[]),
            ("span.kind=server", &[0]),
            ("span.kind=SERVER", &[0]),
            ("span.kind=unspecified", &[1]),
            ("span.kind=none", &[]),
            ("scope.name=lib", &[0]),
            ("scope.name=", &[]),
            ("scope.version=1", &[0]),
            ("scope.version=1.0", &[]),
            ("zone=a", &[0]),
            ("zone=b", &[0]),
            ("resource.zone=a", &[]),
            ("resource.zone=b", &[0]),
            ("resource.zone=c", &[2]),
            ("resource.zone=d", &[3]),
            ("resource.service.name=shop", &[0, 1, 2, 3]),
            ("resource.=b", &[]),
            ("resource.zone=b zone=a error=true span.kind=server", &[0]),
            ("error=true error=false", &[]),
            ("otel.status_code=OK", &[1]),
        ];
        for (pairs, expected) in cases {
            let found: Vec<_> = (0..4).filter(|place| asks(pairs, &spans[*place])).collect();
            assert_eq!(found, expected, "{pairs}");
        }
        let many = (0..2_000).map(|number| ("span.kind".to_owned(), number.to_string()));
        assert_eq!(conditions_of_attributes(many).unwrap_err(), expression::Error::TooLarge);
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
