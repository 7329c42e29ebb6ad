//! Where Zipkin's questions are taken: each waits for its turn among those of all doors.

use super::error::Error;
use crate::query::Cancel;
use crate::serve::grpc::Source;
use crate::serve::http::answer::Reply;

/// Takes questions; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Desk(pub(super) Source);

impl Desk {
    /// Does the work when its turn comes.
    pub(super) async fn ask(
        &self,
        work: impl FnOnce(&Source) -> Result<Reply, Error> + Send + 'static,
    ) -> Result<Reply, Error> {
        let source = self.0.clone();
        self.0.turns.take(move |_cancel| work(&source)).await
    }

    /// The same for an answer made of spans, whose bytes are set aside until it is sent.
    pub(super) async fn ask_for_spans(
        &self,
        work: impl FnOnce(&Source, &Cancel) -> Result<Reply, Error> + Send + 'static,
    ) -> Result<Reply, Error> {
        let source = self.0.clone();
        let work = move |cancel: &Cancel, share| Ok(work(&source, cancel)?.with_share(share));
        self.0.turns.take_for_spans(work).await
    }

    /// The same for work that looks through the store, which is told when nobody waits for it any more.
    pub(super) async fn search(
        &self,
        work: impl FnOnce(&Source, &Cancel) -> Result<Reply, Error> + Send + 'static,
    ) -> Result<Reply, Error> {
        let source = self.0.clone();
        let work = move |cancel: &Cancel, share| Ok(work(&source, cancel)?.with_share(share));
        self.0.turns.take_for_search(work).await
    }
}
