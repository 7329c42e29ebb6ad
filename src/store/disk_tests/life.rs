//! A store's life on a disk, what was promised in it, and whether that is so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::disk::{Dice, SimulatedDisk};
use crate::model::sketch::{BASE, trace, trace_id};
use crate::model::{Span, SpanKind, Timestamp, TraceId};
use crate::store::sizes::Sizes;
use crate::store::{Cursor, Error, Settings, Store, Wanted};

pub(super) const BUFFER: [u8; 16] = [7; 16];

const MAX_AGE: Duration = Duration::from_secs(400);

/// All spans' services.
pub(super) const SERVICES: [&str; 3] = ["shop", "cart", "redis"];

pub(super) fn settings() -> Settings {
    Settings { cache_bytes: 1 << 20, max_age: MAX_AGE, max_bytes: Some(256 << 20), min_free_bytes: 0 }
}

pub(super) fn open(disk: &SimulatedDisk, now: Timestamp) -> Result<Store, Error> {
    Store::with_files(Arc::new(disk.clone()), &settings(), Sizes::default(), now)
}

/// Where a batch is, and until when.
#[derive(Debug, Clone, Copy)]
struct Commit {
    block: u64,
    expire_time: Timestamp,
}

/// What was promised so far, and what is still to be sent.
#[derive(Debug, Clone)]
pub(super) struct Promised {
    dice: Dice,
    pub(super) now: Timestamp,
    traces: u64,
    /// Spans that come in later batches, by the batch.
    later: BTreeMap<usize, Vec<Span>>,
    batches: Vec<Arc<Vec<Span>>>,
    /// Of the batches that were acknowledged.
    commits: Vec<Commit>,
    /// Spans that were shown when their trace was pinned, or came later: in these batches.
    pinned: BTreeMap<TraceId, BTreeSet<usize>>,
    /// Blocks that may have been dropped.
    gone: BTreeSet<u64>,
    /// What is over by then may be hidden.
    expired: Timestamp,
}

