//! Searches over stores of many shapes: runs apart, merged and rolled, starts at both ends of time.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span as Message;
use opentelemetry_proto::tonic::trace::v1::span::Link;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use prost::Message as _;
use tempfile::TempDir;

use super::*;
use crate::model::sketch::{BASE, at, trace, trace_id};
use crate::model::{Span, StatusCode, content_hash};
use crate::query::expression::naive_tests::tree;
use crate::query::expression::{Comparison, Constant, Field, Level, Reference};
use crate::store::{Cursor, Settings};

const DAY: Duration = Duration::from_secs(86_400);

/// A store that is filled step by step.
struct Shelf {
    _folder: TempDir,
    store: Arc<Store>,
    appended: u64,
}

impl Shelf {
    fn empty() -> Self {
        Self::with_cache(16 << 20)
    }

    fn with_cache(cache_bytes: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { cache_bytes, max_age: DAY, max_bytes: Some(1 << 30), min_free_bytes: 0 };
        let store = Store::open(folder.path(), &settings, BASE).unwrap();
        Self { _folder: folder, store: Arc::new(store), appended: 0 }
    }

    /// Holds these spans, one commit each.
    fn holding(spans: &[Span]) -> Self {
        let mut shelf = Self::empty();
        spans.iter().for_each(|span| shelf.append(std::slice::from_ref(span), BASE));
        shelf
    }

    fn append(&mut self, spans: &[Span], now: Timestamp) {
        self.appended += 1;
        let cursor = Cursor { buffer: [0; 16], signal: 0, sequence: self.appended };
        self.store.append(spans, &cursor, now).unwrap();
    }

    fn roll(&self) {
        self.store.roll(BASE).unwrap();
    }

    /// Merges the runs of all blocks but the active one.
    fn merge(&self) {
        while self.store.merge().unwrap().is_some() {}
    }

    fn query(&self) -> Query {
        self.within(Limits::default())
    }

    fn within(&self, limits: Limits) -> Query {
        Query::with_limits(Arc::clone(&self.store), limits)
    }
}

fn numbers(found: &Found) -> Vec<u128> {
    found.traces.iter().map(|trace| u128::from_be_bytes(trace.id.0)).collect()
}

/// A span of that trace that begins then.
fn beginning(number: u64, start: u64) -> Span {
    let end = start.saturating_add(1_000);
    let span = trace(number, "shop | GET /cart | server | 0-1").remove(0);
    let span = Span { start: Timestamp(start), end: Timestamp(end), ..span };
    told(span, |message| {
        message.start_time_unix_nano = start;
        message.end_time_unix_nano = end;
    })
}

/// The span with another message.
fn told(span: Span, edit: impl FnOnce(&mut Message)) -> Span {
    let mut message = Message::decode(&span.body[..]).unwrap();
    edit(&mut message);
    let body = Bytes::from(message.encode_to_vec());
    let content_hash = content_hash(&span.resource, &span.scope, &body);
    Span { body, content_hash, ..span }
}

fn of_shop(limit: usize) -> Conditions {
    Conditions { service: Some("shop".into()), limit, ..Conditions::default() }
}

fn of_any(limit: usize) -> Conditions {
    Conditions { limit, ..Conditions::default() }
}

#[test]
fn a_search_that_is_called_off_ends() {
    let shelf = Shelf::holding(&trace(1, "a | x | server | 0-1\na | y | server | 2-3"));
    let cancel = Cancel::default();
    let handed = cancel.clone();
    let all = shelf.query().find_unless(&handed, &of_any(20)).unwrap();
    assert_eq!((numbers(&all), all.stopped), (vec![1], Stopped::End));
    cancel.cancel();
    let none = shelf.query().find_unless(&handed, &of_any(20)).unwrap();
    assert_eq!((numbers(&none), none.inspected_spans, none.stopped), (vec![], 0, Stopped::Cancelled));
}

