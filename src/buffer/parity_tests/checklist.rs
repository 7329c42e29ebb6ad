//! What the original's own tests are after; the table is in `mod.rs`.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;

use super::rig::{
    FILLING, Kind, READ_MAX, READ_MIN, Rig, WRITE_AGE, both, contents, deleting, filling, keeping, remove,
};
use crate::buffer::{
    DelimitedCounts, DelimitedStorage, Environment, Error, FileSpanStorage, FolderReader, Found, HostDisk,
    SignalStorage,
};

// Files and their names.

#[test]
fn a_file_is_named_by_the_millisecond_at_which_it_was_begun() {
    both(keeping, |rig| {
        rig.write(b"a");
        rig.expect_files(&["1000.tmp"]);
        rig.storage().close().unwrap();
        rig.expect_files(&["1000"]);
    });
}

#[test]
fn a_file_has_its_final_name_when_it_is_finished() {
    both(keeping, |rig| {
        rig.write_file(b'a');
        rig.expect_files(&["1000.tmp"]);
        rig.clock.pass(10);
        rig.write_file(b'b');
        rig.expect_files(&["1000", "1010.tmp"]);
    });
}

#[test]
fn clearing_leaves_no_file() {
    both(keeping, |rig| {
        rig.write_file(b'a');
        rig.write_file(b'b');
        rig.storage().clear().unwrap();
        rig.expect_files(&[]);
        rig.write(b"c");
        rig.ripen();
        assert_eq!(rig.read(), "c");
    });
}

#[test]
fn clearing_a_folder_that_is_gone_fails_with_the_reason() {
    both(keeping, |rig| {
        rig.write(b"a");
        fs::remove_dir_all(rig.folder.path()).unwrap();
        let error = rig.storage().clear().unwrap_err().to_string();
        // Frames finish the file that is being written first.
        let doing = if rig.kind == Kind::Frames { "rename" } else { "list" };
        assert!(error.starts_with(&format!("{doing} {}", rig.folder.path().display())), "{error}");
    });
}

#[test]
fn files_of_others_are_left_alone() {
    both(keeping, |mut rig| {
        for name in [".nomedia", "notes", "12a", "0012"] {
            fs::write(rig.path(name), "x").unwrap();
        }
        rig.close_and_open();
        rig.write_file(b'a');
        rig.clock.pass(2 * READ_MAX);
        rig.write_file(b'b');
        rig.storage().clear().unwrap();
        let others = rig.other_files();
        for name in [".nomedia", "notes", "12a", "0012"] {
            assert!(others.iter().any(|other| other == name), "{name} is gone: {others:?}");
        }
    });
}

#[test]
fn what_a_crash_left_unfinished_is_finished_at_the_next_opening() {
    both(keeping, |mut rig| {
        rig.write(b"a");
        rig.open();
        rig.expect_counts(DelimitedCounts { recovered_files: 1, ..DelimitedCounts::default() });
        rig.expect_files(&["1000"]);
        rig.ripen();
        assert_eq!(rig.read(), "a");
    });
}

#[test]
fn the_originals_unfinished_file_is_finished_byte_for_byte() {
    let mut rig = Rig::new(Kind::Delimited, keeping());
    rig.storage = None;
    fs::write(rig.path("123.tmp"), [1, b'a', 1, b'b']).unwrap();
    rig.open();
    assert_eq!(fs::read(rig.path("123")).unwrap(), [1, b'a', 1, b'b']);
    rig.ripen();
    assert_eq!(rig.read(), "ab");
}

#[test]
fn an_unfinished_file_whose_name_is_taken_gets_the_next_free_one() {
    let mut rig = Rig::new(Kind::Delimited, keeping());
    rig.storage = None;
    for (name, letter) in [("500", b'a'), ("500.tmp", b'b'), ("501", b'c')] {
        fs::write(rig.path(name), [1, letter]).unwrap();
    }
    rig.open();
    rig.expect_counts(DelimitedCounts { recovered_files: 1, ..DelimitedCounts::default() });
    rig.expect_files(&["500", "501", "502"]);
    rig.ripen();
    assert_eq!(rig.read(), "acb");
}

