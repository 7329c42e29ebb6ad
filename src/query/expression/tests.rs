//! What trees mean, one question at a time.

use std::cell::Cell;
use std::sync::Arc;

use super::*;
use crate::model::sketch::{at, trace};
use crate::model::{Origin, Resource, Scope, Span};
use crate::otlp::write;
use crate::query::Conditions;
use crate::query::views::Views;

const DRAWING: &str = "shop | GET /cart | server | 0-100 | code=500 size=9 ok=true word=Blue zone=a resource:zone=b \
                       resource:host=h1 scope:name=lib scope:version=1.2 scope:part=core !error=refused #7 ^9 \
                       !event=retry@30 event:level=warn event:count=3 event:count=11 !link=5";

fn drawn() -> Span {
    trace(1, DRAWING).remove(0)
}

fn attribute(key: &str) -> Reference {
    Reference::attribute(key, None)
}

fn at_level(key: &str, level: Level) -> Reference {
    Reference::attribute(key, Some(level))
}

fn any(text: &str) -> Constant {
    Constant::Any(text.into())
}

fn string(text: &str) -> Constant {
    Constant::String(text.into())
}

fn compare(comparison: Comparison, left: impl Into<Operand>, right: impl Into<Operand>) -> Expression {
    Expression::compare(comparison, left, right).unwrap()
}

fn eq(left: impl Into<Operand>, right: impl Into<Operand>) -> Expression {
    compare(Comparison::Eq, left, right)
}

fn not(predicate: Expression) -> Expression {
    Expression::negation(predicate).unwrap()
}

fn holds(expression: &Expression, span: &Span) -> bool {
    expression.holds(&Views::until(&|| false, span))
}

/// The drawn span and what is said of it.
fn assert_all(cases: impl IntoIterator<Item = (Expression, bool)>) {
    let span = drawn();
    for (expression, expected) in cases {
        assert_eq!(holds(&expression, &span), expected, "{expression:?}");
    }
}

/// The drawn span with these attributes, each an `AnyValue` message, as its only ones.
fn with_values(pairs: &[(&str, Vec<u8>)]) -> Span {
    let mut body = Vec::new();
    for (key, value) in pairs {
        write::message(&mut body, 9, |pair| {
            write::string(pair, 1, key);
            write::bytes(pair, 2, value);
        });
    }
    Span { body: body.into(), ..drawn() }
}

/// An `AnyValue` message.
fn value(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut message = Vec::new();
    write(&mut message);
    message
}

#[test]
fn a_span_of_many_values_is_looked_at_no_longer_when_it_is_over() {
    let one = value(|message| write::string(message, 1, "one"));
    let span = with_values(&vec![("n", one); 60_000]);
    let greater = || compare(Comparison::Gt, attribute("n"), attribute("n"));
    let many = Expression::any((0..500).map(|_| greater()).collect()).unwrap();
    for filter in [many.clone(), not(many)] {
        let asked = Cell::new(0);
        let is_over = || asked.replace(asked.get() + 1) >= 2;
        let conditions = Conditions { filter: Some(filter), ..Conditions::default() };
        assert!(!conditions.match_until(&is_over, &span));
        assert_eq!(asked.get(), 3);
    }
}

#[test]
fn an_attribute_is_looked_for_at_its_level_and_without_one_in_span_and_resource() {
    let is = |key: &str, level, text: &str| eq(Reference::attribute(key, level), any(text));
    assert_all([
        (is("zone", Some(Level::Span), "a"), true),
        (is("zone", Some(Level::Span), "b"), false),
        (is("zone", Some(Level::Resource), "b"), true),
        (is("zone", Some(Level::Resource), "a"), false),
        (is("zone", None, "a"), true),
        (is("zone", None, "b"), true),
        (is("host", Some(Level::Span), "h1"), false),
        (is("part", Some(Level::Scope), "core"), true),
        (is("part", None, "core"), false),
        (is("level", Some(Level::Event), "warn"), true),
        (is("level", None, "warn"), false),
        (is("level", Some(Level::Link), "warn"), false),
    ]);
}

