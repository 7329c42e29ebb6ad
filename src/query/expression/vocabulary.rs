//! The words of the tree: levels, operators, and the fields that a level has beside its attributes.
//!
//! Source: Jaeger RFC 0005, sections 5.1 to 5.3; jaeger-idl 0.11.1, `jaeger.expression.v1`.

use std::fmt;

/// What has attributes and fields of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// The span.
    Span,
    /// What it ran in.
    Resource,
    /// What made it.
    Scope,
    /// Its events.
    Event,
    /// Its links.
    Link,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Span, Self::Resource, Self::Scope, Self::Event, Self::Link];

    /// Its lower-case word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Span => "span",
            Self::Resource => "resource",
            Self::Scope => "scope",
            Self::Event => "event",
            Self::Link => "link",
        }
    }

    /// The level of this word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|level| level.name() == name)
    }
}

/// What is done with its operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operator {
    /// Every predicate holds.
    And,
    /// At least one predicate holds.
    Or,
    /// The predicate does not hold.
    Not,
    /// Two values are equal.
    Eq,
    /// There are values, and none equals.
    Ne,
    /// One value is greater than the other.
    Gt,
    /// One value is less than the other.
    Lt,
    /// One value is not less than the other.
    Gte,
    /// One value is not greater than the other.
    Lte,
    /// The expression is found anywhere in the value.
    Regex,
    /// There is a value.
    Exists,
    /// The value is one of a list.
    In,
    /// There are values, and none is of the list.
    NotIn,
    /// One and the same event or link fulfils the predicate.
    Some,
}

impl Operator {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::And,
        Self::Or,
        Self::Not,
        Self::Eq,
        Self::Ne,
        Self::Gt,
        Self::Lt,
        Self::Gte,
        Self::Lte,
        Self::Regex,
        Self::Exists,
        Self::In,
        Self::NotIn,
        Self::Some,
    ];

    /// Its lower-case word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::And => "and",
            Self::Or => "or",
            Self::Not => "not",
            Self::Eq => "eq",
            Self::Ne => "ne",
            Self::Gt => "gt",
            Self::Lt => "lt",
            Self::Gte => "gte",
            Self::Lte => "lte",
            Self::Regex => "regex",
            Self::Exists => "exists",
            Self::In => "in",
            Self::NotIn => "not_in",
            Self::Some => "some",
        }
    }

    /// The operator of this word.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|operator| operator.name() == name)
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the values of a field are, which is what a constant beside it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Text.
    Text,
    /// The hex digits of a trace id, in full.
    TraceId,
    /// The hex digits of a span id, in full.
    SpanId,
    /// The word of a [`crate::model::SpanKind`]; `unspecified` for that.
    Kind,
    /// The word of a [`crate::model::StatusCode`].
    Status,
    /// A length of time.
    Duration,
    /// A moment.
    Time,
}

/// A value that a level has by itself, not among its attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the field of OTLP that `FIELDS` names")]
pub enum Field {
    TraceId,
    SpanId,
    ParentSpanId,
    TraceState,
    Name,
    Kind,
    StartTime,
    EndTime,
    Duration,
    Status,
    StatusMessage,
    Service,
    ResourceSchemaUrl,
    ScopeName,
    ScopeVersion,
    ScopeSchemaUrl,
    EventName,
    EventTime,
    TimeSinceStart,
    LinkTraceId,
    LinkSpanId,
    LinkTraceState,
}

/// Every field: its level, its name there, and what it holds.
const FIELDS: [(Field, Level, &str, Holds); 22] = [
    (Field::TraceId, Level::Span, "traceID", Holds::TraceId),
    (Field::SpanId, Level::Span, "spanID", Holds::SpanId),
    (Field::ParentSpanId, Level::Span, "parentSpanID", Holds::SpanId),
    (Field::TraceState, Level::Span, "traceState", Holds::Text),
    (Field::Name, Level::Span, "name", Holds::Text),
    (Field::Kind, Level::Span, "kind", Holds::Kind),
    (Field::StartTime, Level::Span, "startTime", Holds::Time),
    (Field::EndTime, Level::Span, "endTime", Holds::Time),
    (Field::Duration, Level::Span, "duration", Holds::Duration),
    (Field::Status, Level::Span, "status", Holds::Status),
    (Field::StatusMessage, Level::Span, "statusMessage", Holds::Text),
    (Field::Service, Level::Resource, "service", Holds::Text),
    (Field::ResourceSchemaUrl, Level::Resource, "schemaURL", Holds::Text),
    (Field::ScopeName, Level::Scope, "name", Holds::Text),
    (Field::ScopeVersion, Level::Scope, "version", Holds::Text),
    (Field::ScopeSchemaUrl, Level::Scope, "schemaURL", Holds::Text),
    (Field::EventName, Level::Event, "name", Holds::Text),
    (Field::EventTime, Level::Event, "time", Holds::Time),
    (Field::TimeSinceStart, Level::Event, "timeSinceStart", Holds::Duration),
    (Field::LinkTraceId, Level::Link, "traceID", Holds::TraceId),
    (Field::LinkSpanId, Level::Link, "spanID", Holds::SpanId),
    (Field::LinkTraceState, Level::Link, "traceState", Holds::Text),
];

impl Field {
    /// The field of this level that has this name.
    pub fn named(level: Level, name: &str) -> Option<Self> {
        FIELDS.into_iter().find(|(_, of, called, _)| (*of, *called) == (level, name)).map(|row| row.0)
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        FIELDS.into_iter().map(|row| row.0)
    }

    /// What it holds.
    pub fn holds(self) -> Holds {
        self.row().3
    }

    /// Its level.
    pub fn level(self) -> Level {
        self.row().1
    }

    /// Its name at its level.
    pub fn name(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (Self, Level, &'static str, Holds) {
        // The table is in the order of the fields, which a test holds.
        FIELDS[self as usize]
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.level(), self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back() {
        assert!(Level::ALL.into_iter().all(|level| Level::from_name(level.name()) == Some(level)));
        for operator in Operator::ALL {
            assert_eq!(Operator::from_name(operator.name()), Some(operator));
        }
        for (place, (field, level, name, _)) in FIELDS.into_iter().enumerate() {
            assert_eq!(field as usize, place, "{name}");
            assert_eq!(Field::named(level, name), Some(field));
            assert_eq!(field.to_string(), format!("{level}.{name}"));
        }
        assert_eq!(Field::named(Level::Resource, "name"), None);
        assert_eq!(Operator::from_name("AND"), None);
    }
}
