//! Calls as they come out whatever comes in first, and however often the program restarts.

use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use redb::backends::InMemoryBackend;
use redb::{Builder, Database, ReadableDatabase as _};

use super::pending::{MAX_WAIT, MAX_WAITING};
use super::*;
use crate::model::sketch::{BASE, at, span_id, trace, trace_id};
use crate::model::{Origin, Span, StatusCode, TraceId, content_hash};
use crate::otlp::write as wire;
use crate::otlp::{SpanView, ZIPKIN_FIELD, ZIPKIN_SHARED};
use crate::store::Cursor;
use crate::store::chunk::Item;
use crate::store::engine::Definition;
use crate::store::histogram::Stats;
use crate::store::key::{self, Identity};
use crate::store::literal;
use crate::store::losses::Losses;
use crate::store::red::{self, RED, Red, Wanted};
use crate::store::seal::unseal;

const ALL_KINDS: [SpanKind; 6] = [
    SpanKind::Unspecified,
    SpanKind::Internal,
    SpanKind::Server,
    SpanKind::Client,
    SpanKind::Producer,
    SpanKind::Consumer,
];

/// What a store does around counting: knows its spans, drops retries, numbers its runs.
struct Shelf {
    database: Database,
    spans: BTreeMap<Identity, (Span, u32)>,
    run: u32,
    pending: Pending,
    losses: Losses,
    now: Timestamp,
}

impl Shelf {
    fn new() -> Self {
        let database = Builder::new().create_with_backend(InMemoryBackend::new()).unwrap();
        let transaction = database.begin_write().unwrap();
        for table in [DEPENDENCIES, PENDING_PARENTS, RED] {
            transaction.open_table(table).unwrap();
        }
        transaction.commit().unwrap();
        Self {
            database,
            spans: BTreeMap::new(),
            run: 0,
            pending: Pending::default(),
            losses: Losses::default(),
            now: BASE,
        }
    }

    fn known(&self, trace_id: TraceId) -> Vec<KnownSpan> {
        let identity = |byte| Identity { trace_id, span_id: SpanId([byte; 8]), content_hash: u64::MAX };
        self.spans.range(identity(0)..=identity(0xff)).map(|(_, (span, _))| known(span)).collect()
    }

    fn store(&mut self, batch: &[Span]) {
        self.run += 1;
        let new: BTreeMap<Identity, &Span> = batch
            .iter()
            .map(|span| (Identity::of(span), span))
            .filter(|(identity, _)| !self.spans.contains_key(identity))
            .collect();
        // Each service is a source of its own.
        let sources: Vec<_> = new.values().map(|span| span.resource.service.clone()).collect();
        let source =
            |span: &Span| sources.iter().position(|name| *name == span.resource.service).unwrap() as u32;
        let items: Vec<Item<'_>> = new.values().map(|span| Item { span, source: source(span) }).collect();
        let mut counting = Counting::new(&self.pending, &self.losses, self.now);
        for of_trace in items.chunk_by(|one, other| one.span.trace_id == other.span.trace_id) {
            trace_of(&mut counting, of_trace, &self.known(of_trace[0].span.trace_id));
        }
        let sought: HashSet<_> = counting.foreign_links().map(|(trace_id, _)| trace_id).collect();
        let spans_of = |trace_id| -> Result<_, Infallible> {
            assert!(sought.contains(&trace_id));
            let of_batch = items.iter().filter(|item| item.span.trace_id == trace_id);
            Ok(of_batch.map(|item| known(item.span)).chain(self.known(trace_id)).collect())
        };
        counting.resolve_links(spans_of).unwrap();
        let counted = counting.finish();
        let transaction = self.database.begin_write().unwrap();
        write(&transaction, self.run, &counted, &self.losses).unwrap();
        red::write(&transaction, &counted, &self.losses).unwrap();
        transaction.commit().unwrap();
        self.pending.apply(counted);
        self.spans.extend(new.into_iter().map(|(identity, span)| (identity, (span.clone(), self.run))));
    }

    /// Who waits is known from the rows alone; who was taken since is known from the runs.
    fn restart(&mut self) {
        self.pending = Pending::default();
        let rows = read_waiting(&self.database.begin_read().unwrap(), self.now, &self.losses).unwrap();
        for (run, waiting) in rows {
            let came_later = |waiting: &Waiting| {
                let came = |(span, of): &(Span, u32)| {
                    *of > run
                        && (span.trace_id, span.span_id) == (waiting.trace_id, waiting.span_id)
                        && waiting.is_for(span.kind, &span.resource.service)
                };
                self.spans.values().any(came)
            };
            waiting.into_iter().filter(|one| !came_later(one)).for_each(|one| self.pending.add(one));
        }
    }

