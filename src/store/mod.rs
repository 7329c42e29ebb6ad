//! Spans at rest in redb.

#[cfg_attr(not(test), expect(dead_code, reason = "the runs that use it come next"))]
pub(crate) mod bloom;
mod calls;
#[cfg_attr(not(test), expect(dead_code, unused_imports, reason = "the runs that use it come next"))]
mod chunk;
mod engine;
mod error;
mod histogram;
#[cfg_attr(not(test), expect(dead_code, reason = "the runs that use it come next"))]
mod index;
mod key;
pub mod literal;
mod losses;
mod red;
mod seal;
#[cfg_attr(not(test), expect(dead_code, reason = "the runs that use it come next"))]
pub(crate) mod tags;

use std::time::Duration;

use crate::model::Timestamp;

#[doc(hidden)]
pub use chunk::read_any;
pub use error::Error;
pub use key::{Identity, MAX_NAME_BYTES, shortened};
pub use literal::{Dependency, IndexRow, Newest, Snapshot, Spans, Store, TraceRows};

/// How a store is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Memory for pages of the file, read and written.
    pub cache_bytes: usize,
    /// How long a span is kept after it was stored.
    pub max_age: Duration,
}

/// How far a buffer has been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    /// Which buffer.
    pub buffer: [u8; 16],
    /// Which of its signals.
    pub signal: u8,
    /// The last applied frame.
    pub sequence: u64,
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Appended {
    /// Spans that were stored.
    pub new: u64,
    /// Spans that were there already; damaged rows among them are written anew.
    pub duplicates: u64,
}

/// What one batch of expiry did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Expired {
    /// Spans that were removed.
    pub spans: u64,
    /// Whether more may be due: call again.
    pub more: bool,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// Stored spans, pinned copies not counted.
    pub spans: u64,
    /// Traces that are kept for good.
    pub traces_pinned: u64,
    /// What the file takes on the disk, in bytes.
    pub data_bytes: u64,
    /// The earliest start of a stored span; spans without one are not asked.
    pub oldest: Option<Timestamp>,
    /// How often a damaged row was met since the program started.
    pub damaged_rows: u64,
    /// How often the engine failed and was given up since the program started.
    pub engine_failures: u64,
}
