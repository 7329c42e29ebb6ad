//! The store on a disk that fails or rots, and used by many at once.

use std::cell::Cell;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU8};
use std::thread;

use redb::backends::FileBackend;
use redb::{Builder, Database, DatabaseError, ReadableTable as _, StorageBackend};
use tempfile::TempDir;

use super::tests::{TINY, settings};
use super::*;
use crate::model::sketch::{BASE, trace, trace_id};
use crate::store::calls::DEPENDENCIES;
use crate::store::engine::Definition;
use crate::store::schema::{CURSOR, RESOURCES, RUNS, SEARCHABLE_TAGS, SERVICE_NAME_INDEX, SPANS};

const BUFFER: [u8; 16] = [7; 16];

const CART: &str = "
shop | GET /cart | server | 0-100
  shop | load | client | 10-90
    cart | GET | server | 20-80
      redis | HGET | client | 30-40 | !error db.system=redis
";

/// A disk that does as it is told.
#[derive(Debug)]
struct Moody {
    file: FileBackend,
    mood: Arc<AtomicU8>,
}

const WELL: u8 = 0;
const FULL: u8 = 1;
const FAILING: u8 = 2;
const PANICKING: u8 = 3;

impl Moody {
    fn ask(&self, is_read: bool) -> io::Result<()> {
        match self.mood.load(Ordering::SeqCst) {
            WELL => Ok(()),
            FULL if is_read => Ok(()),
            FULL => Err(io::Error::from(io::ErrorKind::StorageFull)),
            FAILING => Err(io::Error::other("the disk is failing")),
            _ => panic!("the disk is on fire"),
        }
    }
}

impl StorageBackend for Moody {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.ask(true)?;
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.ask(false)?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.ask(false)?;
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.ask(false)?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

/// A folder on such a disk, read without a cache, so that every question reads from it.
#[derive(Debug)]
struct MoodyFolder {
    folder: Folder,
    mood: Arc<AtomicU8>,
}

impl Files for MoodyFolder {
    fn blocks(&self) -> io::Result<Vec<String>> {
        self.folder.blocks()
    }

    fn exists(&self, name: &str) -> bool {
        self.folder.exists(name)
    }

    fn open(&self, name: &str, may_make: bool, _cache_bytes: usize) -> Result<Database, DatabaseError> {
        let path = self.folder.path(name);
        let file = OpenOptions::new().read(true).write(true).create(may_make).truncate(false).open(path)?;
        let disk = Moody { file: FileBackend::new(file)?, mood: Arc::clone(&self.mood) };
        Builder::new().set_cache_size(0).create_with_backend(disk)
    }

    fn open_untouched(&self, name: &str, cache_bytes: usize) -> Result<Database, DatabaseError> {
        self.folder.open_untouched(name, cache_bytes)
    }

    fn bytes(&self, name: &str) -> io::Result<u64> {
        self.folder.bytes(name)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.folder.remove(name)
    }

    fn set_aside(&self, name: &str, now: Timestamp) -> io::Result<PathBuf> {
        self.folder.set_aside(name, now)
    }

