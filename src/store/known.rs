//! Which spans of a trace are stored already: what a retry, and a call between two batches, are known by.
//!
//! The traces of the newest runs are remembered as short hashes, the spans of the very newest whole: a trace whose
//! spans come in several batches is then found without reading. Older runs are asked by their filters and read.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::model::{SpanId, SpanKind, Timestamp, TraceId};
use crate::store::block::{Block, View};
use crate::store::calls::KnownSpan;
use crate::store::chunk::Item;
use crate::store::directory::Run;
use crate::store::{Error, Snapshot, Store, bloom};

/// The newest runs that are looked through; what comes later than that counts as new. Merged runs count as one: these
/// are some six million spans, or all of the active block where less comes in.
pub(super) const MAX_RUNS: usize = 128;

/// Spans that are remembered whole, but always those of the newest run.
const MAX_SPANS: usize = 150_000;

/// Chunks that are read for one batch. When filters lead to more, the rest counts as new, and is counted as such.
const MAX_CHUNKS: usize = 64;

/// A run's traces.
#[derive(Debug)]
struct Remembered {
    run: (u64, u32),
    /// The upper halves of the traces' hashes, sorted.
    hashes: Vec<u32>,
    /// `None` when it was forgotten to save memory.
    spans: Option<RunSpans>,
}

/// The spans of a run.
#[derive(Debug, Default)]
pub(super) struct RunSpans {
    /// Each trace with where its spans begin.
    traces: Vec<(TraceId, u32)>,
    spans: Vec<Short>,
    services: Vec<Arc<str>>,
}

/// A span, its service by its place among the run's.
#[derive(Debug)]
struct Short {
    span_id: SpanId,
    content_hash: u64,
    start: Timestamp,
    service: u32,
    kind: SpanKind,
}

impl RunSpans {
    /// Adds spans behind which no trace comes that came before, each with the number of its service.
    pub(super) fn add(&mut self, items: &[Item<'_>], services: &[u32]) {
        for (item, service) in items.iter().zip(services) {
            let (span, service) = (item.span, *service);
            if self.traces.last().is_none_or(|(id, _)| *id != span.trace_id) {
                self.traces.push((span.trace_id, self.spans.len() as u32));
            }
            let (span_id, content_hash, start, kind) =
                (span.span_id, span.content_hash, span.start, span.kind);
            self.spans.push(Short { span_id, content_hash, start, service, kind });
        }
    }

    /// The services by the numbers that were given with the spans.
    pub(super) fn set_services(&mut self, services: Vec<Arc<str>>) {
        self.services = services;
    }

    fn of(&self, trace_id: TraceId) -> impl Iterator<Item = KnownSpan> {
        let spans = match self.traces.binary_search_by_key(&trace_id, |(id, _)| *id) {
            Ok(place) => {
                let end = self.traces.get(place + 1).map_or(self.spans.len(), |(_, start)| *start as usize);
                &self.spans[self.traces[place].1 as usize..end]
            }
            Err(_) => &[],
        };
        spans.iter().map(|span| KnownSpan {
            span_id: span.span_id,
            content_hash: span.content_hash,
            service: Arc::clone(&self.services[span.service as usize]),
            kind: span.kind,
            start: span.start,
        })
    }
}

/// The newest runs.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The newest first.
    runs: VecDeque<Remembered>,
}

/// The traces of a batch, to be looked for in earlier runs.
#[derive(Debug)]
pub(super) struct Asked {
    /// Sorted by the hash.
    traces: Vec<(u64, TraceId)>,
    /// The upper halves of the hashes: these are gone through for each run.
    uppers: Vec<u32>,
}

impl Asked {
    pub(super) fn new(traces: impl Iterator<Item = TraceId>) -> Self {
        let mut traces: Vec<_> = traces.map(|id| (bloom::trace_hash(id), id)).collect();
        traces.sort_unstable();
        let uppers = traces.iter().map(|(hash, _)| upper(*hash)).collect();
        Self { traces, uppers }
    }
}

/// Spans that are stored, by trace.
pub(super) type Earlier = HashMap<TraceId, Vec<KnownSpan>>;

impl Known {
    /// Remembers a run that was just written: the hashes of its traces, and its spans.
    pub(super) fn remember(&mut self, run: (u64, u32), hashes: &[u64], spans: RunSpans) {
        let mut hashes: Vec<u32> = hashes.iter().map(|hash| upper(*hash)).collect();
        hashes.sort_unstable();
        self.runs.push_front(Remembered { run, hashes, spans: Some(spans) });
        self.trim();
    }

