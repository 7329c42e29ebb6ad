//! Where questions of all doors wait for their turn: reading the store blocks, so it is done on threads made for that, and
//! only so many at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tonic::Status;

use super::budget::{Budget, Share};
use super::stream::{Outlet, Stream};
use crate::query::Cancel;

/// Questions that are answered at the same time.
const MAX_TURNS: usize = 16;
/// Searches among them: fewer than there are shares of the [`Budget`], so that a trace can be read meanwhile.
const MAX_SEARCHES: usize = 2;
/// How long one waits for its turn.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Answers in many messages that are made at the same time, those that wait for a slow reader among them. Each has two
/// messages of some 1 MiB in memory, 3.4 MiB at most but for a single large span, and what it reads a trace with: up to
/// 2.5 MiB of ids, 12 MiB of resources where those are large, and a chunk. A trace that is held whole has its share of a
/// [`Budget`] besides.
const MAX_STREAMS: usize = 32;
/// Those of them that read the store. They have turns of their own, for each may take long; so have searches for ids,
/// which take no room: of who asks one kind, others wait for none.
const MAX_STREAM_TURNS: usize = 8;
const MAX_ID_SEARCHES: usize = 4;
/// How long a message of one waits to be taken.
const MAX_PAUSE: Duration = Duration::from_secs(30);
/// How long it is waited for messages to be taken, all waiting together; longer the more of them there are.
const MAX_PATIENCE: Duration = Duration::from_secs(60);
/// How long one waits whose client has a time limit of its own, or waits as long as it takes.
const PATIENT_WAIT: Duration = Duration::from_secs(120);
/// How long an asker waits for an answer that is being made.
const MAX_ANSWER_TIME: Duration = Duration::from_secs(30);

/// Why there is no answer, whatever was asked.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("too many questions are being answered; ask again in a moment")]
    Busy,
    #[error("the answer took longer than {} s; ask for less, such as a shorter time", MAX_ANSWER_TIME.as_secs())]
    Slow,
    #[error("a defect was met while answering; the log has the details")]
    Defect(#[source] tokio::task::JoinError),
}

/// Everything that work waits for. One for the whole program; cheap to clone.
#[derive(Debug, Clone)]
pub struct Turns {
    lane: Lane,
    searches: Arc<Semaphore>,
    id_searches: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    stream_lane: Lane,
    spans: Budget,
    numbers: Budget,
    /// For traces that streams hold whole, as long as their readers take.
    held: Budget,
}

impl Default for Turns {
    fn default() -> Self {
        let of = |count| Arc::new(Semaphore::new(count));
        let lane = Lane {
            free: of(MAX_TURNS),
            wait: MAX_WAIT,
            answer_time: MAX_ANSWER_TIME,
            pause: MAX_PAUSE,
            patience: MAX_PATIENCE,
        };
        Self {
            stream_lane: Lane { free: of(MAX_STREAM_TURNS), ..lane.clone() },
            lane,
            searches: of(MAX_SEARCHES),
            id_searches: of(MAX_ID_SEARCHES),
            streams: of(MAX_STREAMS),
            spans: Budget::default(),
            numbers: Budget::for_two(),
            held: Budget::for_two(),
        }
    }
}

impl Turns {
    /// The same turns, taken by those who wait longer for them: as long as others get theirs, so do they.
    pub(super) fn for_the_patient(&self) -> Self {
        let patient = |lane: &Lane| Lane { wait: PATIENT_WAIT, ..lane.clone() };
        Self { lane: patient(&self.lane), stream_lane: patient(&self.stream_lane), ..self.clone() }
    }

    /// Does the work when its turn comes. It is told when nobody waits for it any more.
    pub(super) async fn take<T, E>(
        &self,
        work: impl FnOnce(&Cancel) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.lane.take(work).await
    }

    /// The same for an answer made of spans, whose bytes are set aside until its share is dropped.
    pub(super) async fn take_for_spans<T, E>(
        &self,
        work: impl FnOnce(&Cancel, Share) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.take_with(&self.spans, work).await
    }