#[test]
fn a_search_stops_when_it_has_read_enough() {
    // Nothing is kept at hand.
    let mut shelf = Shelf::with_cache(0);
    for number in 1..=9 {
        shelf.append(&[beginning(number, at(number).nanos())], BASE);
    }
    let search = |read_bytes, conditions| {
        let limits = Limits { read_bytes, ..Limits::default() };
        shelf.within(limits).find(&conditions).unwrap()
    };
    let whole = search(u64::MAX, of_any(20));
    assert_eq!((numbers(&whole).len(), whole.stopped), (9, Stopped::End));
    assert!(whole.read_bytes > 1_000, "{} bytes", whole.read_bytes);
    for conditions in [of_any(20), of_shop(20)] {
        let part = search(whole.read_bytes / 3, conditions);
        assert_eq!(part.stopped, Stopped::Read);
        let found = numbers(&part);
        assert!(!found.is_empty() && found.len() < 9 && found[0] == 9, "{found:?}");
        assert!(part.read_bytes < whole.read_bytes);
        assert!(part.inspected_spans < 9);
    }
    let nothing = search(0, of_any(20));
    assert_eq!((numbers(&nothing), nothing.read_bytes, nothing.stopped), (vec![], 0, Stopped::Read));
}

#[test]
fn a_search_ends_in_the_middle_of_a_run() {
    let mut shelf = Shelf::empty();
    let one = beginning(1, at(0).nanos());
    let spans = (1..=5_000).map(|number| Span { trace_id: trace_id(number), ..one.clone() });
    shelf.append(&spans.collect::<Vec<_>>(), BASE);
    let part = shelf.within(Limits { read_bytes: 1, ..Limits::default() }).find(&of_any(20)).unwrap();
    assert_eq!(part.stopped, Stopped::Read);
    assert!((1..5_000).contains(&part.inspected_spans), "{} spans", part.inspected_spans);
}

#[test]
fn what_is_at_hand_is_not_read_again() {
    let shelf = Shelf::holding(&[beginning(1, at(1).nanos()), beginning(2, at(2).nanos())]);
    shelf.query().find(&of_any(20)).unwrap();
    assert_eq!(shelf.query().find(&of_any(20)).unwrap().read_bytes, 0);
}

#[test]
fn kinds_and_statuses_are_found_by_condition_and_by_tag() {
    let sketch = "a | one | server | 0-1 | !error\na | two | client | 0-1 | !ok\na | three | internal | 0-1\n\
                  a | four | producer | 0-1 | !error\na | five | consumer | 0-1";
    let mut shelf = Shelf::empty();
    for (number, line) in (1..).zip(sketch.lines()) {
        shelf.append(&trace(number, line), BASE);
    }
    let query = shelf.query();
    let tagged = |key: &str, value: &str| Conditions {
        attributes: vec![(key.into(), value.into())],
        ..Conditions::default()
    };
    let of_kind = |kind| Conditions { kind: Some(kind), ..Conditions::default() };
    let of_status = |status| Conditions { status: Some(status), ..Conditions::default() };
    let cases = [
        (of_kind(SpanKind::Server), tagged("span.kind", "server"), vec![1]),
        (of_kind(SpanKind::Client), tagged("span.kind", "client"), vec![2]),
        (of_kind(SpanKind::Internal), tagged("span.kind", "internal"), vec![3]),
        (of_kind(SpanKind::Producer), tagged("span.kind", "producer"), vec![4]),
        (of_kind(SpanKind::Consumer), tagged("span.kind", "consumer"), vec![5]),
        (of_status(StatusCode::Error), tagged("error", "true"), vec![4, 1]),
        (of_status(StatusCode::Ok), tagged("otel.status_code", "OK"), vec![2]),
    ];
    for (by_field, by_tag, expected) in cases {
        for service in [None, Some("a".to_owned())] {
            for conditions in [&by_field, &by_tag] {
                let conditions = Conditions { service: service.clone(), ..conditions.clone() };
                let found = query.find(&conditions).unwrap();
                assert_eq!(numbers(&found), expected, "{conditions:?}");
                // Each run has one span: those that cannot have it were not opened.
                let opened = found.inspected_spans as usize;
                let by_index = service.is_some() || !conditions.attributes.is_empty();
                assert!(!by_index || opened == expected.len(), "{opened} opened: {conditions:?}");
            }
        }
    }
}