    fn count_set_aside(&self) -> usize {
        self.folder.count_set_aside()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        self.folder.free_bytes()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path(name)
    }
}

fn cursor(sequence: u64) -> Cursor {
    Cursor { buffer: BUFFER, signal: 0, sequence }
}

/// A store on a moody disk; trace 1 is stored.
fn moody_store(folder: &TempDir) -> (Store, Arc<AtomicU8>) {
    let mood = Arc::new(AtomicU8::new(WELL));
    let files = MoodyFolder { folder: Folder::open(folder.path()).unwrap(), mood: Arc::clone(&mood) };
    let settings = Settings { cache_bytes: 0, ..settings() };
    let store = Store::with_files(Arc::new(files), &settings, Sizes::default(), BASE).unwrap();
    store.append(&trace(1, CART), &cursor(1), BASE).unwrap();
    (store, mood)
}

fn found(store: &Store, number: u64) -> Result<usize, Error> {
    store.ask(|snapshot| Ok(snapshot.trace(trace_id(number), usize::MAX)?.spans.len()))
}

fn calls(store: &Store) -> Vec<String> {
    let calls = store.snapshot().unwrap().dependencies(Timestamp::ZERO, Timestamp::MAX).unwrap();
    calls.iter().map(|call| format!("{}>{} {}", call.parent, call.child, call.calls)).collect()
}

#[test]
fn a_failing_disk_is_reported_once_and_then_tried_again() {
    for bad_mood in [FULL, FAILING, PANICKING] {
        let folder = tempfile::tempdir().unwrap();
        let (store, mood) = moody_store(&folder);
        mood.store(bad_mood, Ordering::SeqCst);
        let error = store.append(&trace(2, CART), &cursor(2), BASE).unwrap_err();
        assert_eq!(matches!(error, Error::Panicked(_)), bad_mood == PANICKING, "{error:?}");
        assert_eq!(error.is_no_space(), bad_mood == FULL, "{error:?}");
        mood.store(WELL, Ordering::SeqCst);

        assert_eq!(store.cursor(BUFFER, 0).unwrap(), Some(1), "spans and cursor are undone together");
        assert_eq!((found(&store, 1).unwrap(), found(&store, 2).unwrap()), (4, 0));
        assert_eq!(store.append(&trace(2, CART), &cursor(2), BASE).unwrap().new, 4);
        assert_eq!((found(&store, 2).unwrap(), calls(&store)[0].as_str()), (4, "cart>redis 2"));
        assert_eq!((store.status().engine_failures, store.status().blocks), (1, 1));
    }
}

#[test]
fn a_disk_that_fails_while_a_block_is_begun_is_tried_again() {
    for bad_mood in [FULL, FAILING, PANICKING] {
        let folder = tempfile::tempdir().unwrap();
        let (store, mood) = moody_store(&folder);
        store.append(&trace(2, "late | reply | consumer | 0-1 | #9 ^1"), &cursor(2), BASE).unwrap();
        mood.store(bad_mood, Ordering::SeqCst);
        store.roll(BASE).unwrap_err();
        mood.store(WELL, Ordering::SeqCst);
        store.roll(BASE).unwrap();
        store.append(&trace(2, CART), &cursor(3), BASE).unwrap();
        assert_eq!((found(&store, 1).unwrap(), found(&store, 2).unwrap()), (4, 5));
        assert_eq!((store.status().blocks, store.cursor(BUFFER, 0).unwrap()), (2, Some(3)));
        assert!(calls(&store).contains(&"shop>late 1".to_owned()), "who waits is taken over");
    }
}

#[test]
fn a_question_that_fails_on_its_way_is_reported_and_the_next_one_answered() {
    // One that panics is stepped over as damage.
    for bad_mood in [FAILING, PANICKING] {
        let folder = tempfile::tempdir().unwrap();
        let (store, mood) = moody_store(&folder);
        let snapshot = store.snapshot().unwrap();
        mood.store(bad_mood, Ordering::SeqCst);
        let asked = snapshot.trace(trace_id(1), usize::MAX);
        let is_told = asked.map_or(true, |rows| rows.spans.is_empty() && store.status().damaged_rows > 0);
        assert!(is_told);
        mood.store(WELL, Ordering::SeqCst);
        assert_eq!(found(&store, 1).unwrap(), 4);
        assert_eq!(store.status().engine_failures, 1);
    }
}

#[test]
fn a_question_is_asked_again_when_the_file_was_closed_under_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mood) = moody_store(&folder);
    let asked = Cell::new(0);
    let answer = store.ask(|snapshot| {
        asked.set(asked.get() + 1);
        if asked.get() == 1 {
            mood.store(FULL, Ordering::SeqCst);
            store.append(&trace(2, CART), &cursor(2), BASE).unwrap_err();
            mood.store(WELL, Ordering::SeqCst);
            // The file is open again, beside this snapshot of the handle before.
            store.append(&trace(3, CART), &cursor(3), BASE).unwrap();
        }
        Ok(snapshot.trace(trace_id(1), usize::MAX)?.spans.len())
    });
    assert_eq!((answer.unwrap(), asked.get()), (4, 2));
    assert_eq!(found(&store, 3).unwrap(), 4);
    assert_eq!(store.status().engine_failures, 1);
}