    /// Runs became one.
    pub(super) fn merged(&mut self, block: u64, before: &[u32], into: u32) {
        let is_part =
            |remembered: &Remembered| remembered.run.0 == block && before.contains(&remembered.run.1);
        let parts: Vec<_> = self.runs.iter().filter(|run| is_part(run)).collect();
        let place = self.runs.iter().position(is_part);
        let whole = parts.len() == before.len();
        let mut hashes: Vec<u32> = parts.iter().flat_map(|part| part.hashes.iter().copied()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        self.runs.retain(|remembered| !is_part(remembered));
        if let (true, Some(place)) = (whole, place) {
            let place = place.min(self.runs.len());
            self.runs.insert(place, Remembered { run: (block, into), hashes, spans: None });
        }
    }

    fn trim(&mut self) {
        self.runs.truncate(MAX_RUNS);
        let mut spans = 0;
        for (place, remembered) in self.runs.iter_mut().enumerate() {
            spans += remembered.spans.as_ref().map_or(0, |spans| spans.spans.len());
            if place > 0 && spans > MAX_SPANS {
                remembered.spans = None;
            }
        }
    }

    /// Adds to `earlier` the stored spans of the asked traces.
    pub(super) fn find(
        &self,
        store: &Store,
        snapshot: &Snapshot<'_>,
        asked: &Asked,
        earlier: &mut Earlier,
    ) -> Result<(), Error> {
        let mut search = Search { store, snapshot, asked, earlier, chunks: MAX_CHUNKS };
        let mut left = MAX_RUNS;
        for (place, block) in snapshot.searched_blocks().iter().enumerate() {
            if left == 0 {
                break;
            }
            // The first is the active one, of which the snapshot has a view. Most of the others hold nothing of a batch:
            // their directories in memory tell so, and their files stay closed.
            let is_sealed = place > 0;
            if is_sealed
                && let Some(runs) = block.runs_in_memory()
                && !self.may_hold(block, runs.iter().rev().take(left), asked)
            {
                left = left.saturating_sub(runs.len());
                continue;
            }
            let Some(view) = snapshot.step_over_damage(snapshot.view(block), block)? else { continue };
            let newest = view.runs.iter().rev().take(left);
            // Whose time is over is gone for everybody, even while it is still on the disk.
            for run in newest.filter(|run| snapshot.is_current(block, run)) {
                let remembered = self.remembered(block, run);
                search.look_into(&view, run, remembered)?;
            }
            left = left.saturating_sub(view.runs.len());
        }
        Ok(())
    }

    fn remembered(&self, block: &Block, run: &Run) -> Option<&Remembered> {
        self.runs.iter().find(|known| known.run == (block.sequence, run.id))
    }

    /// Whether one of the runs may hold one of the traces.
    fn may_hold<'r>(
        &self,
        block: &Block,
        mut runs: impl Iterator<Item = &'r Arc<Run>>,
        asked: &Asked,
    ) -> bool {
        runs.any(|run| match self.remembered(block, run) {
            // Half a hash is often some other trace's too, where runs are large.
            Some(remembered) => common(&asked.uppers, &remembered.hashes)
                .into_iter()
                .any(|place| bloom::may_hold(&run.filter, asked.traces[place].0)),
            None => asked.traces.iter().any(|(hash, _)| bloom::may_hold(&run.filter, *hash)),
        })
    }
}

/// The places in `asked` of what is in `known` too. Both are sorted: they are gone through side by side.
fn common(asked: &[u32], known: &[u32]) -> Vec<usize> {
    let (mut found, mut at) = (Vec::new(), 0);
    for (place, hash) in asked.iter().enumerate() {
        while at < known.len() && known[at] < *hash {
            at += 1;
        }
        if known.get(at) == Some(hash) {
            found.push(place);
        }
    }
    found
}

fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
}

struct Search<'a> {
    store: &'a Store,
    snapshot: &'a Snapshot<'a>,
    asked: &'a Asked,
    earlier: &'a mut Earlier,
    /// How many may still be read.
    chunks: usize,
}

impl Search<'_> {
    fn look_into(&mut self, view: &View, run: &Run, remembered: Option<&Remembered>) -> Result<(), Error> {
        let asked = self.asked;
        match remembered {
            Some(Remembered { hashes, spans, .. }) => {
                for place in common(&asked.uppers, hashes) {
                    let (hash, id) = asked.traces[place];
                    match spans {
                        Some(spans) => self.add(id, spans.of(id)),
                        None => self.read(view, run, (hash, id))?,
                    }
                }
            }
            None => {
                for &(hash, id) in &asked.traces {
                    if bloom::may_hold(&run.filter, hash) {
                        self.read(view, run, (hash, id))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn add(&mut self, id: TraceId, spans: impl Iterator<Item = KnownSpan>) {
        let mut spans = spans.peekable();
        if spans.peek().is_some() {
            self.earlier.entry(id).or_default().extend(spans);
        }
    }

    fn read(&mut self, view: &View, run: &Run, (hash, id): (u64, TraceId)) -> Result<(), Error> {
        for (number, entry) in run.chunks_of(id, hash) {
            if !self.store.is_at_hand(view, run, number) {
                if self.chunks == 0 {
                    self.store.losses.leave_unchecked();
                    return Ok(());
                }
                self.chunks -= 1;
            }
            let Some(chunk) = self.snapshot.chunk(view, run, number, entry)? else { continue };
            for place in chunk.trace(id) {
                let span = self.snapshot.span_of(view, &chunk, place)?;
                let known = span.map(|span| KnownSpan {
                    span_id: span.span_id,
                    content_hash: span.content_hash,
                    service: crate::store::shortened(&span.resource.service).into(),
                    kind: span.kind,
                    start: span.start,
                });
                self.add(id, known.into_iter());
            }
        }
        Ok(())
    }
}