#[test]
fn a_key_that_is_asked_for_twice_must_be_there_with_both_values() {
    let mut shelf = Shelf::empty();
    shelf.append(&trace(1, "a | x | server | 0-1 | zone=a zone=b"), BASE);
    shelf.append(&trace(2, "a | x | server | 1-2 | zone=a resource:zone=b"), BASE);
    shelf.append(&trace(3, "a | x | server | 2-3 | zone=a\na | y | server | 2-3 | zone=b"), BASE);
    shelf.append(&trace(4, "a | x | server | 3-4 | event:zone=a scope:zone=b"), BASE);
    let pair = |value: &str| ("zone".to_owned(), value.to_owned());
    let find = |values: &[&str]| {
        let attributes = values.iter().map(|value| pair(value)).collect();
        numbers(&shelf.query().find(&Conditions { attributes, ..Conditions::default() }).unwrap())
    };
    assert_eq!(find(&["a", "b"]), [4, 2, 1]);
    assert_eq!(find(&["b", "a", "a"]), [4, 2, 1]);
    assert_eq!(find(&["a", "c"]), [0; 0]);
}

#[test]
fn doubles_and_bytes_are_found_by_both_of_their_texts() {
    let with = |number: u64, value| {
        let value = Some(AnyValue { value: Some(value) });
        let pair = KeyValue { key: "k".into(), value, ..KeyValue::default() };
        told(beginning(number, at(number).nanos()), |message| message.attributes.push(pair))
    };
    let spans = [
        with(1, Value::DoubleValue(2.0 / 3.0)),
        with(2, Value::BytesValue(vec![0xfb, 0xff])),
        with(3, Value::DoubleValue(72.5)),
    ];
    let apart = Shelf::holding(&spans);
    let merged = Shelf::holding(&spans);
    merged.roll();
    merged.merge();
    for shelf in [apart, merged] {
        for (text, expected) in
            [("0.6666666666666666", 1), ("0.6666666667", 1), ("+/8=", 2), ("fbff", 2), ("72.5", 3)]
        {
            let attributes = vec![("k".to_owned(), text.to_owned())];
            let found = shelf.query().find(&Conditions { attributes, ..Conditions::default() }).unwrap();
            assert_eq!(numbers(&found), [expected], "{text}");
        }
    }
}

#[test]
fn what_a_tree_needs_decides_which_runs_are_opened() {
    let sketch = "shop | GET | server | 0-50 | zone=a !event=retry@1\ncart | GET | client | 0-1 | zone=b n=500\n\
                  shop | load | internal | 0-9 | resource:zone=c scope:name=lib !error";
    let mut shelf = Shelf::empty();
    for (number, line) in (1..).zip(sketch.lines()) {
        shelf.append(&trace(number, line), BASE);
    }
    let query = shelf.query();
    let text = |text: &str| Constant::String(text.to_owned());
    let eq =
        |reference: Reference, constant| Expression::compare(Comparison::Eq, reference, constant).unwrap();
    let is = |field: Field, word: &str| eq(Reference::Field(field), text(word));
    let zone = |word: &str| eq(Reference::attribute("zone", None), text(word));
    let not = |tree| Expression::negation(tree).unwrap();
    let cases: [(Expression, &[u128], u64); 10] = [
        (zone("b"), &[2], 1),
        (Expression::any(vec![zone("a"), zone("c")]).unwrap(), &[3, 1], 2),
        (eq(Reference::attribute("n", None), Constant::Any("500.0".into())), &[2], 1),
        (is(Field::Service, "shop"), &[3, 1], 2),
        (is(Field::Name, "load"), &[3], 1),
        (is(Field::Kind, "client"), &[2], 1),
        (is(Field::Status, "error"), &[3], 1),
        (Expression::some(Level::Event, is(Field::EventName, "retry")).unwrap(), &[1], 1),
        (Expression::all(vec![is(Field::ScopeName, "lib"), not(zone("a"))]).unwrap(), &[3], 1),
        (not(zone("a")), &[3, 2], 3),
    ];
    for (tree, expected, opened) in cases {
        let found = query.find(&Conditions { filter: Some(tree), ..Conditions::default() }).unwrap();
        assert_eq!((numbers(&found), found.inspected_spans), (expected.to_vec(), opened), "{:?}", expected);
    }
    let never = Conditions { filter: Some(Expression::never()), ..Conditions::default() };
    assert_eq!(query.find(&never).unwrap().inspected_spans, 0);
}

