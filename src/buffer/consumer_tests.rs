//! Several consumers of one buffer: positions that last, live before backfill, what is dropped, and the balance.

use std::sync::Arc;
use std::time::Duration;

use crate::buffer::model_tests::{Process, begun, data_files, payload, sequences, small};
use crate::buffer::simulated_disk::{Fault, SimulatedDisk};
use crate::buffer::tests::{ALL, TestClock};
use crate::buffer::{Amount, Consumer, ConsumerStats, Error, FileStorageConfig, StartAt, Take, WhenFull};

const ONE: Take = Take { max_frames: 1, ..ALL };

fn upstream(process: &Process, start: StartAt) -> Consumer {
    Consumer::attach_durable(&process.journal, "upstream", start).unwrap()
}

fn stats(process: &Process, name: &str) -> ConsumerStats {
    let consumers = process.journal.stats().consumers;
    consumers.into_iter().find(|consumer| consumer.name == name).unwrap()
}

/// Every frame of these tests has one item.
fn items(amount: Amount) -> u64 {
    assert_eq!(amount.frames, amount.items);
    amount.items
}

fn balance(process: &Process, name: &str, appended: u64) -> (u64, u64, u64) {
    let stats = stats(process, name);
    let (released, dropped, pending) =
        (items(stats.released), items(stats.dropped.total()), items(stats.pending));
    assert_eq!(items(stats.found) + appended, released + dropped + pending, "{stats:?}");
    (released, dropped, pending)
}

fn backfill(consumer: &mut Consumer) -> Vec<u64> {
    consumer.next_backfill(ALL).unwrap().iter().map(|frame| frame.sequence).collect()
}

fn append(process: &mut Process, ids: std::ops::Range<u64>) {
    for id in ids {
        process.append(payload(id, 1_000)).unwrap();
    }
}

fn seal(process: &mut Process) {
    process.writer.seal(&process.journal).unwrap();
}

fn reopened(process: Process, disk: &SimulatedDisk, clock: &Arc<TestClock>) -> Process {
    drop(process);
    Process::open(disk, clock, &small()).unwrap().0
}

#[test]
fn a_saved_position_outlives_a_power_cut_and_an_unsaved_one_does_not() {
    let (disk, clock, mut process) = begun(small());
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..4);
    assert_eq!(sequences(&mut consumer), [1, 2, 3]);
    assert_eq!(sequences(&mut consumer), [4]);
    consumer.release(2);
    consumer.save().unwrap();
    consumer.release(4);
    assert_eq!(balance(&process, "upstream", 4), (4, 0, 0));
    drop((process, consumer));
    disk.cut_power(|| false);
    let process = Process::open(&disk, &clock, &small()).unwrap().0;
    assert_eq!(balance(&process, "upstream", 0), (0, 0, 2));
    let mut consumer = upstream(&process, StartAt::Latest);
    assert_eq!((sequences(&mut consumer), sequences(&mut consumer)), (vec![3], vec![4]));
}

#[test]
fn files_are_deleted_below_saved_positions_only() {
    let (disk, _, mut process) = begun(small());
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..1);
    seal(&mut process);
    assert_eq!(sequences(&mut consumer), [1]);
    consumer.release(1);
    assert_eq!(process.journal.sweep().unwrap(), 0);
    consumer.save().unwrap();
    assert_eq!(process.journal.sweep().unwrap(), 1);
    assert_eq!(data_files(&disk).len(), 1, "only the position is left");
}

#[test]
fn saving_a_position_that_has_not_moved_leaves_the_disk_alone() {
    let (disk, _, mut process) = begun(small());
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..1);
    sequences(&mut consumer);
    consumer.release(1);
    consumer.save().unwrap();
    disk.fail_after(0, Fault::PowerCut);
    consumer.save().unwrap();
    assert!(!disk.is_off());
}

