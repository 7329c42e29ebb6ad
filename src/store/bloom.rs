//! Filters that say of a hash that it may be among many, or is not: split-block Bloom filters.
//!
//! A filter is a row of blocks of eight words, each word a u32 in little-endian order:
//!
//! ```text
//! filter = block*                        32 bytes each; no block: nothing is held
//! block  = word 0 ‖ word 1 ‖ … ‖ word 7
//! block of a hash = ((hash >> 32) × number of blocks) >> 32
//! bit of it in word i = (low 32 bits of the hash × SALTS[i], modulo 2^32) >> 27
//! ```
//!
//! A hash sets and asks one bit in each word of one block, so a question touches one line of memory. Sixteen bits an
//! item let one hash in about seven hundred pass that was not put in, twelve one in about two hundred.
//!
//! A run's row in `jaeger.spans.SearchableTags`, as it was once written, has one for each chunk, in the chunks' order:
//!
//! ```text
//! row = (length u32 LE ‖ filter)*        length in bytes
//! ```
//!
//! What is written now says `tag_filters`.
//!
//! Source: Apache Parquet, "Parquet Bloom Filter".

use xxhash_rust::xxh3::xxh3_64;

use crate::model::TraceId;
use crate::store::seal::{Cut, Damaged};

/// Bits a distinct tag has in a chunk's filter.
pub(crate) const TAG_BITS: u32 = 16;

/// Bits a trace has in its run's filter.
pub(super) const TRACE_BITS: u32 = 12;

/// The longest filter, 16 MiB; more items than it has room for only let more pass.
const MAX_BLOCKS: usize = 1 << 19;

pub(super) const BLOCK_BYTES: usize = 32;

const SALTS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// The hash by which a trace is looked for; stored, hence fixed for ever.
pub(super) fn trace_hash(id: TraceId) -> u64 {
    xxh3_64(&id.0)
}

/// The filter that holds these hashes.
pub(crate) fn build(hashes: impl ExactSizeIterator<Item = u64>, bits_per_item: u32) -> Vec<u8> {
    let mut filter = vec![0; blocks_for(hashes.len(), bits_per_item).min(MAX_BLOCKS) * BLOCK_BYTES];
    hashes.for_each(|hash| put(&mut filter, hash));
    filter
}

/// How many blocks so many items take.
pub(super) fn blocks_for(items: usize, bits_per_item: u32) -> usize {
    items.saturating_mul(bits_per_item as usize).div_ceil(8 * BLOCK_BYTES)
}

/// Puts a hash into a filter of one block or more.
#[inline]
pub(super) fn put(filter: &mut [u8], hash: u64) {
    let (blocks, _) = filter.as_chunks_mut::<BLOCK_BYTES>();
    let (words, _) = blocks[place(hash, blocks.len())].as_chunks_mut::<4>();
    for (word, salt) in words.iter_mut().zip(SALTS) {
        *word = (u32::from_le_bytes(*word) | bit(hash, salt)).to_le_bytes();
    }
}

/// Whether a hash may be held: false only when it is not. True of bytes that are no filter.
pub(crate) fn may_hold(filter: &[u8], hash: u64) -> bool {
    let (blocks, rest) = filter.as_chunks::<BLOCK_BYTES>();
    if blocks.is_empty() || !rest.is_empty() {
        return !rest.is_empty();
    }
    let (words, _) = blocks[place(hash, blocks.len())].as_chunks::<4>();
    words.iter().zip(SALTS).all(|(word, salt)| u32::from_le_bytes(*word) & bit(hash, salt) != 0)
}

/// Less than `blocks`, whatever the hash.
#[inline]
pub(super) fn place(hash: u64, blocks: usize) -> usize {
    ((u128::from(hash >> 32) * blocks as u128) >> 32) as usize
}

#[inline]
fn bit(hash: u64, salt: u32) -> u32 {
    1 << ((hash as u32).wrapping_mul(salt) >> 27)
}

/// The filters of a run's row as it was once written.
pub(super) fn filters(row: &[u8]) -> Result<Vec<&[u8]>, Damaged> {
    let mut cut = Cut(row);
    let mut filters = Vec::new();
    while !cut.0.is_empty() {
        let length = cut.u32().ok_or(Damaged)?;
        filters.push(cut.bytes(length as usize).ok_or(Damaged)?);
    }
    Ok(filters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(numbers: std::ops::Range<u64>) -> Vec<u64> {
        numbers.map(|number| xxh3_64(&number.to_le_bytes())).collect()
    }

    #[test]
    fn what_was_put_in_may_be_held() {
        for count in [1, 2, 15, 16, 17, 1_000, 20_000] {
            let held = hashes(0..count);
            let filter = build(held.iter().copied(), TAG_BITS);
            assert_eq!(filter.len(), (count as usize * 2).next_multiple_of(BLOCK_BYTES));
            assert!(held.iter().all(|hash| may_hold(&filter, *hash)), "{count}");
        }
    }

    #[test]
    fn few_pass_that_were_not_put_in() {
        for (bits, most) in [(TAG_BITS, 30), (TRACE_BITS, 80)] {
            let filter = build(hashes(0..5_000).into_iter(), bits);
            let passed = hashes(5_000..15_000).iter().filter(|hash| may_hold(&filter, **hash)).count();
            assert!(passed < most, "{passed} of 10 000 with {bits} bits");
        }
    }

    #[test]
    fn an_empty_filter_holds_nothing_and_a_broken_one_may_hold_all() {
        assert!(!may_hold(&build(std::iter::empty(), TAG_BITS), 7));
        for length in [1, 31, 33, 63] {
            assert!(may_hold(&vec![0; length], u64::MAX), "{length}");
        }
        assert!(!may_hold(&[0; 64], u64::MAX));
        assert!(may_hold(&[0xff; 64], u64::MAX));
    }

    #[test]
    fn the_bits_of_a_hash_stay_where_they_are() {
        let filter = build([0x8000_0000_0000_0001].into_iter(), 512);
        let mut expected = [0u8; 64];
        // The upper half of the hash asks for the second of two blocks, the lower half for the salts' upper five bits.
        for (word, bit) in [8, 8, 17, 20, 14, 5, 19, 11].into_iter().enumerate() {
            expected[32 + 4 * word + bit / 8] = 1 << (bit % 8);
        }
        assert_eq!(filter, expected);
        assert_eq!(trace_hash(TraceId([1; 16])), xxh3_64(&[1; 16]));
    }

    /// As rows of chunks' filters were written.
    fn tags_row(filters: &[Vec<u8>]) -> Vec<u8> {
        let with_length = |filter: &Vec<u8>| [&(filter.len() as u32).to_le_bytes()[..], filter].concat();
        filters.iter().flat_map(with_length).collect()
    }

    #[test]
    fn a_row_gives_back_its_filters_and_no_part_of_one() {
        let some = vec![build(hashes(0..40).into_iter(), TAG_BITS), Vec::new(), build([7].into_iter(), 16)];
        let row = tags_row(&some);
        assert_eq!(filters(&row), Ok(some.iter().map(Vec::as_slice).collect()));
        assert_eq!(filters(&[]), Ok(Vec::new()));
        let whole = [0, 4 + some[0].len(), 8 + some[0].len(), row.len()];
        for length in 0..row.len() {
            assert_eq!(filters(&row[..length]).is_ok(), whole.contains(&length), "{length}");
        }
        assert_eq!(filters(&[0xff; 8]), Err(Damaged));
    }
}
