//! What a span must be like, as a tree: comparisons of its attributes and fields, joined by and, or and not.
//!
//! Promise: a tree that exists makes sense, because whoever builds it is told what does not: which operator, and what
//! of it. Asking a span reads nothing that was not read before, and ends soon when it is over.
//!
//! Limits: calls stand in calls up to [`MAX_DEPTH`]; a tree has [`MAX_NODES`] calls, operands and elements of lists, a
//! list [`MAX_ELEMENTS`]; regular expressions have [`MAX_PATTERN_BYTES`], [`MAX_PATTERNS`] stand in a tree, and what is
//! made of one takes at most 256 KiB.
//!
//! Does not know: protobuf, JSON, how durations and times are written.
//!
//! What several values mean: a reference can mean many (an attribute that is there twice, an attribute of events), none,
//! or one. A comparison holds when it holds for one of them. `ne` and `not_in` hold when there is at least one and none
//! of them equals. So nothing but `not` holds for what is not there.
//!
//! What a constant's type means: one that is declared is authoritative, and matches only values of it; whole numbers and
//! doubles are one kind, except in lists. [`Constant::Any`] is whatever the value is: a number beside a number, a bool
//! beside a bool, and otherwise the value's text in either of the two forms that [`AnyValue`] gives. Texts are in
//! alphabetical order, unless both are numbers and one of them is such a constant. Neither bools nor bytes and lists
//! have an order.
//!
//! Source: Jaeger RFC 0005, section 5; jaeger-idl 0.11.1, `jaeger.expression.v1` and `query/expression/v1`.

mod evaluate;
#[cfg(test)]
pub(super) mod naive_tests;
mod needs;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::fmt;

use regex::{Regex, RegexBuilder};

#[cfg(doc)]
use crate::otlp::AnyValue;

use crate::model::{SpanId, SpanKind, StatusCode, TraceId};

pub use evaluate::bool_of;
pub use vocabulary::{Field, Holds, Level, Operator};

/// How deep calls may stand in calls; the outermost one is the first.
pub const MAX_DEPTH: usize = 20;

/// How many calls, operands and elements of lists a tree may have.
pub const MAX_NODES: usize = 2_000;

/// How many elements a list may have.
pub const MAX_ELEMENTS: usize = 1_000;

/// The longest regular expression, in bytes.
pub const MAX_PATTERN_BYTES: usize = 1 << 10;

/// How many regular expressions a tree may have.
pub const MAX_PATTERNS: usize = 10;

/// What the matcher of one regular expression may take.
const MAX_MATCHER_BYTES: usize = 256 << 10;

/// Why a tree makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says all")]
pub enum Error {
    #[error("operator '{operator}' takes at least two predicates, {given} given")]
    TooFew { operator: Operator, given: usize },
    #[error("calls stand in calls more than {MAX_DEPTH} deep")]
    TooDeep,
    #[error("a filter has more than {MAX_NODES} calls, operands and elements of lists")]
    TooLarge,
    #[error("operator '{operator}' refers to an attribute without a key")]
    NoKey { operator: Operator },
    #[error("operator '{operator}' compares {left} with {right}, which is another kind of value")]
    Kinds { operator: Operator, left: String, right: String },
    #[error("operator '{operator}' has no order for {operand}")]
    NoOrder { operator: Operator, operand: String },
    #[error("operator '{operator}' compares {field} with '{given}', which is none of {expected}")]
    Word { operator: Operator, field: Field, given: String, expected: &'static str },
    #[error("operator '{operator}' compares with NaN, which is less, greater or equal to nothing")]
    NotANumber { operator: Operator },
    #[error("operator '{operator}' takes a list of 1 to {MAX_ELEMENTS} elements, {given} given")]
    Elements { operator: Operator, given: usize },
    #[error("operator 'regex' looks at text, {field} holds none")]
    NoText { field: Field },
    #[error(
        "operator 'regex' takes an expression of at most {MAX_PATTERN_BYTES} bytes, this one has {given}"
    )]
    LongPattern { given: usize },
    #[error("operator 'regex' takes an expression in RE2's syntax: {reason}")]
    Pattern { reason: String },
    #[error("a filter has more than {MAX_PATTERNS} regular expressions")]
    Patterns,
    #[error("operator 'some' looks at events or links, not at level '{level}'")]
    NotMany { level: Level },
    #[error("operator 'some' looks at level '{level}' inside of another one that does")]
    Bound { level: Level },
}