    /// The same for numbers over time, whose bytes are set aside for them: traces and searches wait for none of them.
    pub(super) async fn take_for_numbers<T, E>(
        &self,
        work: impl FnOnce(&Cancel, Share) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        self.take_with(&self.numbers, work).await
    }

    /// The same for work that looks through the store, which may take long: there is less of it at a time, and it is
    /// waited for before bytes are taken.
    pub(super) async fn take_for_search<T, E>(
        &self,
        work: impl FnOnce(&Cancel, Share) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let search = self.lane.wait_for(&self.searches).await?;
        let work = move |cancel: &Cancel, share: Share| {
            let _search = search;
            work(cancel, share)
        };
        self.take_for_spans(work).await
    }

    /// The same for a search for what takes no room, such as ids.
    pub(super) async fn take_for_ids<T, E>(
        &self,
        work: impl FnOnce(&Cancel) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let search = self.lane.wait_for(&self.id_searches).await?;
        let work = move |cancel: &Cancel| {
            let _search = search;
            work(cancel)
        };
        self.lane.take(work).await
    }

    /// Begins an answer in many messages when its turn comes.
    pub(super) async fn stream<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Outlet<T>) -> Result<(), Status> + Send + 'static,
    ) -> Result<Stream<T>, Error> {
        let lane = &self.stream_lane;
        let place = lane.wait_for(&self.streams).await?;
        let turn = lane.turn().await?;
        let (mut outlet, stream, end) = Outlet::new(lane.clone(), self.held.clone(), turn);
        drop(spawn_blocking(move || {
            let outcome = work(&mut outlet);
            drop((outlet, place));
            // Who asked may be gone.
            drop(end.send(outcome));
        }));
        Ok(stream)
    }

    /// Bytes are waited for before a turn is taken, so that large answers leave turns to small ones.
    async fn take_with<T, E>(
        &self,
        budget: &Budget,
        work: impl FnOnce(&Cancel, Share) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let share = budget.take(self.lane.wait).await?;
        self.lane.take(move |cancel| work(cancel, share)).await
    }
}

/// So many pieces of work at a time, and how long to wait for one.
#[derive(Debug, Clone)]
pub(super) struct Lane {
    free: Arc<Semaphore>,
    pub(super) wait: Duration,
    answer_time: Duration,
    /// How long a message of an answer waits to be taken.
    pub(super) pause: Duration,
    /// How long all of them together do, before any was taken.
    pub(super) patience: Duration,
}

/// Calls work off when it goes out of scope: its result is there, its time is up, or who asked went away, which drops
/// the handler.
#[derive(Debug, Default)]
pub(super) struct Asker(Cancel);

