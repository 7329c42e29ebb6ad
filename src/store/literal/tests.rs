//! The store seen from outside: what goes in, what comes back, what time, retries and damage do to it.

use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{Builder, ReadableTable as _, ReadableTableMetadata as _, StorageBackend, TableHandle as _};
use tempfile::TempDir;

use super::*;
use crate::model::sketch::{BASE, at, span_id, trace, trace_id};
use crate::model::{SpanId, SpanKind, content_hash};
use crate::otlp::SpanView;
use crate::store::engine::{Definition, FORMAT_KEY, META};
use crate::store::literal::key::Identity;
use crate::store::literal::schema::{
    DEPENDENCIES, EXPIRY, Expiring, PENDING_PARENTS, SERVICE_NAME_INDEX, SPANS, START_TIME_INDEX,
};

const SETTINGS: Settings = Settings { cache_bytes: 16 << 20, max_age: DAY };
const DAY: Duration = Duration::from_secs(86_400);
const BUFFER: [u8; 16] = [7; 16];

const CART: &str = "
shop | GET /cart | server | 0-100
  shop | load | client | 10-90
    cart | GET | server | 20-80
      redis | HGET | client | 30-40 | !error db.system=redis
";

/// A store in a folder of its own.
struct Shelf {
    folder: TempDir,
    store: Option<Store>,
}

impl Shelf {
    fn new() -> Self {
        let mut shelf = Self { folder: tempfile::tempdir().unwrap(), store: None };
        shelf.reopen();
        shelf
    }

    fn reopen(&mut self) {
        self.store = None;
        self.store = Some(Store::open(self.folder.path(), &SETTINGS).unwrap());
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    fn append(&self, sequence: u64, spans: &[Span], now: Timestamp) -> Appended {
        self.store().append(spans, &cursor(sequence), now).unwrap()
    }

    fn trace(&self, number: u64) -> Vec<Span> {
        sorted(self.store().snapshot().unwrap().trace(trace_id(number), usize::MAX).unwrap().spans)
    }

    fn calls(&self) -> Vec<String> {
        let calls = self.store().snapshot().unwrap().dependencies(Timestamp::ZERO, Timestamp::MAX).unwrap();
        calls.iter().map(|call| format!("{}>{} {}", call.parent, call.child, call.calls)).collect()
    }
}

fn cursor(sequence: u64) -> Cursor {
    Cursor { buffer: BUFFER, signal: 0, sequence }
}

fn sorted(mut spans: Vec<Span>) -> Vec<Span> {
    spans.sort_by_key(|span| (span.span_id, span.content_hash));
    spans
}

/// The span with other bytes in its body, and so another identity.
fn with_body(span: &Span, body: Vec<u8>) -> Span {
    let body = Bytes::from(body);
    Span { content_hash: content_hash(&span.resource, &span.scope, &body), body, ..span.clone() }
}

#[test]
fn what_is_appended_comes_back_byte_for_byte() {
    let mut shelf = Shelf::new();
    let mut spans = trace(1, CART);
    // An unknown field (number 1000, text), a megabyte of attribute, and a second span with a used id.
    let unknown = [&spans[0].body[..], &[0xc2, 0x3e, 3], b"new"].concat();
    spans.push(Span { span_id: span_id(10), ..with_body(&spans[0], unknown) });
    let huge = trace(1, &format!("shop | big | internal | 5-6 | #11 text={}", "x".repeat(1 << 20)));
    spans.extend(huge);
    spans.push(with_body(&spans[1], b"\x2a\x05other".to_vec()));
    assert_eq!(shelf.append(1, &spans, BASE), Appended { new: 7, duplicates: 0 });
    shelf.append(2, &trace(2, CART), BASE);
    assert_eq!(shelf.trace(1), sorted(spans));
    shelf.reopen();
    assert_eq!(shelf.trace(1).len(), 7);
    assert_eq!(shelf.trace(2), sorted(trace(2, CART)));
    assert_eq!(shelf.trace(3), []);
}

#[test]
fn a_large_trace_is_read_as_far_as_there_is_room() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    let read = |bytes| shelf.store().snapshot().unwrap().trace(trace_id(1), bytes).unwrap();
    let whole = read(usize::MAX);
    assert_eq!((whole.spans.len(), whole.cut), (4, false));
    assert_eq!(read(whole.bytes), whole);
    let cut = read(whole.bytes - 1);
    assert_eq!((cut.spans.len(), cut.cut), (3, true));
    assert_eq!(read(0).spans.len(), 1);
}