/// Something that a value of the span is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// The attributes of this key: of one level, or of the span and its resource.
    Attribute {
        /// The key.
        key: String,
        /// Where it stands.
        level: Option<Level>,
    },
    /// A field.
    Field(Field),
}

impl Reference {
    /// The attributes of this key at this level.
    pub fn attribute(key: impl Into<String>, level: Option<Level>) -> Self {
        Self::Attribute { key: key.into(), level }
    }
}

/// A value that was given.
#[derive(Debug, Clone)]
pub enum Constant {
    /// Text, or the text of whatever it is compared with.
    Any(String),
    /// Text.
    String(String),
    /// A whole number.
    Int(i64),
    /// A number.
    Double(f64),
    /// True or false.
    Bool(bool),
    /// A length of time, in ns.
    Duration(i128),
    /// A moment, in ns since the epoch.
    Time(i128),
}

impl PartialEq for Constant {
    /// Doubles by their bits.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any(one), Self::Any(other)) | (Self::String(one), Self::String(other)) => one == other,
            (Self::Int(one), Self::Int(other)) => one == other,
            (Self::Double(one), Self::Double(other)) => one.to_bits() == other.to_bits(),
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Duration(one), Self::Duration(other)) | (Self::Time(one), Self::Time(other)) => {
                one == other
            }
            _ => false,
        }
    }
}

impl Eq for Constant {}

/// One side of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// Read from the span.
    Reference(Reference),
    /// Given.
    Constant(Constant),
}

impl From<Reference> for Operand {
    fn from(reference: Reference) -> Self {
        Self::Reference(reference)
    }
}

impl From<Field> for Operand {
    fn from(field: Field) -> Self {
        Self::Reference(Reference::Field(field))
    }
}

impl From<Constant> for Operand {
    fn from(constant: Constant) -> Self {
        Self::Constant(constant)
    }
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Equal.
    Eq,
    /// There, and not equal.
    Ne,
    /// Greater.
    Gt,
    /// Less.
    Lt,
    /// Greater or equal.
    Gte,
    /// Less or equal.
    Lte,
}

impl Comparison {
    /// The operator that asks for it.
    pub fn operator(self) -> Operator {
        match self {
            Self::Eq => Operator::Eq,
            Self::Ne => Operator::Ne,
            Self::Gt => Operator::Gt,
            Self::Lt => Operator::Lt,
            Self::Gte => Operator::Gte,
            Self::Lte => Operator::Lte,
        }
    }

    /// The same question with its sides changed.
    fn turned(self) -> Self {
        match self {
            Self::Eq | Self::Ne => self,
            Self::Gt => Self::Lt,
            Self::Lt => Self::Gt,
            Self::Gte => Self::Lte,
            Self::Lte => Self::Gte,
        }
    }

    fn has_order(self) -> bool {
        !matches!(self, Self::Eq | Self::Ne)
    }
}

/// A predicate of a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    node: Node,
    size: Size,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    /// All hold; none at all do.
    All(Vec<Expression>),
    /// One holds; none at all does not.
    Any(Vec<Expression>),
    Not(Box<Expression>),
    Exists(Reference),
    Compare(Comparison, Operand, Operand),
    Member {
        of: Reference,
        list: Vec<Constant>,
        wanted: bool,
    },
    Regex(Reference, Pattern),
    Some(Level, Box<Expression>),
    /// As [`crate::query::Conditions::attributes`] has it; only of the resource, if it says so.
    Pair {
        key: String,
        text: String,
        of_resource: bool,
    },
}

/// A regular expression, equal to another one that reads the same.
#[derive(Clone)]
struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_str().fmt(f)
    }
}

