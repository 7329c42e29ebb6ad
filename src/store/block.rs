//! One redb file of the store: runs of spans and what is derived from them.
//!
//! A block is written by one caller at a time and read by any number. What a reader sees is one commit: the rows of
//! its transaction and the directory in memory carry the same generation.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::{Mutex, RwLock};
use redb::{ReadTransaction, ReadableTable as _, TableHandle as _, WriteTransaction};

use crate::model::Timestamp;
use crate::store::Error;
use crate::store::calls::PENDING_PARENTS;
use crate::store::directory::Run;
use crate::store::engine::{self, Engine, META, Open, Reading};
use crate::store::files::Files;
use crate::store::losses::Losses;
use crate::store::schema::{GENERATION_KEY, LAYOUT, RUNS, TIDY_KEY};
use crate::store::seal::{Damaged, seal, unseal};

/// The runs of a block as of one commit.
pub(super) type Runs = Arc<[Arc<Run>]>;

/// How often a reader that came between a commit and its publication looks again before it waits for the writer.
const LOOKS: usize = 64;

/// Memory for pages while a file is looked at; most are seen once.
const CHECK_CACHE_BYTES: usize = 1 << 20;

/// The part of a file that must be free for it to be compacted: readers of the block wait meanwhile.
const WORTH_COMPACTING: u64 = 8;

/// One file.
pub(super) struct Block {
    /// Its place among the blocks; later ones are newer. The archive has none.
    pub(super) sequence: u64,
    /// When it was made.
    pub(super) opened: Timestamp,
    name: String,
    engine: Arc<Engine>,
    /// For the next time it is opened.
    cache_bytes: Arc<AtomicUsize>,
    files: Arc<dyn Files>,
    state: RwLock<State>,
    /// Held from before a commit until its runs are published.
    publishing: Mutex<()>,
    next_run: AtomicU32,
    /// The larger, the later it was read.
    last_read: AtomicU64,
    /// Whether nothing is left to be merged in it, now that it is written to no more.
    tidy: AtomicBool,
    is_sealed: AtomicBool,
    /// Those who want it to stay as it is.
    holders: AtomicUsize,
    /// Runs that cannot be read whole.
    unreadable: Mutex<HashSet<u32>>,
    /// Whether all its pages were as they had been written; `None` before they were looked at.
    sound: Mutex<Option<bool>>,
    /// Keeps the file open once its name is gone.
    kept_open: Mutex<Option<Reading>>,
}

/// What is known of a block in memory.
#[derive(Debug, Clone, Default)]
struct State {
    /// `None` when it is not in memory, or a commit's outcome is not known.
    runs: Option<Runs>,
    generation: u64,
    summary: Summary,
}

/// What a block holds, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Summary {
    /// Spans, duplicates in different runs included.
    pub(super) spans: u64,
    /// The earliest start that is not zero.
    pub(super) earliest: Option<Timestamp>,
    /// The latest start.
    pub(super) latest: Timestamp,
    /// When the last of its spans has its time over.
    pub(super) expire_time: Timestamp,
    /// Runs.
    pub(super) runs: usize,
    /// What the file takes on the disk.
    pub(super) bytes: u64,
}

impl Summary {
    fn of(runs: &[Arc<Run>], bytes: u64) -> Self {
        let starts = runs.iter().map(|run| *run.starts.start()).filter(|start| start.nanos() > 0);
        Self {
            spans: runs.iter().map(|run| u64::from(run.spans)).sum(),
            earliest: starts.min(),
            latest: runs.iter().map(|run| *run.starts.end()).max().unwrap_or_default(),
            expire_time: runs.iter().map(|run| run.expire_time).max().unwrap_or_default(),
            runs: runs.len(),
            bytes,
        }
    }
}

/// What is kept in memory, as it is on the disk.
struct Loaded {
    runs: Runs,
    next_run: u32,
    generation: u64,
    is_tidy: bool,
}

impl Loaded {
    fn read(reading: &Reading, losses: &Losses) -> Result<Self, Error> {
        reading.read(|transaction| {
            let generation = generation_of(transaction)?;
            Ok(Self {
                runs: runs_of(transaction, losses)?,
                next_run: next_run_in(transaction)?,
                generation,
                is_tidy: number_in(transaction, TIDY_KEY)? == Some(generation),
            })
        })
    }
}

/// A block as of one commit.
#[derive(Debug)]
pub(super) struct View {
    pub(super) block: Arc<Block>,
    pub(super) reading: Reading,
    pub(super) runs: Runs,
}

