//! Asking a span.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::{Comparison, Constant, Expression, Field, Level, Node, Operand, Reference};
use crate::model::{Origin, SpanKind, StatusCode, Timestamp};
use crate::otlp::{AnyValue, EventView, KeyValue, LinkView};
use crate::query::views::Views;

impl Expression {
    /// Whether the span is like that.
    pub(in crate::query) fn holds(&self, views: &Views<'_>) -> bool {
        Asked { views, event: None, link: None }.fulfils(self)
    }
}

/// What a call counts beside the attributes it looks at, and an element of a list: one attribute may be long.
const STEPS_OF_CALL: usize = 256;
const STEPS_OF_ELEMENT: usize = 16;

/// A span, and what of its events and links is asked.
#[derive(Clone, Copy)]
struct Asked<'a> {
    views: &'a Views<'a>,
    /// The one that `some` looks at; all of them outside of it.
    event: Option<&'a EventView<'a>>,
    /// The same for links.
    link: Option<&'a LinkView<'a>>,
}

/// A value as it is compared.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    /// A constant without a type.
    Any(&'a str),
    Text(Cow<'a, str>),
    /// A whole number, and times in ns.
    Int(i128),
    Double(f64),
    Bool(bool),
    /// Bytes, a list, a map, or an attribute that says nothing.
    Other(&'a AnyValue<'a>),
}

impl<'a> Asked<'a> {
    fn fulfils(&self, expression: &'a Expression) -> bool {
        if !self.views.steps.go_on(STEPS_OF_CALL) {
            return false;
        }
        match &expression.node {
            Node::All(predicates) => predicates.iter().all(|predicate| self.fulfils(predicate)),
            Node::Any(predicates) => predicates.iter().any(|predicate| self.fulfils(predicate)),
            Node::Not(predicate) => !self.fulfils(predicate),
            Node::Exists(reference) => self.has(reference),
            Node::Compare(comparison, left, right) => self.compare(*comparison, left, right),
            Node::Member { of, list, wanted: true } => self.any(of, &mut |value| self.is_in(value, list)),
            Node::Member { of, list, wanted: false } => {
                self.has(of) && !self.any(of, &mut |value| self.is_in(value, list))
            }
            Node::Regex(reference, pattern) => {
                self.any(reference, &mut |value| value.text().is_some_and(|text| pattern.0.is_match(&text)))
            }
            Node::Some(Level::Link, predicate) => {
                self.links().any(|link| Asked { link: Some(link), ..*self }.fulfils(predicate))
            }
            Node::Some(_, predicate) => {
                self.events().any(|event| Asked { event: Some(event), ..*self }.fulfils(predicate))
            }
            Node::Pair { key, text, of_resource: false } => self.views.have(key, text),
            Node::Pair { key, text, of_resource: true } => self.views.resource_has(key, text),
        }
    }

    fn compare(&self, comparison: Comparison, left: &'a Operand, right: &'a Operand) -> bool {
        let any = |test: &dyn Fn(&Value<'_>, &Value<'_>) -> bool| {
            self.any_of(left, &mut |one| self.any_of(right, &mut |other| test(one, other)))
        };
        let ordered = |wanted: fn(Ordering) -> bool| any(&|one, other| order(one, other).is_some_and(wanted));
        match comparison {
            Comparison::Eq => any(&equal),
            Comparison::Ne => any(&|_, _| true) && !any(&equal),
            Comparison::Gt => ordered(Ordering::is_gt),
            Comparison::Lt => ordered(Ordering::is_lt),
            Comparison::Gte => ordered(Ordering::is_ge),
            Comparison::Lte => ordered(Ordering::is_le),
        }
    }

    fn is_in(&self, value: &Value<'_>, list: &[Constant]) -> bool {
        let mut elements = list.iter().take_while(|_| self.views.steps.go_on(STEPS_OF_ELEMENT));
        elements.any(|element| match (value, element) {
            (Value::Int(_), Constant::Double(_)) | (Value::Double(_), Constant::Int(_)) => false,
            _ => equal(value, &Value::of_constant(element)),
        })
    }

    fn has(&self, reference: &Reference) -> bool {
        self.any(reference, &mut |_| true)
    }

    fn any_of(&self, operand: &'a Operand, test: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        match operand {
            Operand::Reference(reference) => self.any(reference, test),
            Operand::Constant(constant) => test(&Value::of_constant(constant)),
        }
    }

    /// Whether a value of the reference passes the test.
    fn any(&self, reference: &Reference, test: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        match reference {
            Reference::Field(field) => self.any_of_field(*field, test),
            Reference::Attribute { key, level } => self.any_of_attribute(key, *level, test),
        }
    }

    fn any_of_attribute(
        &self,
        key: &str,
        level: Option<Level>,
        test: &mut dyn FnMut(&Value<'_>) -> bool,
    ) -> bool {
        let views = self.views;
        let mut stands_in = |pairs: &[KeyValue<'_>]| {
            let going_on = pairs.iter().take_while(|_| views.steps.go_on(1));
            let mut named = going_on.filter(|pair| pair.key == key);
            named.any(|pair| test(&Value::of_attribute(&pair.value)))
        };
        match level {
            None => {
                stands_in(&views.body.attributes)
                    || stands_in(&views.resource.attributes)
                    || (key == "error" && self.is_error(test))
            }
            Some(Level::Span) => stands_in(&views.body.attributes) || (key == "error" && self.is_error(test)),
            Some(Level::Resource) => stands_in(&views.resource.attributes),
            Some(Level::Scope) => stands_in(&views.scope.attributes),
            Some(Level::Event) => self.events().any(|event| stands_in(&event.attributes)),
            Some(Level::Link) => self.links().any(|link| stands_in(&link.attributes)),
        }
    }

    /// The status as the attribute `error`, which is what it is in Jaeger: an error always, and none unless the
    /// span has such an attribute itself.
    fn is_error(&self, test: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        let is_error = self.views.span.status == StatusCode::Error;
        let is_said = self.views.body.attributes.iter().any(|pair| pair.key == "error");
        (is_error || !is_said) && test(&Value::Bool(is_error))
    }

    fn any_of_field(&self, field: Field, test: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        let Self { views, .. } = self;
        let (span, body) = (views.span, &views.body);
        match field {
            Field::TraceId => test(&Value::Text(span.trace_id.to_string().into())),
            Field::SpanId => test(&Value::Text(span.span_id.to_string().into())),
            Field::ParentSpanId => {
                let parent = span.parent_id.filter(|id| !id.is_zero());
                parent.is_some_and(|id| test(&Value::Text(id.to_string().into())))
            }
            Field::TraceState => is_said(&body.trace_state, test),
            Field::Name => test(&Value::Text((&*body.name).into())),
            Field::Kind => test(&Value::Text(kind_word(span.kind).into())),
            Field::StartTime => test(&time(span.start)),
            Field::EndTime => test(&time(span.end)),
            Field::Duration => test(&Value::Int(span.duration().as_nanos() as i128)),
            Field::Status => test(&Value::Text(span.status.name().into())),
            Field::StatusMessage => is_said(&body.status_message, test),
            Field::Service => is_said(&span.resource.service, test),
            Field::ResourceSchemaUrl => is_said(&span.resource.schema_url, test),
            Field::ScopeName => self.is_of_scope(&views.scope.name, "otel.scope.name", test),
            Field::ScopeVersion => self.is_of_scope(&views.scope.version, "otel.scope.version", test),
            Field::ScopeSchemaUrl => is_said(&span.scope.schema_url, test),
            Field::EventName | Field::EventTime | Field::TimeSinceStart => {
                self.events().any(|event| test(&self.of_event(field, event)))
            }
            Field::LinkTraceId | Field::LinkSpanId | Field::LinkTraceState => {
                self.links().any(|link| match field {
                    Field::LinkTraceId => test(&Value::Text(link.trace_id.to_string().into())),
                    Field::LinkSpanId => test(&Value::Text(link.span_id.to_string().into())),
                    _ => is_said(&link.trace_state, test),
                })
            }
        }
    }

    /// The scope's own word, or, in Jaeger's and Zipkin's words, the tag that says it.
    fn is_of_scope(&self, text: &str, tag: &str, test: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        is_said(text, test)
            || (self.views.span.origin != Origin::Otlp
                && self.views.body.attributes.iter().any(|pair| match &pair.value {
                    AnyValue::String(text) => pair.key == tag && is_said(text, test),
                    _ => false,
                }))
    }

    fn of_event(&self, field: Field, event: &'a EventView<'_>) -> Value<'a> {
        match field {
            Field::EventName => Value::Text((&*event.name).into()),
            Field::EventTime => time(event.time),
            _ => Value::Int(i128::from(event.time.nanos()) - i128::from(self.views.span.start.nanos())),
        }
    }

    fn events(&self) -> impl Iterator<Item = &'a EventView<'a>> {
        let events = self.event.map_or(&self.views.body.events[..], std::slice::from_ref);
        events.iter().take_while(|_| self.views.steps.go_on(1))
    }

    fn links(&self) -> impl Iterator<Item = &'a LinkView<'a>> {
        let links = self.link.map_or(&self.views.body.links[..], std::slice::from_ref);
        links.iter().take_while(|_| self.views.steps.go_on(1))
    }
}