impl Promised {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed),
            now: BASE,
            traces: 0,
            later: BTreeMap::new(),
            batches: Vec::new(),
            commits: Vec::new(),
            pinned: BTreeMap::new(),
            gone: BTreeSet::new(),
            expired: Timestamp::ZERO,
        }
    }

    /// The traces that were begun.
    pub(super) fn traces(&self) -> Vec<TraceId> {
        (1..=self.traces).map(trace_id).collect()
    }

    /// Makes the batch after those that there are: whole traces, traces whose other spans come later, or came before,
    /// and now and then the batch before again.
    fn make_batch(&mut self) {
        let number = self.batches.len();
        let mut spans = self.later.remove(&number).unwrap_or_default();
        let retry = self.commits.last().is_some_and(|last| last.expire_time > self.now.plus(MAX_AGE / 2));
        if retry && self.dice.one_in(5) {
            spans.extend(self.batches.last().into_iter().flat_map(|batch| batch.iter().cloned()));
        }
        for _trace in 0..=self.dice.below(3) {
            self.traces += 1;
            let text: String =
                (0..self.dice.below(60)).map(|_| char::from(b'a' + self.dice.below(26) as u8)).collect();
            let drawing = format!(
                "shop | GET /cart | server | 0-9 | text={text}\n  cart | GET | server | 1-5 | #2 ^1\n    redis | x{} | client | 2-3 | #3 ^2",
                self.dice.below(4)
            );
            for span in trace(self.traces, &drawing) {
                match self.dice.below(9) {
                    delay @ 0..=2 => self.later.entry(number + 1 + delay as usize).or_default().push(span),
                    _ => spans.push(span),
                }
            }
        }
        self.batches.push(Arc::new(spans));
    }

    /// Every span that was ever sent, with the first batch it was in.
    fn sent(&self) -> BTreeMap<(TraceId, [u8; 8]), (usize, &Span)> {
        let mut sent = BTreeMap::new();
        for (number, batch) in self.batches.iter().enumerate() {
            for span in batch.iter() {
                sent.entry((span.trace_id, span.span_id.0)).or_insert((number, span));
            }
        }
        sent
    }

    /// The batch is in this block.
    fn committed(&mut self, block: u64) {
        let number = self.commits.len();
        self.commits.push(Commit { block, expire_time: self.now.plus(MAX_AGE) });
        for span in self.batches[number].iter() {
            if let Some(batches) = self.pinned.get_mut(&span.trace_id) {
                batches.insert(number);
            }
        }
    }

    /// The blocks that hold spans.
    fn filled(&self) -> BTreeSet<u64> {
        let batches = self.sent().into_values().map(|(number, _)| number);
        batches.filter_map(|number| self.commits.get(number)).map(|commit| commit.block).collect()
    }

    /// Whether a batch must be shown.
    fn is_kept(&self, number: usize) -> bool {
        let commit = self.commits[number];
        !self.gone.contains(&commit.block) && commit.expire_time > self.expired
    }

    /// Looks at everything; after a crash the last batch may be there without having been acknowledged, which is
    /// noted. `is_whole` when nothing else than that may be amiss.
    pub(super) fn check(&mut self, store: &Store, is_whole: bool) {
        let status = store.status();
        if is_whole {
            assert_eq!(
                (status.damaged_rows, status.set_aside, status.engine_failures),
                (0, 0, 0),
                "{status:?}"
            );
        }
        let cursor = store.cursor(BUFFER, 0).unwrap().unwrap_or(0) as usize;
        let acknowledged = self.commits.len();
        assert!((acknowledged..=self.batches.len()).contains(&cursor), "{cursor} of {acknowledged}");
        let present: BTreeSet<u64> = store.blocks.all().iter().map(|block| block.sequence).collect();
        assert_eq!(present.len(), store.blocks.all().len(), "two blocks of one number");
        if cursor > acknowledged {
            assert_eq!(cursor, acknowledged + 1);
            self.committed(*present.last().unwrap());
        }
        self.check_blocks(&present);
        self.check_spans(store);
        self.check_counts(store, &present);
    }

    /// A block without spans, for nothing came but cursors and retries, may go as soon as there is a newer one. One
    /// with spans may not.
    fn check_blocks(&self, present: &BTreeSet<u64>) {
        let newest = self.commits.iter().map(|commit| &commit.block).max();
        assert!(present.last() >= newest, "{newest:?} was written to, and {present:?} are there");
        for block in self.filled().difference(&self.gone) {
            assert!(present.contains(block), "block {block} is missing of {present:?}");
        }
    }

    fn check_spans(&self, store: &Store) {
        let sent = self.sent();
        let snapshot = store.snapshot().unwrap();
        for number in 1..=self.traces {
            let id = trace_id(number);
            let found = snapshot.trace(id, usize::MAX).unwrap().spans;
            let mut ids = BTreeSet::new();
            for span in &found {
                let (batch, original) = sent.get(&(id, span.span_id.0)).expect("never sent");
                assert_eq!(span, *original);
                assert!(ids.insert(span.span_id), "twice: {span:?}");
                let is_copy = !store.archive.pinned_among(std::slice::from_ref(span)).is_empty();
                assert!(
                    *batch < self.commits.len() || is_copy,
                    "of a batch that was not committed: {span:?}"
                );
            }
            let pinned = self.pinned.get(&id);
            for ((_, span_id), (batch, span)) in sent.range((id, [0; 8])..=(id, [255; 8])) {
                if pinned.is_some_and(|batches| batches.contains(batch))
                    || (*batch < self.commits.len() && self.is_kept(*batch))
                {
                    let is_there = ids.iter().any(|id| id.0 == *span_id);
                    assert!(is_there, "batch {batch} of {}, is lost: {span:?}", self.commits.len());
                }
            }
        }
    }

    /// Calls are counted with the later of the two spans, and each span once.
    fn check_counts(&self, store: &Store, present: &BTreeSet<u64>) {
        let sent = self.sent();
        let is_counted =
            |batch: usize| self.commits.get(batch).is_some_and(|commit| present.contains(&commit.block));
        let (mut calls, mut reds) = (BTreeMap::new(), BTreeMap::new());
        for ((id, _), (batch, span)) in &sent {
            if is_counted(*batch) {
                *reds.entry(span.resource.service.clone()).or_insert(0) += 1;
            }
            let parent = span.parent_id.and_then(|parent| sent.get(&(*id, parent.0)));
            if let Some((other, parent)) = parent
                && is_counted(*batch.max(other))
            {
                let edge = (parent.resource.service.clone(), span.resource.service.clone());
                *calls.entry(edge).or_insert(0) += 1;
            }
        }
        let snapshot = store.snapshot().unwrap();
        let counted = snapshot.dependencies(Timestamp::ZERO, Timestamp::MAX).unwrap();
        let counted: BTreeMap<_, _> =
            counted.into_iter().map(|it| ((it.parent, it.child), it.calls)).collect();
        assert_eq!(counted, calls, "calls: {:?}", store.status());
        let wanted = Wanted {
            services: &SERVICES,
            kinds: &[SpanKind::Server, SpanKind::Client],
            minutes: 0..=u32::MAX,
            by_operation: false,
        };
        let red = snapshot.red(&wanted).unwrap().series.into_iter();
        let counted: BTreeMap<_, u64> = red
            .map(|((service, _), minutes)| (service, minutes.values().map(|stats| stats.calls).sum()))
            .collect();
        assert_eq!(counted, reds, "minutes");
    }
}

/// A store that lives.
pub(super) struct Life {
    pub(super) disk: SimulatedDisk,
    pub(super) store: Option<Store>,
    pub(super) promised: Arc<Mutex<Promised>>,
    dice: Dice,
}

impl Life {
    /// On a disk that was used before, or not.
    pub(super) fn begin(disk: SimulatedDisk, promised: Promised, seed: u64) -> Self {
        Self { disk, store: None, promised: Arc::new(Mutex::new(promised)), dice: Dice(seed) }
    }

    pub(super) fn store(&self) -> &Store {
        self.store.as_ref().expect("it was opened")
    }

