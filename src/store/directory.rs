//! What a run holds, without reading it: a row of `jaeger.runs`, kept in memory too.
//!
//! Bytes, numbers least significant byte first:
//!
//! ```text
//! version u8 = 1
//! spans u32 ‖ traces u32 ‖ earliest StartTime u64 ‖ latest StartTime u64 ‖ ExpireTime u64 (ns) ‖ raw bytes u64
//! chunks u32, then of each: TraceID 16 ‖ SpanID 8 of the first ‖ spans u32 ‖ bytes u32 ‖ earliest u64 ‖ latest u64
//! filter of the TraceIDs, a multiple of 32 bytes
//! rows of `jaeger.spans.SearchableTags` u32, to the end; absent where there is a filter for each chunk instead
//! ```

use std::ops::{Range, RangeInclusive};

use crate::model::{SpanId, Timestamp, TraceId};
use crate::store::bloom;
use crate::store::seal::{Cut, Damaged, seal, unseal};

const VERSION: u8 = 1;

/// Bytes of a row before its chunks, and of a chunk in it.
const HEAD_BYTES: usize = 1 + 4 + 4 + 8 * 4 + 4;
const CHUNK_BYTES: usize = 16 + 8 + 4 + 4 + 8 + 8;

/// One commit's spans, or those of several that were merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    /// Its number within the block.
    pub(super) id: u32,
    /// How many spans.
    pub(super) spans: u32,
    /// How many traces.
    pub(super) traces: u32,
    /// The earliest and the latest start.
    pub(super) starts: RangeInclusive<Timestamp>,
    /// When its time is over.
    pub(super) expire_time: Timestamp,
    /// Bytes of the spans' messages as they came, and of their resources and scopes, each once.
    pub(super) raw_bytes: u64,
    /// In the order of their first spans.
    pub(super) chunks: Vec<ChunkEntry>,
    /// Of the TraceIDs.
    pub(super) filter: Vec<u8>,
    /// How many rows the filters of its tags are; 0 when they are one of the kind that was once written.
    pub(super) tag_rows: u16,
}

/// Where a chunk stands and what it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChunkEntry {
    /// The first span, which is in the chunk's key.
    pub(super) first: (TraceId, SpanId),
    /// The place of the first span in the run.
    pub(super) first_ordinal: u32,
    /// How many spans.
    pub(super) spans: u32,
    /// How long the blob is.
    pub(super) bytes: u32,
    /// The earliest and the latest start.
    pub(super) starts: RangeInclusive<Timestamp>,
}

impl Run {
    /// Nothing yet.
    pub(super) fn empty(id: u32, expire_time: Timestamp) -> Self {
        Self {
            id,
            spans: 0,
            traces: 0,
            starts: Timestamp::ZERO..=Timestamp::ZERO,
            expire_time,
            raw_bytes: 0,
            chunks: Vec::new(),
            filter: Vec::new(),
            tag_rows: 0,
        }
    }