    fn dependencies_in(&self, hours: std::ops::RangeInclusive<u32>) -> Vec<Dependency> {
        let mut calls = Calls::default();
        read(&self.database.begin_read().unwrap(), &hours, &self.losses, &mut calls).unwrap();
        calls.into_dependencies()
    }

    fn dependencies(&self) -> Vec<Dependency> {
        self.dependencies_in(0..=u32::MAX)
    }

    fn calls(&self) -> Vec<String> {
        let text =
            |call: &Dependency| format!("{}>{} {} {}", call.parent, call.child, call.kind.name(), call.calls);
        self.dependencies().iter().map(text).collect()
    }

    fn red(&self, wanted: &Wanted<'_>) -> Red {
        let mut red = Red::default();
        red::read(&self.database.begin_read().unwrap(), wanted, &self.losses, &mut red).unwrap();
        red
    }

    /// Changes a byte of every row of a table.
    fn damage(&self, table: Definition) {
        use redb::ReadableTable as _;
        let transaction = self.database.begin_write().unwrap();
        {
            let mut table = transaction.open_table(table).unwrap();
            let rows = table.iter().unwrap().map(Result::unwrap);
            let rows: Vec<_> =
                rows.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())).collect();
            for (key, mut value) in rows {
                value[0] ^= 1;
                table.insert(&key[..], &value[..]).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
}

fn known(span: &Span) -> KnownSpan {
    let Span { span_id, content_hash, kind, start, .. } = *span;
    KnownSpan { span_id, content_hash, service: span.resource.service.as_str().into(), kind, start }
}

/// Every order of these spans.
fn orders(spans: &[Span]) -> Vec<Vec<Span>> {
    if spans.is_empty() {
        return vec![Vec::new()];
    }
    let without = |place: usize| [&spans[..place], &spans[place + 1..]].concat();
    let first = |place: usize| {
        let rest = orders(&without(place)).into_iter();
        rest.map(move |rest| [&spans[place..=place], &rest[..]].concat())
    };
    (0..spans.len()).flat_map(first).collect()
}

/// The calls among the spans of drawn traces, numbered from 1; the same in one batch, and in every order, with all
/// that was sent before sent again and the program started anew.
fn calls(drawings: &[&str]) -> Vec<String> {
    let traces = (1..).zip(drawings);
    let spans: Vec<Span> = traces.flat_map(|(number, drawing)| trace(number, drawing)).collect();
    let mut at_once = Shelf::new();
    at_once.store(&spans);
    for order in orders(&spans) {
        let mut shelf = Shelf::new();
        for sent in 1..=order.len() {
            shelf.store(&order[..sent]);
            shelf.restart();
        }
        shelf.store(&order);
        assert_eq!(shelf.dependencies(), at_once.dependencies(), "{drawings:?} {order:?}");
    }
    at_once.calls()
}

/// Counts a trace as if nothing but the names of its spans were known.
fn trace_of(counting: &mut Counting<'_>, items: &[Item<'_>], earlier: &[KnownSpan]) {
    let name = |item: &Item<'_>| SpanView::name_of(&item.span.body).into_owned();
    let mut operations = vec![String::new(); counting.operations.len()];
    let spans: Vec<_> = (operations.len() as u32..).zip(items).map(|(place, _)| (place, true)).collect();
    operations.extend(items.iter().map(name));
    counting.trace(items, &SeenSpans { operations: &operations, spans: &spans }, earlier);
}

#[test]
fn a_hop_to_the_parent_is_one_call_of_its_kind() {
    let cases = [
        ("shop | a | client | 0-9\n  cart | b | server | 1-8", "shop>cart rpc 1"),
        ("shop | a | internal | 0-9\n  shop | b | internal | 1-8", "shop>shop rpc 1"),
        ("shop | a | internal | 0-9\n  mail | b | consumer | 1-8", "shop>mail messaging 1"),
        ("shop | a | producer | 0-9\n  mail | b | internal | 1-8", "shop>mail messaging 1"),
        (
            "shop | a | internal | 0-9\n  mail | b | client | 1-8 | messaging.operation.type=receive",
            "shop>mail messaging 1",
        ),
        (
            "shop | a | internal | 0-9\n  mail | b | client | 1-8 | url.full=x messaging.operation=process",
            "shop>mail messaging 1",
        ),
        (
            "shop | a | internal | 0-9\n  mail | b | client | 1-8 | messaging.operation=publish messaging.system=kafka",
            "shop>mail rpc 1",
        ),
        ("shop | a | internal | 0-9\n  mail | b | internal | 1-8 | !link=1", "shop>mail link 1"),
        ("shop | a | internal | 0-9\n  mail | b | consumer | 1-8 | !link=1", "shop>mail messaging 1"),
        ("shop | a | producer | 0-9\n  mail | b | internal | 1-8 | !link=1", "shop>mail messaging 1"),
    ];
    for (drawing, expected) in cases {
        assert_eq!(calls(&[drawing]), [expected], "{drawing}");
    }
}

