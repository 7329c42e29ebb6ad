//! Merging: many small runs become one, so that reading stays quick however slowly spans come in.
//!
//! Reading and packing happen beside the writer; only the commit takes its turn with it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Span, Timestamp};
use crate::store::block::{Block, View};
use crate::store::chunk::Item;
use crate::store::directory::Run;
use crate::store::pack::{self, Packer, Seen};
use crate::store::schema::{RESOURCES, index_key};
use crate::store::seal::Damaged;
use crate::store::sources::{self, Notes, SourceNotes};
use crate::store::{Error, Store, shortened};

/// What merging did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Merged {
    /// Runs that became fewer.
    pub runs: usize,
    /// Their spans, those that were stored twice counted twice.
    pub spans: u64,
    /// Spans that were stored twice.
    pub duplicates: u64,
}

/// A run, read.
struct Read {
    run: Arc<Run>,
    /// Each with its source.
    spans: Vec<(Span, u32)>,
}

impl Store {
    /// Merges small runs of one block, if there are enough of them; of a block that is written to no more, all of
    /// them, and then gives back what space it has free at its end. `None` when there is nothing to do.
    pub fn merge(&self) -> Result<Option<Merged>, Error> {
        let _alone = self.merging.lock();
        let mut failed = None;
        for block in self.blocks.sealed() {
            if block.is_tidy() || block.is_held() {
                continue;
            }
            match self.tidy_up(&block) {
                // The others are not to wait for it; it is tried again, and told of when nothing else is left to do.
                Err(error) if block.is_lost(&error) => failed = failed.or(Some(error)),
                Ok(None) => {}
                done => return done,
            }
        }
        let open = [self.blocks.active(), self.archive.block().cloned()];
        for block in open.iter().flatten().filter(|block| !block.is_held()) {
            if let Some(merged) = self.merge_block(block, false)? {
                return Ok(Some(merged));
            }
        }
        failed.map_or(Ok(None), Err)
    }

    /// Merges what a sealed block has to merge, and compacts it when that is nothing.
    fn tidy_up(&self, block: &Arc<Block>) -> Result<Option<Merged>, Error> {
        let merged = self.merge_block(block, true)?;
        if merged.is_none() && block.is_sound(&self.losses)? {
            block.compact()?;
        }
        Ok(merged)
    }

    fn merge_block(&self, block: &Arc<Block>, is_sealed: bool) -> Result<Option<Merged>, Error> {
        let view = block.view(&self.losses)?;
        let small = self.small_runs(&view);
        let is_due = small.len() >= 2 && (is_sealed || self.are_enough(&small));
        if !is_due || !block.is_sound(&self.losses)? {
            return Ok(None);
        }
        let read: Vec<Read> = small
            .into_iter()
            .filter_map(|run| self.read_run(&view, run).transpose())
            .collect::<Result<_, _>>()?;
        if read.len() < 2 {
            // What cannot be read whole stays as it is; looking again would find the same.
            return Ok(None);
        }
        self.replace(&view, &read).map(Some)
    }

    /// Whether merging them is worth the writing while more are to come.
    fn are_enough(&self, small: &[Arc<Run>]) -> bool {
        let spans: u32 = small.iter().map(|run| run.spans).sum();
        let bytes: u64 = small.iter().map(|run| run.raw_bytes).sum();
        let sizes = &self.sizes;
        // When as many bytes are chosen as may be, it is more than half of that: each is smaller than the other half.
        small.len() >= sizes.many_runs || spans >= sizes.many_spans || bytes >= sizes.merged_bytes / 2
    }

