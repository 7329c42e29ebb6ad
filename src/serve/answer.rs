//! What gRPC doors answer alike: traces piece by piece, the ids of those that are wanted, lists that fit into a message.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use prost::Message as _;
use tonic::Status;

use crate::model::{Span, TraceId};
use crate::proto::jaeger::api_v2;
use crate::query::{Cancel, Conditions, Count, PieceLimits, Query, Stopped};
use crate::serve::find::Search;
use crate::serve::grpc::{Error, Source};
use crate::serve::stream::{Outlet, Stream};
use crate::serve::summary::Summary;
use crate::serve::turns::Turns;
use crate::translate::jaeger;

/// Spans of one message: as many as Jaeger's own server sends.
pub(super) const MAX_SPANS: usize = 1_000;

/// Bytes of one message: its readers take 4 MiB, what frames it included.
pub(super) const MAX_BYTES: usize = 3_500 << 10;

/// Bytes after which a message is sent, so that many of them can wait for slow readers.
pub(super) const ENOUGH_BYTES: usize = 1 << 20;

/// Attributes that a trace may be asked to have: each is looked up in every run.
const MAX_ATTRIBUTES: usize = 1_000;

/// Spans that are read at once.
const PIECE: PieceLimits = PieceLimits { spans: MAX_SPANS, bytes: ENOUGH_BYTES };

/// Hands the spans of a trace on, piece by piece; whether there are any.
pub(super) fn each_piece<T: Send + 'static>(
    query: &Query,
    id: TraceId,
    outlet: &mut Outlet<T>,
    mut say: impl FnMut(&mut Outlet<T>, &[Span]) -> Result<(), Status>,
) -> Result<bool, Status> {
    let mut is_found = false;
    let walked = query.each_piece(id, PIECE, |piece| {
        is_found = true;
        match outlet.check().and_then(|()| say(outlet, &piece)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(status) => ControlFlow::Break(status),
        }
    });
    match walked.map_err(Error::from)? {
        ControlFlow::Continue(()) => Ok(is_found),
        ControlFlow::Break(status) => Err(status),
    }
}

/// Hands those of these traces on that are there still, each in one line.
pub(super) fn each_summary<T: Send + 'static>(
    query: &Query,
    ids: Vec<TraceId>,
    outlet: &mut Outlet<T>,
    mut say: impl FnMut(&mut Outlet<T>, Summary) -> Result<(), Status>,
) -> Result<(), Status> {
    for id in ids {
        let mut count = Count::default();
        let is_there_still = each_piece(query, id, outlet, |_outlet, spans| {
            spans.iter().for_each(|span| count.add(span));
            Ok(())
        })?;
        if is_there_still {
            say(outlet, Summary::of(id, count.finish()))?;
        }
    }
    Ok(())
}

/// A door's questions.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    source: Source,
    turns: Turns,
}

impl Desk {
    pub(super) fn new(source: Source) -> Self {
        // Jaeger waits as long as who asks it does.
        let turns = source.turns.for_the_patient();
        Self { source, turns }
    }

    /// Answers a question in one message.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&Query) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Status> {
        self.ask_unless(move |query, _cancel| answer(query)).await
    }

    /// The same for an answer that may take long, and is told when nobody waits for it any more.
    pub(super) async fn ask_unless<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&Query, &Cancel) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Status> {
        let query = self.source.query.clone();
        Ok(self.turns.take(move |cancel| answer(&query, cancel)).await?)
    }

    /// The traces that fulfil the conditions, newest first.
    pub(super) async fn find(&self, conditions: Conditions) -> Result<Vec<TraceId>, Status> {
        let given = conditions.attributes.len();
        if given > MAX_ATTRIBUTES {
            let why =
                format!("{given} attributes or tags are asked for, above the limit of {MAX_ATTRIBUTES}");
            return Err(Error::Contradiction(why).into());
        }
        let query = self.source.query.clone();
        Ok(self.turns.take_for_ids(move |cancel| find(&query, cancel, conditions)).await?)
    }

    /// Answers in many messages.
    pub(super) async fn stream<T: Send + 'static>(
        &self,
        answer: impl FnOnce(&Query, &mut Outlet<T>) -> Result<(), Status> + Send + 'static,
    ) -> Result<Stream<T>, Status> {
        let query = self.source.query.clone();
        Ok(self.turns.stream(move |outlet| answer(&query, outlet)).await.map_err(Error::from)?)
    }
}

/// The traces that one of the services that may be meant has, by their newest matching span.
fn find(query: &Query, cancel: &Cancel, conditions: Conditions) -> Result<Vec<TraceId>, Error> {
    let found = Search::new(conditions).find_ids(query, cancel)?;
    if matches!(found.stopped, Stopped::Time | Stopped::Read) && found.ids.is_empty() {
        return Err(Error::Unfinished);
    }
    Ok(found.ids.into_iter().map(|found| found.id).collect())
}

/// Spans in Jaeger's words on their way out, those of a trace side by side.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    spans: Vec<api_v2::Span>,
    bytes: usize,
}

impl Chunk {
    /// Adds a span, cut if it is too large, and sends what is full.
    pub(super) fn add<T>(&mut self, span: api_v2::Span, outlet: &mut Outlet<T>) -> Result<(), Status>
    where
        T: From<Vec<api_v2::Span>> + Send + 'static,
    {
        /// What a span takes beside its own bytes, at most.
        const FRAME_BYTES: usize = 1 + 5;
        let span = jaeger::fitted(span, MAX_BYTES - FRAME_BYTES);
        let bytes = span.encoded_len() + FRAME_BYTES;
        if self.bytes + bytes > MAX_BYTES {
            self.send(outlet)?;
        }
        self.spans.push(span);
        self.bytes += bytes;
        if self.spans.len() >= MAX_SPANS || self.bytes >= ENOUGH_BYTES {
            self.send(outlet)?;
        }
        Ok(())
    }

    /// Sends what is there.
    pub(super) fn send<T>(&mut self, outlet: &mut Outlet<T>) -> Result<(), Status>
    where
        T: From<Vec<api_v2::Span>> + Send + 'static,
    {
        let Self { spans, .. } = std::mem::take(self);
        if spans.is_empty() { Ok(()) } else { outlet.send(spans.into()) }
    }
}

/// Says once that a list was too long.
#[derive(Debug)]
pub(super) struct Cap {
    what: &'static str,
    was_said: AtomicBool,
}

impl Cap {
    pub(super) const fn new(what: &'static str) -> Self {
        Self { what, was_said: AtomicBool::new(false) }
    }

    /// The first of the items, as many as a message has room for.
    pub(super) fn fitting<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        bytes_of: impl Fn(&T) -> usize,
    ) -> Vec<T> {
        let mut bytes = 0;
        let mut fitting = Vec::new();
        for item in items {
            bytes += bytes_of(&item);
            if bytes > MAX_BYTES {
                if !self.was_said.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        "an answer holds the first {} {} only: it is as long as it may be",
                        fitting.len(),
                        self.what
                    );
                }
                break;
            }
            fitting.push(item);
        }
        fitting
    }
}
