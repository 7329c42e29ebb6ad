//! What indexes and filters can tell of spans that a tree holds for.
//!
//! All that is said here has to be so for the tree to hold; the tree may ask for more. Hence `not` says nothing, and
//! `or` what all of its branches say.

use std::time::Duration;

use super::evaluate::{Value, bool_of, number_of, order_of_whole};
use super::{Comparison, Constant, Expression, Field, Node, Operand, Reference};
use crate::model::{SpanKind, StatusCode, Timestamp};
use crate::otlp::AnyValue;
use crate::store::{Filter, shortened, tag_hash};

/// Part of a [`Filter`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::query) struct Needs {
    service: Option<String>,
    operation: Option<String>,
    kind: Option<SpanKind>,
    status: Option<StatusCode>,
    /// Of each of these, one.
    tags: Vec<Vec<u64>>,
    starts: (Timestamp, Timestamp),
    durations: (Duration, Duration),
}

impl Default for Needs {
    /// Nothing.
    fn default() -> Self {
        Self {
            service: None,
            operation: None,
            kind: None,
            status: None,
            tags: Vec::new(),
            starts: (Timestamp::ZERO, Timestamp::MAX),
            durations: (Duration::ZERO, Duration::MAX),
        }
    }
}

impl Needs {
    /// Of what holds for no span.
    fn impossible() -> Self {
        Self { starts: (Timestamp::MAX, Timestamp::ZERO), ..Self::default() }
    }

    fn of_tags(tags: Option<Vec<u64>>) -> Self {
        Self { tags: tags.into_iter().collect(), ..Self::default() }
    }

    /// The filter for spans that it asks for and that are like this.
    pub(in crate::query) fn narrow(self, filter: Filter) -> Filter {
        let (starts, durations) = (filter.starts.into_inner(), filter.durations.into_inner());
        let asked = Self {
            service: filter.service,
            operation: filter.operation,
            kind: filter.kind,
            status: filter.status,
            tags: filter.tags,
            starts,
            durations,
        };
        let both = asked.and(self);
        Filter {
            service: both.service,
            operation: both.operation,
            kind: both.kind,
            status: both.status,
            tags: both.tags,
            starts: both.starts.0..=both.starts.1,
            durations: both.durations.0..=both.durations.1,
        }
    }

    /// Both. Where they contradict each other no span can be like that, and either will do.
    fn and(mut self, other: Self) -> Self {
        self.tags.extend(other.tags);
        Self {
            service: self.service.or(other.service),
            operation: self.operation.or(other.operation),
            kind: self.kind.or(other.kind),
            status: self.status.or(other.status),
            tags: self.tags,
            starts: (self.starts.0.max(other.starts.0), self.starts.1.min(other.starts.1)),
            durations: (self.durations.0.max(other.durations.0), self.durations.1.min(other.durations.1)),
        }
    }

    /// What both say.
    fn or(self, other: Self) -> Self {
        let tags = match (self.tags.into_iter().next(), other.tags.into_iter().next()) {
            (Some(some), Some(more)) => Some([some, more].concat()),
            _ => None,
        };
        Self {
            service: self.service.filter(|name| other.service.as_ref() == Some(name)),
            operation: self.operation.filter(|name| other.operation.as_ref() == Some(name)),
            kind: self.kind.filter(|kind| other.kind == Some(*kind)),
            status: self.status.filter(|status| other.status == Some(*status)),
            tags: tags.into_iter().collect(),
            starts: (self.starts.0.min(other.starts.0), self.starts.1.max(other.starts.1)),
            durations: (self.durations.0.min(other.durations.0), self.durations.1.max(other.durations.1)),
        }
    }
}

impl Expression {
    /// What a span is like for which it holds.
    pub(in crate::query) fn needs(&self) -> Needs {
        match &self.node {
            Node::All(predicates) => predicates.iter().map(Self::needs).fold(Needs::default(), Needs::and),
            Node::Any(predicates) => {
                predicates.iter().map(Self::needs).reduce(Needs::or).unwrap_or_else(Needs::impossible)
            }
            Node::Some(_, predicate) => predicate.needs(),
            Node::Pair { key, text, .. } => Needs::of_tags(Some(vec![tag_hash(key, text)])),
            Node::Member { of, list, wanted: true } => of_equal(of, list),
            Node::Compare(Comparison::Eq, Operand::Reference(of), Operand::Constant(constant)) => {
                of_equal(of, std::slice::from_ref(constant))
            }
            Node::Compare(
                comparison,
                Operand::Reference(Reference::Field(field)),
                Operand::Constant(constant),
            ) => of_bound(*comparison, *field, constant),
            Node::Not(_) | Node::Exists(_) | Node::Compare(..) | Node::Member { .. } | Node::Regex(..) => {
                Needs::default()
            }
        }
    }
}