impl View {
    /// Runs `work` on the transaction; once more on a new one when a failure closed the file under it, which is as good
    /// for a block that is written to no more: a bad place costs what stands there, and not what comes after it.
    pub(super) fn read<T>(&self, work: impl Fn(&ReadTransaction) -> Result<T, Error>) -> Result<T, Error> {
        match self.reading.read(&work) {
            Err(error) if error.is_echo() && self.block.is_lost(&error) => {
                self.block.engine.begin_read()?.read(&work)
            }
            read => read,
        }
    }
}

impl Block {
    /// Opens a file; or makes it, if it is missing or empty and `may_make`.
    pub(super) fn open(
        files: &Arc<dyn Files>,
        name: &str,
        (sequence, opened): (u64, Timestamp),
        (may_make, cache_bytes): (bool, usize),
        losses: &Losses,
    ) -> Result<Arc<Self>, Error> {
        let block = Self::with_engine(files, name, (sequence, opened), (may_make, cache_bytes), |open| {
            Engine::open_with(&files.path(name), LAYOUT, open)
        })?;
        block.view(losses)?;
        Ok(block)
    }

    /// A block that is written to no more and could not be read now: it is tried again by each question, and stays
    /// until it is read or its space is needed.
    pub(super) fn unread(
        files: &Arc<dyn Files>,
        name: &str,
        (sequence, opened): (u64, Timestamp),
        cache_bytes: usize,
    ) -> Result<Arc<Self>, Error> {
        let block = Self::with_engine(files, name, (sequence, opened), (false, cache_bytes), |open| {
            Ok(Engine::closed(&files.path(name), LAYOUT, open))
        })?;
        let bytes = block.bytes_on_disk();
        block.state.write().summary = Summary { bytes, expire_time: Timestamp::MAX, ..Summary::default() };
        // Nothing is merged in it before it was read.
        block.tidy.store(true, Ordering::Relaxed);
        Ok(block)
    }

    fn with_engine(
        files: &Arc<dyn Files>,
        name: &str,
        (sequence, opened): (u64, Timestamp),
        (may_make, cache_bytes): (bool, usize),
        engine: impl FnOnce(Open) -> Result<Arc<Engine>, Error>,
    ) -> Result<Arc<Self>, Error> {
        // What is made here was not damaged before.
        let sound = (!files.exists(name)).then_some(true);
        let (opener, file) = (Arc::clone(files), name.to_owned());
        let cache = Arc::new(AtomicUsize::new(cache_bytes));
        let bytes = Arc::clone(&cache);
        let open =
            move |is_first: bool| opener.open(&file, is_first && may_make, bytes.load(Ordering::Relaxed));
        Ok(Arc::new(Self {
            sequence,
            opened,
            name: name.to_owned(),
            engine: engine(Box::new(open))?,
            cache_bytes: cache,
            files: Arc::clone(files),
            state: RwLock::default(),
            publishing: Mutex::new(()),
            next_run: AtomicU32::new(0),
            last_read: AtomicU64::new(0),
            tidy: AtomicBool::new(false),
            is_sealed: AtomicBool::new(false),
            holders: AtomicUsize::new(0),
            unreadable: Mutex::default(),
            sound: Mutex::new(sound),
            kept_open: Mutex::default(),
        }))
    }

    /// From now on it is written to no more, but for merging.
    pub(super) fn seal(&self) {
        self.is_sealed.store(true, Ordering::Relaxed);
    }

    /// Whether an error only costs what this block holds, or a part of it; the others are read all the same. While it
    /// is written to, a disk that fails is no such error: what is not read then would be written twice.
    pub(super) fn is_lost(&self, error: &Error) -> bool {
        error.is_damage() || (self.is_sealed.load(Ordering::Relaxed) && error.is_failed_read())
    }