/// What a tree is measured by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Size {
    depth: usize,
    nodes: usize,
    patterns: usize,
    /// Whether it has a `some` of events, and of links.
    some: [bool; 2],
}

impl Expression {
    /// `and`: all of these hold.
    pub fn all(predicates: Vec<Self>) -> Result<Self, Error> {
        at_least_two(Operator::And, &predicates)?;
        let size = Size::around(&predicates);
        Self::of(Node::All(predicates), size)
    }

    /// `or`: one of these holds.
    pub fn any(predicates: Vec<Self>) -> Result<Self, Error> {
        at_least_two(Operator::Or, &predicates)?;
        let size = Size::around(&predicates);
        Self::of(Node::Any(predicates), size)
    }

    /// `not`: it does not hold.
    pub fn negation(predicate: Self) -> Result<Self, Error> {
        let size = Size::around(std::slice::from_ref(&predicate));
        Self::of(Node::Not(Box::new(predicate)), size)
    }

    /// `exists`: there is such a value, even one that says nothing.
    pub fn exists(reference: Reference) -> Result<Self, Error> {
        check_key(Operator::Exists, &reference)?;
        Self::of(Node::Exists(reference), Size::leaf(1))
    }

    /// `eq`, `ne`, `gt`, `lt`, `gte`, `lte`.
    pub fn compare(
        comparison: Comparison,
        left: impl Into<Operand>,
        right: impl Into<Operand>,
    ) -> Result<Self, Error> {
        let operator = comparison.operator();
        let (left, right) = (left.into(), right.into());
        let left = read_beside(operator, left, &right)?;
        let right = read_beside(operator, right, &left)?;
        for operand in [&left, &right] {
            check_operand(comparison, operand)?;
        }
        check_kinds(operator, &left, &right)?;
        let node = match (left, right) {
            // What is read from the span stands first.
            (left @ Operand::Constant(_), right @ Operand::Reference(_)) => {
                Node::Compare(comparison.turned(), right, left)
            }
            (left, right) => Node::Compare(comparison, left, right),
        };
        Self::of(node, Size::leaf(2))
    }

    /// `in`: the value is one of these; `not_in`, unless that is wanted: there is a value, and it is none of these.
    pub fn member(reference: Reference, list: Vec<Constant>, wanted: bool) -> Result<Self, Error> {
        let operator = if wanted { Operator::In } else { Operator::NotIn };
        check_key(operator, &reference)?;
        if !(1..=MAX_ELEMENTS).contains(&list.len()) {
            return Err(Error::Elements { operator, given: list.len() });
        }
        let of = Operand::Reference(reference.clone());
        let size = Size::leaf(1 + list.len());
        let list = list.into_iter().map(|element| {
            let element = read_constant(operator, element, &of)?;
            check_number(operator, &element)?;
            check_kinds(operator, &of, &Operand::Constant(element.clone()))?;
            Ok(element)
        });
        let list = list.collect::<Result<_, _>>()?;
        Self::of(Node::Member { of: reference, list, wanted }, size)
    }

    /// `regex`: the expression, in RE2's syntax, is found anywhere in the value's text.
    pub fn regex(reference: Reference, pattern: &str) -> Result<Self, Error> {
        check_key(Operator::Regex, &reference)?;
        if let Reference::Field(field) = reference
            && matches!(field.holds(), Holds::Duration | Holds::Time)
        {
            return Err(Error::NoText { field });
        }
        if pattern.len() > MAX_PATTERN_BYTES {
            return Err(Error::LongPattern { given: pattern.len() });
        }
        let matcher = RegexBuilder::new(pattern)
            .size_limit(MAX_MATCHER_BYTES)
            .dfa_size_limit(MAX_MATCHER_BYTES)
            .build()
            .map_err(|error| Error::Pattern { reason: reason(&error) })?;
        let size = Size { patterns: 1, ..Size::leaf(2) };
        Self::of(Node::Regex(reference, Pattern(matcher)), size)
    }