#[test]
fn an_unfinished_file_of_frames_whose_name_is_taken_gets_the_next_free_one() {
    let mut rig = Rig::new(Kind::Frames, keeping());
    rig.write(b"a");
    rig.close_and_open();
    rig.write(b"b");
    rig.storage = None;
    fs::rename(rig.path("1001.tmp"), rig.path("1000.tmp")).unwrap();
    rig.open();
    rig.expect_files(&["1000", "1001"]);
    rig.ripen();
    assert_eq!(rig.read(), "ab");
}

#[test]
fn a_copy_that_a_crash_kept_from_replacing_its_file_is_deleted() {
    let mut rig = Rig::new(Kind::Delimited, keeping());
    rig.storage = None;
    fs::write(rig.path("500"), [1, b'a']).unwrap();
    fs::write(rig.path("500.rewrite"), [1]).unwrap();
    rig.open();
    assert!(!rig.path("500.rewrite").exists());
    rig.ripen();
    assert_eq!(rig.read(), "a");
}

// Writing.

#[test]
fn a_file_is_written_to_until_exactly_its_writing_age() {
    both(keeping, |rig| {
        rig.write(b"a");
        rig.clock.pass(WRITE_AGE - 1);
        rig.write(b"b");
        rig.expect_files(&["1000.tmp"]);
        rig.clock.pass(1);
        rig.write(b"c");
        rig.expect_files(&["1000", "2000.tmp"]);
    });
}

#[test]
fn each_batch_makes_its_file_longer() {
    both(keeping, |rig| {
        rig.write(b"abcdefgh");
        let one = rig.len("1000.tmp");
        rig.write(b"abcdefgh");
        let two = rig.len("1000.tmp");
        rig.write(b"abcdefgh");
        assert!(two > one, "{one} {two}");
        assert_eq!(rig.len("1000.tmp") - two, two - one);
    });
}

#[test]
fn a_batch_that_does_not_fit_begins_the_next_file() {
    both(keeping, |rig| {
        rig.write_file(b'a');
        let full = rig.len("1000.tmp");
        rig.write_file(b'b');
        rig.expect_files(&["1000", "1001.tmp"]);
        assert!(rig.len("1000") <= rig.config.max_file_size && rig.len("1000") >= full);
    });
}

#[test]
fn a_full_folder_lets_go_of_its_oldest_file_only() {
    both(keeping, |rig| {
        for letter in *b"abc" {
            rig.write_file(letter);
            rig.clock.pass(100);
        }
        rig.expect_files(&["1000", "1100", "1200.tmp"]);
        rig.expect_dropped((0, 0));
        rig.write_file(b'd');
        rig.expect_dropped((1, 0));
        let record = FILLING as u64 + 3;
        let evicted =
            DelimitedCounts { evicted_files: 1, evicted_bytes: record, ..DelimitedCounts::default() };
        rig.expect_counts(evicted);
        rig.expect_files(&["1100", "1200", "1300.tmp"]);
        rig.ripen();
        assert_eq!(rig.read(), "bcd");
    });
}

#[test]
fn the_oldest_file_is_so_by_number_not_by_text() {
    let mut rig = Rig::new(Kind::Delimited, keeping());
    rig.storage = None;
    for (name, letter) in [("999", b'a'), ("10000", b'b'), ("2000", b'c')] {
        fs::write(rig.path(name), [&[0xe0, 0xd4, 3], &filling(letter)[..]].concat()).unwrap();
    }
    rig.open();
    rig.write_file(b'd');
    rig.expect_files(&["2000", "10000", "10001.tmp"]);
}

