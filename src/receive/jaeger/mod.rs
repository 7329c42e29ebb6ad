//! Jaeger's collector, as far as it takes spans: batches of protobuf over gRPC (14250), of thrift over HTTP (14268).
//!
//! Promise: OK, and 202, mean on disk. A span that cannot be kept is left out, counted and logged, since its sender would
//! not read of it; a batch of which nothing can be kept is refused with the first reason.
//!
//! Limits: those of every door. A batch takes more room while it is read than on the wire: of thrift sixteen times its
//! length, of protobuf what its values take. Two seconds of waiting for that room.
//!
//! Source: jaeger-idl `proto/api_v2/collector.proto`, `thrift/jaeger.thrift`.

mod grpc;
mod http;
pub(super) mod room;

use std::sync::{Arc, OnceLock};

use tokio::sync::Mutex;

use super::hand_over::{Door, Sent, Terms};
use super::seldom::Seldom;
use super::{Counts, Received, Transport};
use crate::ingest::{Ingest, Refused, Signal};
use crate::proto::jaeger::api_v2::Batch;
use crate::translate::jaeger;

pub use grpc::router as grpc;
pub use http::router as http;

/// Where batches are handed over.
#[derive(Debug)]
struct Collector {
    door: Arc<Door>,
    left_out: Seldom,
}

/// A batch as it was read.
#[derive(Debug)]
struct Read {
    batch: Batch,
    /// Spans that are not in it, because they lack what a span must have.
    lacking: u32,
}

/// Spans that were left out before their request was made.
#[derive(Debug)]
struct LeftOut {
    spans: u32,
    first: String,
}

impl Collector {
    fn new(ingest: Arc<Ingest>, counts: Arc<Counts>) -> Arc<Self> {
        let door = Arc::new(Door { ingest, counts, terms: Terms::COLLECTOR, line: Mutex::default() });
        Arc::new(Self { door, left_out: Seldom::new("spans of Jaeger's clients were left out") })
    }

    /// Comes back when the spans of the batch are on disk. `read` makes a batch of what was received.
    async fn take(
        &self,
        transport: Transport,
        received: impl Future<Output = Result<Received, Refused>>,
        read: impl FnOnce(&Received) -> Result<Read, Refused> + Send + 'static,
    ) -> Result<(), Refused> {
        let left_out = Arc::new(OnceLock::new());
        let noted = Arc::clone(&left_out);
        let convert = move |received: Received| {
            let read = read(&received)?;
            to_request(received, &read, |left_out| drop(noted.set(left_out)))
        };
        let sent = Sent { transport, signal: Signal::Traces };
        let accepted = self.door.take(sent, received, convert).await?;
        if let Some(LeftOut { spans, first }) = left_out.get() {
            self.door.counts.of(transport).rejected_spans.add(u64::from(*spans));
            self.report(*spans, first);
        }
        if let Some(first) = accepted.message.filter(|_| accepted.rejected > 0) {
            self.report(accepted.rejected, &first);
        }
        Ok(())
    }

    fn report(&self, spans: u32, first: &str) {
        tracing::debug!(spans, first, "spans of a batch were left out");
        self.left_out.happened(spans.into(), &first);
    }
}

/// An export request with the spans that can be kept; `note` is told of the others.
fn to_request(received: Received, read: &Read, note: impl FnOnce(LeftOut)) -> Result<Received, Refused> {
    let Received { bytes, mut reservation } = received;
    let batched = jaeger::batch(&read.batch);
    let spans = batched.left_out + read.lacking;
    if spans > 0 {
        let lacking = || "a span without the fields that it must have".to_owned();
        let first = batched.first.map_or_else(lacking, |error| error.to_string());
        if batched.spans == 0 {
            return Err(Refused::Malformed(format!("none of {spans} spans can be kept: {first}")));
        }
        note(LeftOut { spans, first });
    }
    drop(bytes);
    let request = batched.request.into_boxed_slice();
    reservation.shrink(request.len());
    reservation.grow(request.len())?;
    Ok(Received { bytes: request.into(), reservation })
}