/// Nobody said what is empty.
fn is_said(text: &str, test: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
    !text.is_empty() && test(&Value::Text(text.into()))
}

fn time(time: Timestamp) -> Value<'static> {
    Value::Int(time.nanos().into())
}

fn kind_word(kind: SpanKind) -> &'static str {
    if kind == SpanKind::Unspecified { "unspecified" } else { kind.name() }
}

impl<'a> Value<'a> {
    fn of_attribute(value: &'a AnyValue<'_>) -> Self {
        match value {
            AnyValue::String(text) => Self::Text((&**text).into()),
            AnyValue::Int(number) => Self::Int((*number).into()),
            AnyValue::Double(number) => Self::Double(*number),
            AnyValue::Bool(bit) => Self::Bool(*bit),
            AnyValue::Empty | AnyValue::Bytes(_) | AnyValue::Array(_) | AnyValue::Map(_) => {
                Self::Other(value)
            }
        }
    }

    fn of_constant(constant: &'a Constant) -> Self {
        match constant {
            Constant::Any(text) => Self::Any(text),
            Constant::String(text) => Self::Text(text.into()),
            Constant::Int(number) => Self::Int((*number).into()),
            Constant::Double(number) => Self::Double(*number),
            Constant::Bool(bit) => Self::Bool(*bit),
            Constant::Duration(nanos) | Constant::Time(nanos) => Self::Int(*nanos),
        }
    }