#[test]
fn a_field_is_no_attribute_of_its_name() {
    assert_all([
        (eq(Field::Name, any("GET /cart")), true),
        (eq(attribute("name"), any("GET /cart")), false),
        (eq(Field::Service, any("shop")), true),
        (eq(Field::Kind, any("server")), true),
        (eq(Field::Status, any("error")), true),
        (eq(Field::StatusMessage, any("refused")), true),
        (eq(Field::ScopeName, any("lib")), true),
        (eq(Field::ScopeVersion, any("1.2")), true),
        (eq(Field::EventName, any("retry")), true),
        (eq(Field::EventName, any("GET /cart")), false),
        (eq(Field::TraceId, any("00000000000000000000000000000001")), true),
        (eq(Field::TraceId, any("1")), true),
        (eq(Field::SpanId, any("0000000000000007")), true),
        (eq(Field::ParentSpanId, any("9")), true),
        (eq(Field::ParentSpanId, any("no id")), false),
        (eq(Field::LinkTraceId, any("00000000000000000000000000000005")), true),
        (eq(Field::ResourceSchemaUrl, any("https://opentelemetry.io/schemas/1.30.0")), true),
    ]);
}

#[test]
fn what_is_not_there_fulfils_nothing_but_a_negation() {
    let root = trace(1, "| GET | unspecified | 0-1 | a=1").remove(0);
    let absent = [
        Reference::Field(Field::ParentSpanId),
        Reference::Field(Field::TraceState),
        Reference::Field(Field::StatusMessage),
        Reference::Field(Field::Service),
        Reference::Field(Field::ScopeName),
        Reference::Field(Field::EventName),
        Reference::Field(Field::LinkTraceId),
        attribute("b"),
        at_level("a", Level::Resource),
        at_level("a", Level::Event),
    ];
    for reference in absent {
        let one = || vec![string("x")];
        let questions = [
            Expression::exists(reference.clone()),
            Expression::compare(Comparison::Eq, reference.clone(), any("x")),
            Expression::compare(Comparison::Ne, reference.clone(), any("x")),
            Expression::compare(Comparison::Eq, reference.clone(), any("")),
            Expression::compare(Comparison::Gte, reference.clone(), any("")),
            Expression::compare(Comparison::Ne, reference.clone(), reference.clone()),
            Expression::member(reference.clone(), one(), true),
            Expression::member(reference.clone(), one(), false),
            Expression::regex(reference.clone(), ""),
        ];
        for question in questions {
            let question = question.unwrap();
            assert!(!holds(&question, &root), "{question:?}");
            assert!(holds(&not(question.clone()), &root), "not {question:?}");
        }
    }
    // These always say something.
    for field in [Field::Name, Field::Kind, Field::Status, Field::Duration, Field::StartTime, Field::TraceId]
    {
        assert!(holds(&Expression::exists(Reference::Field(field)).unwrap(), &root), "{field}");
    }
    assert!(holds(&eq(Field::Kind, any("unspecified")), &root));
    assert!(holds(&eq(Field::Status, any("unset")), &root));
}

#[test]
fn of_several_values_one_must_fulfil_and_none_may_equal() {
    let ne = |text: &str| compare(Comparison::Ne, attribute("zone"), any(text));
    let member = |texts: &[&str], wanted| {
        Expression::member(attribute("zone"), texts.iter().map(|text| string(text)).collect(), wanted)
            .unwrap()
    };
    assert_all([
        (ne("c"), true),
        (ne("a"), false),
        (ne("b"), false),
        (member(&["c", "b"], true), true),
        (member(&["c", "d"], true), false),
        (member(&["c", "b"], false), false),
        (member(&["c", "d"], false), true),
        (compare(Comparison::Gt, attribute("zone"), any("a")), true),
        (compare(Comparison::Lt, attribute("zone"), any("b")), true),
        (compare(Comparison::Gt, attribute("zone"), any("b")), false),
    ]);
}

