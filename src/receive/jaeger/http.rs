//! `POST /api/traces`: a batch of thrift.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, Request, Response, StatusCode, header};
use axum::routing::any;

use super::{Collector, LEFT_OUT, Read, export, room};
use crate::ingest::{Ingest, Refused};
use crate::receive::body::{self, Announced, Coding};
use crate::receive::plain::{accepted, plain, refusal, shortened, unsupported_coding, wrong_method};
use crate::receive::{Counts, Received, Transport, header_text, media_type, pages};
use crate::translate::jaeger::thrift;
use crate::translate::thrift::Protocol;

/// What a batch is sent as; both names mean the binary protocol.
const MEDIA_TYPES: [&str; 2] = ["application/x-thrift", "application/vnd.apache.thrift.binary"];

/// How many times its length a batch takes while it is made a request: the shortest tag has fifteen bytes, and takes a
/// [`crate::proto::jaeger::api_v2::KeyValue`] in a vector that grew by doubling. The batch
/// itself and the request are beside that.
const TIMES: usize = 18;

const _: () = assert!((TIMES - 2) * 15 >= room::VALUE_BYTES, "what a tag takes has grown");

/// The route, to be merged with what else is on its port. `allowed_origins` are the pages whose scripts may send spans.
pub fn router(ingest: Arc<Ingest>, counts: Arc<Counts>, allowed_origins: Vec<String>) -> Router {
    let router =
        Router::new().route("/api/traces", any(post)).with_state(Collector::new(ingest, counts, LEFT_OUT));
    pages::admit(router, allowed_origins)
}

async fn post(State(collector): State<Arc<Collector>>, request: Request<Body>) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let response = answer(&collector, &head, &mut body).await;
    if !response.status().is_success() {
        body::discard(&head, body, &collector.door.ingest);
    }
    response
}

/// Whatever the query says of a format: it was never another.
async fn answer(collector: &Collector, head: &Parts, body: &mut Body) -> Response<Body> {
    if head.method != Method::POST {
        return wrong_method("send batches of jaeger.thrift with POST; spans are read at the query API");
    }
    let media_type = media_type(&head.headers);
    if !MEDIA_TYPES.contains(&media_type.as_str()) {
        let sent = shortened(&media_type);
        let text = format!("content type '{sent}' is not {}; {}", MEDIA_TYPES.join(" or "), ELSEWHERE);
        return plain(StatusCode::BAD_REQUEST, text);
    }
    let coding = header_text(&head.headers, &header::CONTENT_ENCODING);
    let Some(coding) = Coding::from_name(coding) else { return unsupported_coding(coding) };
    let announced = Announced::of(head);
    let door = &collector.door;
    let received = async {
        let limit = door.ingest.settings().max_request_bytes;
        let received = body::read(body, announced, limit, door).await?;
        let received = body::inflate(coding, received, &door.ingest).await?;
        room::take(TIMES * received.bytes.len(), received, door).await
    };
    match collector.take(Transport::Http, received, |received| export(received, read)).await {
        Ok(()) => accepted(),
        Err(refused) => refusal(&refused),
    }
}

const ELSEWHERE: &str = "OTLP is taken at the doors of OTLP, Zipkin's spans at that of Zipkin";

fn read(received: &Received) -> Result<Read, Refused> {
    let emitted = thrift::batch(Protocol::Binary, &received.bytes);
    let emitted = emitted.map_err(|error| Refused::Malformed(format!("jaeger.thrift: {error}")))?;
    Ok(Read { batch: emitted.batch, lacking: emitted.left_out })
}