#[test]
fn a_torn_position_is_the_one_before() {
    let (disk, clock, mut process) = begun(small());
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..3);
    seal(&mut process);
    assert_eq!(sequences(&mut consumer), [1, 2, 3]);
    for up_to in [1, 2] {
        consumer.release(up_to);
        consumer.save().unwrap();
    }
    drop(consumer);
    let path = process.journal.folder.cursor("upstream");
    for (slot, expected) in [(1, vec![2, 3]), (0, vec![1, 2, 3])] {
        // What was written third is in the second slot.
        let again = disk.copy();
        again.with_bytes(&path, |bytes| bytes[slot * 2_048 + 100] ^= 1);
        if slot == 0 {
            again.with_bytes(&path, |bytes| bytes[2_048 + 100] ^= 1);
        }
        let (process, recovery) = Process::open(&again, &clock, &small()).unwrap();
        assert_eq!(recovery.lost_positions, u64::from(slot == 0));
        assert_eq!(sequences(&mut upstream(&process, StartAt::Latest)), expected);
    }
}

#[test]
fn a_new_consumer_begins_where_it_says() {
    let (_, clock, mut process) = begun(small());
    let _store = process.consumer(None);
    append(&mut process, 0..2);
    clock.pass(Duration::from_secs(1));
    let since = process.journal.clock.wall_nanos();
    append(&mut process, 2..4);
    seal(&mut process);
    // Nothing is being written: asking for the time need not finish a file first.
    process.journal.close();
    process.journal.queue.abandon();
    assert_eq!(process.journal.sequence_at(StartAt::Since(since)).unwrap(), 3);
    assert_eq!(process.journal.sequence_at(StartAt::Since(since + 1)).unwrap(), 5);
    assert_eq!(process.journal.sequence_at(StartAt::Oldest).unwrap(), 1);
    assert_eq!(process.journal.sequence_at(StartAt::Latest).unwrap(), 5);
}

#[test]
fn a_consumer_whose_name_is_no_name_is_refused() {
    let (_, _, process) = begun(small());
    let refused = Consumer::attach_durable(&process.journal, "../up", StartAt::Oldest).unwrap_err();
    assert_eq!(refused.to_string(), "name a consumer \"../up\": write at most 64 of a-z, 0-9, - and _");
}

#[test]
fn live_frames_come_before_the_backlog_and_both_are_deleted_when_done() {
    let (disk, clock, mut process) = begun(small());
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..4);
    seal(&mut process);
    assert_eq!(consumer.next(ONE, Duration::ZERO).unwrap().len(), 1);
    consumer.go_live();
    append(&mut process, 4..6);
    seal(&mut process);
    assert_eq!(sequences(&mut consumer), [5, 6]);
    consumer.release(6);
    consumer.save().unwrap();
    assert_eq!(balance(&process, "upstream", 6), (2, 0, 4));
    assert_eq!(process.journal.sweep().unwrap(), 1, "the file of live frames goes before older ones");
    // A crash now: the backlog is still owed, and nothing else.
    let mut process = {
        drop(consumer);
        reopened(process, &disk, &clock)
    };
    let mut consumer = upstream(&process, StartAt::Oldest);
    consumer.go_live();
    append(&mut process, 6..7);
    assert_eq!(sequences(&mut consumer), [7]);
    assert_eq!(backfill(&mut consumer), [1, 2, 3]);
    assert_eq!(backfill(&mut consumer), [4]);
    assert!(backfill(&mut consumer).is_empty());
    consumer.release(4);
    consumer.release(7);
    consumer.save().unwrap();
    seal(&mut process);
    assert_eq!(balance(&process, "upstream", 1), (5, 0, 0));
    process.journal.sweep().unwrap();
    assert_eq!(data_files(&disk).len(), 1);
    assert_eq!(process.journal.stats().counters.damaged_frames, 0);
}

#[test]
fn going_live_in_the_middle_of_a_file_takes_nothing_for_damaged() {
    let (_, _, mut process) = begun(small());
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..2);
    seal(&mut process);
    append(&mut process, 2..3);
    consumer.go_live();
    append(&mut process, 3..4);
    seal(&mut process);
    assert_eq!(backfill(&mut consumer), [1, 2]);
    assert_eq!(sequences(&mut consumer), [3, 4]);
    assert!(backfill(&mut consumer).is_empty());
    assert_eq!(balance(&process, "upstream", 4), (0, 0, 4));
    consumer.release(2);
    consumer.release(4);
    assert_eq!(balance(&process, "upstream", 4), (4, 0, 0));
}

