//! Which chunks of a run may hold a pair of key and value, told by one row of the run's that the pair's hash leads to.
//!
//! A run's rows of `jaeger.spans.SearchableTags`, numbers little-endian:
//!
//! ```text
//! row   = chunks u32 ‖ block*            the blocks of a filter as `bloom` draws them
//! row of a hash = ((hash >> 32) × rows of the run) >> 32
//! in its row a pair of chunk c is x ^ (x >> 32), with x = (hash ^ c × S) × S modulo 2^64, S = 9e3779b97f4a7c15
//! ```
//!
//! `chunks` is how many of the run's chunks, the first ones, were put in; the others may hold anything. How many rows
//! there are says the run's entry in the directory. So a search reads a page of each run, not a filter of each chunk.
//!
//! Limits: [`MAX_PAIRS`] a run. Each chunk has all pairs of its sources: those of a few sources with a great many pairs,
//! told again in each of thousands of chunks, would be longer than all spans.

use crate::store::bloom::{self, BLOCK_BYTES, TAG_BITS};
use crate::store::seal::Damaged;

/// Pairs of a run's chunks, each pair once for each chunk: 8 MiB of filters.
const MAX_PAIRS: usize = (8 << 20) * 8 / TAG_BITS as usize;

/// Pairs that there is room for in the next run.
const MAX_ROOM: usize = 1 << 18;

/// Bytes of a row before its blocks.
const HEAD_BYTES: usize = 4;

/// Blocks with which a row fills one page of the engine, and four: fewer and longer rows are found with fewer steps.
const SHORT_ROW: usize = 127;
const LONG_ROW: usize = 511;

/// Blocks from which rows are long ones.
const MANY_BLOCKS: usize = 8 * SHORT_ROW;

/// Upper and lower half of a product with it depend on all bits below.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The pairs of a run's chunks.
#[derive(Debug, Default)]
pub(super) struct TagFilters {
    hashes: Vec<u64>,
    /// Where those of each chunk end.
    ends: Vec<usize>,
    is_full: bool,
}

impl TagFilters {
    /// Forgets all, keeps the room unless it is more than any but the oddest runs need.
    pub(super) fn clear(&mut self) {
        self.hashes.clear();
        self.hashes.shrink_to(MAX_ROOM);
        self.ends.clear();
        self.is_full = false;
    }

    /// The pairs of the next chunk, in two parts.
    pub(super) fn add(&mut self, hashes: [&[u64]; 2]) {
        self.is_full |= self.hashes.len() + hashes[0].len() + hashes[1].len() > MAX_PAIRS;
        if !self.is_full {
            hashes.into_iter().for_each(|hashes| self.hashes.extend_from_slice(hashes));
            self.ends.push(self.hashes.len());
        }
    }

    /// The rows, at least one.
    pub(super) fn rows(&self) -> Vec<Vec<u8>> {
        let (count, blocks) = rows_of(bloom::blocks_for(self.hashes.len(), TAG_BITS));
        let mut row = vec![0; HEAD_BYTES + blocks * BLOCK_BYTES];
        row[..HEAD_BYTES].copy_from_slice(&(self.ends.len() as u32).to_le_bytes());
        let mut rows = vec![row; count];
        let mut start = 0;
        for (chunk, end) in (0..).zip(&self.ends) {
            for hash in &self.hashes[start..*end] {
                bloom::put(&mut rows[bloom::place(*hash, count)][HEAD_BYTES..], in_chunk(*hash, chunk));
            }
            start = *end;
        }
        rows
    }
}

/// How many rows so many blocks are, and how many blocks each has: about as many together.
fn rows_of(blocks: usize) -> (usize, usize) {
    let full = if blocks < MANY_BLOCKS { SHORT_ROW } else { LONG_ROW };
    if blocks <= full { (1, blocks) } else { ((blocks + full / 2) / full, full) }
}

/// A pair of this hash in the chunk of this number.
#[inline]
fn in_chunk(hash: u64, chunk: u32) -> u64 {
    let mixed = (hash ^ u64::from(chunk).wrapping_mul(SPREAD)).wrapping_mul(SPREAD);
    mixed ^ mixed >> 32
}

/// The key of the row that says where pairs of this hash may be, of a run that has so many rows; without the part.
pub(super) fn key(run: u32, rows: u16, hash: u64) -> [u8; 6] {
    row_key(run, bloom::place(hash, rows.into()) as u16)
}

/// The key of a run's row of this number, without the part.
pub(super) fn row_key(run: u32, row: u16) -> [u8; 6] {
    let ([a, b, c, d], [e, f]) = (run.to_be_bytes(), row.to_be_bytes());
    [a, b, c, d, e, f]
}

/// A row as it is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct TagRow<'r> {
    chunks: u32,
    filter: &'r [u8],
}

impl<'r> TagRow<'r> {
    /// Of a run with so many chunks.
    pub(super) fn read(row: &'r [u8], chunks: usize) -> Result<Self, Damaged> {
        let (head, filter) = row.split_first_chunk().ok_or(Damaged)?;
        let row = Self { chunks: u32::from_le_bytes(*head), filter };
        let is_sound = filter.len().is_multiple_of(BLOCK_BYTES) && row.chunks as usize <= chunks;
        if is_sound { Ok(row) } else { Err(Damaged) }
    }

