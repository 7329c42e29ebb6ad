//! Questions asked of drawn traces.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::model::sketch::{BASE, at, span_id, trace, trace_id};
use crate::model::{Origin, Span, SpanKind, StatusCode};
use crate::store::{Cursor, Settings};

const DAY: Duration = Duration::from_secs(86_400);

/// What most searches are made over: four traces, one a second, the last the newest.
const TRACES: [&str; 4] = [
    "
shop | GET /cart | server | 0-100 | http.status_code=200 resource:zone=a
  shop | load | client | 10-90 | retried=true
    cart | GET | server | 20-80 | scope:name=lib scope:version=1.2 scope:part=x event:level=warn
",
    "
shop | GET /cart | server | 1000-1500 | http.status_code=500 !error=refused
  cart | GET | server | 1200-1300 | !ok
",
    "
cart | sweep | internal | 2000-2100 | http.status_code=200
",
    "
| GET /cart | server | 3000-3001
",
];

fn query(traces: &[&str], limits: Limits) -> (TempDir, Query) {
    let folder = tempfile::tempdir().unwrap();
    let settings =
        Settings { cache_bytes: 16 << 20, max_age: DAY, max_bytes: Some(1 << 30), min_free_bytes: 0 };
    let store = Store::open(folder.path(), &settings, BASE).unwrap();
    for (number, sketch) in (1..).zip(traces) {
        let cursor = Cursor { buffer: [0; 16], signal: 0, sequence: number };
        store.append(&trace(number, sketch), &cursor, BASE).unwrap();
    }
    (folder, Query::with_limits(Arc::new(store), limits))
}

/// The answer as text: `trace[matching spans] …`, and why it stopped.
fn found(conditions: &Conditions, found: &Found) -> String {
    let mut text = String::new();
    for trace in &found.traces {
        let matched = trace.spans.iter().filter(|span| conditions.match_span(span));
        let matched: Vec<String> =
            matched.map(|span| u64::from_be_bytes(span.span_id.0).to_string()).collect();
        text += &format!("{}[{}] ", u128::from_be_bytes(trace.id.0), matched.join(" "));
    }
    format!("{text}{:?}", found.stopped).to_lowercase()
}

fn everything() -> Conditions {
    Conditions::default()
}

fn service(name: &str) -> Conditions {
    Conditions { service: Some(name.into()), ..everything() }
}

fn operation(name: &str) -> Conditions {
    Conditions { operation: Some(name.into()), ..everything() }
}

fn attributes(pairs: &[(&str, &str)]) -> Conditions {
    let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Conditions { attributes: pairs.collect(), ..everything() }
}

fn longest(millis: u64) -> Conditions {
    Conditions { max_duration: Some(Duration::from_millis(millis)), ..everything() }
}

fn shortest(millis: u64) -> Conditions {
    Conditions { min_duration: Some(Duration::from_millis(millis)), ..everything() }
}

fn between(start: Timestamp, end: Timestamp) -> Conditions {
    Conditions { start, end, ..everything() }
}

