//! The store seen from outside: what goes in, what comes back, what time, size, retries and merging do to it.

use std::fs;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64};

use bytes::Bytes;
use redb::{Database, DatabaseError, ReadableTableMetadata as _};
use tempfile::TempDir;

use super::*;
use crate::model::sketch::{BASE, at, span_id, trace, trace_id};
use crate::model::{Resource, SpanKind, content_hash};
use crate::store::engine::{FORMAT_KEY, META};
use crate::store::files::BLOCKS;
use crate::store::schema::{RUNS, SERVICE_NAME_INDEX, SPANS};
use crate::store::seal::seal;

const DAY: Duration = Duration::from_secs(86_400);
const MINUTE: Duration = Duration::from_secs(60);
const BUFFER: [u8; 16] = [7; 16];

const CART: &str = "
shop | GET /cart | server | 0-100
  shop | load | client | 10-90
    cart | GET | server | 20-80
      redis | HGET | client | 30-40 | !error db.system=redis
";

const CART_CALLS: [&str; 3] = ["cart>redis 1", "shop>cart 1", "shop>shop 1"];

pub(super) fn settings() -> Settings {
    Settings { cache_bytes: 16 << 20, max_age: DAY, max_bytes: Some(1 << 30), min_free_bytes: 0 }
}

/// So few that a handful of spans is several chunks and runs, and a handful of runs is many.
pub(super) const TINY: Sizes = Sizes {
    run_spans: 7,
    run_bytes: 4 << 20,
    chunk_spans: 3,
    chunk_bytes: 16 << 10,
    trace_spans: 4,
    trace_bytes: 32 << 10,
    small_run: 40,
    many_runs: 4,
    many_spans: 60,
    merged_runs: 6,
    merged_spans: 80,
    merged_bytes: 8 << 20,
    walked_spans: 5,
    conversion_spans: 2,
    conversion_bytes: 1 << 20,
};

impl Store {
    /// A store in which a handful of spans is several chunks and runs.
    pub(crate) fn tiny(folder: &Path, now: Timestamp) -> Self {
        let files = Arc::new(Folder::open(folder).unwrap());
        Self::with_files(files, &settings(), TINY, now).unwrap()
    }

    /// How many cases are tried where stores are compared: `STORE_CASES`.
    pub(crate) fn cases() -> u32 {
        std::env::var_os("STORE_CASES").and_then(|cases| cases.to_str()?.parse().ok()).unwrap_or(64)
    }
}

/// A store in a folder of its own.
struct Shelf {
    folder: TempDir,
    settings: Settings,
    sizes: Sizes,
    store: Option<Store>,
}

impl Shelf {
    fn new() -> Self {
        Self::with(settings(), Sizes::default())
    }

    fn tiny() -> Self {
        Self::with(settings(), TINY)
    }

    fn with(settings: Settings, sizes: Sizes) -> Self {
        let mut shelf = Self { folder: tempfile::tempdir().unwrap(), settings, sizes, store: None };
        shelf.reopen(BASE);
        shelf
    }

    fn reopen(&mut self, now: Timestamp) {
        self.store = None;
        let files = Arc::new(Folder::open(self.folder.path()).unwrap());
        self.store = Some(Store::with_files(files, &self.settings, self.sizes, now).unwrap());
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn append(&self, sequence: u64, spans: &[Span], now: Timestamp) -> Appended {
        self.store().append(spans, &cursor(sequence), now).unwrap()
    }

    fn trace(&self, number: u64) -> Vec<Span> {
        traced(&self.store().snapshot().unwrap(), number)
    }

    fn calls(&self) -> Vec<String> {
        calls(&self.store().snapshot().unwrap())
    }

    /// Merges until there is nothing left to merge.
    fn merge(&self) -> Merged {
        let mut all = Merged::default();
        while let Some(Merged { runs, spans, duplicates }) = self.store().merge().unwrap() {
            all.runs += runs;
            all.spans += spans;
            all.duplicates += duplicates;
            assert!(all.runs < 10_000, "merging comes to an end");
        }
        all
    }

    fn blocks(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join(BLOCKS)).unwrap();
        let mut names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        names.sort();
        names
    }
}

fn cursor(sequence: u64) -> Cursor {
    Cursor { buffer: BUFFER, signal: 0, sequence }
}

fn sorted(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.span_id, span.content_hash));
    spans
}

fn traced(snapshot: &Snapshot<'_>, number: u64) -> Vec<Span> {
    sorted(snapshot.trace(trace_id(number), usize::MAX).unwrap().spans)
}

fn calls(snapshot: &Snapshot<'_>) -> Vec<String> {
    let calls = snapshot.dependencies(Timestamp::ZERO, Timestamp::MAX).unwrap();
    calls.iter().map(|call| format!("{}>{} {}", call.parent, call.child, call.calls)).collect()
}

/// How many spans a search without conditions comes upon.
fn searched(snapshot: &Snapshot<'_>, service: Option<&str>) -> usize {
    let filter = Filter {
        service: service.map(str::to_owned),
        operation: None,
        kind: None,
        status: None,
        tags: Vec::new(),
        starts: Timestamp::ZERO..=Timestamp::MAX,
        durations: Duration::ZERO..=Duration::MAX,
    };
    let mut candidates = Vec::new();
    let mut scan = snapshot.scan(&filter).unwrap();
    while scan.advance(&mut candidates).unwrap() {}
    candidates.len()
}

/// The span with other bytes in its body, and so another identity.
fn with_body(span: &Span, body: Vec<u8>) -> Span {
    let body = Bytes::from(body);
    Span { content_hash: content_hash(&span.resource, &span.scope, &body), body, ..span.clone() }
}

/// What may happen between two batches.
type Between = (&'static str, fn(&mut Shelf, Timestamp));

const BETWEEN: [Between; 6] = [
    ("nothing", |_shelf, _now| ()),
    ("a restart", Shelf::reopen),
    ("a roll", |shelf, now| shelf.store().roll(now).unwrap()),
    ("merging", |shelf, _now| {
        shelf.merge();
    }),
    ("a restart and a roll", |shelf, now| {
        shelf.reopen(now);
        shelf.store().roll(now).unwrap();
    }),
    ("a roll, a restart and merging", |shelf, now| {
        shelf.store().roll(now).unwrap();
        shelf.reopen(now);
        shelf.merge();
    }),
];

#[test]
fn what_is_appended_comes_back_byte_for_byte() {
    for sizes in [Sizes::default(), TINY] {
        let mut shelf = Shelf::with(settings(), sizes);
        let mut spans = trace(1, CART);
        // An unknown field (number 1000, text), a megabyte of attribute, and a second span with a used id.
        let unknown = [&spans[0].body[..], &[0xc2, 0x3e, 3], b"new"].concat();
        spans.push(Span { span_id: span_id(10), ..with_body(&spans[0], unknown) });
        let huge = trace(1, &format!("shop | big | internal | 5-6 | #11 text={}", "x".repeat(1 << 20)));
        spans.extend(huge);
        spans.push(with_body(&spans[1], b"\x2a\x05other".to_vec()));
        assert_eq!(shelf.append(1, &spans, BASE), Appended { new: 7, duplicates: 0 });
        shelf.append(2, &trace(2, CART), BASE);
        assert_eq!(shelf.trace(1), sorted(spans.clone()));
        for (name, happens) in BETWEEN {
            happens(&mut shelf, BASE);
            assert_eq!(shelf.trace(1), sorted(spans.clone()), "{name}");
            assert_eq!(shelf.trace(2), sorted(trace(2, CART)), "{name}");
            assert_eq!(shelf.trace(3), [], "{name}");
        }
        assert_eq!(shelf.store().status().damaged_rows, 0);
    }
}

#[test]
fn a_large_trace_is_read_as_far_as_there_is_room() {
    for sizes in [Sizes::default(), TINY] {
        let shelf = Shelf::with(settings(), sizes);
        shelf.append(1, &trace(1, CART), BASE);
        shelf.append(2, &trace(1, "shop | late | internal | 5-6 | #9"), BASE);
        let read = |bytes| shelf.store().snapshot().unwrap().trace(trace_id(1), bytes).unwrap();
        let whole = read(usize::MAX);
        assert_eq!((whole.spans.len(), whole.cut), (5, false));
        assert_eq!(read(whole.bytes), whole);
        let cut = read(whole.bytes - 1);
        assert_eq!((cut.spans.len(), cut.cut), (4, true));
        assert_eq!(read(0).spans.len(), 1);
    }
}

#[test]
fn a_pinned_trace_takes_the_room_of_one() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    let read = |bytes| shelf.store().snapshot().unwrap().trace(trace_id(1), bytes).unwrap();
    let whole = read(usize::MAX);
    assert!(shelf.store().pin(trace_id(1), BASE).unwrap());
    assert_eq!(read(whole.bytes), whole);
}

