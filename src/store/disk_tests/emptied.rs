//! A store that is emptied while power goes, or while the disk fails.

use parking_lot::Mutex;
use std::sync::Arc;

use super::disk::{Dice, Fault, SimulatedDisk};
use super::life::{BUFFER, open};
use crate::model::Span;
use crate::model::sketch::{BASE, trace, trace_id};
use crate::store::{Cursor, Store};

fn cursor(sequence: u64) -> Cursor {
    Cursor { buffer: BUFFER, signal: 0, sequence }
}

fn spans(number: u64) -> Vec<Span> {
    trace(number, "shop | GET /cart | server | 0-9")
}

/// Three traces in two blocks, one of them pinned.
fn filled(disk: &SimulatedDisk) -> Store {
    let store = open(disk, BASE).unwrap();
    store.append(&spans(1), &cursor(1), BASE).unwrap();
    store.append(&spans(2), &cursor(2), BASE).unwrap();
    assert!(store.pin(trace_id(1), BASE).unwrap());
    store.roll(BASE).unwrap();
    store.append(&spans(3), &cursor(3), BASE).unwrap();
    store
}

/// Empties it, and holds it to what that means.
fn empty(store: &Store) {
    store.purge(BASE).unwrap();
    assert_eq!((store.status().spans, store.status().traces_pinned), (0, 0));
    let snapshot = store.snapshot().unwrap();
    assert!(snapshot.services().unwrap().is_empty());
    assert!((1..=3).all(|number| snapshot.trace(trace_id(number), usize::MAX).unwrap().spans.is_empty()));
    assert_eq!(store.cursor(BUFFER, 0).unwrap(), Some(3), "what was read of the buffer is not read again");
    assert_eq!(store.append(&spans(1), &cursor(4), BASE).unwrap().new, 1, "it is not taken for known");
}

#[test]
fn after_a_power_cut_on_the_way_it_starts_and_can_be_emptied_again() {
    for seed in 0..8 {
        let (disk, cuts) = (SimulatedDisk::default(), Arc::new(Mutex::new(Vec::new())));
        let (store, taken) = (filled(&disk), Arc::clone(&cuts));
        disk.watch(Dice(seed), 4, move |cut| taken.lock().push(cut));
        store.purge(BASE).unwrap();
        disk.watch_no_more();
        for cut in cuts.lock().drain(..) {
            empty(&open(&cut, BASE).unwrap());
        }
    }
}

#[test]
fn after_a_failure_on_the_way_it_can_be_emptied_again() {
    for fault in [Fault::Everything, Fault::NoSpace] {
        for after in 0..40 {
            let disk = SimulatedDisk::default();
            let store = filled(&disk);
            disk.fail(fault, after, 20);
            let _failed_or_not = store.purge(BASE);
            disk.fail_no_more();
            empty(&store);
        }
    }
}