    /// Small runs whose time ends at about the same time, so that none is kept much longer for the others.
    fn small_runs(&self, view: &View) -> Vec<Arc<Run>> {
        let slack = self.blocks.settings().max_age / 48;
        let mut chosen: Vec<Arc<Run>> = Vec::new();
        let sizes = &self.sizes;
        let (mut spans, mut bytes) = (0, 0);
        let is_small = |run: &&Arc<Run>| {
            let is_small = run.spans < sizes.small_run && run.raw_bytes < sizes.merged_bytes / 2;
            is_small && !view.block.is_unreadable(run.id)
        };
        for run in view.runs.iter().filter(is_small) {
            let first = chosen.first().map_or(run.expire_time, |first| first.expire_time);
            let apart = run.expire_time.since(first).max(first.since(run.expire_time));
            let is_enough =
                spans + run.spans > sizes.merged_spans || bytes + run.raw_bytes > sizes.merged_bytes;
            if chosen.len() >= sizes.merged_runs || is_enough {
                break;
            }
            if apart > slack {
                if chosen.len() > 1 {
                    break;
                }
                // Alone in its time.
                (chosen, spans, bytes) = (Vec::new(), 0, 0);
            }
            spans += run.spans;
            bytes += run.raw_bytes;
            chosen.push(Arc::clone(run));
        }
        chosen
    }

    /// `None` when a part of it is damaged.
    fn read_run(&self, view: &View, run: Arc<Run>) -> Result<Option<Read>, Error> {
        let snapshot = self.snapshot()?;
        let mut spans = Vec::with_capacity(run.spans as usize);
        for (number, entry) in (0..).zip(&run.chunks) {
            let Some(chunk) = self.chunk(view, &run, number, entry)? else {
                view.block.mark_unreadable(run.id);
                return Ok(None);
            };
            for place in 0..chunk.len() {
                let Some(span) = snapshot.span_of(view, &chunk, place)? else {
                    view.block.mark_unreadable(run.id);
                    return Ok(None);
                };
                spans.push((span, chunk.source(place)));
            }
        }
        Ok(Some(Read { run, spans }))
    }

    fn replace(&self, view: &View, read: &[Read]) -> Result<Merged, Error> {
        let notes = self.notes(view, read)?;
        let all = read.iter().flat_map(|read| &read.spans);
        let mut items: Vec<Item<'_>> = all.map(|(span, source)| Item { span, source: *source }).collect();
        let before = items.len() as u64;
        items.sort_by_key(|item| (item.span.trace_id, item.span.span_id, item.span.content_hash));
        items.dedup_by_key(|item| (item.span.trace_id, item.span.span_id, item.span.content_hash));
        let duplicates = before - items.len() as u64;
        let expire_time = read.iter().map(|read| read.run.expire_time).max().unwrap_or_default();
        let (id, seen) = (view.block.new_run(), &mut Seen::default());
        let packed = Packer::new(self.sizes).pack(id, &items, &notes, expire_time, seen, |_, _| ())?;
        view.block.commit(&self.losses, |transaction, current| {
            for read in read {
                pack::remove(transaction, &read.run, &index_keys(read))?;
            }
            packed.write(transaction)?;
            let is_merged = |run: &&Arc<Run>| read.iter().any(|read| read.run.id == run.id);
            let left = current.iter().filter(|run| !is_merged(run)).cloned();
            Ok(((), left.chain([Arc::new(packed.run.clone())]).collect()))
        })?;
        let merged: Vec<u32> = read.iter().map(|read| read.run.id).collect();
        self.appender.lock().merged(view.block.sequence, &merged, packed.run.id);
        Ok(Merged { runs: read.len(), spans: before, duplicates })
    }

    fn notes(&self, view: &View, read: &[Read]) -> Result<Notes, Error> {
        let mut notes = Notes::default();
        view.reading.read(|transaction| {
            let table = transaction.open_table(RESOURCES)?;
            for (_, source) in read.iter().flat_map(|read| &read.spans) {
                if !notes.contains_key(source) {
                    let found = sources::read(&table, *source)?.unwrap_or(Err(Damaged));
                    // The spans were read with it just now.
                    if let Some(found) = self.losses.step_over(RESOURCES, found) {
                        notes.insert(*source, SourceNotes::of(&found));
                    }
                }
            }
            Ok(())
        })?;
        Ok(notes)
    }
}

/// The keys of a run's rows of the index.
fn index_keys(read: &Read) -> Vec<Vec<u8>> {
    let mut latest: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for (span, _) in &read.spans {
        let latest = latest.entry(&span.resource.service).or_default();
        *latest = span.start.max(*latest);
    }
    // Two long names may be one when they are shortened, but not with the same hash of the whole.
    let key =
        |(service, latest): (&str, Timestamp)| index_key(&shortened(service), latest.nanos(), read.run.id);
    latest.into_iter().map(key).collect()
}