    /// What a regular expression looks at; an attribute that says nothing has none.
    fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Any(text) => Some(Cow::Borrowed(text)),
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Int(number) => Some(Cow::Owned(number.to_string())),
            Self::Double(number) => Some(Cow::Owned(AnyValue::Double(*number).to_text().into_owned())),
            Self::Bool(bit) => Some(Cow::Borrowed(if *bit { "true" } else { "false" })),
            Self::Other(AnyValue::Empty) => None,
            Self::Other(value) => Some(value.to_text()),
        }
    }
}

fn equal(one: &Value<'_>, other: &Value<'_>) -> bool {
    match (one, other) {
        (Value::Any(text), value) | (value, Value::Any(text)) => is_text(value, text),
        (Value::Text(one), Value::Text(other)) => one == other,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::Other(AnyValue::Empty), _) | (_, Value::Other(AnyValue::Empty)) => false,
        (Value::Other(one), Value::Other(other)) => one.to_text() == other.to_text(),
        _ => order_of_numbers(one, other) == Some(Ordering::Equal),
    }
}

/// Whether the value is what a text without a type says.
fn is_text(value: &Value<'_>, text: &str) -> bool {
    match value {
        Value::Any(other) => *other == text,
        Value::Text(other) => other == text,
        Value::Bool(bit) => bool_of(text) == Some(*bit),
        Value::Other(AnyValue::Empty) => false,
        Value::Other(other) => other.is_text(text),
        Value::Int(_) => number_of(text).is_some_and(|number| equal(value, &number)),
        Value::Double(number) => {
            AnyValue::Double(*number).is_text(text)
                || number_of(text).is_some_and(|number| equal(value, &number))
        }
    }
}

fn order(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    match (one, other) {
        (Value::Any(text), value) => order_of_text(value, text).map(Ordering::reverse),
        (value, Value::Any(text)) => order_of_text(value, text),
        (Value::Text(one), Value::Text(other)) => Some(one.cmp(other)),
        _ => order_of_numbers(one, other),
    }
}

/// How the value stands to a text without a type.
fn order_of_text(value: &Value<'_>, text: &str) -> Option<Ordering> {
    let own = match value {
        Value::Any(own) => own,
        Value::Text(own) => &**own,
        _ => return order_of_numbers(value, &number_of(text)?),
    };
    match (number_of(own), number_of(text)) {
        (Some(own), Some(number)) => order_of_numbers(&own, &number),
        _ => Some(own.cmp(text)),
    }
}

fn order_of_numbers(one: &Value<'_>, other: &Value<'_>) -> Option<Ordering> {
    match (one, other) {
        (Value::Int(one), Value::Int(other)) => Some(one.cmp(other)),
        (Value::Double(one), Value::Double(other)) => one.partial_cmp(other),
        (Value::Int(whole), Value::Double(number)) => order_of_whole(*whole, *number),
        (Value::Double(number), Value::Int(whole)) => order_of_whole(*whole, *number).map(Ordering::reverse),
        _ => None,
    }
}

/// Exact, where making a double of the whole number would round it.
pub(super) fn order_of_whole(whole: i128, number: f64) -> Option<Ordering> {
    if number.is_nan() {
        return None;
    }
    // Saturates, which is as good: no whole number here has more than 64 bits.
    let floor = number.floor();
    Some(whole.cmp(&(floor as i128)).then(if number > floor { Ordering::Less } else { Ordering::Equal }))
}

/// The number that a text says.
pub(super) fn number_of(text: &str) -> Option<Value<'static>> {
    if let Ok(whole) = text.parse::<i128>() {
        return Some(Value::Int(whole));
    }
    text.parse().ok().filter(|number: &f64| !number.is_nan()).map(Value::Double)
}

/// The words that Go's `ParseBool` takes, as Jaeger does.
pub fn bool_of(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Some(true),
        "0" | "f" | "F" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}