#[test]
fn releasing_one_frame_leaves_the_others_owed() {
    let (disk, clock, mut process) = begun(small());
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..3);
    seal(&mut process);
    assert_eq!(sequences(&mut consumer), [1, 2, 3]);
    consumer.release_one(2);
    consumer.rewind();
    assert_eq!(sequences(&mut consumer), [1, 3]);
    consumer.save().unwrap();
    drop(consumer);
    let process = reopened(process, &disk, &clock);
    let mut consumer = upstream(&process, StartAt::Oldest);
    assert_eq!(balance(&process, "upstream", 0), (0, 0, 2));
    assert_eq!(sequences(&mut consumer), [1, 3]);
    consumer.release_one(1);
    consumer.release_one(3);
    consumer.save().unwrap();
    assert_eq!(balance(&process, "upstream", 0), (2, 0, 0));
    assert_eq!(process.journal.sweep().unwrap(), 1);
}

#[test]
fn numbers_of_what_was_refused_are_not_taken_for_damage() {
    let config = FileStorageConfig { when_full: WhenFull::DropOldest, tail_bytes: 0, ..small() };
    let (disk, _, mut process) = begun(config);
    let mut consumer = upstream(&process, StartAt::Oldest);
    for id in 0..3 {
        append(&mut process, id..id + 1);
        seal(&mut process);
        disk.fail_after(0, Fault::NoSpace);
        assert!(process.append(payload(9, 100)).is_err());
        disk.fail_no_more();
    }
    append(&mut process, 3..4);
    seal(&mut process);
    assert_eq!(sequences(&mut consumer), [1]);
    assert_eq!(sequences(&mut consumer), [3]);
    consumer.release_one(3);
    assert!(process.journal.evict(true));
    consumer.save().unwrap();
    assert_eq!(process.journal.sweep().unwrap(), 1);
    consumer.rewind();
    assert_eq!((sequences(&mut consumer), sequences(&mut consumer)), (vec![5], vec![7]));
    assert_eq!(balance(&process, "upstream", 4), (1, 1, 2));
    assert_eq!(process.journal.stats().counters.damaged_frames, 0);
}

#[test]
fn more_holes_than_a_position_can_hold_are_given_again_and_never_missed() {
    let config = FileStorageConfig { max_folder_size: 4 << 20, tail_bytes: 0, ..small() };
    let (disk, clock, mut process) = begun(config.clone());
    let mut consumer = upstream(&process, StartAt::Oldest);
    for id in 0..600 {
        process.append(payload(id, 1_500)).unwrap();
    }
    seal(&mut process);
    let mut seen = 0;
    while seen < 600 {
        for sequence in sequences(&mut consumer) {
            if sequence % 4 != 0 {
                consumer.release_one(sequence);
            }
            seen = sequence;
        }
    }
    consumer.save().unwrap();
    process.journal.sweep().unwrap();
    assert_eq!(balance(&process, "upstream", 600), (450, 0, 150));
    drop((process, consumer));
    let process = Process::open(&disk, &clock, &config).unwrap().0;
    let mut consumer = upstream(&process, StartAt::Oldest);
    let mut again = Vec::new();
    while let more @ [_, ..] = &*sequences(&mut consumer) {
        again.extend_from_slice(more);
    }
    assert!((4..=600).step_by(4).all(|kept| again.contains(&kept)), "{again:?}");
    assert!(again.len() < 250, "{}", again.len());
    assert_eq!(process.journal.stats().counters.damaged_frames, 0);
}

#[test]
fn a_folder_of_somebody_elses_files_is_refused_and_left_as_it_is() {
    let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
    let file = std::path::Path::new("/buffer/1700000000000");
    disk.place(file, b"\x0bsome record\x00".to_vec());
    let refused = Process::open(&disk, &clock, &small()).err().unwrap();
    assert_eq!(refused.to_string(), "use /buffer: it holds files that are not a buffer's");
    assert_eq!(disk.with_bytes(file, |bytes| bytes.clone()), b"\x0bsome record\x00");
}

#[test]
fn ages_without_end_are_no_harm() {
    let config = FileStorageConfig {
        max_file_age_for_read: Duration::MAX,
        when_full: WhenFull::Block(Duration::ZERO),
        ..small()
    };
    let (_, clock, mut process) = begun(config);
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..1);
    seal(&mut process);
    clock.pass(Duration::from_secs(1 << 30));
    assert_eq!(process.journal.sweep().unwrap(), 0);
    assert_eq!(sequences(&mut consumer), [1]);
}