#[test]
fn a_search_gives_whole_traces_newest_first_by_all_conditions_on_one_span() {
    let (_folder, query) = query(&TRACES, Limits::default());
    let error = StatusCode::Error;
    let just_before = Timestamp(at(1200).nanos() - 1);
    let just_after = Timestamp(at(1000).nanos() + 1);
    let cases: Vec<(Conditions, &str)> = vec![
        (everything(), "4[1] 3[1] 2[1 2] 1[1 2 3] end"),
        (service("cart"), "3[1] 2[2] 1[3] end"),
        (service("car"), "end"),
        (service(""), "4[1] end"),
        (operation("GET /cart"), "4[1] 2[1] 1[1] end"),
        (Conditions { operation: Some("GET /cart".into()), ..service("shop") }, "2[1] 1[1] end"),
        (Conditions { operation: Some("GET /cart".into()), ..service("cart") }, "end"),
        (Conditions { kind: Some(SpanKind::Client), ..everything() }, "1[2] end"),
        (Conditions { status: Some(error), ..everything() }, "2[1] end"),
        // One span has each of these, none has both.
        (Conditions { status: Some(error), ..service("cart") }, "end"),
        (attributes(&[("http.status_code", "500"), ("otel.status_code", "OK")]), "end"),
        (attributes(&[("http.status_code", "500"), ("otel.status_code", "ERROR")]), "2[1] end"),
        (
            Conditions { service: Some("cart".into()), ..attributes(&[("http.status_code", "200")]) },
            "3[1] end",
        ),
        // Durations are inclusive: 100 ms twice, 500 ms once, 1 ms once.
        (shortest(500), "2[1] end"),
        (shortest(501), "end"),
        (longest(1), "4[1] end"),
        (longest(0), "end"),
        (
            Conditions { max_duration: Some(Duration::from_millis(100)), ..shortest(100) },
            "3[1] 2[2] 1[1] end",
        ),
        // So are starts.
        (between(at(1200), at(2000)), "3[1] 2[2] end"),
        (between(at(1000), just_before), "2[1] end"),
        (between(just_after, at(1999)), "2[2] end"),
        (between(at(2000), at(1000)), "end"),
        (Conditions { limit: 2, ..everything() }, "4[1] 3[1] limit"),
        (Conditions { limit: 0, ..everything() }, "limit"),
    ];
    for (conditions, expected) in cases {
        let answer = query.find(&conditions).unwrap();
        assert_eq!(found(&conditions, &answer), expected, "{conditions:?}");
        for whole in &answer.traces {
            assert_eq!(Some(whole), query.trace(whole.id).unwrap().as_ref());
        }
    }
}

#[test]
fn attributes_are_compared_as_text_wherever_they_stand() {
    let (_folder, query) = query(&TRACES, Limits::default());
    let cases = [
        (("http.status_code", "200"), "3[1] 1[1] end"),
        (("http.status_code", "0200"), "end"),
        (("retried", "true"), "1[2] end"),
        (("zone", "a"), "1[1] end"),
        (("service.name", "cart"), "3[1] 2[2] 1[3] end"),
        (("part", "x"), "1[3] end"),
        (("level", "warn"), "1[3] end"),
        (("event", "drawn"), "1[3] end"),
        (("error", "true"), "2[1] end"),
        (("error", "false"), "end"),
        (("span.kind", "client"), "1[2] end"),
        (("otel.status_code", "OK"), "2[2] end"),
        (("otel.status_description", "refused"), "2[1] end"),
        (("otel.scope.name", "lib"), "1[3] end"),
        (("otel.scope.version", "1.2"), "1[3] end"),
        (("w3c.tracestate", ""), "end"),
        (("operation", "sweep"), "3[1] end"),
    ];
    for (pair, expected) in cases {
        let conditions = attributes(&[pair]);
        assert_eq!(found(&conditions, &query.find(&conditions).unwrap()), expected, "{pair:?}");
    }
}

#[test]
fn a_search_stops_when_it_has_cost_enough() {
    let out_of_time = Limits { search_time: Duration::ZERO, ..Limits::default() };
    let (_folder, hurried) = query(&TRACES, out_of_time);
    assert_eq!(found(&everything(), &hurried.find(&everything()).unwrap()), "time");
    let (_folder, narrow) = query(&TRACES, Limits { search_bytes: 1, ..Limits::default() });
    let answer = narrow.find(&service("cart")).unwrap();
    assert_eq!((found(&service("cart"), &answer).as_str(), answer.inspected_spans), ("3[1] bytes", 3));
}

#[test]
fn a_trace_too_large_to_answer_is_cut_and_says_so() {
    let (_folder, query) = query(&TRACES, Limits { trace_bytes: 0, ..Limits::default() });
    let cut = query.trace(trace_id(1)).unwrap().unwrap();
    assert_eq!((cut.cut, cut.spans.len()), (true, 1));
    // The last span is the one that matches, and the one there was no room for.
    let conditions = attributes(&[("level", "warn")]);
    let answer = query.find(&conditions).unwrap();
    assert_eq!(found(&conditions, &answer), "1[3] end");
    assert!(answer.traces[0].cut);
}

