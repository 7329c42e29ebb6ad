//! A bound on bytes per second, shared by everything that is sent.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What may be sent at once after a silence, as a time at the full rate.
const BURST: Duration = Duration::from_secs(1);

/// A token bucket of one second's bytes, kept as the time at which it would be empty of debts.
///
/// A request larger than the bucket goes when the bucket is full and leaves a debt, so that the average holds
/// and nothing is too large ever to be sent.
#[derive(Debug)]
pub struct Throttle {
    /// `None` when there is no bound.
    bytes_per_second: Option<f64>,
    paid_until: Mutex<Option<Instant>>,
}

impl Throttle {
    /// 0 is no bound.
    pub fn new(bytes_per_second: u64) -> Self {
        let bytes_per_second = (bytes_per_second > 0).then_some(bytes_per_second as f64);
        Self { bytes_per_second, paid_until: Mutex::new(None) }
    }

    /// The bound, if there is one.
    pub(super) fn bytes_per_second(&self) -> Option<usize> {
        self.bytes_per_second.map(|rate| rate as usize)
    }

    /// Takes so many bytes, and says how long to wait before they are sent.
    pub(super) fn reserve(&self, bytes: usize, now: Instant) -> Duration {
        let Some(rate) = self.bytes_per_second else { return Duration::ZERO };
        let mut paid_until = self.paid_until.lock();
        let free_at = paid_until.unwrap_or(now).max(now);
        let cost = Duration::try_from_secs_f64(bytes as f64 / rate).unwrap_or(Duration::MAX);
        *paid_until = free_at.checked_add(cost).or(Some(free_at));
        (free_at - now).saturating_sub(BURST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_free_and_then_the_rate_holds() {
        let (throttle, start) = (Throttle::new(1_000), Instant::now());
        let mut now = start;
        let mut sent = 0;
        for bytes in [400, 600, 1, 999, 2_000, 10, 5_000, 1].into_iter().cycle().take(800) {
            now += throttle.reserve(bytes, now);
            sent += bytes;
            let seconds = (now - start).as_secs_f64();
            // One bucket ahead, and the request that left a debt.
            assert!(sent as f64 <= 1_000.0 * (seconds + 1.0) + bytes as f64 + 1.0, "{sent} in {seconds} s");
        }
        let seconds = (now - start).as_secs_f64();
        assert!(sent as f64 > 1_000.0 * seconds * 0.99, "{sent} bytes took {seconds} s");
    }

    #[test]
    fn a_silence_saves_up_one_second_and_no_more() {
        let (throttle, start) = (Throttle::new(1_000), Instant::now());
        assert_eq!(throttle.reserve(1_000, start), Duration::ZERO);
        let later = start + Duration::from_secs(3_600);
        assert_eq!(throttle.reserve(1_000, later), Duration::ZERO);
        assert_eq!(throttle.reserve(1_000, later), Duration::ZERO);
        assert_eq!(throttle.reserve(1_000, later), Duration::from_secs(1));
    }

    #[test]
    fn without_a_bound_nothing_waits() {
        let throttle = Throttle::new(0);
        for _ in 0..10 {
            assert_eq!(throttle.reserve(usize::MAX, Instant::now()), Duration::ZERO);
        }
    }
}