#[test]
fn numbers_are_not_given_again_when_the_newest_file_went_first() {
    let (disk, clock, mut process) = begun(small());
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..2);
    seal(&mut process);
    consumer.go_live();
    append(&mut process, 2..4);
    seal(&mut process);
    assert_eq!(sequences(&mut consumer), [3, 4]);
    consumer.release(4);
    consumer.save().unwrap();
    assert_eq!(process.journal.sweep().unwrap(), 1);
    assert_eq!(backfill(&mut consumer), [1, 2]);
    consumer.release(2);
    consumer.save().unwrap();
    assert_eq!(process.journal.sweep().unwrap(), 1);
    drop(consumer);
    process.journal.forget("upstream").unwrap();
    let mut process = reopened(process, &disk, &clock);
    assert_eq!(process.append(payload(9, 100)).unwrap(), 5);
}

#[test]
fn a_name_that_another_kind_of_consumer_has_is_taken() {
    let (_, _, process) = begun(small());
    drop((process.consumer(None), upstream(&process, StartAt::Oldest)));
    let external = Consumer::attach(Arc::clone(&process.journal), "upstream", None);
    assert!(matches!(external, Err(Error::ConsumerTaken { .. })));
    let durable = Consumer::attach_durable(&process.journal, "store", StartAt::Oldest);
    assert!(matches!(durable, Err(Error::ConsumerTaken { .. })));
}

#[test]
fn a_forgotten_consumer_holds_nothing_back() {
    let (disk, clock, mut process) = begun(small());
    let mut store = process.consumer(None);
    let consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..1);
    seal(&mut process);
    assert_eq!(sequences(&mut store), [1]);
    store.release(1);
    assert_eq!(process.journal.sweep().unwrap(), 0);
    assert!(matches!(process.journal.forget("upstream"), Err(Error::ConsumerTaken { .. })));
    drop(consumer);
    process.journal.forget("upstream").unwrap();
    process.journal.forget("nobody").unwrap();
    assert_eq!(process.journal.sweep().unwrap(), 1);
    assert!(data_files(&disk).is_empty());
    drop(store);
    let process = reopened(process, &disk, &clock);
    assert!(process.journal.stats().consumers.is_empty());
}

#[test]
fn a_position_that_nobody_reads_from_holds_files_back_after_a_restart() {
    let (disk, clock, mut process) = begun(small());
    drop(upstream(&process, StartAt::Oldest));
    append(&mut process, 0..1);
    let process = reopened(process, &disk, &clock);
    let mut store = process.consumer(None);
    assert_eq!(sequences(&mut store), [1]);
    store.release(1);
    assert_eq!(process.journal.sweep().unwrap(), 0);
    assert_eq!(balance(&process, "upstream", 0), (0, 0, 1));
}

#[test]
fn nothing_is_deleted_before_a_consumer_is_attached() {
    let (disk, clock, mut process) = begun(small());
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..1);
    sequences(&mut consumer);
    consumer.release(1);
    consumer.save().unwrap();
    drop(consumer);
    let process = reopened(process, &disk, &clock);
    clock.pass(Duration::from_secs(100 * 60 * 60));
    assert_eq!(process.journal.sweep().unwrap(), 0, "the store may still need it");
    let mut store = process.consumer(None);
    assert_eq!(sequences(&mut store), [1]);
}

/// Appends until something must give; how many were taken.
fn fill(process: &mut Process, most: u64) -> u64 {
    (0..most).take_while(|id| process.append(payload(*id, 1_000)).is_ok()).count() as u64
}

