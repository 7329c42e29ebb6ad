//! Which frames a consumer still owes: a few ranges of sequences, the last one without an end.

use std::collections::BTreeSet;
use std::ops::Range;

/// Sorted, apart from each other, none empty. The last range ends at `u64::MAX`: whatever is appended is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owed {
    ranges: Vec<Range<u64>>,
}

impl Owed {
    /// Everything from `first` on.
    pub(super) fn from(first: u64) -> Self {
        Self { ranges: std::iter::once(first..u64::MAX).collect() }
    }

    /// From ranges as they were written down; none if they are not what [`Owed::ranges`] gives.
    pub(super) fn from_ranges(ranges: Vec<Range<u64>>) -> Option<Self> {
        let apart = ranges.windows(2).all(|pair| pair[0].end < pair[1].start);
        let whole = ranges.iter().all(|range| range.start < range.end);
        let endless = ranges.last().is_some_and(|last| last.end == u64::MAX);
        (apart && whole && endless).then_some(Self { ranges })
    }

    /// The first sequence that is owed.
    pub(super) fn first(&self) -> u64 {
        self.ranges[0].start
    }

    /// Where the range without an end begins.
    pub(super) fn head(&self) -> u64 {
        self.ranges[self.ranges.len() - 1].start
    }

    /// The first sequence from `sequence` on that is owed.
    pub(super) fn at_or_after(&self, sequence: u64) -> u64 {
        self.ranges[self.place(sequence)].start.max(sequence)
    }

    pub(super) fn contains(&self, sequence: u64) -> bool {
        self.at_or_after(sequence) == sequence
    }

    /// Whether any of these is owed.
    pub(super) fn meets(&self, sequences: &Range<u64>) -> bool {
        self.at_or_after(sequences.start) < sequences.end
    }

    /// Whether all of these are owed.
    pub(super) fn covers(&self, sequences: &Range<u64>) -> bool {
        let range = &self.ranges[self.place(sequences.start)];
        range.start <= sequences.start && sequences.end <= range.end
    }

    /// How many of these are owed.
    pub(super) fn count(&self, sequences: &Range<u64>) -> u64 {
        let met = self.ranges[self.place(sequences.start)..].iter();
        met.map(|range| range.end.min(sequences.end).saturating_sub(range.start.max(sequences.start))).sum()
    }

    /// These are owed no longer; what comes after them stays so.
    pub(super) fn release(&mut self, sequences: Range<u64>) {
        debug_assert!(sequences.end < u64::MAX, "there is always more to come");
        if sequences.is_empty() {
            return;
        }
        let mut at = self.place(sequences.start);
        while let Some(range) = self.ranges.get(at).cloned().filter(|range| range.start < sequences.end) {
            let before = range.start..sequences.start.max(range.start);
            let after = sequences.end.min(range.end)..range.end;
            let left = [before, after].into_iter().filter(|part| !part.is_empty());
            let kept = left.clone().count();
            self.ranges.splice(at..=at, left);
            at += kept;
        }
    }

    /// At most so many ranges that owe everything this does, and little else: the narrowest gaps are closed.
    pub(super) fn widened(&self, most: usize) -> Self {
        let surplus = self.ranges.len().saturating_sub(most.max(1));
        if surplus == 0 {
            return self.clone();
        }
        let mut gaps: Vec<_> =
            self.ranges.windows(2).map(|pair| pair[1].start - pair[0].end).zip(1..).collect();
        gaps.sort_unstable();
        let closed: BTreeSet<usize> = gaps.into_iter().take(surplus).map(|(_, after)| after).collect();
        let mut ranges: Vec<Range<u64>> = Vec::with_capacity(most);
        for (at, range) in self.ranges.iter().enumerate() {
            match ranges.last_mut().filter(|_| closed.contains(&at)) {
                Some(last) => last.end = range.end,
                None => ranges.push(range.clone()),
            }
        }
        Self { ranges }
    }

    /// Sorted, apart from each other; the last one ends at `u64::MAX`.
    pub(super) fn ranges(&self) -> &[Range<u64>] {
        &self.ranges
    }

    /// The range that holds `sequence`, or the next one. The last one has no end, so there is one.
    fn place(&self, sequence: u64) -> usize {
        self.ranges.partition_point(|range| range.end <= sequence).min(self.ranges.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::proptest;

    use super::Owed;

    proptest! {
        #[test]
        fn ranges_owe_what_a_set_of_numbers_would(released in vec((0..60_u64, 0..12_u64), 0..20), from in 0..9_u64) {
            let (mut owed, mut set) = (Owed::from(from), (from..100).collect::<BTreeSet<u64>>());
            for (start, length) in released {
                owed.release(start..start + length);
                set.retain(|sequence| !(start..start + length).contains(sequence));
                for sequence in 0..90 {
                    assert_eq!(owed.contains(sequence), set.contains(&sequence), "{owed:?} {sequence}");
                    assert_eq!(Some(&owed.at_or_after(sequence)), set.range(sequence..).next());
                }
                let some = start..start + length + 5;
                assert_eq!(owed.count(&some), set.range(some.clone()).count() as u64);
                assert_eq!(owed.meets(&some), owed.count(&some) > 0);
                assert_eq!(owed.covers(&some), owed.count(&some) == length + 5);
                assert_eq!(Some(&owed.first()), set.first());
                for most in 1..4 {
                    let widened = owed.widened(most);
                    assert_eq!(Owed::from_ranges(widened.ranges.clone()), Some(widened.clone()));
                    assert!(widened.ranges.len() <= most);
                    assert!(set.iter().all(|sequence| widened.contains(*sequence)));
                }
                assert_eq!(owed.widened(100), owed);
            }
        }
    }

    #[test]
    fn ranges_that_make_no_sense_are_none() {
        for ranges in [
            vec![],
            std::iter::once(0..5).collect(),
            vec![0..5, 5..u64::MAX],
            vec![7..9, 3..u64::MAX],
            vec![3..3, 4..u64::MAX],
        ] {
            assert_eq!(Owed::from_ranges(ranges), None);
        }
    }
}