#[test]
fn storing_a_span_again_changes_nothing() {
    for (name, happens) in BETWEEN {
        let mut shelf = Shelf::tiny();
        let spans = trace(1, CART);
        let twice = [&spans[..], &spans[..1]].concat();
        assert_eq!(shelf.append(1, &twice, BASE), Appended { new: 4, duplicates: 1 });
        for number in 2..12 {
            shelf.append(number, &trace(number, CART), BASE);
        }
        let calls = shelf.calls();
        for round in 0..3 {
            happens(&mut shelf, BASE);
            let later = BASE.plus(MINUTE * round);
            assert_eq!(shelf.append(12, &spans, later), Appended { new: 0, duplicates: 4 }, "{name}");
        }
        assert_eq!(shelf.calls(), calls, "{name}");
        assert_eq!(shelf.store().status().spans, 44, "{name}");
        assert_eq!(searched(&shelf.store().snapshot().unwrap(), None), 44, "{name}");
    }
}

#[test]
fn names_are_listed_in_order() {
    let shelf = Shelf::tiny();
    let odd = "
a/b | GET /x | server | 0-1
  a\u{0}b | GET /x | client | 0-1
  a | GET /y | server | 0-1
  a | GET /x | server | 0-1
  a | GET /x | client | 0-1
   | nobody's | internal | 0-1";
    let odd = trace(1, odd);
    shelf.append(1, &odd[..3], BASE);
    shelf.store().roll(BASE).unwrap();
    shelf.append(2, &odd[2..], BASE);
    let snapshot = shelf.store().snapshot().unwrap();
    assert_eq!(snapshot.services().unwrap(), ["", "a", "a\u{0}b", "a/b"]);
    let operations = snapshot.operations("a").unwrap();
    let named = |name: &str, kind| (name.to_owned(), kind);
    assert_eq!(
        operations,
        [
            named("GET /x", SpanKind::Server),
            named("GET /x", SpanKind::Client),
            named("GET /y", SpanKind::Server)
        ]
    );
    assert_eq!(snapshot.operations("").unwrap(), [named("nobody's", SpanKind::Internal)]);
    assert_eq!(snapshot.operations("b").unwrap(), []);
}

#[test]
fn a_call_is_counted_once_whichever_side_comes_first() {
    let spans = trace(1, CART);
    let orders: [&[usize]; 4] = [&[0, 1, 2, 3], &[3, 2, 1, 0], &[2, 0, 3, 1], &[1, 3, 0, 2]];
    for ((name, happens), order) in
        BETWEEN.into_iter().flat_map(|between| orders.map(|order| (between, order)))
    {
        let mut shelf = Shelf::tiny();
        for (sequence, &place) in order.iter().enumerate() {
            shelf.append(sequence as u64, &spans[place..=place], BASE);
            happens(&mut shelf, BASE);
            // The sender repeats everything it has sent so far.
            let so_far: Vec<Span> = order[..=sequence].iter().map(|&place| spans[place].clone()).collect();
            shelf.append(sequence as u64, &so_far, BASE);
        }
        assert_eq!(shelf.calls(), CART_CALLS, "{order:?} with {name} between");
        assert_eq!(shelf.store().status().waiting, 0, "{order:?} with {name} between");
    }
    let shelf = Shelf::new();
    shelf.append(1, &spans, BASE);
    assert_eq!(shelf.calls(), CART_CALLS, "in one batch");
}

#[test]
fn a_child_goes_on_waiting_in_a_new_block() {
    let spans = trace(1, CART);
    for restarts in 0..3 {
        let mut shelf = Shelf::new();
        shelf.append(1, &spans[3..], BASE);
        shelf.store().roll(BASE).unwrap();
        if restarts > 0 {
            shelf.reopen(BASE);
        }
        shelf.append(2, &trace(2, "late | reply | consumer | 0-1 | #9 ^77"), BASE);
        if restarts > 1 {
            shelf.reopen(BASE);
        }
        shelf.append(3, &spans[2..3], BASE);
        assert_eq!(shelf.calls(), ["cart>redis 1"], "{restarts} restarts");
        // What was counted is not counted again for a second parent of that id.
        shelf.reopen(BASE);
        shelf.append(4, &[with_body(&spans[2], b"\x2a\x04twin".to_vec())], BASE);
        assert_eq!(shelf.calls(), ["cart>redis 1"], "{restarts} restarts");
    }
}

#[test]
fn a_second_span_with_the_parents_id_does_not_count_the_call_again() {
    let spans = trace(1, CART);
    let twin = &[with_body(&spans[2], b"\x2a\x04twin".to_vec())];
    let (shop, redis) = (&spans[..2], &spans[3..]);
    let orders: [&[&[Span]]; 3] = [
        &[redis, &spans[2..3], twin],
        &[twin, redis, &spans[2..3]],
        &[redis, &[twin[0].clone(), spans[2].clone()]],
    ];
    for ((name, happens), order) in
        BETWEEN.into_iter().flat_map(|between| orders.map(|order| (between, order)))
    {
        let mut shelf = Shelf::tiny();
        shelf.append(1, shop, BASE);
        for spans in order {
            happens(&mut shelf, BASE);
            shelf.append(1, spans, BASE);
        }
        // Both spans of that id are children of `shop`; `redis` has one parent.
        assert_eq!(shelf.calls(), ["cart>redis 1", "shop>cart 2", "shop>shop 1"], "{name}");
    }
}

#[test]
fn a_call_is_of_the_parent_in_the_childs_own_service() {
    // Both sides of a call under one id, and a child of the serving side.
    let sides = "a | call | client | 0-9 | #5\nb | serve | server | 1-8 | #5";
    let spans =
        trace(1, &format!("{sides}\nb | work | internal | 2-4 | #6 ^5\nc | wait | server | 2-4 | #7 ^5"));
    let orders: [&[&[usize]]; 3] = [&[&[0, 1, 2, 3]], &[&[0, 1], &[2, 3]], &[&[2, 3], &[1, 0]]];
    for order in orders {
        let shelf = Shelf::new();
        for (sequence, places) in (1..).zip(order) {
            let batch: Vec<Span> = places.iter().map(|&place| spans[place].clone()).collect();
            shelf.append(sequence, &batch, BASE);
        }
        assert_eq!(shelf.calls(), ["a>c 1", "b>b 1"], "{order:?}");
    }
}