#[test]
fn a_full_folder_drops_the_backlog_of_upstream_and_nothing_of_the_store() {
    let (disk, _, mut process) = begun(small());
    let mut store = process.consumer(None);
    let mut consumer = upstream(&process, StartAt::Oldest);
    let taken = fill(&mut process, 100);
    assert!(taken < 100, "what the store has not taken is not dropped");
    let mut seen = Vec::new();
    while let more @ [.., last] = &*sequences(&mut store) {
        store.release(*last);
        seen.extend_from_slice(more);
    }
    assert_eq!(seen.len() as u64, taken);
    for id in 0..50 {
        process.append(payload(id, 1_000)).unwrap();
        let last = *sequences(&mut store).last().unwrap();
        store.release(last);
        assert!(disk.total_bytes() <= small().max_folder_size);
    }
    let (_, dropped, pending) = balance(&process, "upstream", taken + 50);
    assert!(dropped > 0);
    let mut given = 0;
    while let more @ [_, ..] = &*sequences(&mut consumer) {
        given += more.len() as u64;
        if given < pending {
            seal(&mut process);
        }
    }
    assert_eq!(given, pending);
    assert_eq!(balance(&process, "store", taken + 50), (taken + 50, 0, 0));
    assert_eq!(process.journal.stats().counters.damaged_frames, 0);
}

#[test]
fn who_is_behind_is_said_once_when_the_folder_is_half_full() {
    let (_, _, mut process) = begun(small());
    let mut store = process.consumer(None);
    let _consumer = upstream(&process, StartAt::Oldest);
    let mut said = Vec::new();
    for id in 0..12 {
        append(&mut process, id..id + 1);
        let last = *sequences(&mut store).last().unwrap();
        store.release(last);
        process.journal.ledger.lock().half_full = false;
        said.extend(process.journal.ledger.lock().newly_lagging().map(|lagging| lagging.name));
        assert!(process.journal.ledger.lock().newly_lagging().is_none());
    }
    assert!((2..10).contains(&said.len()), "{said:?}");
    assert!(said.iter().all(|name| name == "upstream"));
}

#[test]
fn a_full_folder_drops_the_oldest_where_the_settings_say_so() {
    let config = FileStorageConfig { when_full: WhenFull::DropOldest, ..small() };
    let (disk, _, mut process) = begun(config);
    let mut store = process.consumer(None);
    assert_eq!(fill(&mut process, 100), 100);
    assert!(disk.total_bytes() <= small().max_folder_size);
    let (_, dropped, pending) = balance(&process, "store", 100);
    let mut seen = Vec::new();
    while let more @ [_, ..] = &*sequences(&mut store) {
        seen.extend_from_slice(more);
        if seen.last() < Some(&100) {
            seal(&mut process);
        }
    }
    assert_eq!(seen, (dropped + 1..=100).collect::<Vec<_>>());
    assert_eq!(pending, seen.len() as u64);
}

#[test]
fn what_was_given_and_is_evicted_meanwhile_counts_once() {
    let config = FileStorageConfig { when_full: WhenFull::DropOldest, ..small() };
    let (_, _, mut process) = begun(config);
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..1);
    assert_eq!(sequences(&mut consumer), [1]);
    fill(&mut process, 100);
    consumer.release(1);
    consumer.release_one(1);
    let (released, ..) = balance(&process, "upstream", 101);
    assert_eq!(released, 0);
}

#[test]
fn a_frame_is_owed_until_it_is_released_or_dropped() {
    let (_, clock, mut process) = begun(small());
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..3);
    seal(&mut process);
    assert_eq!(sequences(&mut consumer), [1, 2, 3]);
    consumer.release_one(2);
    assert_eq!([1, 2, 3, 4].map(|sequence| consumer.owes(sequence)), [true, false, true, true]);
    clock.pass(small().max_file_age_for_read + Duration::from_millis(1));
    process.journal.sweep().unwrap();
    assert_eq!([1, 2, 3, 4].map(|sequence| consumer.owes(sequence)), [false, false, false, true]);
}

#[test]
fn a_full_folder_refuses_where_the_settings_say_so() {
    for when_full in [WhenFull::Reject, WhenFull::Block(Duration::from_millis(1))] {
        let (_, _, mut process) = begun(FileStorageConfig { when_full, ..small() });
        let _consumer = upstream(&process, StartAt::Oldest);
        assert!(fill(&mut process, 100) < 100);
        assert_eq!(stats(&process, "upstream").dropped.total(), Amount::default());
    }
}