#[test]
fn a_pinned_trace_takes_the_room_of_one() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    let read = |bytes| shelf.store().snapshot().unwrap().trace(trace_id(1), bytes).unwrap();
    let whole = read(usize::MAX);
    assert!(shelf.store().pin(trace_id(1)).unwrap());
    assert_eq!(read(whole.bytes), whole);
    damage_rows(&shelf, SPANS, &Identity::of(&whole.spans[1]).to_key());
    assert_eq!(sorted(read(whole.bytes).spans), sorted(whole.spans), "each copy stands for the other");
}

#[test]
fn storing_a_span_again_changes_nothing() {
    let shelf = Shelf::new();
    let spans = trace(1, CART);
    let twice = [&spans[..], &spans[..1]].concat();
    assert_eq!(shelf.append(1, &twice, BASE), Appended { new: 4, duplicates: 1 });
    let calls = shelf.calls();
    assert_eq!(shelf.append(2, &spans, BASE.plus(DAY)), Appended { new: 0, duplicates: 4 });
    assert_eq!(shelf.calls(), calls);
    assert_eq!(shelf.store().status().unwrap().spans, 4);
    assert_eq!(shelf.store().snapshot().unwrap().newest(None, BASE..=Timestamp::MAX).unwrap().count(), 4);
}

#[test]
fn names_are_listed_in_order() {
    let shelf = Shelf::new();
    let odd = "
a/b | GET /x | server | 0-1
  a\u{0}b | GET /x | client | 0-1
  a | GET /y | server | 0-1
  a | GET /x | server | 0-1
  a | GET /x | client | 0-1
   | nobody's | internal | 0-1";
    shelf.append(1, &trace(1, odd), BASE);
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
    let expected = ["cart>redis 1", "shop>cart 1", "shop>shop 1"];
    let orders: [&[usize]; 6] =
        [&[0, 1, 2, 3], &[3, 2, 1, 0], &[1, 0, 3, 2], &[2, 0, 3, 1], &[3, 0, 1, 2], &[1, 3, 0, 2]];
    for order in orders {
        let mut shelf = Shelf::new();
        for (sequence, &place) in order.iter().enumerate() {
            shelf.append(sequence as u64, &spans[place..=place], BASE);
            if sequence == 1 {
                shelf.reopen();
            }
            // The sender repeats everything it has sent so far.
            let so_far: Vec<Span> = order[..=sequence].iter().map(|&place| spans[place].clone()).collect();
            shelf.append(sequence as u64, &so_far, BASE);
        }
        assert_eq!(shelf.calls(), expected, "{order:?}");
    }
    let shelf = Shelf::new();
    shelf.append(1, &spans, BASE);
    assert_eq!(shelf.calls(), expected, "in one batch");
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
    for order in orders {
        let shelf = Shelf::new();
        shelf.append(1, shop, BASE);
        for spans in order {
            shelf.append(1, spans, BASE);
        }
        // Both spans of that id are children of `shop`; `redis` has one parent.
        assert_eq!(shelf.calls(), ["cart>redis 1", "shop>cart 2", "shop>shop 1"]);
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
        (0..2_000).map(|content_hash| Span { content_hash, ..span.clone() }).collect()
    };
    shelf.append(1, &twins(&drawn[0]), BASE);
    // Behind all those among whom a parent is looked for: no child looks through thousands.
    let last = Span { content_hash: u64::MAX, span_id: span_id(5), parent_id: None, ..drawn[1].clone() };
    shelf.append(2, &[last], BASE);
    shelf.append(3, &twins(&drawn[1]), BASE);
    assert_eq!((shelf.trace(1).len(), shelf.calls()), (4_001, vec!["shop>cart 2000".to_owned()]));
    let (parents, children) = (trace(2, CART), trace(2, "late | reply | consumer | 0-1 | #9 ^1"));
    shelf.append(4, &twins(&children[0]), BASE);
    shelf.append(5, &twins(&parents[0]), BASE);
    assert_eq!(shelf.calls(), ["shop>cart 2000", "shop>late 2000"]);
}