#[test]
fn expired_files_are_deleted_when_a_new_one_is_begun() {
    both(keeping, |rig| {
        rig.write_file(b'a');
        rig.clock.pass(READ_MAX / 2);
        rig.write_file(b'b');
        rig.clock.pass(READ_MAX / 2 + 1);
        rig.write_file(b'c');
        rig.expect_dropped((0, 1));
        let record = FILLING as u64 + 3;
        let expired =
            DelimitedCounts { expired_files: 1, expired_bytes: record, ..DelimitedCounts::default() };
        rig.expect_counts(expired);
        rig.expect_files(&["6000", "11001.tmp"]);
    });
}

#[test]
fn an_expiry_that_makes_room_spares_what_is_not_expired() {
    both(keeping, |rig| {
        rig.write_file(b'a');
        rig.clock.pass(READ_MAX - 200);
        rig.write_file(b'b');
        rig.clock.pass(100);
        rig.write_file(b'c');
        rig.clock.pass(101);
        rig.write_file(b'd');
        rig.expect_dropped((0, 1));
        rig.expect_files(&["10800", "10900", "11001.tmp"]);
        rig.ripen();
        assert_eq!(rig.read(), "bcd");
    });
}

// Reading.

#[test]
fn an_empty_folder_gives_nothing() {
    both(deleting, |rig| assert_eq!(rig.read(), ""));
}

#[test]
fn a_file_that_is_being_written_is_not_read() {
    both(deleting, |rig| {
        rig.write(b"a");
        rig.clock.pass(WRITE_AGE - 1);
        assert_eq!(rig.read(), "");
        rig.expect_files(&["1000.tmp"]);
    });
}

#[test]
fn a_file_is_read_as_soon_as_it_is_old_enough() {
    both(deleting, |rig| {
        rig.write_file(b'a');
        rig.write_file(b'b');
        rig.clock.pass(READ_MIN - 1);
        assert_eq!(rig.read(), "");
        rig.clock.pass(1);
        assert_eq!(rig.read(), "ab");
    });
}

#[test]
fn a_reader_that_finds_nothing_has_an_old_file_finished() {
    both(keeping, |rig| {
        rig.write(b"a");
        rig.ripen();
        assert_eq!(rig.read(), "a");
        rig.expect_files(&["1000"]);
    });
}

#[test]
fn two_batches_of_one_file_come_back_one_by_one_in_order() {
    both(deleting, |rig| {
        rig.write(b"first");
        rig.write(b"second");
        rig.expect_files(&["1000.tmp"]);
        rig.ripen();
        let mut session = rig.storage().iter().unwrap();
        assert_eq!(session.next_batch().unwrap().unwrap().payload, &b"first"[..]);
        assert_eq!(session.next_batch().unwrap().unwrap().payload, &b"second"[..]);
        assert!(session.next_batch().is_none());
    });
}

#[test]
fn reading_goes_from_the_oldest_file_to_the_newest() {
    both(deleting, |rig| {
        for letter in *b"abc" {
            rig.write_file(letter);
            rig.clock.pass(WRITE_AGE);
        }
        rig.ripen();
        assert_eq!(rig.read(), "abc");
    });
}

#[test]
fn what_was_given_is_not_given_again_in_the_same_session() {
    both(keeping, |rig| {
        rig.write_file(b'a');
        rig.write_file(b'b');
        rig.ripen();
        let mut session = rig.storage().iter().unwrap();
        assert_eq!(session.by_ref().count(), 2);
        assert!(session.next_batch().is_none());
        rig.write_file(b'c');
        rig.ripen();
        assert_eq!(session.next_batch().unwrap().unwrap().payload, filling(b'c'));
        assert!(session.next_batch().is_none());
    });
}

#[test]
fn what_was_not_removed_comes_again_in_the_next_session() {
    both(keeping, |rig| {
        rig.write(b"a");
        rig.write(b"b");
        rig.ripen();
        for _ in 0..3 {
            assert_eq!(rig.read(), "ab");
        }
    });
}

