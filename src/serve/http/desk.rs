//! Where questions wait for their turn: reading the store blocks, so it is done on threads made for that, and
//! only so many at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Answers;
use super::answer::Reply;
use super::body::Bodies;
use super::budget::Budget;
use super::error::Error;

/// Questions that are answered at the same time.
const MAX_TURNS: usize = 16;
/// How long one waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// How long an asker waits for an answer that is being made.
pub(super) const MAX_ANSWER_TIME: Duration = Duration::from_secs(30);

/// Takes questions; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    answers: Arc<Answers>,
    turns: Turns,
    budget: Budget,
    /// For questions that have a body.
    pub bodies: Bodies,
}

impl Desk {
    pub(super) fn new(answers: Arc<Answers>) -> Self {
        let turns =
            Turns { free: Arc::new(Semaphore::new(MAX_TURNS)), wait: MAX_WAIT, answer_time: MAX_ANSWER_TIME };
        Self { answers, turns, budget: Budget::default(), bodies: Bodies::default() }
    }

    /// Does the work when its turn comes.
    pub(super) async fn ask<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&Answers) -> Result<T, Error> + Send + 'static,
    {
        let answers = Arc::clone(&self.answers);
        self.turns.take(move || work(&answers)).await
    }

    /// The same for an answer made of spans, whose bytes are set aside until it is sent. They are waited for before
    /// a turn is taken, so that large answers leave turns to small ones.
    pub(super) async fn ask_for_spans<W>(&self, work: W) -> Result<Reply, Error>
    where
        W: FnOnce(&Answers) -> Result<Reply, Error> + Send + 'static,
    {
        let share = self.budget.take(self.turns.wait).await?;
        self.ask(move |answers| work(answers).map(|reply| reply.with_share(share))).await
    }
}

/// So many pieces of work at a time, and how long to wait for one.
#[derive(Debug, Clone)]
struct Turns {
    free: Arc<Semaphore>,
    wait: Duration,
    answer_time: Duration,
}

impl Turns {
    /// A caller who goes away or whose time is up leaves the work to its end: it keeps its turn, so there is never
    /// more at work than there are turns.
    async fn take<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = timeout(self.wait, Arc::clone(&self.free).acquire_owned()).await;
        // The turns are never closed, so the inner error cannot come.
        let Ok(Ok(turn)) = turn else { return Err(Error::Busy) };
        let task = spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        match timeout(self.answer_time, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(Error::Defect(panic)),
            Err(_) => Err(Error::Slow),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(count: usize, answer_time: Duration) -> Turns {
        Turns { free: Arc::new(Semaphore::new(count)), wait: Duration::from_millis(1), answer_time }
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_that_all_are_busy() {
        let turns = turns(1, Duration::from_secs(60));
        let taken = Arc::clone(&turns.free).try_acquire_owned().unwrap();
        assert!(matches!(turns.take(|| Ok(1)).await, Err(Error::Busy)));
        drop(taken);
        assert!(matches!(turns.take(|| Ok(1)).await, Ok(1)));
    }

    #[tokio::test]
    async fn work_that_takes_too_long_keeps_its_turn_until_it_ends() {
        let turns = turns(1, Duration::from_millis(1));
        let (end, ended) = std::sync::mpsc::sync_channel::<()>(0);
        // Ends when the other half of the channel goes away.
        let endless = move || Ok(ended.recv().is_err());
        assert!(matches!(turns.take(endless).await, Err(Error::Slow)));
        assert_eq!(turns.free.available_permits(), 0);
        drop(end);
        let free = Arc::clone(&turns.free).acquire_owned().await;
        assert!(free.is_ok(), "the turn came back");
    }

    #[tokio::test]
    async fn a_defect_in_the_work_gives_its_turn_back() {
        let turns = turns(1, Duration::from_secs(60));
        let outcome = turns.take(|| -> Result<(), Error> { panic!("a defect") }).await;
        assert!(matches!(outcome, Err(Error::Defect(_))));
        assert_eq!(turns.free.available_permits(), 1);
    }
}