#[test]
fn many_spans_of_one_id_are_stored_and_their_children_counted() {
    let shelf = Shelf::new();
    let drawn = trace(1, "shop | GET /cart | server | 0-1 | #5\n  cart | GET | server | 0-1 | #6");
    let twins = |span: &Span| -> Vec<Span> {
        let body = |number: u16| [&[0xc2, 0x3e, 2][..], &number.to_be_bytes()].concat();
        (0..2_000).map(|number| with_body(span, body(number))).collect()
    };
    shelf.append(1, &twins(&drawn[0]), BASE);
    shelf.append(2, &twins(&drawn[1]), BASE);
    assert_eq!((shelf.trace(1).len(), shelf.calls()), (4_000, vec!["shop>cart 2000".to_owned()]));
    let (parents, children) = (trace(2, CART), trace(2, "late | reply | consumer | 0-1 | #9 ^1"));
    shelf.append(3, &twins(&children[0]), BASE);
    shelf.append(4, &twins(&parents[0]), BASE);
    assert_eq!(shelf.calls(), ["shop>cart 2000", "shop>late 2000"]);
}

#[test]
fn large_spans_of_one_id_come_back() {
    let mut shelf = Shelf::new();
    let drawn = trace(1, &format!("shop | big | internal | 5-6 | text={}", "x".repeat(1 << 20))).remove(0);
    let twin = |number: u8| with_body(&drawn, [&drawn.body[..], &[0xc2, 0x3e, 1, number]].concat());
    let spans: Vec<Span> = (0..40).map(twin).collect();
    shelf.append(1, &spans, BASE);
    assert_eq!(shelf.trace(1).len(), 40);
    assert!(shelf.store().pin(trace_id(1), BASE).unwrap());
    shelf.store().roll(BASE).unwrap();
    shelf.merge();
    shelf.reopen(BASE);
    assert_eq!(shelf.trace(1), sorted(spans));
    assert_eq!(shelf.store().status().damaged_rows, 0);
}

#[test]
fn merging_holds_few_bytes_at_once() {
    let sizes = Sizes { merged_bytes: 1 << 20, ..Sizes::default() };
    let shelf = Shelf::with(settings(), sizes);
    for number in 1..=9 {
        let large = format!("shop | big | internal | 5-6 | text={}", "x".repeat(300 << 10));
        shelf.append(number, &trace(number, &large), BASE);
    }
    shelf.append(
        10,
        &trace(10, &format!("shop | big | internal | 5-6 | text={}", "x".repeat(700 << 10))),
        BASE,
    );
    // Also where the runs are few: more bytes are not taken together later either.
    let merged = shelf.store().merge().unwrap().unwrap();
    assert_eq!((merged.runs, merged.spans), (3, 3));
    shelf.store().roll(BASE).unwrap();
    shelf.merge();
    assert_eq!(shelf.store().status().runs, 4, "each of three, and the largest alone");
    assert_eq!((1..=10).map(|number| shelf.trace(number).len()).sum::<usize>(), 10);
}

#[test]
fn names_with_slashes_are_not_mixed_up_in_calls() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, "a/b | x | server | 0-9\n  c | y | server | 1-2"), BASE);
    shelf.append(2, &trace(2, "a | x | server | 0-9\n  b/c | y | server | 1-2\n  | z | server | 1-2"), BASE);
    assert_eq!(shelf.calls(), ["a> 1", "a>b/c 1", "a/b>c 1"]);
}

#[test]
fn calls_are_asked_by_hour() {
    let shelf = Shelf::new();
    let hour = 3_600_000;
    for (number, millis) in [(1, 0), (2, hour), (3, hour), (4, 3 * hour)] {
        let sketch = format!("a | x | client | {millis}-{millis}\n  b | y | server | {millis}-{millis}");
        shelf.append(number, &trace(number, &sketch), BASE);
        shelf.store().roll(BASE).unwrap();
    }
    let calls = |from: u64, until: u64| {
        let calls = shelf.store().snapshot().unwrap().dependencies(at(from), at(until)).unwrap();
        calls.iter().map(|call| call.calls).sum::<u64>()
    };
    assert_eq!((calls(0, 0), calls(0, hour), calls(hour, 2 * hour), calls(2 * hour, 9 * hour)), (1, 3, 2, 1));
    assert_eq!(calls(4 * hour, 9 * hour), 0);
}

#[test]
fn the_cursor_moves_with_the_spans_and_never_back() {
    let mut shelf = Shelf::new();
    let asked = |shelf: &Shelf, signal| shelf.store().cursor(BUFFER, signal).unwrap();
    assert_eq!(asked(&shelf, 0), None);
    shelf.append(41, &trace(1, CART), BASE);
    shelf.append(40, &[], BASE);
    for (name, happens) in BETWEEN {
        happens(&mut shelf, BASE);
        assert_eq!((asked(&shelf, 0), asked(&shelf, 1)), (Some(41), None), "{name}");
    }
    let late = BASE.plus(DAY * 2);
    shelf.store().expire(late).unwrap();
    assert_eq!(shelf.store().status().spans, 0, "the block is gone");
    assert_eq!(asked(&shelf, 0), Some(41));
    shelf.append(39, &[], late);
    shelf.reopen(late);
    assert_eq!(asked(&shelf, 0), Some(41));
    assert_eq!(shelf.store().cursor([8; 16], 0).unwrap(), None);
}

#[test]
fn what_is_due_is_not_shown_and_goes_with_its_block() {
    let mut shelf = Shelf::tiny();
    shelf.append(1, &trace(1, CART), BASE);
    let hour = Duration::from_secs(3_600);
    let later = BASE.plus(hour);
    shelf.append(2, &trace(2, "shop | GET /cart | server | 0-1"), later);
    let due = BASE.plus(DAY);
    assert_eq!(shelf.store().expire(Timestamp(due.nanos() - 1)).unwrap(), 0);
    assert_eq!((shelf.trace(1).len(), shelf.trace(2).len()), (4, 1));
    assert_eq!(shelf.store().expire(due).unwrap(), 0);
    for restarted in [false, true] {
        let snapshot = shelf.store().snapshot().unwrap();
        assert_eq!((traced(&snapshot, 1).len(), traced(&snapshot, 2).len()), (0, 1), "{restarted}");
        assert_eq!((searched(&snapshot, None), searched(&snapshot, Some("cart"))), (1, 0), "{restarted}");
        drop(snapshot);
        shelf.reopen(due);
    }
    assert_eq!(shelf.blocks().len(), 1, "its other span has time");
    let names_of = |shelf: &Shelf| shelf.store().snapshot().unwrap().services().unwrap();
    assert_eq!(shelf.store().expire(later.plus(DAY)).unwrap(), 5);
    assert_eq!((names_of(&shelf).len(), shelf.calls().len(), shelf.store().status().spans), (0, 0, 0));
    assert_eq!(shelf.store().status().dropped_spans, [5, 0, 0]);
    let files = shelf.blocks();
    assert_eq!(files.len(), 1);
    assert!(files[0].to_string_lossy().contains("0000000002-"), "{files:?}");
}

