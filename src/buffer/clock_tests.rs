//! Clocks that jump, stand still or begin in 1970: nothing becomes invisible, and names only ever grow.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::model_tests::Process;
use crate::buffer::simulated_disk::SimulatedDisk;
use crate::buffer::tests::{ALL, TestClock};
use crate::buffer::{Consumer, FileStorageConfig, StartAt};

const SECOND: i64 = 1_000;
const HOUR: i64 = 3_600 * SECOND;
const YEAR: i64 = 365 * 24 * HOUR;
/// How far the time of day jumps, in milliseconds.
const JUMPS: [i64; 6] = [SECOND, -SECOND, HOUR, -HOUR, 50 * YEAR, -50 * YEAR];

/// What keeps its data from consumers for a while.
fn delayed() -> FileStorageConfig {
    FileStorageConfig {
        max_file_size: 4 << 10,
        min_file_age_for_read: Duration::from_secs(33),
        ..FileStorageConfig::appliance()
    }
}

fn begun(settings: &FileStorageConfig) -> (SimulatedDisk, Arc<TestClock>, Process) {
    let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
    let (process, _) = Process::open(&disk, &clock, settings).unwrap();
    (disk, clock, process)
}

/// How a process goes on after a jump of the clock.
#[derive(Debug, Clone, Copy)]
enum Then {
    SameProcess,
    NewProcess,
    Reboot,
}

/// Data files in the order of their sequences, by name.
fn names(disk: &SimulatedDisk) -> Vec<u64> {
    let files = disk.paths().into_iter().filter(|path| !path.ends_with("LOCK"));
    let mut files: Vec<_> = files
        .map(|path| {
            let first =
                disk.with_bytes(&path, |bytes| u64::from_le_bytes(*bytes[64 + 8..].first_chunk().unwrap()));
            (first, path.file_stem().unwrap().to_str().unwrap().parse().unwrap())
        })
        .collect();
    files.sort_unstable();
    files.into_iter().map(|(_, name)| name).collect()
}

/// Everything there is for a consumer, as numbers.
fn given(consumer: &mut Consumer) -> Vec<u64> {
    let mut given = Vec::new();
    loop {
        let frames = consumer.next(ALL, Duration::ZERO).unwrap();
        if frames.is_empty() {
            return given;
        }
        given.extend(frames.iter().map(|frame| frame.sequence));
    }
}

fn jump_and_go_on(jump: i64, then: Then) {
    let what = format!("a jump of {jump} ms, {then:?}");
    let (disk, clock, mut process) = begun(&delayed());
    process.append(vec![1; 3_000]).unwrap();
    process.append(vec![2; 3_000]).unwrap();
    clock.jump(jump);
    match then {
        Then::SameProcess => {}
        Then::NewProcess | Then::Reboot => {
            drop(process);
            if matches!(then, Then::Reboot) {
                clock.reboot(Duration::from_secs(20));
            }
            (process, _) = Process::open(&disk, &clock, &delayed()).unwrap();
        }
    }
    let mut consumer = process.consumer(None);
    process.append(vec![3; 3_000]).unwrap();
    process.append(vec![4; 3_000]).unwrap();
    let names = names(&disk);
    assert!(names.len() == 4 && names.is_sorted_by(|a, b| a < b), "{what}: {names:?}");
    // Sealed when it is thirty seconds old, read when it is three more.
    clock.pass(Duration::from_secs(30));
    process.work();
    clock.pass(Duration::from_secs(3));
    assert_eq!(given(&mut consumer), [1, 2, 3, 4], "{what}");
    assert_eq!(process.journal.stats().counters.damaged_frames, 0, "{what}");
}

/// How many frames an unread consumer has lost by their age.
fn expired(process: &Process) -> u64 {
    process.journal.sweep().unwrap();
    process.journal.stats().consumers[0].dropped.expired.frames
}

#[test]
fn nothing_expires_before_its_time_when_the_clock_jumps_and_everything_does_then() {
    let settings = FileStorageConfig { max_file_size: 4 << 10, ..FileStorageConfig::appliance() };
    let longest = settings.max_file_age_for_read;
    for jump in JUMPS {
        for then in [Then::SameProcess, Then::NewProcess, Then::Reboot] {
            let what = format!("a jump of {jump} ms, {then:?}");
            let (disk, clock, mut process) = begun(&settings);
            drop(Consumer::attach_durable(&process.journal, "upstream", StartAt::Oldest).unwrap());
            for _ in 0..3 {
                process.append(vec![1; 3_000]).unwrap();
            }
            process.writer.seal(&process.journal).unwrap();
            clock.jump(jump);
            if !matches!(then, Then::SameProcess) {
                drop(process);
                if matches!(then, Then::Reboot) {
                    clock.reboot(Duration::ZERO);
                }
                (process, _) = Process::open(&disk, &clock, &settings).unwrap();
                drop(Consumer::attach_durable(&process.journal, "upstream", StartAt::Oldest).unwrap());
            }
            // Who was off for an hour is an hour older; nobody was off for fifty years.
            let slept = if matches!(then, Then::Reboot) && (0..=HOUR).contains(&jump) { jump } else { 0 };
            let rest = longest - Duration::from_millis(slept as u64);
            clock.pass(rest - Duration::from_secs(1));
            assert_eq!(expired(&process), 0, "{what}");
            clock.pass(Duration::from_secs(2));
            assert_eq!(expired(&process), 3, "{what}");
        }
    }
}

#[test]
fn nothing_becomes_invisible_when_the_clock_jumps() {
    for jump in JUMPS {
        for then in [Then::SameProcess, Then::NewProcess, Then::Reboot] {
            jump_and_go_on(jump, then);
        }
    }
}

#[test]
fn a_machine_that_starts_in_1970_and_learns_the_time_later_shows_everything_in_order() {
    let (disk, clock, mut process) = begun(&delayed());
    process.append(vec![1; 3_000]).unwrap();
    drop(process);
    let now = clock.wall_millis();
    clock.reboot(Duration::ZERO);
    clock.jump(-(now as i64));
    let (mut process, _) = Process::open(&disk, &clock, &delayed()).unwrap();
    let mut consumer = process.consumer(None);
    process.append(vec![2; 3_000]).unwrap();
    clock.pass(Duration::from_secs(5));
    clock.jump(now as i64 + HOUR);
    process.append(vec![3; 3_000]).unwrap();
    let names = names(&disk);
    assert!(names.len() == 3 && names.is_sorted_by(|a, b| a < b), "{names:?}");
    clock.pass(Duration::from_secs(30));
    process.work();
    clock.pass(Duration::from_secs(3));
    assert_eq!(given(&mut consumer), [1, 2, 3]);
}

#[test]
fn a_thousand_files_begun_in_one_millisecond_have_names_of_their_own() {
    let settings = FileStorageConfig { max_file_size: 4 << 10, ..FileStorageConfig::appliance() };
    let (disk, clock, mut process) = begun(&settings);
    for _ in 0..1_000 {
        process.append(vec![1; 8]).unwrap();
        process.writer.seal(&process.journal).unwrap();
    }
    let expected: Vec<_> = (0..1_000).map(|more| 1_700_000_000_000 + more).collect();
    assert_eq!(names(&disk), expected);
    drop(process);
    let (mut process, recovery) = Process::open(&disk, &clock, &settings).unwrap();
    assert_eq!((recovery.files, recovery.frames), (1_000, 1_000));
    process.append(vec![1; 8]).unwrap();
    assert!(disk.paths().contains(&Path::new("/buffer/1700000001000.tmp").to_owned()));
    assert_eq!(given(&mut process.consumer(None)).len(), 1_000);
}
