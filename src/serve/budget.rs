//! Bytes that answers made of spans may take together, from before the first span is read until the answer is sent.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::turns::Error;

/// For all answers together: three large ones at work, or many that wait for slow readers. Requests on their way in,
/// the buffer's tail and the store's pages have 64 MiB each by default, so this is the largest of the four; it is
/// hardly ever needed while the others are full.
const MAX_BYTES: usize = 96 << 20;
/// For one answer: the 24 MiB of spans that a large trace may have, and their packed text. A share, not yet the whole
/// truth: the last trace of a search comes on top of its 16 MiB, and one trace at a time is in Jaeger's words besides.
pub(super) const MAX_ANSWER_BYTES: usize = 32 << 20;

/// Gives shares out; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Budget {
    /// One permit is one byte.
    free: Arc<Semaphore>,
}

/// Bytes that are set aside until this is dropped.
#[derive(Debug)]
pub(super) struct Share(OwnedSemaphorePermit);

impl Default for Budget {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(MAX_BYTES)) }
    }
}

impl Budget {
    /// For two large answers of one kind at once, and many small ones: others wait for none of them.
    pub(super) fn for_two() -> Self {
        Self { free: Arc::new(Semaphore::new(2 * MAX_ANSWER_BYTES)) }
    }

    /// Waits until one answer's bytes are free.
    pub(super) async fn take(&self, wait: Duration) -> Result<Share, Error> {
        let share = Arc::clone(&self.free).acquire_many_owned(MAX_ANSWER_BYTES as u32);
        match timeout(wait, share).await {
            Ok(Ok(permit)) => Ok(Share(permit)),
            // The budget is never closed, so the inner error cannot come.
            _ => Err(Error::Busy),
        }
    }

    #[cfg(test)]
    pub(super) fn taken(&self) -> usize {
        MAX_BYTES - self.free.available_permits()
    }
}

impl Share {
    /// Gives back what is above so many bytes.
    pub(super) fn trim(&mut self, bytes: usize) {
        let above = self.0.num_permits().saturating_sub(bytes);
        drop(self.0.split(above));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_made_of_spans_wait_for_those_before_them_to_be_sent() {
        let budget = Budget::default();
        let mut shares = Vec::new();
        while let Ok(share) = budget.take(Duration::ZERO).await {
            shares.push(share);
        }
        assert_eq!((shares.len(), budget.taken()), (3, MAX_BYTES));
        for share in &mut shares {
            share.trim(MAX_ANSWER_BYTES);
        }
        assert!(matches!(budget.take(Duration::ZERO).await, Err(Error::Busy)), "nothing was too much");
        for share in &mut shares {
            share.trim(7);
        }
        assert_eq!(budget.taken(), 21);
        drop(shares);
        assert_eq!(budget.taken(), 0);
    }
}