    /// `some`: one event, or one link, fulfils the predicate; what this says of that level is asked of that one only.
    pub fn some(level: Level, predicate: Self) -> Result<Self, Error> {
        let place = match level {
            Level::Event => 0,
            Level::Link => 1,
            _ => return Err(Error::NotMany { level }),
        };
        let mut size = Size::around(std::slice::from_ref(&predicate));
        if size.some[place] {
            return Err(Error::Bound { level });
        }
        size.nodes += 1;
        size.some[place] = true;
        Self::of(Node::Some(level, Box::new(predicate)), size)
    }

    /// What one of [`crate::query::Conditions::attributes`] asks for.
    pub(super) fn pair(key: &str, text: &str) -> Self {
        let node = Node::Pair { key: key.to_owned(), text: text.to_owned(), of_resource: false };
        Self { node, size: Size::leaf(1) }
    }

    /// The same, but among the attributes of the resource only.
    pub(super) fn pair_of_resource(key: &str, text: &str) -> Self {
        let node = Node::Pair { key: key.to_owned(), text: text.to_owned(), of_resource: true };
        Self { node, size: Size::leaf(1) }
    }

    /// What holds for no span.
    pub(super) fn never() -> Self {
        Self { node: Node::Any(Vec::new()), size: Size::leaf(0) }
    }

    fn of(node: Node, size: Size) -> Result<Self, Error> {
        if size.depth > MAX_DEPTH {
            return Err(Error::TooDeep);
        }
        if size.nodes > MAX_NODES {
            return Err(Error::TooLarge);
        }
        if size.patterns > MAX_PATTERNS {
            return Err(Error::Patterns);
        }
        Ok(Self { node, size })
    }
}

impl Size {
    /// A call with this many operands that are no calls.
    fn leaf(operands: usize) -> Self {
        Self { depth: 1, nodes: 1 + operands, ..Self::default() }
    }

    /// A call of these.
    fn around(predicates: &[Expression]) -> Self {
        predicates.iter().fold(Self::leaf(0), |size, Expression { size: inner, .. }| Self {
            depth: size.depth.max(inner.depth + 1),
            nodes: size.nodes + inner.nodes,
            patterns: size.patterns + inner.patterns,
            some: [size.some[0] | inner.some[0], size.some[1] | inner.some[1]],
        })
    }
}

fn at_least_two(operator: Operator, predicates: &[Expression]) -> Result<(), Error> {
    let given = predicates.len();
    if given < 2 { Err(Error::TooFew { operator, given }) } else { Ok(()) }
}

fn check_key(operator: Operator, reference: &Reference) -> Result<(), Error> {
    match reference {
        Reference::Attribute { key, .. } if key.is_empty() => Err(Error::NoKey { operator }),
        _ => Ok(()),
    }
}

fn check_number(operator: Operator, constant: &Constant) -> Result<(), Error> {
    match constant {
        Constant::Double(number) if number.is_nan() => Err(Error::NotANumber { operator }),
        _ => Ok(()),
    }
}

fn check_operand(comparison: Comparison, operand: &Operand) -> Result<(), Error> {
    let operator = comparison.operator();
    match operand {
        Operand::Reference(reference) => check_key(operator, reference)?,
        Operand::Constant(constant) => check_number(operator, constant)?,
    }
    let has_none = match operand {
        Operand::Constant(Constant::Bool(_)) => true,
        Operand::Reference(Reference::Field(field)) => {
            matches!(field.holds(), Holds::Kind | Holds::Status)
        }
        _ => false,
    };
    if comparison.has_order() && has_none {
        return Err(Error::NoOrder { operator, operand: operand.to_string() });
    }
    Ok(())
}

/// Reads a constant as what the field on the other side holds.
fn read_beside(operator: Operator, operand: Operand, other: &Operand) -> Result<Operand, Error> {
    match operand {
        Operand::Constant(constant) => Ok(Operand::Constant(read_constant(operator, constant, other)?)),
        reference @ Operand::Reference(_) => Ok(reference),
    }
}