/// Of a value that equals one of these.
fn of_equal(reference: &Reference, constants: &[Constant]) -> Needs {
    let tags = constants.iter().map(|constant| tags_of(reference, constant));
    let tags = tags.collect::<Option<Vec<_>>>().map(|tags| tags.concat());
    let needs = Needs::of_tags(tags);
    let (Reference::Field(field), [constant]) = (reference, constants) else { return needs };
    match (field, constant) {
        (Field::Service, Constant::String(name)) => {
            Needs { service: Some(shortened(name).into_owned()), ..needs }
        }
        (Field::Name, Constant::String(name)) => {
            Needs { operation: Some(shortened(name).into_owned()), ..needs }
        }
        (Field::Kind, Constant::String(word)) => Needs { kind: SpanKind::from_name(word), ..needs },
        (Field::Status, Constant::String(word)) => Needs { status: status_of(word), ..needs },
        _ => needs.and(of_bound(Comparison::Eq, *field, constant)),
    }
}

/// Of a value that stands so to the constant.
fn of_bound(comparison: Comparison, field: Field, constant: &Constant) -> Needs {
    let (Constant::Duration(nanos) | Constant::Time(nanos)) = constant else { return Needs::default() };
    // What lies beyond is brought to the end, where it bounds as much or less.
    let nanos = u64::try_from((*nanos).clamp(0, u64::MAX.into())).unwrap_or(u64::MAX);
    let (low, high) = match comparison {
        Comparison::Eq => (nanos, nanos),
        Comparison::Gt | Comparison::Gte => (nanos, u64::MAX),
        Comparison::Lt | Comparison::Lte => (0, nanos),
        Comparison::Ne => (0, u64::MAX),
    };
    match field {
        Field::StartTime => Needs { starts: (Timestamp(low), Timestamp(high)), ..Needs::default() },
        Field::Duration => {
            Needs { durations: (Duration::from_nanos(low), Duration::from_nanos(high)), ..Needs::default() }
        }
        _ => Needs::default(),
    }
}

/// The hashes of which one is there when a value equals the constant; none when there may be none.
fn tags_of(reference: &Reference, constant: &Constant) -> Option<Vec<u64>> {
    let (key, texts) = match reference {
        Reference::Attribute { key, .. } => (key.as_str(), texts_of(constant)),
        Reference::Field(field) => {
            let Constant::String(text) = constant else { return None };
            (tag_of(*field, text)?, vec![tag_text(*field, text)])
        }
    };
    // That a span is no error is not among its pairs.
    if key == "error" && texts.iter().any(|text| text == "false") {
        return None;
    }
    Some(texts.iter().map(|text| tag_hash(key, text)).collect())
}

/// The key by which chunks are searched for a field that says this.
fn tag_of(field: Field, text: &str) -> Option<&'static str> {
    match field {
        Field::Service => Some("service.name"),
        Field::Name => Some("operation"),
        Field::ScopeName => Some("otel.scope.name"),
        Field::ScopeVersion => Some("otel.scope.version"),
        Field::EventName => Some("event"),
        Field::StatusMessage => Some("otel.status_description"),
        Field::TraceState => Some("w3c.tracestate"),
        Field::Kind if text != "unspecified" => Some("span.kind"),
        Field::Status if text != StatusCode::Unset.name() => Some("otel.status_code"),
        _ => None,
    }
}

fn tag_text(field: Field, text: &str) -> String {
    if field == Field::Status { text.to_ascii_uppercase() } else { text.to_owned() }
}

fn status_of(word: &str) -> Option<StatusCode> {
    super::STATUSES.into_iter().find(|status| status.name() == word)
}

/// The texts of all attributes' values that equal the constant.
fn texts_of(constant: &Constant) -> Vec<String> {
    match constant {
        Constant::Any(text) => {
            let mut texts = vec![text.clone()];
            texts.extend(bool_of(text).map(|bit| bit.to_string()));
            texts.extend(number_of(text).iter().flat_map(texts_of_number));
            texts
        }
        Constant::String(text) => vec![text.clone()],
        Constant::Bool(bit) => vec![bit.to_string()],
        Constant::Int(number) => texts_of_number(&Value::Int((*number).into())),
        Constant::Double(number) => texts_of_number(&Value::Double(*number)),
        // No attribute is compared with them.
        Constant::Duration(_) | Constant::Time(_) => Vec::new(),
    }
}

/// As a whole number, and as a double.
fn texts_of_number(number: &Value<'_>) -> Vec<String> {
    let (whole, double) = match number {
        Value::Int(whole) => (*whole, *whole as f64),
        Value::Double(double) => (*double as i128, *double),
        _ => return Vec::new(),
    };
    let text = |double| AnyValue::Double(double).to_text().into_owned();
    if double == 0.0 {
        return vec!["0".to_owned(), text(-0.0)];
    }
    let is_both = order_of_whole(whole, double).is_some_and(std::cmp::Ordering::is_eq);
    let is_whole = matches!(number, Value::Int(_));
    let whole = (is_both || is_whole).then(|| whole.to_string());
    let double = (is_both || !is_whole).then(|| text(double));
    whole.into_iter().chain(double).collect()
}