/// A span as it is kept that came in Jaeger's words: every reference is a link that says which it is.
fn jaeger(trace_id: TraceId, number: u8, service: &str, references: &[(u8, &str)]) -> Span {
    let mut span = trace(1, &format!("{service} | a | internal | {number}-9")).remove(0);
    let mut body = span.body.to_vec();
    for (id, ref_type) in references {
        wire::message(&mut body, 13, |link| {
            wire::bytes(link, 1, &trace_id.0);
            wire::bytes(link, 2, &[*id; 8]);
            wire::message(link, 4, |pair| {
                wire::string(pair, 1, "opentracing.ref_type");
                wire::message(pair, 2, |value| wire::string(value, 1, ref_type));
            });
        });
    }
    span.origin = Origin::Jaeger;
    (span.trace_id, span.span_id) = (trace_id, SpanId([number; 8]));
    span.parent_id = references.first().map(|(id, _)| SpanId([*id; 8])).filter(|id| !id.is_zero());
    span.content_hash = content_hash(&span.resource, &span.scope, &body);
    span.body = body.into();
    span
}

#[test]
fn spans_with_ids_of_zeros_are_nobodys_parents() {
    let of_zero = |number, service, references| jaeger(TraceId::default(), number, service, references);
    let spans = [
        of_zero(0, "zero", &[]),
        of_zero(0, "none", &[(0, "child_of")]),
        of_zero(1, "root", &[]),
        of_zero(2, "cart", &[(1, "child_of")]),
    ];
    for order in orders(&spans) {
        let mut shelf = Shelf::new();
        for span in &order {
            shelf.store(std::slice::from_ref(span));
            shelf.restart();
        }
        assert_eq!(shelf.calls(), ["root>cart rpc 1"]);
    }
}

/// A span in Zipkin's words.
fn zipkin(drawing: &str) -> Span {
    Span { origin: Origin::Zipkin, ..trace(1, drawing).remove(0) }
}

/// A span in Zipkin's words that shares its id with who asked.
fn shared(drawing: &str) -> Span {
    let mut span = zipkin(drawing);
    let mut body = span.body.to_vec();
    wire::uint(&mut body, ZIPKIN_FIELD, ZIPKIN_SHARED);
    span.content_hash = content_hash(&span.resource, &span.scope, &body);
    span.body = body.into();
    span
}

#[test]
fn who_shares_an_id_with_who_asked_is_called_by_it_in_any_order() {
    let root = "shop | a | internal | 0-9 | #1";
    let (asks, asks_below) = ("shop | b | client | 1-8 | #5", "shop | b | client | 1-8 | #5 ^1");
    let answers = "cart | c | server | 0-8 | #5";
    let one = |drawing| trace(1, drawing).remove(0);
    let cases: [(Vec<Span>, &[&str]); 4] = [
        (vec![one(asks), shared(answers)], &["shop>cart rpc 1"]),
        (vec![one(asks), shared("cart | c | consumer | 2-7 | #5")], &["shop>cart messaging 1"]),
        // Both halves say the same parent.
        (
            vec![one(root), one(asks_below), shared("cart | c | server | 2-7 | #5 ^1")],
            &["shop>cart rpc 1", "shop>shop rpc 1"],
        ),
        // Sent twice, the second time with more.
        (vec![one(asks), shared(answers), shared("cart | c | server | 0-8 | #5 x=y")], &["shop>cart rpc 2"]),
    ];
    for (spans, expected) in cases {
        for order in orders(&spans) {
            let mut shelf = Shelf::new();
            for sent in 1..=order.len() {
                shelf.store(&order[..sent]);
            }
            shelf.store(&order);
            assert_eq!(shelf.calls(), expected, "{order:?}");
        }
    }
    // What hangs on the shared id hangs on the half in its service.
    let mut shelf = Shelf::new();
    shelf.store(&[shared(answers), one("cart | d | internal | 3-4 | #6 ^5"), one(asks)]);
    assert_eq!(shelf.calls(), ["cart>cart rpc 1", "shop>cart rpc 1"]);
    // A restart between the halves.
    let mut shelf = Shelf::new();
    for span in [shared(answers), one(asks)] {
        shelf.store(&[span]);
        shelf.restart();
    }
    assert_eq!(shelf.calls(), ["shop>cart rpc 1"]);
}

