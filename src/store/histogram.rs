//! How long things took, counted in buckets that grow with the time; and how often they happened and failed.
//!
//! Each octave of nanoseconds has eight buckets of one width, so a duration that is read back differs from the true
//! one by at most a sixteenth of it. Merging adds counts bucket by bucket: the order of merging never matters.

use std::time::Duration;

use crate::otlp::write;
use crate::store::seal::Cut;

/// Each octave is cut into 2^3 buckets.
const SUB_BITS: u32 = 3;

/// Buckets that 64 bits of nanoseconds fall into.
const BUCKETS: u16 = bucket(u64::MAX) + 1;

/// Durations, counted. Takes 16 bytes for each bucket that holds any.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    /// Bucket and count, by bucket; no count is zero.
    counts: Vec<(u16, u64)>,
}

impl Histogram {
    /// Counts one duration, in nanoseconds.
    pub fn add(&mut self, nanos: u64) {
        self.count(bucket(nanos), 1);
    }

    /// Counts everything that the other one counts.
    pub fn merge(&mut self, other: &Self) {
        for &(bucket, count) in &other.counts {
            self.count(bucket, count);
        }
    }

    /// Takes back what was merged before.
    pub fn remove(&mut self, other: &Self) {
        for &(bucket, count) in &other.counts {
            if let Ok(place) = self.counts.binary_search_by_key(&bucket, |&(bucket, _)| bucket) {
                self.counts[place].1 = self.counts[place].1.saturating_sub(count);
            }
        }
        self.counts.retain(|&(_, count)| count > 0);
    }

    /// How many durations are counted.
    pub fn count_of_all(&self) -> u64 {
        self.counts.iter().fold(0, |sum, &(_, count)| sum.saturating_add(count))
    }

    /// The duration that this share of all, 0 to 1, does not exceed, to a sixteenth; `None` when there are none.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let all = self.count_of_all();
        // At least the first: the share 0 asks for the shortest.
        let rank = (share.clamp(0.0, 1.0) * all as f64).ceil().max(1.0) as u64;
        let mut below = 0u64;
        let reached = self.counts.iter().find(|&&(_, count)| {
            below = below.saturating_add(count);
            below >= rank
        });
        // Counts beyond 2^53 are rounded as floating point numbers, which may ask for one more than there are.
        reached.or(self.counts.last()).map(|&(bucket, _)| Duration::from_nanos(middle(bucket)))
    }

    fn count(&mut self, bucket: u16, count: u64) {
        match self.counts.binary_search_by_key(&bucket, |&(bucket, _)| bucket) {
            Ok(place) => self.counts[place].1 = self.counts[place].1.saturating_add(count),
            Err(place) => self.counts.insert(place, (bucket, count)),
        }
    }
}

/// Where a duration is counted: below 8 ns each has its own bucket, from there on the highest bit tells the octave
/// and the three bits behind it the bucket within.
const fn bucket(nanos: u64) -> u16 {
    if nanos < 1 << SUB_BITS {
        return nanos as u16;
    }
    let shift = nanos.ilog2() - SUB_BITS;
    // The highest bit itself counts as one octave of buckets.
    ((shift << SUB_BITS) as u64 + (nanos >> shift)) as u16
}

/// The duration in the middle of a bucket.
const fn middle(bucket: u16) -> u64 {
    let octave = (bucket >> SUB_BITS) as u32;
    if octave == 0 {
        return bucket as u64;
    }
    let shift = octave - 1;
    let lowest = ((bucket & ((1 << SUB_BITS) - 1)) as u64 | 1 << SUB_BITS) << shift;
    lowest + (1 << shift) / 2
}

/// What is counted of calls, and of the spans of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stats {
    /// How many.
    pub calls: u64,
    /// How many of them failed.
    pub errors: u64,
    /// How long they took.
    pub durations: Histogram,
}

impl Stats {
    /// Counts one.
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.calls = self.calls.saturating_add(1);
        self.errors = self.errors.saturating_add(outcome.is_error.into());
        self.durations.add(outcome.nanos);
    }

    /// Counts everything that the other one counts.
    pub fn merge(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.errors = self.errors.saturating_add(other.errors);
        self.durations.merge(&other.durations);
    }

    /// Takes back what was merged before.
    pub fn remove(&mut self, other: &Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.errors = self.errors.saturating_sub(other.errors);
        self.durations.remove(&other.durations);
    }

    /// As a row has it: calls, errors, then for each bucket how far it is from the one before and its count, all as
    /// varints.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 3 * self.durations.counts.len());
        write::varint(&mut out, self.calls);
        write::varint(&mut out, self.errors);
        let mut before = 0;
        for &(bucket, count) in &self.durations.counts {
            write::varint(&mut out, u64::from(bucket - before));
            write::varint(&mut out, count);
            before = bucket;
        }
        out
    }

    /// What [`Self::to_bytes`] made; `None` for anything else.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = Cut(bytes);
        let (calls, errors) = (varint(&mut rest)?, varint(&mut rest)?);
        let mut counts: Vec<(u16, u64)> = Vec::new();
        while !rest.0.is_empty() {
            let distance = u16::try_from(varint(&mut rest)?).ok()?;
            let count = varint(&mut rest).filter(|&count| count > 0)?;
            let bucket = match counts.last() {
                Some(&(before, _)) if distance > 0 => before.checked_add(distance)?,
                Some(_) => return None,
                None => distance,
            };
            if bucket >= BUCKETS {
                return None;
            }
            counts.push((bucket, count));
        }
        Some(Self { calls, errors, durations: Histogram { counts } })
    }
}