#[test]
fn calls_are_counted_between_so_many_services_and_no_more() {
    let shelf = Shelf::new();
    let filled = shelf.store().engine.write(|transaction| {
        let mut table = transaction.open_table(DEPENDENCIES)?;
        for hour in 1..calls::MAX_DEPENDENCIES as u32 {
            table.insert(&key::dependency("x", "y", hour)[..], &b""[..])?;
        }
        Ok(())
    });
    filled.unwrap();
    shelf.append(1, &trace(1, "a | x | client | 0-9\n  b | y | server | 1-2"), BASE);
    shelf.append(2, &trace(2, "a | x | client | 0-9\n  c | y | server | 1-2"), BASE);
    shelf.append(3, &trace(3, "a | x | client | 0-9\n  b | y | server | 1-2"), BASE);
    assert_eq!(shelf.calls(), ["a>b 2"]);
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
    shelf.reopen();
    assert_eq!((asked(&shelf, 0), asked(&shelf, 1)), (Some(41), None));
    assert_eq!(shelf.store().cursor([8; 16], 0).unwrap(), None);
}

#[test]
fn what_is_due_goes_from_every_table_and_nothing_else() {
    let shelf = Shelf::new();
    let orphan = "late | reply | consumer | 0-1 | #9 ^77";
    shelf.append(1, &trace(1, CART), BASE);
    shelf.append(2, &trace(2, orphan), BASE);
    let later = BASE.plus(Duration::from_secs(3_600));
    shelf.append(3, &trace(3, "shop | GET /cart | server | 0-1"), later);
    let due = BASE.plus(DAY);
    assert_eq!(shelf.store().expire(Timestamp(due.nanos() - 1)).unwrap(), Expired::default());
    assert_eq!(shelf.store().expire(due).unwrap(), Expired { spans: 5, more: false });
    let snapshot = shelf.store().snapshot().unwrap();
    assert_eq!(snapshot.services().unwrap(), ["shop"]);
    assert_eq!(snapshot.operations("shop").unwrap().len(), 1);
    assert_eq!(snapshot.newest(Some("cart"), BASE..=Timestamp::MAX).unwrap().count(), 0);
    assert_eq!(snapshot.newest(None, BASE..=Timestamp::MAX).unwrap().count(), 1);
    assert_eq!(shelf.calls(), [""; 0]);
    assert_eq!(shelf.store().expire(later.plus(DAY)).unwrap(), Expired { spans: 1, more: false });
    let stays = |table: &Definition| [CURSOR.name(), META.name()].contains(&table.name());
    for table in TABLES.into_iter().filter(|table| !stays(table)) {
        let left = shelf.store().engine.begin_read().unwrap();
        let rows = left.read(|transaction| Ok(transaction.open_table(table)?.len()?)).unwrap();
        assert_eq!(rows, 0, "{table}");
    }
}

#[test]
fn expiry_is_done_in_bounded_batches() {
    let shelf = Shelf::new();
    let drawn = trace(1, "shop | GET /cart | server | 0-1").remove(0);
    let batch = expiry::REMINDERS_PER_BATCH as u64;
    let spans: Vec<Span> =
        (1..=batch + 1).map(|number| Span { span_id: span_id(number), ..drawn.clone() }).collect();
    shelf.append(1, &spans, BASE);
    let due = BASE.plus(DAY);
    assert_eq!(shelf.store().expire(due).unwrap(), Expired { spans: batch, more: true });
    assert_eq!(shelf.store().expire(due).unwrap(), Expired { spans: 1, more: false });
}