/// The calls among these spans in whatever order they come: at once, one by one, in two batches, with a restart
/// after each batch and without, with retries and without.
fn calls_in_any_order(spans: &[Span], expected: &[&str]) {
    for order in orders(spans) {
        for (first, restarts, retries) in
            (1..=order.len()).flat_map(|first| [0, 1, 2, 3].map(|bits| (first, bits & 1 != 0, bits & 2 != 0)))
        {
            let one_by_one = Vec::from_iter(order.chunks(1));
            let (early, late) = order.split_at(first);
            for batches in [one_by_one, vec![early, late], vec![early, early, late]] {
                let mut shelf = Shelf::new();
                for batch in batches {
                    shelf.store(batch);
                    if restarts {
                        shelf.restart();
                    }
                }
                if retries {
                    shelf.store(&order);
                }
                assert_eq!(shelf.calls(), expected, "{first} {restarts} {retries} {order:?}");
                assert_eq!(shelf.pending.len(), 0, "{first} {restarts} {retries} {order:?}");
            }
        }
    }
}

#[test]
fn what_hangs_on_a_shared_id_hangs_on_the_half_that_answers_in_any_order() {
    let (asks, answers) = (zipkin("shop | b | client | 1-8 | #5"), shared("cart | c | server | 2-7 | #5"));
    let both = |below: Span| vec![asks.clone(), answers.clone(), below];
    let cases: [(Vec<Span>, &[&str]); 4] = [
        (both(zipkin("cart | d | internal | 3-4 | #6 ^5")), &["cart>cart rpc 1", "shop>cart rpc 1"]),
        (both(zipkin("cart | d | client | 3-4 | #6 ^5")), &["cart>cart rpc 1", "shop>cart rpc 1"]),
        // By another name than the half that answers, which is still what it is below.
        (both(zipkin("basket | d | internal | 3-4 | #6 ^5")), &["cart>basket rpc 1", "shop>cart rpc 1"]),
        // Of a call whose halves have ids of their own.
        (vec![asks.clone(), zipkin("cart | c | server | 2-7 | #7 ^5")], &["shop>cart rpc 1"]),
    ];
    for (spans, expected) in cases {
        calls_in_any_order(&spans, expected);
    }
    // Several wait for the id.
    let mut spans = both(zipkin("cart | d | internal | 3-4 | #6 ^5"));
    spans.push(zipkin("stock | e | client | 3-4 | #7 ^5"));
    calls_in_any_order(&spans, &["cart>cart rpc 1", "cart>stock rpc 1", "shop>cart rpc 1"]);
}

#[test]
fn a_reference_to_the_parent_is_a_link_only_if_it_was_not_waited_for() {
    for (ref_type, expected) in [("child_of", "shop>mail rpc 1"), ("follows_from", "shop>mail link 1")] {
        let parent = jaeger(trace_id(1), 1, "shop", &[]);
        let mut shelf = Shelf::new();
        shelf.store(&[parent, jaeger(trace_id(1), 2, "mail", &[(1, ref_type)])]);
        assert_eq!(shelf.calls(), [expected]);
    }
}