    /// The file's name among the store's.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub(super) fn summary(&self) -> Summary {
        self.state.read().summary
    }

    /// Whether not even its first commit, which takes over what the block before it knew, was made.
    pub(super) fn was_never_committed(&self) -> bool {
        let state = self.state.read();
        state.generation == 0 && state.summary.runs == 0
    }

    /// When it was read last, in reads of any block.
    pub(super) fn last_read(&self) -> u64 {
        self.last_read.load(Ordering::Relaxed)
    }

    pub(super) fn mark_read(&self, turn: u64) {
        self.last_read.store(turn, Ordering::Relaxed);
    }

    /// A number that no run of this block has.
    pub(super) fn new_run(&self) -> u32 {
        self.next_run.fetch_add(1, Ordering::Relaxed)
    }

    /// From now on it is read only now and then: with less memory, once it is opened again.
    pub(super) fn rest(&self, cache_bytes: usize) {
        self.cache_bytes.store(cache_bytes, Ordering::Relaxed);
        self.engine.close_if_idle();
    }

    /// Its name is about to go: the file stays open as long as anybody has the block.
    pub(super) fn keep_open(&self) -> Result<(), Error> {
        *self.kept_open.lock() = Some(self.engine.begin_read()?);
        Ok(())
    }

    /// Memory that the directory takes.
    pub(super) fn bytes_in_memory(&self) -> usize {
        let state = self.state.read();
        state.runs.iter().flat_map(|runs| runs.iter()).map(|run| run.bytes_in_memory()).sum()
    }

    /// Forgets the directory until the block is read again.
    pub(super) fn forget_runs(&self) {
        self.state.write().runs = None;
    }

    /// The directory, if it is in memory; of a block that is written to no more, later ones list the same spans.
    pub(super) fn runs_in_memory(&self) -> Option<Runs> {
        self.state.read().runs.clone()
    }

    /// The block as of its last commit.
    pub(super) fn view(self: &Arc<Self>, losses: &Losses) -> Result<View, Error> {
        for _look in 0..LOOKS {
            if let Some(view) = self.look(losses)? {
                return Ok(view);
            }
            std::thread::yield_now();
        }
        // Whoever commits has published when this lock is free, so now both must agree.
        let _published = self.publishing.lock();
        match self.look(losses)? {
            Some(view) => Ok(view),
            None => self.load_latest(losses),
        }
    }

    /// `None` when a commit came between.
    fn look(self: &Arc<Self>, losses: &Losses) -> Result<Option<View>, Error> {
        let (runs, generation) = {
            let state = self.state.read();
            (state.runs.clone(), state.generation)
        };
        let reading = self.engine.begin_read()?;
        match runs {
            None => self.load(reading, losses),
            Some(runs) => {
                let current = reading.read(generation_of)? == generation;
                Ok(current.then(|| View { block: Arc::clone(self), reading, runs }))
            }
        }
    }

    /// Reads the directory from the disk; `None` when a later commit is known of: what is built on the directory in
    /// memory must be built on the last one.
    fn load(self: &Arc<Self>, reading: Reading, losses: &Losses) -> Result<Option<View>, Error> {
        let loaded = Loaded::read(&reading, losses)?;
        let bytes = self.bytes_on_disk();
        let mut state = self.state.write();
        if loaded.generation < state.generation {
            return Ok(None);
        }
        let runs = Arc::clone(&loaded.runs);
        if state.runs.is_none() {
            self.install(&mut state, loaded, bytes);
        }
        drop(state);
        Ok(Some(View { block: Arc::clone(self), reading, runs }))
    }

    /// The same, whatever is in memory. Nobody commits meanwhile: the caller holds `publishing`.
    fn load_latest(self: &Arc<Self>, losses: &Losses) -> Result<View, Error> {
        let reading = self.engine.begin_read()?;
        let loaded = Loaded::read(&reading, losses)?;
        let (runs, bytes) = (Arc::clone(&loaded.runs), self.bytes_on_disk());
        self.install(&mut self.state.write(), loaded, bytes);
        Ok(View { block: Arc::clone(self), reading, runs })
    }

    fn install(&self, state: &mut State, loaded: Loaded, bytes: u64) {
        let Loaded { runs, next_run, generation, is_tidy } = loaded;
        self.next_run.fetch_max(next_run, Ordering::Relaxed);
        self.tidy.store(is_tidy, Ordering::Relaxed);
        let summary = Summary::of(&runs, bytes);
        *state = State { runs: Some(runs), generation, summary };
    }

    /// Commits `work`, and the runs it leaves when those of the last commit are given to it. With an error it is not
    /// known whether the work is there: look at the disk.
    pub(super) fn commit<T>(
        self: &Arc<Self>,
        losses: &Losses,
        work: impl FnOnce(&WriteTransaction, &Runs) -> Result<(T, Runs), Error>,
    ) -> Result<T, Error> {
        let _publishing = self.publishing.lock();
        let (runs, generation) = {
            let state = self.state.read();
            (state.runs.clone(), state.generation)
        };
        let (runs, generation) = match runs {
            Some(runs) => (runs, generation),
            None => {
                let view = self.load_latest(losses)?;
                (view.runs, self.state.read().generation)
            }
        };
        let next = generation + 1;
        let committed = self.engine.write(|transaction| {
            let done = work(transaction, &runs)?;
            let value = seal(GENERATION_KEY, next.to_le_bytes().to_vec());
            transaction.open_table(META)?.insert(GENERATION_KEY, &value[..])?;
            Ok(done)
        });
        let bytes = self.bytes_on_disk();
        let mut state = self.state.write();
        match committed {
            Ok((done, runs)) => {
                let summary = Summary::of(&runs, bytes);
                *state = State { runs: Some(runs), generation: next, summary };
                Ok(done)
            }
            Err(error) => {
                // Perhaps it is there: what was read before is not to be taken for the last commit.
                (state.runs, state.generation) = (None, next);
                if error.is_damage() {
                    *self.sound.lock() = None;
                }
                Err(error)
            }
        }
    }

    /// Removes everything it holds, in one commit.
    pub(super) fn clear(self: &Arc<Self>, losses: &Losses) -> Result<(), Error> {
        self.commit(losses, |transaction, _runs| {
            for table in LAYOUT.tables.iter().filter(|table| table.name() != META.name()) {
                transaction.open_table(*table)?.retain(|_key, _value| false)?;
            }
            Ok(((), Runs::default()))
        })
    }

    /// What the file takes on the disk; as it was last known when the disk does not say.
    fn bytes_on_disk(&self) -> u64 {
        self.files.bytes(&self.name).unwrap_or_else(|_| self.state.read().summary.bytes)
    }

    /// Whether it may be written to. A file that was not made by this program since it started is looked at, whole,
    /// the first time it is asked for; if that shows damage, it is only read from then on, which is counted.
    pub(super) fn is_sound(&self, losses: &Losses) -> Result<bool, Error> {
        let mut sound = self.sound.lock();
        if let Some(sound) = *sound {
            return Ok(sound);
        }
        let (files, name) = (Arc::clone(&self.files), self.name.clone());
        let checked = self.engine.is_sound(Box::new(move |_| files.open_untouched(&name, CHECK_CACHE_BYTES)));
        let is_sound = match checked {
            Err(error) if !error.is_damage() => return Err(error),
            checked => checked.unwrap_or(false),
        };
        if !is_sound {
            losses.damaged_block(&self.name, &self.only_read());
        }
        *sound = Some(is_sound);
        Ok(is_sound)
    }

    /// Whether it is known that it may be written to.
    pub(super) fn is_known_sound(&self) -> bool {
        *self.sound.lock() == Some(true)
    }

    /// Why it is not written to.
    pub(super) fn only_read(&self) -> Error {
        Error::OnlyRead { path: self.files.path(&self.name) }
    }

    /// Whether nothing is left to be merged in it, and no space to be given back.
    pub(super) fn is_tidy(&self) -> bool {
        self.tidy.load(Ordering::Relaxed)
    }

    /// Gives back the space that is free in the file, if that is worth it and nobody reads it.
    pub(super) fn compact(&self) -> Result<(), Error> {
        // What the last commit freed is free after another one.
        self.engine.write(|_transaction| Ok(()))?;
        let is_worth_it = self.engine.write(|transaction| {
            let stats = transaction.stats()?;
            let (taken, used) = (self.bytes_on_disk(), stats.allocated_pages() * stats.page_size() as u64);
            let is_worth_it = taken.saturating_sub(used) >= taken / WORTH_COMPACTING;
            if !is_worth_it {
                note_tidy(transaction)?;
            }
            Ok(is_worth_it)
        })?;
        if is_worth_it {
            let compacted = self.engine.alone(|database| {
                database.compact()?;
                // Its commits leave out the state of the pages, without which opening the file is walking through it.
                engine::commit(database, note_tidy)
            });
            let Some(compacted) = compacted else { return Ok(()) };
            compacted?;
        }
        self.tidy.store(true, Ordering::Relaxed);
        let bytes = self.bytes_on_disk();
        self.state.write().summary.bytes = bytes;
        Ok(())
    }

    /// No run of it is merged and no space given back until the answer is dropped.
    pub(super) fn hold(self: &Arc<Self>) -> Hold {
        self.holders.fetch_add(1, Ordering::Relaxed);
        Hold(Arc::clone(self))
    }

    /// Whether somebody wants it to stay as it is.
    pub(super) fn is_held(&self) -> bool {
        self.holders.load(Ordering::Relaxed) > 0
    }

    /// Whether a part of the run turned out to be damaged.
    pub(super) fn is_unreadable(&self, run: u32) -> bool {
        self.unreadable.lock().contains(&run)
    }

    pub(super) fn mark_unreadable(&self, run: u32) {
        self.unreadable.lock().insert(run);
    }
}

