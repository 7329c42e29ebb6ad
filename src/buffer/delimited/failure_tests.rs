//! Every operation of the disk fails once, in every way, in the middle of everything a storage does: what was answered
//! and not removed is there afterwards.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::buffer::delimited::DelimitedStorage;
use crate::buffer::simulated_disk::{Fault, SimulatedDisk};
use crate::buffer::tests::TestClock;
use crate::buffer::{Environment, Error, FileStorageConfig, SignalStorage};

const FOLDER: &str = "/phone";

fn open(disk: &SimulatedDisk, clock: &Arc<TestClock>) -> Result<DelimitedStorage, Error> {
    let config = FileStorageConfig {
        max_file_size: 4 << 10,
        max_folder_size: 64 << 10,
        min_file_age_for_read: Duration::ZERO,
        delete_items_on_iteration: false,
        ..FileStorageConfig::default()
    };
    let environment = Environment::new(Arc::new(disk.clone()), clock.clone());
    DelimitedStorage::open(Path::new(FOLDER), config, environment)
}

/// A batch of its own length and letter.
fn batch(letter: u8) -> Bytes {
    vec![letter; 700 + usize::from(letter)].into()
}

/// Writes, reads, removes every second batch, writes more, and closes; what was answered, and what was removed.
fn live(disk: &SimulatedDisk, clock: &Arc<TestClock>) -> (Vec<Bytes>, Vec<Bytes>) {
    let (mut written, mut removed) = (Vec::new(), Vec::new());
    let Ok(storage) = open(disk, clock) else { return (written, removed) };
    let mut write = |letters: std::ops::Range<u8>| {
        for letter in letters {
            if storage.write(batch(letter), 1).is_ok() {
                written.push(batch(letter));
            }
        }
    };
    write(b'a'..b'l');
    if let Ok(mut session) = storage.iter() {
        let mut count = 0;
        while let Some(Ok(batch)) = session.next_batch() {
            count += 1;
            if count % 2 == 0 {
                session.remove().unwrap();
                removed.push(batch.payload);
            }
        }
    }
    write(b'l'..b'p');
    let _failed_perhaps = storage.close();
    (written, removed)
}

fn read(disk: &SimulatedDisk, clock: &Arc<TestClock>) -> Vec<Bytes> {
    let storage = open(disk, clock).unwrap();
    storage.iter().unwrap().map(|batch| batch.unwrap().payload).collect()
}

fn check(what: &str, found: &[Bytes], written: &[Bytes], removed: &[Bytes]) {
    let owed = written.iter().filter(|batch| !removed.contains(batch));
    for batch in owed {
        assert!(found.contains(batch), "{what}: {} is lost", char::from(batch[0]));
    }
    let known = found.iter().filter(|batch| written.contains(batch)).collect::<Vec<_>>();
    assert!(known.windows(2).all(|pair| pair[0][0] < pair[1][0]), "{what}: out of order or twice");
}

#[test]
fn whatever_fails_what_was_answered_and_not_removed_is_there() {
    let mut failed = 0;
    for fault in [Fault::Failure, Fault::NoSpace, Fault::PowerCut] {
        for passed in 0..80 {
            let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
            disk.fail_after(passed, fault);
            let (written, removed) = live(&disk, &clock);
            failed += usize::from(written.len() < 15);
            disk.fail_no_more();
            let what = format!("{fault:?} after {passed}");
            if !disk.is_off() {
                let found = read(&disk.copy(), &clock);
                check(&what, &found, &written, &removed);
                let refused = found.iter().find(|batch| !written.contains(batch));
                assert_eq!(refused, None, "{what}: what was refused is there");
            }
            for kept in [false, true] {
                let disk = disk.clone();
                let mut turn = false;
                disk.cut_power(|| {
                    turn = !turn;
                    kept && turn
                });
                check(&what, &read(&disk, &clock), &written, &removed);
            }
        }
    }
    assert!(failed > 100, "only {failed} runs have met their fault");
}

#[test]
fn without_faults_everything_is_answered_and_what_was_removed_stays_removed() {
    let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
    let (written, removed) = live(&disk, &clock);
    assert_eq!((written.len(), removed.len()), (15, 5));
    let left: Vec<_> = written.into_iter().filter(|batch| !removed.contains(batch)).collect();
    assert_eq!(read(&disk, &clock), left);
}

#[test]
fn a_bad_sector_ends_a_file_and_never_comes_as_zeros() {
    let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
    let storage = open(&disk, &clock).unwrap();
    for letter in b'a'..b'd' {
        storage.write(batch(letter), 1).unwrap();
    }
    storage.close().unwrap();
    drop(storage);
    let file = disk.paths().into_iter().find(|path| path.ends_with("1700000000000")).unwrap();
    disk.fail_to_read(&file, 1_000..1_500);
    let storage = open(&disk, &clock).unwrap();
    let found: Vec<_> = storage.iter().unwrap().map(|batch| batch.unwrap().payload).collect();
    assert_eq!(found, [batch(b'a')]);
    assert_eq!(storage.counts().flawed_files, 1);
}

#[test]
fn writers_of_many_threads_lose_nothing_to_each_other() {
    let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
    let storage = open(&disk, &clock).unwrap();
    std::thread::scope(|scope| {
        for letter in b'a'..b'i' {
            let storage = &storage;
            scope.spawn(move || (0..5).for_each(|_| storage.write(batch(letter), 1).unwrap()));
        }
    });
    storage.close().unwrap();
    drop(storage);
    let found = read(&disk, &clock);
    for letter in b'a'..b'i' {
        assert_eq!(found.iter().filter(|found| **found == batch(letter)).count(), 5);
    }
}
