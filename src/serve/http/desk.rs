//! Where questions wait for their turn: reading the store blocks, so it is done on threads made for that, and
//! only so many at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Answers;
use super::answer::Reply;
use super::body::Bodies;
use super::budget::Budget;
use super::error::Error;
use crate::query::Cancel;

/// Questions that are answered at the same time.
const MAX_TURNS: usize = 16;
/// Searches among them: fewer than there are shares of the [`Budget`], so that a trace can be read meanwhile.
const MAX_SEARCHES: usize = 2;
/// How long one waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// How long an asker waits for an answer that is being made.
pub(super) const MAX_ANSWER_TIME: Duration = Duration::from_secs(30);

/// Takes questions; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    answers: Arc<Answers>,
    queue: Queue,
    /// For questions that have a body.
    pub bodies: Bodies,
}

impl Desk {
    pub(super) fn new(answers: Arc<Answers>) -> Self {
        Self { answers, queue: Queue::default(), bodies: Bodies::default() }
    }

    /// Does the work when its turn comes.
    pub(super) async fn ask<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&Answers) -> Result<T, Error> + Send + 'static,
    {
        let answers = Arc::clone(&self.answers);
        self.queue.turns.take(move |_cancel| work(&answers)).await
    }

    /// The same for an answer made of spans, whose bytes are set aside until it is sent.
    pub(super) async fn ask_for_spans<W>(&self, work: W) -> Result<Reply, Error>
    where
        W: FnOnce(&Answers) -> Result<Reply, Error> + Send + 'static,
    {
        let answers = Arc::clone(&self.answers);
        self.queue.take_for_spans(move |_cancel| work(&answers)).await
    }

    /// The same for numbers over time, whose bytes are set aside for them: traces and searches wait for none of them.
    pub(super) async fn ask_for_numbers<W>(&self, work: W) -> Result<Reply, Error>
    where
        W: FnOnce(&Answers) -> Result<Reply, Error> + Send + 'static,
    {
        let answers = Arc::clone(&self.answers);
        self.queue.take_with(&self.queue.numbers, move |_cancel| work(&answers)).await
    }

    /// The same for work that looks through the store, which may take long: there is less of it at a time, and it is
    /// told when nobody waits for it any more.
    pub(super) async fn search<W>(&self, work: W) -> Result<Reply, Error>
    where
        W: FnOnce(&Answers, &Cancel) -> Result<Reply, Error> + Send + 'static,
    {
        let answers = Arc::clone(&self.answers);
        self.queue.take_for_search(move |cancel| work(&answers, cancel)).await
    }
}

/// Everything that work waits for.
#[derive(Debug, Clone)]
struct Queue {
    turns: Turns,
    searches: Arc<Semaphore>,
    budget: Budget,
    numbers: Budget,
}

impl Default for Queue {
    fn default() -> Self {
        let turns =
            Turns { free: Arc::new(Semaphore::new(MAX_TURNS)), wait: MAX_WAIT, answer_time: MAX_ANSWER_TIME };
        Self {
            turns,
            searches: Arc::new(Semaphore::new(MAX_SEARCHES)),
            budget: Budget::default(),
            numbers: Budget::for_numbers(),
        }
    }
}

impl Queue {
    /// Bytes are waited for before a turn is taken, so that large answers leave turns to small ones.
    async fn take_for_spans(
        &self,
        work: impl FnOnce(&Cancel) -> Result<Reply, Error> + Send + 'static,
    ) -> Result<Reply, Error> {
        self.take_with(&self.budget, work).await
    }

    async fn take_with(
        &self,
        budget: &Budget,
        work: impl FnOnce(&Cancel) -> Result<Reply, Error> + Send + 'static,
    ) -> Result<Reply, Error> {
        let share = budget.take(self.turns.wait).await?;
        self.turns.take(move |cancel| work(cancel).map(|reply| reply.with_share(share))).await
    }

    /// For the same reason searches are waited for before bytes are taken.
    async fn take_for_search(
        &self,
        work: impl FnOnce(&Cancel) -> Result<Reply, Error> + Send + 'static,
    ) -> Result<Reply, Error> {
        let search = self.turns.wait_for(&self.searches).await?;
        let work = move |cancel: &Cancel| {
            let _search = search;
            work(cancel)
        };
        self.take_for_spans(work).await
    }
}

/// So many pieces of work at a time, and how long to wait for one.
#[derive(Debug, Clone)]
struct Turns {
    free: Arc<Semaphore>,
    wait: Duration,
    answer_time: Duration,
}

