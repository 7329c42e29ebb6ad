//! When an append is answered and what a power cut then takes, mode by mode.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::buffer::model_tests::{Process, begun, data_files, payload, sequences, small};
use crate::buffer::queue::{Pending, Queue};
use crate::buffer::simulated_disk::{Fault, SimulatedDisk};
use crate::buffer::tests::TestClock;
use crate::buffer::{Durability, Error, FileStorageConfig};

const SECOND: Duration = Duration::from_secs(1);

fn begun_with(durability: Durability) -> (SimulatedDisk, Arc<TestClock>, Process) {
    begun(settings(durability))
}

fn settings(durability: Durability) -> FileStorageConfig {
    FileStorageConfig { durability, ..small() }
}

/// What is left when the power is cut and nothing that was not synced survives.
fn after_a_power_cut(
    disk: &SimulatedDisk,
    clock: &Arc<TestClock>,
    process: Process,
    durability: Durability,
) -> u64 {
    drop(process);
    disk.cut_power(|| false);
    Process::open(disk, clock, &settings(durability)).unwrap().1.frames
}

#[test]
fn relaxed_syncs_nothing_and_survives_a_crash_but_no_power_cut() {
    let (disk, clock, mut process) = begun_with(Durability::Relaxed);
    let opened = disk.syncs();
    for id in 1..=5 {
        assert_eq!(process.append(payload(id, 1_500)).unwrap(), id);
    }
    process.writer.seal(&process.journal).unwrap();
    clock.pass(Duration::from_secs(60));
    process.work();
    assert_eq!((disk.syncs() - opened, process.journal.stats().counters.syncs), (0, 0));
    drop(process);
    let (process, recovery) = Process::open(&disk, &clock, &settings(Durability::Relaxed)).unwrap();
    assert_eq!(recovery.frames, 5);
    assert_eq!(after_a_power_cut(&disk, &clock, process, Durability::Relaxed), 0);
}

#[test]
fn an_interval_bounds_what_a_power_cut_takes() {
    let durability = Durability::Interval(SECOND);
    let (disk, clock, mut process) = begun_with(durability);
    let opened = disk.syncs();
    process.append(payload(1, 100)).unwrap();
    clock.pass(Duration::from_millis(700));
    process.append(payload(2, 100)).unwrap();
    assert_eq!(disk.syncs(), opened);
    assert_eq!(process.writer.until_due(&process.journal), Some(Duration::from_millis(300)));
    clock.pass(Duration::from_millis(300));
    process.work();
    // The file and its name.
    assert_eq!(disk.syncs(), opened + 2);
    process.append(payload(3, 100)).unwrap();
    clock.pass(Duration::from_millis(999));
    process.work();
    assert_eq!(after_a_power_cut(&disk, &clock, process, durability), 2);
}

#[test]
fn an_interval_that_has_synced_everything_leaves_the_disk_alone() {
    let (disk, clock, mut process) = begun_with(Durability::Interval(SECOND));
    process.append(payload(1, 100)).unwrap();
    clock.pass(SECOND);
    process.work();
    assert_eq!(process.writer.until_due(&process.journal), Some(Duration::from_secs(29)));
    let synced = disk.syncs();
    clock.pass(Duration::from_secs(20));
    process.work();
    assert_eq!(disk.syncs(), synced);
}

#[test]
fn a_file_finished_within_the_interval_is_synced_then() {
    let durability = Durability::Interval(Duration::from_secs(50));
    let (disk, clock, mut process) = begun_with(durability);
    process.append(payload(1, 3_000)).unwrap();
    process.append(payload(2, 3_000)).unwrap();
    assert_eq!(data_files(&disk).len(), 2);
    assert_eq!(after_a_power_cut(&disk, &clock, process, durability), 1);
}

#[test]
fn a_file_finished_without_room_for_its_footer_is_synced_all_the_same() {
    let durability = Durability::Interval(SECOND);
    let (disk, clock, mut process) = begun_with(durability);
    process.append(payload(1, 1_500)).unwrap();
    disk.fail_after(0, Fault::NoSpace);
    process.writer.seal(&process.journal).unwrap();
    assert_eq!(after_a_power_cut(&disk, &clock, process, durability), 1);
}