    /// The chunks in which spans of the trace would stand, if there are any, and their numbers.
    pub(super) fn chunks_of(
        &self,
        trace_id: TraceId,
        hash: u64,
    ) -> impl Iterator<Item = (u32, &ChunkEntry)> + use<'_> {
        let places = if bloom::may_hold(&self.filter, hash) { self.places_of(trace_id) } else { 0..0 };
        let first = places.start as u32;
        (first..).zip(&self.chunks[places])
    }

    fn places_of(&self, trace_id: TraceId) -> Range<usize> {
        let last = (trace_id, SpanId([0xff; 8]));
        let end = self.chunks.partition_point(|chunk| chunk.first <= last);
        // The trace may begin inside the chunk before the first one that begins with it.
        let start = self.chunks[..end].partition_point(|chunk| chunk.first.0 < trace_id).saturating_sub(1);
        start..end
    }

    /// The number of the chunk in which this place of the run is.
    pub(super) fn chunk_at(&self, ordinal: u32) -> Option<usize> {
        if ordinal >= self.spans {
            return None;
        }
        self.chunks.partition_point(|chunk| chunk.first_ordinal <= ordinal).checked_sub(1)
    }

    /// Memory it takes.
    pub(super) fn bytes_in_memory(&self) -> usize {
        size_of::<Self>() + self.chunks.len() * size_of::<ChunkEntry>() + self.filter.len()
    }

    pub(super) fn to_value(&self, key: &[u8]) -> Vec<u8> {
        let mut value =
            Vec::with_capacity(HEAD_BYTES + self.chunks.len() * CHUNK_BYTES + self.filter.len() + 8);
        value.push(VERSION);
        value.extend_from_slice(&self.spans.to_le_bytes());
        value.extend_from_slice(&self.traces.to_le_bytes());
        let (earliest, latest) = (self.starts.start().nanos(), self.starts.end().nanos());
        for number in [earliest, latest, self.expire_time.nanos(), self.raw_bytes] {
            value.extend_from_slice(&number.to_le_bytes());
        }
        value.extend_from_slice(&(self.chunks.len() as u32).to_le_bytes());
        for chunk in &self.chunks {
            value.extend_from_slice(&chunk.first.0.0);
            value.extend_from_slice(&chunk.first.1.0);
            value.extend_from_slice(&chunk.spans.to_le_bytes());
            value.extend_from_slice(&chunk.bytes.to_le_bytes());
            value.extend_from_slice(&chunk.starts.start().nanos().to_le_bytes());
            value.extend_from_slice(&chunk.starts.end().nanos().to_le_bytes());
        }
        value.extend_from_slice(&self.filter);
        if self.tag_rows > 0 {
            value.extend_from_slice(&u32::from(self.tag_rows).to_le_bytes());
        }
        seal(key, value)
    }

    pub(super) fn read(key: &[u8], sealed: &[u8]) -> Result<Self, Damaged> {
        let id = u32::from_be_bytes(key.try_into().map_err(|_| Damaged)?);
        Self::cut(id, unseal(key, sealed)?).ok_or(Damaged)
    }

    fn cut(id: u32, row: &[u8]) -> Option<Self> {
        let mut cut = Cut(row);
        let [VERSION] = cut.array::<1>()? else { return None };
        let (spans, traces) = (cut.u32()?, cut.u32()?);
        let starts = Timestamp(cut.u64()?)..=Timestamp(cut.u64()?);
        let (expire_time, raw_bytes) = (Timestamp(cut.u64()?), cut.u64()?);
        let count = cut.u32()? as usize;
        // No more room than the bytes at hand can fill.
        let mut chunks = Vec::with_capacity(count.min(row.len() / CHUNK_BYTES));
        let mut first_ordinal = 0u32;
        for _chunk in 0..count {
            let first = (TraceId(cut.array()?), SpanId(cut.array()?));
            let (spans, bytes) = (cut.u32()?, cut.u32()?);
            let starts = Timestamp(cut.u64()?)..=Timestamp(cut.u64()?);
            chunks.push(ChunkEntry { first, first_ordinal, spans, bytes, starts });
            first_ordinal = first_ordinal.checked_add(spans)?;
        }
        let (filter, tag_rows) = cut.0.split_at(cut.0.len() - cut.0.len() % bloom::BLOCK_BYTES);
        let tag_rows = match Cut(tag_rows) {
            Cut([]) => 0,
            mut cut => u16::try_from(cut.u32().filter(|_| tag_rows.len() == 4)?).ok()?,
        };
        (first_ordinal == spans).then_some(Self {
            id,
            spans,
            traces,
            starts,
            expire_time,
            raw_bytes,
            chunks,
            filter: filter.to_vec(),
            tag_rows,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_says_how_many_rows_its_tags_have_or_nothing_of_them() {
        let key = 7u32.to_be_bytes();
        let filter = bloom::build([1, 2, 3].into_iter(), bloom::TRACE_BITS);
        for tag_rows in [0, 1, 513] {
            for filter in [&filter[..], &[]] {
                let run = Run { tag_rows, filter: filter.to_vec(), ..Run::empty(7, Timestamp(1)) };
                assert_eq!(Run::read(&key, &run.to_value(&key)), Ok(run));
            }
        }
        let value = Run { filter: vec![0; 33], ..Run::empty(7, Timestamp(1)) }.to_value(&key);
        assert_eq!(Run::read(&key, &value), Err(Damaged));
    }
}
