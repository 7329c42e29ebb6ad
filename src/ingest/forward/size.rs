//! How much goes into one request: as much as the server takes, and as the line carries in time.

use crate::buffer::{Frame, Take};

/// What gRPC servers take unless told otherwise.
const MOST_BYTES: usize = 4 << 20;

/// Requests of several frames do not become smaller than this.
const LEAST_BYTES: usize = 64 << 10;

/// Halved when a request fails, doubled when one is taken: a line that cannot carry a large one within the time of
/// a call would never get past it, and a server that is away is asked with little.
#[derive(Debug)]
pub(super) struct RequestSize {
    bytes: usize,
    /// Never more, whatever is taken.
    bound: usize,
}

impl RequestSize {
    /// As large as may be within a rate: what is fresh must not wait long behind a large backlog.
    pub(super) fn new(bytes_per_second: Option<usize>) -> Self {
        let bound = bytes_per_second.unwrap_or(MOST_BYTES).clamp(LEAST_BYTES, MOST_BYTES);
        Self { bytes: bound, bound }
    }

    /// For gathering frames.
    pub(super) fn take(&self) -> Take {
        Take { max_frames: 4_096, max_bytes: self.bytes, max_items: u64::MAX }
    }

    /// How many of the frames go now; one always does.
    pub(super) fn fitting(&self, frames: &[Frame]) -> usize {
        let mut bytes = 0;
        let fits = |frame: &&Frame| {
            bytes += frame.payload.len();
            bytes <= self.bytes
        };
        frames.iter().take_while(fits).count().max(1)
    }

    /// One was taken.
    pub(super) fn taken(&mut self) {
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
        (self.bound, self.bytes) = (bound, self.bytes.min(bound));
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
    fn a_rate_bounds_a_request_to_what_it_carries_in_a_second() {
        for (rate, expected) in [(1, LEAST_BYTES), (100_000, 100_000), (usize::MAX, MOST_BYTES)] {
            assert_eq!(RequestSize::new(Some(rate)).take().max_bytes, expected);
        }
    }
}