#[test]
fn one_event_fulfils_some_and_several_fulfil_what_stands_outside() {
    let is_retry = || eq(Field::EventName, any("retry"));
    let is_warning = || eq(at_level("level", Level::Event), any("warn"));
    let both = || Expression::all(vec![is_retry(), is_warning()]).unwrap();
    let some = |predicate| Expression::some(Level::Event, predicate).unwrap();
    let late = || compare(Comparison::Gt, Field::TimeSinceStart, Constant::Duration(20_000_000));
    assert_all([
        (both(), true),
        (some(both()), false),
        (some(is_warning()), true),
        (some(Expression::all(vec![is_retry(), late()]).unwrap()), true),
        (some(Expression::all(vec![is_warning(), late()]).unwrap()), false),
        // The span beside its event.
        (some(Expression::all(vec![is_retry(), eq(Field::Service, any("shop"))]).unwrap()), true),
        // Every event of the span: none is not.
        (not(some(not(is_retry()))), false),
        (Expression::some(Level::Link, eq(Field::LinkTraceId, any("5"))).unwrap(), true),
        (Expression::some(Level::Link, is_retry()).unwrap(), true),
        (Expression::some(Level::Link, not(eq(Field::LinkTraceId, any("5")))).unwrap(), false),
    ]);
}

#[test]
fn values_are_compared_as_the_constants_type_says() {
    let of = |constant: Constant| move |comparison, key: &str| (comparison, attribute(key), constant.clone());
    let (ten, text_ten, int_ten) = (of(any("10")), of(string("10")), of(Constant::Int(10)));
    let span = with_values(&[
        ("int", value(|value| write::uint(value, 3, 9))),
        ("double", value(|value| write::double(value, 4, 72.5))),
        ("text", value(|value| write::string(value, 1, "9"))),
        ("bool", value(|value| write::uint(value, 2, 1))),
        ("third", value(|value| write::double(value, 4, 1.0 / 3.0))),
        ("bytes", value(|value| write::bytes(value, 7, &[0xfb]))),
        ("large", value(|value| write::uint(value, 3, (1 << 53) + 1))),
        ("empty", Vec::new()),
    ]);
    use Comparison::{Eq, Gt, Gte, Lt, Ne};
    let cases = [
        // A number is less than another however it is written; as text it would not be.
        (ten(Lt, "int"), true),
        (ten(Lt, "text"), true),
        (ten(Gt, "double"), true),
        (int_ten(Lt, "int"), true),
        (int_ten(Gt, "double"), true),
        (int_ten(Lt, "text"), false),
        (text_ten(Gt, "text"), true),
        (text_ten(Lt, "int"), false),
        (of(any("9"))(Eq, "int"), true),
        (of(any("9.0"))(Eq, "int"), true),
        (of(any("9.0"))(Eq, "text"), false),
        (of(string("9"))(Eq, "int"), false),
        (of(Constant::Int(9))(Eq, "text"), false),
        (of(Constant::Double(9.0))(Eq, "int"), true),
        (of(Constant::Double(9.0))(Ne, "text"), true),
        (of(any("72.5"))(Eq, "double"), true),
        (of(any("true"))(Eq, "bool"), true),
        (of(any("1"))(Eq, "bool"), true),
        (of(string("true"))(Eq, "bool"), false),
        (of(Constant::Bool(true))(Eq, "bool"), true),
        (of(Constant::Bool(false))(Ne, "bool"), true),
        (of(any("true"))(Gte, "bool"), false),
        // Both texts of a value, if the constant has no type.
        (of(any("0.3333333333333333"))(Eq, "third"), true),
        (of(any("0.3333333333"))(Eq, "third"), true),
        (of(Constant::Double(0.333_333_333_3))(Eq, "third"), false),
        (of(any("+w=="))(Eq, "bytes"), true),
        (of(any("fb"))(Eq, "bytes"), true),
        (of(string("fb"))(Eq, "bytes"), false),
        (of(any("fb"))(Gte, "bytes"), false),
        (of(any("9007199254740993"))(Eq, "large"), true),
        (of(Constant::Double(9_007_199_254_740_992.0))(Eq, "large"), false),
        (of(Constant::Double(9_007_199_254_740_992.0))(Gt, "large"), true),
        (of(any(""))(Eq, "empty"), false),
        (of(any("x"))(Ne, "empty"), true),
    ];
    for ((comparison, reference, constant), expected) in cases {
        let question = compare(comparison, reference.clone(), constant.clone());
        assert_eq!(holds(&question, &span), expected, "{question:?}");
        let turned = compare(comparison.turned(), constant, reference);
        assert_eq!(turned, question);
    }
    assert!(holds(&Expression::exists(attribute("empty")).unwrap(), &span));
    let in_list = |key: &str, constant| Expression::member(attribute(key), vec![constant], true).unwrap();
    assert!(holds(&in_list("int", Constant::Int(9)), &span));
    assert!(holds(&in_list("int", any("9")), &span));
    assert!(!holds(&in_list("int", Constant::Double(9.0)), &span));
    assert!(!holds(&in_list("double", Constant::Int(72)), &span));
}