/// A block that stays as it is.
#[derive(Debug)]
pub(super) struct Hold(Arc<Block>);

impl Hold {
    pub(super) fn block(&self) -> &Arc<Block> {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.holders.fetch_sub(1, Ordering::Relaxed);
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("name", &self.name).finish_non_exhaustive()
    }
}

fn runs_of(transaction: &ReadTransaction, losses: &Losses) -> Result<Runs, Error> {
    let mut runs = Vec::new();
    for row in transaction.open_table(RUNS)?.iter()? {
        let (key, value) = row?;
        runs.extend(losses.step_over(RUNS, Run::read(key.value(), value.value())).map(Arc::new));
    }
    Ok(runs.into())
}

/// The first number that no run has, nor those who wait as if they were of one. Damaged rows count too: what they
/// stand for is still there.
fn next_run_in(transaction: &ReadTransaction) -> Result<u32, Error> {
    let mut next = 0;
    for table in [RUNS, PENDING_PARENTS] {
        let table = transaction.open_table(table)?;
        let last =
            table.last()?.and_then(|(key, _value)| key.value().try_into().ok().map(u32::from_be_bytes));
        next = next.max(last.map_or(0, |last| last.saturating_add(1)));
    }
    Ok(next)
}

/// How many commits changed the block. A damaged number reads as none: then the directory is read from the disk.
fn generation_of(transaction: &ReadTransaction) -> Result<u64, Error> {
    Ok(number_in(transaction, GENERATION_KEY)?.unwrap_or(0))
}