#[test]
fn a_few_spans_of_a_trace_are_read_once_each_within_one_budget() {
    let sketch = format!(
        "a | x | server | 0-1 | #5\na | y | server | 0-1 | #5\na | z | server | 0-1 | #6\na | large | server | 0-1 | #7 text={}\na | w | server | 0-1 | #8",
        "x".repeat(1_000)
    );
    let (_folder, spacious) = query(&[&sketch], Limits::default());
    let ask = |query: &Query, numbers: &[u64]| {
        let ids: Vec<SpanId> = numbers.iter().copied().map(span_id).collect();
        let part = query.spans(trace_id(1), &ids).unwrap();
        (part.spans.len(), part.cut)
    };
    for (ids, expected) in [(&[5, 5, 5][..], 2), (&[6, 5, 6], 3), (&[9], 0), (&[], 0)] {
        assert_eq!(ask(&spacious, ids), (expected, false), "{ids:?}");
        assert!(spacious.pin(trace_id(1), BASE).unwrap());
    }
    let bytes_of = |numbers: &[u64]| {
        let ids = numbers.iter().copied().map(span_id).collect();
        let rows = spacious.store.ask(|snapshot| snapshot.spans_with_ids(trace_id(1), &ids, usize::MAX));
        rows.unwrap().bytes
    };
    let cases: [(usize, &[u64], (usize, bool)); 4] = [
        (bytes_of(&[5, 6]), &[6, 5, 5, 6], (3, false)),
        (bytes_of(&[5, 6]) - 1, &[6, 5, 5, 6], (2, true)),
        (0, &[5, 6], (1, true)),
        // There would be room for the third, but not for the second.
        (bytes_of(&[5, 8]), &[5, 7, 8], (2, true)),
    ];
    for (trace_bytes, ids, expected) in cases {
        let (_folder, narrow) = query(&[&sketch], Limits { trace_bytes, ..Limits::default() });
        assert_eq!(ask(&narrow, ids), expected, "{trace_bytes} bytes");
    }
}

#[test]
fn a_long_operation_is_found_by_its_name_and_by_its_listed_one() {
    let long = "x".repeat(2_000);
    let (_folder, query) = query(&[&format!("a | {long} | server | 0-1")], Limits::default());
    let listed = query.operations("a", None).unwrap().remove(0).name;
    assert!(listed.len() < long.len());
    for (name, expected) in [(&long, "1[1] end"), (&listed, "1[1] end"), (&long[1..].to_owned(), "end")] {
        let conditions = operation(name);
        assert_eq!(found(&conditions, &query.find(&conditions).unwrap()), expected, "{} bytes", name.len());
    }
}

#[test]
fn lists_are_sorted_and_asked_by_service_and_kind() {
    let (_folder, query) = query(&TRACES, Limits::default());
    assert_eq!(query.services().unwrap(), ["", "cart", "shop"]);
    let names = |kind| -> Vec<String> {
        query.operations("shop", kind).unwrap().into_iter().map(|operation| operation.name).collect()
    };
    assert_eq!(names(None), ["GET /cart", "load"]);
    assert_eq!(names(Some(SpanKind::Client)), ["load"]);
    assert_eq!(names(Some(SpanKind::Consumer)), [""; 0]);
    let calls = query.dependencies(Timestamp::ZERO, Timestamp::MAX).unwrap();
    let calls: Vec<_> =
        calls.iter().map(|call| (call.parent.as_str(), call.child.as_str(), call.calls)).collect();
    assert_eq!(calls, [("shop", "cart", 2), ("shop", "shop", 1)]);
}