#[test]
fn of_equal_starts_the_higher_ids_are_given_and_no_more_than_asked() {
    let orders: [[u64; 5]; 2] = [[1, 2, 3, 4, 5], [3, 1, 5, 4, 2]];
    for start in [0, at(0).nanos(), u64::MAX] {
        for order in orders {
            let spans = order.map(|number| beginning(number, start));
            let apart = Shelf::holding(&spans);
            let merged = Shelf::holding(&spans);
            merged.roll();
            merged.merge();
            let mut together = Shelf::empty();
            together.append(&spans, BASE);
            for shelf in [apart, merged, together] {
                for conditions in [of_any(3), of_shop(3)] {
                    let found = shelf.query().find(&conditions).unwrap();
                    assert_eq!(numbers(&found), [5, 4, 3], "{order:?} at {start}");
                    assert_eq!(found.stopped, Stopped::Limit);
                }
            }
        }
    }
}

#[test]
fn starts_at_both_ends_of_time_are_in_their_places() {
    let starts = [at(5).nanos(), 0, u64::MAX, 1, at(9).nanos(), u64::MAX - 1];
    let spans: Vec<Span> = (1..).zip(starts).map(|(number, start)| beginning(number, start)).collect();
    let apart = Shelf::holding(&spans);
    let mut together = Shelf::empty();
    together.append(&spans, BASE);
    for shelf in [apart, together] {
        let query = shelf.query();
        for service in [None, Some("shop".to_owned())] {
            let between = |start, end, limit| Conditions {
                start: Timestamp(start),
                end: Timestamp(end),
                service: service.clone(),
                limit,
                ..Conditions::default()
            };
            let cases: [(Conditions, &[u128]); 6] = [
                (between(0, u64::MAX, 20), &[3, 6, 5, 1, 4, 2]),
                (between(0, u64::MAX, 2), &[3, 6]),
                (between(0, 0, 20), &[2]),
                (between(u64::MAX, u64::MAX, 20), &[3]),
                (between(1, u64::MAX - 1, 3), &[6, 5, 1]),
                (between(at(5).nanos(), at(9).nanos(), 20), &[5, 1]),
            ];
            for (conditions, expected) in cases {
                assert_eq!(numbers(&query.find(&conditions).unwrap()), expected, "{conditions:?}");
            }
        }
    }
}

#[test]
fn a_trace_in_two_blocks_is_one_and_stands_where_its_newest_span_does() {
    let mut shelf = Shelf::empty();
    let spans = trace(1, "shop | x | server | 0-1\nshop | y | server | 20-21");
    shelf.append(&spans[1..], BASE);
    shelf.append(&trace(2, "shop | x | server | 10-11"), BASE);
    shelf.roll();
    shelf.append(&spans[..1], BASE);
    shelf.append(&trace(3, "shop | x | server | 5-6"), BASE);
    for _ in 0..2 {
        for conditions in [of_any(20), of_shop(20)] {
            let found = shelf.query().find(&conditions).unwrap();
            assert_eq!(numbers(&found), [1, 2, 3]);
            assert_eq!(found.traces[0].spans, spans);
        }
        let newest = shelf.query().find(&of_shop(1)).unwrap();
        assert_eq!((numbers(&newest), newest.traces[0].spans.len()), (vec![1], 2));
        shelf.roll();
        shelf.merge();
    }
}