impl Asker {
    /// What work is told by.
    pub(super) fn told(&self) -> Cancel {
        self.0.clone()
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Lane {
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Error> {
        self.wait_for(&self.free).await
    }

    async fn wait_for(&self, free: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Error> {
        match timeout(self.wait, Arc::clone(free).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            // None is ever closed, so the inner error cannot come.
            _ => Err(Error::Busy),
        }
    }

    /// When the caller goes away or its time is up, the work is told so. Until it has ended it keeps its turn, so there
    /// is never more at work than there are turns.
    async fn take<T, E>(&self, work: impl FnOnce(&Cancel) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let turn = self.turn().await?;
        let asker = Asker::default();
        let cancel = asker.told();
        let task = spawn_blocking(move || {
            let _turn = turn;
            work(&cancel)
        });
        match timeout(self.answer_time, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(Error::Defect(panic).into()),
            Err(_) => Err(Error::Slow.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Instant;

    use tokio::sync::oneshot;
    use tokio::task::JoinSet;
    use tokio_stream::StreamExt as _;

    use super::*;

    fn lane(count: usize, answer_time: Duration) -> Lane {
        let free = Arc::new(Semaphore::new(count));
        let wait = Duration::from_millis(1);
        Lane { free, wait, answer_time, pause: MAX_PAUSE, patience: MAX_PATIENCE }
    }

    #[tokio::test]
    async fn who_waits_too_long_is_told_that_all_are_busy() {
        let lane = lane(1, Duration::from_secs(60));
        let taken = Arc::clone(&lane.free).try_acquire_owned().unwrap();
        assert!(matches!(lane.take(|_| Ok::<_, Error>(1)).await, Err(Error::Busy)));
        drop(taken);
        assert!(matches!(lane.take(|_| Ok::<_, Error>(1)).await, Ok(1)));
    }

    #[tokio::test]
    async fn work_that_takes_too_long_keeps_its_turn_until_it_ends() {
        let lane = lane(1, Duration::from_millis(1));
        let (end, ended) = std::sync::mpsc::sync_channel::<()>(0);
        // Ends when the other half of the channel goes away.
        let endless = move |_: &Cancel| Ok::<_, Error>(ended.recv().is_err());
        assert!(matches!(lane.take(endless).await, Err(Error::Slow)));
        assert_eq!(lane.free.available_permits(), 0);
        drop(end);
        let free = Arc::clone(&lane.free).acquire_owned().await;
        assert!(free.is_ok(), "the turn came back");
    }

    #[tokio::test]
    async fn a_defect_in_the_work_gives_its_turn_back() {
        let lane = lane(1, Duration::from_secs(60));
        let outcome = lane.take(|_| -> Result<(), Error> { panic!("a defect") }).await;
        assert!(matches!(outcome, Err(Error::Defect(_))));
        assert_eq!(lane.free.available_permits(), 1);
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
        let lane = lane(1, Duration::from_secs(60));
        let ((begin, begun), (end, ended)) = (oneshot::channel(), oneshot::channel());
        let work = patient(begin, end);
        tokio::select! {
            _ = lane.take(move |cancel| Ok::<_, Error>(work(cancel))) => panic!("nothing ends it"),
            begun = begun => begun.unwrap(),
        }
        assert!(ended.await.unwrap(), "it was called off");
        assert!(Arc::clone(&lane.free).acquire_owned().await.is_ok(), "the turn came back");
    }

    #[tokio::test]
    async fn work_whose_time_is_up_is_called_off() {
        let lane = lane(1, Duration::from_millis(1));
        let ((begin, _begun), (end, ended)) = (oneshot::channel(), oneshot::channel());
        let work = patient(begin, end);
        assert!(matches!(lane.take(move |cancel| Ok::<_, Error>(work(cancel))).await, Err(Error::Slow)));
        assert!(ended.await.unwrap(), "it was called off");
    }

    #[tokio::test]
    async fn searches_leave_room_to_those_who_read_a_trace() {
        let mut turns = Turns::default();
        turns.lane.wait = Duration::from_millis(1);
        let mut searches = JoinSet::new();
        for _ in 0..MAX_SEARCHES {
            let ((begin, begun), (end, _ended)) = (oneshot::channel(), oneshot::channel());
            let (turns, work) = (turns.clone(), patient(begin, end));
            let work = move |cancel: &Cancel, _share| Ok::<_, Error>(work(cancel));
            searches.spawn(async move { turns.take_for_search(work).await });
            begun.await.unwrap();
        }
        let done = |_: &Cancel, _share| Ok::<_, Error>(());
        assert!(matches!(turns.take_for_search(done).await, Err(Error::Busy)));
        assert!(turns.take_for_spans(done).await.is_ok());
        searches.shutdown().await;
        turns.lane.wait = Duration::from_secs(60);
        assert!(turns.take_for_search(done).await.is_ok());
    }

    /// Turns for one stream at a time, of places for two.
    fn streaming() -> Turns {
        let mut turns = Turns::default();
        turns.stream_lane.free = Arc::new(Semaphore::new(1));
        turns.streams = Arc::new(Semaphore::new(2));
        turns.for_the_patient()
    }

    fn count_to(count: u32) -> impl FnOnce(&mut Outlet<u32>) -> Result<(), Status> {
        move |outlet| (1..=count).try_for_each(|number| outlet.send(number))
    }

    async fn all_of(mut stream: Stream<u32>) -> Result<Vec<u32>, Status> {
        let mut taken = Vec::new();
        while let Some(message) = stream.next().await {
            taken.push(message?);
        }
        Ok(taken)
    }

    #[tokio::test]
    async fn one_who_is_slow_to_take_messages_lets_others_pass() {
        let turns = streaming();
        let slow = turns.stream(count_to(5)).await.unwrap();
        for _ in 0..3 {
            let quick = turns.stream(count_to(9)).await.unwrap();
            assert_eq!(all_of(quick).await.unwrap(), (1..=9).collect::<Vec<_>>());
        }
        assert_eq!(all_of(slow).await.unwrap(), [1, 2, 3, 4, 5]);
        assert!(all_of(turns.stream(count_to(0)).await.unwrap()).await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn one_who_waits_for_bytes_lets_others_pass() {
        let turns = streaming();
        let mut shares = Vec::new();
        while let Ok(share) = turns.held.take(Duration::ZERO).await {
            shares.push(share);
        }
        let sharing = |outlet: &mut Outlet<u32>| outlet.share().and_then(|_share| outlet.send(1));
        let gone = turns.stream(sharing).await.unwrap();
        drop(gone);
        let waiting = turns.stream(sharing).await.unwrap();
        let quick = turns.stream(count_to(3)).await.unwrap();
        assert_eq!(all_of(quick).await.unwrap(), [1, 2, 3]);
        shares.clear();
        assert_eq!(all_of(waiting).await.unwrap(), [1]);
    }

    #[tokio::test]
    async fn one_who_takes_nothing_is_given_up_and_told_so() {
        let mut turns = streaming();
        turns.stream_lane.pause = Duration::from_millis(1);
        let asleep = turns.stream(count_to(5)).await.unwrap();
        // Both places are free again when it was given up.
        let places = Arc::clone(&turns.streams).acquire_many_owned(2).await;
        let status = all_of(asleep).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded, "what there is of it looks whole to nobody");
        drop(places);
    }

    #[tokio::test]
    async fn one_who_takes_a_message_now_and_then_is_given_up_and_told_so() {
        let mut turns = streaming();
        turns.stream_lane.patience = Duration::from_millis(60);
        let mut slow = turns.stream(count_to(100)).await.unwrap();
        let mut taken = 0;
        let status = loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            match slow.next().await {
                Some(Ok(_)) => taken += 1,
                Some(Err(status)) => break status,
                None => panic!("it took 100 messages as slowly as it wanted"),
            }
        };
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded, "after {taken} messages");
    }

    #[tokio::test]
    async fn a_stream_ends_when_who_asked_goes_away() {
        let turns = streaming();
        let (end, ended) = oneshot::channel();
        let endless = move |outlet: &mut Outlet<u32>| {
            let outcome = (1..).try_for_each(|number| outlet.send(number));
            let _nobody_asks = end.send(outcome.as_ref().map_err(Status::code).copied());
            outcome
        };
        let mut stream = turns.stream(endless).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        drop(stream);
        assert_eq!(ended.await.unwrap(), Err(tonic::Code::Cancelled));
        assert!(Arc::clone(&turns.streams).acquire_many_owned(2).await.is_ok(), "its place came back");
        assert!(turns.stream_lane.turn().await.is_ok(), "its turn came back");
    }

    #[tokio::test]
    async fn what_went_wrong_in_the_middle_is_told_at_the_end() {
        let turns = streaming();
        let failing = |outlet: &mut Outlet<u32>| {
            outlet.send(1)?;
            Err(Status::not_found("no more"))
        };
        let mut stream = turns.stream(failing).await.unwrap();
        assert_eq!(stream.next().await.unwrap().unwrap(), 1);
        assert_eq!(stream.next().await.unwrap().unwrap_err().message(), "no more");
        assert!(stream.next().await.is_none());
        let defective = |_: &mut Outlet<u32>| panic!("a defect");
        let status = all_of(turns.stream(defective).await.unwrap()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Internal);
    }
}