#[test]
fn a_pinned_trace_is_given_after_its_spans_are_gone() {
    let (_folder, query) = query(&TRACES, Limits::default());
    let before = query.trace(trace_id(1)).unwrap();
    assert!(query.pin(trace_id(1), BASE).unwrap());
    assert!(!query.pin(trace_id(9), BASE).unwrap());
    assert_eq!(query.trace(trace_id(1)).unwrap(), before, "stored and pinned spans are the same spans");
    query.store.expire(BASE.plus(DAY)).unwrap();
    assert_eq!(query.trace(trace_id(1)).unwrap(), before);
    assert_eq!(query.trace(trace_id(2)).unwrap(), None);
    let status = query.status();
    assert_eq!((status.spans, status.traces_pinned), (0, 1));
}

#[test]
fn a_trace_is_in_order_and_holds_each_span_once() {
    let mut spans = trace(1, TRACES[0]);
    spans.extend(trace(1, TRACES[0]));
    spans.reverse();
    let once = Trace::new(trace_id(1), spans);
    assert_eq!(once.spans, trace(1, TRACES[0]));
}

/// An outline as text, one line a row: depth as dots, span, self time in milliseconds, marks.
fn drawn(spans: Vec<Span>) -> Vec<String> {
    let trace = Trace::new(trace_id(1), spans);
    let line = |row: &Row| {
        let number = u64::from_be_bytes(trace.spans[row.span as usize].span_id.0);
        let missing = if row.missing_parent { "?" } else { "" };
        let shared = if row.shared_id { "=" } else { "" };
        let depth = ".".repeat(row.depth.into());
        format!("{depth}{number} {}{missing}{shared} <{}", row.self_time.as_millis(), row.subtree_end)
    };
    Outline::of(&trace).rows.iter().map(line).collect()
}

#[test]
fn an_outline_is_the_tree_by_start() {
    let sketch = "
shop | GET /cart | server | 0-100
  shop | later | client | 50-90
    cart | GET | server | 60-80
  shop | sooner | client | 10-60
  shop | outlives its parent | producer | 95-200
";
    let expected = ["1 15 <5", ".4 50 <2", ".2 20 <4", "..3 20 <4", ".5 105 <5"];
    assert_eq!(drawn(trace(1, sketch)), expected);
    let outline = Outline::of(&Trace::new(trace_id(1), trace(1, sketch)));
    assert_eq!((outline.start, outline.duration), (BASE, Duration::from_millis(200)));
    assert!(outline.is_whole());
}

#[test]
fn spans_without_a_place_are_roots() {
    let cases: [(&str, &[&str]); 7] = [
        ("", &[]),
        ("a | below nobody | server | 5-9 | ^77\n  b | x | server | 6-7", &["1 3? <2", ".2 1 <2"]),
        ("a | its own parent | server | 0-9 | ^1", &["1 9? <1"]),
        // 1 → 3 → 2 → 1: the earliest is cut loose, 4 hangs on.
        (
            "a | x | server | 1-9 | ^3\na | y | server | 2-8 | ^1\na | z | server | 3-7 | ^2\na | w | server | 4-5 | ^3",
            &["1 2? <4", ".2 2 <4", "..3 3 <4", "...4 1 <4"],
        ),
        // 1 hangs on the circle 3 → 2 → 3 and is no part of it, though it comes first.
        (
            "a | x | server | 1-9 | ^3\na | y | server | 2-8 | ^3\na | z | server | 3-7 | ^2",
            &["2 2? <3", ".3 0 <3", "..1 8 <3"],
        ),
        // Both sides of a call under one id: what follows belongs to the side of its own service.
        (
            "a | call | client | 0-9 | #5\nb | serve | server | 1-8 | #5\n  b | work | internal | 2-4 | #6",
            &["5 2= <3", ".5 5= <3", "..6 2 <3"],
        ),
        ("a | backward | server | 9-3\n  a | x | server | 4-5", &["1 0 <2", ".2 1 <2"]),
    ];
    for (sketch, expected) in cases {
        assert_eq!(drawn(trace(1, sketch)), expected, "{sketch}");
    }
}