#[test]
fn a_file_past_its_reading_age_is_not_read() {
    both(keeping, |rig| {
        rig.write_file(b'a');
        rig.clock.pass(10);
        rig.write_file(b'b');
        rig.clock.pass(READ_MAX - 11);
        assert_eq!(rig.read(), "ab");
        // In frames it is what is older than the limit that expires, in the original's layout what has reached it.
        rig.clock.pass(if rig.kind == Kind::Frames { 2 } else { 1 });
        assert_eq!(rig.read(), "b");
        rig.clock.pass(10);
        assert_eq!(rig.read(), "");
    });
}

#[test]
fn an_expired_file_is_passed_over_for_the_next_one() {
    both(deleting, |rig| {
        rig.write_file(b'a');
        rig.clock.pass(READ_MAX - READ_MIN + 1);
        rig.write_file(b'b');
        rig.ripen();
        assert_eq!(rig.read(), "b");
        // The original keeps it until it begins a file. So does its layout here; frames do not.
        let kept: &[&str] = if rig.kind == Kind::Delimited { &["1000"] } else { &[] };
        rig.expect_files(kept);
        rig.write_file(b'c');
        rig.expect_dropped((0, 1));
        rig.expect_files(&["11001.tmp"]);
    });
}

#[test]
fn a_file_that_expires_while_it_is_read_is_given_up() {
    both(keeping, |rig| {
        rig.write(b"a");
        rig.write(b"b");
        rig.ripen();
        let mut session = rig.storage().iter().unwrap();
        assert_eq!(session.next_batch().unwrap().unwrap().payload, &b"a"[..]);
        rig.clock.pass(READ_MAX + 1);
        rig.write(b"c");
        assert!(session.next_batch().is_none());
        rig.ripen();
        assert_eq!(session.next_batch().unwrap().unwrap().payload, &b"c"[..]);
    });
}

#[test]
fn a_file_may_be_let_go_of_while_it_is_read() {
    both(keeping, |rig| {
        rig.write(b"a");
        rig.write(b"b");
        rig.ripen();
        let mut session = rig.storage().iter().unwrap();
        assert_eq!(session.next_batch().unwrap().unwrap().payload, &b"a"[..]);
        for letter in *b"cdef" {
            rig.write_file(letter);
        }
        rig.ripen();
        let rest: String = session.map(|batch| char::from(batch.unwrap().payload[0])).collect();
        assert!(["def", "cdef"].contains(&rest.as_str()), "{rest}");
        assert!(!rig.files().contains(&"1000".to_owned()));
    });
}

#[test]
fn a_second_reader_is_refused_until_the_first_one_is_done() {
    both(keeping, |rig| {
        let session = rig.storage().iter().unwrap();
        assert!(matches!(rig.storage().iter(), Err(Error::ConsumerTaken { .. })));
        drop(session);
        assert!(rig.storage().iter().is_ok());
    });
}

// Removing.

#[test]
fn reading_goes_on_in_the_next_file_and_the_emptied_one_is_gone() {
    both(deleting, |rig| {
        rig.write_file(b'a');
        rig.clock.pass(WRITE_AGE);
        rig.write_file(b'b');
        rig.ripen();
        let mut session = rig.storage().iter().unwrap();
        assert_eq!(session.next_batch().unwrap().unwrap().payload, filling(b'a'));
        assert_eq!(session.next_batch().unwrap().unwrap().payload, filling(b'b'));
        drop(session);
        rig.expect_files(&["2000"]);
        assert_eq!(rig.read(), "b");
    });
}

