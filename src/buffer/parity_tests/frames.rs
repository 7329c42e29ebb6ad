//! What the original's tests leave out, of storages over a buffer of frames.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::counting_disk::CountingDisk;
use super::rig::{Kind, Rig, contents, deleting, filling, keeping};
use crate::buffer::simulated_disk::{Fault, SimulatedDisk};
use crate::buffer::tests::TestClock;
use crate::buffer::{
    DelimitedStorage, Environment, Error, FileLogRecordStorage, FileMetricStorage, FileSpanStorage,
    FileStorageConfig, FolderReader, Found, HostDisk, Layout, Signal, SignalStorage,
};

fn frames(config: FileStorageConfig) -> (Rig, FileSpanStorage) {
    let mut rig = Rig::new(Kind::Frames, config);
    rig.storage = None;
    let environment = Environment::new(Arc::clone(&rig.disk), rig.clock.clone());
    let (storage, _) = FileSpanStorage::open(rig.folder.path(), rig.config.clone(), environment).unwrap();
    rig.storage = Some(Arc::new(storage.clone()));
    (rig, storage)
}

#[test]
fn a_storage_says_how_many_items_a_batch_has() {
    let (rig, storage) = frames(deleting());
    storage.write(Bytes::from_static(b"a"), 512).unwrap();
    rig.ripen();
    assert_eq!(storage.iter().unwrap().next_batch().unwrap().unwrap().items, Some(512));
}

#[test]
fn without_a_delay_a_batch_is_given_as_soon_as_it_is_durable() {
    let at_once = FileStorageConfig { min_file_age_for_read: Duration::ZERO, ..keeping() };
    // With the freshest batches in memory, and with none.
    for tail_bytes in [1 << 20, 0] {
        let (rig, _) = frames(FileStorageConfig { tail_bytes, ..at_once.clone() });
        rig.write(b"a");
        rig.write(b"b");
        assert_eq!(rig.read(), "ab");
        rig.clock.pass(250);
        rig.write(b"c");
        assert_eq!(rig.read(), "abc");
    }
}

#[test]
fn a_reader_that_asks_again_and_again_does_not_have_a_file_finished_each_time() {
    let settings = FileStorageConfig {
        min_file_age_for_read: Duration::ZERO,
        min_seal_interval: Duration::from_millis(100),
        tail_bytes: 0,
        ..keeping()
    };
    let (rig, _) = frames(settings);
    let mut given = 0;
    for millisecond in 1..=300 {
        rig.write(b"a");
        rig.clock.pass(1);
        let found = rig.read().len();
        assert!(found >= given && found <= millisecond);
        given = found;
    }
    let files = rig.files().len();
    assert!((3..=5).contains(&files), "{files}");
    rig.clock.pass(100);
    assert_eq!(rig.read().len(), 300);
}

#[test]
fn each_signal_has_a_folder_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let spans = FileSpanStorage::create(folder.path(), FileStorageConfig::default()).unwrap();
    let locked = FileLogRecordStorage::create(folder.path(), FileStorageConfig::default());
    assert!(matches!(locked, Err(Error::Locked { .. })));
    spans.close().unwrap();
    drop(spans);
    let other = FileMetricStorage::create(folder.path(), FileStorageConfig::default());
    assert!(matches!(other, Err(Error::OtherSignal { .. })));
    let other = DelimitedStorage::create(folder.path(), FileStorageConfig::default());
    assert!(matches!(other, Err(Error::OtherLayout { .. })));
}

#[test]
fn a_folder_of_frames_that_has_lost_its_lock_is_refused_as_one_of_records() {
    for finished in [true, false] {
        let mut rig = Rig::new(Kind::Frames, keeping());
        rig.write(b"a");
        if finished {
            rig.storage().close().unwrap();
        }
        rig.storage = None;
        fs::remove_file(rig.path("LOCK")).unwrap();
        let before = rig.files();
        let environment = || Environment::new(Arc::new(HostDisk), rig.clock.clone());
        let refused = DelimitedStorage::open(rig.folder.path(), keeping(), environment());
        assert!(matches!(refused, Err(Error::OtherLayout { .. })));
        assert_eq!(rig.files(), before);
        rig.open();
        rig.ripen();
        assert_eq!(rig.read(), "a", "as frames it is whole");
    }
}

#[test]
fn what_is_let_go_of_is_counted_in_items() {
    let (rig, storage) = frames(deleting());
    for letter in *b"abcdef" {
        storage.write(filling(letter), 10).unwrap();
    }
    rig.ripen();
    assert_eq!(rig.read(), "def");
    let consumer = &storage.buffer().stats().consumers[0];
    assert_eq!(
        (consumer.dropped.evicted.items, consumer.released.items, consumer.pending.items),
        (30, 30, 0)
    );
}

#[test]
fn a_write_that_is_not_done_in_time_says_so() {
    let mut rig = Rig::new(Kind::Frames, deleting());
    let hand = Arc::new(Mutex::new(()));
    rig.disk = Arc::new(CountingDisk { hand: Arc::clone(&hand), ..CountingDisk::default() });
    rig.open();
    let held = hand.lock();
    let waited = Duration::from_millis(20);
    let late = rig.storage().write_within(Bytes::from_static(b"a"), 1, waited).unwrap_err();
    assert_eq!(late.to_string(), "append within 20ms: the disk does not keep up");
    drop(held);
    rig.write(b"b");
    rig.ripen();
    assert_eq!(rig.read(), "ab", "late, but not lost");
}