#[test]
fn a_pinned_trace_stays_with_its_late_spans() {
    let shelf = Shelf::new();
    let spans = trace(1, CART);
    shelf.append(1, &spans[..3], BASE);
    shelf.append(2, &trace(2, CART), BASE);
    assert!(shelf.store().pin(trace_id(1)).unwrap());
    assert!(!shelf.store().pin(trace_id(3)).unwrap());
    shelf.append(3, &spans[3..], BASE);
    shelf.store().expire(BASE.plus(DAY)).unwrap();
    assert!(shelf.store().pin(trace_id(1)).unwrap(), "pinning again is fine");
    assert_eq!(shelf.trace(1), sorted(spans));
    assert_eq!(shelf.trace(2), []);
    assert_eq!(rows(&shelf, SPANS), 0);
    assert_eq!(shelf.store().status().unwrap().traces_pinned, 1);
}

#[test]
fn status_tells_what_is_there() {
    let shelf = Shelf::new();
    assert_eq!(shelf.store().status().unwrap().oldest, None);
    shelf.append(1, &trace(1, CART), BASE);
    let unset = Span { start: Timestamp::ZERO, ..trace(2, "a | x | server | 0-1").remove(0) };
    shelf.append(2, &[unset], BASE);
    let status = shelf.store().status().unwrap();
    assert_eq!((status.spans, status.oldest, status.damaged_rows), (5, Some(BASE), 0));
    assert!(status.data_bytes > 0);
}

#[test]
fn a_snapshot_does_not_change() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    let snapshot = shelf.store().snapshot().unwrap();
    shelf.append(2, &trace(2, CART), BASE);
    assert_eq!(snapshot.newest(None, BASE..=Timestamp::MAX).unwrap().count(), 4);
    assert_eq!(snapshot.trace(trace_id(2), usize::MAX).unwrap().spans, []);
    assert_eq!(shelf.trace(2).len(), 4);
}

#[test]
fn readers_wait_for_no_writer() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    let read = shelf.store().engine.write(|_transaction| {
        Ok(std::thread::scope(|scope| scope.spawn(|| shelf.trace(1).len()).join().unwrap()))
    });
    assert_eq!(read.unwrap(), 4);
}

#[test]
fn a_crash_loses_nothing_that_was_appended() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    let left_behind = tempfile::tempdir().unwrap();
    // The bytes on disk while the store is open are what a crash leaves.
    let copy = left_behind.path().join(FILE);
    fs::copy(shelf.folder.path().join(FILE), &copy).unwrap();
    let walked = Builder::new().set_repair_callback(redb::RepairSession::abort).open(&copy);
    assert!(walked.is_ok(), "it opens without a walk through the file");
    drop(walked);
    fs::copy(shelf.folder.path().join(FILE), &copy).unwrap();
    let store = Store::open(left_behind.path(), &SETTINGS).unwrap();
    assert_eq!(store.snapshot().unwrap().trace(trace_id(1), usize::MAX).unwrap().spans.len(), 4);
    assert_eq!(store.cursor(BUFFER, 0).unwrap(), Some(1));
}

/// Flips one bit of every place where the file holds these bytes.
fn damage(shelf: &mut Shelf, needle: &[u8]) -> usize {
    shelf.store = None;
    let path = shelf.folder.path().join(FILE);
    let mut bytes = fs::read(&path).unwrap();
    let places: Vec<usize> = memchr::memmem::find_iter(&bytes, needle).collect();
    places.iter().for_each(|&place| bytes[place] ^= 1);
    fs::write(&path, bytes).unwrap();
    shelf.reopen();
    places.len()
}

#[test]
fn a_damaged_span_is_counted_and_left_out() {
    let mut shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    assert!(damage(&mut shelf, b"db.system") >= 1);
    let rest = shelf.trace(1);
    assert_eq!(rest, sorted(trace(1, CART)[..3].to_vec()));
    assert_eq!(shelf.store().status().unwrap().damaged_rows, 1);
    assert_eq!(shelf.store().expire(BASE.plus(DAY)).unwrap().spans, 4, "it goes in its time");
}