#[test]
fn a_span_that_comes_again_when_its_time_was_over_is_new() {
    for restarts in [false, true] {
        let mut shelf = Shelf::new();
        shelf.append(1, &trace(1, CART), BASE);
        let later = BASE.plus(MINUTE);
        shelf.append(2, &trace(2, CART), later);
        let due = BASE.plus(DAY);
        shelf.store().expire(due).unwrap();
        if restarts {
            shelf.reopen(due);
        }
        assert_eq!((shelf.trace(1).len(), shelf.trace(2).len()), (0, 4));
        assert_eq!(shelf.append(3, &trace(1, CART), due).new, 4);
        assert_eq!(shelf.append(3, &trace(2, CART), due).new, 0);
        assert_eq!((shelf.trace(1).len(), shelf.trace(2).len()), (4, 4));
        shelf.store().expire(later.plus(DAY)).unwrap();
        assert_eq!((shelf.trace(1).len(), shelf.trace(2).len()), (4, 0));
    }
}

#[test]
fn a_pinned_trace_stays_with_its_late_spans() {
    let mut shelf = Shelf::new();
    let spans = trace(1, CART);
    shelf.append(1, &spans[..3], BASE);
    shelf.append(2, &trace(2, CART), BASE);
    assert!(shelf.store().pin(trace_id(1), BASE).unwrap());
    assert!(!shelf.store().pin(trace_id(3), BASE).unwrap());
    shelf.reopen(BASE);
    shelf.append(3, &spans[3..], BASE);
    let late = BASE.plus(DAY);
    assert_eq!(shelf.store().expire(late).unwrap(), 8);
    for (name, happens) in BETWEEN {
        assert!(shelf.store().pin(trace_id(1), late).unwrap(), "pinning again is fine");
        assert_eq!(shelf.trace(1), sorted(spans.clone()), "{name}");
        assert_eq!(shelf.trace(2), [], "{name}");
        happens(&mut shelf, late);
    }
    let status = shelf.store().status();
    assert_eq!((status.spans, status.traces_pinned), (0, 1));
    assert!(status.archive_bytes > 0);
    // One more, when only the archive knows the trace.
    let last = trace(1, "shop | last | internal | 7-8 | #99 ^1");
    shelf.append(4, &last, late);
    shelf.store().expire(late.plus(DAY)).unwrap();
    assert_eq!(shelf.trace(1).len(), 5);
}

#[test]
fn status_tells_what_is_there() {
    let shelf = Shelf::new();
    assert_eq!(shelf.store().status().oldest, None);
    shelf.append(1, &trace(1, CART), BASE);
    let unset = Span { start: Timestamp::ZERO, ..trace(2, "a | x | server | 0-1 | ^7").remove(0) };
    shelf.append(2, &[unset], BASE);
    let status = shelf.store().status();
    assert_eq!((status.spans, status.damaged_rows, status.blocks, status.runs), (5, 0, 1, 2));
    assert_eq!((status.waiting, status.given_up), (1, 0));
    assert_eq!(status.max_bytes, 1 << 30);
    assert!(status.data_bytes > 0);
}

#[test]
fn a_snapshot_does_not_change() {
    let mut shelf = Shelf::tiny();
    for number in 1..=3 {
        shelf.append(number, &trace(1, &format!("shop | GET | server | 0-1 | #{number}")), BASE);
    }
    shelf.store().roll(BASE).unwrap();
    for number in 4..=6 {
        shelf.append(number, &trace(1, &format!("shop | GET | server | 0-1 | #{number}")), BASE);
    }
    shelf.reopen(BASE);
    let snapshot = shelf.store().snapshot().unwrap();
    let check = |when: &str| {
        assert_eq!(traced(&snapshot, 1).len(), 6, "{when}");
        assert_eq!(traced(&snapshot, 2).len(), 0, "{when}");
        assert_eq!(searched(&snapshot, None), 6, "{when}");
        assert_eq!(snapshot.services().unwrap(), ["shop"], "{when}");
    };
    shelf.append(7, &trace(2, CART), BASE);
    check("more came");
    shelf.append(8, &trace(1, "shop | GET | server | 0-1 | #9"), BASE);
    shelf.store().roll(BASE).unwrap();
    check("a block was sealed");
    assert!(shelf.merge().runs > 0);
    check("runs were merged");
    assert!(shelf.store().expire(BASE.plus(DAY)).unwrap() > 0);
    check("its blocks were dropped");
    assert_eq!(shelf.trace(1).len(), 0);
    let late = BASE.plus(DAY);
    for number in 0..40 {
        // More blocks than are kept open.
        shelf.append(10 + number, &trace(number, CART), late);
        shelf.store().roll(late).unwrap();
        shelf.trace(number / 2);
    }
    check("many came");
}

#[test]
fn how_much_there_is_is_told_beside_a_writer() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, "cart | b | server | 1-8 | ^99"), BASE);
    std::thread::scope(|scope| {
        // Held as in a long commit, and let go of before the other thread is waited for.
        let _appender = shelf.store().appender.lock();
        let (sender, answers) = std::sync::mpsc::sync_channel(1);
        let store = shelf.store();
        scope.spawn(move || sender.send(Box::new(store.status())));
        let status = answers.recv_timeout(MINUTE).expect("it waits for nobody");
        assert_eq!((status.spans, status.waiting, status.given_up), (1, 1, 0));
    });
}

#[test]
fn readers_wait_for_no_writer() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    let active = shelf.store().blocks.active().unwrap();
    let read = active.commit(&shelf.store().losses, |_transaction, runs| {
        let read = std::thread::scope(|scope| scope.spawn(|| shelf.trace(1).len()).join().unwrap());
        Ok((read, Arc::clone(runs)))
    });
    assert_eq!(read.unwrap(), 4);
}

#[test]
fn more_blocks_than_are_open_at_once_are_read() {
    let mut shelf = Shelf::new();
    for number in 1..=40 {
        shelf.append(number, &trace(number, CART), BASE);
        shelf.store().roll(BASE).unwrap();
    }
    for restarted in [false, true] {
        for number in (1..=40).chain([1, 40, 20]) {
            assert_eq!(shelf.trace(number).len(), 4, "{number} {restarted}");
        }
        assert_eq!(shelf.calls(), ["cart>redis 40", "shop>cart 40", "shop>shop 40"]);
        shelf.reopen(BASE);
    }
}

#[test]
fn what_is_in_no_earlier_block_is_stored_without_opening_one() {
    let shelf = Shelf::new();
    for number in 1..=4 {
        shelf.append(number, &trace(number, CART), BASE);
        shelf.store().roll(BASE).unwrap();
    }
    let open = || shelf.store().blocks.sealed().iter().filter(|block| block.engine().is_open()).count();
    shelf.store().blocks.sealed().iter().for_each(|block| block.engine().close_if_idle());
    assert_eq!(shelf.append(5, &trace(5, CART), BASE), Appended { new: 4, duplicates: 0 });
    assert_eq!(open(), 0);
    assert_eq!(shelf.append(6, &trace(2, CART), BASE), Appended { new: 0, duplicates: 4 });
    assert_eq!(open(), 1, "only the one that has the trace");
}

/// Spans of a mebibyte that cannot be packed any smaller.
fn heavy(trace: u64, spans: std::ops::Range<u64>) -> Vec<Span> {
    let drawn = crate::model::sketch::trace(trace, "shop | GET | server | 0-1").remove(0);
    let body = |number: u64| {
        let words = (0..1 << 17).map(|place| bloom::trace_hash(trace_id(number << 32 | place)));
        Bytes::from(words.flat_map(u64::to_le_bytes).collect::<Vec<u8>>())
    };
    let of = |number| {
        let body = body(trace << 16 | number);
        let content_hash = content_hash(&drawn.resource, &drawn.scope, &body);
        Span { span_id: span_id(number), body, content_hash, ..drawn.clone() }
    };
    spans.map(of).collect()
}

