//! The evaluation beside one that was written from the same rules without it, over any tree and any span; and what
//! indexes are asked for beside both.
//!
//! A span is described by what was put into it, with the texts and the number of every value written down by hand, so
//! nothing of the views, of texts or of comparing numbers is shared.

use std::collections::BTreeSet;

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::trace::v1::span::{Event, Link};
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span as Message, Status};
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::model::sketch::{BASE, at, span as record};
use crate::model::{Origin, Span, Timestamp};
use crate::otlp::SpanView;
use crate::query::Conditions;
use crate::query::views::Views;
use crate::store::tags::{Tags, source_tags};
use crate::store::{shortened, tag_hash};

/// What is known of a value: what kind it is, its texts, and its number.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    kind: char,
    texts: &'static [&'static str],
    number: f64,
}

const fn known(kind: char, texts: &'static [&'static str], number: f64) -> Known {
    Known { kind, texts, number }
}

const VALUES: [Known; 17] = [
    known('s', &["a"], f64::NAN),
    known('s', &["b"], f64::NAN),
    known('s', &["9"], 9.0),
    known('s', &["09"], 9.0),
    known('s', &["10"], 10.0),
    known('s', &["true"], f64::NAN),
    known('s', &[""], f64::NAN),
    known('i', &["9"], 9.0),
    known('i', &["10"], 10.0),
    known('i', &["0"], 0.0),
    known('d', &["9.5"], 9.5),
    known('d', &["-0"], 0.0),
    known('d', &["0.3333333333333333", "0.3333333333"], 1.0 / 3.0),
    known('d', &["10000000000", "1e+10"], 1e10),
    known('b', &["true"], 1.0),
    known('o', &["+w==", "fb"], f64::NAN),
    known('e', &[], f64::NAN),
];

/// The other values: a list, and the false one.
const MORE: [Known; 2] = [known('l', &["[7]"], f64::NAN), known('b', &["false"], 0.0)];

fn message_of(value: Known) -> AnyValue {
    let value = match (value.kind, value.texts) {
        ('s', texts) => Some(Any::StringValue(texts[0].into())),
        ('i', _) => Some(Any::IntValue(value.number as i64)),
        ('d', ["-0"]) => Some(Any::DoubleValue(-0.0)),
        ('d', _) => Some(Any::DoubleValue(value.number)),
        ('b', _) => Some(Any::BoolValue(value.number == 1.0)),
        ('o', _) => Some(Any::BytesValue(vec![0xfb])),
        ('l', _) => {
            let seven = AnyValue { value: Some(Any::IntValue(7)) };
            Some(Any::ArrayValue(ArrayValue { values: vec![seven] }))
        }
        _ => None,
    };
    AnyValue { value }
}

