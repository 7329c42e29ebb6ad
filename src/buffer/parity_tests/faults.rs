//! The original's faults, W1 to W12, each as a test that it would fail.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::counting_disk::CountingDisk;
use super::rig::{KINDS, Kind, Rig, START, WRITE_AGE, both, deleting, keeping, remove};
use crate::buffer::{DelimitedCounts, Error, FileStorageConfig};

#[test]
fn w1_a_batch_that_could_not_be_sent_is_returned_again() {
    for config in [deleting, keeping] {
        both(config, |rig| {
            rig.write(b"a");
            rig.write(b"b");
            rig.ripen();
            let mut session = rig.storage().iter().unwrap();
            assert_eq!(session.next_batch().unwrap().unwrap().payload, &b"a"[..]);
            drop(session);
            assert_eq!(rig.read(), "ab");
        });
    }
}

#[test]
fn w2_removing_one_batch_never_touches_one_before_it() {
    both(keeping, |mut rig| {
        for batch in [b"a", b"b", b"c"] {
            rig.write(batch);
        }
        rig.ripen();
        remove(&rig, "b");
        rig.close_and_open();
        assert_eq!(rig.read(), "ac");
    });
}

#[test]
fn w3_clearing_while_a_batch_is_held_does_not_end_the_reading() {
    both(deleting, |rig| {
        rig.write(b"a");
        rig.ripen();
        let mut session = rig.storage().iter().unwrap();
        session.next_batch().unwrap().unwrap();
        rig.storage().clear().unwrap();
        rig.write(b"c");
        rig.write(b"d");
        rig.ripen();
        let rest: String = session.by_ref().map(|batch| char::from(batch.unwrap().payload[0])).collect();
        assert_eq!(rest, "cd");
    });
}

#[test]
fn w4_eviction_while_a_batch_is_held_does_not_end_the_reading() {
    both(deleting, |rig| {
        rig.write_file(b'a');
        rig.ripen();
        let mut session = rig.storage().iter().unwrap();
        session.next_batch().unwrap().unwrap();
        for letter in *b"bcdef" {
            rig.write_file(letter);
        }
        rig.ripen();
        let rest: String = session.map(|batch| char::from(batch.unwrap().payload[0])).collect();
        assert_eq!(rest, "def");
    });
}

#[test]
fn w5_files_begun_in_one_millisecond_all_survive() {
    both(keeping, |rig| {
        for letter in *b"abc" {
            rig.write_file(letter);
        }
        rig.expect_files(&["1000", "1001", "1002.tmp"]);
        rig.ripen();
        assert_eq!(rig.read(), "abc");
    });
}

#[test]
fn w6_an_empty_batch_is_no_obstacle() {
    both(deleting, |rig| {
        rig.write(b"a");
        rig.write(b"");
        rig.write(b"b");
        rig.ripen();
        assert_eq!(rig.read(), "ab");
        rig.expect_files(&[]);
    });
}

#[test]
fn w7_empty_files_of_crashes_are_deleted_and_hide_nothing() {
    both(deleting, |mut rig| {
        rig.storage = None;
        for name in ["10.tmp", "11.tmp", "12.tmp", "13", "14"] {
            fs::write(rig.path(name), "").unwrap();
        }
        rig.open();
        rig.expect_counts(DelimitedCounts { empty_files: 5, ..DelimitedCounts::default() });
        rig.expect_files(&[]);
        rig.write(b"a");
        rig.ripen();
        assert_eq!(rig.read(), "a");
    });
}

#[test]
fn w8_torn_ends_cost_nothing_else_and_do_not_stay() {
    let mut rig = Rig::new(Kind::Delimited, deleting());
    rig.storage = None;
    for (name, letter) in [("10", b'a'), ("11", b'b'), ("12", b'c')] {
        fs::write(rig.path(name), [1, letter, 0x80]).unwrap();
    }
    fs::write(rig.path("13"), [1, b'd']).unwrap();
    rig.open();
    rig.ripen();
    assert_eq!(rig.read(), "abcd");
    rig.expect_files(&[]);
}

#[test]
fn w8_the_torn_end_of_a_frame_costs_nothing_else_and_is_cut_off() {
    let mut rig = Rig::new(Kind::Frames, deleting());
    rig.write(b"a");
    rig.write(b"b");
    rig.storage = None;
    let whole = fs::read(rig.path("1000.tmp")).unwrap();
    for torn in [1, 39, 41] {
        fs::write(rig.path("1000.tmp"), [&whole[..], &whole[64..64 + torn]].concat()).unwrap();
        let _unfinished_again = fs::remove_file(rig.path("1000"));
        rig.open();
        rig.ripen();
        let mut session = rig.storage().iter().unwrap();
        assert_eq!(session.next_batch().unwrap().unwrap().payload, &b"a"[..]);
        drop(session);
        rig.storage = None;
    }
    rig.open();
    assert_eq!(rig.read(), "ab");
    rig.expect_files(&[]);
}

