//! How long to wait before trying again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(60 * 60);

/// The waits of one forwarder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace {
    /// The bound on the first wait after a failure that passes by itself; it doubles …
    pub(super) first: Duration,
    /// The bound on the first wait while somebody has to do something; it doubles …
    pub(super) first_blocked: Duration,
    /// … up to this.
    pub(super) longest: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            first_blocked: Duration::from_secs(5),
            longest: Duration::from_secs(60),
        }
    }
}

/// Waits that grow with each failure in a row, drawn by lot so that many senders that lost the same server do
/// not come back together ("Exponential Backoff And Jitter", AWS Architecture Blog: full jitter).
#[derive(Debug)]
pub(super) struct Backoff {
    pace: Pace,
    failures: u32,
    lot: Lot,
}

impl Backoff {
    /// No failure yet.
    pub(super) fn new(pace: Pace) -> Self {
        Self { pace, failures: 0, lot: Lot::new() }
    }

    /// After a failure that passes by itself: no sooner than the server asked for.
    pub(super) fn after_failure(&mut self, asked: Option<Duration>) -> Duration {
        let bound = self.bound(self.pace.first);
        match asked {
            // Every sender that it turned away was told the same.
            Some(asked) => asked.min(LONGEST_ASKED) + self.pace.first.mul_f64(self.lot.draw()),
            None => bound.mul_f64(self.lot.draw()),
        }
    }

    /// While the address or the credentials are wrong: never soon, whatever the lot says.
    pub(super) fn after_block(&mut self) -> Duration {
        let bound = self.bound(self.pace.first_blocked);
        bound.mul_f64(0.5 + 0.5 * self.lot.draw())
    }

    /// It worked.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    fn bound(&mut self, first: Duration) -> Duration {
        let factor = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = (self.failures + 1).min(31);
        first.saturating_mul(factor).min(self.pace.longest)
    }
}

/// Numbers that need not be secret, only different everywhere (SplitMix64).
#[derive(Debug)]
struct Lot(u64);

impl Lot {
    fn new() -> Self {
        // The standard library draws its hash keys from the system's randomness.
        Self(RandomState::new().hash_one(0))
    }

    /// From 0 to just below 1.
    fn draw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_grow_to_a_minute_and_are_spread_below_that() {
        let mut backoff = Backoff::new(Pace::default());
        for bound in [1, 2, 4, 8, 16, 32, 60, 60, 60] {
            let wait = backoff.after_failure(None);
            assert!(wait <= SECOND * bound, "{wait:?} of {bound} s");
        }
        let waits: Vec<Duration> = (0..400).map(|_| backoff.after_failure(None)).collect();
        assert!(waits.iter().all(|wait| *wait <= 60 * SECOND));
        assert!(waits.iter().any(|wait| *wait < 6 * SECOND) && waits.iter().any(|wait| *wait > 54 * SECOND));
        backoff.reset();
        assert!(backoff.after_failure(None) <= SECOND);
    }

    #[test]
    fn a_server_is_given_the_time_it_asks_for_but_not_for_ever() {
        let mut backoff = Backoff::new(Pace::default());
        for (asked, least) in [(30, 30), (3_600, 3_600), (86_400, 3_600), (0, 0)] {
            let wait = backoff.after_failure(Some(SECOND * asked));
            let within = SECOND * least..SECOND * (least + 1);
            assert!(within.contains(&wait), "{wait:?} when asked for {asked} s");
        }
        let waits = [(); 9].map(|()| backoff.after_failure(Some(30 * SECOND)));
        assert!(waits.iter().any(|wait| *wait != waits[0]), "all come back together: {waits:?}");
    }

    #[test]
    fn what_somebody_has_to_mend_is_tried_slowly() {
        let mut backoff = Backoff::new(Pace::default());
        for bound in [5, 10, 20, 40, 60, 60] {
            let wait = backoff.after_block();
            assert!(wait >= SECOND * bound / 2 && wait <= SECOND * bound, "{wait:?} of {bound} s");
        }
    }

    #[test]
    fn two_senders_draw_different_lots() {
        let draws = |mut lot: Lot| [lot.draw(), lot.draw(), lot.draw()];
        assert_ne!(draws(Lot::new()), draws(Lot::new()));
    }
}
