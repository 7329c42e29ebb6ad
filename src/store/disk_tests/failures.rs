//! Calls that fail, once or for a while, at any place of a life; and disks that are full.

use super::crash_images;
use super::disk::{Fault, SimulatedDisk};
use super::life::{self, Life, Promised};
use super::truth::furnished;
use crate::model::Timestamp;
use crate::store::Error;

const EVENTS: u64 = 16;

/// After this many failures in a row on a disk that works again, it is taken to be broken for good.
const PATIENCE: u32 = 3;

/// Lives on while calls fail, as the program does: what fails is tried again.
fn live_through(life: &mut Life, events: u64) {
    let mut strikes = 0;
    let mut done = 0;
    while done < events {
        let was_in_trouble = life.disk.is_in_trouble();
        let happened = if life.store.is_none() { life.open() } else { life.live() };
        match happened {
            Ok(()) => (strikes, done) = (0, done + 1),
            Err(error) => {
                assert!(!error.is_damage(), "a call that fails is no damage: {error:?}");
                strikes += u32::from(!was_in_trouble);
                assert!(strikes <= PATIENCE, "it does not go on: {error:?}");
            }
        }
    }
}

fn lived(seed: u64) -> Life {
    Life::begin(SimulatedDisk::default(), Promised::new(seed), seed)
}

#[test]
fn after_any_call_that_fails_it_goes_on_by_itself_and_nothing_is_lost() {
    let seed = 11;
    let mut well = lived(seed);
    live_through(&mut well, EVENTS);
    well.check(true);
    let calls = well.disk.calls();
    let lives = (crash_images() / 2).max(1);
    let step = (4 * calls / lives).max(1);
    for (kind, fault) in
        [Fault::Writing, Fault::Everything, Fault::NoSpace, Fault::ShortWrite].into_iter().enumerate()
    {
        let mut after = kind as u64;
        while after < calls {
            let mut life = lived(seed);
            life.disk.fail(fault, after, [1, 6, 50][(after % 3) as usize]);
            live_through(&mut life, EVENTS);
            life.disk.fail_no_more();
            live_through(&mut life, 3);
            let told = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                life.check(false);
                // What is on the disk is what is in memory.
                let mut next = Life::begin(life.disk.copy(), life.promised.lock().clone(), seed);
                next.open().unwrap();
                next.check(false);
                assert_eq!(next.store().status().set_aside, 0);
            }));
            assert!(told.is_ok(), "{fault:?} of call {after} of {calls}");
            after += step;
        }
    }
}

#[test]
fn a_full_disk_is_read_dropped_from_and_written_to_when_there_is_space() {
    let truth = furnished(5);
    for pages in (0..40).step_by(if crash_images() > 1_000 { 1 } else { 8 }) {
        let disk = truth.disk.copy();
        // Beside what is taken there is next to nothing.
        disk.leave_space(Some(pages * 4096));
        // It starts, and tells everything.
        let store = life::open(&disk, truth.now).unwrap();
        assert_eq!(truth.check_spans(&store), [], "{pages} pages");
        let (refused, sequence) = truth.fill(&store, truth.sequence);
        assert!(refused.is_no_space(), "{refused:?}");
        assert_eq!(truth.check_spans(&store), [], "{pages} pages, full");
        // What is old can be dropped all the same, and that makes space.
        let later = truth.now.plus(2 * life::settings().max_age);
        let spans = store.status().spans;
        let _rolls_only_where_there_is_space = store.expire(later);
        let blocks = store.blocks.all().len();
        assert!(blocks <= 2 && store.status().spans < spans, "{blocks} blocks of {spans} spans");
        let tries: Vec<_> = (0..4).map(|_| store.append(&[], &truth.cursor(sequence), later)).collect();
        assert!(tries[3].is_ok(), "{pages} pages: {tries:?}");
        // Others leave, and there is space for more.
        disk.leave_space(None);
        let tries: Vec<_> = (0..3).map(|_| store.append(&[], &truth.cursor(sequence + 1), later)).collect();
        assert!(tries[2].is_ok(), "{tries:?}");
        assert_eq!(store.status().set_aside, 0);
        drop(store);
        assert_eq!(life::open(&disk, later).unwrap().cursor(life::BUFFER, 0).unwrap(), Some(sequence + 1));
    }
}

#[test]
fn a_disk_that_fails_for_good_is_told_of_and_not_waited_for() {
    let truth = furnished(5);
    let disk = truth.disk.copy();
    let store = life::open(&disk, truth.now).unwrap();
    disk.fail(Fault::Everything, 0, u64::MAX);
    for _time in 0..3 {
        assert!(store.append(&truth.late(), &truth.cursor(truth.sequence + 1), truth.now).is_err());
        assert!(store.pin(crate::model::sketch::trace_id(1), truth.now).is_err());
        store.status();
    }
    assert!(life::open(&disk.copy(), Timestamp::ZERO).is_ok());
    let error = life::open(&disk, truth.now).unwrap_err();
    assert!(matches!(error, Error::File { .. } | Error::Open { .. }) && !error.is_damage(), "{error:?}");
    disk.fail_no_more();
    assert_eq!(truth.check_spans(&store), []);
    assert!(store.append(&truth.late(), &truth.cursor(truth.sequence + 1), truth.now).is_ok());
}