#[test]
fn merging_on_a_failing_disk_changes_nothing() {
    for bad_mood in [FULL, FAILING, PANICKING] {
        let folder = tempfile::tempdir().unwrap();
        let (store, mood) = moody_store(&folder);
        store.append(&trace(2, CART), &cursor(2), BASE).unwrap();
        store.roll(BASE).unwrap();
        mood.store(bad_mood, Ordering::SeqCst);
        assert!(store.merge().is_err() || bad_mood == PANICKING);
        mood.store(WELL, Ordering::SeqCst);
        assert_eq!((found(&store, 1).unwrap(), found(&store, 2).unwrap()), (4, 4));
        let again = store.merge().unwrap().map(|merged| merged.spans);
        assert!(again == Some(8) || bad_mood == PANICKING, "{again:?}");
        assert_eq!((found(&store, 1).unwrap(), found(&store, 2).unwrap()), (4, 4));
    }
}

#[test]
fn a_block_that_vanished_is_not_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let (store, _mood) = moody_store(&folder);
    let active = store.blocks.active().unwrap();
    fs::remove_file(folder.path().join(active.name())).unwrap();
    let panicked = active.engine().write::<()>(|_transaction| panic!("the engine fails"));
    assert!(matches!(panicked, Err(Error::Panicked(_))));
    assert!(store.append(&trace(2, CART), &cursor(2), BASE).is_err());
    assert!(!folder.path().join(active.name()).exists());
}

/// Flips one bit in the value of every row of a table, in the block that is written to.
fn damage_rows(store: &Store, definition: Definition) {
    let damaged = store.blocks.active().unwrap().engine().write(|transaction| {
        let mut table = transaction.open_table(definition)?;
        let mut damaged = Vec::new();
        for row in table.iter()? {
            let (key, value) = row?;
            let mut value = value.value().to_vec();
            value[0] ^= 1;
            damaged.push((key.value().to_vec(), value));
        }
        assert!(!damaged.is_empty());
        for (key, value) in damaged {
            table.insert(&key[..], &value[..])?;
        }
        Ok(())
    });
    damaged.unwrap();
}

fn open(path: &Path) -> Store {
    Store::open(path, &settings(), BASE).unwrap()
}

/// How many spans a search comes upon.
fn searched(store: &Store, service: Option<&str>, tags: &[(&str, &str)]) -> usize {
    let filter = Filter {
        service: service.map(str::to_owned),
        operation: None,
        kind: None,
        status: None,
        tags: tags.iter().map(|(key, value)| vec![tag_hash(key, value)]).collect(),
        starts: Timestamp::ZERO..=Timestamp::MAX,
        durations: Duration::ZERO..=Duration::MAX,
    };
    let (snapshot, mut candidates) = (store.snapshot().unwrap(), Vec::new());
    let mut scan = snapshot.scan(&filter).unwrap();
    while scan.advance(&mut candidates).unwrap() {}
    candidates.iter().filter(|candidate| scan.span(candidate).unwrap().is_some()).count()
}

#[test]
fn what_is_damaged_is_counted_and_the_rest_served() {
    // Of which table; spans of trace 1, of a service, without one, by a pair that none has.
    let cases: [(Definition, usize, usize, usize, usize); 5] = [
        (SPANS, 0, 0, 0, 0),
        (RESOURCES, 0, 0, 0, 0),
        (RUNS, 0, 0, 0, 0),
        // Whose index is damaged is looked for in the chunks.
        (SERVICE_NAME_INDEX, 4, 4, 4, 0),
        (SEARCHABLE_TAGS, 4, 2, 4, 4),
    ];
    for (table, spans, of_shop, of_all, by_pair) in cases {
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        store.append(&trace(1, CART), &cursor(1), BASE).unwrap();
        damage_rows(&store, table);
        drop(store);
        let store = open(folder.path());
        assert_eq!(found(&store, 1).unwrap(), spans, "{table}");
        assert_eq!(searched(&store, Some("shop"), &[]), of_shop, "{table}");
        assert_eq!(searched(&store, None, &[]), of_all, "{table}");
        assert_eq!(searched(&store, None, &[("no", "such")]), by_pair, "{table}");
        assert!(store.status().damaged_rows > 0, "{table}");
        // What comes is stored, and what comes again heals.
        store.append(&trace(2, CART), &cursor(2), BASE).unwrap();
        store.append(&trace(1, CART), &cursor(3), BASE).unwrap();
        assert_eq!((found(&store, 1).unwrap(), found(&store, 2).unwrap()), (4, 4), "{table}");
        store.roll(BASE).unwrap();
        while store.merge().unwrap().is_some() {}
        assert_eq!((found(&store, 1).unwrap(), found(&store, 2).unwrap()), (4, 4), "{table}, merged");
    }
}

