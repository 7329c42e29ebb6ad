//! Searching: spans that may fulfil conditions, by what indexes and filters tell, newest first.
//!
//! With a service the rows of its index are gone through, without one the chunks' own columns. What comes out may
//! fulfil the conditions; whether it does is for the asker to see on the span itself.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Span, SpanKind, StatusCode, Timestamp, TraceId};
use crate::store::block::View;
use crate::store::chunk::Chunk;
use crate::store::directory::Run;
use crate::store::index::{self, Indexed, ServiceRow};
use crate::store::schema::{SEARCHABLE_TAGS, SERVICE_NAME_INDEX, index_key, indexed_run};
use crate::store::seal::Damaged;
use crate::store::tag_filters::TagRow;
use crate::store::{Error, Snapshot, bloom, parts, shortened, tag_filters};

/// What indexes and filters can tell of a span. Names are [`shortened`].
#[derive(Debug, Clone)]
pub struct Filter {
    /// The span's service.
    pub service: Option<String>,
    /// The span's name.
    pub operation: Option<String>,
    /// Its kind.
    pub kind: Option<SpanKind>,
    /// Its status.
    pub status: Option<StatusCode>,
    /// [`crate::store::tag_hash`] of pairs: of each of these, it must have one.
    pub tags: Vec<Vec<u64>>,
    /// When it started.
    pub starts: RangeInclusive<Timestamp>,
    /// How long it took.
    pub durations: RangeInclusive<Duration>,
}

/// A span that may fulfil the conditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// It started at this moment or before it.
    pub start_at_most: Timestamp,
    /// Which of the runs that were looked at it is in.
    run: u32,
    /// Its place in the run.
    ordinal: u32,
}

/// A search on its way through the runs, the one with the latest start first.
pub struct Scan<'s> {
    snapshot: &'s Snapshot<'s>,
    filter: &'s Filter,
    /// Runs that are still to be looked at, the latest last.
    ahead: Vec<Seen>,
    /// Runs that were looked at.
    seen: Vec<Seen>,
    inspected: u64,
    reader: index::Reader,
    /// Asked between chunks whether the search is to end.
    is_over: Option<&'s (dyn Fn() -> bool + 's)>,
}

impl fmt::Debug for Scan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scan").field("filter", &self.filter).finish_non_exhaustive()
    }
}

/// A run and where it stands.
#[derive(Debug, Clone)]
struct Seen {
    view: Arc<View>,
    run: Arc<Run>,
}

impl<'s> Snapshot<'s> {
    /// Begins a search.
    pub fn scan(&'s self, filter: &'s Filter) -> Result<Scan<'s>, Error> {
        let mut ahead = Vec::new();
        for block in self.searched_blocks() {
            let Some(view) = self.step_over_damage(self.view(block), block)? else { continue };
            let runs =
                view.runs.iter().filter(|run| self.is_current(block, run) && filter.overlaps(&run.starts));
            ahead.extend(runs.map(|run| Seen { view: Arc::clone(&view), run: Arc::clone(run) }));
        }
        ahead.sort_by_key(|seen| *seen.run.starts.end());
        let (seen, reader) = (Vec::new(), index::Reader::default());
        Ok(Scan { snapshot: self, filter, ahead, seen, inspected: 0, reader, is_over: None })
    }
}

impl Filter {
    fn overlaps(&self, starts: &RangeInclusive<Timestamp>) -> bool {
        starts.start() <= self.starts.end() && self.starts.start() <= starts.end()
    }

    fn may_be(&self, class: &(Option<String>, SpanKind, StatusCode)) -> bool {
        let (operation, kind, status) = class;
        let is_named = |wanted: &String| operation.as_ref().is_none_or(|operation| operation == wanted);
        self.operation.as_ref().is_none_or(is_named)
            && self.kind.is_none_or(|wanted| wanted == *kind)
            && self.status.is_none_or(|wanted| wanted == *status)
    }

    fn may_be_at(&self, span: &Indexed) -> bool {
        span.start_at_least() <= *self.starts.end()
            && *self.starts.start() <= span.start_at_most()
            && span.duration_at_least() <= *self.durations.end()
            && *self.durations.start() <= span.duration_at_most()
    }

    fn may_be_in(&self, chunk: &Chunk, place: usize) -> bool {
        self.starts.contains(&chunk.start(place))
            && self.durations.contains(&chunk.end(place).since(chunk.start(place)))
            && self.kind.is_none_or(|kind| kind == chunk.kind(place))
            && self.status.is_none_or(|status| status == chunk.status(place))
            && self
                .operation
                .as_ref()
                .is_none_or(|operation| shortened(&String::from_utf8_lossy(chunk.name(place))) == *operation)
    }
}

impl<'s> Scan<'s> {
    /// The same, but it ends in the middle of a run when this becomes true, which then has to stay so.
    pub fn ending_when(self, is_over: &'s (dyn Fn() -> bool + 's)) -> Self {
        Self { is_over: Some(is_over), ..self }
    }
}

