//! Bits that turn, pages that are garbage, and files that are not what they were.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::crash_images;
use super::disk::{Dice, SimulatedDisk};
use super::life;
use super::truth::{Findings, Truth, furnished};
use crate::model::Timestamp;
use crate::model::sketch::trace_id;
use crate::store::engine::{FORMAT_KEY, META};
use crate::store::files::Files as _;
use crate::store::seal::seal;
use crate::store::{Error, archive};

/// The longest that a start may take.
const SOON: Duration = Duration::from_secs(10);

const PAGE_BYTES: usize = 4096;

/// What is missing is in the damaged files, and is said.
fn check(truth: &Truth, findings: &Findings, damaged: &[&str], what: &str) -> bool {
    for key in &findings.missing {
        let files = &truth.spans[key].1;
        let is_hit = files.iter().all(|file| damaged.contains(&file.as_str()));
        assert!(is_hit, "{what}: {key:?} of {files:?} is missing, damage is in {damaged:?}");
    }
    findings.missing.is_empty() || findings.damaged_rows + findings.set_aside > 0
}

#[test]
fn a_bit_that_turns_makes_no_wrong_answer() {
    let truth = furnished(7);
    let mut dice = Dice(1);
    let mut silent = Vec::new();
    let flips = (crash_images() / 2).max(300);
    for flip in 0..flips {
        let disk = truth.disk.copy();
        let (file, page) = disk.rot(&mut dice);
        let findings = truth.examine(&disk);
        if !check(&truth, &findings, &[&file], "flip") {
            silent.push((flip, file, page, findings));
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

/// Pages in which something stands.
fn used_pages(disk: &SimulatedDisk) -> Vec<(String, usize)> {
    let mut pages = Vec::new();
    for name in life::names(disk) {
        let bytes = disk.bytes_of(&name);
        let is_used = |page: &[u8]| page.iter().any(|byte| *byte != 0);
        let used = bytes.chunks(PAGE_BYTES).enumerate().filter(|(_, page)| is_used(page));
        pages.extend(used.map(|(number, _)| (name.clone(), number)));
    }
    pages
}

fn overwrite(disk: &SimulatedDisk, (file, page): (&str, usize), with: impl FnMut() -> u8) {
    let mut bytes = disk.bytes_of(file);
    bytes[page * PAGE_BYTES..][..PAGE_BYTES].fill_with(with);
    disk.put(file, Some(&bytes));
}

#[test]
fn a_block_that_cannot_be_written_to_for_damage_is_left_and_another_begun() {
    let truth = furnished(7);
    let mut dice = Dice(4);
    // One that is young, so that nothing else makes it be left.
    let fresh = truth.disk.copy();
    let store = life::open(&fresh, truth.now).unwrap();
    store.roll(truth.now).unwrap();
    store.append(&truth.late(), &truth.cursor(truth.sequence + 1), truth.now).unwrap();
    drop(store);
    let active = life::names(&fresh).pop().unwrap();
    let mut left = 0;
    for (file, page) in used_pages(&fresh).into_iter().filter(|(file, _)| *file == active) {
        let disk = fresh.copy();
        overwrite(&disk, (&file, page), || dice.below(256) as u8);
        let store = life::open(&disk, truth.now).unwrap();
        let blocks = store.blocks.all().len();
        let append = || store.append(&truth.later(), &truth.cursor(truth.sequence + 2), truth.now);
        match append() {
            Ok(_) => {
                // What was found before anything was written to it.
                left += usize::from(store.blocks.all().len() > blocks);
                continue;
            }
            Err(error) => assert!(error.is_damage(), "{error:?}"),
        }
        assert!(append().is_ok() || append().is_ok(), "page {page}");
        assert_eq!(truth.check_spans(&store), [], "page {page}");
        left += usize::from(store.blocks.all().len() > blocks);
        assert!(store.status().damaged_rows + store.status().engine_failures > 0);
    }
    // redb's debug build looks at all pages when it opens: damaged blocks are set aside then.
    assert!(left > 0 || cfg!(debug_assertions), "no page keeps a block from being written to");
}

#[test]
fn an_archive_that_is_damaged_is_not_emptied_but_left() {
    let truth = furnished(7);
    let mut dice = Dice(6);
    let pages = used_pages(&truth.disk);
    let mut left = 0;
    for (file, page) in pages.into_iter().filter(|(file, _)| file == archive::NAME) {
        let disk = truth.disk.copy();
        // It opens well, and is looked at when it is first to be written to.
        let store = life::open(&disk, truth.now).unwrap();
        overwrite(&disk, (&file, page), || dice.below(256) as u8);
        let before = disk.bytes_of(&file);
        if let Err(error) = store.purge(truth.now) {
            assert!(matches!(&error, Error::OnlyRead { path } if path.ends_with(archive::NAME)), "{error:?}");
            assert!(disk.bytes_of(&file) == before && store.archive.len() > 0, "page {page}");
            left += 1;
        }
    }
    assert!(left > 0, "no page keeps the archive from being emptied");
}

#[test]
fn what_was_damaged_before_the_start_is_only_read() {
    let truth = furnished(7);
    let mut dice = Dice(5);
    let pages = used_pages(&truth.disk);
    // Fewer would not come to every file.
    let step = (pages.len() as u64 / (crash_images() / 2).max(50)).max(1) as usize;
    let mut only_read = BTreeSet::new();
    for (file, page) in pages.into_iter().step_by(step) {
        let disk = truth.disk.copy();
        overwrite(&disk, (&file, page), || dice.below(256) as u8);
        let store = life::open(&disk, truth.now).unwrap();
        let blocks = store.blocks.all();
        let Some(block) = blocks.iter().chain(store.archive.block()).find(|block| block.name() == file)
        else {
            continue;
        };
        let before = disk.bytes_of(&file);
        truth.check_writing(&store);
        truth.check_upkeep(&store);
        truth.check_spans(&store);
        if !block.is_known_sound() {
            assert!(disk.bytes_of(&file) == before, "page {page} of {file} is damaged, {file} was changed");
            // A block in which nothing is left to be done was not even looked at.
            if store.status().damaged_rows > 0 {
                only_read.insert(file);
            }
        }
        if store.archive.block().is_some_and(|block| !block.is_known_sound()) {
            // Which file it is that nothing can be pinned in, is said.
            let error = store.pin(trace_id(6), truth.now).unwrap_err();
            let is_named = matches!(&error, Error::OnlyRead { path } if path.ends_with(archive::NAME));
            assert!(is_named || !matches!(error, Error::OnlyRead { .. }), "{error:?}");
        }
    }
    // redb's debug build looks at all pages when it opens: damaged files are set aside then.
    assert!(only_read.len() >= 4 || cfg!(debug_assertions), "{only_read:?}");
}

#[test]
fn a_page_of_garbage_is_one_damage_among_much_that_is_served() {
    let truth = furnished(7);
    let mut dice = Dice(2);
    let pages = used_pages(&truth.disk);
    let step = (pages.len() as u64 / (crash_images() / 4).max(1)).max(1) as usize;
    let mut silent = Vec::new();
    for (file, page) in pages.into_iter().step_by(step) {
        for is_random in [true, false] {
            let disk = truth.disk.copy();
            overwrite(&disk, (&file, page), || if is_random { dice.below(256) as u8 } else { 0 });
            let findings = truth.examine(&disk);
            if !check(&truth, &findings, &[&file], "garbage") {
                silent.push((file.clone(), page, is_random, findings));
            }
        }
    }
    assert!(silent.is_empty(), "{silent:#?}");
}

/// What may have become of a file, and of which files.
fn spoil(disk: &SimulatedDisk, name: &str, manner: u64, dice: &mut Dice) -> Vec<String> {
    let mut bytes = disk.bytes_of(name);
    let mut garbage = |length: usize| -> Vec<u8> { (0..length).map(|_| dice.below(256) as u8).collect() };
    match manner {
        0 => disk.put(name, Some(&[])),
        1 => disk.put(name, None),
        2 => disk.put(name, Some(&garbage(10_000))),
        3 => disk.put(name, Some(b"not a database, but something of yours")),
        4 => {
            bytes.truncate(dice.below(bytes.len() as u64) as usize);
            disk.put(name, Some(&bytes));
        }
        5 => {
            let at = dice.below(bytes.len() as u64) as usize;
            bytes[at..].fill(0);
            disk.put(name, Some(&bytes));
        }
        6 => {
            let header = garbage(512);
            bytes[..512].copy_from_slice(&header);
            disk.put(name, Some(&bytes));
        }
        7 => {
            // Without the header's first bytes, which say that it is redb's.
            let at = 9 + dice.below(300) as usize;
            bytes[at] ^= 1 << dice.below(8);
            disk.put(name, Some(&bytes));
        }
        _ => {
            let names = life::names(disk);
            let other = &names[dice.below(names.len() as u64) as usize];
            let others = disk.bytes_of(other);
            disk.put(name, Some(&others));
            disk.put(other, Some(&bytes));
            return vec![name.to_owned(), other.clone()];
        }
    }
    vec![name.to_owned()]
}

#[test]
fn a_file_that_is_not_what_it_was_is_set_aside_alone() {
    let truth = furnished(7);
    let mut dice = Dice(3);
    let names = life::names(&truth.disk);
    // One way after the other, with one file after the other: in the end all with all.
    for case in 0..(crash_images() / 10).max(9) {
        let (name, manner) = (&names[(case / 9 + case) as usize % names.len()], case % 9);
        let disk = truth.disk.copy();
        let damaged = spoil(&disk, name, manner, &mut dice);
        let damaged: Vec<&str> = damaged.iter().map(String::as_str).collect();
        let started = Instant::now();
        let findings = truth.examine(&disk);
        assert!(started.elapsed() < SOON);
        let is_said = check(&truth, &findings, &damaged, &format!("manner {manner} of {name}"));
        // What is missing, or a newest one that is empty, cannot be told from what never was.
        assert!(is_said || manner < 2, "manner {manner} of {name}: {findings:?}");
        // It is damaged once, and not again at every start.
        let again = life::open(&disk, truth.now).unwrap();
        truth.check_spans(&again);
        assert!(again.status().set_aside <= findings.set_aside.max(1), "after {findings:?}");
    }
}

#[test]
fn a_block_of_a_later_format_is_refused_in_words_and_left_alone() {
    let truth = furnished(7);
    for name in life::names(&truth.disk) {
        let disk = truth.disk.copy();
        let database = disk.open(&name, false, 1 << 20).unwrap();
        let transaction = database.begin_write().unwrap();
        let value = seal(FORMAT_KEY, 3u32.to_le_bytes().to_vec());
        transaction.open_table(META).unwrap().insert(FORMAT_KEY, &value[..]).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let before: BTreeSet<String> = disk.names().into_iter().collect();
        let error = life::open(&disk, Timestamp::ZERO).unwrap_err();
        assert!(matches!(&error, Error::NewerFormat { found: 3, known: 2, .. }), "{error:?}");
        assert!(error.to_string().contains(&name) && error.to_string().contains("later"), "{error}");
        assert_eq!(disk.names().into_iter().collect::<BTreeSet<_>>(), before);
    }
}