/// Flips one bit in the value of every row of a table whose key ends with these bytes.
fn damage_rows(shelf: &Shelf, definition: Definition, ending: &[u8]) {
    let damaged = shelf.store().engine.write(|transaction| {
        let mut table = transaction.open_table(definition)?;
        let mut damaged = Vec::new();
        for row in table.iter()? {
            let (key, value) = row?;
            let mut value = value.value().to_vec();
            value[0] ^= 1;
            damaged.push((key.value().to_vec(), value));
        }
        damaged.retain(|(key, _value)| key.ends_with(ending));
        assert!(!damaged.is_empty());
        for (key, value) in damaged {
            table.insert(&key[..], &value[..])?;
        }
        Ok(())
    });
    damaged.unwrap();
}

fn rows(shelf: &Shelf, definition: Definition) -> u64 {
    let reading = shelf.store().engine.begin_read().unwrap();
    reading.read(|transaction| Ok(transaction.open_table(definition)?.len()?)).unwrap()
}

#[test]
fn a_damaged_reminder_takes_the_span_in_its_time_and_whole() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    damage_rows(&shelf, EXPIRY, b"");
    // One that is damaged in its time: it comes up long before the span is due.
    let early = shelf.store().engine.write(|transaction| {
        let (mut table, spans) = (transaction.open_table(EXPIRY)?, transaction.open_table(SPANS)?);
        let row = spans.first()?.unwrap().0.value().to_vec();
        table.insert(&key::expiry(1, Expiring::Spans as u8, &row)[..], &b"damaged"[..])?;
        Ok(())
    });
    early.unwrap();
    assert_eq!(shelf.store().expire(BASE).unwrap(), Expired::default());
    assert_eq!((shelf.trace(1).len(), shelf.store().status().unwrap().damaged_rows), (4, 1));
    assert_eq!(shelf.store().expire(BASE.plus(DAY)).unwrap().spans, 4);
    for table in [SPANS, SERVICE_NAME_INDEX, START_TIME_INDEX, EXPIRY] {
        assert_eq!(rows(&shelf, table), 0, "{table}");
    }
}

#[test]
fn a_retry_heals_a_damaged_span_and_counts_its_calls_once() {
    let shelf = Shelf::new();
    let spans = trace(1, CART);
    shelf.append(1, &spans, BASE);
    let calls = shelf.calls();
    damage_rows(&shelf, SPANS, &Identity::of(&spans[3]).to_key());
    let later = BASE.plus(Duration::from_secs(60));
    assert_eq!(shelf.append(2, &spans, later), Appended { new: 0, duplicates: 4 });
    assert_eq!(shelf.trace(1), sorted(spans));
    assert_eq!(shelf.calls(), calls);
    assert_eq!(shelf.store().status().unwrap().damaged_rows, 1);
    assert_eq!(shelf.store().expire(BASE.plus(DAY)).unwrap().spans, 3, "the fourth is a minute younger");
    assert_eq!(shelf.store().expire(later.plus(DAY)).unwrap().spans, 1);
}

#[test]
fn a_damaged_count_of_calls_is_told_and_begins_anew() {
    let shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    damage_rows(&shelf, DEPENDENCIES, b"");
    assert_eq!(shelf.calls(), [""; 0]);
    assert_eq!(shelf.store().status().unwrap().damaged_rows, 3);
    shelf.append(2, &trace(2, CART), BASE);
    assert_eq!(shelf.store().status().unwrap().damaged_rows, 6, "also when it is written over");
    assert_eq!(shelf.calls(), ["cart>redis 1", "shop>cart 1", "shop>shop 1"]);
}

