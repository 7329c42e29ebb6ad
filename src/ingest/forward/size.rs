//! How much goes into one request: as much as the server takes, and as the line carries in time.

use crate::buffer::Take;

/// What gRPC servers take unless told otherwise.
pub(super) const MOST_BYTES: usize = 4 << 20;

/// Requests of several frames do not become smaller than this: every server takes as much.
pub(super) const LEAST_BYTES: usize = 64 << 10;

/// Frames in one request.
pub(super) const MOST_FRAMES: usize = 4_096;

/// After so many requests that were taken, a bound that a server once set is tried again: it may have been mended,
/// or another one.
const TAKEN_BEFORE_MORE: u32 = 32;

/// Halved when a request fails, doubled when one is taken: a line that cannot carry a large one within the time of
/// a call would never get past it, and a server that is away is asked with little.
#[derive(Debug)]
pub(super) struct RequestSize {
    bytes: usize,
    /// What the server is known to take, …
    bound: usize,
    /// … and so many were taken since that was learned.
    taken: u32,
    /// Never more, whatever is taken.
    ceiling: usize,
}

impl RequestSize {
    /// As large as may be within a rate: what is fresh must not wait long behind a large backlog.
    pub(super) fn new(bytes_per_second: Option<usize>) -> Self {
        let ceiling = bytes_per_second.unwrap_or(MOST_BYTES).clamp(LEAST_BYTES, MOST_BYTES);
        Self { bytes: ceiling, bound: ceiling, taken: 0, ceiling }
    }

    /// For gathering frames.
    pub(super) fn take(&self) -> Take {
        Take { max_frames: MOST_FRAMES, max_bytes: self.bytes, max_items: u64::MAX }
    }

    /// The largest request there may be, when nothing fails.
    pub(super) fn bound(&self) -> usize {
        self.bound
    }

    /// How many of the frames of these sizes go now; one always does.
    pub(super) fn fitting(&self, sizes: impl Iterator<Item = usize>) -> usize {
        let mut bytes = 0;
        let fits = |size: &usize| {
            bytes += size;
            bytes <= self.bytes
        };
        sizes.take_while(fits).count().max(1)
    }

    /// One was taken.
    pub(super) fn taken(&mut self) {
        self.taken += 1;
        if self.taken == TAKEN_BEFORE_MORE {
            (self.bound, self.taken) = (self.bound.saturating_mul(2).min(self.ceiling), 0);
        }
        self.bytes = self.bytes.saturating_mul(2).min(self.bound);
    }

    /// One of this size failed, for whatever reason.
    pub(super) fn failed(&mut self, bytes: usize) {
        self.bytes = (bytes.min(self.bytes) / 2).max(LEAST_BYTES).min(self.bound);
    }

    /// One of this size was refused, and was taken in halves. Returns the new bound if that is one.
    pub(super) fn too_large(&mut self, bytes: usize) -> Option<usize> {
        let bound = (bytes / 2).max(LEAST_BYTES);
        if bound >= self.bound {
            return None;
        }
        (self.bound, self.bytes, self.taken) = (bound, self.bytes.min(bound), 0);
        Some(bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_halve_and_successes_double() {
        let mut size = RequestSize::new(None);
        let mut sizes = Vec::new();
        for _ in 0..8 {
            size.failed(usize::MAX);
            sizes.push(size.take().max_bytes >> 10);
        }
        assert_eq!(sizes, [2_048, 1_024, 512, 256, 128, 64, 64, 64]);
        for _ in 0..5 {
            size.taken();
        }
        assert_eq!(size.take().max_bytes, 2 << 20);
        // What failed was smaller than what would have been allowed.
        size.failed(1 << 20);
        assert_eq!(size.take().max_bytes, 512 << 10);
        assert_eq!(size.too_large(1 << 20), Some(512 << 10));
        assert_eq!(size.too_large(1 << 20), None);
        (0..9).for_each(|_| size.taken());
        assert_eq!(size.take().max_bytes, 512 << 10);
    }

    #[test]
    fn a_bound_that_was_learned_is_tried_again_after_a_while() {
        let mut size = RequestSize::new(None);
        assert_eq!(size.too_large(1 << 20), Some(512 << 10));
        let bounds: Vec<usize> = (0..200)
            .map(|_| {
                size.taken();
                size.bound() >> 10
            })
            .collect();
        assert_eq!([bounds[30], bounds[31], bounds[63], bounds[199]], [512, 1_024, 2_048, 4_096]);
    }

    #[test]
    fn a_rate_bounds_a_request_to_what_it_carries_in_a_second() {
        for (rate, expected) in [(1, LEAST_BYTES), (100_000, 100_000), (usize::MAX, MOST_BYTES)] {
            assert_eq!(RequestSize::new(Some(rate)).take().max_bytes, expected);
        }
    }
}