/// Calls work off when it goes out of scope: its result is there, its time is up, or who asked went away, which drops
/// the handler.
#[derive(Debug, Default)]
struct Asker(Cancel);

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Turns {
    async fn wait_for(&self, free: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
        match timeout(self.wait, Arc::clone(free).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            // None is ever closed, so the inner error cannot come.
            _ => Err(Error::Busy),
        }
    }

    /// When the caller goes away or its time is up, the work is told so. Until it has ended it keeps its turn, so there
    /// is never more at work than there are turns.
    async fn take<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cancel) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.wait_for(&self.free).await?;
        let asker = Asker::default();
        let cancel = asker.0.clone();
        let task = spawn_blocking(move || {
            let _turn = turn;
            work(&cancel)
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
    use std::thread;
    use std::time::Instant;

    use http::HeaderMap;
    use tokio::sync::oneshot;
    use tokio::task::JoinSet;

    use super::*;
    use crate::serve::http::answer::Form;
    use crate::serve::http::parameters::Parameters;

    fn turns(count: usize, answer_time: Duration) -> Turns {
        Turns { free: Arc::new(Semaphore::new(count)), wait: Duration::from_millis(1), answer_time }
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_that_all_are_busy() {
        let turns = turns(1, Duration::from_secs(60));
        let taken = Arc::clone(&turns.free).try_acquire_owned().unwrap();
        assert!(matches!(turns.take(|_| Ok(1)).await, Err(Error::Busy)));
        drop(taken);
        assert!(matches!(turns.take(|_| Ok(1)).await, Ok(1)));
    }

    #[tokio::test]
    async fn work_that_takes_too_long_keeps_its_turn_until_it_ends() {
        let turns = turns(1, Duration::from_millis(1));
        let (end, ended) = std::sync::mpsc::sync_channel::<()>(0);
        // Ends when the other half of the channel goes away.
        let endless = move |_: &Cancel| Ok(ended.recv().is_err());
        assert!(matches!(turns.take(endless).await, Err(Error::Slow)));
        assert_eq!(turns.free.available_permits(), 0);
        drop(end);
        let free = Arc::clone(&turns.free).acquire_owned().await;
        assert!(free.is_ok(), "the turn came back");
    }

    #[tokio::test]
    async fn a_defect_in_the_work_gives_its_turn_back() {
        let turns = turns(1, Duration::from_secs(60));
        let outcome = turns.take(|_| -> Result<(), Error> { panic!("a defect") }).await;
        assert!(matches!(outcome, Err(Error::Defect(_))));
        assert_eq!(turns.free.available_permits(), 1);
    }

    /// Work that ends when it is called off, and whether it was; a minute at most.
    fn patient(begun: oneshot::Sender<()>, ended: oneshot::Sender<bool>) -> impl FnOnce(&Cancel) -> bool {
        move |cancel| {
            let late = Instant::now() + Duration::from_secs(60);
            let _nobody_asks = begun.send(());
            while !cancel.is_cancelled() && Instant::now() < late {
                thread::yield_now();
            }
            let _nobody_asks = ended.send(cancel.is_cancelled());
            cancel.is_cancelled()
        }
    }

    #[tokio::test]
    async fn work_is_called_off_when_its_asker_goes_away_and_gives_its_turn_back() {
        let turns = turns(1, Duration::from_secs(60));
        let ((begin, begun), (end, ended)) = (oneshot::channel(), oneshot::channel());
        let work = patient(begin, end);
        tokio::select! {
            _ = turns.take(move |cancel| Ok(work(cancel))) => panic!("nothing ends it"),
            begun = begun => begun.unwrap(),
        }
        assert!(ended.await.unwrap(), "it was called off");
        assert!(Arc::clone(&turns.free).acquire_owned().await.is_ok(), "the turn came back");
    }

    #[tokio::test]
    async fn work_whose_time_is_up_is_called_off() {
        let turns = turns(1, Duration::from_millis(1));
        let ((begin, _begun), (end, ended)) = (oneshot::channel(), oneshot::channel());
        let work = patient(begin, end);
        assert!(matches!(turns.take(move |cancel| Ok(work(cancel))).await, Err(Error::Slow)));
        assert!(ended.await.unwrap(), "it was called off");
    }

    #[tokio::test]
    async fn searches_leave_room_to_those_who_read_a_trace() {
        let mut queue = Queue::default();
        queue.turns.wait = Duration::from_millis(1);
        let form = Form::of(&Parameters::default(), &HeaderMap::new());
        let mut searches = JoinSet::new();
        for _ in 0..MAX_SEARCHES {
            let ((begin, begun), (end, _ended)) = (oneshot::channel(), oneshot::channel());
            let (queue, work) = (queue.clone(), patient(begin, end));
            let work = move |cancel: &Cancel| Reply::json(&work(cancel), form);
            searches.spawn(async move { queue.take_for_search(work).await });
            begun.await.unwrap();
        }
        let search = queue.take_for_search(move |_| Reply::json(&"done", form)).await;
        assert!(matches!(search, Err(Error::Busy)));
        assert!(queue.take_for_spans(move |_| Reply::json(&"done", form)).await.is_ok());
        searches.shutdown().await;
        queue.turns.wait = Duration::from_secs(60);
        assert!(queue.take_for_search(move |_| Reply::json(&"done", form)).await.is_ok());
    }
}