#[test]
fn damage_is_counted_wherever_it_is_met() {
    let shelf = Shelf::new();
    let spans = trace(1, "a | x | server | 0-9 | #1\n  b | y | server | 1-2 | #2");
    let count = || shelf.store().status().unwrap().damaged_rows;
    shelf.append(1, &spans[1..], BASE);
    damage_rows(&shelf, PENDING_PARENTS, b"");
    shelf.append(2, &spans[..1], BASE);
    assert_eq!((count(), shelf.calls()), (1, Vec::new()), "a waiting child");
    damage_rows(&shelf, SPANS, &Identity::of(&spans[0]).to_key());
    shelf.append(3, &trace(1, "b | z | server | 1-2 | #3 ^1"), BASE);
    assert_eq!((count(), shelf.calls()), (2, Vec::new()), "a parent");
    assert!(shelf.store().pin(trace_id(1)).unwrap());
    assert_eq!(count(), 3, "a span that is pinned");
    damage_rows(&shelf, CURSOR, b"");
    assert_eq!((shelf.store().cursor(BUFFER, 0).unwrap(), count()), (None, 4), "the cursor");
}

#[test]
fn a_damaged_index_row_is_counted_and_left_out() {
    let mut shelf = Shelf::new();
    shelf.append(1, &trace(1, CART), BASE);
    assert!(damage(&mut shelf, b"redisHGET") >= 1);
    let snapshot = shelf.store().snapshot().unwrap();
    assert_eq!(snapshot.newest(None, BASE..=Timestamp::MAX).unwrap().count(), 3);
    assert_eq!(snapshot.newest(Some("redis"), BASE..=Timestamp::MAX).unwrap().count(), 0);
    assert_eq!(shelf.store().status().unwrap().damaged_rows, 2);
    assert_eq!(shelf.trace(1).len(), 4);
}

fn write_newer_format(shelf: &Shelf) {
    let newer = record::seal(FORMAT_KEY, 2u32.to_le_bytes().to_vec());
    let written = shelf.store().engine.write(|transaction| {
        transaction.open_table(META)?.insert(FORMAT_KEY, &newer[..])?;
        Ok(())
    });
    written.unwrap();
}

#[test]
fn a_file_of_a_later_format_is_refused_in_words() {
    let mut shelf = Shelf::new();
    write_newer_format(&shelf);
    shelf.store = None;
    let error = Store::open(shelf.folder.path(), &SETTINGS).unwrap_err();
    assert!(error.to_string().contains("its format is 2, this version knows formats up to 1"), "{error}");
}

#[test]
fn what_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE);
    fs::write(&path, "not a database, but something of yours").unwrap();
    assert!(matches!(Store::open(folder.path(), &SETTINGS), Err(Error::Open { .. })));
    assert_eq!(fs::read(&path).unwrap(), b"not a database, but something of yours");
}

#[test]
fn a_store_in_use_is_refused() {
    let shelf = Shelf::new();
    assert!(matches!(Store::open(shelf.folder.path(), &SETTINGS), Err(Error::Open { .. })));
}

/// A disk that does as it is told.
#[derive(Debug)]
struct Moody {
    file: FileBackend,
    mood: Arc<AtomicU8>,
}

const WELL: u8 = 0;
const FULL: u8 = 1;
const FAILING: u8 = 2;
const PANICKING: u8 = 3;

impl Moody {
    fn ask(&self, is_read: bool) -> io::Result<()> {
        match self.mood.load(Ordering::SeqCst) {
            WELL => Ok(()),
            FULL if is_read => Ok(()),
            FULL => Err(io::Error::from(io::ErrorKind::StorageFull)),
            FAILING => Err(io::Error::other("the disk is failing")),
            _ => panic!("the disk is on fire"),
        }
    }
}

