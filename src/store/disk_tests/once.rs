//! Mistakes that were made once.

use std::time::Duration;

use super::disk::{Fault, SimulatedDisk};
use super::life::{BUFFER, names, open};
use crate::model::sketch::{BASE, trace};
use crate::model::{Span, Timestamp};
use crate::store::{Cursor, Store};

fn cursor(sequence: u64) -> Cursor {
    Cursor { buffer: BUFFER, signal: 0, sequence }
}

/// A call, the called span before the one that calls.
fn call(number: u64) -> [Vec<Span>; 2] {
    let both = trace(number, "shop | GET /cart | server | 0-9\n  cart | GET | server | 1-5");
    [both[1..].to_vec(), both[..1].to_vec()]
}

fn calls(store: &Store) -> u64 {
    let calls = store.snapshot().unwrap().dependencies(Timestamp::ZERO, Timestamp::MAX).unwrap();
    calls.iter().map(|call| call.calls).sum()
}

#[test]
fn who_waits_is_not_forgotten_when_a_block_is_begun_after_a_restart() {
    let disk = SimulatedDisk::default();
    let [called, calling] = call(1);
    open(&disk, BASE).unwrap().append(&called, &cursor(1), BASE).unwrap();
    let store = open(&disk, BASE).unwrap();
    store.roll(BASE).unwrap();
    store.append(&calling, &cursor(2), BASE).unwrap();
    assert_eq!(calls(&store), 1);
}

#[test]
fn the_first_run_of_a_block_does_not_write_over_those_who_wait() {
    let disk = SimulatedDisk::default();
    let [[first, calling], [second, _]] = [call(1), call(2)];
    let store = open(&disk, BASE).unwrap();
    store.append(&first, &cursor(1), BASE).unwrap();
    store.roll(BASE).unwrap();
    drop(store);
    open(&disk, BASE).unwrap().append(&second, &cursor(2), BASE).unwrap();
    let store = open(&disk, BASE).unwrap();
    store.append(&calling, &cursor(3), BASE).unwrap();
    assert_eq!((calls(&store), store.status().waiting), (1, 1));
}

#[test]
fn attempts_to_begin_a_block_leave_nothing_behind() {
    for after in 0..30 {
        let disk = SimulatedDisk::default();
        let store = open(&disk, BASE).unwrap();
        store.append(&call(1)[0], &cursor(1), BASE).unwrap();
        let mut now = BASE;
        for fault in [Fault::NoSpace, Fault::Everything, Fault::NoSpace] {
            disk.fail(fault, after, 20);
            now = now.plus(Duration::from_secs(1));
            let _failed_or_not = store.roll(now);
            disk.fail_no_more();
        }
        store.roll(now.plus(Duration::from_secs(1))).unwrap();
        assert_eq!(names(&disk).len(), store.blocks.all().len(), "{after}: {:?}", names(&disk));
    }
}

#[test]
fn a_block_that_was_begun_when_power_went_is_not_taken_for_damaged() {
    let disk = SimulatedDisk::default();
    open(&disk, BASE).unwrap().append(&call(1)[0], &cursor(1), BASE).unwrap();
    // Its length was made, and nothing of its header.
    disk.put("blocks/0000000002-1700000001.redb", Some(&[0; 1 << 20]));
    let store = open(&disk, BASE).unwrap();
    assert_eq!((store.status().set_aside, store.blocks.all().len()), (0, 1));
    assert_eq!(store.cursor(BUFFER, 0).unwrap(), Some(1));
}

#[test]
fn copies_of_a_block_are_told_apart() {
    let disk = SimulatedDisk::default();
    let store = open(&disk, BASE).unwrap();
    store.append(&call(1).concat(), &cursor(1), BASE).unwrap();
    store.roll(BASE).unwrap();
    store.append(&call(2).concat(), &cursor(2), BASE).unwrap();
    drop(store);
    let [first, second] = [0, 1].map(|place| disk.bytes_of(&names(&disk)[place]));
    disk.put("blocks/0000000002-1700000005.redb", Some(&first));
    disk.put("blocks/0000000002-1700000009.redb", Some(&second));
    let store = open(&disk, BASE).unwrap();
    for number in [1, 2] {
        let found =
            store.snapshot().unwrap().trace(crate::model::sketch::trace_id(number), usize::MAX).unwrap();
        assert_eq!(found.spans.len(), 2);
    }
}

#[test]
fn a_block_that_could_not_be_begun_is_not_found_by_the_next_start() {
    let mut failed = 0;
    for after in 0..60 {
        let disk = SimulatedDisk::default();
        let store = open(&disk, BASE).unwrap();
        store.append(&call(1)[0], &cursor(1), BASE).unwrap();
        disk.fail(Fault::Everything, after, 1);
        let is_begun = store.roll(BASE.plus(Duration::from_secs(1))).is_ok();
        disk.fail_no_more();
        failed += usize::from(!is_begun);
        let committed = open(&disk.copy(), BASE).unwrap().blocks.all().len();
        assert_eq!(committed, store.blocks.all().len(), "{after}: {:?}", names(&disk));
    }
    assert!(failed > 10, "{failed}");
}