#[test]
fn who_answers_under_a_shared_id_hangs_below_who_asks() {
    let cases: [(&str, &[&str]); 6] = [
        // As Zipkin's clients have it: both name the same parent.
        (
            "a | x | server | 0-9\n  a | call | client | 1-8 | #5\n  b | serve | server | 2-7 | #5\nb | work | client | 3-4 | #6 ^5",
            &["1 2 <4", ".5 2= <4", "..5 4= <4", "...6 1 <4"],
        ),
        // Neither where the parent is missing, nor with a clock that is behind, nor before a second who answers.
        (
            "a | call | client | 3-8 | #5 ^77\nb | serve | server | 2-7 | #5 ^77\nb | again | server | 4-8 | #5 ^77",
            &["5 0?= <3", ".5 5= <2", ".5 4= <3"],
        ),
        ("a | send | producer | 0-2 | #5\nb | take | consumer | 1-9 | #5", &["5 1= <2", ".5 8= <2"]),
        // A service that calls itself: what follows is of the side that answers.
        (
            "a | call | client | 0-9 | #5\na | serve | server | 1-8 | #5\na | work | internal | 2-4 | #6 ^5",
            &["5 2= <3", ".5 5= <3", "..6 2 <3"],
        ),
        // Nobody asks, or nobody answers.
        ("a | x | server | 0-9 | #5\nb | y | server | 1-8 | #5", &["5 9= <1", "5 7= <2"]),
        ("a | x | client | 0-9 | #5\nb | y | internal | 1-8 | #5", &["5 9= <1", "5 7= <2"]),
    ];
    for (sketch, expected) in cases {
        for origin in [Origin::Otlp, Origin::Jaeger, Origin::Zipkin] {
            let spans = trace(1, sketch).into_iter().map(|span| Span { origin, ..span }).collect();
            assert_eq!(drawn(spans), expected, "{origin:?} {sketch}");
        }
    }
    let halves = trace(1, "a | call | client | 0-9 | #5\nb | serve | server | 1-8 | #5");
    assert!(Outline::of(&Trace::new(trace_id(1), halves)).is_whole());
}

#[test]
fn in_zipkins_words_only_who_answers_is_called_from_another_service() {
    let sketch =
        "a | call | client | 0-9 | #5\nb | serve | server | 1-8 | #5\nc | work | internal | 2-4 | #6 ^5";
    let cases: [(Origin, &[&str]); 2] = [
        (Origin::Zipkin, &["5 2= <3", ".5 5= <3", "..6 2 <3"]),
        (Origin::Otlp, &["5 2= <3", ".5 7= <2", ".6 2 <3"]),
    ];
    for (origin, expected) in cases {
        let spans = trace(1, sketch).into_iter().map(|span| Span { origin, ..span }).collect();
        assert_eq!(drawn(spans), expected, "{origin:?}");
    }
}

#[test]
fn a_chain_of_a_hundred_thousand_spans_is_laid_out() {
    let one = trace(1, "a | x | server | 0-1").remove(0);
    let link = |number: u64| Span {
        span_id: span_id(number),
        parent_id: (number > 1).then(|| span_id(number - 1)),
        start: Timestamp(BASE.nanos() + number),
        ..one.clone()
    };
    let outline = Outline::of(&Trace::new(trace_id(1), (1..=100_000).map(link).collect()));
    let last = outline.rows.last().unwrap();
    assert_eq!((last.depth, last.parent, last.subtree_end), (u16::MAX, Some(99_998), 100_000));
    assert!(outline.is_whole());
}

/// Any number of spans of few ids, so that ids are shared, parents missing and circles common.
fn tangle() -> impl Strategy<Value = Vec<Span>> {
    let one = (1..12u64, 0..14u64, 0..50u64, 0..50u64, any::<bool>());
    prop::collection::vec(one, 0..40).prop_map(|spans| {
        let base = trace(1, "a | x | server | 0-1\nb | x | client | 0-1");
        let span = |(place, (id, parent, start, length, second)): (usize, (u64, u64, u64, u64, bool))| Span {
            span_id: span_id(id),
            parent_id: (parent > 0).then(|| span_id(parent)),
            start: at(start),
            end: at(start + length),
            content_hash: place as u64,
            ..base[usize::from(second)].clone()
        };
        spans.into_iter().enumerate().map(span).collect()
    })
}