impl StorageBackend for Moody {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.ask(true)?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.ask(false)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.ask(false)?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.ask(false)?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// A store on a moody disk, without a cache, so that every question reads from it; trace 1 is stored.
fn moody_store(folder: &TempDir) -> (Store, Arc<AtomicU8>) {
    let path = folder.path().join(FILE);
    let mood = Arc::new(AtomicU8::new(WELL));
    let (file, asked) = (path.clone(), Arc::clone(&mood));
    let open = move |is_first| {
        let file = OpenOptions::new().read(true).write(true).create(is_first).truncate(false).open(&file)?;
        let disk = Moody { file: FileBackend::new(file)?, mood: Arc::clone(&asked) };
        Builder::new().set_cache_size(0).create_with_backend(disk)
    };
    let store = Store::with_engine(Engine::open_with(&path, LAYOUT, Box::new(open)).unwrap(), &SETTINGS);
    store.append(&trace(1, CART), &cursor(1), BASE).unwrap();
    (store, mood)
}

fn found(store: &Store, number: u64) -> Result<usize, Error> {
    store.ask(|snapshot| Ok(snapshot.trace(trace_id(number), usize::MAX)?.spans.len()))
}

#[test]
fn a_failing_disk_is_reported_once_and_then_tried_again() {
    for bad_mood in [FULL, FAILING, PANICKING] {
        let folder = tempfile::tempdir().unwrap();
        let (store, mood) = moody_store(&folder);
        mood.store(bad_mood, Ordering::SeqCst);
        let error = store.append(&trace(2, CART), &cursor(2), BASE).unwrap_err();
        assert_eq!(matches!(error, Error::Panicked(_)), bad_mood == PANICKING, "{error:?}");
        assert_eq!(error.is_no_space(), bad_mood == FULL, "{error:?}");
        mood.store(WELL, Ordering::SeqCst);

        assert_eq!(store.cursor(BUFFER, 0).unwrap(), Some(1), "spans and cursor are undone together");
        assert_eq!((found(&store, 1).unwrap(), found(&store, 2).unwrap()), (4, 0));
        assert_eq!(store.append(&trace(2, CART), &cursor(2), BASE).unwrap().new, 4);
        assert_eq!(store.status().unwrap().engine_failures, 1);
    }
}

#[test]
fn a_question_that_fails_on_its_way_is_reported_and_the_next_one_answered() {
    for bad_mood in [FAILING, PANICKING] {
        let folder = tempfile::tempdir().unwrap();
        let (store, mood) = moody_store(&folder);
        let snapshot = store.snapshot().unwrap();
        let mut rows = snapshot.newest(None, BASE..=Timestamp::MAX).unwrap();
        assert!(rows.next().unwrap().is_ok());
        mood.store(bad_mood, Ordering::SeqCst);
        assert!(snapshot.trace(trace_id(1), usize::MAX).is_err());
        mood.store(WELL, Ordering::SeqCst);
        assert_eq!(found(&store, 1).unwrap(), 4);
        assert_eq!(store.status().unwrap().engine_failures, 1);
    }
}

#[test]
fn an_expiry_writes_nothing_when_nothing_is_due() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mood) = moody_store(&folder);
    mood.store(FULL, Ordering::SeqCst);
    assert_eq!(store.expire(BASE).unwrap(), Expired::default());
    assert!(store.expire(BASE.plus(DAY)).is_err());
}

#[test]
fn a_question_is_asked_again_when_the_file_was_closed_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mood) = moody_store(&folder);
    let asked = Cell::new(0);
    let answer = store.ask(|snapshot| {
        asked.set(asked.get() + 1);
        if asked.get() == 1 {
            mood.store(FULL, Ordering::SeqCst);
            store.append(&trace(2, CART), &cursor(2), BASE).unwrap_err();
            mood.store(WELL, Ordering::SeqCst);
            // The file is open again, beside this snapshot of the handle before.
            store.append(&trace(3, CART), &cursor(3), BASE).unwrap();
        }
        Ok(snapshot.trace(trace_id(3), usize::MAX)?.spans.len())
    });
    assert_eq!((answer.unwrap(), asked.get()), (4, 2));
    assert_eq!(store.status().unwrap().engine_failures, 1);
}