impl Scan<'_> {
    /// No span that is still to come started later; `None` when nothing is to come.
    pub fn latest(&self) -> Option<Timestamp> {
        self.ahead.last().map(|seen| (*seen.run.starts.end()).min(*self.filter.starts.end()))
    }

    /// Spans whose index entries or columns were looked at.
    pub fn inspected(&self) -> u64 {
        self.inspected
    }

    /// Looks at the next run: adds those of its spans that may fulfil the conditions, in no order. False when there
    /// is none.
    pub fn advance(&mut self, candidates: &mut impl Extend<Candidate>) -> Result<bool, Error> {
        let Some(seen) = self.ahead.pop() else { return Ok(false) };
        let number = self.seen.len() as u32;
        self.seen.push(seen.clone());
        let block = Arc::clone(&seen.view.block);
        let looked = self.look(&seen, number, candidates);
        self.snapshot.step_over_damage(looked, &block)?;
        Ok(true)
    }

    fn look(
        &mut self,
        seen: &Seen,
        number: u32,
        candidates: &mut impl Extend<Candidate>,
    ) -> Result<(), Error> {
        let Some(chunks) = self.chunks_with_tags(seen)? else { return Ok(()) };
        let row = match &self.filter.service {
            Some(service) => self.service_row(seen, service)?,
            None => ServiceRows::None,
        };
        match row {
            ServiceRows::Found(row) => self.add_indexed(seen, number, &row, &chunks, candidates),
            ServiceRows::Absent => Ok(()),
            ServiceRows::None => self.add_from_chunks(seen, number, &chunks, candidates),
        }
    }

    /// Which chunks may hold all tags; `None` when no chunk does.
    fn chunks_with_tags(&self, seen: &Seen) -> Result<Option<Vec<bool>>, Error> {
        let mut held = vec![true; seen.run.chunks.len()];
        if seen.run.tag_rows == 0 && !self.filter.tags.is_empty() {
            self.leave_out_by_filters_of_chunks(seen, &mut held)?;
        } else {
            for tags in &self.filter.tags {
                let mut by_one = vec![false; held.len()];
                for tag in tags {
                    self.add_by_tag_row(seen, *tag, &mut by_one)?;
                }
                held.iter_mut().zip(by_one).for_each(|(held, by_one)| *held &= by_one);
                if !held.contains(&true) {
                    break;
                }
            }
        }
        Ok(held.contains(&true).then_some(held))
    }

    /// Adds the chunks that may hold a tag: all where the row that would tell is damaged.
    fn add_by_tag_row(&self, seen: &Seen, tag: u64, held: &mut [bool]) -> Result<(), Error> {
        let key = tag_filters::key(seen.run.id, seen.run.tag_rows, tag);
        let mut look = |row: &[u8]| {
            self.snapshot.count_read(row.len());
            let row = TagRow::read(row, held.len())?;
            for (chunk, held) in (0..).zip(held.iter_mut()) {
                *held |= row.may_hold(tag, chunk);
            }
            Ok(())
        };
        let told = seen.view.reading.read(|transaction| {
            parts::read_one(&transaction.open_table(SEARCHABLE_TAGS)?, &key, &mut look)
        })?;
        let told = self.snapshot.store.losses.step_over(SEARCHABLE_TAGS, told.unwrap_or(Err(Damaged)));
        if told.is_none() {
            held.fill(true);
        }
        Ok(())
    }

    /// Leaves in `held` the chunks that may hold all tags, of a run that has a filter for each chunk.
    fn leave_out_by_filters_of_chunks(&self, seen: &Seen, held: &mut [bool]) -> Result<(), Error> {
        let key = seen.run.id.to_be_bytes();
        let blob = seen
            .view
            .reading
            .read(|transaction| parts::read(&transaction.open_table(SEARCHABLE_TAGS)?, &key))?
            .unwrap_or(Err(Damaged));
        self.snapshot.count_read(blob.as_ref().map_or(0, Vec::len));
        let told = blob.and_then(|blob| {
            let filters = bloom::filters(&blob)?;
            if filters.len() != held.len() {
                return Err(Damaged);
            }
            for (filter, held) in filters.iter().zip(held) {
                let holds_one = |tags: &Vec<u64>| tags.iter().any(|tag| bloom::may_hold(filter, *tag));
                *held = self.filter.tags.iter().all(holds_one);
            }
            Ok(())
        });
        self.snapshot.store.losses.step_over(SEARCHABLE_TAGS, told);
        Ok(())
    }

    fn service_row(&mut self, seen: &Seen, service: &str) -> Result<ServiceRows, Error> {
        let (starts, run) = (&seen.run.starts, seen.run.id);
        // The latest start of the service's spans, which is in the key, is one of the run's.
        let first = index_key(service, starts.start().nanos(), 0);
        let mut last = index_key(service, starts.end().nanos(), u32::MAX);
        last.push(u8::MAX);
        let blob = seen.view.reading.read(|transaction| {
            let table = transaction.open_table(SERVICE_NAME_INDEX)?;
            let mut latest = None;
            for row in table.range::<&[u8]>(&first[..]..=&last[..])? {
                let (key, _value) = row?;
                latest = indexed_run(key.value()).filter(|(_latest, found)| *found == run).or(latest);
                if latest.is_some() {
                    break;
                }
            }
            let Some((latest, _run)) = latest else { return Ok(None) };
            parts::read(&table, &index_key(service, latest, run))
        })?;
        let Some(blob) = blob else { return Ok(ServiceRows::Absent) };
        let losses = &self.snapshot.store.losses;
        let row = blob.and_then(|blob| self.read_row(&blob));
        Ok(losses.step_over(SERVICE_NAME_INDEX, row).unwrap_or(ServiceRows::None))
    }

    fn read_row(&mut self, blob: &[u8]) -> Result<ServiceRows, Damaged> {
        self.snapshot.count_read(blob.len());
        let (head, filter) = (index::Head::read(blob)?, self.filter);
        let may_be =
            head.has(filter.kind, filter.status) && head.duration_at_most() >= *filter.durations.start();
        if may_be { self.reader.read(blob).map(ServiceRows::Found) } else { Ok(ServiceRows::Absent) }
    }

    fn add_indexed(
        &mut self,
        seen: &Seen,
        number: u32,
        row: &ServiceRow,
        chunks: &[bool],
        candidates: &mut impl Extend<Candidate>,
    ) -> Result<(), Error> {
        self.inspected += row.spans.len() as u64;
        let classes: Vec<bool> = row.classes.iter().map(|class| self.filter.may_be(class)).collect();
        let may_be = |span: &&Indexed| {
            classes.get(span.class as usize).is_none_or(|may_be| *may_be)
                && self.filter.may_be_at(span)
                && seen.run.chunk_at(span.ordinal).is_some_and(|chunk| chunks[chunk])
        };
        candidates.extend(row.spans.iter().filter(may_be).map(|span| Candidate {
            start_at_most: span.start_at_most(),
            run: number,
            ordinal: span.ordinal,
        }));
        Ok(())
    }

    fn add_from_chunks(
        &mut self,
        seen: &Seen,
        number: u32,
        chunks: &[bool],
        candidates: &mut impl Extend<Candidate>,
    ) -> Result<(), Error> {
        for (place, entry) in seen.run.chunks.iter().enumerate() {
            if !chunks[place] || !self.filter.overlaps(&entry.starts) {
                continue;
            }
            if self.is_over.is_some_and(|is_over| is_over()) {
                break;
            }
            let chunk = self.snapshot.chunk(&seen.view, &seen.run, place as u32, entry)?;
            let Some(chunk) = chunk else { continue };
            self.inspected += chunk.len() as u64;
            let found = (0..chunk.len()).filter(|place| self.filter.may_be_in(&chunk, *place));
            candidates.extend(found.map(|place| Candidate {
                start_at_most: chunk.start(place),
                run: number,
                ordinal: entry.first_ordinal + place as u32,
            }));
        }
        Ok(())
    }

    /// The trace of a candidate, without reading its span; `None` when its chunk is damaged.
    pub fn trace_id(&self, candidate: &Candidate) -> Result<Option<TraceId>, Error> {
        Ok(self.chunk_of(candidate)?.map(|(_seen, chunk, place)| chunk.trace_id(place)))
    }

    /// A candidate's span; `None` when it is damaged.
    pub fn span(&self, candidate: &Candidate) -> Result<Option<Span>, Error> {
        let Some((seen, chunk, place)) = self.chunk_of(candidate)? else { return Ok(None) };
        self.snapshot.span_of(&seen.view, &chunk, place)
    }

    fn chunk_of(&self, candidate: &Candidate) -> Result<Option<Spot<'_>>, Error> {
        let seen = &self.seen[candidate.run as usize];
        let Some(number) = seen.run.chunk_at(candidate.ordinal) else { return Ok(None) };
        let entry = &seen.run.chunks[number];
        let chunk = self.snapshot.chunk(&seen.view, &seen.run, number as u32, entry)?;
        let place = (candidate.ordinal - entry.first_ordinal) as usize;
        Ok(chunk.map(|chunk| (seen, chunk, place)))
    }
}

/// A run, a chunk of it, and a span's place in that.
type Spot<'s> = (&'s Seen, Arc<Chunk>, usize);

/// What the index says of a service in a run.
enum ServiceRows {
    /// Its spans.
    Found(ServiceRow),
    /// It has none.
    Absent,
    /// Nothing: it is not asked, or its row is damaged.
    None,
}