#[test]
fn a_link_is_a_call_where_no_parent_tells_of_it() {
    let sender = "shop | a | internal | 0-9";
    let cases: [(&str, &[&str]); 8] = [
        ("mail | b | internal | 1-8 | !link=1", &["shop>mail link 1"]),
        ("mail | b | consumer | 1-8 | !link=1", &["shop>mail messaging 1"]),
        ("mail | b | client | 1-8 | !link=1 messaging.system=kafka", &["shop>mail messaging 1"]),
        ("mail | b | internal | 1-8 | !link=1 !link=1", &["shop>mail link 1"]),
        // What the consumer does in its own trace is another call.
        (
            "mail | b | internal | 0-9\n  mail | c | consumer | 1-8 | !link=1",
            &["mail>mail messaging 1", "shop>mail messaging 1"],
        ),
        // In its own trace a link counts for those without a parent only.
        (
            "mail | b | server | 0-9\n  bill | c | server | 1-8 | #5\nmail | d | internal | 1-8 | #6 !link=2",
            &["mail>bill rpc 1", "mail>mail link 1"],
        ),
        (
            "mail | b | server | 0-9\n  bill | c | server | 1-8 | #5\n  mail | d | internal | 1-8 | ^5 !link=2",
            &["bill>mail rpc 1", "mail>bill rpc 1"],
        ),
        // To itself, in both ways.
        ("mail | b | internal | 1-8 | ^1 !link=2", &[]),
    ];
    for (receiver, expected) in cases {
        assert_eq!(calls(&[sender, receiver]), expected, "{receiver}");
    }
    let sent = "shop | a | producer | 0-9";
    assert_eq!(calls(&[sent, "mail | b | internal | 1-8 | !link=1"]), ["shop>mail messaging 1"]);
    let batch = [
        "shop | a | producer | 0-9",
        "web | a | internal | 0-9",
        "mail | b | internal | 1-8 | !link=1 !link=2",
    ];
    assert_eq!(calls(&batch), ["shop>mail messaging 1", "web>mail link 1"]);
}

#[test]
fn a_call_is_of_the_parent_in_the_childs_own_service() {
    // Both sides of a call under one id, and a child of the serving side.
    let sides = "a | call | client | 0-9 | #5\nb | serve | server | 1-8 | #5";
    let children = "b | work | internal | 2-4 | #6 ^5\nc | wait | server | 2-4 | #7 ^5";
    let spans = trace(1, &format!("{sides}\n{children}"));
    let batches: [&[&[usize]]; 3] = [&[&[0, 1, 2, 3]], &[&[0, 1], &[2, 3]], &[&[2, 3], &[1, 0]]];
    for order in batches {
        let mut shelf = Shelf::new();
        for places in order {
            shelf.store(&places.iter().map(|&place| spans[place].clone()).collect::<Vec<_>>());
            shelf.restart();
        }
        assert_eq!(shelf.calls(), ["a>c rpc 1", "b>b rpc 1"], "{order:?}");
    }
}

#[test]
fn a_second_span_with_the_parents_id_does_not_count_the_call_again() {
    let spans = trace(1, "shop | a | client | 0-9\n  cart | b | server | 1-8\n    redis | c | client | 2-7");
    let body = Bytes::from_static(b"\x2a\x04twin");
    let twin = Span {
        content_hash: content_hash(&spans[1].resource, &spans[1].scope, &body),
        body,
        ..spans[1].clone()
    };
    let mut shelf = Shelf::new();
    for one in [&spans[0], &spans[2], &spans[1], &twin] {
        shelf.store(std::slice::from_ref(one));
    }
    // Both spans of that id are children of `shop`; `redis` has one parent.
    assert_eq!(shelf.calls(), ["cart>redis rpc 1", "shop>cart rpc 2"]);
}

#[test]
fn errors_and_durations_are_the_childs() {
    let spans = trace(
        1,
        "shop | a | client | 0-900 | !error\n  cart | b | server | 100-200 | #7\n  cart | c | server | 0-800 | #8 !error",
    );
    for places in [[0, 1, 2], [2, 1, 0]] {
        let mut shelf = Shelf::new();
        for place in places {
            shelf.store(&spans[place..=place]);
        }
        let [call] = &shelf.dependencies()[..] else { panic!("one pair calls") };
        assert_eq!((call.calls, call.errors), (2, 1));
        let longest = call.durations.quantile(1.0).unwrap().as_millis();
        assert!((750..=850).contains(&longest), "{longest}");
    }
}

#[test]
fn calls_are_asked_by_the_hour_in_which_the_child_began() {
    let hour = 3_600_000;
    let mut shelf = Shelf::new();
    for (number, millis) in [(1, 0), (2, hour), (3, hour), (4, 3 * hour)] {
        let drawing = format!("a | x | client | 0-{millis}\n  b | y | server | {millis}-{millis}");
        shelf.store(&trace(number, &drawing));
    }
    let calls = |from: u64, until: u64| {
        let hours = key::hour(at(from))..=key::hour(at(until));
        shelf.dependencies_in(hours).iter().map(|call| call.calls).sum::<u64>()
    };
    assert_eq!((calls(0, 0), calls(0, hour), calls(hour, 2 * hour), calls(2 * hour, 9 * hour)), (1, 3, 2, 1));
    assert_eq!(calls(4 * hour, 9 * hour), 0);
}

