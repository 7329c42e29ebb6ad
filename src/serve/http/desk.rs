//! Where this port's questions are taken: each waits for its turn among those of all doors.

use std::sync::Arc;

use super::Answers;
use super::answer::Reply;
use super::body::Bodies;
use super::error::Error;
use crate::query::Cancel;

/// Takes questions; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    answers: Arc<Answers>,
    /// For questions that have a body.
    pub bodies: Bodies,
}

impl Desk {
    pub(super) fn new(answers: Arc<Answers>) -> Self {
        Self { answers, bodies: Bodies::default() }
    }

    /// Does the work when its turn comes.
    pub(super) async fn ask<T, W>(&self, work: W) -> Result<T, Error>
    where
        T: Send + 'static,
        W: FnOnce(&Answers) -> Result<T, Error> + Send + 'static,
    {
        let answers = Arc::clone(&self.answers);
        self.answers.turns.take(move |_cancel| work(&answers)).await
    }

    /// The same for an answer made of spans, whose bytes are set aside until it is sent.
    pub(super) async fn ask_for_spans<W>(&self, work: W) -> Result<Reply, Error>
    where
        W: FnOnce(&Answers) -> Result<Reply, Error> + Send + 'static,
    {
        let answers = Arc::clone(&self.answers);
        let work = move |_cancel: &Cancel, share| Ok(work(&answers)?.with_share(share));
        self.answers.turns.take_for_spans(work).await
    }

    /// The same for numbers over time.
    pub(super) async fn ask_for_numbers<W>(&self, work: W) -> Result<Reply, Error>
    where
        W: FnOnce(&Answers) -> Result<Reply, Error> + Send + 'static,
    {
        let answers = Arc::clone(&self.answers);
        let work = move |_cancel: &Cancel, share| Ok(work(&answers)?.with_share(share));
        self.answers.turns.take_for_numbers(work).await
    }

    /// The same for work that looks through the store, which is told when nobody waits for it any more.
    pub(super) async fn search<W>(&self, work: W) -> Result<Reply, Error>
    where
        W: FnOnce(&Answers, &Cancel) -> Result<Reply, Error> + Send + 'static,
    {
        let answers = Arc::clone(&self.answers);
        let work = move |cancel: &Cancel, share| Ok(work(&answers, cancel)?.with_share(share));
        self.answers.turns.take_for_search(work).await
    }
}
