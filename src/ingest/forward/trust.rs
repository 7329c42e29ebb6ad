//! Whether a refusal is believed: a request may be bad, but not every one.

use super::Refusal;
use super::size::LEAST_BYTES;

/// Requests of one frame each that may be refused one after the other. Beyond that it is the server that is taken for
/// sick, or for another one than was meant.
const MOST_IN_A_ROW: u32 = 5;

/// What was believed and taken so far.
#[derive(Debug, Default)]
pub(super) struct Trust {
    refused_in_a_row: u32,
    largest_taken: usize,
}

impl Trust {
    /// Refusals are not believed any more, until something is taken.
    pub(super) fn is_spent(&self) -> bool {
        self.refused_in_a_row >= MOST_IN_A_ROW
    }

    /// Whether this passes by itself: a server that has run out of something, and not by the size of the request.
    pub(super) fn passes(&self, cause: Refusal, bytes: usize) -> bool {
        cause == Refusal::Exhausted && bytes <= self.largest_taken.max(LEAST_BYTES)
    }

    pub(super) fn taken(&mut self, bytes: usize) {
        self.refused_in_a_row = 0;
        self.largest_taken = self.largest_taken.max(bytes);
    }

    /// A request of one frame was refused, and that was believed.
    pub(super) fn refused(&mut self) {
        self.refused_in_a_row += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_refusals_in_a_row_are_believed() {
        let mut trust = Trust::default();
        for _ in 0..4 {
            trust.refused();
        }
        trust.taken(1);
        for _ in 0..5 {
            assert!(!trust.is_spent());
            trust.refused();
        }
        assert!(trust.is_spent());
        trust.taken(1);
        assert!(!trust.is_spent());
    }

    #[test]
    fn a_server_that_took_more_is_not_short_of_room_for_less() {
        let mut trust = Trust::default();
        trust.taken(1 << 20);
        for (cause, bytes, passes) in [
            (Refusal::Exhausted, 1 << 20, true),
            (Refusal::Exhausted, (1 << 20) + 1, false),
            (Refusal::Size, 1, false),
            (Refusal::Content, 1, false),
        ] {
            assert_eq!(trust.passes(cause, bytes), passes, "{cause:?} {bytes}");
        }
        assert!(Trust::default().passes(Refusal::Exhausted, LEAST_BYTES));
    }
}
