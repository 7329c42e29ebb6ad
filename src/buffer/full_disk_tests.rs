//! A disk that others fill, and the space that is set aside for getting out of it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::model_tests::{Process, begun, payload, sequences, small};
use crate::buffer::simulated_disk::{Fault, SimulatedDisk};
use crate::buffer::tests::TestClock;
use crate::buffer::{Durability, Error, FileStorageConfig, Reserve};

const RESERVE: &str = "/data/reserve";
const RESERVE_BYTES: u64 = 64 << 10;

fn begun_with_reserve(settings: FileStorageConfig) -> (SimulatedDisk, Arc<TestClock>, Process, Arc<Reserve>) {
    let (disk, clock, mut process) = begun(settings);
    let reserve = Reserve::open(Arc::new(disk.clone()), Path::new(RESERVE), RESERVE_BYTES).unwrap();
    let reserve = Arc::new(reserve);
    let journal = Arc::get_mut(&mut process.journal).unwrap();
    journal.reserve = Some(Arc::clone(&reserve));
    (disk, clock, process, reserve)
}

/// Others use up all that is free.
fn fill(disk: &SimulatedDisk) {
    disk.set_capacity(disk.total_bytes());
}

fn is_no_space(outcome: &Result<u64, Error>) -> bool {
    matches!(outcome, Err(Error::NoSpace { retry_after, .. }) if (1..=5).contains(&retry_after.as_secs()))
}

#[test]
fn the_first_append_without_space_is_refused_and_releases_the_reserve() {
    let (disk, _, mut process, reserve) = begun_with_reserve(small());
    process.append(payload(1, 100)).unwrap();
    assert_eq!(process.journal.stats().reserve_stands, Some(true));
    fill(&disk);
    let full = disk.total_bytes();
    assert!(is_no_space(&process.append(payload(2, 100))));
    assert!(!reserve.stands());
    assert_eq!(process.journal.stats().reserve_stands, Some(false));
    assert_eq!(disk.total_bytes(), full - RESERVE_BYTES);
}

#[test]
fn while_the_reserve_does_not_stand_appends_touch_no_file() {
    let (disk, clock, mut process, _) = begun_with_reserve(small());
    process.append(payload(1, 100)).unwrap();
    fill(&disk);
    assert!(is_no_space(&process.append(payload(2, 100))));
    // There is space now that the reserve has left, but not for appends.
    disk.fail_after(0, Fault::PowerCut);
    clock.pass(Duration::from_millis(999));
    assert!(is_no_space(&process.append(payload(3, 100))));
    assert!(!disk.is_off());
    assert_eq!(process.journal.stats().counters.refused_by_disk.frames, 2);
}

#[test]
fn a_full_disk_is_asked_for_the_reserve_once_a_second() {
    let (disk, clock, mut process, reserve) = begun_with_reserve(small());
    fill(&disk);
    assert!(is_no_space(&process.append(payload(1, 100))));
    disk.set_capacity(disk.total_bytes());
    clock.pass(Duration::from_secs(1));
    assert!(is_no_space(&process.append(payload(2, 100))));
    disk.fail_after(0, Fault::PowerCut);
    assert!(is_no_space(&process.append(payload(3, 100))));
    assert!(!disk.is_off() && !reserve.stands());
}

#[test]
fn appends_are_taken_again_without_restart_when_there_is_space() {
    let (disk, clock, mut process, reserve) = begun_with_reserve(small());
    let mut consumer = process.consumer(None);
    process.append(payload(1, 100)).unwrap();
    fill(&disk);
    assert!(is_no_space(&process.append(payload(2, 100))));
    disk.set_capacity(1 << 20);
    clock.pass(Duration::from_secs(1));
    let sequence = process.append(payload(3, 100)).unwrap();
    assert!(reserve.stands());
    assert_eq!(sequences(&mut consumer), [1, sequence]);
    assert!(process.journal.stats().trouble.is_none());
}

#[test]
fn a_full_disk_still_has_room_to_finish_the_open_file() {
    let (disk, clock, mut process, _) = begun_with_reserve(small());
    process.append(payload(1, 100)).unwrap();
    fill(&disk);
    assert!(is_no_space(&process.append(payload(2, 100))));
    clock.pass(Duration::from_secs(30));
    process.work();
    assert_eq!(process.journal.stats().counters.sealed_files, 1);
    drop(process);
    let (_, recovery) = Process::open(&disk, &clock, &small()).unwrap();
    assert_eq!((recovery.frames, recovery.recovered_files), (1, 0));
}

#[test]
fn a_disk_that_finds_itself_full_when_it_syncs_gets_the_group_by_the_reserve() {
    let (disk, _, mut process, reserve) = begun_with_reserve(small());
    process.append(payload(1, 100)).unwrap();
    disk.fail_after(1, Fault::NoSpace);
    assert_eq!(process.append(payload(2, 100)).unwrap(), 2);
    assert!(!reserve.stands());
}

#[test]
fn a_disk_that_finds_itself_full_at_an_interval_releases_the_reserve() {
    let interval = Duration::from_secs(1);
    let settings = FileStorageConfig { durability: Durability::Interval(interval), ..small() };
    let (disk, clock, mut process, reserve) = begun_with_reserve(settings);
    process.append(payload(1, 100)).unwrap();
    disk.fail_after(0, Fault::NoSpace);
    clock.pass(interval);
    process.work();
    assert!(!reserve.stands());
}
