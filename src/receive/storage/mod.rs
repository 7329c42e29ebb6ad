//! The storage that Jaeger stands on, as far as it writes: one by one and in streams (`jaeger.storage.v1`), and in
//! OTLP's requests (`jaeger.storage.v2`).
//!
//! Promise: OK means on disk. Spans are kept whatever they say; only what cannot be read, or is above a limit, is refused.
//! A Jaeger drops what is refused and reads no answer, so it is made to wait while there is no room, and a request one of
//! whose spans cannot be kept fails as a whole. Only a stream keeps the others, and says how many.
//!
//! Limits: those of every door, where a reference is two values and a process is a resource; ten seconds of waiting; see
//! [`stream`] for streams.
//!
//! Does not know: which of the stores is behind it.
//!
//! Source: jaeger `storage.proto` (v1); who writes by OTLP is jaeger-idl `proto/storage/v2`.

mod span;
mod stream;
mod under_way;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use axum::routing::any;
use tokio::sync::{Mutex, watch};

use super::grpc::{coding_of_call, message, refusal, success, unimplemented};
use super::hand_over::{Door, Sent, Terms};
use super::{Counts, Transport, otlp};
use crate::ingest::{Ingest, RETRY_AFTER, Refused, Signal};
use under_way::UnderWay;

const WRITE_SPAN: &str = "/jaeger.storage.v1.SpanWriterPlugin/WriteSpan";
const CLOSE: &str = "/jaeger.storage.v1.SpanWriterPlugin/Close";
const WRITE_SPAN_STREAM: &str = "/jaeger.storage.v1.StreamingSpanWriterPlugin/WriteSpanStream";
const WRITE_ARCHIVE_SPAN: &str = "/jaeger.storage.v1.ArchiveSpanWriterPlugin/WriteArchiveSpan";

/// All that comes by these methods.
const SPANS: Sent = Sent { transport: Transport::Grpc, signal: Signal::Traces, is_request: true };

/// What was written before it closes is waited for this long.
const CLOSE_WITHIN: Duration = Duration::from_secs(15);

/// Whom a writer's methods write to.
#[derive(Debug)]
struct Writer {
    door: Arc<Door>,
    writes: UnderWay,
    /// Whether the program is ending: streams end then.
    ending: watch::Receiver<bool>,
}

/// Every service that writes: spans go to `spans`, and what a Jaeger before 1.66 archives to `archive`.
pub fn router(
    spans: Arc<Ingest>,
    archive: Arc<Ingest>,
    counts: Arc<Counts>,
    ending: watch::Receiver<bool>,
) -> Router {
    let writer = |ingest| {
        let door = Arc::new(Door {
            ingest,
            counts: Arc::clone(&counts),
            terms: Terms::STORAGE,
            line: Mutex::default(),
        });
        Arc::new(Writer { door, writes: UnderWay::default(), ending: ending.clone() })
    };
    let (spans, archive) = (writer(spans), writer(archive));
    let into_archive = Router::new().route(WRITE_ARCHIVE_SPAN, any(write_span)).with_state(archive);
    let by_otlp = otlp::writer(Arc::clone(&spans.door));
    Router::new()
        .route(WRITE_SPAN, any(write_span))
        .route(CLOSE, any(close))
        .route(WRITE_SPAN_STREAM, any(write_span_stream))
        .with_state(spans)
        .merge(into_archive)
        .merge(by_otlp)
}

async fn write_span(State(writer): State<Arc<Writer>>, request: Request<Body>) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let coding = match coding_of_call(&head.headers, "spans are written by gRPC") {
        Ok(coding) => coding,
        Err(why) => return unimplemented(why),
    };
    let mut writing = None;
    let received = async {
        let received = message(&mut body, coding, &writer.door).await?;
        // What is still on its way was not written before whoever closes meanwhile.
        writing = Some(writer.writes.begin());
        span::with_room_to_read(received, &writer.door).await
    };
    let outcome = writer.door.take(SPANS, received, span::to_request).await;
    drop(writing);
    match outcome {
        Ok(_accepted) => success(&[]),
        Err(refused) => refusal(&refused),
    }
}

/// Every write has its own answer; this one comes when all writes before it have theirs. Others go on.
async fn close(State(writer): State<Arc<Writer>>) -> Response<Body> {
    match tokio::time::timeout(CLOSE_WITHIN, writer.writes.until_now()).await {
        Ok(()) => success(&[]),
        Err(_elapsed) => {
            let why = "some spans are not on disk yet".to_owned();
            refusal(&Refused::Later { why, retry_after: RETRY_AFTER })
        }
    }
}

async fn write_span_stream(State(writer): State<Arc<Writer>>, request: Request<Body>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let coding = match coding_of_call(&head.headers, "spans are written by gRPC") {
        Ok(coding) => coding,
        Err(why) => return unimplemented(why),
    };
    // A client that goes away takes its call along, but not what had come of it.
    match tokio::spawn(stream::write_all(writer, body, coding)).await {
        Ok(Ok(())) => success(&[]),
        Ok(Err(status)) => status.into_http(),
        Err(_panicked) => refusal(&Refused::Defect),
    }
}
