//! Writes that have no answer yet, so that who closes can wait for them without stopping those that come later.

use std::collections::BTreeSet;

use tokio::sync::watch;

/// The writes that are under way.
#[derive(Debug, Default)]
pub(super) struct UnderWay {
    writes: watch::Sender<Writes>,
}

#[derive(Debug, Default)]
struct Writes {
    /// The number of the next to begin.
    next: u64,
    open: BTreeSet<u64>,
}

/// A write, until it is dropped.
#[derive(Debug)]
pub(super) struct Writing<'a> {
    under_way: &'a UnderWay,
    number: u64,
}

impl UnderWay {
    pub(super) fn begin(&self) -> Writing<'_> {
        let mut number = 0;
        self.writes.send_modify(|writes| {
            number = writes.next;
            writes.next += 1;
            writes.open.insert(number);
        });
        Writing { under_way: self, number }
    }

    /// Comes back when all that began before have ended.
    pub(super) async fn until_now(&self) {
        let mut writes = self.writes.subscribe();
        let next = writes.borrow().next;
        let are_done = |writes: &Writes| writes.open.first().is_none_or(|first| *first >= next);
        writes.wait_for(are_done).await.expect("its sender is borrowed");
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.under_way.writes.send_modify(|writes| {
            writes.open.remove(&self.number);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn who_closes_waits_for_what_began_before_and_stops_nobody() {
        let under_way = UnderWay::default();
        let poll =
            |closing: std::pin::Pin<&mut _>| Future::poll(closing, &mut Context::from_waker(Waker::noop()));
        let (first, second) = (under_way.begin(), under_way.begin());
        let mut closing = pin!(under_way.until_now());
        assert_eq!(poll(closing.as_mut()), Poll::Pending);
        let later = under_way.begin();
        let mut closing_too = pin!(under_way.until_now());
        drop(second);
        assert_eq!(poll(closing.as_mut()), Poll::Pending);
        drop(first);
        assert_eq!(poll(closing.as_mut()), Poll::Ready(()), "another write is none of its");
        assert_eq!(poll(closing_too.as_mut()), Poll::Pending);
        drop(later);
        assert_eq!(poll(closing_too.as_mut()), Poll::Ready(()));
    }
}