fn read_constant(operator: Operator, constant: Constant, other: &Operand) -> Result<Constant, Error> {
    let Operand::Reference(Reference::Field(field)) = other else { return Ok(constant) };
    let holds = field.holds();
    match constant {
        Constant::Int(nanos) if holds == Holds::Duration => Ok(Constant::Duration(nanos.into())),
        Constant::Int(nanos) if holds == Holds::Time => Ok(Constant::Time(nanos.into())),
        Constant::Any(text) | Constant::String(text) if holds != Holds::Duration && holds != Holds::Time => {
            read_text(operator, *field, text).map(Constant::String)
        }
        constant => Ok(constant),
    }
}

/// The text as such a field says it.
fn read_text(operator: Operator, field: Field, text: String) -> Result<String, Error> {
    let wrong = |expected| Error::Word { operator, field, given: text.chars().take(64).collect(), expected };
    match field.holds() {
        Holds::Kind if text.is_empty() || SpanKind::from_name(&text).is_none() => {
            Err(wrong("unspecified, internal, server, client, producer, consumer"))
        }
        Holds::Status if STATUSES.into_iter().all(|status| status.name() != text) => {
            Err(wrong("unset, ok, error"))
        }
        // Older clients have ids of half the length, and some write capitals. What is no id equals none.
        Holds::TraceId => Ok(TraceId::parse_hex(&text).map_or(text, |id| id.to_string())),
        Holds::SpanId => Ok(SpanId::parse_hex(&text).map_or(text, |id| id.to_string())),
        _ => Ok(text),
    }
}

const STATUSES: [StatusCode; 3] = [StatusCode::Unset, StatusCode::Ok, StatusCode::Error];

/// What values are compared as; attributes and [`Constant::Any`] are whatever is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Number,
    Text,
    Bool,
    Duration,
    Time,
}

impl Operand {
    fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::Constant(Constant::Any(_)) | Self::Reference(Reference::Attribute { .. }) => return None,
            Self::Constant(Constant::String(_)) => Kind::Text,
            Self::Constant(Constant::Int(_) | Constant::Double(_)) => Kind::Number,
            Self::Constant(Constant::Bool(_)) => Kind::Bool,
            Self::Constant(Constant::Duration(_)) => Kind::Duration,
            Self::Constant(Constant::Time(_)) => Kind::Time,
            Self::Reference(Reference::Field(field)) => match field.holds() {
                Holds::Duration => Kind::Duration,
                Holds::Time => Kind::Time,
                _ => Kind::Text,
            },
        })
    }
}

fn check_kinds(operator: Operator, left: &Operand, right: &Operand) -> Result<(), Error> {
    let takes_time = |operand: &Operand| matches!(operand.kind(), Some(Kind::Duration | Kind::Time));
    let fits = match (left, right) {
        // The text of a time is read by what stands beside it; an attribute does not say what it holds.
        (Operand::Constant(Constant::Any(_)), other) | (other, Operand::Constant(Constant::Any(_))) => {
            !takes_time(other)
        }
        (Operand::Reference(Reference::Attribute { .. }), constant @ Operand::Constant(_))
        | (constant @ Operand::Constant(_), Operand::Reference(Reference::Attribute { .. })) => {
            !takes_time(constant)
        }
        _ => match (left.kind(), right.kind()) {
            (Some(one), Some(other)) => one == other,
            _ => true,
        },
    };
    if fits {
        return Ok(());
    }
    Err(Error::Kinds { operator, left: left.to_string(), right: right.to_string() })
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(Reference::Field(field)) => field.fmt(f),
            Self::Reference(Reference::Attribute { .. }) => f.write_str("an attribute"),
            Self::Constant(constant) => f.write_str(match constant {
                Constant::Any(_) => "a value without a type",
                Constant::String(_) => "a string",
                Constant::Int(_) => "an int",
                Constant::Double(_) => "a double",
                Constant::Bool(_) => "a bool",
                Constant::Duration(_) => "a duration",
                Constant::Time(_) => "a time",
            }),
        }
    }
}

/// The last line of what the parser says; those before draw the expression and point at places.
fn reason(error: &regex::Error) -> String {
    let text = error.to_string();
    let last = text.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}