#[test]
fn removing_the_last_batch_of_a_file_does_not_end_the_reading() {
    both(keeping, |rig| {
        rig.write_file(b'a');
        rig.write_file(b'b');
        rig.ripen();
        let mut session = rig.storage().iter().unwrap();
        session.next_batch().unwrap().unwrap();
        session.remove().unwrap();
        assert_eq!(session.next_batch().unwrap().unwrap().payload, filling(b'b'));
        drop(session);
        rig.expect_files(&["1001"]);
    });
}

#[test]
fn reading_without_removing_keeps_every_file() {
    both(keeping, |rig| {
        rig.write_file(b'a');
        rig.write_file(b'b');
        rig.ripen();
        assert_eq!(rig.read(), "ab");
        rig.expect_files(&["1000", "1001"]);
    });
}

#[test]
fn removing_every_batch_leaves_no_file() {
    both(keeping, |rig| {
        rig.write(b"a");
        rig.write_file(b'b');
        rig.write_file(b'c');
        rig.ripen();
        let mut session = rig.storage().iter().unwrap();
        while let Some(batch) = session.next_batch() {
            batch.unwrap();
            session.remove().unwrap();
        }
        drop(session);
        rig.expect_files(&[]);
    });
}

#[test]
fn asking_for_more_removes_what_was_given() {
    both(deleting, |rig| {
        rig.write(b"a");
        rig.write_file(b'b');
        rig.write_file(b'c');
        rig.ripen();
        assert_eq!(rig.read(), "abc");
        rig.expect_files(&[]);
    });
}

#[test]
fn removing_nothing_is_an_error_in_the_originals_words() {
    for config in [keeping, deleting] {
        both(config, |rig| {
            rig.write(b"a");
            rig.ripen();
            let mut session = rig.storage().iter().unwrap();
            let refused = session.remove().unwrap_err();
            assert_eq!(refused.to_string(), "next() must be called before remove()");
            session.next_batch().unwrap().unwrap();
            session.remove().unwrap();
            assert!(matches!(session.remove(), Err(Error::NothingToRemove)));
            assert!(session.next_batch().is_none());
            assert!(matches!(session.remove(), Err(Error::NothingToRemove)));
        });
    }
}

#[test]
fn removing_some_keeps_the_others() {
    both(keeping, |rig| {
        for letter in *b"abc" {
            rig.write_file(letter);
        }
        rig.ripen();
        remove(&rig, "ac");
        assert_eq!(rig.read(), "b");
    });
}

#[test]
fn removing_some_keeps_the_others_in_one_file() {
    both(keeping, |mut rig| {
        for batch in [b"a", b"b", b"c"] {
            rig.write(batch);
        }
        rig.ripen();
        remove(&rig, "ac");
        assert_eq!(rig.read(), "b");
        rig.close_and_open();
        assert_eq!(rig.read(), "b");
    });
}

#[test]
fn what_is_left_is_returned_again_and_again_also_after_reopening() {
    both(keeping, |mut rig| {
        for batch in [b"a", b"b", b"c", b"d"] {
            rig.write(batch);
        }
        rig.ripen();
        remove(&rig, "ab");
        assert_eq!(rig.read(), "cd");
        rig.close_and_open();
        assert_eq!(rig.read(), "cd");
        // Once more, as after a crash.
        remove(&rig, "c");
        rig.open();
        assert_eq!(rig.read(), "d");
    });
}

#[test]
fn a_batch_that_was_given_last_comes_again_after_the_end() {
    both(deleting, |mut rig| {
        rig.write(b"a");
        rig.write(b"b");
        rig.ripen();
        let mut session = rig.storage().iter().unwrap();
        session.next_batch().unwrap().unwrap();
        session.next_batch().unwrap().unwrap();
        rig.storage().close().unwrap();
        assert!(session.next_batch().is_none());
        drop(session);
        rig.open();
        assert_eq!(rig.read(), "b");
    });
}

