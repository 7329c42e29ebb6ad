//! Zipkin's collector: `POST /api/v1/spans` and `/api/v2/spans`.
//!
//! Promise: 202 means on disk. Spans that cannot be used are left out, counted and logged, for no reporter reads more than
//! the status; only when none is left, or the list cannot be read, the answer is 400 with a text that names the place.
//! What a page could send without asking first is not taken, but for a beacon's text.
//!
//! Limits: those of every door. A list takes three times its length while it is made a request, and more where its request
//! turns out to. Two seconds of waiting for the former: most reporters drop what is refused. A few lists are made requests
//! at a time, for one span may take a hundred times its length while it is.
//!
//! Does not know: that questions are answered at the same port, and at one of the same paths.
//!
//! Source: openzipkin/zipkin-api `zipkin2-api.yaml`; zipkin-server `ZipkinHttpCollector`, for what it takes beyond that.

mod form;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode, header};
use axum::routing::{MethodRouter, post};
use bytes::Bytes;

use super::body::{self, Announced};
use super::collector::{Collector, Export, fitted};
use super::plain::{accepted, plain, refusal, unsupported_coding, wrong_method};
use super::{Counts, Received, Transport, header_text, pages};
use crate::ingest::{Ingest, Refused, Reservation};
use crate::translate::Batched;
use crate::translate::zipkin::{Format, batch};
use form::{Version, as_declared, coding, is_empty};

/// How many times its length a list takes mostly: itself and its request, which is somewhat longer and grows by doubling.
/// What is more is taken as it comes.
const TIMES: usize = 3;

/// Both routes, to be merged with what else is on their port. `allowed_origins` are the pages whose scripts may send spans.
pub fn router(ingest: Arc<Ingest>, counts: Arc<Counts>, allowed_origins: Vec<String>) -> Router {
    let collector = Collector::new(ingest, counts, "spans of Zipkin's reporters were left out");
    let router = Router::new()
        .route("/api/v1/spans", taking(Version::One))
        .route("/api/v2/spans", taking(Version::Two))
        .with_state(collector);
    pages::admit(router, allowed_origins)
}

/// Takes what is posted. Other methods may be others' business at the same path; what is nobody's ends here, so that a
/// page that asks whether it may post is answered by who takes that.
fn taking(version: Version) -> MethodRouter<Arc<Collector>> {
    let only_post = || std::future::ready(wrong_method("send spans with POST"));
    post(move |state, request| take(version, state, request)).fallback(only_post)
}

async fn take(
    version: Version,
    State(collector): State<Arc<Collector>>,
    request: Request<Body>,
) -> Response<Body> {
    let (head, mut body) = request.into_parts();
    let response = answer(version, &collector, &head, &mut body).await;
    if !response.status().is_success() {
        body::discard(&head, body, &collector.door.ingest);
    }
    response
}

async fn answer(version: Version, collector: &Collector, head: &Parts, body: &mut Body) -> Response<Body> {
    let declared = match version.declared(&head.headers) {
        Ok(declared) => declared,
        Err(why) => return plain(StatusCode::UNSUPPORTED_MEDIA_TYPE, why),
    };
    let named = header_text(&head.headers, &header::CONTENT_ENCODING);
    let Some(coding) = coding(named) else { return unsupported_coding(named) };
    let announced = Announced::of(head);
    let door = &collector.door;
    let received = async {
        let limit = door.ingest.settings().max_request_bytes;
        let received = body::read(body, announced, limit, door).await?;
        let mut received = body::inflate(coding, received, &door.ingest).await?;
        let needed = TIMES * received.bytes.len();
        door.patiently(|| received.reservation.grow(needed)).await?;
        Ok(received)
    };
    let in_flight = door.ingest.settings().in_flight_bytes;
    let export = move |received| export(declared, in_flight, received);
    match collector.take(Transport::Http, received, export).await {
        Ok(()) => accepted(),
        Err(refused) => refusal(&refused),
    }
}

/// An export request with the spans that can be kept.
fn export(declared: Format, in_flight: usize, received: Received) -> Result<Export, Refused> {
    let Received { bytes, mut reservation } = received;
    if is_empty(&bytes) {
        let request = Received { bytes: Bytes::new(), reservation };
        return Ok(Export { request, left_out: 0, first: String::new() });
    }
    as_declared(declared, &bytes).map_err(Refused::Malformed)?;
    let mut refused = None;
    let batched = batch(declared, &bytes, &mut |more| {
        refused = room(&mut reservation, bytes.len() + more, in_flight).err();
        refused.is_none()
    });
    let batched =
        batched.map_err(|error| refused.unwrap_or_else(|| Refused::Malformed(error.to_string())))?;
    drop(bytes);
    let Batched { request, spans, left_out, first } = batched;
    let first = first.map(|error| error.to_string()).unwrap_or_default();
    if spans == 0 && left_out > 0 {
        return Err(Refused::Malformed(format!("none of {left_out} spans can be kept: {first}")));
    }
    Ok(Export { request: fitted(request, reservation)?, left_out, first })
}

/// Takes room for so many bytes in all. To wait for more than there ever is would not help.
fn room(reservation: &mut Reservation, needed: usize, in_flight: usize) -> Result<(), Refused> {
    if needed <= in_flight {
        return reservation.grow(needed);
    }
    let (bytes, limit) = (needed as u64, in_flight as u64);
    Err(Refused::TooLarge { what: "a list in memory", bytes, limit, key: "receive.in_flight_bytes" })
}