#[test]
fn what_is_over_is_not_found_and_what_was_pinned_is_found_by_its_id_only() {
    let mut shelf = Shelf::empty();
    shelf.append(&[beginning(1, at(1).nanos())], BASE);
    shelf.append(&[beginning(2, at(2).nanos())], BASE);
    let hour = Duration::from_secs(3_600);
    shelf.append(&[beginning(3, at(3).nanos())], BASE.plus(hour));
    let query = shelf.query();
    assert!(query.pin(trace_id(1), BASE).unwrap());
    assert_eq!(numbers(&query.find(&of_any(20)).unwrap()), [3, 2, 1], "pinned, and not yet over");
    shelf.store.expire(BASE.plus(DAY)).unwrap();
    for conditions in [of_any(20), of_shop(20)] {
        assert_eq!(numbers(&query.find(&conditions).unwrap()), [3]);
    }
    assert_eq!(query.trace(trace_id(1)).unwrap().unwrap().spans, [beginning(1, at(1).nanos())]);
    assert_eq!(query.trace(trace_id(2)).unwrap(), None);
}

/// What can be drawn beside a span.
const MARKS: [&str; 8] = [
    "zone=a",
    "zone=b",
    "resource:zone=a",
    "scope:zone=b",
    "event:zone=a",
    "!error=refused",
    "!ok",
    "!event=retry@3",
];

/// A span and the number of its trace.
fn drawn() -> impl Strategy<Value = (u64, Span)> {
    let words = (select(&["shop", "cart", ""][..]), select(&["GET", "load", "sweep"][..]));
    let kind = select(&["server", "client", "internal", "producer", "consumer", "unspecified"][..]);
    let times = (0..40u64, 0..40u64);
    let marks = prop::sample::subsequence(&MARKS[..], 0..4);
    let link = prop::option::weighted(0.2, select(&["a", "b"][..]));
    (1..12u64, 1..5u64, words, kind, times, (marks, link)).prop_map(
        |(number, id, (service, operation), kind, (start, length), (marks, link))| {
            let marks = marks.join(" ");
            let end = start + length;
            let line = format!("{service} | {operation} | {kind} | {start}-{end} | #{id} {marks}");
            let links = link.map(in_zone);
            (number, told(trace(number, &line).remove(0), |message| message.links.extend(links)))
        },
    )
}

fn in_zone(zone: &str) -> Link {
    let value = Some(AnyValue { value: Some(Value::StringValue(zone.into())) });
    let pair = KeyValue { key: "zone".into(), value, ..KeyValue::default() };
    Link { attributes: vec![pair], ..Link::default() }
}

/// What is done to a store between two commits.
#[derive(Debug, Clone, Copy)]
enum Then {
    Nothing,
    Roll,
    Merge,
}

fn asked() -> impl Strategy<Value = Conditions> {
    let kind = prop::option::weighted(0.3, (0..6u64).prop_map(SpanKind::from_number));
    let status = prop::option::weighted(0.3, (0..3u64).prop_map(StatusCode::from_number));
    let pair = select(
        &[
            ("zone", "a"),
            ("zone", "b"),
            ("event", "retry"),
            ("error", "true"),
            ("span.kind", "server"),
            ("operation", "load"),
            ("service.name", "cart"),
            ("zone", "c"),
        ][..],
    );
    let attributes = prop::collection::vec(pair, 0..3);
    let bounds = (prop::option::of(0..40u64), prop::option::of(0..40u64));
    let service = prop::option::of("shop|cart|nobody|");
    let operation = prop::option::weighted(0.3, "GET|load");
    let filter = prop::option::weighted(0.4, tree().prop_map(|tree| tree.built().unwrap()));
    let rest = (0..80u64, 0..80u64, 1..8usize);
    (kind, status, attributes, bounds, (service, operation), filter, rest).prop_map(
        |(kind, status, attributes, (shortest, longest), (service, operation), filter, rest)| {
            let (from, length, limit) = rest;
            Conditions {
                service,
                operation,
                kind,
                status,
                attributes: attributes.into_iter().map(|(key, value)| (key.into(), value.into())).collect(),
                filter,
                min_duration: shortest.map(Duration::from_millis),
                max_duration: longest.map(Duration::from_millis),
                start: at(from / 2),
                end: at(from / 2 + length),
                limit,
            }
        },
    )
}