    pub(super) fn now(&self) -> Timestamp {
        self.promised.lock().now
    }

    pub(super) fn open(&mut self) -> Result<(), Error> {
        let now = self.now();
        self.store = Some(open(&self.disk, now)?);
        // What is due is hidden from the start on.
        let mut promised = self.promised.lock();
        promised.expired = promised.expired.max(now);
        drop(promised);
        Ok(())
    }

    pub(super) fn check(&self, is_whole: bool) {
        // Who takes pictures asks for the promises too.
        let mut promised = self.promised.lock().clone();
        promised.check(self.store(), is_whole);
        *self.promised.lock() = promised;
    }

    /// Something happens.
    pub(super) fn live(&mut self) -> Result<(), Error> {
        self.mark_gone();
        match self.dice.below(20) {
            0 | 1 => self.store().roll(self.now()),
            2 | 3 => self.merge(),
            4 | 5 => self.expire(),
            6 => self.pin(),
            7 => {
                self.store = None;
                self.open()
            }
            8 => self.kill(),
            _ => self.append(),
        }
    }

    /// The blocks that may be dropped from now on.
    fn mark_gone(&self) {
        let Some(store) = &self.store else { return };
        let mut promised = self.promised.lock();
        let now = promised.now;
        let over = store.blocks.all().into_iter().filter(|block| block.summary().expire_time <= now);
        promised.gone.extend(over.filter(|block| block.summary().spans > 0).map(|block| block.sequence));
    }

    /// Sends the next batch, or the one that was not acknowledged again.
    pub(super) fn append(&mut self) -> Result<(), Error> {
        let (sequence, batch) = {
            let mut promised = self.promised.lock();
            let number = promised.commits.len();
            if number == promised.batches.len() {
                promised.now = promised.now.plus(Duration::from_secs(self.dice.below(60)));
                promised.make_batch();
            }
            (number as u64 + 1, Arc::clone(&promised.batches[number]))
        };
        self.mark_gone();
        self.store().append(&batch, &Cursor { buffer: BUFFER, signal: 0, sequence }, self.now())?;
        let block = self.store().blocks.active().unwrap().sequence;
        self.promised.lock().committed(block);
        Ok(())
    }

    fn merge(&self) -> Result<(), Error> {
        for _time in 0..4 {
            if self.store().merge()?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn expire(&mut self) -> Result<(), Error> {
        {
            let mut promised = self.promised.lock();
            // Nobody waits ten minutes for a parent, and no batch so long for its turn.
            if promised.later.is_empty() && promised.commits.len() == promised.batches.len() {
                promised.now = promised.now.plus(Duration::from_secs(self.dice.below(500)));
            }
            promised.expired = promised.now;
        }
        self.mark_gone();
        self.store().expire(self.now()).map(drop)
    }

    fn pin(&mut self) -> Result<(), Error> {
        let traces = self.promised.lock().traces;
        let id = trace_id(1 + self.dice.below(traces + 1));
        if !self.store().pin(id, self.now())? {
            return Ok(());
        }
        let mut promised = self.promised.lock();
        let shown: Vec<usize> =
            (0..promised.commits.len()).filter(|number| promised.is_kept(*number)).collect();
        let with_it = |number: &usize| promised.batches[*number].iter().any(|span| span.trace_id == id);
        let shown: BTreeSet<usize> = shown.into_iter().filter(with_it).collect();
        promised.pinned.entry(id).or_default().extend(shown);
        Ok(())
    }

    /// Another process goes on with what the first one wrote, synced or not.
    fn kill(&mut self) -> Result<(), Error> {
        let disk = self.disk.copy();
        self.disk.hand_watch_to(&disk);
        self.disk = disk;
        self.store = None;
        self.open()
    }
}

/// The archive's file and those of the blocks, oldest first.
pub(super) fn names(disk: &SimulatedDisk) -> Vec<String> {
    let mut names = disk.names();
    names.retain(|name| !name.starts_with("quarantine"));
    names
}

/// A life with spans in block 1, a batch without spans in block 2, and block 3 begun after them.
fn with_a_block_without_spans() -> Life {
    let mut life = Life::begin(SimulatedDisk::default(), Promised::new(1), 1);
    life.open().unwrap();
    life.append().unwrap();
    life.store().roll(life.now()).unwrap();
    life.promised.lock().batches.push(Arc::default());
    life.append().unwrap();
    life.check(true);
    life.store().roll(life.now()).unwrap();
    life
}

#[test]
fn a_block_without_spans_may_go() {
    let life = with_a_block_without_spans();
    let blocks: Vec<u64> = life.store().blocks.all().iter().map(|block| block.sequence).collect();
    assert_eq!(blocks, [1, 3]);
    life.check(true);
}

#[test]
#[should_panic(expected = "block 1 is missing")]
fn a_block_with_spans_may_not_go() {
    let mut life = with_a_block_without_spans();
    life.store = None;
    life.disk.put(&names(&life.disk)[0], None);
    life.open().unwrap();
    life.check(true);
}
