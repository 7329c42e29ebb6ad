//! Every operation of the disk fails once, in every way, in the middle of everything a storage does: what was answered
//! and not removed is there afterwards.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;

use crate::buffer::config::{Durability, WhenFull};
use crate::buffer::delimited::DelimitedStorage;
use crate::buffer::simulated_disk::{Fault, SimulatedDisk};
use crate::buffer::tests::TestClock;
use crate::buffer::{Environment, Error, FileStorageConfig, SignalStorage};

const FOLDER: &str = "/phone";

fn config() -> FileStorageConfig {
    FileStorageConfig {
        max_file_size: 4 << 10,
        max_folder_size: 64 << 10,
        min_file_age_for_read: Duration::ZERO,
        delete_items_on_iteration: false,
        ..FileStorageConfig::default()
    }
}

fn open(disk: &SimulatedDisk, clock: &Arc<TestClock>) -> Result<DelimitedStorage, Error> {
    open_with(disk, clock, config())
}

fn open_with(
    disk: &SimulatedDisk,
    clock: &Arc<TestClock>,
    config: FileStorageConfig,
) -> Result<DelimitedStorage, Error> {
    let environment = Environment::new(Arc::new(disk.clone()), clock.clone());
    DelimitedStorage::open(Path::new(FOLDER), config, environment)
}

/// A batch of its own length and letter.
fn batch(letter: u8) -> Bytes {
    vec![letter; 700 + usize::from(letter)].into()
}

/// Writes these batches; which of them are answered.
fn write(storage: &DelimitedStorage, letters: std::ops::Range<u8>) -> Vec<Bytes> {
    let batches = letters.map(batch);
    batches.filter(|batch| storage.write(batch.clone(), 1).is_ok()).collect()
}

/// Writes, reads, removes every second batch and writes more; what was answered, and what was removed.
fn work(storage: &DelimitedStorage) -> (Vec<Bytes>, Vec<Bytes>) {
    let (mut written, mut removed) = (write(storage, b'a'..b'l'), Vec::new());
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
    written.extend(write(storage, b'l'..b'p'));
    (written, removed)
}

/// The whole life of a storage.
fn live(disk: &SimulatedDisk, clock: &Arc<TestClock>) -> (Vec<Bytes>, Vec<Bytes>) {
    let Ok(storage) = open(disk, clock) else { return (Vec::new(), Vec::new()) };
    let (written, removed) = work(&storage);
    let _failed_perhaps = storage.close();
    (written, removed)
}

fn letters(batches: &[Bytes]) -> String {
    batches.iter().map(|batch| char::from(batch[0])).collect()
}

fn batches(storage: &DelimitedStorage) -> Vec<Bytes> {
    storage.iter().unwrap().map(|batch| batch.unwrap().payload).collect()
}

