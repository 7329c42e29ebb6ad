//! All tables of a block on one page: DynamoDB's, as jaeger-dynamodb had them, with rows of many items each.
//!
//! | table | DynamoDB's hash and range | key | value |
//! | --- | --- | --- | --- |
//! | `jaeger.spans` | TraceID, SpanID | run ‖ TraceID ‖ SpanID of the first ‖ part | a chunk of spans in that order |
//! | `jaeger.spans.ServiceNameIndex` | ServiceName, StartTime | ServiceName ‖ 00 ‖ latest StartTime ‖ run ‖ part | a service's spans of a run |
//! | `jaeger.spans.SearchableTags` | – (projected by the index) | run ‖ row ‖ part | in which chunks a (key, value) may be |
//! | `jaeger.runs` | – | run | what the run holds, and a filter of its TraceIDs |
//! | `jaeger.resources` | – (an attribute, Process) | id | a resource and a scope |
//! | `jaeger.services` | Name | Name ‖ 00 | when it was seen |
//! | `jaeger.operations` | ServiceName, Name | ServiceName ‖ 00 ‖ Name ‖ 00 ‖ SpanKind | when it was seen |
//! | `jaeger.dependencies` | Key (`parent/child`), CallTimeBucket | parent ‖ 00 ‖ child ‖ 00 ‖ hour ‖ kind | calls, errors, durations |
//! | `jaeger.pending_parents` | – | run | its spans that wait for their parents |
//! | `jaeger.red` | – | ServiceName ‖ 00 ‖ Name ‖ 00 ‖ SpanKind ‖ minute | calls, errors, durations |
//! | `jaeger.archive` | – | TraceID | when it was pinned (`archive.redb` only) |
//! | `buffer.cursor` | – | buffer id ‖ signal | last applied sequence |
//! | `meta` | – | `format`, `generation`, `tidy` | format number; how many commits changed the runs; how many had when it was compacted |
//!
//! Numbers in keys stand most significant byte first. docs/formats.md draws every byte.

use crate::model::{SpanId, TraceId};
use crate::store::calls::{DEPENDENCIES, PENDING_PARENTS};
use crate::store::engine::{Definition, Layout, META};
use crate::store::red::RED;

pub(super) const SPANS: Definition = Definition::new("jaeger.spans");
pub(super) const SERVICE_NAME_INDEX: Definition = Definition::new("jaeger.spans.ServiceNameIndex");
pub(super) const SEARCHABLE_TAGS: Definition = Definition::new("jaeger.spans.SearchableTags");
pub(super) const RUNS: Definition = Definition::new("jaeger.runs");
pub(super) const RESOURCES: Definition = Definition::new("jaeger.resources");
pub(super) const SERVICES: Definition = Definition::new("jaeger.services");
pub(super) const OPERATIONS: Definition = Definition::new("jaeger.operations");
pub(super) const ARCHIVE: Definition = Definition::new("jaeger.archive");
pub(super) const CURSOR: Definition = Definition::new("buffer.cursor");

/// Key of the generation in [`META`].
pub(super) const GENERATION_KEY: &[u8] = b"generation";

/// Key in [`META`] of the generation at which the block was put in order for good.
pub(super) const TIDY_KEY: &[u8] = b"tidy";

/// Blocks and the archive: the packed format.
pub(super) const LAYOUT: Layout = Layout {
    format: 2,
    tables: &[
        SPANS,
        SERVICE_NAME_INDEX,
        SEARCHABLE_TAGS,
        RUNS,
        RESOURCES,
        SERVICES,
        OPERATIONS,
        DEPENDENCIES,
        PENDING_PARENTS,
        RED,
        ARCHIVE,
        CURSOR,
        META,
    ],
};

/// `jaeger.spans` without the part.
pub(super) fn chunk_key(run: u32, first: (TraceId, SpanId)) -> [u8; 28] {
    let mut key = [0; 28];
    key[..4].copy_from_slice(&run.to_be_bytes());
    key[4..20].copy_from_slice(&first.0.0);
    key[20..].copy_from_slice(&first.1.0);
    key
}

/// `jaeger.spans.ServiceNameIndex` without the part.
pub(super) fn index_key(service: &str, latest_start: u64, run: u32) -> Vec<u8> {
    let mut key = crate::store::key::name(service);
    key.extend_from_slice(&latest_start.to_be_bytes());
    key.extend_from_slice(&run.to_be_bytes());
    key
}

/// Latest start and run from a key of `jaeger.spans.ServiceNameIndex`, part included.
pub(super) fn indexed_run(key: &[u8]) -> Option<(u64, u32)> {
    let (_part, rest) = key.split_last()?;
    let (rest, run) = rest.split_last_chunk::<4>()?;
    let start = rest.last_chunk()?;
    Some((u64::from_be_bytes(*start), u32::from_be_bytes(*run)))
}