#[test]
fn w9_a_damaged_length_costs_one_batch() {
    let mut rig = Rig::new(Kind::Frames, deleting());
    let batches: Vec<Bytes> = (0..100).map(|number| Bytes::from(vec![number; 50])).collect();
    for batch in &batches {
        rig.storage().write(batch.clone(), 1).unwrap();
    }
    rig.storage().close().unwrap();
    rig.storage = None;
    let mut bytes = fs::read(rig.path("1000")).unwrap();
    // The length stands four bytes into the first frame, behind the file's header of 64.
    bytes[64 + 4] = 0xff;
    fs::write(rig.path("1000"), bytes).unwrap();
    rig.open();
    rig.ripen();
    let read: Vec<_> = rig.storage().iter().unwrap().map(|batch| batch.unwrap().payload).collect();
    assert_eq!(read, batches[1..]);
}

#[test]
fn w9_where_the_layout_cannot_find_on_the_rest_is_set_aside_and_not_deleted() {
    const RECORD: usize = 1 << 16;
    // A file as full as the original fills it, in the folder that it makes for it.
    let mut rig = Rig::new(Kind::Delimited, FileStorageConfig::default());
    for _ in 0..16 {
        rig.storage().write(vec![7; RECORD - 3].into(), 1).unwrap();
    }
    rig.storage().close().unwrap();
    rig.storage = None;
    let mut bytes = fs::read(rig.path("1000")).unwrap();
    assert_eq!(bytes.len(), 1 << 20);
    bytes[..5].fill(0xff);
    fs::write(rig.path("1000"), &bytes).unwrap();
    rig.open();
    rig.clock.pass(33_000);
    assert_eq!(rig.read(), "");
    let kept = fs::read(rig.path("quarantine/1000")).unwrap();
    assert!(kept == bytes, "{} bytes are kept", kept.len());
}

#[test]
fn w10_consuming_a_thousand_batches_one_by_one_rewrites_nothing() {
    for kind in KINDS {
        let config = || FileStorageConfig { max_file_size: 2 << 20, ..FileStorageConfig::default() };
        let mut rig = Rig::new(kind, config());
        let written = Arc::new(AtomicU64::new(0));
        rig.disk = Arc::new(CountingDisk { written: Arc::clone(&written), ..CountingDisk::default() });
        rig.open();
        for _ in 0..1_000 {
            rig.storage().write(Bytes::from_static(&[7; 1_000]), 1).unwrap();
        }
        rig.clock.pass(33_000);
        let mut session = rig.storage().iter().unwrap();
        session.next_batch().unwrap().unwrap();
        let before = written.load(Ordering::Relaxed);
        assert_eq!(session.by_ref().count(), 999);
        let while_consuming = written.load(Ordering::Relaxed) - before;
        // Four times a position of two kilobytes; a head-cut per batch would be half a gigabyte.
        assert!(while_consuming <= 12 << 10, "{kind:?}: {while_consuming} bytes");
    }
}

#[test]
fn w11_a_batch_that_fits_no_file_is_refused_before_anything_is_dropped() {
    both(keeping, |rig| {
        for letter in *b"abc" {
            rig.write_file(letter);
        }
        let too_large = Bytes::from(vec![9; 64 << 10]);
        assert!(matches!(rig.storage().write(too_large, 1), Err(Error::TooLarge { .. })));
        rig.ripen();
        assert_eq!(rig.read(), "abc");
    });
}

#[test]
fn w12_a_clock_that_steps_back_hides_nothing_and_keeps_no_file_open() {
    both(deleting, |rig| {
        rig.clock.pass(3_600_000);
        rig.write_file(b'a');
        rig.clock.set_wall(START);
        rig.write_file(b'b');
        rig.clock.pass(WRITE_AGE);
        rig.write_file(b'c');
        rig.expect_files(&["3601000", "3601001", "3601002.tmp"]);
        rig.ripen();
        assert_eq!(rig.read(), "abc");
    });
}

#[test]
fn w12_a_clock_that_is_set_after_the_start_expires_nothing() {
    both(deleting, |rig| {
        rig.write_file(b'a');
        rig.clock.set_wall(1_700_000_000_000);
        rig.write_file(b'b');
        rig.ripen();
        assert_eq!(rig.read(), "ab");
    });
}