#[test]
fn who_waits_too_long_is_given_up() {
    let spans = trace(1, "shop | a | client | 0-9\n  cart | b | server | 1-8");
    for (wait, expected) in
        [(MAX_WAIT, vec!["shop>cart rpc 1"]), (MAX_WAIT + Duration::from_nanos(1), vec![])]
    {
        for restarts in [false, true] {
            let mut shelf = Shelf::new();
            shelf.store(&spans[1..]);
            assert_eq!(shelf.pending.len(), 1);
            shelf.now = BASE.plus(wait);
            if restarts {
                shelf.restart();
            }
            shelf.store(&spans[..1]);
            assert_eq!(
                (shelf.calls(), shelf.pending.len()),
                (expected.iter().map(ToString::to_string).collect(), 0)
            );
            assert_eq!(shelf.pending.given_up(), u64::from(expected.is_empty() && !restarts));
        }
    }
}

#[test]
fn so_many_wait_and_the_oldest_go_first() {
    let mut shelf = Shelf::new();
    let child = trace(1, "cart | b | server | 1-8 | ^99").remove(0);
    let children = |traces: std::ops::Range<u64>| -> Vec<Span> {
        traces.map(|number| Span { trace_id: trace_id(number), ..child.clone() }).collect()
    };
    shelf.store(&children(0..2));
    // More than fit: of one batch the first wait, and those of earlier batches make room.
    shelf.store(&children(2..MAX_WAITING as u64 + 3));
    assert_eq!((shelf.pending.len(), shelf.pending.given_up()), (MAX_WAITING, 2));
    let parent = trace(1, "shop | a | client | 0-9 | #99").remove(0);
    for number in [0, 1, 2, MAX_WAITING as u64 + 1, MAX_WAITING as u64 + 2] {
        shelf.store(&[Span { trace_id: trace_id(number), ..parent.clone() }]);
    }
    assert_eq!(shelf.calls(), ["shop>cart rpc 2"]);
    assert_eq!(shelf.pending.len(), MAX_WAITING - 2);
}

#[test]
fn no_more_of_those_who_wait_are_read_than_may_wait() {
    let mut shelf = Shelf::new();
    let child = trace(1, "cart | b | server | 1-8 | ^99").remove(0);
    let many = MAX_WAITING as u64 - 5;
    for traces in [0..20, 20..30, 30..30 + many] {
        let children: Vec<Span> =
            traces.map(|number| Span { trace_id: trace_id(number), ..child.clone() }).collect();
        shelf.store(&children);
    }
    let rows = read_waiting(&shelf.database.begin_read().unwrap(), BASE, &shelf.losses).unwrap();
    let read: Vec<_> = rows.iter().map(|(run, waiting)| (*run, waiting.len())).collect();
    assert_eq!(read, [(2, 5), (3, MAX_WAITING - 5)]);
    assert_eq!(rows[0].1[0].trace_id, trace_id(25), "the newest");
}

#[test]
fn a_parent_is_looked_for_among_so_many_spans_of_its_id() {
    let drawn = trace(1, "shop | a | server | 0-1 | #5\n  cart | b | server | 0-1 | #6");
    let twins = |span: &Span| -> Vec<Span> {
        (0..2_000).map(|content_hash| Span { content_hash, ..span.clone() }).collect()
    };
    let mut shelf = Shelf::new();
    shelf.store(&twins(&drawn[0]));
    // Behind all those among whom a parent is looked for: no child looks through thousands.
    let last = Span { content_hash: u64::MAX, span_id: span_id(5), parent_id: None, ..drawn[1].clone() };
    shelf.store(&[last]);
    shelf.store(&twins(&drawn[1]));
    assert_eq!(shelf.calls(), ["shop>cart rpc 2000"]);
}

#[test]
fn so_many_links_are_looked_at_and_no_more() {
    let span = trace(1, "mail | b | internal | 1-8").remove(0);
    let mut body = span.body.to_vec();
    for number in 0..200u64 {
        wire::message(&mut body, 13, |link| {
            wire::bytes(link, 1, &trace_id(number + 1_000).0);
            wire::bytes(link, 2, &span_id(1).0);
        });
    }
    let span = Span { body: body.into(), ..span };
    let spans: Vec<_> = (1..=1_000).map(|number| Span { span_id: span_id(number), ..span.clone() }).collect();
    let items: Vec<_> = spans.iter().map(|span| Item { span, source: 0 }).collect();
    let (pending, losses) = (Pending::default(), Losses::default());
    let mut counting = Counting::new(&pending, &losses, BASE);
    trace_of(&mut counting, &items[..1], &[]);
    assert_eq!(counting.foreign_links().count(), body::MAX_LINKS);
    trace_of(&mut counting, &items[1..], &[]);
    assert_eq!(counting.foreign_links().count(), counting::MAX_FOREIGN_LINKS);
}