/// The traces that looking at every span finds.
fn expected(spans: &[(u64, Span)], conditions: &Conditions) -> Vec<u128> {
    let matching = spans.iter().filter(|(_number, span)| conditions.match_span(span));
    let mut newest = std::collections::BTreeMap::new();
    for (number, span) in matching {
        let start = newest.entry(*number).or_insert(span.start);
        *start = span.start.max(*start);
    }
    let mut order: Vec<_> = newest.into_iter().map(|(number, start)| (start, number)).collect();
    order.sort_unstable_by(|left, right| right.cmp(left));
    order.into_iter().take(conditions.limit).map(|(_start, number)| u128::from(number)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_search_of_any_store_finds_what_looking_at_every_span_finds(
        spans in prop::collection::vec(drawn(), 1..60),
        cuts in prop::collection::vec((any::<Index>(), select(&[Then::Nothing, Then::Roll, Then::Merge][..])), 0..8),
        questions in prop::collection::vec(asked(), 1..20),
    ) {
        let mut shelf = Shelf::empty();
        let mut cuts: Vec<_> = cuts.into_iter().map(|(cut, then)| (cut.index(spans.len()), then)).collect();
        cuts.sort_unstable_by_key(|(place, _then)| *place);
        let mut from = 0;
        for (place, then) in cuts.into_iter().chain([(spans.len(), Then::Nothing)]) {
            let batch: Vec<Span> = spans[from..place].iter().map(|(_number, span)| span.clone()).collect();
            shelf.append(&batch, BASE);
            from = place;
            match then {
                Then::Nothing => {}
                Then::Roll => shelf.roll(),
                Then::Merge => shelf.merge(),
            }
        }
        for (conditions, candidates) in questions.iter().zip([1, 3, usize::MAX].into_iter().cycle()) {
            let query = shelf.within(Limits { candidates, ..Limits::default() });
            let found = query.find(conditions).unwrap();
            prop_assert_eq!(numbers(&found), expected(&spans, conditions), "{:?}", conditions);
            for whole in &found.traces {
                let asked_for = query.trace(whole.id).unwrap();
                prop_assert_eq!(Some(whole), asked_for.as_ref());
            }
        }
    }
}

#[test]
fn ids_are_found_as_traces_are_but_for_those_without_one() {
    let mut shelf = Shelf::empty();
    for number in 0..=6 {
        shelf.append(&[beginning(number, at(number * 10).nanos())], BASE);
    }
    shelf.append(&[beginning(0, at(90).nanos())], BASE);
    for limit in [1, 2, 5, 6, 7, 20] {
        let found = shelf.query().find_ids_unless(&Cancel::default(), &of_shop(limit)).unwrap();
        let ids: Vec<u128> = found.ids.iter().map(|found| u128::from_be_bytes(found.id.0)).collect();
        let expected: Vec<u128> = (1..=6).rev().take(limit).collect();
        assert_eq!(ids, expected);
        assert_eq!(found.ids[0].newest, at(60));
        // The one without an id began before all others: as long as it was not looked at, it may be another.
        assert_eq!(found.stopped, if limit <= 6 { Stopped::Limit } else { Stopped::End });
    }
    let bounds = shelf.query().bounds(trace_id(0)).unwrap();
    assert_eq!(bounds, Some((at(0), Timestamp(at(90).nanos() + 1_000))));
    assert_eq!(shelf.query().bounds(trace_id(7)).unwrap(), None);
}

#[test]
fn ids_are_not_looked_for_when_there_are_as_many_as_are_wanted() {
    // Nothing is kept at hand.
    let mut shelf = Shelf::with_cache(0);
    for second in 1..=9 {
        shelf.append(&[beginning(1, at(second).nanos())], BASE);
    }
    let whole = shelf.query().find(&of_any(20)).unwrap();
    let search = |limit| {
        let query = shelf.within(Limits { read_bytes: whole.read_bytes / 3, ..Limits::default() });
        query.find_ids_unless(&Cancel::default(), &of_any(limit)).unwrap()
    };
    let newest = vec![FoundId { id: trace_id(1), newest: at(9) }];
    assert_eq!(search(1), FoundIds { ids: newest.clone(), stopped: Stopped::Limit });
    assert_eq!(search(2), FoundIds { ids: newest, stopped: Stopped::Read });
}
