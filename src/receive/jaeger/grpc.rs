//! `jaeger.api_v2.CollectorService/PostSpans`.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use axum::routing::any;
use prost::Message as _;

use super::{Collector, LEFT_OUT, Read, export, room};
use crate::ingest::{Ingest, Refused};
use crate::proto::jaeger::api_v2::PostSpansRequest;
use crate::receive::grpc::{coding_of_call, message, refusal, success, unimplemented};
use crate::receive::{Counts, Received, Transport};

const POST_SPANS: &str = "/jaeger.api_v2.CollectorService/PostSpans";

/// The method, to be merged with what else is on its port.
pub fn router(ingest: Arc<Ingest>, counts: Arc<Counts>) -> Router {
    Router::new().route(POST_SPANS, any(post_spans)).with_state(Collector::new(ingest, counts, LEFT_OUT))
}

async fn post_spans(State(collector): State<Arc<Collector>>, request: Request<Body>) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let coding = match coding_of_call(&head.headers, "spans are posted by gRPC") {
        Ok(coding) => coding,
        Err(why) => return unimplemented(why),
    };
    let door = &collector.door;
    let received = async {
        let received = message(&mut body, coding, door).await?;
        let needed = room::of_posted(&received.bytes, door.ingest.settings())?;
        room::take(needed, received, door).await
    };
    match collector.take(Transport::Grpc, received, |received| export(received, read)).await {
        Ok(()) => success(&[]),
        Err(refused) => refusal(&refused),
    }
}

fn read(received: &Received) -> Result<Read, Refused> {
    let posted = PostSpansRequest::decode(received.bytes.clone());
    let posted = posted.map_err(|error| Refused::Malformed(format!("PostSpansRequest: {error}")))?;
    Ok(Read { batch: posted.batch.unwrap_or_default(), lacking: 0 })
}