/// How one call, or the span of an operation, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether it failed.
    pub(super) is_error: bool,
    /// How long it took, in nanoseconds.
    pub(super) nanos: u64,
}

/// A number in seven-bit groups, least significant first; `None` when it does not end or has more than 64 bits.
pub(super) fn varint(rest: &mut Cut<'_>) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let [byte] = rest.array()?;
        if shift == 63 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Durations of every size, not only the huge ones that most 64-bit numbers are.
    fn durations() -> impl Strategy<Value = Vec<u64>> {
        prop::collection::vec((any::<u64>(), 0..64u32).prop_map(|(nanos, shift)| nanos >> shift), 1..200)
    }

    fn stats(durations: &[u64]) -> Stats {
        let mut stats = Stats::default();
        durations.iter().for_each(|&nanos| stats.add(Outcome { is_error: nanos % 3 == 0, nanos }));
        stats
    }

    #[test]
    fn buckets_stand_in_the_order_of_durations() {
        for bits in 0..64 {
            let power = 1u64 << bits;
            assert!(bucket(power - 1) < bucket(power), "{power}");
            assert!(bucket(power) <= bucket(power + power / 8), "{power}");
        }
        assert_eq!((bucket(0), bucket(7), bucket(8), bucket(u64::MAX)), (0, 7, 8, BUCKETS - 1));
        for each in 0..BUCKETS {
            assert_eq!(bucket(middle(each)), each);
        }
    }

    proptest! {
        #[test]
        fn any_share_of_the_durations_is_known_to_a_sixteenth(mut all in durations(), share in 0.0..=1.0f64) {
            let histogram = stats(&all).durations;
            all.sort_unstable();
            let rank = ((share * all.len() as f64).ceil() as usize).max(1);
            let (exact, told) = (all[rank - 1], histogram.quantile(share).unwrap().as_nanos() as u64);
            prop_assert!(exact.abs_diff(told) <= exact / 16, "{exact} {told}");
        }

        #[test]
        fn merging_is_counting_all_and_can_be_taken_back(one in durations(), other in durations()) {
            let mut merged = stats(&one);
            merged.merge(&stats(&other));
            prop_assert_eq!(&merged, &stats(&[&one[..], &other[..]].concat()));
            merged.remove(&stats(&other));
            prop_assert_eq!(merged, stats(&one));
        }

        #[test]
        fn a_row_gives_back_what_was_counted(all in durations()) {
            let counted = stats(&all);
            let bytes = counted.to_bytes();
            prop_assert_eq!(Stats::read(&bytes), Some(counted));
            prop_assert_eq!(Stats::read(&bytes[..bytes.len() - 1]), None);
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            if let Some(read) = Stats::read(&bytes) {
                prop_assert_eq!(Stats::read(&read.to_bytes()), Some(read));
            }
        }
    }

    #[test]
    fn nothing_has_no_quantile_and_few_have_their_own() {
        assert_eq!(Histogram::default().quantile(0.5), None);
        let few = stats(&[1, 2, 3, 4]).durations;
        let nanos = |share| few.quantile(share).unwrap().as_nanos();
        assert_eq!([0.0, 0.25, 0.5, 0.51, 1.0, 7.0].map(nanos), [1, 1, 2, 3, 4, 4]);
    }

    #[test]
    fn counts_stay_at_the_largest_number() {
        let most = Stats { calls: u64::MAX, errors: u64::MAX, ..stats(&[5]) };
        let mut both = most.clone();
        both.durations.count(5, u64::MAX - 1);
        both.merge(&most);
        assert_eq!((both.calls, both.errors), (u64::MAX, u64::MAX));
        assert_eq!(both.durations.count_of_all(), u64::MAX);
        assert_eq!(both.durations.quantile(1.0), Some(Duration::from_nanos(5)));
        assert_eq!(Stats::read(&both.to_bytes()), Some(both));
    }
}