#[test]
fn a_trace_is_pinned_piece_by_piece() {
    let shelf = Shelf::new();
    shelf.append(1, &heavy(1, 1..11), BASE);
    for _again in 0..2 {
        assert!(shelf.store().pin(trace_id(1), BASE).unwrap());
        let archive = shelf.store().archive.block().unwrap().summary();
        assert_eq!((archive.spans, archive.runs), (10, 2), "8 MiB, and the rest");
    }
    shelf.append(2, &heavy(1, 10..12), BASE);
    assert_eq!(shelf.store().archive.block().unwrap().summary().spans, 11, "one is there already");
    shelf.store().roll(BASE).unwrap();
    assert_eq!(shelf.store().expire(BASE.plus(DAY)).unwrap(), 11);
    assert_eq!(shelf.trace(1).len(), 11);
}

#[test]
fn a_short_trace_in_many_chunks_is_gone_through_once() {
    // Nothing is kept at hand.
    let shelf = Shelf::with(Settings { cache_bytes: 0, ..settings() }, TINY);
    for number in 1..=4 {
        let sketch = format!("a | x | server | {number}-9");
        let beside: Vec<_> = (1..=3).flat_map(|other| trace(other, &sketch)).collect();
        shelf.append(number, &beside, BASE);
    }
    let chunks = shelf.store().snapshot().unwrap();
    chunks.bounds(trace_id(2)).unwrap();
    let walk = shelf.store().snapshot().unwrap();
    let mut walked = 0;
    let all = walk.each_piece(trace_id(2), PieceLimits { spans: 9, bytes: usize::MAX }, |piece| {
        walked += piece.len();
        std::ops::ControlFlow::<()>::Continue(())
    });
    assert!(all.unwrap().is_continue());
    assert_eq!(walked, 4);
    // Once to count its spans among twelve.
    assert_eq!(walk.read_bytes(), 2 * chunks.read_bytes());
}

#[test]
fn no_more_is_pinned_than_a_quarter_of_what_there_may_be() {
    let mut shelf = Shelf::with(Settings { max_bytes: Some(64 << 20), ..settings() }, Sizes::default());
    let mut number = 1;
    let error = loop {
        shelf.append(number, &heavy(number, 1..4), BASE);
        match shelf.store().pin(trace_id(number), BASE) {
            Ok(is_there) => assert!(is_there),
            Err(error) => break error,
        }
        number += 1;
    };
    assert!(
        error.to_string().contains("take 16777216 bytes or more, a quarter of store.max_bytes"),
        "{error}"
    );
    shelf.reopen(BASE);
    assert!(shelf.store().pin(trace_id(1), BASE).unwrap(), "it is pinned already");
    shelf.store().pin(trace_id(number), BASE).unwrap_err();
    assert_eq!(shelf.append(number + 1, &heavy(1, 3..6), BASE).new, 2);
    let status = shelf.store().status();
    assert_eq!(
        (status.traces_pinned, status.left_out),
        (number - 1, 2),
        "of the late ones one is there already"
    );
    assert!(status.archive_bytes < 40 << 20, "{status:?}");
}

#[test]
fn a_crash_loses_nothing_that_was_appended() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    shelf.store().roll(BASE).unwrap();
    shelf.append(2, &trace(2, CART), BASE);
    shelf.store().pin(trace_id(1), BASE).unwrap();
    // The bytes on disk while the store is open are what a crash leaves.
    let left_behind = tempfile::tempdir().unwrap();
    fs::create_dir(left_behind.path().join(BLOCKS)).unwrap();
    for file in shelf.blocks() {
        fs::copy(&file, left_behind.path().join(BLOCKS).join(file.file_name().unwrap())).unwrap();
    }
    fs::copy(shelf.folder.path().join("archive.redb"), left_behind.path().join("archive.redb")).unwrap();
    let store = Store::open(left_behind.path(), &settings(), BASE).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!((traced(&snapshot, 1).len(), traced(&snapshot, 2).len()), (4, 4));
    assert_eq!(store.cursor(BUFFER, 0).unwrap(), Some(2));
    assert_eq!(store.status().traces_pinned, 1);
}

#[test]
fn a_block_of_a_later_format_is_refused_in_words() {
    let mut shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    let newer = seal(FORMAT_KEY, 3u32.to_le_bytes().to_vec());
    let written = shelf.store().blocks.active().unwrap().engine().write(|transaction| {
        transaction.open_table(META)?.insert(FORMAT_KEY, &newer[..])?;
        Ok(())
    });
    written.unwrap();
    shelf.store = None;
    let error = Store::open(shelf.folder.path(), &settings(), BASE).unwrap_err();
    assert!(error.to_string().contains("its format is 3, this version knows formats up to 2"), "{error}");
}

#[test]
fn a_store_in_use_is_refused() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    assert!(matches!(Store::open(shelf.folder.path(), &settings(), BASE), Err(Error::Open { .. })));
    assert_eq!(shelf.store().status().set_aside, 0);
}

#[test]
fn a_new_block_is_begun_by_time() {
    let shelf = Shelf::new();
    // An eighth of the age, or an hour where there is enough in it: there is not.
    let hour = Duration::from_secs(3_600);
    for (hours, blocks) in [(0, 1), (1, 1), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3)] {
        shelf.append(hours, &trace(hours, CART), BASE.plus(hour * hours as u32));
        assert_eq!(shelf.blocks().len(), blocks, "after {hours} hours");
    }
    let shelf = Shelf::with(Settings { max_bytes: Some(64), ..settings() }, Sizes::default());
    shelf.append(1, &[], BASE);
    shelf.append(2, &[], BASE.plus(hour * 9));
    assert_eq!(shelf.blocks().len(), 1, "one without spans is as good as new");
}

/// Spans of different bytes that do not pack.
fn bulky(number: u64, bytes: usize) -> Vec<Span> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let drawn = trace(number, "shop | GET /cart | server | 0-1").remove(0);
    let body: Vec<u8> = (0..bytes / 8).flat_map(|_| noise()).collect();
    vec![with_body(&drawn, body)]
}

#[test]
fn blocks_take_no_more_than_they_may_and_one_block_more() {
    let max_bytes = 16 << 20;
    let shelf = Shelf::with(Settings { max_bytes: Some(max_bytes), ..settings() }, Sizes::default());
    let mut largest = 0;
    for number in 1..=150 {
        let later = BASE.plus(Duration::from_secs(number));
        shelf.append(number, &bulky(number, 256 << 10), later);
        if number % 7 == 0 {
            shelf.store().merge().unwrap();
        }
        if number % 10 == 0 {
            shelf.store().expire(later).unwrap();
        }
        let bytes: Vec<u64> =
            shelf.blocks().iter().map(|file| fs::metadata(file).unwrap().blocks() * 512).collect();
        let (taken, block): (u64, u64) = (bytes.iter().sum(), bytes.iter().copied().max().unwrap());
        largest = largest.max(block);
        assert!(taken <= max_bytes + block, "{taken} bytes with {number} spans");
    }
    assert!(largest < max_bytes / 4, "{largest}");
    let status = shelf.store().status();
    assert_eq!(shelf.trace(1).len(), 0);
    assert_eq!(shelf.trace(150).len(), 1);
    assert!(status.dropped_spans[Reason::Size as usize] > 80, "{status:?}");
    assert!(status.spans > 30, "{status:?}");
    assert_eq!(status.spans + status.dropped_spans[Reason::Size as usize], 150);
    assert_eq!(shelf.store().cursor(BUFFER, 0).unwrap(), Some(150));
}

