//! Structured filters as they are sent, `jaeger.expression.v1` in protobuf and its JSON, read into the tree that searches
//! ask.
//!
//! Source: jaeger-idl 0.11.1, `expression/v1/expression.proto`; Jaeger RFC 0005, sections 5.3, 5.4 and 6.

use serde_json::{Map, Value};

use crate::proto::jaeger::expression::v1 as proto;
use crate::proto::jaeger::expression::v1::expression::Term;
use crate::query::Expression;
use crate::query::expression::{
    self, Comparison, Constant, Field, Holds, Level, MAX_DEPTH, MAX_NODES, MAX_PATTERNS, Operand, Operator,
    Reference, bool_of,
};
use crate::translate::jaeger_json::parse_duration;

/// The longest filter in JSON that is read, in bytes.
pub const MAX_JSON_BYTES: usize = 256 << 10;

/// The levels that a filter may name, for who asks what is supported.
pub const LEVELS: [&str; 5] = {
    let mut names = [""; 5];
    let mut place = 0;
    while place < names.len() {
        names[place] = Level::ALL[place].name();
        place += 1;
    }
    names
};

/// The operators that a filter may have, for who asks what is supported.
pub const OPERATORS: [&str; 14] = {
    let mut names = [""; 14];
    let mut place = 0;
    while place < names.len() {
        names[place] = Operator::ALL[place].name();
        place += 1;
    }
    names
};

/// Why a filter makes no sense. Who sent it is to be told: INVALID_ARGUMENT, or 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is too long.
    #[error("filter has {given} bytes, at most {MAX_JSON_BYTES} are read")]
    TooLong {
        /// How long it is.
        given: usize,
    },
    /// The text is no JSON.
    #[error("filter is not JSON: {reason}")]
    NoJson {
        /// Where it stops being any.
        reason: String,
    },
    /// A call is wrong; the outermost one is at depth 1.
    #[error("filter, at depth {depth}: {reason}")]
    At {
        /// How deep the call stands in others.
        depth: usize,
        /// What is wrong with it.
        reason: Reason,
    },
}