#[test]
fn removals_are_durable_while_a_session_lasts() {
    let (mut rig, storage) = frames(keeping());
    for _ in 0..300 {
        rig.write(b"a");
    }
    rig.ripen();
    let mut session = storage.iter().unwrap();
    for _ in 0..300 {
        session.next_batch().unwrap().unwrap();
        session.remove().unwrap();
    }
    // As a crash does: nobody says that the session is over.
    std::mem::forget(session);
    storage.buffer().close();
    let copy = tempfile::tempdir().unwrap();
    for name in rig.other_files().iter().filter(|name| *name != "quarantine") {
        fs::copy(rig.path(name), copy.path().join(name)).unwrap();
    }
    rig.folder = copy;
    rig.open();
    assert_eq!(rig.read().len(), 300 - 256);
}

#[test]
fn a_buffer_of_frames_is_read_from_outside_frame_by_frame() {
    const FRAME: usize = 48;
    // Finished or not; where it is damaged; what is said of that.
    let cases: [(bool, &[usize], &[&str]); 10] = [
        (false, &[], &["a", "b", "c"]),
        (false, &[64 + FRAME + 40], &["a", "1000.tmp: frame 2 is damaged", "c"]),
        (false, &[64 + FRAME + 4], &["a", "1000.tmp: 1 frames up to 2 are damaged", "c"]),
        (false, &[64, 64 + FRAME], &["1000.tmp: 2 frames up to 2 are damaged", "c"]),
        (true, &[64 + 2 * FRAME], &["a", "b", "1000: 1 frames up to 3 are damaged"]),
        // The file's own header.
        (true, &[9, 64 + FRAME], &["a", "1000: 1 frames up to 2 are damaged", "c"]),
        // What nothing sound comes after.
        (false, &[64 + 2 * FRAME], &["a", "b", "1000.tmp: 48 bytes at the end are no frame"]),
        (true, &[64 + 3 * FRAME], &["a", "b", "c", "1000: 96 bytes at the end are no frame"]),
        (false, &[64, 64 + FRAME, 64 + 2 * FRAME], &["1000.tmp: 144 bytes at the end are no frame"]),
        (
            true,
            &[9, 64, 64 + FRAME, 64 + 2 * FRAME, 64 + 3 * FRAME],
            &["1000: none of its 304 bytes belong to a frame"],
        ),
    ];
    for (finished, damaged, expected) in cases {
        let mut rig = Rig::new(Kind::Frames, keeping());
        for batch in [b"a", b"b", b"c"] {
            rig.write(batch);
        }
        if finished {
            rig.storage().close().unwrap();
        }
        rig.storage = None;
        let path = rig.path(if finished { "1000" } else { "1000.tmp" });
        let mut bytes = fs::read(&path).unwrap();
        damaged.iter().for_each(|at| bytes[*at] ^= 1);
        fs::write(path, bytes).unwrap();
        let before = contents(rig.folder.path());
        let reader = FolderReader::open(rig.folder.path(), Arc::new(HostDisk)).unwrap();
        assert_eq!(reader.layout(), Layout::Frames(Signal::Traces));
        let found = reader.map(|found| match found {
            Found::Request { payload, .. } => char::from(payload[0]).to_string(),
            Found::Damage(damage) => damage.to_string(),
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{damaged:?}");
        assert_eq!(contents(rig.folder.path()), before, "a reader changes nothing");
    }
}

#[test]
fn a_file_of_others_in_a_folder_of_frames_is_said_and_not_passed_in_silence() {
    let mut rig = Rig::new(Kind::Frames, keeping());
    rig.write(b"a");
    rig.close_and_open();
    rig.storage = None;
    fs::write(rig.path("500"), [1, b'x']).unwrap();
    fs::write(rig.path("2000"), vec![7; 500]).unwrap();
    let reader = FolderReader::open(rig.folder.path(), Arc::new(HostDisk)).unwrap();
    let damage = |found| match found {
        Found::Request { .. } => None,
        Found::Damage(damage) => Some(damage.to_string()),
    };
    let said: Vec<_> = reader.filter_map(damage).collect();
    assert_eq!(
        said,
        ["500: none of its 2 bytes belong to a frame", "2000: none of its 500 bytes belong to a frame"]
    );
}

#[test]
fn closing_says_what_it_could_not_save_and_saves_it_when_called_again() {
    let mut failures = 0;
    for passed in 0..12 {
        let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
        let at_once = FileStorageConfig { min_file_age_for_read: Duration::ZERO, ..keeping() };
        let open = |disk: &SimulatedDisk| {
            let environment = Environment::new(Arc::new(disk.clone()), clock.clone());
            FileSpanStorage::open(Path::new("/spans"), at_once.clone(), environment).unwrap().0
        };
        let storage = open(&disk);
        for batch in [&b"a"[..], b"b"] {
            storage.write(Bytes::from_static(batch), 1).unwrap();
        }
        let mut session = storage.iter().unwrap();
        session.next_batch().unwrap().unwrap();
        session.remove().unwrap();
        disk.fail_after(passed, Fault::Failure);
        let first = storage.close();
        disk.fail_no_more();
        failures += u32::from(first.is_err());
        storage.close().unwrap();
        drop((session, storage));
        disk.cut_power(|| false);
        let left: Vec<_> = open(&disk).iter().unwrap().map(|batch| batch.unwrap().payload).collect();
        assert_eq!(left, [&b"b"[..]], "{passed}: {first:?}");
    }
    assert!((1..12).contains(&failures), "{failures}");
}