/// A folder of which a test says how much space is left, and how often it may be measured before the program ends.
#[derive(Debug)]
struct Told {
    folder: Folder,
    free: AtomicU64,
    until_the_end: AtomicI64,
}

impl Told {
    fn open(folder: &TempDir) -> Arc<Self> {
        let folder = Folder::open(folder.path()).unwrap();
        Arc::new(Self { folder, free: AtomicU64::new(u64::MAX), until_the_end: AtomicI64::new(i64::MAX) })
    }
}

impl Files for Told {
    fn blocks(&self) -> io::Result<Vec<String>> {
        self.folder.blocks()
    }

    fn exists(&self, name: &str) -> bool {
        self.folder.exists(name)
    }

    fn open(&self, name: &str, may_make: bool, cache_bytes: usize) -> Result<Database, DatabaseError> {
        self.folder.open(name, may_make, cache_bytes)
    }

    fn open_untouched(&self, name: &str, cache_bytes: usize) -> Result<Database, DatabaseError> {
        self.folder.open_untouched(name, cache_bytes)
    }

    fn bytes(&self, name: &str) -> io::Result<u64> {
        assert!(self.until_the_end.fetch_sub(1, Ordering::SeqCst) > 0, "the program ends here");
        self.folder.bytes(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn set_aside(&self, name: &str, now: Timestamp) -> io::Result<PathBuf> {
        self.folder.set_aside(name, now)
    }

    fn count_set_aside(&self) -> usize {
        self.folder.count_set_aside()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        Ok(self.free.load(Ordering::SeqCst))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }
}

#[test]
fn the_oldest_block_goes_when_space_is_short() {
    let folder = tempfile::tempdir().unwrap();
    let files = Told::open(&folder);
    let settings = Settings { min_free_bytes: 1 << 20, ..settings() };
    let store =
        Store::with_files(Arc::clone(&files) as Arc<dyn Files>, &settings, Sizes::default(), BASE).unwrap();
    for number in 1..=3 {
        store.append(&trace(number, CART), &cursor(number), BASE).unwrap();
        store.roll(BASE).unwrap();
    }
    store.append(&trace(4, CART), &cursor(4), BASE).unwrap();
    let left = || {
        let snapshot = store.snapshot().unwrap();
        (1..=4).map(|number| traced(&snapshot, number).len()).collect::<Vec<_>>()
    };
    store.expire(BASE).unwrap();
    assert_eq!(left(), [4, 4, 4, 4]);
    files.free.store((1 << 20) - 1, Ordering::SeqCst);
    // As if the first format's file were being taken over, which is what takes the space.
    fs::write(files.path(convert::OLD), "").unwrap();
    store.expire(BASE).unwrap();
    assert_eq!(left(), [4, 4, 4, 4]);
    fs::remove_file(files.path(convert::OLD)).unwrap();
    assert_eq!(store.expire(BASE).unwrap(), 4);
    assert_eq!(left(), [0, 4, 4, 4], "one at a time");
    files.free.store(1 << 20, Ordering::SeqCst);
    store.expire(BASE).unwrap();
    assert_eq!(left(), [0, 4, 4, 4]);
    files.free.store(0, Ordering::SeqCst);
    let seconds = |seconds| BASE.plus(Duration::from_secs(seconds));
    for now in 0..30 {
        store.expire(seconds(now)).unwrap();
    }
    assert_eq!(left(), [0, 0, 4, 4], "its space did not come: it is waited for");
    for now in 30..90 {
        store.expire(seconds(now)).unwrap();
    }
    assert_eq!(left(), [0, 0, 0, 4], "never the one that is written to");
    assert_eq!(store.status().dropped_spans, [0, 0, 12]);
}

#[test]
fn what_may_be_taken_is_a_tenth_of_the_space_when_it_is_not_said() {
    let folder = tempfile::tempdir().unwrap();
    let files = Told::open(&folder);
    let open = |free| {
        files.free.store(free, Ordering::SeqCst);
        let settings = Settings { max_bytes: None, ..settings() };
        let files = Arc::clone(&files) as Arc<dyn Files>;
        Store::with_files(files, &settings, Sizes::default(), BASE).unwrap()
    };
    assert_eq!(open(1 << 40).status().max_bytes, 4 << 30);
    let store = open(1_000 << 20);
    assert_eq!(store.status().max_bytes, 100 << 20);
    store.append(&bulky(1, 1 << 20), &cursor(1), BASE).unwrap();
    let taken = store.status().data_bytes;
    assert!(taken > 1 << 20);
    drop(store);
    assert_eq!(open((1_000 << 20) - taken).status().max_bytes, 100 << 20, "the same at every start");
}

#[test]
fn merging_leaves_every_answer_as_it_was() {
    let mut shelf = Shelf::tiny();
    for number in 1..=30 {
        let spans = trace(number % 7, CART);
        let own = Span { span_id: span_id(100 + number), ..spans[number as usize % 4].clone() };
        shelf.append(number, &[own, spans[0].clone()], BASE.plus(MINUTE * number as u32));
        if number % 10 == 0 {
            shelf.store().roll(BASE.plus(MINUTE * number as u32)).unwrap();
        }
    }
    let answers = |shelf: &Shelf| {
        let snapshot = shelf.store().snapshot().unwrap();
        let traces: Vec<_> = (0..7).map(|number| traced(&snapshot, number)).collect();
        let operations: Vec<_> =
            ["shop", "cart", "redis"].map(|service| snapshot.operations(service).unwrap()).into();
        let found = ["shop", "cart", "redis"].map(|service| searched(&snapshot, Some(service)));
        (traces, snapshot.services().unwrap(), operations, calls(&snapshot), found, searched(&snapshot, None))
    };
    let before = (answers(&shelf), shelf.store().status());
    let merged = shelf.merge();
    assert!(merged.runs > 20 && merged.duplicates == 0, "{merged:?}");
    let after = (answers(&shelf), shelf.store().status());
    assert_eq!(before.0, after.0);
    assert_eq!(before.1.spans, after.1.spans);
    assert!(after.1.runs < before.1.runs / 3, "{after:?}");
    assert_eq!(shelf.merge(), Merged::default());
    shelf.reopen(BASE.plus(MINUTE * 30));
    assert_eq!(answers(&shelf), before.0);
    assert_eq!(shelf.merge(), Merged::default());
    // No row of a run that is gone stays behind: reading a block would be led to nothing for ever.
    let active = shelf.store().blocks.sealed().remove(0);
    let runs = active.view(&shelf.store().losses).unwrap().runs.len() as u64;
    let rows = active.engine().begin_read().unwrap().read(|transaction| {
        Ok((transaction.open_table(SPANS)?.len()?, transaction.open_table(SERVICE_NAME_INDEX)?.len()?))
    });
    let (chunks, indexed) = rows.unwrap();
    assert!(chunks <= 20 && indexed <= 3 * runs, "{chunks} chunks, {indexed} rows of {runs} runs");
}

#[test]
fn merging_drops_what_is_there_twice() {
    let shelf = Shelf::tiny();
    // Runs that the writer does not look through any more: as if it had forgotten them.
    for number in 1..=3 {
        shelf.append(number, &trace(1, CART), BASE);
        let active = shelf.store().blocks.active().unwrap();
        let copy: Vec<Span> = trace(1, CART);
        write_unseen(shelf.store(), &active, &copy, BASE);
    }
    assert_eq!(shelf.store().status().spans, 16);
    assert_eq!(shelf.trace(1).len(), 4);
    shelf.store().roll(BASE).unwrap();
    assert_eq!(shelf.merge().duplicates, 12);
    assert_eq!((shelf.store().status().spans, shelf.trace(1).len()), (4, 4));
}

/// A trace of one span with a resource of its own.
fn with_large_resource(number: u64, of_span: u64, bytes: usize) -> Vec<Span> {
    let text = format!("{of_span:x}").repeat(bytes);
    trace(number, &format!("shop | GET / | server | 0-1 | #{of_span} resource:text={text}"))
}

#[test]
fn what_is_merged_at_once_counts_resources() {
    let sizes = Sizes { merged_bytes: 256 << 10, ..TINY };
    let shelf = Shelf::with(settings(), sizes);
    for number in 1..=6 {
        shelf.append(number, &with_large_resource(number, number, 100_000), BASE);
    }
    shelf.store().roll(BASE).unwrap();
    for _ in 0..3 {
        assert_eq!(shelf.store().merge().unwrap().map(|merged| merged.runs), Some(2));
    }
    assert_eq!(shelf.store().merge().unwrap(), None);
}

#[test]
fn a_trace_has_room_for_its_resources_or_is_cut() {
    let shelf = Shelf::new();
    let spans: Vec<Span> = (1..=3).flat_map(|span| with_large_resource(1, span, 100_000)).collect();
    shelf.append(1, &spans, BASE);
    let read = |max_bytes| shelf.store().snapshot().unwrap().trace(trace_id(1), max_bytes).unwrap();
    assert_eq!((read(250_000).spans.len(), read(250_000).cut), (2, true));
    assert_eq!((read(310_000).spans.len(), read(310_000).cut), (3, false));
    // One that they share counts once.
    let spans = (4..=9).flat_map(|span| trace(2, &format!("shop | a | server | 0-1 | #{span}")));
    shelf.append(2, &spans.collect::<Vec<_>>(), BASE);
    let shared = shelf.store().snapshot().unwrap().trace(trace_id(2), usize::MAX).unwrap();
    let resource = shared.spans[0].resource.bytes.len();
    assert!(shared.bytes < 6 * (200 + resource + shared.spans[0].body.len()), "{}", shared.bytes);
}

#[test]
fn resources_of_many_pairs_do_not_swell_the_filters() {
    let sizes = Sizes { run_spans: 1_000, chunk_spans: 1, trace_spans: 1, ..TINY };
    let shelf = Shelf::with(settings(), sizes);
    let drawn = trace(1, "shop | GET / | server | 0-1").remove(0);
    // An attribute with a key of five digits and a text of four letters.
    let pair = |number: u32| format!("\x0a\x0f\x0a\x05{number:05}\x12\x06\x0a\x04good");
    let bytes = (0..10_000).map(pair).collect::<String>().into();
    let resource = Arc::new(Resource { bytes, ..Resource::clone(&drawn.resource) });
    let of_trace =
        |number| Span { trace_id: trace_id(number), resource: Arc::clone(&resource), ..drawn.clone() };
    assert_eq!(shelf.append(1, &(1..=500).map(of_trace).collect::<Vec<_>>(), BASE).new, 500);
    let snapshot = shelf.store().snapshot().unwrap();
    let found = |value| {
        let filter = Filter {
            service: None,
            operation: None,
            kind: None,
            status: None,
            tags: vec![vec![tag_hash("00007", value)]],
            starts: Timestamp::ZERO..=Timestamp::MAX,
            durations: Duration::ZERO..=Duration::MAX,
        };
        let (mut scan, mut candidates) = (snapshot.scan(&filter).unwrap(), Vec::new());
        while scan.advance(&mut candidates).unwrap() {}
        candidates.len()
    };
    // The pairs of 419 chunks fill 8 MiB of filters; the other chunks may hold anything.
    assert_eq!((found("good"), found("bad")), (500, 81));
}

/// Stores spans without asking whether they are there.
fn write_unseen(store: &Store, block: &Arc<Block>, spans: &[Span], now: Timestamp) {
    use crate::store::chunk::Item;
    use crate::store::pack::{Packer, Seen};
    use crate::store::schema::RESOURCES;
    use crate::store::sources::SourceTable;
    let view = block.view(&store.losses).unwrap();
    let next = view.reading.read(|transaction| SourceTable::next_in(&transaction.open_table(RESOURCES)?));
    // Far behind the numbers that the writer will give.
    let mut sources = SourceTable::new(next.unwrap() + 1_000);
    let number = |span: &Span, sources: &mut SourceTable| sources.number(&span.resource, &span.scope);
    let items: Vec<Item<'_>> =
        spans.iter().map(|span| Item { span, source: number(span, &mut sources) }).collect();
    let packed = Packer::new(TINY).pack(
        block.new_run(),
        &items,
        sources.notes(),
        now.plus(store.blocks.settings().max_age),
        &mut Seen::default(),
        |_, _| (),
    );
    let packed = packed.unwrap();
    let written = block.commit(&store.losses, |transaction, before| {
        packed.write(transaction)?;
        sources.write(transaction)?;
        let run = Arc::new(packed.run.clone());
        Ok(((), before.iter().cloned().chain([run]).collect()))
    });
    written.unwrap();
}

/// A folder with what the first format's last version left.
fn of_format_1() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join(BLOCKS)).unwrap();
    put_format_1(&folder);
    folder
}

