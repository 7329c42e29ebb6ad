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

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn any(text: &str) -> Constant {
        Constant::Any(text.into())
    }

    fn compare(comparison: Comparison, left: impl Into<Operand>, right: impl Into<Operand>) -> Expression {
        Expression::compare(comparison, left, right).unwrap()
    }

    fn attribute(key: &str, level: Option<Level>) -> Reference {
        Reference::attribute(key, level)
    }

    #[test]
    fn every_comparison_is_read_with_constants_as_the_other_side_is() {
        let cases = [
            (
                r#"{"op":"eq","args":[{"attr":{"key":"http.status_code"}},{"scalar":{"value":"500"}}]}"#,
                compare(Comparison::Eq, attribute("http.status_code", None), any("500")),
            ),
            (
                r#"{"op":"ne","args":[{"attr":{"key":"a","level":"span"}},{"attr":{"key":"a","level":"resource"}}]}"#,
                compare(
                    Comparison::Ne,
                    attribute("a", Some(Level::Span)),
                    attribute("a", Some(Level::Resource)),
                ),
            ),
            (
                r#"{"op":"gt","args":[{"field":{"name":"duration","level":"span"}},{"scalar":{"value":"1m1.5s"}}]}"#,
                compare(Comparison::Gt, Field::Duration, Constant::Duration(61_500_000_000)),
            ),
            (
                r#"{"op":"lt","args":[{"scalar":{"value":"7","type":"int"}},{"attr":{"key":"a","level":""}}]}"#,
                compare(Comparison::Gt, attribute("a", None), Constant::Int(7)),
            ),
            (
                r#"{"op":"gte","args":[{"field":{"name":"startTime","level":"span"}},
                    {"scalar":{"value":"2023-11-14T23:13:20.5+01:00"}}]}"#,
                compare(Comparison::Gte, Field::StartTime, Constant::Time(1_700_000_000_500_000_000)),
            ),
            (
                r#"{"op":"lte","args":[{"field":{"name":"timeSinceStart","level":"event"}},
                    {"scalar":{"value":"-50us"}}]}"#,
                compare(Comparison::Lte, Field::TimeSinceStart, Constant::Duration(-50_000)),
            ),
        ];
        reads(&cases);
    }

    #[test]
    fn every_other_operator_is_read() {
        let exists = || Expression::exists(attribute("a", None)).unwrap();
        let cases = [
            (
                r#"{"op":"regex","args":[{"field":{"name":"name","level":"scope"}},{"scalar":{"value":"a+"}}]}"#,
                Expression::regex(Reference::Field(Field::ScopeName), "a+").unwrap(),
            ),
            (r#"{"op":"exists","args":[{"attr":{"key":"a"}}]}"#, exists()),
            (
                r#"{"op":"in","args":[{"attr":{"key":"a"}},{"list":{"values":["1.5","2"],"type":"double"}}]}"#,
                Expression::member(
                    attribute("a", None),
                    vec![Constant::Double(1.5), Constant::Double(2.0)],
                    true,
                )
                .unwrap(),
            ),
            (
                r#"{"op":"not_in","args":[{"field":{"name":"duration","level":"span"}},
                    {"list":{"values":["2s","7"]}}]}"#,
                Expression::member(
                    Reference::Field(Field::Duration),
                    vec![Constant::Duration(2_000_000_000), Constant::Duration(7)],
                    false,
                )
                .unwrap(),
            ),
            (
                r#"{"op":"and","args":[{"call":{"op":"exists","args":[{"attr":{"key":"a"}}]}},
                    {"call":{"op":"not","args":[{"call":{"op":"exists","args":[{"attr":{"key":"a"}}]}}]}}]}"#,
                Expression::all(vec![exists(), Expression::negation(exists()).unwrap()]).unwrap(),
            ),
            (
                r#"{"op":"or","args":[{"call":{"op":"exists","args":[{"attr":{"key":"a"},"call":null}]}},
                    {"call":{"op":"some","args":[{"nested":{"level":"event"}},
                    {"call":{"op":"exists","args":[{"attr":{"key":"a"}}]}}]}}]}"#,
                Expression::any(vec![exists(), Expression::some(Level::Event, exists()).unwrap()]).unwrap(),
            ),
        ];
        reads(&cases);
    }

    fn reads(cases: &[(&str, Expression)]) {
        for (json, expected) in cases {
            assert_eq!(of_json(json).as_ref(), Ok(expected), "{json}");
            // What is read from JSON is what protobuf carries.
            let call = call_of_json(json).unwrap();
            let carried = proto::Call::decode(&call.encode_to_vec()[..]).unwrap();
            assert_eq!(of_call(&carried).as_ref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_supported_is_all_there_is() {
        assert_eq!(LEVELS, ["span", "resource", "scope", "event", "link"]);
        let operators = "and or not eq ne gt lt gte lte regex exists in not_in some";
        assert_eq!(OPERATORS.join(" "), operators);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_operator_and_the_depth() {
        let cases = [
            (
                r#"{"op":"matches"}"#,
                "filter, at depth 1: unknown operator 'matches', expecting one of and, or, not, eq,",
            ),
            (r#"{}"#, "filter, at depth 1: unknown operator '', expecting one of"),
            (
                r#"{"op":"not","args":[{"call":{"op":"exists","args":[{"attr":{"key":"a","level":"trace"}}]}}]}"#,
                "filter, at depth 2: operator 'exists': unknown level 'trace', expecting span, resource, scope, event, link",
            ),
            (
                r#"{"op":"exists","args":[{"field":{"name":"kind","level":"event"}}]}"#,
                "filter, at depth 1: operator 'exists': level 'event' has no field 'kind', expecting name, time, timeSinceStart",
            ),
            (
                r#"{"op":"eq","args":[{"attr":{"key":"a"}},{"scalar":{"value":"a","type":"text"}}]}"#,
                "filter, at depth 1: operator 'eq': unknown type 'text', expecting one of string, int, double, bool or none",
            ),
            (
                r#"{"op":"eq","args":[{"attr":{"key":"a"}},{"scalar":{"value":"1.5","type":"int"}}]}"#,
                "filter, at depth 1: operator 'eq': '1.5' is not an int",
            ),
            (
                r#"{"op":"gt","args":[{"scalar":{"value":"soon"}},{"field":{"name":"duration","level":"span"}}]}"#,
                "filter, at depth 1: operator 'gt': 'soon' is not a duration such as 300ms, 1.5s or 1m30s, or a whole \
                 number of ns, as span.duration is",
            ),
            (
                r#"{"op":"in","args":[{"field":{"name":"endTime","level":"span"}},{"list":{"values":["now"]}}]}"#,
                "filter, at depth 1: operator 'in': 'now' is not a time such as 2026-01-31T12:00:00.5Z, or a whole \
                 number of ns since 1970, as span.endTime is",
            ),
            (
                r#"{"op":"not","args":[{"attr":{"key":"a"}}]}"#,
                "filter, at depth 1: operator 'not': argument 1 is an attr, expecting a call",
            ),
            (
                r#"{"op":"eq","args":[{"attr":{"key":"a"}},{"list":{"values":["1"]}}]}"#,
                "filter, at depth 1: operator 'eq': argument 2 is a list, expecting attr, field or scalar",
            ),
            (
                r#"{"op":"in","args":[{"attr":{"key":"a"}},{"scalar":{"value":"1"}}]}"#,
                "filter, at depth 1: operator 'in': argument 2 is a scalar, expecting a list",
            ),
            (
                r#"{"op":"regex","args":[{"attr":{"key":"a"}},{"scalar":{"value":"1","type":"int"}}]}"#,
                "filter, at depth 1: operator 'regex': argument 2 is a scalar, expecting a scalar without a type, or a string",
            ),
            (
                r#"{"op":"some","args":[{"attr":{"key":"a"}},{"call":{"op":"exists","args":[{"attr":{"key":"a"}}]}}]}"#,
                "filter, at depth 1: operator 'some': argument 1 is an attr, expecting nested",
            ),
            (
                r#"{"op":"exists","args":[{"attr":{"key":"a"}},{"attr":{"key":"b"}}]}"#,
                "filter, at depth 1: operator 'exists' takes 1 arguments, 2 given",
            ),
            (r#"{"op":"and"}"#, "filter, at depth 1: operator 'and' takes at least two predicates, 0 given"),
            (
                r#"{"op":"not","args":[{"call":{"op":"gt","args":[{"field":{"name":"kind","level":"span"}},{"scalar":{"value":"server"}}]}}]}"#,
                "filter, at depth 2: operator 'gt' has no order for span.kind",
            ),
        ];
        refuses(&cases);
        let empty = proto::Call { op: "exists".into(), args: vec![proto::Expression { term: None }] };
        let error = of_call(&empty).unwrap_err().to_string();
        assert_eq!(
            error,
            "filter, at depth 1: operator 'exists': argument 1 is empty, expecting attr or field"
        );
    }

    #[test]
    fn what_is_no_json_of_a_call_is_refused_where_it_is_none() {
        let cases = [
            ("{", "filter is not JSON: EOF while parsing an object at line 1 column 1"),
            (r#"["eq",[]]"#, "filter, at depth 1: a call is a list, expecting an object"),
            (
                r#"{"op":"eq","arguments":[]}"#,
                "filter, at depth 1: a call has an unknown field 'arguments', expecting one of op, args",
            ),
            (r#"{"op":7}"#, "filter, at depth 1: op is a number, expecting a text"),
            (r#"{"op":"not","args":{}}"#, "filter, at depth 1: args is an object, expecting a list"),
            (
                r#"{"op":"not","args":[{"call":{"op":"eq","args":[{"scalar":{"value":500}}]}}]}"#,
                "filter, at depth 2: value is a number, expecting a text",
            ),
            (
                r#"{"op":"exists","args":[{}]}"#,
                "filter, at depth 1: an argument has 0 fields, expecting one of attr, field, nested, scalar, list, call",
            ),
            (
                r#"{"op":"exists","args":[{"attr":{"key":"a"},"scalar":{"value":"1"}}]}"#,
                "filter, at depth 1: an argument has 2 fields, expecting one of",
            ),
            (
                r#"{"op":"exists","args":[{"attr":{"key":"a","scope":"span"}}]}"#,
                "filter, at depth 1: attr has an unknown field 'scope', expecting one of key, level",
            ),
            (
                r#"{"op":"exists","args":[null]}"#,
                "filter, at depth 1: an argument is null, expecting an object",
            ),
        ];
        refuses(&cases);
    }

    fn refuses(cases: &[(&str, &str)]) {
        for (json, message) in cases {
            let error = of_json(json).unwrap_err().to_string();
            assert!(error.starts_with(message), "{json}\n{error}\n{message}");
        }
    }

    /// `not` around `not` around … around `exists`, this many calls.
    fn nested(depth: usize) -> proto::Call {
        let key = proto::AttributeReference { key: "a".into(), level: String::new() };
        let key = proto::Expression { term: Some(Term::Attr(key)) };
        let exists = proto::Call { op: "exists".into(), args: vec![key] };
        (1..depth).fold(exists, |call, _| {
            let call = proto::Expression { term: Some(Term::Call(call)) };
            proto::Call { op: "not".into(), args: vec![call] }
        })
    }

    #[test]
    fn a_tree_too_deep_or_too_large_is_refused_before_it_is_built() {
        assert!(of_call(&nested(MAX_DEPTH)).is_ok());
        let too_deep = "filter, at depth 21: calls stand in calls more than 20 deep";
        assert_eq!(of_call(&nested(MAX_DEPTH + 1)).unwrap_err().to_string(), too_deep);
        let json = |depth: usize| {
            let exists = r#"{"op":"exists","args":[{"attr":{"key":"a"}}]}"#.to_owned();
            (1..depth).fold(exists, |call, _| format!(r#"{{"op":"not","args":[{{"call":{call}}}]}}"#))
        };
        assert!(of_json(&json(MAX_DEPTH)).is_ok());
        assert_eq!(of_json(&json(MAX_DEPTH + 1)).unwrap_err().to_string(), too_deep);
        assert!(matches!(of_json(&json(2_000)), Err(Error::NoJson { .. })));
        assert!(matches!(of_json(&"[".repeat(MAX_JSON_BYTES)), Err(Error::NoJson { .. })));
        assert_eq!(
            of_json(&" ".repeat(MAX_JSON_BYTES + 1)),
            Err(Error::TooLong { given: MAX_JSON_BYTES + 1 })
        );

        let argument = |call: proto::Call| proto::Expression { term: Some(Term::Call(call)) };
        let wide = proto::Call { op: "and".into(), args: vec![argument(nested(1)); 1_000] };
        let message = "filter, at depth 2: a filter has more than 2000 calls, operands and elements of lists";
        assert_eq!(of_call(&wide).unwrap_err().to_string(), message);
        let regex = call_of_json(r#"{"op":"regex","args":[{"attr":{"key":"a"}},{"scalar":{"value":"x"}}]}"#);
        let patterns = proto::Call { op: "or".into(), args: vec![argument(regex.unwrap()); 11] };
        let message = "filter, at depth 2: a filter has more than 10 regular expressions";
        assert_eq!(of_call(&patterns).unwrap_err().to_string(), message);
    }
}