    /// Whether a pair of this hash may be in the chunk of this number: false only when it is not.
    pub(super) fn may_hold(&self, hash: u64, chunk: u32) -> bool {
        chunk >= self.chunks || bloom::may_hold(self.filter, in_chunk(hash, chunk))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn filters(chunks: &[Vec<u64>]) -> TagFilters {
        let mut filters = TagFilters::default();
        chunks.iter().for_each(|hashes| filters.add([hashes, &[]]));
        filters
    }

    /// Whether a run with these rows may hold a pair in each of its chunks.
    fn held(rows: &[Vec<u8>], hash: u64, chunks: usize) -> Vec<bool> {
        let [.., high, low] = key(7, rows.len() as u16, hash);
        let row = &rows[usize::from(u16::from_be_bytes([high, low]))];
        let row = TagRow::read(row, chunks).unwrap();
        (0..chunks as u32).map(|chunk| row.may_hold(hash, chunk)).collect()
    }

    fn hashes(numbers: std::ops::Range<u64>) -> Vec<u64> {
        numbers.map(|number| xxh3_64(&number.to_le_bytes())).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_put_in_may_be_held(
            some in vec(vec(prop_oneof![any::<u64>(), 0..9u64, Just(u64::MAX)], 0..40), 0..20),
            many in 0..20_000u64,
        ) {
            let chunks = [some, vec![hashes(0..many), hashes(many / 2..many + 9)]].concat();
            let rows = filters(&chunks).rows();
            prop_assert!(rows.iter().all(|row| row.len() == rows[0].len()));
            for (chunk, hashes) in chunks.iter().enumerate() {
                prop_assert!(hashes.iter().all(|hash| held(&rows, *hash, chunks.len())[chunk]), "{chunk}");
            }
        }

        #[test]
        fn any_bytes_are_a_row_or_damage(row in vec(any::<u8>(), 0..200), hash in any::<u64>()) {
            match TagRow::read(&row, usize::MAX) {
                Ok(read) => prop_assert!(read.may_hold(hash, u32::MAX) && row.len() % BLOCK_BYTES == 4),
                Err(Damaged) => prop_assert!(row.len() % BLOCK_BYTES != 4),
            }
        }
    }

    #[test]
    fn few_chunks_pass_that_do_not_hold_a_pair() {
        // Of 4 000 pairs in each of 25 chunks 1 000 are in all of them.
        let of_chunk =
            |chunk: u64| [hashes(0..1_000), hashes(chunk * 10_000..chunk * 10_000 + 3_000)].concat();
        let rows = filters(&(1..=25).map(of_chunk).collect::<Vec<_>>()).rows();
        let passed = |asked: Vec<u64>| {
            let held = asked.iter().flat_map(|hash| held(&rows, *hash, 25));
            held.filter(|held| *held).count()
        };
        let by_none = passed(hashes(1 << 20..(1 << 20) + 4_000));
        assert!(by_none < 250, "{by_none} of 100 000");
        let by_one = passed(hashes(10_000..13_000)) - 3_000;
        assert!(by_one < 300, "{by_one} of 72 000");
    }

    #[test]
    fn rows_fill_pages_of_the_engine_and_are_as_long_as_the_filters_they_are() {
        for (blocks, expected) in
            [(0, (1, 0)), (3, (1, 3)), (127, (1, 127)), (128, (1, 127)), (300, (2, 127)), (9_000, (18, 511))]
        {
            assert_eq!(rows_of(blocks), expected, "{blocks}");
        }
        for blocks in [SHORT_ROW, LONG_ROW] {
            let taken = HEAD_BYTES + blocks * BLOCK_BYTES + key(0, 1, 0).len() + 1 + 16;
            let left = taken.next_power_of_two() - taken;
            assert!(
                left < BLOCK_BYTES && taken.next_power_of_two().is_multiple_of(4_096),
                "{left} of {taken}"
            );
        }
    }

    #[test]
    fn chunks_with_more_pairs_than_there_is_room_for_may_hold_anything() {
        let mut filters = filters(&[vec![1]]);
        filters.add([&vec![0; MAX_PAIRS / 2], &vec![0; MAX_PAIRS / 2]]);
        filters.add([&[2], &[]]);
        let rows = filters.rows();
        assert_eq!(held(&rows, 1, 3), [true, true, true]);
        assert_eq!(held(&rows, 3, 3), [false, true, true]);
        filters.clear();
        assert_eq!(held(&filters.rows(), 1, 1), [true]);
        filters.add([&[], &[1]]);
        assert_eq!(held(&filters.rows(), 3, 1), [false]);
    }

    #[test]
    fn a_row_of_more_chunks_than_the_run_has_is_damaged() {
        let rows = filters(&[vec![1], vec![2]]).rows();
        assert!(TagRow::read(&rows[0], 2).is_ok());
        assert_eq!(TagRow::read(&rows[0], 1).err(), Some(Damaged));
    }

    #[test]
    fn the_bytes_of_a_row_stay_where_they_are() {
        let hash = 0x8000_0000_0000_0001;
        assert_eq!(key(0x0102_0304, 513, hash), [1, 2, 3, 4, 1, 0]);
        assert_eq!(in_chunk(hash, 0), 0x1e37_79b9_617d_05ac);
        assert_eq!(in_chunk(hash, 3), 0x7f95_0dae_941b_9cb8);
        let row = filters(&[vec![], vec![hash]]).rows().remove(0);
        assert_eq!(
            row,
            [&[2, 0, 0, 0][..], &bloom::build([in_chunk(hash, 1)].into_iter(), TAG_BITS)].concat()
        );
    }
}