#[test]
fn after_closing_nothing_goes_in_and_nothing_comes_out() {
    both(keeping, |rig| {
        rig.write(b"a");
        rig.storage().close().unwrap();
        rig.storage().close().unwrap();
        rig.ripen();
        assert!(matches!(rig.storage().write(Bytes::from_static(b"b"), 1), Err(Error::Closed)));
        assert!(matches!(rig.storage().iter(), Err(Error::Closed)));
        rig.expect_files(&["1000"]);
    });
}

// Damage.

#[test]
fn garbage_is_passed_over_all_at_once_and_counted() {
    let mut rig = Rig::new(Kind::Delimited, deleting());
    rig.write(b"a");
    rig.close_and_open();
    for name in ["1", "2", "3", "4"] {
        fs::write(rig.path(name), "bad").unwrap();
    }
    let environment = Environment::new(Arc::new(HostDisk), rig.clock.clone());
    rig.storage = None;
    let storage = DelimitedStorage::open(rig.folder.path(), rig.config.clone(), environment).unwrap();
    rig.ripen();
    let batches: Vec<_> = storage.iter().unwrap().map(|batch| batch.unwrap().payload).collect();
    assert_eq!(batches, [&b"a"[..]]);
    let counts = storage.counts();
    assert_eq!((counts.flawed_files, counts.flawed_bytes), (4, 12));
    rig.expect_files(&[]);
    assert_eq!(fs::read_dir(rig.path("quarantine")).unwrap().count(), 4);
}

#[test]
fn garbage_among_frames_is_set_aside_all_at_once_and_counted() {
    let mut rig = Rig::new(Kind::Frames, deleting());
    rig.write(b"a");
    rig.close_and_open();
    rig.storage = None;
    for name in ["1", "2", "3", "4"] {
        fs::write(rig.path(name), [b'x'; 100]).unwrap();
    }
    let environment = Environment::new(Arc::new(HostDisk), rig.clock.clone());
    let (storage, recovery) =
        FileSpanStorage::open(rig.folder.path(), rig.config.clone(), environment).unwrap();
    assert_eq!((recovery.quarantined_files, recovery.frames), (4, 1));
    rig.ripen();
    let batches: Vec<_> = storage.iter().unwrap().map(|batch| batch.unwrap().payload).collect();
    assert_eq!(batches, [&b"a"[..]]);
    assert_eq!(fs::read_dir(rig.path("quarantine")).unwrap().count(), 4);
}

#[test]
fn what_is_wrong_in_a_folder_is_said_file_by_file_and_nothing_else_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8]); 6] = [
        ("10", &[1, b'a', 1, b'b']),
        ("9", &[1, b'c', 5, b'd']),
        ("20", &[1, b'e', 0, 1]),
        ("15.tmp", &[1, b'f', 0x80]),
        (".nomedia", b""),
        ("30.bak", &[1, b'x']),
    ];
    for (name, bytes) in files {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let before = contents(folder.path());
    let reader = FolderReader::open(folder.path(), Arc::new(HostDisk)).unwrap();
    let found: Vec<String> = reader
        .map(|found| match found {
            Found::Request { file, payload } => format!("{file} {}", char::from(payload[0])),
            Found::Damage(damage) => damage.to_string(),
        })
        .collect();
    assert_eq!(
        found,
        [
            "9 c",
            "9: a record of 5 bytes that ends after 1, at byte 2; what follows in this file cannot be read",
            "10 a",
            "10 b",
            "20 e",
            "20: a record of no bytes, at byte 2; what follows in this file cannot be read",
            "15.tmp f",
            "15.tmp: a length that is cut short, at byte 2; what follows in this file cannot be read",
        ]
    );
    assert_eq!(contents(folder.path()), before, "a reader changes nothing");
}

#[test]
fn a_folder_in_use_is_not_read_from_outside() {
    both(keeping, |rig| {
        let read = FolderReader::open(rig.folder.path(), Arc::new(HostDisk));
        assert!(matches!(read, Err(Error::Locked { .. })));
    });
}