#[test]
fn an_interval_whose_sync_fails_goes_on_in_a_new_file_and_never_syncs_the_old_one_again() {
    let durability = Durability::Interval(SECOND);
    let (disk, clock, mut process) = begun_with(durability);
    let mut consumer = process.consumer(None);
    process.append(payload(1, 100)).unwrap();
    disk.fail_after(0, Fault::Failure);
    let synced = disk.syncs();
    clock.pass(SECOND);
    process.work();
    // The sync that failed, and that of the folder after the file got its final name.
    assert_eq!(disk.syncs(), synced + 2);
    assert_eq!(process.journal.stats().counters.disk_failures, 1);
    assert!(data_files(&disk)[0].extension().is_none());
    assert_eq!(process.append(payload(2, 100)).unwrap(), 2);
    assert_eq!(sequences(&mut consumer), [1, 2]);
    assert_eq!(data_files(&disk).len(), 2);
    clock.pass(SECOND);
    process.work();
    drop(consumer);
    assert_eq!(after_a_power_cut(&disk, &clock, process, durability), 1);
}

#[test]
fn each_write_has_a_sync_of_its_own() {
    let (disk, _, mut process) = begun_with(Durability::EachWrite);
    process.append(payload(0, 100)).unwrap();
    let synced = disk.syncs();
    let answers = [1, 2, 3].map(|id| process.queue(payload(id, 100)));
    for (answer, done) in answers.into_iter().zip(1..) {
        process.work();
        answer.try_recv().unwrap().unwrap();
        assert_eq!(disk.syncs(), synced + done);
    }
}

#[test]
fn a_group_shares_one_sync() {
    let (disk, _, mut process) = begun(small());
    process.append(payload(0, 100)).unwrap();
    let synced = disk.syncs();
    let answers = [1, 2, 3].map(|id| process.queue(payload(id, 100)));
    process.work();
    assert!(answers.iter().all(|answer| answer.try_recv().unwrap().is_ok()));
    assert_eq!(disk.syncs(), synced + 1);
}

/// The consumer has made durable what the power cut took from the buffer: frames that were given those numbers again
/// would pass for ones it knows.
#[test]
fn numbers_that_a_consumer_knows_are_not_given_again_after_a_power_cut() {
    for durability in [Durability::Relaxed, Durability::Interval(SECOND)] {
        let (disk, clock, mut process) = begun_with(durability);
        let mut consumer = process.consumer(None);
        for id in 1..=10 {
            process.append(payload(id, 100)).unwrap();
        }
        assert_eq!(sequences(&mut consumer).last(), Some(&10));
        drop((process, consumer));
        disk.cut_power(|| false);
        let (mut process, recovery) = Process::open(&disk, &clock, &settings(durability)).unwrap();
        assert_eq!(recovery.next_sequence, 1);
        let mut consumer = process.consumer(Some(10));
        assert_eq!(process.append(payload(11, 100)).unwrap(), 11);
        assert_eq!(sequences(&mut consumer), [11]);
    }
}

fn pending() -> Pending {
    Pending::new(payload(1, 100).into(), 1, 0, Box::new(|_: Result<u64, Error>| ()))
}

#[test]
fn a_group_that_lingers_takes_whoever_comes_meanwhile() {
    let linger = Duration::from_millis(200);
    let queue = Queue::new(Durability::GroupCommit { linger });
    let started = Instant::now();
    queue.push(pending()).unwrap_or_else(|_| panic!("the queue is open"));
    thread::scope(|scope| {
        scope.spawn(|| queue.push(pending()).unwrap_or_else(|_| panic!("the queue is open")));
        let work = queue.take(None);
        assert_eq!(work.group.len(), 2);
    });
    assert!(started.elapsed() >= linger);
}

#[test]
fn a_group_that_is_full_or_the_last_does_not_linger() {
    let queue = Queue::new(Durability::GroupCommit { linger: SECOND });
    let started = Instant::now();
    for _ in 0..1_024 {
        queue.push(pending()).unwrap_or_else(|_| panic!("the queue is open"));
    }
    let work = queue.take(None);
    assert_eq!(work.group.len(), 1_024);
    queue.finished(work.cost());
    queue.push(pending()).unwrap_or_else(|_| panic!("the queue is open"));
    queue.end(crate::buffer::queue::Ending::Close);
    assert_eq!(queue.take(None).group.len(), 1);
    assert!(started.elapsed() < SECOND);
}
