//! Bytes of requests that may be in memory at once, for the whole process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{RETRY_AFTER, Refused};

/// A counter of free bytes.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    free: AtomicUsize,
}

impl Budget {
    /// All of it free.
    pub fn new(total: usize) -> Self {
        Self { total, free: AtomicUsize::new(total) }
    }

    /// Takes bytes, or refuses at once: a queue of waiting bodies would only hide the overload.
    pub fn reserve(budget: &Arc<Self>, bytes: usize) -> Result<Reservation, Refused> {
        budget.take(bytes)?;
        Ok(Reservation { budget: Arc::clone(budget), bytes })
    }

    /// The same for one who will take more, if so many bytes are free now, these among them.
    pub fn admit(budget: &Arc<Self>, bytes: usize, free: usize) -> Result<Reservation, Refused> {
        budget.take_leaving(bytes, free.saturating_sub(bytes))?;
        Ok(Reservation { budget: Arc::clone(budget), bytes })
    }

    fn take(&self, bytes: usize) -> Result<(), Refused> {
        self.take_leaving(bytes, 0)
    }

    /// Takes bytes if so many are left then.
    fn take_leaving(&self, bytes: usize, left: usize) -> Result<(), Refused> {
        let take = |free: usize| free.checked_sub(bytes).filter(|rest| *rest >= left);
        let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        taken.map(drop).map_err(|free| Refused::Later {
            why: format!(
                "{free} bytes of receive.in_flight_bytes = {} are free, this request can go on when {} are",
                self.total,
                bytes + left,
            ),
            retry_after: RETRY_AFTER,
        })
    }
}

/// Bytes taken from a [`Budget`], given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Reservation {
    /// Makes it at least this large.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refused> {
        let more = bytes.saturating_sub(self.bytes);
        self.budget.take(more)?;
        self.bytes += more;
        Ok(())
    }

    /// Gives back what is beyond this.
    pub fn shrink(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(bytes);
        self.budget.free.fetch_add(less, Ordering::AcqRel);
        self.bytes -= less;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.free.fetch_add(self.bytes, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Arc::new(Budget::new(100));
        let mut first = Budget::reserve(&budget, 40).unwrap();
        first.grow(80).unwrap();
        first.grow(10).unwrap();
        first.shrink(60);
        let refused = Budget::reserve(&budget, 41).unwrap_err().to_string();
        assert_eq!(
            refused,
            "40 bytes of receive.in_flight_bytes = 100 are free, this request can go on when 41 are; send it again in 1 s"
        );
        drop(first);
        assert!(Budget::reserve(&budget, 100).is_ok());
        let (first, second) =
            (Budget::admit(&budget, 40, 50).unwrap(), Budget::admit(&budget, 20, 50).unwrap());
        let refused = Budget::admit(&budget, 1, 50).unwrap_err().to_string();
        assert!(refused.contains("go on when 50 are"), "{refused}");
        assert!(Budget::reserve(&budget, 40).is_ok());
        drop((first, second));
        assert!(Budget::admit(&budget, 100, 50).is_ok());
    }
}
