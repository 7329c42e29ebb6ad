//! The original's own layout: `<unix ms>` files of records, each a length and one `Export…ServiceRequest`.
//!
//! Promise: a directory taken off a phone or a JVM is read as far as it is sound, file by file, and what is wrong in it
//! is said. [`DelimitedStorage`] writes directories that the original reads: names are its names, bytes are its bytes.
//! A batch is synced before its write is answered, unless `durability` is relaxed; removing one never touches another; what
//! is dropped is counted; `max_folder_size` is never exceeded.
//!
//! Limits: a record has at most [`MAX_RECORD_BYTES`]. Nothing vouches for its bytes: a bad disk, or a power cut before a
//! write was answered, may leave one with wrong bytes. Nothing in the layout finds the next record behind a damaged
//! length: the rest of that file is lost (set aside, and counted). The layout keeps neither item counts nor positions,
//! so it has one reader, and a batch comes again after a crash if it was removed just before. Whoever needs more than
//! exchange with the original takes [`crate::buffer::Buffer`] and what stands on it.
//!
//! Does not know: what the bytes are.
//!
//! Source: OpenTelemetry Java contrib, disk-buffering: `FolderManager`, `WritableFile`, `ReadableFile`.

mod record;
mod rewrite;
mod session;
mod state;
mod storage;

#[cfg(test)]
mod failure_tests;

pub use record::{Flaw, MAX_RECORD_BYTES};
pub use state::DelimitedCounts;
pub use storage::DelimitedStorage;

pub(super) use record::{RecordReader, Step};
