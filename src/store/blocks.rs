//! The blocks: exactly one is written to; a new one is begun by time and size, old ones are dropped whole.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use redb::WriteTransaction;

use crate::model::Timestamp;
use crate::store::block::Block;
use crate::store::convert::OLD;
use crate::store::files::{BLOCKS, Files};
use crate::store::losses::Losses;
use crate::store::{Error, Settings};

/// Sealed blocks whose files are open at the same time.
const MAX_OPEN: usize = 16;

/// Memory for the directories of sealed blocks; those that were not read longest are read from the disk again.
const DIRECTORY_BYTES: usize = 24 << 20;

/// The largest a block becomes before the next one is begun.
const MAX_ROLL_BYTES: u64 = 512 << 20;

/// The largest block that is looked at when the store is opened.
const MAX_CHECKED_BYTES: u64 = 64 << 20;

/// What blocks take at most where nothing is said.
const MAX_BYTES: u64 = 4 << 30;

/// The least that blocks may be given: with less, a block is full after a commit or two.
pub const LEAST_BYTES: u64 = 64 << 20;

/// Blocks that `max_bytes` has room for at least.
const BLOCKS_IN_MAX_BYTES: u64 = 16;

/// How long the space of a block that was dropped for it is waited for before the next one goes: others may hold it, or
/// fill it as quickly as it comes, and then all blocks would be gone in a minute for nothing.
const SPACE_COMES_WITHIN: Duration = Duration::from_secs(30);

/// Why a block was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The time of all its spans was over.
    Age,
    /// There were more bytes than `store.max_bytes`.
    Size,
    /// There was less space on the disk than `store.min_free_bytes`.
    Free,
}

impl Reason {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Age, Self::Size, Self::Free];

    /// In numbers and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Age => "age",
            Self::Size => "size",
            Self::Free => "free",
        }
    }
}

/// The blocks of a store, oldest first.
#[derive(Debug)]
pub(super) struct Blocks {
    files: Arc<dyn Files>,
    settings: Settings,
    max_bytes: u64,
    list: RwLock<Vec<Arc<Block>>>,
    reads: AtomicU64,
    /// Spans of dropped blocks, by [`Reason`].
    dropped_spans: [AtomicU64; 3],
    /// When a block was dropped for space that did not come yet, and the space there is when it came.
    expected: Mutex<Option<(Timestamp, u64)>>,
}

impl Blocks {
    /// Opens what there is. A damaged file is set aside; one of a later version, or one that cannot be read for
    /// other reasons, ends in an error.
    pub(super) fn open(
        files: Arc<dyn Files>,
        settings: Settings,
        losses: &Losses,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let mut blocks = Self {
            files,
            max_bytes: settings.max_bytes.unwrap_or(u64::MAX),
            settings,
            list: RwLock::default(),
            reads: AtomicU64::new(0),
            dropped_spans: Default::default(),
            expected: Mutex::default(),
        };
        let mut list: Vec<Arc<Block>> = Vec::new();
        let found = blocks.found()?;
        let newest = found.last().map(|(_, _, name)| name.clone());
        for (sequence, opened, name) in found {
            // Copies of a file may have one number, but nothing else tells blocks apart.
            let sequence = list.last().map_or(sequence, |before| sequence.max(before.sequence + 1));
            // Only the newest may have been begun when power went; an older one that is empty was more once.
            let how = (newest.as_ref() == Some(&name), blocks.sealed_cache());
            match Block::open(&blocks.files, &name, (sequence, opened), how, losses) {
                Ok(block) => list.push(block),
                Err(error) if error.is_damage() => blocks.set_aside(&name, &error, now)?,
                Err(error) if newest.as_ref() != Some(&name) && error.is_failed_read() => {
                    losses.damaged_block(&name, &error);
                    list.push(Block::unread(&blocks.files, &name, (sequence, opened), how.1)?);
                }
                Err(error) => return Err(error),
            }
            if let Some(before) = list.len().checked_sub(MAX_OPEN + 1) {
                list[before].rest(blocks.sealed_cache());
            }
        }
        blocks.undo_half_made(&mut list)?;
        list.iter().rev().skip(1).for_each(|block| block.seal());
        if let Some(active) = list.last() {
            active.rest(blocks.active_cache());
        }
        *blocks.list.write() = list;
        blocks.max_bytes = blocks.settings.max_bytes.unwrap_or_else(|| blocks.tenth_of_the_space());
        blocks.look_at_active(losses);
        blocks.spare_memory();
        Ok(blocks)
    }

