//! The doors of other collectors: what they receive is made an export request span by span, without those that cannot be
//! kept. No sender there reads how many those were, so they are counted and logged.

use std::sync::Arc;

use tokio::sync::{Mutex, Semaphore};

use super::hand_over::{Door, LeftOut, Sent, Terms, Translated};
use super::seldom::Seldom;
use super::{Counts, Received, Transport};
use crate::ingest::{Ingest, Refused, Reservation, Signal};

/// Requests that are translated at a time: one of a few kB may take a hundred times its length for that while.
const TRANSLATING: usize = 4;

/// Where spans in other words than OTLP's are handed over.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) door: Arc<Door>,
    warning: Arc<Seldom>,
    translating: Arc<Semaphore>,
}

/// An export request, and how many spans are not in it, the first of them for this reason.
#[derive(Debug)]
pub(super) struct Export {
    pub(super) request: Received,
    pub(super) left_out: u32,
    pub(super) first: String,
}

impl Collector {
    /// `trouble` is what is logged of spans that are left out, in the plural.
    pub(super) fn new(ingest: Arc<Ingest>, counts: Arc<Counts>, trouble: &'static str) -> Arc<Self> {
        let door = Arc::new(Door { ingest, counts, terms: Terms::COLLECTOR, line: Mutex::default() });
        let translating = Arc::new(Semaphore::new(TRANSLATING));
        Arc::new(Self { door, warning: Arc::new(Seldom::new(trouble)), translating })
    }

    /// Comes back when the spans are on disk. `translate` makes an export request of what was received.
    pub(super) async fn take(
        &self,
        transport: Transport,
        received: impl Future<Output = Result<Received, Refused>>,
        translate: impl FnOnce(Received) -> Result<Export, Refused> + Send + 'static,
    ) -> Result<(), Refused> {
        let received = received.await;
        let permit = Arc::clone(&self.translating).acquire_owned().await;
        let warning = Arc::clone(&self.warning);
        let translate = move |received| {
            let _until_translated = permit;
            let Export { request, left_out, first } = translate(received)?;
            let left_out = LeftOut { spans: left_out, first, warning };
            Ok(Translated { request, left_out: Some(left_out) })
        };
        let sent = Sent { transport, signal: Signal::Traces, is_request: false };
        self.door.take(sent, std::future::ready(received), translate).await.map(drop)
    }
}

/// A request that was made of what this reservation was for; it pins no more than it says.
pub(super) fn fitted(request: Vec<u8>, mut reservation: Reservation) -> Result<Received, Refused> {
    let request = request.into_boxed_slice();
    reservation.shrink(request.len());
    reservation.grow(request.len())?;
    Ok(Received { bytes: request.into(), reservation })
}