fn put_format_1(folder: &TempDir) {
    let file = zstd::decode_all(&include_bytes!("literal/golden/format-1.redb.zst")[..]).unwrap();
    fs::write(folder.path().join("blocks/spans.redb"), file).unwrap();
}

fn check_taken_over(store: &Store, folder: &TempDir, when: &str) {
    let literal = of_format_1();
    let settings = literal::Settings { cache_bytes: 1 << 20, max_age: DAY };
    let literal = literal::Store::open(&literal.path().join(BLOCKS), &settings).unwrap();
    let (old, new) = (literal.snapshot().unwrap(), store.snapshot().unwrap());
    for number in [1, 2] {
        let expected = sorted(old.trace(trace_id(number), usize::MAX).unwrap().spans);
        assert!(!expected.is_empty());
        assert_eq!(traced(&new, number), expected, "{when}");
    }
    assert_eq!(new.services().unwrap(), old.services().unwrap(), "{when}");
    assert_eq!(calls(&new), CART_CALLS, "{when}");
    assert_eq!(store.cursor(BUFFER, 0).unwrap(), Some(41), "{when}");
    let status = store.status();
    assert_eq!((status.spans, status.traces_pinned, status.set_aside), (5, 1, 0), "{when}");
    assert!(!folder.path().join("blocks/spans.redb").exists(), "{when}");
}

#[test]
fn what_format_1_holds_is_taken_over() {
    let folder = of_format_1();
    let store = Store::open(folder.path(), &settings(), BASE).unwrap();
    check_taken_over(&store, &folder, "at once");
    drop(store);
    let store = Store::open(folder.path(), &settings(), BASE).unwrap();
    check_taken_over(&store, &folder, "at the next start");
    // The child that waited goes on waiting.
    store.append(&trace(2, "ask | send | producer | 0-1 | #77"), &cursor(42), BASE).unwrap();
    assert_eq!(calls(&store.snapshot().unwrap())[0], "ask> 1");
    store.expire(BASE.plus(DAY)).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!((traced(&snapshot, 1).len(), traced(&snapshot, 2).len()), (4, 0), "it is pinned");
}