proptest! {
    #[test]
    fn an_outline_holds_every_span_once_and_nests(spans in tangle()) {
        let trace = Trace::new(trace_id(1), spans);
        let rows = Outline::of(&trace).rows;
        let mut places: Vec<u32> = rows.iter().map(|row| row.span).collect();
        places.sort_unstable();
        prop_assert_eq!(places, (0..trace.spans.len() as u32).collect::<Vec<_>>());
        for (at, row) in rows.iter().enumerate() {
            let span = &trace.spans[row.span as usize];
            prop_assert!(row.subtree_end as usize > at && row.subtree_end as usize <= rows.len());
            prop_assert!(row.self_time <= span.duration());
            prop_assert_eq!(row.missing_parent, row.parent.is_none() && span.parent_id.is_some());
            let Some(above) = row.parent else { continue };
            let parent = &rows[above as usize];
            prop_assert!((above as usize) < at && row.subtree_end <= parent.subtree_end);
            prop_assert_eq!(row.depth, parent.depth + 1);
            let asking = &trace.spans[parent.span as usize];
            let is_half = asking.span_id == span.span_id && asking.kind == SpanKind::Client;
            prop_assert!(is_half || Some(asking.span_id) == span.parent_id);
        }
    }

    #[test]
    fn a_search_finds_what_looking_at_every_span_finds(
        kind in prop::option::of(1..4u64), service in prop::option::of("shop|cart|"), from in 0..3_500u64,
        length in 0..3_500u64, shortest in prop::option::of(0..200u64), has_code in any::<bool>(),
    ) {
        let conditions = Conditions {
            service,
            kind: kind.map(SpanKind::from_number),
            min_duration: shortest.map(Duration::from_millis),
            attributes: has_code.then(|| ("http.status_code".into(), "200".into())).into_iter().collect(),
            ..between(at(from), at(from + length))
        };
        let answer = OPEN.with(|(_folder, query)| query.find(&conditions).unwrap());
        let mut expected: Vec<(Timestamp, u64)> = Vec::new();
        for (number, sketch) in (1..).zip(TRACES) {
            let starts = trace(number, sketch).into_iter().filter(|span| conditions.match_span(span));
            expected.extend(starts.map(|span| span.start).max().map(|start| (start, number)));
        }
        expected.sort_unstable_by(|left, right| right.cmp(left));
        let expected: Vec<_> = expected.into_iter().map(|(_start, number)| trace_id(number)).collect();
        prop_assert_eq!(answer.traces.iter().map(|found| found.id).collect::<Vec<_>>(), expected);
    }
}

thread_local! {
    /// One store for all cases of a property.
    static OPEN: (TempDir, Query) = query(&TRACES, Limits::default());
}

#[test]
fn a_summary_says_what_a_list_needs() {
    let sum_up = |sketch: &str| Summary::of(&Trace::new(trace_id(1), trace(1, sketch)));
    let summary = sum_up(
        "late | reply | consumer | 0-1 | ^77 !error\nshop | GET /cart | server | 5-10\n  cart | GET | server | 6-20 | !error\n  cart | x | client | 6-7",
    );
    assert_eq!(summary.root, Some(Root { service: "shop".into(), name: "GET /cart".into() }));
    assert_eq!((summary.start, summary.end), (at(0), at(20)));
    assert_eq!((summary.spans, summary.errors, summary.orphans), (4, 2, 1));
    let count = |name: &str, spans, errors| ServiceCount { name: name.into(), spans, errors };
    assert_eq!(summary.services, [count("cart", 2, 1), count("late", 1, 1), count("shop", 1, 0)]);
    let circle = sum_up("a | x | server | 0-1 | ^1\na | y | server | 0-1 | ^3\na | z | server | 0-1 | ^2");
    assert_eq!(circle.orphans, 0, "their parents are in the trace");
    let rootless = sum_up("b | second | server | 3-4 | ^77\na | first | server | 1-2 | ^78");
    assert_eq!((rootless.root, rootless.orphans), (None, 2));
    assert_eq!(sum_up(""), Summary::default());
}