#[test]
fn a_table_has_so_many_rows_and_no_more() {
    use redb::ReadableTable as _;
    let (shelf, once) = (Shelf::new(), Stats { calls: 1, ..Stats::default() });
    let transaction = shelf.database.begin_write().unwrap();
    let mut table = transaction.open_table(DEPENDENCIES).unwrap();
    for keys in [&["a"][..], &["c", "b"], &["a", "c", "b"]] {
        let rows = keys.iter().map(|key| (key.as_bytes().to_vec(), &once)).collect();
        add_to_table((DEPENDENCIES, &mut table), rows, 2, &shelf.losses).unwrap();
    }
    let calls = |row: Result<(redb::AccessGuard<'_, _>, redb::AccessGuard<'_, &[u8]>), _>| {
        let (key, value): (redb::AccessGuard<'_, &[u8]>, _) = row.unwrap();
        let stats = Stats::read(unseal(key.value(), value.value()).unwrap()).unwrap();
        (key.value().to_vec(), stats.calls)
    };
    let rows: Vec<_> = table.iter().unwrap().map(calls).collect();
    assert_eq!(rows, [(b"a".to_vec(), 2), (b"b".to_vec(), 2)]);
}

#[test]
fn a_batch_counts_so_many_minutes_of_operations_and_no_more() {
    let span = trace(1, "b | x | server | 0-9").remove(0);
    let minute = |number: u64| Span {
        start: Timestamp(number * 60_000_000_000),
        content_hash: number,
        ..span.clone()
    };
    let spans: Vec<_> = (0..=rows::MAX_ROWS).map(minute).collect();
    let items: Vec<_> = spans.iter().map(|span| Item { span, source: 0 }).collect();
    let (pending, losses) = (Pending::default(), Losses::default());
    let mut counting = Counting::new(&pending, &losses, BASE);
    trace_of(&mut counting, &items, &[]);
    // One that is counted already still has room.
    let again = Span { trace_id: trace_id(2), ..spans[7].clone() };
    trace_of(&mut counting, &[Item { span: &again, source: 0 }], &[]);
    let counted = counting.finish();
    assert_eq!(counted.red().count() as u64, rows::MAX_ROWS);
    assert_eq!(counted.red().map(|(_, stats)| stats.calls).sum::<u64>(), rows::MAX_ROWS + 1);
}

#[test]
fn minutes_of_operations_are_added_up_and_asked_by_service_kind_and_time() {
    let mut shelf = Shelf::new();
    let lines = "
shop | GET | server | 0-100
shop | GET | server | 5000-5200 | !error
shop | GET | client | 0-100
shop | PUT | server | 60000-60400
s | GET | server | 0-1";
    let spans = trace(1, lines);
    shelf.store(&spans);
    shelf.store(&spans);
    shelf.store(&trace(2, lines));
    let text = |red: &Red| -> Vec<String> {
        let minutes = red.series.iter().flat_map(|((service, operation), minutes)| {
            let text = move |(minute, stats): (&u32, &Stats)| {
                let minute = minute - red::minute(BASE);
                format!("{service}/{operation}@{minute} {}-{}", stats.calls, stats.errors)
            };
            minutes.iter().map(text)
        });
        minutes.collect()
    };
    let first = red::minute(BASE);
    let wanted =
        Wanted { services: &["shop"], kinds: &[SpanKind::Server], minutes: 0..=u32::MAX, by_operation: true };
    assert_eq!(text(&shelf.red(&wanted)), ["shop/GET@0 4-2", "shop/PUT@1 2-0"]);
    let cases: [(Wanted<'_>, &[&str]); 4] = [
        (Wanted { minutes: 0..=first, ..wanted.clone() }, &["shop/GET@0 4-2"]),
        (Wanted { by_operation: false, ..wanted.clone() }, &["shop/@0 4-2", "shop/@1 2-0"]),
        (Wanted { kinds: &ALL_KINDS, minutes: 0..=first, ..wanted.clone() }, &["shop/GET@0 6-2"]),
        (Wanted { services: &["none", "s"], ..wanted.clone() }, &["s/GET@0 2-0"]),
    ];
    for (wanted, expected) in cases {
        assert_eq!(text(&shelf.red(&wanted)), expected, "{wanted:?}");
    }
}

#[test]
fn long_and_odd_names_are_those_of_the_lists() {
    let long = "x".repeat(3_000);
    let mut shelf = Shelf::new();
    shelf.store(&trace(
        1,
        &format!("{long} | a\u{0}b | server | 0-9\n  a/b | GET | server | 1-2\n  | c | server | 1-2"),
    ));
    let short = key::shortened(&long).into_owned();
    assert_eq!(shelf.calls(), [format!("{short}> rpc 1"), format!("{short}>a/b rpc 1")]);
    let wanted = Wanted { services: &[&short], kinds: &ALL_KINDS, minutes: 0..=u32::MAX, by_operation: true };
    assert!(shelf.red(&wanted).series.contains_key(&(short, "a\u{0}b".to_owned())));
}

#[test]
fn damaged_rows_are_counted_and_left_out() {
    let mut shelf = Shelf::new();
    let spans =
        trace(1, "shop | a | client | 0-9\n  cart | b | server | 1-8\n  late | c | server | 1-8 | ^77");
    shelf.store(&spans);
    for table in [DEPENDENCIES, PENDING_PARENTS, RED] {
        shelf.damage(table);
    }
    assert_eq!(shelf.calls(), [""; 0]);
    let wanted = Wanted { services: &["shop"], kinds: &ALL_KINDS, minutes: 0..=u32::MAX, by_operation: true };
    assert!(shelf.red(&wanted).series.is_empty());
    shelf.restart();
    assert_eq!(shelf.pending.len(), 0);
    assert_eq!(shelf.losses.damaged_rows.load(Ordering::Relaxed), 3);
    // What they had counted is lost, they count anew.
    shelf.store(&trace(2, "shop | a | client | 0-9\n  cart | b | server | 1-8"));
    assert_eq!(shelf.calls(), ["shop>cart rpc 1"]);
    assert_eq!(shelf.red(&wanted).series.len(), 1);
}

/// Spans of a few ids, services, and parents among them, each in one of three batches.
fn batches() -> impl Strategy<Value = Vec<(Span, usize)>> {
    let one = (1..3u64, 1..6u64, 0..7u64, 0..3usize, 0..6usize, 0..50u64, 0..3usize, any::<bool>());
    let span = |(trace_number, id, parent, service, kind, start, batch, is_error)| {
        let drawing = format!(
            "{} | x | {} | {start}-60 | #{id}",
            ["a", "b", "c"][service],
            ["unspecified", "internal", "server", "client", "producer", "consumer",][kind]
        );
        let mut span: Span = trace(trace_number, &drawing).remove(0);
        span.parent_id = (parent > 0).then(|| span_id(parent));
        span.status = if is_error { StatusCode::Error } else { StatusCode::Unset };
        // The header is not made anew of the body, so tell spans apart by what was changed in it.
        span.content_hash ^= parent << 8 | u64::from(is_error);
        (span, batch)
    };
    prop::collection::vec(one.prop_map(span), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn hops_to_parents_are_those_that_the_literal_store_counts(spans in batches()) {
        let folder = tempfile::tempdir().unwrap();
        let settings = literal::Settings { cache_bytes: 1 << 20, max_age: Duration::from_secs(3_600) };
        let oracle = literal::Store::open(folder.path(), &settings).unwrap();
        let mut shelf = Shelf::new();
        for batch in 0..3 {
            let of_batch = spans.iter().filter(|(_, of)| *of == batch).map(|(span, _)| span.clone());
            let of_batch: Vec<Span> = of_batch.collect();
            oracle.append(&of_batch, &Cursor { buffer: [1; 16], signal: 0, sequence: batch as u64 }, BASE).unwrap();
            shelf.store(&of_batch);
            shelf.restart();
        }
        let mut sums: BTreeMap<(String, String), u64> = BTreeMap::new();
        for call in shelf.dependencies() {
            *sums.entry((call.parent, call.child)).or_default() += call.calls;
        }
        let expected = oracle.snapshot().unwrap().dependencies(Timestamp::ZERO, Timestamp::MAX).unwrap();
        let expected: BTreeMap<_, _> = expected.into_iter().map(|call| ((call.parent, call.child), call.calls)).collect();
        prop_assert_eq!(sums, expected);
    }
}