#[test]
fn references_are_compared_with_each_other() {
    assert_all([
        (compare(Comparison::Ne, at_level("zone", Level::Span), at_level("zone", Level::Resource)), true),
        (eq(at_level("zone", Level::Span), attribute("zone")), true),
        (compare(Comparison::Lt, Field::StartTime, Field::EndTime), true),
        (compare(Comparison::Gt, attribute("code"), attribute("size")), true),
        (compare(Comparison::Gt, attribute("code"), attribute("word")), false),
        (eq(any("1"), any("1")), true),
        (compare(Comparison::Gt, any("9"), any("10")), false),
    ]);
}

#[test]
fn times_and_durations_are_compared_by_the_nanosecond() {
    let (start, end) = (i128::from(at(0).nanos()), i128::from(at(100).nanos()));
    let duration = |comparison, nanos| compare(comparison, Field::Duration, Constant::Duration(nanos));
    assert_all([
        (duration(Comparison::Gte, 100_000_000), true),
        (duration(Comparison::Gt, 100_000_000), false),
        (duration(Comparison::Lt, 100_000_001), true),
        (duration(Comparison::Gt, -5), true),
        (eq(Field::Duration, Constant::Int(100_000_000)), true),
        (eq(Field::StartTime, Constant::Time(start)), true),
        (eq(Field::EndTime, Constant::Int(i64::try_from(end).unwrap())), true),
        (compare(Comparison::Lt, Field::StartTime, Constant::Time(start)), false),
        (compare(Comparison::Gt, Field::EventTime, Constant::Time(start)), true),
        (eq(Field::TimeSinceStart, Constant::Duration(30_000_000)), true),
        // The drawn event is of no time, long before its span.
        (compare(Comparison::Lt, Field::TimeSinceStart, Constant::Duration(0)), true),
    ]);
}

#[test]
fn a_regular_expression_is_found_anywhere_in_the_text_of_a_value() {
    let regex = |reference: Reference, pattern: &str| Expression::regex(reference, pattern).unwrap();
    assert_all([
        (regex(Reference::Field(Field::Name), "cart"), true),
        (regex(Reference::Field(Field::Name), "^cart"), false),
        (regex(Reference::Field(Field::Kind), "serv|client"), true),
        (regex(attribute("word"), "blue"), false),
        (regex(attribute("word"), "(?i)blue"), true),
        (regex(attribute("code"), "5.."), true),
        (regex(attribute("ok"), "tru"), true),
        (regex(at_level("count", Level::Event), "^11$"), true),
    ]);
}

#[test]
fn the_status_is_an_attribute_named_error() {
    let is = |text: &str| eq(attribute("error"), any(text));
    let spans = trace(
        1,
        "a | x | server | 0-1 | !error\na | x | server | 0-1\na | x | server | 0-1 | error=true\n\
         a | x | server | 0-1 | error=no !error",
    );
    for (place, (is_true, is_false)) in
        [(true, false), (false, true), (true, false), (true, false)].into_iter().enumerate()
    {
        assert_eq!(holds(&is("true"), &spans[place]), is_true, "span {place}");
        assert_eq!(holds(&is("false"), &spans[place]), is_false, "span {place}");
        assert!(!holds(&eq(at_level("error", Level::Resource), any("true")), &spans[place]));
    }
    assert!(holds(&is("no"), &spans[3]));
}