    /// Whether the newest block is gone on with, if it is small; a larger one would hold up the start.
    fn look_at_active(&self, losses: &Losses) {
        let largest = (self.max_bytes / 64).min(MAX_CHECKED_BYTES);
        let Some(active) = self.active().filter(|active| active.summary().bytes <= largest) else { return };
        if let Err(error) = active.is_sound(losses) {
            let error = &error as &(dyn std::error::Error + 'static);
            tracing::warn!(
                error,
                block = active.name(),
                "could not look at the newest block; another is begun"
            );
        }
    }

    /// Files with names of ours, oldest first.
    fn found(&self) -> Result<Vec<(u64, Timestamp, String)>, Error> {
        let names = self.files.blocks();
        let names = names.map_err(|source| Error::File { path: self.files.path(BLOCKS), source })?;
        let mut found: Vec<_> = names
            .into_iter()
            .filter_map(|name| parsed(&name).map(|(sequence, opened)| (sequence, opened, name)))
            .collect();
        found.sort();
        Ok(found)
    }

    /// A crash may leave the newest block without what it takes over from the one before it: as if never made.
    fn undo_half_made(&self, list: &mut Vec<Arc<Block>>) -> Result<(), Error> {
        if list.len() > 1
            && let Some(newest) = list.pop_if(|newest| newest.was_never_committed())
        {
            self.remove_file(newest.name())?;
        }
        Ok(())
    }

    pub(super) fn set_aside(&self, name: &str, damage: &Error, now: Timestamp) -> Result<(), Error> {
        let path = || self.files.path(name);
        let kept = self.files.set_aside(name, now).map_err(|source| Error::File { path: path(), source })?;
        tracing::error!(
            error = damage as &(dyn std::error::Error + 'static),
            kept = %kept.display(),
            "a block of the store is damaged; it was set aside, the spans in it are not shown"
        );
        Ok(())
    }

    fn remove_file(&self, name: &str) -> Result<(), Error> {
        match self.files.remove(name) {
            // Somebody else removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map_err(|source| Error::File { path: self.files.path(name), source }),
        }
    }

    /// Of what is free, and of what blocks have taken of it already: so it is the same at every start.
    fn tenth_of_the_space(&self) -> u64 {
        let free = self.files.free_bytes().unwrap_or(u64::MAX);
        (free.saturating_add(self.bytes()) / 10).clamp(LEAST_BYTES, MAX_BYTES)
    }

    /// A quarter of the memory is for opened chunks.
    fn sealed_cache(&self) -> usize {
        self.settings.cache_bytes * 3 / 8 / MAX_OPEN
    }

    fn active_cache(&self) -> usize {
        self.settings.cache_bytes * 3 / 8
    }

    /// What all blocks may take on the disk, and one block more.
    pub(super) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    pub(super) fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// All blocks, oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Block>> {
        self.list.read().clone()
    }

    /// The block that is written to; `None` before the first span.
    pub(super) fn active(&self) -> Option<Arc<Block>> {
        self.list.read().last().cloned()
    }

    /// Blocks that are written to no more, oldest first.
    pub(super) fn sealed(&self) -> Vec<Arc<Block>> {
        let mut all = self.all();
        all.pop();
        all
    }

    /// Whether a new block is to be begun.
    pub(super) fn is_roll_due(&self, now: Timestamp) -> bool {
        let Some(active) = self.active() else { return true };
        if !active.is_known_sound() {
            return true;
        }
        let (summary, age) = (active.summary(), now.since(active.opened));
        let large = self.max_bytes / 64;
        summary.spans > 0
            && (summary.bytes >= self.roll_bytes()
                || (age >= self.roll_age() && summary.bytes >= large)
                || age >= self.settings.max_age / 8)
    }

    fn roll_bytes(&self) -> u64 {
        (self.max_bytes / BLOCKS_IN_MAX_BYTES).min(MAX_ROLL_BYTES)
    }

    fn roll_age(&self) -> Duration {
        (self.settings.max_age / 48).clamp(Duration::from_secs(600), Duration::from_secs(3_600))
    }

    /// Begins a new block, whose first commit is `take_over`.
    pub(super) fn roll(
        &self,
        losses: &Losses,
        now: Timestamp,
        take_over: impl FnOnce(&Arc<Block>, &WriteTransaction) -> Result<(), Error>,
    ) -> Result<Arc<Block>, Error> {
        let before = self.active();
        let sequence = before.as_ref().map_or(1, |block| block.sequence + 1);
        let name = format!("{BLOCKS}/{sequence:010}-{}.redb", now.millis() / 1_000);
        self.remove_attempts(sequence)?;
        let block = Block::open(&self.files, &name, (sequence, now), (true, self.active_cache()), losses)?;
        let begun = block.commit(losses, |transaction, runs| {
            take_over(&block, transaction)?;
            Ok(((), Arc::clone(runs)))
        });
        if let Err(error) = begun {
            // It may be on the disk all the same: then the next start would take it for the newest.
            if let Err(error) = self.remove_file(&name) {
                tracing::warn!(%error, block = name, "a block that could not be begun could not be removed either");
            }
            return Err(error);
        }
        self.list.write().push(Arc::clone(&block));
        if let Some(before) = before {
            before.seal();
            before.rest(self.sealed_cache());
        }
        Ok(block)
    }

    /// Removes what failed attempts to begin this block left. They may have other times in their names.
    fn remove_attempts(&self, sequence: u64) -> Result<(), Error> {
        let kept = self.all();
        for (found, _, name) in self.found()? {
            if found >= sequence && kept.iter().all(|block| block.name() != name) {
                self.remove_file(&name)?;
            }
        }
        Ok(())
    }

    /// Drops blocks until ages, bytes and free space are as they should be; returns how many spans went.
    pub(super) fn retain(&self, now: Timestamp) -> Result<u64, Error> {
        let mut spans = 0;
        for block in self.sealed() {
            if block.summary().expire_time <= now {
                spans += self.drop(&block, Reason::Age)?;
            }
        }
        while self.bytes() > self.max_bytes {
            let Some(oldest) = self.sealed().into_iter().next() else { break };
            spans += self.drop(&oldest, Reason::Size)?;
        }
        Ok(spans + self.make_space(now)?)
    }

    /// Drops the oldest block when there is too little space, and the next one only when its space came, or was waited
    /// for: others may be filling the disk, and space comes back only when readers are done.
    fn make_space(&self, now: Timestamp) -> Result<u64, Error> {
        let free = self.files.free_bytes().unwrap_or(u64::MAX);
        // What the first format's file holds is on the disk twice while it is taken over.
        let is_enough = free >= self.settings.min_free_bytes || self.files.exists(OLD);
        let mut expected = self.expected.lock();
        if expected.is_some_and(|(_, until)| is_enough || free >= until) {
            *expected = None;
        }
        // A clock that was set back is not waited for.
        let is_early = |since: Timestamp| since <= now && now.since(since) < SPACE_COMES_WITHIN;
        if is_enough || expected.is_some_and(|(since, _)| is_early(since)) {
            return Ok(0);
        }
        let Some(oldest) = self.sealed().into_iter().next() else { return Ok(0) };
        if expected.is_some() {
            tracing::warn!(free, "dropping a block made no space on the disk: something else fills it");
        }
        let bytes = oldest.summary().bytes;
        let spans = self.drop(&oldest, Reason::Free)?;
        *expected = Some((now, free.saturating_add(bytes)));
        Ok(spans)
    }

    /// What all blocks take on the disk.
    pub(super) fn bytes(&self) -> u64 {
        self.all().iter().map(|block| block.summary().bytes).sum()
    }

    /// Takes a block away and says why; those who read it go on reading.
    fn drop(&self, block: &Arc<Block>, reason: Reason) -> Result<u64, Error> {
        let summary = block.summary();
        self.take_away(block)?;
        self.dropped_spans[reason as usize].fetch_add(summary.spans, Ordering::Relaxed);
        tracing::info!(
            block = block.name(),
            reason = reason.name(),
            spans = summary.spans,
            bytes = summary.bytes,
            "dropped the oldest block"
        );
        Ok(summary.spans)
    }

    /// Takes all blocks away but the one that is written to; returns how many spans went.
    pub(super) fn drop_sealed(&self) -> Result<u64, Error> {
        let mut spans = 0;
        for block in self.sealed() {
            self.take_away(&block)?;
            spans += block.summary().spans;
        }
        Ok(spans)
    }

    fn take_away(&self, block: &Arc<Block>) -> Result<(), Error> {
        // Its name goes now; who has a view, or is about to take one, needs the open file.
        if let Err(error) = block.keep_open() {
            tracing::debug!(%error, "a block that is dropped could not be opened for its last readers");
        }
        self.remove_file(block.name())?;
        self.list.write().retain(|other| !Arc::ptr_eq(other, block));
        Ok(())
    }

    /// Spans of the blocks that were dropped for this reason since the program started.
    pub(super) fn dropped_spans(&self, reason: Reason) -> u64 {
        self.dropped_spans[reason as usize].load(Ordering::Relaxed)
    }

    /// A block is about to be read: it moves to the end of those that are closed when too many are open.
    pub(super) fn mark_read(&self, block: &Block) {
        block.mark_read(self.reads.fetch_add(1, Ordering::Relaxed) + 1);
        if !block.engine().is_open() {
            self.spare_memory();
        }
    }

    /// Closes files and forgets directories that were not used longest.
    pub(super) fn spare_memory(&self) {
        let mut sealed = self.sealed();
        sealed.sort_by_key(|block| std::cmp::Reverse(block.last_read()));
        let mut directories = 0;
        let mut open = 0;
        for block in sealed {
            if block.engine().is_open() {
                open += 1;
                if open >= MAX_OPEN {
                    block.engine().close_if_idle();
                }
            }
            directories += block.bytes_in_memory();
            if directories > DIRECTORY_BYTES {
                block.forget_runs();
            }
        }
    }
}

/// Sequence and opening time of a block's name.
pub(super) fn parsed(name: &str) -> Option<(u64, Timestamp)> {
    let plain = name.strip_prefix(BLOCKS)?.strip_prefix('/')?.strip_suffix(".redb")?;
    let (sequence, opened) = plain.split_once('-')?;
    let opened = opened.parse::<u64>().ok()?.saturating_mul(1_000);
    Some((sequence.parse().ok()?, Timestamp::from_millis(opened)))
}