/// What is wrong with a call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says all")]
pub enum Reason {
    #[error("unknown operator '{name}', expecting one of {}", OPERATORS.join(", "))]
    Operator { name: String },
    #[error("operator '{operator}': unknown level '{name}', expecting {expected}")]
    Level { operator: Operator, name: String, expected: String },
    #[error("operator '{operator}': level '{level}' has no field '{name}', expecting {expected}")]
    Field { operator: Operator, level: Level, name: String, expected: String },
    #[error(
        "operator '{operator}': unknown type '{name}', expecting one of string, int, double, bool or none"
    )]
    Type { operator: Operator, name: String },
    #[error("operator '{operator}' takes {expected} arguments, {given} given")]
    Arguments { operator: Operator, expected: usize, given: usize },
    #[error("operator '{operator}': argument {place} is {given}, expecting {expected}")]
    Argument { operator: Operator, place: usize, given: &'static str, expected: &'static str },
    #[error("operator '{operator}': '{value}' is not {expected}")]
    Constant { operator: Operator, value: String, expected: String },
    #[error("{what} is {given}, expecting {expected}")]
    Json { what: &'static str, given: &'static str, expected: &'static str },
    #[error("{what} has an unknown field '{name}', expecting one of {expected}")]
    JsonField { what: &'static str, name: String, expected: String },
    #[error("an argument has {given} fields, expecting one of attr, field, nested, scalar, list, call")]
    JsonTerms { given: usize },
    #[error(transparent)]
    Tree(#[from] expression::Error),
}

/// The tree of a filter.
pub fn of_call(call: &proto::Call) -> Result<Expression, Error> {
    Reader::default().call(call, 1)
}

/// The tree of a filter in JSON, which is a call: `{"op":"eq","args":[{"attr":{"key":"a"}},{"scalar":{"value":"1"}}]}`.
pub fn of_json(text: &str) -> Result<Expression, Error> {
    of_call(&call_of_json(text)?)
}

/// What has been read, so that a tree is refused before it is built.
#[derive(Debug, Default)]
struct Reader {
    nodes: usize,
    patterns: usize,
}

/// A call that is read.
#[derive(Clone, Copy)]
struct Place {
    operator: Operator,
    depth: usize,
}

impl Reader {
    fn call(&mut self, call: &proto::Call, depth: usize) -> Result<Expression, Error> {
        let at = |reason| Error::At { depth, reason };
        if depth > MAX_DEPTH {
            return Err(at(expression::Error::TooDeep.into()));
        }
        let unknown = || Reason::Operator { name: beginning(&call.op) };
        let operator = Operator::from_name(&call.op).ok_or_else(unknown).map_err(at)?;
        self.count(operator, &call.args).map_err(at)?;
        let place = Place { operator, depth };
        let built = match operator {
            Operator::And => Expression::all(self.predicates(place, &call.args)?),
            Operator::Or => Expression::any(self.predicates(place, &call.args)?),
            Operator::Not => {
                let [predicate] = place.arguments(&call.args)?;
                Expression::negation(self.predicate(place, 1, predicate)?)
            }
            Operator::Some => {
                let [nested, predicate] = place.arguments(&call.args)?;
                Expression::some(place.nested(nested)?, self.predicate(place, 2, predicate)?)
            }
            _ => place.leaf(&call.args)?,
        };
        built.map_err(|error| at(error.into()))
    }

    /// Counts a call with its arguments that are no calls.
    fn count(&mut self, operator: Operator, arguments: &[proto::Expression]) -> Result<(), Reason> {
        let sizes = arguments.iter().map(|argument| match &argument.term {
            Some(Term::Call(_)) => 0,
            Some(Term::List(list)) => list.values.len(),
            _ => 1,
        });
        self.nodes += 1 + sizes.sum::<usize>();
        self.patterns += usize::from(operator == Operator::Regex);
        if self.nodes > MAX_NODES {
            return Err(expression::Error::TooLarge.into());
        }
        if self.patterns > MAX_PATTERNS {
            return Err(expression::Error::Patterns.into());
        }
        Ok(())
    }

    fn predicates(
        &mut self,
        place: Place,
        arguments: &[proto::Expression],
    ) -> Result<Vec<Expression>, Error> {
        (1..).zip(arguments).map(|(number, argument)| self.predicate(place, number, argument)).collect()
    }

    fn predicate(
        &mut self,
        place: Place,
        number: usize,
        argument: &proto::Expression,
    ) -> Result<Expression, Error> {
        match &argument.term {
            Some(Term::Call(call)) => self.call(call, place.depth + 1),
            _ => Err(place.argument(number, argument, "a call")),
        }
    }
}

impl Place {
    fn wrong(self, reason: Reason) -> Error {
        Error::At { depth: self.depth, reason }
    }

    fn argument(self, place: usize, argument: &proto::Expression, expected: &'static str) -> Error {
        let given = term_name(argument);
        self.wrong(Reason::Argument { operator: self.operator, place, given, expected })
    }

    fn arguments<const N: usize>(
        self,
        arguments: &[proto::Expression],
    ) -> Result<[&proto::Expression; N], Error> {
        let all: Vec<_> = arguments.iter().collect();
        let wrong = |given: Vec<_>| {
            let given = given.len();
            self.wrong(Reason::Arguments { operator: self.operator, expected: N, given })
        };
        all.try_into().map_err(wrong)
    }

    /// An operator whose arguments are no calls; whether they fit together is the tree's to say.
    fn leaf(self, arguments: &[proto::Expression]) -> Result<Result<Expression, expression::Error>, Error> {
        let comparison = match self.operator {
            Operator::Exists => {
                let [reference] = self.arguments(arguments)?;
                return Ok(Expression::exists(self.reference(reference)?));
            }
            Operator::Regex => {
                let [subject, pattern] = self.arguments(arguments)?;
                return Ok(Expression::regex(self.reference(subject)?, self.pattern(pattern)?));
            }
            Operator::In | Operator::NotIn => {
                let [subject, list] = self.arguments(arguments)?;
                let reference = self.reference(subject)?;
                let list = self.list(list, field_of(&reference))?;
                return Ok(Expression::member(reference, list, self.operator == Operator::In));
            }
            Operator::Ne => Comparison::Ne,
            Operator::Gt => Comparison::Gt,
            Operator::Lt => Comparison::Lt,
            Operator::Gte => Comparison::Gte,
            Operator::Lte => Comparison::Lte,
            _ => Comparison::Eq,
        };
        let [left, right] = self.arguments(arguments)?;
        let left_operand = self.operand(1, left, right)?;
        Ok(Expression::compare(comparison, left_operand, self.operand(2, right, left)?))
    }

    fn operand(
        self,
        number: usize,
        argument: &proto::Expression,
        other: &proto::Expression,
    ) -> Result<Operand, Error> {
        match &argument.term {
            Some(Term::Attr(_) | Term::Field(_)) => Ok(self.reference(argument)?.into()),
            Some(Term::Scalar(scalar)) => {
                let beside = match &other.term {
                    Some(Term::Field(field)) => Some(self.field(field)?),
                    _ => None,
                };
                Ok(self.constant(&scalar.value, &scalar.r#type, beside)?.into())
            }
            _ => Err(self.argument(number, argument, "attr, field or scalar")),
        }
    }

    fn reference(self, argument: &proto::Expression) -> Result<Reference, Error> {
        match &argument.term {
            Some(Term::Attr(attribute)) if attribute.level.is_empty() => {
                Ok(Reference::attribute(attribute.key.as_str(), None))
            }
            Some(Term::Attr(attribute)) => {
                let level = self.level(&attribute.level)?;
                Ok(Reference::attribute(attribute.key.as_str(), Some(level)))
            }
            Some(Term::Field(field)) => Ok(Reference::Field(self.field(field)?)),
            _ => Err(self.argument(1, argument, "attr or field")),
        }
    }

    fn field(self, field: &proto::FieldReference) -> Result<Field, Error> {
        let level = self.level(&field.level)?;
        Field::named(level, &field.name).ok_or_else(|| {
            let names: Vec<_> =
                Field::all().filter(|field| field.level() == level).map(Field::name).collect();
            let (name, expected) = (beginning(&field.name), names.join(", "));
            self.wrong(Reason::Field { operator: self.operator, level, name, expected })
        })
    }

    fn level(self, name: &str) -> Result<Level, Error> {
        Level::from_name(name).ok_or_else(|| {
            let expected = LEVELS.join(", ");
            self.wrong(Reason::Level { operator: self.operator, name: beginning(name), expected })
        })
    }

    fn nested(self, argument: &proto::Expression) -> Result<Level, Error> {
        match &argument.term {
            Some(Term::Nested(nested)) => self.level(&nested.level),
            _ => Err(self.argument(1, argument, "nested")),
        }
    }

    fn pattern(self, argument: &proto::Expression) -> Result<&str, Error> {
        match &argument.term {
            Some(Term::Scalar(scalar)) if matches!(scalar.r#type.as_str(), "" | "string") => {
                Ok(&scalar.value)
            }
            _ => Err(self.argument(2, argument, "a scalar without a type, or a string")),
        }
    }

    fn list(self, argument: &proto::Expression, beside: Option<Field>) -> Result<Vec<Constant>, Error> {
        let Some(Term::List(list)) = &argument.term else {
            return Err(self.argument(2, argument, "a list"));
        };
        list.values.iter().map(|value| self.constant(value, &list.r#type, beside)).collect()
    }

    /// A constant of this type; without one, what stands beside it says what it is.
    fn constant(self, value: &str, kind: &str, beside: Option<Field>) -> Result<Constant, Error> {
        let holds = beside.map(Field::holds);
        let (constant, expected) = match (kind, holds) {
            ("", Some(Holds::Duration)) => (
                duration(value).map(Constant::Duration),
                "a duration such as 300ms, 1.5s or 1m30s, or a whole number of ns",
            ),
            ("", Some(Holds::Time)) => (
                moment(value).map(Constant::Time),
                "a time such as 2026-01-31T12:00:00.5Z, or a whole number of ns since 1970",
            ),
            ("", _) => (Some(Constant::Any(value.to_owned())), ""),
            ("string", _) => (Some(Constant::String(value.to_owned())), ""),
            ("int", _) => (value.parse().ok().map(Constant::Int), "an int"),
            ("double", _) => (value.parse().ok().map(Constant::Double), "a double"),
            ("bool", _) => (bool_of(value).map(Constant::Bool), "a bool"),
            _ => {
                return Err(self.wrong(Reason::Type { operator: self.operator, name: beginning(kind) }));
            }
        };
        constant.ok_or_else(|| {
            let beside = beside.map_or_else(String::new, |field| format!(", as {field} is"));
            let (value, expected) = (beginning(value), format!("{expected}{beside}"));
            self.wrong(Reason::Constant { operator: self.operator, value, expected })
        })
    }
}

fn field_of(reference: &Reference) -> Option<Field> {
    match reference {
        Reference::Field(field) => Some(*field),
        Reference::Attribute { .. } => None,
    }
}

/// Nanoseconds.
fn duration(text: &str) -> Option<i128> {
    let (sign, length) = text.strip_prefix('-').map_or((1, text), |length| (-1, length));
    let of_go = |_| parse_duration(length).ok().map(|length| sign * length.as_nanos() as i128);
    text.parse::<i64>().map(i128::from).map_or_else(of_go, Some)
}

/// Nanoseconds since the epoch.
fn moment(text: &str) -> Option<i128> {
    let written = |_| text.parse().ok().map(jiff::Timestamp::as_nanosecond);
    text.parse::<u64>().map(i128::from).map_or_else(written, Some)
}

fn term_name(argument: &proto::Expression) -> &'static str {
    match &argument.term {
        None => "empty",
        Some(Term::Attr(_)) => "an attr",
        Some(Term::Field(_)) => "a field",
        Some(Term::Nested(_)) => "a nested",
        Some(Term::Scalar(_)) => "a scalar",
        Some(Term::List(_)) => "a list",
        Some(Term::Call(_)) => "a call",
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Reads JSON as protobuf's mapping has it, but for unknown fields, which are errors.
fn call_of_json(text: &str) -> Result<proto::Call, Error> {
    if text.len() > MAX_JSON_BYTES {
        return Err(Error::TooLong { given: text.len() });
    }
    let value: Value =
        serde_json::from_str(text).map_err(|error| Error::NoJson { reason: error.to_string() })?;
    json_call(&value, 1)
}

fn json_call(value: &Value, depth: usize) -> Result<proto::Call, Error> {
    let at = |reason| Error::At { depth, reason };
    if depth > MAX_DEPTH {
        return Err(at(expression::Error::TooDeep.into()));
    }
    let fields = json_fields("a call", value, &["op", "args"]).map_err(at)?;
    let arguments = json_list("args", fields.get("args")).map_err(at)?;
    Ok(proto::Call {
        op: json_text("op", fields.get("op")).map_err(at)?,
        args: arguments.iter().map(|value| json_argument(value, depth)).collect::<Result<_, _>>()?,
    })
}

fn json_argument(value: &Value, depth: usize) -> Result<proto::Expression, Error> {
    let at = |reason| Error::At { depth, reason };
    let terms = ["attr", "field", "nested", "scalar", "list", "call"];
    let fields = json_fields("an argument", value, &terms).map_err(at)?;
    let mut set = fields.iter().filter(|(_, value)| !value.is_null());
    let (Some((name, value)), None) = (set.next(), set.next()) else {
        let given = fields.values().filter(|value| !value.is_null()).count();
        return Err(at(Reason::JsonTerms { given }));
    };
    let term = match name.as_str() {
        "call" => Term::Call(json_call(value, depth + 1)?),
        name => json_leaf(name, value).map_err(at)?,
    };
    Ok(proto::Expression { term: Some(term) })
}

fn json_leaf(name: &str, value: &Value) -> Result<Term, Reason> {
    let text = |fields: &Map<String, Value>, name| json_text(name, fields.get(name));
    Ok(match name {
        "attr" => {
            let fields = json_fields("attr", value, &["key", "level"])?;
            Term::Attr(proto::AttributeReference { key: text(fields, "key")?, level: text(fields, "level")? })
        }
        "field" => {
            let fields = json_fields("field", value, &["name", "level"])?;
            Term::Field(proto::FieldReference { name: text(fields, "name")?, level: text(fields, "level")? })
        }
        "nested" => {
            let fields = json_fields("nested", value, &["level"])?;
            Term::Nested(proto::NestedReference { level: text(fields, "level")? })
        }
        "scalar" => {
            let fields = json_fields("scalar", value, &["value", "type"])?;
            Term::Scalar(proto::Scalar { value: text(fields, "value")?, r#type: text(fields, "type")? })
        }
        _ => {
            let fields = json_fields("list", value, &["values", "type"])?;
            let values = json_list("values", fields.get("values"))?.iter();
            let values = values.map(|value| json_text("an element of values", Some(value)));
            Term::List(proto::List {
                values: values.collect::<Result<_, _>>()?,
                r#type: text(fields, "type")?,
            })
        }
    })
}

fn json_fields<'v>(
    what: &'static str,
    value: &'v Value,
    known: &[&str],
) -> Result<&'v Map<String, Value>, Reason> {
    let Value::Object(fields) = value else {
        return Err(Reason::Json { what, given: json_name(value), expected: "an object" });
    };
    match fields.keys().find(|name| !known.contains(&name.as_str())) {
        Some(name) => Err(Reason::JsonField { what, name: beginning(name), expected: known.join(", ") }),
        None => Ok(fields),
    }
}

/// A text; empty where there is none.
fn json_text(what: &'static str, value: Option<&Value>) -> Result<String, Reason> {
    match value {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(value) => Err(Reason::Json { what, given: json_name(value), expected: "a text" }),
    }
}

/// A list; empty where there is none.
fn json_list<'v>(what: &'static str, value: Option<&'v Value>) -> Result<&'v [Value], Reason> {
    match value {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(values)) => Ok(values),
        Some(value) => Err(Reason::Json { what, given: json_name(value), expected: "a list" }),
    }
}

fn json_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