#[test]
fn reserved_attributes_are_the_clients_own_unless_the_translator_put_them_there() {
    let drawing = "a | x | server | 0-1 | @jaeger@warnings=late plain=1 event:@jaeger@time=5 event:seen=1";
    let span = trace(1, drawing).remove(0);
    let translated = Span { origin: Origin::Jaeger, ..span.clone() };
    for (reference, text, is_found) in [
        (attribute("@jaeger@warnings"), "late", false),
        (at_level("@jaeger@time", Level::Event), "5", false),
        (attribute("plain"), "1", true),
        (at_level("seen", Level::Event), "1", true),
    ] {
        let Reference::Attribute { key, .. } = &reference else { unreachable!() };
        let pair = Expression::pair(key, text);
        for question in
            [pair, eq(reference.clone(), any(text)), Expression::exists(reference.clone()).unwrap()]
        {
            assert!(holds(&question, &span), "{question:?}");
            assert_eq!(holds(&question, &translated), is_found, "{question:?}");
        }
    }
}

#[test]
fn a_span_in_jaegers_words_has_the_tags_that_it_was_sent_with() {
    let drawing = "a | x | server | 0-1 | !error otel.scope.name=lib zone=a";
    let span =
        Span { origin: Origin::Jaeger, scope: Arc::new(Scope::default()), ..trace(1, drawing).remove(0) };
    for (key, text, is_found) in [
        ("zone", "a", true),
        ("otel.scope.name", "lib", true),
        ("span.kind", "server", false),
        ("error", "true", false),
        ("otel.status_code", "ERROR", false),
    ] {
        assert_eq!(holds(&Expression::pair(key, text), &span), is_found, "{key}");
    }
    assert!(holds(&eq(Field::ScopeName, any("lib")), &span));
    assert!(!holds(&Expression::exists(Reference::Field(Field::ScopeVersion)).unwrap(), &span));
    assert!(holds(&eq(Field::Kind, any("server")), &span));
}

#[test]
fn a_span_in_zipkins_words_has_what_its_tags_say_as_well() {
    let drawing = "a | x | server | 0-1 | !error=boom error=boom otel.scope.name=lib";
    let span =
        Span { origin: Origin::Zipkin, scope: Arc::new(Scope::default()), ..trace(1, drawing).remove(0) };
    for (key, text) in
        [("error", "boom"), ("error", "true"), ("span.kind", "server"), ("otel.scope.name", "lib")]
    {
        assert!(holds(&Expression::pair(key, text), &span), "{key}");
    }
    assert!(holds(&eq(Field::ScopeName, any("lib")), &span));
}

#[test]
fn a_tree_that_makes_no_sense_is_refused_with_the_reason() {
    let exists = || Expression::exists(attribute("a")).unwrap();
    let deep = |depth| (1..depth).try_fold(exists(), |inner, _| Expression::negation(inner));
    assert!(deep(MAX_DEPTH).is_ok());
    let texts = |count| vec![any("x"); count];
    let wide = (0..3).map(|_| Expression::member(attribute("a"), texts(999), true).unwrap()).collect();
    let patterns = |count| {
        Expression::all((0..count).map(|_| Expression::regex(attribute("a"), "x").unwrap()).collect())
    };
    assert!(patterns(MAX_PATTERNS).is_ok());
    let some = |level, predicate| Expression::some(level, predicate);
    let twice = Expression::negation(some(Level::Event, exists()).unwrap());
    let across = some(Level::Link, some(Level::Event, exists()).unwrap());
    assert!(across.is_ok());
    let cases = [
        (deep(MAX_DEPTH + 1), "calls stand in calls more than 20 deep"),
        (Expression::all(wide), "a filter has more than 2000 calls, operands and elements of lists"),
        (patterns(MAX_PATTERNS + 1), "a filter has more than 10 regular expressions"),
        (Expression::all(vec![]), "operator 'and' takes at least two predicates, 0 given"),
        (Expression::any(vec![exists()]), "operator 'or' takes at least two predicates, 1 given"),
        (Expression::exists(attribute("")), "operator 'exists' refers to an attribute without a key"),
        (
            Expression::member(attribute("a"), vec![], true),
            "operator 'in' takes a list of 1 to 1000 elements, 0 given",
        ),
        (
            Expression::member(attribute("a"), texts(1_001), false),
            "operator 'not_in' takes a list of 1 to 1000 elements, 1001 given",
        ),
        (
            Expression::regex(Reference::Field(Field::Duration), "x"),
            "operator 'regex' looks at text, span.duration holds none",
        ),
        (
            Expression::regex(attribute("a"), &"x".repeat(1_025)),
            "operator 'regex' takes an expression of at most 1024 bytes, this one has 1025",
        ),
        (
            Expression::regex(attribute("a"), "a(b"),
            "operator 'regex' takes an expression in RE2's syntax: unclosed group",
        ),
        (
            Expression::regex(attribute("a"), r"\w{200}"),
            "operator 'regex' takes an expression in RE2's syntax: Compiled regex exceeds size limit of 262144 bytes.",
        ),
        (some(Level::Span, exists()), "operator 'some' looks at events or links, not at level 'span'"),
        (
            twice.and_then(|inner| some(Level::Event, inner)),
            "operator 'some' looks at level 'event' inside of another one that does",
        ),
    ];
    for (tree, message) in cases {
        assert_eq!(tree.unwrap_err().to_string(), message);
    }
}

