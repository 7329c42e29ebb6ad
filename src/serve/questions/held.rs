//! A trace as it is read, until it is known whether it can be adjusted, for which all of it is needed at once.

use std::collections::HashSet;
use std::mem;
use std::sync::Arc;

use tonic::Status;

use crate::model::{Span, TraceId};
use crate::proto::jaeger::api_v2::SpansResponseChunk;
use crate::query::{Query, Trace};
use crate::serve::answer::{self, Chunk};
use crate::serve::budget::{MAX_ANSWER_BYTES, Share};
use crate::serve::stream::Outlet;
use crate::translate::jaeger;

/// Spans of a trace that is adjusted, as they are stored: as many as over HTTP.
const MAX_STORED_BYTES: usize = 24 << 20;

/// What is more than this takes a share of what such traces may take together.
const MAX_FREE_BYTES: usize = 512 << 10;

/// What is held of a trace.
#[derive(Debug)]
pub(super) struct Held {
    is_raw: bool,
    spans: Vec<Span>,
    /// Where the resources and scopes of the spans are in memory.
    sources: HashSet<(usize, usize)>,
    stored_bytes: usize,
    /// What the spans take besides once they are adjusted.
    adjusted_bytes: usize,
    /// At least what is held, as soon as that is more than [`MAX_FREE_BYTES`].
    share: Option<Share>,
}

impl Held {
    pub(super) fn new(is_raw: bool) -> Self {
        Self {
            is_raw,
            spans: Vec::new(),
            sources: HashSet::new(),
            stored_bytes: 0,
            adjusted_bytes: 0,
            share: None,
        }
    }

    /// Puts a trace out; whether there is anything of it.
    pub(super) fn put_trace(
        mut self,
        query: &Query,
        id: TraceId,
        chunk: &mut Chunk,
        outlet: &mut Outlet<SpansResponseChunk>,
    ) -> Result<bool, Status> {
        let is_found = answer::each_piece(query, id, outlet, |outlet, piece| self.add(piece, chunk, outlet))?;
        let bytes = self.bytes();
        let Self { spans, mut share, .. } = self;
        if let Some(share) = &mut share {
            share.trim(bytes);
        }
        let trace = Trace::new(id, spans);
        jaeger::adjusted(&trace.spans).try_for_each(|span| chunk.add(span, outlet))?;
        Ok(is_found)
    }

    fn add(
        &mut self,
        piece: &[Span],
        chunk: &mut Chunk,
        outlet: &mut Outlet<SpansResponseChunk>,
    ) -> Result<(), Status> {
        if !self.is_raw {
            piece.iter().for_each(|span| self.weigh(span));
            self.is_raw = self.stored_bytes > MAX_STORED_BYTES || self.bytes() > MAX_ANSWER_BYTES;
        }
        if self.is_raw {
            return self.put_raw(piece, chunk, outlet);
        }
        if self.share.is_none() && self.bytes() > MAX_FREE_BYTES {
            self.share = Some(outlet.share()?);
        }
        self.spans.extend_from_slice(piece);
        Ok(())
    }

    /// Puts out what is held, which keeps its share until then, and what comes after it.
    fn put_raw(
        &mut self,
        piece: &[Span],
        chunk: &mut Chunk,
        outlet: &mut Outlet<SpansResponseChunk>,
    ) -> Result<(), Status> {
        let (spans, mut share) = (mem::take(&mut self.spans), self.share.take());
        if let Some(share) = &mut share {
            share.trim(self.stored_bytes);
        }
        spans.iter().chain(piece).try_for_each(|span| chunk.add(jaeger::span(span), outlet))
    }

    fn weigh(&mut self, span: &Span) {
        self.stored_bytes += size_of::<Span>() + span.body.len();
        self.adjusted_bytes += jaeger::adjusted_bytes(span);
        let source = (Arc::as_ptr(&span.resource).addr(), Arc::as_ptr(&span.scope).addr());
        if self.sources.insert(source) {
            self.stored_bytes += span.resource.bytes.len() + span.scope.bytes.len();
            self.adjusted_bytes += jaeger::adjusted_process_bytes(&span.resource, span.origin);
        }
    }

    fn bytes(&self) -> usize {
        self.stored_bytes + self.adjusted_bytes
    }
}
