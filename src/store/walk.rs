//! All spans of one trace, however many there are: chunk by chunk, each once, in pieces that memory has room for.

use std::cell::Cell;
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::model::{Span, Timestamp, TraceId};
use crate::store::block::View;
use crate::store::chunk::Chunk;
use crate::store::directory::Run;
use crate::store::schema::SPANS;
use crate::store::{Error, Snapshot, Store, bloom};

/// How many spans of a trace are handed out at once.
#[derive(Debug, Clone, Copy)]
pub struct PieceLimits {
    /// Their number.
    pub spans: usize,
    /// Their bytes in memory, more or less; the span that crosses the line is still in the piece.
    pub bytes: usize,
}

impl Store {
    /// Hands out all spans of a trace, stored and pinned, as they stand now, each once, until told to stop. What it keeps
    /// in memory does not grow with the trace. Pieces come in no promised order, none is empty.
    pub fn each_piece<B>(
        &self,
        id: TraceId,
        limits: PieceLimits,
        mut take: impl FnMut(Vec<Span>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, Error> {
        let mut begun = false;
        let mut walk = |begun: &mut bool| {
            self.snapshot()?.each_piece(id, limits, |piece| {
                *begun = true;
                take(piece)
            })
        };
        match walk(&mut begun) {
            // What was handed out cannot be taken back.
            Err(error) if error.is_echo() && !begun => walk(&mut begun),
            walked => walked,
        }
    }
}

impl Snapshot<'_> {
    /// [`Store::each_piece`], as of this snapshot.
    pub(super) fn each_piece<B>(
        &self,
        id: TraceId,
        limits: PieceLimits,
        mut take: impl FnMut(Vec<Span>) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, Error> {
        let mut piece = Piece::default();
        let walked = self.each_span(id, |span| {
            piece.add(span);
            if piece.is_within(limits) {
                return ControlFlow::Continue(());
            }
            take(std::mem::take(&mut piece).spans)
        })?;
        Ok(match walked {
            ControlFlow::Continue(()) if !piece.spans.is_empty() => take(piece.spans),
            walked => walked,
        })
    }

    /// From the earliest start to the latest end of a trace's spans; `None` when there are none.
    pub fn bounds(&self, id: TraceId) -> Result<Option<(Timestamp, Timestamp)>, Error> {
        let mut bounds: Option<(Timestamp, Timestamp)> = None;
        for place in self.places_of(id)? {
            let Some(chunk) = self.chunk_at(&place)? else { continue };
            for span in chunk.trace(id) {
                let (start, end) = (chunk.start(span), chunk.end(span).max(chunk.start(span)));
                bounds = Some(
                    bounds.map_or((start, end), |(earliest, latest)| (earliest.min(start), latest.max(end))),
                );
            }
        }
        Ok(bounds)
    }

    fn each_span<B>(
        &self,
        id: TraceId,
        mut take: impl FnMut(Span) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, Error> {
        let places = self.places_of(id)?;
        let parts = self.count_at_most(&places, id)?.div_ceil(self.store.sizes.walked_spans);
        for part in 0..parts {
            let mut known = HashSet::new();
            for place in &places {
                let Some(chunk) = self.chunk_at(place)? else { continue };
                let walked = self.each_span_of(&place.view, &chunk, id, |span| {
                    // Of the content the span id is a part.
                    let is_new = span.content_hash % parts == part && known.insert(span.content_hash);
                    if is_new { take(span) } else { ControlFlow::Continue(()) }
                })?;
                if walked.is_break() {
                    return Ok(walked);
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// How many spans of a trace there are in these chunks, those that come twice counted twice. Where few spans of any
    /// trace are, that is said without opening them.
    fn count_at_most(&self, places: &[Place], id: TraceId) -> Result<u64, Error> {
        let of_all = places.iter().map(|place| u64::from(place.run.chunks[place.number].spans)).sum();
        if of_all <= self.store.sizes.walked_spans {
            return Ok(of_all);
        }
        let mut spans = 0;
        for place in places {
            spans += self.chunk_at(place)?.map_or(0, |chunk| chunk.trace(id).len() as u64);
        }
        Ok(spans)
    }

    /// The spans of a trace in one chunk; those that are damaged are left out, and that is counted.
    fn each_span_of<B>(
        &self,
        view: &View,
        chunk: &Chunk,
        id: TraceId,
        mut take: impl FnMut(Span) -> ControlFlow<B>,
    ) -> Result<ControlFlow<B>, Error> {
        let failed = Cell::new(None);
        let source = |number| {
            self.source(view, number).unwrap_or_else(|error| {
                failed.set(Some(error));
                None
            })
        };
        let Some(mut reader) = self.store.losses.step_over(SPANS, chunk.reader(source)) else {
            return Ok(ControlFlow::Continue(()));
        };
        for place in chunk.trace(id) {
            let span = reader.span(place);
            if let Some(error) = failed.take() {
                return Err(error);
            }
            if let Some(span) = span
                && let stop @ ControlFlow::Break(_) = take(span)
            {
                return Ok(stop);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn chunk_at(&self, place: &Place) -> Result<Option<Arc<Chunk>>, Error> {
        let Place { view, run, number } = place;
        let chunk = self.chunk(view, run, *number as u32, &run.chunks[*number]);
        Ok(self.step_over_damage(chunk, &view.block)?.flatten())
    }

    /// The chunks in which spans of a trace would stand: the archive's, then all blocks', the oldest block first.
    fn places_of(&self, id: TraceId) -> Result<Vec<Place>, Error> {
        let hash = bloom::trace_hash(id);
        let mut places = Vec::new();
        for block in self.store.archive.block().into_iter().chain(self.searched_blocks().iter().rev()) {
            let Some(view) = self.step_over_damage(self.view(block), block)? else { continue };
            for run in view.runs.iter().filter(|run| self.is_current(block, run)) {
                places.extend(run.chunks_of(id, hash).map(|(number, _entry)| Place {
                    view: Arc::clone(&view),
                    run: Arc::clone(run),
                    number: number as usize,
                }));
            }
        }
        Ok(places)
    }
}

/// Where a chunk stands.
struct Place {
    view: Arc<View>,
    run: Arc<Run>,
    number: usize,
}

/// Spans that are handed out at once.
#[derive(Default)]
struct Piece {
    spans: Vec<Span>,
    bytes: usize,
}

impl Piece {
    fn add(&mut self, span: Span) {
        let is_another = |last: &Span| {
            !Arc::ptr_eq(&last.resource, &span.resource) || !Arc::ptr_eq(&last.scope, &span.scope)
        };
        if self.spans.last().is_none_or(is_another) {
            self.bytes += span.resource.bytes.len() + span.scope.bytes.len();
        }
        self.bytes += size_of::<Span>() + span.body.len();
        self.spans.push(span);
    }

    /// Whether there is room for more.
    fn is_within(&self, limits: PieceLimits) -> bool {
        self.spans.len() < limits.spans && self.bytes < limits.bytes
    }
}