#[test]
fn large_spans_of_format_1_come_in_small_batches() {
    let folder = of_format_1();
    let settings = literal::Settings { cache_bytes: 1 << 20, max_age: DAY };
    let old = literal::Store::open(&folder.path().join(BLOCKS), &settings).unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    while let Some(span) = old.spans_after(after, (100, 1)).unwrap().pop() {
        after = Some(literal::Identity::of(&span));
        all.push(span);
    }
    assert_eq!((all.len(), all), (5, old.spans_after(None, (100, usize::MAX)).unwrap()));
}

#[test]
fn taking_over_format_1_is_gone_on_with_where_it_was_cut_off() {
    for ends in 1.. {
        let folder = of_format_1();
        let files = Told::open(&folder);
        files.until_the_end.store(ends, Ordering::SeqCst);
        let open = || Store::with_files(Arc::clone(&files) as Arc<dyn Files>, &settings(), TINY, BASE);
        let is_done = catch_unwind(AssertUnwindSafe(open)).is_ok();
        drop(files);
        let files = Arc::new(Folder::open(folder.path()).unwrap());
        let store = Store::with_files(files, &settings(), TINY, BASE).unwrap();
        check_taken_over(&store, &folder, &format!("the first attempt ended at {ends}"));
        if is_done {
            assert!(ends > 6, "{ends}");
            break;
        }
    }
}

#[test]
fn a_second_file_of_format_1_is_taken_over_whole() {
    let folder = of_format_1();
    drop(Store::open(folder.path(), &settings(), BASE).unwrap());
    // An older version was run for a while, and wrote a file of its own.
    let old = literal::Settings { cache_bytes: 1 << 20, max_age: DAY };
    let old = literal::Store::open(&folder.path().join(BLOCKS), &old).unwrap();
    old.append(&trace(5, CART), &cursor(50), BASE).unwrap();
    drop(old);
    let store = Store::open(folder.path(), &settings(), BASE).unwrap();
    let snapshot = store.snapshot().unwrap();
    assert_eq!((traced(&snapshot, 1).len(), traced(&snapshot, 5).len()), (4, 4));
    assert_eq!(store.cursor(BUFFER, 0).unwrap(), Some(50));
}

#[test]
fn a_block_that_cannot_be_written_for_damage_is_left_for_a_new_one() {
    // Without a cache, so that what is read is what is on the disk.
    let mut shelf = Shelf::with(Settings { cache_bytes: 0, ..settings() }, Sizes::default());
    shelf.append(1, &trace(1, "odd-service | odd-operation | server | 0-1"), BASE);
    shelf.reopen(BASE);
    let path = shelf.blocks().remove(0);
    let bytes = fs::read(&path).unwrap();
    // The pages of operations and of their minutes, which the writer reads when it begins.
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, b"odd-service\0odd-operation\0").collect();
    assert!(!places.is_empty());
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for place in places {
        file.write_all_at(&[0xff; 4_096], place as u64 / 4_096 * 4_096).unwrap();
    }
    let spans = trace(2, CART);
    let mut tries = 0;
    let appended = loop {
        match shelf.store().append(&spans, &cursor(2), BASE) {
            Ok(appended) => break appended,
            Err(error) => assert!(error.is_damage(), "{error}"),
        }
        tries += 1;
        assert!(tries < 5, "it is given up");
    };
    assert_eq!((appended.new, shelf.trace(2).len()), (4, 4));
    assert_eq!((shelf.blocks().len(), shelf.store().cursor(BUFFER, 0).unwrap()), (2, Some(2)));
}

#[test]
fn a_run_whose_row_is_damaged_keeps_its_number() {
    let mut shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    shelf.append(2, &trace(2, CART), BASE);
    let damaged = shelf.store().blocks.active().unwrap().engine().write(|transaction| {
        transaction.open_table(RUNS)?.insert(&1u32.to_be_bytes()[..], &b"damaged"[..])?;
        Ok(())
    });
    damaged.unwrap();
    shelf.reopen(BASE);
    shelf.append(3, &trace(3, "shop | GET /cart | server | 0-1"), BASE);
    let snapshot = shelf.store().snapshot().unwrap();
    assert_eq!([1, 2, 3].map(|number| traced(&snapshot, number).len()), [4, 0, 1]);
    assert_eq!((searched(&snapshot, Some("shop")), searched(&snapshot, None)), (3, 5));
}

/// Whether a file must be walked through before it is opened.
fn is_repaired(path: &Path) -> bool {
    let repaired = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&repaired);
    let opened = redb::Builder::new()
        .set_repair_callback(move |_repair| told.store(true, Ordering::SeqCst))
        .open(path);
    opened.unwrap();
    repaired.load(Ordering::SeqCst)
}

#[test]
fn a_sealed_block_is_compacted_once_and_opened_without_repair() {
    let mut shelf = Shelf::new();
    for number in 1..=40 {
        shelf.append(number, &bulky(number, 64 << 10), BASE);
    }
    shelf.store().roll(BASE).unwrap();
    let before = shelf.store().status().data_bytes;
    shelf.merge();
    let after = shelf.store().status().data_bytes;
    // While they are merged, all spans are there twice.
    assert!(after < before * 3 / 2, "{before} to {after} bytes");
    assert!(shelf.store().blocks.sealed()[0].is_tidy());
    shelf.reopen(BASE);
    assert!(shelf.store().blocks.sealed()[0].is_tidy(), "after a restart it is not done again");
    // What a block that is changed later has free is looked at again.
    let sealed = shelf.store().blocks.sealed().remove(0);
    write_unseen(shelf.store(), &sealed, &trace(99, CART), BASE);
    drop(sealed);
    shelf.reopen(BASE);
    assert!(!shelf.store().blocks.sealed()[0].is_tidy());
    shelf.merge();
    assert!(shelf.store().blocks.sealed()[0].is_tidy());
    shelf.store = None;
    assert!(!is_repaired(&shelf.blocks()[0]));
}

#[test]
fn a_dropped_block_is_not_closed_before_who_will_read_it() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    shelf.store().roll(BASE).unwrap();
    let dropped = shelf.store().blocks.sealed().remove(0);
    // Of the blocks before the newest it has no view yet.
    let snapshot = shelf.store().snapshot().unwrap();
    assert_eq!(shelf.store().blocks.retain(BASE.plus(DAY)).unwrap(), 4);
    dropped.engine().close_if_idle();
    assert_eq!(shelf.blocks().len(), 1);
    assert_eq!(traced(&snapshot, 1).len(), 4);
}

#[test]
fn the_next_block_goes_at_once_when_the_space_of_the_last_one_came() {
    let folder = tempfile::tempdir().unwrap();
    let files = Told::open(&folder);
    let settings = Settings { min_free_bytes: 1 << 40, ..settings() };
    let store =
        Store::with_files(Arc::clone(&files) as Arc<dyn Files>, &settings, Sizes::default(), BASE).unwrap();
    for number in 1..=3 {
        store.append(&trace(number, CART), &cursor(number), BASE).unwrap();
        store.roll(BASE).unwrap();
    }
    for gone in 1..=3 {
        files.free.store(gone << 30, Ordering::SeqCst);
        assert_eq!(store.expire(BASE).unwrap(), 4, "{gone}");
        assert_eq!(store.expire(BASE).unwrap(), 0, "{gone}");
    }
}
