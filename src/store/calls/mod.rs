//! Who calls whom: each hop from a span to its parent, or to a span it links, is one call, counted once.
//!
//! Promise: neither the order of arrival nor a restart nor a retry counts a call twice. A span looks for its parent,
//! and for the spans it links, when it is stored; where one is not there yet it waits for it ([`Pending`]), and the
//! batch that brings it counts the call. A span that shares its id with who asked, as Zipkin's do, is called by that
//! one, and what else in Zipkin's words names that id is never called from another service by who asked. Nothing outside
//! of [`Counted`] changes before the batch is on disk.
//!
//! Limits: a span waits for 10 minutes; 50 000 wait at most, then the oldest go; 128 links of a span are looked at,
//! and 100 000 links to other traces in a batch; 100 000 rows of calls and as many of operations are counted in a batch
//! and kept in a file, further ones are left out; a parent is looked for among 16 spans of its id. A batch so takes up to
//! 40 MB here, beside the names it brings, each kept once, and 16 bytes a span to count its duration.
//!
//! Does not know: how spans are stored, and which were stored before: it is told. Nor who called those whose waiting was
//! in vain: a half that answers is not counted when the half that asks never comes, not even below the parent that it
//! names, nor is what hangs on an id of which only another service's asking half came. What the asking service has below
//! a shared id is of the answering half if that is all that came before it.

mod body;
mod counting;
mod names;
mod numbers;
mod pending;
mod rows;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::model::{SpanId, SpanKind, Timestamp};
use crate::store::histogram::Histogram;

pub(in crate::store) use counting::{Counted, Counting, SeenSpans};
pub(in crate::store) use numbers::Numbers;
pub(in crate::store) use pending::{PENDING_PARENTS, Pending, Waiting, check_waiting};
pub(in crate::store) use rows::{Calls, DEPENDENCIES, add_to_table, check, read, read_waiting, write};

/// What a call is known by (the numbers are stored).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum EdgeKind {
    /// A span below another: one asks, the other answers.
    Rpc = 1,
    /// One puts a message somewhere, the other takes it.
    Messaging = 2,
    /// One names the other without being asked by it.
    Link = 3,
}

impl EdgeKind {
    /// From the stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Rpc, Self::Messaging, Self::Link].into_iter().find(|kind| *kind as u8 == number)
    }

    /// The lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rpc => "rpc",
            Self::Messaging => "messaging",
            Self::Link => "link",
        }
    }
}

/// The calls of one service by another in some hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The calling service.
    pub parent: String,
    /// The called service.
    pub child: String,
    /// How it is called.
    pub kind: EdgeKind,
    /// How often.
    pub calls: u64,
    /// How many of these calls the called service failed.
    pub errors: u64,
    /// How long the called service took.
    pub durations: Histogram,
}

/// A span that may be a parent, or linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct KnownSpan {
    /// Its id within the trace.
    pub(in crate::store) span_id: SpanId,
    /// Tells spans of one id apart.
    pub(in crate::store) content_hash: u64,
    /// Where it ran.
    pub(in crate::store) service: Arc<str>,
    /// Its role.
    pub(in crate::store) kind: SpanKind,
    /// When it started.
    pub(in crate::store) start: Timestamp,
}