type Pairs = Vec<(&'static str, Known)>;

/// A span by what was put into it. Times are in ms after [`BASE`].
#[derive(Debug, Clone)]
struct Plain {
    is_jaegers: bool,
    service: &'static str,
    name: &'static str,
    kind: usize,
    status: usize,
    message: &'static str,
    state: &'static str,
    parent: Option<u8>,
    times: (u64, u64),
    scope: (&'static str, &'static str),
    span: Pairs,
    resource: Pairs,
    of_scope: Pairs,
    events: Vec<(&'static str, u64, Pairs)>,
    links: Vec<(u8, &'static str, Pairs)>,
}

const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
const STATUS_WORDS: [&str; 3] = ["unset", "ok", "error"];
const KEYS: [&str; 4] = ["zone", "n", "error", "@jaeger@w"];
const WORDS: [&str; 3] = ["a", "b", ""];

fn pairs() -> impl Strategy<Value = Pairs> {
    let value = prop_oneof![8 => select(&VALUES[..]), 1 => select(&MORE[..])];
    prop::collection::vec((select(&KEYS[..]), value), 0..3)
}

fn plain() -> impl Strategy<Value = Plain> {
    let head = (any::<bool>(), select(&WORDS[..]), select(&WORDS[..]), 0..6usize, 0..3usize);
    let more = (select(&WORDS[..]), select(&WORDS[..]), prop::option::of(0..3u8), (0..4u64, 0..4u64));
    let scope = (select(&WORDS[..]), select(&WORDS[..]));
    let event = (select(&WORDS[..]), 0..4u64, pairs());
    let link = (0..3u8, select(&WORDS[..]), pairs());
    let many = (prop::collection::vec(event, 0..3), prop::collection::vec(link, 0..3));
    (head, more, scope, (pairs(), pairs(), pairs()), many).prop_map(|(head, more, scope, pairs, many)| {
        let (is_jaegers, service, name, kind, status) = head;
        let (message, state, parent, times) = more;
        let ((span, resource, of_scope), (events, links)) = (pairs, many);
        Plain {
            is_jaegers,
            service,
            name,
            kind,
            status,
            message,
            state,
            parent,
            times,
            scope,
            span,
            resource,
            of_scope,
            events,
            links,
        }
    })
}

impl Plain {
    fn span(&self) -> Span {
        let attributes = |pairs: &Pairs| {
            pairs.iter().map(|(key, value)| pair(key, message_of(*value))).collect::<Vec<_>>()
        };
        let events = self.events.iter().map(|(name, time, pairs)| Event {
            name: (*name).into(),
            time_unix_nano: at(*time).nanos(),
            attributes: attributes(pairs),
            ..Event::default()
        });
        let links = self.links.iter().map(|(id, state, pairs)| Link {
            trace_id: [vec![0; 15], vec![*id]].concat(),
            span_id: [vec![0; 7], vec![*id]].concat(),
            trace_state: (*state).into(),
            attributes: attributes(pairs),
            ..Link::default()
        });
        let message = Message {
            trace_id: [vec![0; 15], vec![1]].concat(),
            span_id: vec![0, 0, 0, 0, 0, 0, 0, 1],
            parent_span_id: self.parent.map(|id| [vec![0; 7], vec![id]].concat()).unwrap_or_default(),
            trace_state: self.state.into(),
            name: self.name.into(),
            kind: self.kind as i32,
            start_time_unix_nano: at(self.times.0).nanos(),
            end_time_unix_nano: at(self.times.1).nanos(),
            attributes: attributes(&self.span),
            events: events.collect(),
            links: links.collect(),
            status: Some(Status { message: self.message.into(), code: self.status as i32 }),
            ..Message::default()
        };
        let mut resource = opentelemetry_proto::tonic::resource::v1::Resource {
            attributes: attributes(&self.resource),
            ..Default::default()
        };
        if !self.service.is_empty() {
            let name = AnyValue { value: Some(Any::StringValue(self.service.into())) };
            resource.attributes.push(pair("service.name", name));
        }
        let scope = InstrumentationScope {
            name: self.scope.0.into(),
            version: self.scope.1.into(),
            attributes: attributes(&self.of_scope),
            ..InstrumentationScope::default()
        };
        let spans = ScopeSpans { scope: Some(scope), spans: vec![message], ..ScopeSpans::default() };
        let origin = if self.is_jaegers { Origin::Jaeger } else { Origin::Otlp };
        let brought =
            ResourceSpans { resource: Some(resource), scope_spans: vec![spans], ..ResourceSpans::default() };
        Span { origin, ..record(&brought) }
    }
}

fn pair(key: &str, value: AnyValue) -> KeyValue {
    KeyValue { key: key.into(), value: Some(value), key_strindex: 0 }
}

/// A tree that is not checked yet.
#[derive(Debug, Clone)]
pub(in crate::query) enum Tree {
    And(Vec<Self>),
    Or(Vec<Self>),
    Not(Box<Self>),
    Some(Level, Box<Self>),
    Exists(Reference),
    Compare(Comparison, Operand, Operand),
    Member(Reference, Vec<Constant>, bool),
    Regex(Reference, &'static str),
}

impl Tree {
    pub(in crate::query) fn built(&self) -> Result<Expression, Error> {
        let all = |trees: &[Self]| trees.iter().map(Self::built).collect::<Result<Vec<_>, _>>();
        match self {
            Self::And(trees) => Expression::all(all(trees)?),
            Self::Or(trees) => Expression::any(all(trees)?),
            Self::Not(tree) => Expression::negation(tree.built()?),
            Self::Some(level, tree) => Expression::some(*level, tree.built()?),
            Self::Exists(reference) => Expression::exists(reference.clone()),
            Self::Compare(comparison, left, right) => {
                Expression::compare(*comparison, left.clone(), right.clone())
            }
            Self::Member(of, list, wanted) => Expression::member(of.clone(), list.clone(), *wanted),
            Self::Regex(reference, pattern) => Expression::regex(reference.clone(), pattern),
        }
    }
}

const COMPARISONS: [Comparison; 6] =
    [Comparison::Eq, Comparison::Ne, Comparison::Gt, Comparison::Lt, Comparison::Gte, Comparison::Lte];

fn reference() -> impl Strategy<Value = Reference> {
    let level = prop::option::weighted(0.8, select(&Level::ALL[..]));
    let attribute =
        (select(&KEYS[..]), level).prop_map(|(key, level)| Reference::Attribute { key: key.into(), level });
    let fields: Vec<_> = Field::all().collect();
    prop_oneof![2 => attribute, 1 => select(fields).prop_map(Reference::Field)]
}

fn constant() -> impl Strategy<Value = Constant> {
    let texts = [
        "a",
        "b",
        "",
        "9",
        "9.0",
        "09",
        "10",
        "0",
        "-0",
        "true",
        "false",
        "T",
        "0.3333333333",
        "fb",
        "+w==",
        "[7]",
        "1e10",
        "1e+10",
        "server",
        "unspecified",
        "error",
        "unset",
        "1",
    ];
    let base = i128::from(BASE.nanos());
    prop_oneof![
        8 => select(texts.to_vec()).prop_map(|text| Constant::Any(text.into())),
        2 => select(texts.to_vec()).prop_map(|text| Constant::String(text.into())),
        2 => select(vec![9, 10, 0, 1]).prop_map(Constant::Int),
        1 => select(vec![9.0, 9.5, 0.0, -0.0, 1e10]).prop_map(Constant::Double),
        1 => any::<bool>().prop_map(Constant::Bool),
        2 => (-1..4i128).prop_map(|millis| Constant::Duration(millis * 1_000_000)),
        2 => (-1..4i128).prop_map(move |millis| Constant::Time(base + millis * 1_000_000)),
    ]
}

fn leaf() -> impl Strategy<Value = Tree> {
    let operand = || prop_oneof![3 => reference().prop_map(Operand::Reference), 2 => constant().prop_map(Operand::Constant)];
    let compare = (select(&COMPARISONS[..]), operand(), operand())
        .prop_map(|(comparison, left, right)| Tree::Compare(comparison, left, right));
    let list = prop::collection::vec(constant(), 1..4);
    let member =
        (reference(), list, any::<bool>()).prop_map(|(of, list, wanted)| Tree::Member(of, list, wanted));
    let regex = (reference(), select(&["^a$", "9|b", "r", ""][..]))
        .prop_map(|(reference, pattern)| Tree::Regex(reference, pattern));
    let tree = prop_oneof![6 => compare, 2 => member, 1 => regex, 1 => reference().prop_map(Tree::Exists)];
    tree.prop_filter("makes no sense", |tree| tree.built().is_ok())
}

/// Any tree that makes sense.
pub(in crate::query) fn tree() -> impl Strategy<Value = Tree> {
    let tree = leaf().prop_recursive(4, 24, 3, |inner| {
        let several = prop::collection::vec(inner.clone(), 2..4);
        let level = select(&[Level::Event, Level::Link][..]);
        prop_oneof![
            2 => several.clone().prop_map(Tree::And),
            2 => several.prop_map(Tree::Or),
            1 => inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            2 => (level, inner).prop_map(|(level, tree)| Tree::Some(level, Box::new(tree))),
        ]
    });
    tree.prop_filter("makes no sense", |tree| tree.built().is_ok())
}

/// A value of either side; `x` for the text of a constant without a type, `t` for ns.
#[derive(Debug, Clone)]
struct Found {
    kind: char,
    texts: Vec<String>,
    number: f64,
}

fn text(text: impl Into<String>) -> Found {
    Found { kind: 's', texts: vec![text.into()], number: f64::NAN }
}

/// Small enough to be exact: ns after [`BASE`].
fn nanos(nanos: i128) -> Found {
    Found { kind: 'i', texts: vec![], number: (nanos) as f64 }
}

impl Plain {
    fn fulfils(&self, tree: &Tree, event: Option<usize>, link: Option<usize>) -> bool {
        let of = |tree: &Tree| self.fulfils(tree, event, link);
        let found = |reference: &Reference| self.found(reference, event, link);
        match tree {
            Tree::And(trees) => !trees.iter().any(|tree| !of(tree)),
            Tree::Or(trees) => trees.iter().filter(|tree| of(tree)).count() > 0,
            Tree::Not(tree) => !of(tree),
            Tree::Some(Level::Event, tree) => {
                (0..self.events.len()).any(|place| self.fulfils(tree, Some(place), link))
            }
            Tree::Some(_, tree) => (0..self.links.len()).any(|place| self.fulfils(tree, event, Some(place))),
            Tree::Exists(reference) => !found(reference).is_empty(),
            Tree::Member(reference, list, wanted) => {
                let found = found(reference);
                let is_in = found.iter().any(|value| list.iter().any(|element| is_member(value, element)));
                !found.is_empty() && is_in == *wanted
            }
            Tree::Regex(reference, pattern) => found(reference).iter().any(|value| match *pattern {
                "^a$" => value.texts.first().is_some_and(|text| text == "a"),
                "9|b" => value.texts.first().is_some_and(|text| text.contains('9') || text.contains('b')),
                "r" => value.texts.first().is_some_and(|text| text.contains('r')),
                _ => !value.texts.is_empty(),
            }),
            Tree::Compare(comparison, left, right) => {
                let side = |operand: &Operand, other: &Operand| match operand {
                    Operand::Reference(reference) => self.found(reference, event, link),
                    Operand::Constant(constant) => vec![of_constant(constant, other)],
                };
                let (left, right) = (side(left, right), side(right, left));
                let mut pairs = left.iter().flat_map(|one| right.iter().map(move |other| (one, other)));
                match comparison {
                    Comparison::Eq => pairs.any(|(one, other)| are_equal(one, other)),
                    Comparison::Ne => {
                        !left.is_empty()
                            && !right.is_empty()
                            && pairs.all(|(one, other)| !are_equal(one, other))
                    }
                    Comparison::Gt => pairs.any(|(one, other)| is_less(other, one)),
                    Comparison::Lt => pairs.any(|(one, other)| is_less(one, other)),
                    Comparison::Gte => pairs.any(|(one, other)| is_at_most(other, one)),
                    Comparison::Lte => pairs.any(|(one, other)| is_at_most(one, other)),
                }
            }
        }
    }

    fn found(&self, reference: &Reference, event: Option<usize>, link: Option<usize>) -> Vec<Found> {
        let events =
            || self.events.iter().enumerate().filter(move |(place, _)| event.is_none_or(|one| one == *place));
        let links =
            || self.links.iter().enumerate().filter(move |(place, _)| link.is_none_or(|one| one == *place));
        let said = |word: &str| if word.is_empty() { vec![] } else { vec![text(word)] };
        let base = i128::from(BASE.nanos());
        let moment = |millis: u64| nanos(base + i128::from(millis) * 1_000_000);
        match reference {
            Reference::Attribute { key, level } => self.attributes(key, *level, event, link),
            Reference::Field(field) => match field {
                Field::TraceId => vec![text("00000000000000000000000000000001")],
                Field::SpanId => vec![text("0000000000000001")],
                Field::ParentSpanId => {
                    let parent = self.parent.filter(|id| *id != 0);
                    parent.map(|id| text(format!("000000000000000{id}"))).into_iter().collect()
                }
                Field::TraceState => said(self.state),
                Field::Name => vec![text(self.name)],
                Field::Kind => vec![text(KINDS[self.kind])],
                Field::Status => vec![text(STATUS_WORDS[self.status])],
                Field::StatusMessage => said(self.message),
                Field::StartTime => vec![moment(self.times.0)],
                Field::EndTime => vec![moment(self.times.1)],
                Field::Duration => {
                    vec![nanos(i128::from(self.times.1.saturating_sub(self.times.0)) * 1_000_000)]
                }
                Field::Service => said(self.service),
                Field::ResourceSchemaUrl => vec![text("https://opentelemetry.io/schemas/1.30.0")],
                Field::ScopeName => said(self.scope.0),
                Field::ScopeVersion => said(self.scope.1),
                Field::ScopeSchemaUrl => vec![],
                Field::EventName => events().map(|(_, (name, _, _))| text(*name)).collect(),
                Field::EventTime => events().map(|(_, (_, time, _))| moment(*time)).collect(),
                Field::TimeSinceStart => {
                    let since = |time: u64| (i128::from(time) - i128::from(self.times.0)) * 1_000_000;
                    events().map(|(_, (_, time, _))| nanos(since(*time))).collect()
                }
                Field::LinkTraceId => {
                    links().map(|(_, (id, _, _))| text(format!("{}{id}", "0".repeat(31)))).collect()
                }
                Field::LinkSpanId => {
                    links().map(|(_, (id, _, _))| text(format!("{}{id}", "0".repeat(15)))).collect()
                }
                Field::LinkTraceState => links().flat_map(|(_, (_, state, _))| said(state)).collect(),
            },
        }
    }
}

impl Plain {
    fn attributes(
        &self,
        key: &str,
        level: Option<Level>,
        event: Option<usize>,
        link: Option<usize>,
    ) -> Vec<Found> {
        let events =
            self.events.iter().enumerate().filter(|(place, _)| event.is_none_or(|one| one == *place));
        let links = self.links.iter().enumerate().filter(|(place, _)| link.is_none_or(|one| one == *place));
        let lists: Vec<&Pairs> = match level {
            None => vec![&self.span, &self.resource],
            Some(Level::Span) => vec![&self.span],
            Some(Level::Resource) => vec![&self.resource],
            Some(Level::Scope) => vec![&self.of_scope],
            Some(Level::Event) => events.map(|(_, (_, _, pairs))| pairs).collect(),
            Some(Level::Link) => links.map(|(_, (_, _, pairs))| pairs).collect(),
        };
        let named = lists.into_iter().flatten().filter(|(name, _)| *name == key);
        let hidden = self.is_jaegers && key == "@jaeger@w";
        let mut found: Vec<_> = named
            .filter(|_| !hidden)
            .map(|(_, Known { kind, texts, number })| Found {
                kind: *kind,
                texts: texts.iter().map(|text| (*text).to_owned()).collect(),
                number: *number,
            })
            .collect();
        if key == "error" && matches!(level, None | Some(Level::Span)) {
            let is_error = self.status == 2;
            if is_error || self.span.iter().all(|(key, _)| *key != "error") {
                let number = f64::from(u8::from(is_error));
                found.push(Found { kind: 'b', texts: vec![is_error.to_string()], number });
            }
        }
        found
    }
}

fn of_constant(constant: &Constant, other: &Operand) -> Found {
    let beside = match other {
        Operand::Reference(Reference::Field(field)) => Some(field.holds()),
        _ => None,
    };
    let number = |text: &str| text.parse::<f64>().unwrap_or(f64::NAN);
    match constant {
        // An id may be written short.
        Constant::Any(word) | Constant::String(word) if beside == Some(Holds::TraceId) => id(word, 32),
        Constant::Any(word) | Constant::String(word) if beside == Some(Holds::SpanId) => id(word, 16),
        Constant::Any(word) if beside.is_none() => {
            Found { kind: 'x', texts: vec![word.clone()], number: number(word) }
        }
        Constant::Any(word) | Constant::String(word) => text(word),
        Constant::Int(whole) => Found { kind: 'i', texts: vec![], number: *whole as f64 },
        Constant::Double(double) => Found { kind: 'd', texts: vec![], number: *double },
        Constant::Bool(bit) => {
            Found { kind: 'b', texts: vec![bit.to_string()], number: f64::from(u8::from(*bit)) }
        }
        Constant::Duration(time) | Constant::Time(time) => nanos(*time),
    }
}

fn id(word: &str, digits: usize) -> Found {
    let is_id = !word.is_empty() && word.bytes().all(|digit| digit.is_ascii_hexdigit());
    text(if is_id { format!("{word:0>digits$}") } else { word.to_owned() })
}

fn is_member(value: &Found, element: &Constant) -> bool {
    let other = Operand::Constant(Constant::Any(String::new()));
    match (value.kind, element) {
        ('i', Constant::Double(_)) | ('d', Constant::Int(_)) => false,
        // The elements beside an id are read as one; those beside other fields are text, as their values are.
        ('s', Constant::Any(word) | Constant::String(word)) => {
            let text = &value.texts[0];
            text == word || ((text.len() == 32 || text.len() == 16) && *text == id(word, text.len()).texts[0])
        }
        _ => are_equal(value, &of_constant(element, &other)),
    }
}

fn are_equal(one: &Found, other: &Found) -> bool {
    let share_a_text = || one.texts.iter().any(|text| other.texts.contains(text));
    match (one.kind, other.kind) {
        ('e', _) | (_, 'e') => false,
        ('x', 'b') | ('b', 'x') => {
            let (word, bit) = if one.kind == 'x' { (one, other) } else { (other, one) };
            let words: &[&str] = if bit.number == 1.0 { &["1", "T", "true"] } else { &["0", "false"] };
            words.contains(&word.texts[0].as_str())
        }
        ('x', 'i' | 'd') | ('i' | 'd', 'x') => one.number == other.number || share_a_text(),
        ('x', _) | (_, 'x') => share_a_text(),
        ('i' | 'd', 'i' | 'd') => one.number == other.number,
        (kind, another) => {
            let is_other = |kind| kind == 'o' || kind == 'l';
            (kind == another || (is_other(kind) && is_other(another)))
                && one.texts.first() == other.texts.first()
        }
    }
}

fn is_less(one: &Found, other: &Found) -> bool {
    ordered(one, other, |left, right| left < right, |left, right| left < right)
}

fn is_at_most(one: &Found, other: &Found) -> bool {
    ordered(one, other, |left, right| left <= right, |left, right| left <= right)
}

fn ordered(one: &Found, other: &Found, numbers: fn(f64, f64) -> bool, texts: fn(&str, &str) -> bool) -> bool {
    let is_number = |found: &Found| matches!(found.kind, 'i' | 'd');
    let is_text = |found: &Found| matches!(found.kind, 's' | 'x');
    match () {
        () if is_number(one) && is_number(other) => numbers(one.number, other.number),
        () if one.kind == 'x' && is_number(other) || is_number(one) && other.kind == 'x' => {
            numbers(one.number, other.number)
        }
        () if is_text(one) && is_text(other) => {
            let is_any = one.kind == 'x' || other.kind == 'x';
            let number = |found: &Found| found.texts[0].parse::<f64>();
            match (number(one), number(other)) {
                (Ok(left), Ok(right)) if is_any => numbers(left, right),
                _ => texts(&one.texts[0], &other.texts[0]),
            }
        }
        () => false,
    }
}

/// Every hash by which the chunk of this span is searched.
fn hashes(span: &Span) -> BTreeSet<u64> {
    let mut tags = Tags::default();
    tags.source(&source_tags(&span.resource, &span.scope));
    tags.outcome(span.kind, span.status);
    tags.name(SpanView::name_of(&span.body).as_bytes());
    tags.fields(&span.body);
    tags.finish().iter().copied().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_tree_holds_when_looking_at_every_value_says_so(
        plain in plain(),
        trees in prop::collection::vec(tree(), 1..20),
    ) {
        let span = plain.span();
        for tree in trees {
            let expression = tree.built().unwrap();
            let holds = expression.holds(&Views::until(&|| false, &span));
            prop_assert_eq!(holds, plain.fulfils(&tree, None, None), "{:?} of {:?}", expression, plain);
            let conditions = Conditions { filter: Some(expression), ..Conditions::default() };
            prop_assert_eq!(conditions.match_span(&span), holds);
        }
    }

    #[test]
    fn no_span_that_fulfils_a_tree_is_missed_by_what_indexes_are_asked_for(
        plain in plain(),
        trees in prop::collection::vec(tree(), 1..20),
    ) {
        let span = plain.span();
        let hashes = hashes(&span);
        for tree in trees {
            let conditions = Conditions { filter: Some(tree.built().unwrap()), ..Conditions::default() };
            if !conditions.match_span(&span) {
                continue;
            }
            let filter = conditions.filter();
            prop_assert!(filter.service.is_none_or(|name| name == shortened(&span.resource.service)), "{:?}", tree);
            prop_assert!(filter.operation.is_none_or(|name| name == plain.name), "{:?}", tree);
            prop_assert!(filter.kind.is_none_or(|kind| kind == span.kind), "{:?}", tree);
            prop_assert!(filter.status.is_none_or(|status| status == span.status), "{:?}", tree);
            prop_assert!(filter.starts.contains(&span.start), "{:?}", tree);
            prop_assert!(filter.durations.contains(&span.duration()), "{:?}", tree);
            for tags in &filter.tags {
                prop_assert!(tags.iter().any(|tag| hashes.contains(tag)), "{:?} of {:?}", tree, plain);
            }
        }
    }
}

#[test]
fn indexes_are_asked_for_all_that_must_be_so() {
    let name = |name: &str| Constant::String(name.to_owned());
    let eq = |field: Field, word: &str| Expression::compare(Comparison::Eq, field, name(word)).unwrap();
    let longer = |millis: i128| {
        let duration = Constant::Duration(millis * 1_000_000);
        Expression::compare(Comparison::Gt, Field::Duration, duration).unwrap()
    };
    let later = Expression::compare(Comparison::Gte, Field::StartTime, Constant::Time(7)).unwrap();
    let zone = |text: &str| {
        let zone = Reference::attribute("zone", None);
        Expression::compare(Comparison::Eq, zone, Constant::Any(text.to_owned())).unwrap()
    };
    let filter = |expression| Conditions { filter: Some(expression), ..Conditions::default() }.filter();
    let all = vec![
        eq(Field::Service, "shop"),
        eq(Field::Name, "GET"),
        eq(Field::Kind, "server"),
        eq(Field::Status, "error"),
        longer(5),
        later,
    ];
    let asked = filter(Expression::all(all).unwrap());
    assert_eq!((asked.service.as_deref(), asked.operation.as_deref()), (Some("shop"), Some("GET")));
    assert_eq!((asked.kind, asked.status), (Some(SpanKind::Server), Some(StatusCode::Error)));
    assert_eq!(asked.durations.start().as_millis(), 5);
    assert_eq!(*asked.starts.start(), Timestamp(7));
    // Of branches what all of them say.
    let either = |one, other| filter(Expression::any(vec![one, other]).unwrap());
    assert_eq!(either(longer(5), longer(9)).durations.start().as_millis(), 5);
    assert_eq!(either(zone("a"), zone("b")).tags, [[tag_hash("zone", "a"), tag_hash("zone", "b")]]);
    let same = |millis| Expression::all(vec![eq(Field::Service, "shop"), longer(millis)]).unwrap();
    assert_eq!(either(same(1), same(2)).service.as_deref(), Some("shop"));
    let neither = either(eq(Field::Service, "shop"), eq(Field::Service, "cart"));
    assert_eq!((neither.service, neither.tags.len()), (None, 1));
    assert!(either(zone("a"), longer(5)).tags.is_empty());
    // One event's name is among the pairs, and what is negated says nothing.
    let some = Expression::some(Level::Event, eq(Field::EventName, "retry")).unwrap();
    assert_eq!(filter(some).tags, [[tag_hash("event", "retry")]]);
    assert!(filter(Expression::negation(zone("a")).unwrap()).tags.is_empty());
    let never = filter(Expression::never());
    assert!(never.starts.is_empty());
    // A number is there in the text that its type gives it.
    let texts = filter(zone("9.0")).tags;
    assert_eq!(texts, [["9.0", "9", "9"].map(|text| tag_hash("zone", text))]);
}