#[test]
fn a_file_that_vanished_is_not_taken_for_an_empty_store() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path(), &SETTINGS).unwrap();
    store.append(&trace(1, CART), &cursor(1), BASE).unwrap();
    fs::remove_file(folder.path().join(FILE)).unwrap();
    let panicked = store.engine.write::<()>(|_transaction| panic!("the engine fails"));
    assert!(matches!(panicked, Err(Error::Panicked(_))));
    assert!(matches!(found(&store, 1), Err(Error::Open { .. })));
    assert!(matches!(store.cursor(BUFFER, 0), Err(Error::Open { .. })));
    assert!(!folder.path().join(FILE).exists());
}

#[test]
fn a_file_of_a_later_format_is_refused_after_a_failure_too() {
    let shelf = Shelf::new();
    write_newer_format(&shelf);
    let panicked = shelf.store().engine.write::<()>(|_transaction| panic!("the engine fails"));
    assert!(matches!(panicked, Err(Error::Panicked(_))));
    assert!(matches!(shelf.store().snapshot(), Err(Error::NewerFormat { found: 2, .. })));
}

/// A span in one line, and whether its hash is still that of its bytes.
fn told(span: &Span) -> String {
    let number = |id: SpanId| u64::from_be_bytes(id.0);
    let millis = |time: Timestamp| time.since(BASE).as_millis();
    let hash = content_hash(&span.resource, &span.scope, &span.body);
    format!(
        "{}<{} {} {} {} {:?} {}-{} {}",
        number(span.span_id),
        span.parent_id.map_or(0, number),
        span.resource.service,
        SpanView::name_of(&span.body),
        span.kind.name(),
        span.status,
        millis(span.start),
        millis(span.end),
        hash == span.content_hash
    )
}

/// `golden/format-1.redb.zst` was written by the first version, and no later one ever writes it again: a trace,
/// which was pinned, and a span without service that waits for its parent.
#[test]
fn what_format_1_wrote_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = zstd::decode_all(&include_bytes!("golden/format-1.redb.zst")[..]).unwrap();
    fs::write(folder.path().join(FILE), file).unwrap();
    let shelf = Shelf { store: Some(Store::open(folder.path(), &SETTINGS).unwrap()), folder };
    let pinned = shelf.trace(1);
    let lines: Vec<_> = pinned.iter().map(told).collect();
    assert_eq!(
        lines,
        [
            "1<0 shop GET /cart server Unset 0-100 true",
            "2<1 shop load client Unset 10-90 true",
            "3<2 cart GET server Unset 20-80 true",
            "4<3 redis HGET client Error 30-40 true",
        ]
    );
    assert_eq!(told(&shelf.trace(2)[0]), "9<77  reply consumer Ok 0-1 true");
    assert_eq!(shelf.calls(), ["cart>redis 1", "shop>cart 1", "shop>shop 1"]);
    assert_eq!(shelf.store().cursor(BUFFER, 0).unwrap(), Some(41));
    let snapshot = shelf.store().snapshot().unwrap();
    assert_eq!(snapshot.services().unwrap(), ["", "cart", "redis", "shop"]);
    assert_eq!(snapshot.operations("redis").unwrap(), [("HGET".to_owned(), SpanKind::Client)]);
    let mut indexed: Vec<_> = pinned.iter().chain(&shelf.trace(2)).map(IndexRow::of).collect();
    indexed.sort_by_key(|row| std::cmp::Reverse((row.start, row.identity)));
    let newest = snapshot.newest(None, BASE..=Timestamp::MAX).unwrap();
    assert_eq!(newest.collect::<Result<Vec<_>, _>>().unwrap(), indexed);
    assert_eq!(snapshot.newest(Some("redis"), BASE..=Timestamp::MAX).unwrap().count(), 1);
    // The parent comes late, and is the one that was waited for.
    shelf.append(42, &trace(2, "ask | send | producer | 0-1 | #77"), BASE);
    assert_eq!(shelf.calls()[0], "ask> 1");
    assert_eq!(shelf.store().expire(BASE.plus(DAY)).unwrap().spans, 6);
    assert_eq!(shelf.trace(1), pinned, "it is pinned");
    assert_eq!(shelf.store().status().unwrap().damaged_rows, 0);
}