#[test]
fn values_that_do_not_fit_are_refused_with_both() {
    let cases = [
        (
            Expression::compare(Comparison::Gt, Field::Duration, Field::Name),
            "operator 'gt' compares span.duration with span.name, which is another kind of value",
        ),
        (
            Expression::compare(Comparison::Eq, Field::Duration, string("2s")),
            "operator 'eq' compares span.duration with a string, which is another kind of value",
        ),
        (
            Expression::compare(Comparison::Eq, Field::Name, Constant::Int(1)),
            "operator 'eq' compares span.name with an int, which is another kind of value",
        ),
        (
            Expression::compare(Comparison::Eq, attribute("a"), Constant::Duration(1)),
            "operator 'eq' compares an attribute with a duration, which is another kind of value",
        ),
        (
            Expression::compare(Comparison::Gt, Field::Kind, any("server")),
            "operator 'gt' has no order for span.kind",
        ),
        (
            Expression::compare(Comparison::Lte, attribute("a"), Constant::Bool(true)),
            "operator 'lte' has no order for a bool",
        ),
        (
            Expression::compare(Comparison::Ne, Field::Kind, any("SERVER")),
            "operator 'ne' compares span.kind with 'SERVER', which is none of unspecified, internal, server, client, \
             producer, consumer",
        ),
        (
            Expression::member(Reference::Field(Field::Status), vec![string("failed")], false),
            "operator 'not_in' compares span.status with 'failed', which is none of unset, ok, error",
        ),
        (
            Expression::compare(Comparison::Eq, attribute("a"), Constant::Double(f64::NAN)),
            "operator 'eq' compares with NaN, which is less, greater or equal to nothing",
        ),
    ];
    for (tree, message) in cases {
        assert_eq!(tree.unwrap_err().to_string(), message);
    }
}

#[test]
fn usual_regular_expressions_fit() {
    for pattern in
        [r"\w+@\w+\.\w+", r"^/api/v\d{1,3}/users/[0-9a-f-]{36}$", "timeout|refused|reset", "äöü.*ß"]
    {
        assert!(Expression::regex(attribute("a"), pattern).is_ok(), "{pattern}");
    }
}

#[test]
fn two_trees_are_equal_when_they_ask_the_same() {
    let regex = |pattern: &str| Expression::regex(attribute("a"), pattern).unwrap();
    assert_eq!(regex("x+"), regex("x+"));
    assert_ne!(regex("x+"), regex("x"));
    assert_ne!(eq(attribute("a"), Constant::Double(0.0)), eq(attribute("a"), Constant::Double(-0.0)));
    assert_ne!(eq(attribute("a"), any("x")), eq(attribute("a"), string("x")));
}

#[test]
fn a_schema_url_is_that_of_its_own_level() {
    let resource = Resource { schema_url: "r".into(), ..Resource::default() };
    let scope = Scope { schema_url: "s".into(), ..Scope::default() };
    let span = Span { resource: Arc::new(resource), scope: Arc::new(scope), ..drawn() };
    for (field, text) in [(Field::ResourceSchemaUrl, "r"), (Field::ScopeSchemaUrl, "s")] {
        assert!(holds(&eq(field, any(text)), &span), "{field}");
    }
}