fn read(disk: &SimulatedDisk, clock: &Arc<TestClock>) -> Vec<Bytes> {
    batches(&open(disk, clock).unwrap())
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
fn whatever_failed_the_same_process_goes_on_as_if_it_had_not() {
    for fault in [Fault::Failure, Fault::NoSpace] {
        for passed in 0..80 {
            let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
            disk.fail_after(passed, fault);
            let Ok(storage) = open(&disk, &clock) else { continue };
            let (mut written, removed) = work(&storage);
            disk.fail_no_more();
            let what = format!("{fault:?} after {passed}");
            let more = write(&storage, b'p'..b's');
            assert_eq!(more.len(), 3, "{what}: still refused");
            written.extend(more);
            clock.pass(Duration::from_secs(30));
            written.retain(|batch| !removed.contains(batch));
            let owed = letters(&written);
            assert_eq!(letters(&batches(&storage)), owed, "{what}");
            storage.close().unwrap();
            drop(storage);
            // What was removed is so durably.
            disk.cut_power(|| false);
            assert_eq!(letters(&read(&disk, &clock)), owed, "{what}: after closing");
        }
    }
}

#[test]
fn whatever_fails_a_flawed_file_is_set_aside_once_and_for_all() {
    let mut failed = 0;
    for passed in 0..12 {
        let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
        disk.place(Path::new("/phone/5"), vec![1, b'x', 1, b'y', 9]);
        let storage = open(&disk, &clock).unwrap();
        disk.fail_after(passed, Fault::Failure);
        // It is tried again when the session ends.
        (0..8).for_each(|_| disk.fail_after(0, Fault::Failure));
        let mut session = storage.iter().unwrap();
        assert_eq!(session.next_batch().unwrap().unwrap().payload, "x");
        session.remove().unwrap();
        assert_eq!(session.next_batch().unwrap().unwrap().payload, "y");
        session.remove().unwrap();
        assert!(session.next_batch().is_none());
        drop(session);
        failed += usize::from(!disk.paths().iter().any(|path| path.ends_with("quarantine/5")));
        disk.fail_no_more();
        assert_eq!(letters(&batches(&storage)), "", "fault after {passed}");
        assert_eq!(write(&storage, b'a'..b'b').len(), 1);
        storage.close().unwrap();
        assert_eq!(storage.counts().flawed_files, 1);
        disk.with_bytes(Path::new("/phone/quarantine/5"), |bytes| assert_eq!(bytes.last(), Some(&9)));
        drop(storage);
        assert_eq!(letters(&read(&disk, &clock)), "a");
    }
    assert!(failed > 0, "no fault has kept it from being set aside at once");
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
    assert_eq!(batches(&storage), [batch(b'a')]);
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

fn path(disk: &SimulatedDisk, name: &str) -> PathBuf {
    disk.paths().into_iter().find(|path| path.ends_with(name)).unwrap()
}

#[test]
fn a_file_that_does_not_open_is_an_error_after_the_others_and_not_the_end() {
    let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
    let storage = open(&disk, &clock).unwrap();
    let written = write(&storage, b'a'..b'l');
    clock.pass(Duration::from_secs(30));
    assert_eq!(letters(&batches(&storage)), letters(&written));
    disk.fail_to_open(&path(&disk, "1700000000001"), Errno::ACCESS);
    let mut session = storage.iter().unwrap();
    let found: Vec<_> = session.by_ref().map_while(Result::ok).map(|batch| batch.payload).collect();
    assert_eq!(found.len(), 6, "of three files two");
    assert!(session.next_batch().is_none());
    drop(session);
    let said = storage.iter().unwrap().find_map(Result::err).unwrap();
    assert_eq!(said.to_string(), "read /phone/1700000000001");
    disk.heal();
    assert_eq!(letters(&batches(&storage)), letters(&written));
}

#[test]
fn closing_says_what_it_could_not_do_and_does_it_when_called_again() {
    let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
    let storage = open(&disk, &clock).unwrap();
    let written = write(&storage, b'a'..b'e');
    clock.pass(Duration::from_secs(30));
    let mut session = storage.iter().unwrap();
    session.next_batch().unwrap().unwrap();
    session.remove().unwrap();
    // The rename of the open file succeeds first.
    for passed in [1, 2] {
        disk.fail_after(0, Fault::Failure);
        let failed = storage.close().unwrap_err();
        assert!(failed.to_string().starts_with("rewrite /phone/17"), "{passed}: {failed}");
    }
    storage.close().unwrap();
    assert!(session.next_batch().is_none());
    drop((session, storage));
    assert_eq!(read(&disk, &clock), written[1..]);
}

#[test]
fn what_clearing_cannot_delete_still_counts_and_is_deleted_by_the_next_call() {
    let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
    let storage = open(&disk, &clock).unwrap();
    assert_eq!(write(&storage, b'a'..b'h').len(), 7);
    disk.fail_after(0, Fault::Failure);
    let failed = storage.clear().unwrap_err();
    assert_eq!(failed.to_string(), "delete /phone/1700000000001.tmp");
    assert_eq!(disk.paths().len(), 2, "the lock and the open file");
    clock.pass(Duration::from_secs(30));
    assert_eq!(letters(&batches(&storage)), "fg");
    disk.fail_after(0, Fault::Failure);
    assert_eq!(storage.clear().unwrap_err().to_string(), "delete /phone/1700000000001");
    assert_eq!(letters(&batches(&storage)), "fg");
    storage.clear().unwrap();
    assert_eq!(disk.paths().len(), 1);
}

#[test]
fn a_full_folder_is_never_exceeded_to_remove_something() {
    let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
    let storage = open(&disk, &clock).unwrap();
    // Fills the folder to the last file.
    for letter in b'A'..b'i' {
        storage.write(vec![letter; 2_000].into(), 1).unwrap();
        assert!(disk.total_bytes() <= 64 << 10);
    }
    assert!(disk.total_bytes() > 62 << 10);
    clock.pass(Duration::from_secs(30));
    let mut session = storage.iter().unwrap();
    let first = session.next_batch().unwrap().unwrap();
    session.remove().unwrap();
    drop(session);
    assert!(disk.total_bytes() > 62 << 10, "nothing else had to go for it");
    let next = batches(&storage);
    assert!(!next.contains(&first.payload), "it is known as long as the storage is open");
    assert_eq!(storage.close().unwrap_err().to_string(), format!("rewrite /phone/{}", oldest(&disk)));
    // With room, it is removed for good.
    drop(storage);
    let storage = open(&disk, &clock).unwrap();
    let mut session = storage.iter().unwrap();
    for _ in 0..3 {
        session.next_batch().unwrap().unwrap();
        session.remove().unwrap();
    }
    drop(session);
    storage.close().unwrap();
    drop(storage);
    assert_eq!(letters(&read(&disk, &clock)), letters(&next[2..]));
}

fn oldest(disk: &SimulatedDisk) -> u64 {
    disk.paths().iter().filter_map(|path| path.file_name()?.to_str()?.parse().ok()).min().unwrap()
}

#[test]
fn a_full_folder_refuses_where_it_was_asked_to() {
    let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
    let config = FileStorageConfig { when_full: WhenFull::Reject, ..config() };
    let storage = open_with(&disk, &clock, config).unwrap();
    let mut written = 0;
    let refused = loop {
        match storage.write(batch(b'a'), 1) {
            Ok(()) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::Full { limit: 65_536, .. }), "{refused}");
    clock.pass(Duration::from_secs(30));
    assert_eq!((batches(&storage).len(), storage.counts().evicted_files), (written, 0));
    let blocking = FileStorageConfig { when_full: WhenFull::Block(Duration::from_secs(1)), ..self::config() };
    let refused = open_with(&SimulatedDisk::default(), &clock, blocking).unwrap_err();
    assert_eq!(refused.to_string(), "wait for room, as when_full asks, in /phone");
}

#[test]
fn who_writes_relaxed_syncs_nothing() {
    let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
    let relaxed = FileStorageConfig { durability: Durability::Relaxed, ..config() };
    let storage = open_with(&disk, &clock, relaxed).unwrap();
    let before = disk.syncs();
    let written = write(&storage, b'a'..b'l');
    assert_eq!(disk.syncs(), before);
    storage.close().unwrap();
    drop(storage);
    assert_eq!(read(&disk, &clock), written);
}