#[test]
fn a_damaged_count_of_calls_is_told_and_begins_anew() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.append(&trace(1, CART), &cursor(1), BASE).unwrap();
    damage_rows(&store, DEPENDENCIES);
    assert_eq!(calls(&store), [""; 0]);
    assert_eq!(store.status().damaged_rows, 3);
    store.append(&trace(2, CART), &cursor(2), BASE).unwrap();
    assert_eq!(store.status().damaged_rows, 6, "also when it is written over");
    assert_eq!(calls(&store), ["cart>redis 1", "shop>cart 1", "shop>shop 1"]);
}

#[test]
fn a_damaged_cursor_is_told_and_moves_on() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.append(&trace(1, CART), &cursor(5), BASE).unwrap();
    damage_rows(&store, CURSOR);
    assert_eq!((store.cursor(BUFFER, 0).unwrap(), store.status().damaged_rows), (None, 1));
    // The buffer delivers again what the store then knows.
    assert_eq!(store.append(&trace(1, CART), &cursor(1), BASE).unwrap().duplicates, 4);
    assert_eq!(store.cursor(BUFFER, 0).unwrap(), Some(1));
}

/// Batches of the test below.
const BATCHES: u64 = 120;

/// One writes and rolls, one merges, one drops, two read: each batch is there whole or not at all, none before those
/// that came before it, and a snapshot is asked twice with the same answer.
#[test]
fn readers_writer_and_merging_do_not_disturb_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let files = Arc::new(Folder::open(folder.path()).unwrap());
    let store = Store::with_files(files, &settings(), TINY, BASE).unwrap();
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                store.merge().unwrap();
            }
        });
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(Ordering::SeqCst) {
                    let snapshot = store.snapshot().unwrap();
                    let lengths = || -> Vec<usize> {
                        let length =
                            |number| snapshot.trace(trace_id(number), usize::MAX).unwrap().spans.len();
                        (1..=BATCHES).map(length).collect()
                    };
                    let read = lengths();
                    let there = read.iter().take_while(|length| **length == 4).count();
                    assert!(read[there..].iter().all(|length| *length == 0), "{read:?}");
                    assert_eq!(lengths(), read);
                }
            });
        }
        for number in 1..=BATCHES {
            store.append(&trace(number, CART), &cursor(number), BASE).unwrap();
            if number % 9 == 0 {
                store.roll(BASE).unwrap();
            }
        }
        is_done.store(true, Ordering::SeqCst);
    });
    while store.merge().unwrap().is_some() {}
    assert_eq!(calls(&store), ["cart>redis 120", "shop>cart 120", "shop>shop 120"]);
    assert_eq!((store.status().spans, store.status().damaged_rows), (4 * BATCHES, 0));
}