/// `None` when it is missing or damaged.
fn number_in(transaction: &ReadTransaction, key: &[u8]) -> Result<Option<u64>, Error> {
    let stored = transaction.open_table(META)?.get(key)?.map(|value| read_number(key, value.value()));
    Ok(stored.and_then(Result::ok))
}

fn read_number(key: &[u8], sealed: &[u8]) -> Result<u64, Damaged> {
    let bytes = unseal(key, sealed)?.try_into().map_err(|_| Damaged)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Notes that the block is tidy, as long as no commit changes it.
fn note_tidy(transaction: &WriteTransaction) -> Result<(), Error> {
    let mut table = transaction.open_table(META)?;
    let stored = table.get(GENERATION_KEY)?.map(|value| read_number(GENERATION_KEY, value.value()));
    let generation = stored.and_then(Result::ok).unwrap_or(0);
    table.insert(TIDY_KEY, &seal(TIDY_KEY, generation.to_le_bytes().to_vec())[..])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::files::Folder;

    #[test]
    fn a_reader_from_before_a_commit_does_not_bring_its_directory_back() {
        let folder = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(Folder::open(folder.path()).unwrap());
        let (name, losses) = ("blocks/0000000001-1.redb", Losses::default());
        let block = Block::open(&files, name, (1, Timestamp::ZERO), (true, 1 << 20), &losses).unwrap();
        let commit = |id| {
            let run = Run::empty(id, Timestamp::MAX);
            let added = block.commit(&losses, |transaction, runs| {
                transaction
                    .open_table(RUNS)?
                    .insert(&id.to_be_bytes()[..], &run.to_value(&id.to_be_bytes())[..])?;
                Ok(((), runs.iter().cloned().chain([Arc::new(run)]).collect()))
            });
            added.unwrap();
        };
        commit(1);
        let before = block.engine.begin_read().unwrap();
        commit(2);
        block.forget_runs();
        assert!(block.load(before, &losses).unwrap().is_none());
        commit(3);
        assert_eq!(block.view(&losses).unwrap().runs.len(), 3);
        // What fails may be there all the same; here it is not.
        let failed = block.commit::<()>(&losses, |_transaction, _runs| panic!("it fails"));
        failed.unwrap_err();
        assert_eq!(block.view(&losses).unwrap().runs.len(), 3);
        commit(4);
        assert_eq!(block.view(&losses).unwrap().runs.len(), 4);
    }
}
