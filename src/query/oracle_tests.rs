//! Searching packed spans finds what looking at every literal one finds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;
use crate::model::sketch::{BASE, at, trace, trace_id};
use crate::model::{Span, StatusCode};
use crate::store::{Cursor, literal};

const SERVICES: [&str; 3] = ["shop", "cart", ""];
const OPERATIONS: [&str; 3] = ["GET /cart", "load", "sweep"];
const MARKS: [&str; 8] = [
    "http.status_code=200",
    "http.status_code=500",
    "retried=true",
    "resource:zone=a",
    "scope:name=lib",
    "event:level=warn",
    "!error=refused",
    "!ok",
];
const PAIRS: [(&str, &str); 12] = [
    ("http.status_code", "200"),
    ("http.status_code", "500"),
    ("retried", "true"),
    ("zone", "a"),
    ("zone", "b"),
    ("otel.scope.name", "lib"),
    ("level", "warn"),
    ("event", "drawn"),
    ("error", "true"),
    ("span.kind", "server"),
    ("operation", "load"),
    ("otel.status_description", "refused"),
];
const KINDS: [&str; 3] = ["server", "client", "internal"];

/// A line of a drawing: which trace it is of, and the line.
fn line() -> impl Strategy<Value = (u64, String)> {
    let what = (select(&SERVICES), select(&OPERATIONS), select(&KINDS), vec(select(&MARKS), 0..4));
    (1..9u64, what, 0..400u64, 0..2_000u64, 1..9u8).prop_map(|(number, what, start, length, id)| {
        let (service, operation, kind, marks) = what;
        // Some start at the same moment; some are of one id.
        let (start, end) = (start * 7 % 1_000, start * 7 % 1_000 + length);
        let marks = marks.join(" ");
        (number, format!("{service} | {operation} | {kind} | {start}-{end} | #{id} {marks}"))
    })
}

fn conditions() -> impl Strategy<Value = Conditions> {
    let names = (prop::option::of(select(&SERVICES)), prop::option::weighted(0.3, select(&OPERATIONS)));
    let outcome = (prop::option::weighted(0.2, 0..4u64), prop::option::weighted(0.2, 0..3u64));
    let durations =
        [(); 2].map(|()| prop::option::weighted(0.3, (0..2_000u64).prop_map(Duration::from_millis)));
    let starts = prop::option::weighted(0.5, (0..1_000u64, 0..1_000u64));
    (names, outcome, durations, starts, vec(select(&PAIRS), 0..3), 1..12usize).prop_map(
        |((service, operation), (kind, status), [min_duration, max_duration], starts, pairs, limit)| {
            let (start, end) = starts
                .map_or((Timestamp::ZERO, Timestamp::MAX), |(start, length)| (at(start), at(start + length)));
            Conditions {
                service: service.map(str::to_owned),
                operation: operation.map(str::to_owned),
                kind: kind.map(SpanKind::from_number),
                status: status.map(StatusCode::from_number),
                attributes: pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
                filter: None,
                min_duration,
                max_duration,
                start,
                end,
                limit,
            }
        },
    )
}

/// The start of the newest span of each trace that fulfils the conditions, the latest first.
fn looked_at(spans: &[Span], conditions: &Conditions) -> Vec<(Timestamp, TraceId)> {
    let mut newest: BTreeMap<TraceId, Timestamp> = BTreeMap::new();
    for span in spans.iter().filter(|span| conditions.match_span(span)) {
        let newest = newest.entry(span.trace_id).or_default();
        *newest = span.start.max(*newest);
    }
    let mut found: Vec<_> = newest.into_iter().map(|(id, start)| (start, id)).collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(Store::cases()))]

    #[test]
    fn a_search_of_packed_spans_finds_what_looking_at_literal_ones_finds(
        batches in vec((vec(line(), 1..12), 0..6u8), 1..8),
        asked in vec(conditions(), 8),
    ) {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let packed = Arc::new(Store::tiny(folders[0].path(), BASE));
        let old = literal::Settings { cache_bytes: 1 << 20, max_age: Duration::from_secs(86_400) };
        let literal = literal::Store::open(folders[1].path(), &old).unwrap();
        for (sequence, (lines, then)) in (1..).zip(&batches) {
            let spans: Vec<Span> = lines.iter().flat_map(|(number, line)| trace(*number, line)).collect();
            let cursor = Cursor { buffer: [0; 16], signal: 0, sequence };
            packed.append(&spans, &cursor, BASE).unwrap();
            literal.append(&spans, &cursor, BASE).unwrap();
            match then {
                0 => packed.roll(BASE).unwrap(),
                1 => drop(packed.merge().unwrap().is_some()),
                _ => {}
            }
        }
        let spans = literal.spans_after(None, (usize::MAX, usize::MAX)).unwrap();
        let query = Query::new(packed);
        for conditions in &asked {
            let expected = looked_at(&spans, conditions);
            let found = query.find(&Conditions { limit: 100, ..conditions.clone() }).unwrap();
            prop_assert_eq!(found.stopped, Stopped::End);
            let ids: Vec<TraceId> = found.traces.iter().map(|trace| trace.id).collect();
            let all: Vec<TraceId> = expected.iter().map(|(_start, id)| *id).collect();
            prop_assert_eq!(&ids, &all, "{:?}", conditions);
            for trace in &found.traces {
                let whole = query.trace(trace.id).unwrap();
                prop_assert_eq!(Some(trace), whole.as_ref());
            }
            // Of those that began at one moment any may come first.
            let some = query.find(conditions).unwrap();
            let starts = some.traces.iter().map(|trace| looked_at(&trace.spans, conditions)[0].0);
            let newest = expected.iter().map(|(start, _id)| *start).take(conditions.limit);
            prop_assert!(starts.eq(newest), "{conditions:?}");
        }
        prop_assert_eq!(query.trace(trace_id(99)).unwrap(), None);
        prop_assert_eq!(query.status().damaged_rows, 0);
    }
}