/// Blocks are dropped under those who read them.
#[test]
fn a_block_that_is_dropped_is_read_to_its_end_by_who_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut sequence = 0;
    let mut fill = |now| {
        for number in 1..=20 {
            sequence += 1;
            store.append(&trace(number, CART), &cursor(sequence), now).unwrap();
            store.roll(now).unwrap();
        }
    };
    fill(BASE);
    let count = |snapshot: &Snapshot<'_>| -> usize {
        (1..=20).map(|number| snapshot.trace(trace_id(number), usize::MAX).unwrap().spans.len()).sum()
    };
    let snapshots: Vec<_> = (0..3).map(|_| store.snapshot().unwrap()).collect();
    let count = &count;
    thread::scope(|scope| {
        let readers: Vec<_> = snapshots
            .iter()
            .map(|snapshot| scope.spawn(move || (0..3).map(|_| count(snapshot)).sum::<usize>()))
            .collect();
        let late = BASE.plus(settings().max_age);
        assert_eq!(store.expire(late).unwrap(), 80);
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 3 * 80);
        }
    });
    assert_eq!(count(&store.snapshot().unwrap()), 0);
    assert_eq!(fs::read_dir(folder.path().join("blocks")).unwrap().count(), 1);
}

#[test]
fn a_sealed_block_that_cannot_be_read_costs_what_it_holds_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for number in 1..=3 {
        store.append(&trace(number, CART), &cursor(number), BASE).unwrap();
        store.roll(BASE).unwrap();
    }
    let sealed: Vec<PathBuf> =
        store.blocks.sealed().iter().map(|block| folder.path().join(block.name())).collect();
    drop(store);
    // What is no file at all can be opened and not read.
    let aside = folder.path().join("aside");
    fs::rename(&sealed[0], &aside).unwrap();
    fs::create_dir(&sealed[0]).unwrap();
    let store = open(folder.path());
    assert_eq!(store.status().set_aside, 0, "it stays where it is");
    assert_eq!([1, 2, 3].map(|number| found(&store, number).unwrap()), [0, 4, 4]);
    assert!(store.status().damaged_rows > 0);
    assert_eq!(store.append(&trace(2, CART), &cursor(4), BASE).unwrap().duplicates, 4);
    while store.merge().unwrap().is_some() {}
    assert_eq!(store.expire(BASE).unwrap(), 0);
    // The disk has it again.
    fs::remove_dir(&sealed[0]).unwrap();
    fs::rename(&aside, &sealed[0]).unwrap();
    assert_eq!((found(&store, 1).unwrap(), store.status().spans), (4, 12));
    // Somebody removes files.
    store.blocks.sealed().iter().for_each(|block| block.engine().close_if_idle());
    fs::remove_file(&sealed[1]).unwrap();
    assert_eq!([1, 2, 3].map(|number| found(&store, number).unwrap()), [4, 0, 4]);
    store.append(&trace(4, CART), &cursor(5), BASE).unwrap();
    let late = BASE.plus(settings().max_age);
    assert_eq!(store.expire(late).unwrap(), 16);
}

#[test]
fn a_sealed_block_that_cannot_be_read_keeps_no_other_from_being_merged() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for number in 1..=4 {
        store.append(&trace(number, CART), &cursor(number), BASE).unwrap();
        if number % 2 == 0 {
            store.roll(BASE).unwrap();
        }
    }
    let lost = store.blocks.sealed().remove(0);
    lost.engine().close_if_idle();
    fs::remove_file(folder.path().join(lost.name())).unwrap();
    assert_eq!(store.merge().unwrap().map(|merged| merged.runs), Some(2), "of the block behind it");
    store.merge().unwrap_err();
    assert_eq!([2, 4].map(|number| found(&store, number).unwrap()), [0, 4]);
}

#[test]
fn a_bad_place_in_a_sealed_block_does_not_stop_what_comes_in() {
    let folder = tempfile::tempdir().unwrap();
    let (store, mood) = moody_store(&folder);
    store.roll(BASE).unwrap();
    let sealed = store.blocks.sealed().remove(0);
    let view = sealed.view(&store.losses).unwrap();
    let run = Arc::clone(&view.runs[0]);
    let (snapshot, entry) = (store.snapshot().unwrap(), &run.chunks[0]);
    mood.store(FAILING, Ordering::SeqCst);
    assert!(snapshot.chunk(&view, &run, 0, entry).unwrap().is_none());
    mood.store(WELL, Ordering::SeqCst);
    assert!(snapshot.chunk(&view, &run, 0, entry).unwrap().is_some(), "what comes after it is read");
    assert!(store.status().damaged_rows > 0);
}