#[test]
fn what_is_too_old_is_dropped_for_those_who_may_lose_it() {
    let (disk, clock, mut process) = begun(small());
    let mut store = process.consumer(None);
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..2);
    seal(&mut process);
    clock.pass(small().max_file_age_for_read);
    process.journal.sweep().unwrap();
    assert_eq!(balance(&process, "upstream", 2), (0, 0, 2));
    clock.pass(Duration::from_millis(1));
    process.journal.sweep().unwrap();
    assert_eq!(balance(&process, "upstream", 2), (0, 2, 0));
    assert_eq!(items(stats(&process, "upstream").dropped.expired), 2);
    assert!(sequences(&mut consumer).is_empty());
    assert_eq!(sequences(&mut store), [1, 2]);
    store.release(2);
    process.journal.sweep().unwrap();
    assert_eq!(data_files(&disk).len(), 1);
}

#[test]
fn setting_the_clock_ages_nothing() {
    let (disk, clock, mut process) = begun(small());
    let consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..1);
    seal(&mut process);
    let years = Duration::from_secs(50 * 366 * 24 * 60 * 60);
    clock.turn_back(years);
    process.journal.sweep().unwrap();
    drop(consumer);
    // Booted in the seventies, then told the time.
    clock.reboot(Duration::ZERO);
    let process = reopened(process, &disk, &clock);
    let consumer = upstream(&process, StartAt::Oldest);
    clock.jump(i64::try_from(years.as_millis()).unwrap());
    process.journal.sweep().unwrap();
    assert_eq!(balance(&process, "upstream", 0), (0, 0, 1));
    drop(consumer);
    // Off for longer than anybody is.
    clock.reboot(years);
    let process = reopened(process, &disk, &clock);
    let _consumer = upstream(&process, StartAt::Oldest);
    process.journal.sweep().unwrap();
    assert_eq!(balance(&process, "upstream", 0), (0, 0, 1));
    clock.pass(small().max_file_age_for_read + Duration::from_millis(1));
    process.journal.sweep().unwrap();
    assert_eq!(balance(&process, "upstream", 0), (0, 1, 0));
}

#[test]
fn clearing_drops_everything_for_everyone_and_numbers_go_on() {
    let (disk, clock, mut process) = begun(small());
    let mut store = process.consumer(None);
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..5);
    let held = sequences(&mut store);
    assert_eq!(process.writer.clear(&process.journal).unwrap(), 5);
    assert_eq!(data_files(&disk).len(), 1);
    store.release(*held.last().unwrap());
    assert!(sequences(&mut consumer).is_empty());
    assert_eq!(balance(&process, "upstream", 5), (0, 5, 0));
    assert_eq!(process.append(payload(9, 100)).unwrap(), 6);
    assert_eq!((sequences(&mut store), sequences(&mut consumer)), (vec![6], vec![6]));
    store.release(6);
    assert_eq!(balance(&process, "store", 6), (1, 5, 0));
    drop((store, consumer));
    let process = reopened(process, &disk, &clock);
    assert_eq!(sequences(&mut upstream(&process, StartAt::Latest)), [6]);
}

#[test]
fn damage_is_counted_for_each_consumer_that_comes_to_it() {
    let (disk, clock, mut process) = begun(small());
    drop(upstream(&process, StartAt::Oldest));
    append(&mut process, 0..3);
    seal(&mut process);
    let file = data_files(&disk).into_iter().find(|path| path.extension().is_none()).unwrap();
    disk.with_bytes(&file, |bytes| bytes[64 + 500] ^= 1);
    let process = reopened(process, &disk, &clock);
    let mut consumer = upstream(&process, StartAt::Oldest);
    assert_eq!(sequences(&mut consumer), [2, 3]);
    assert_eq!(balance(&process, "upstream", 0), (0, 1, 2));
    consumer.release(3);
    consumer.save().unwrap();
    assert_eq!(balance(&process, "upstream", 0), (2, 1, 0));
    assert_eq!(process.journal.sweep().unwrap(), 1);
}

#[test]
fn numbering_goes_on_after_a_saved_position_that_is_ahead() {
    let (disk, clock, mut process) = begun(small());
    let mut consumer = upstream(&process, StartAt::Oldest);
    append(&mut process, 0..2);
    sequences(&mut consumer);
    consumer.release(2);
    consumer.save().unwrap();
    drop(consumer);
    // What a disk that was not asked to sync may do.
    for path in data_files(&disk).iter().filter(|path| path.extension().is_some_and(|it| it == "tmp")) {
        disk.remove(path);
    }
    let mut process = reopened(process, &disk, &clock);
    assert_eq!(process.append(payload(9, 100)).unwrap(), 3);
}
