//! Port 16685: Jaeger's queries over gRPC, `jaeger.api_v2.QueryService` and `jaeger.api_v3.QueryService`.
//!
//! Promise: what is asked here is answered as it is over HTTP: version 2 in Jaeger's words, adjusted unless it is asked for
//! raw; version 3 in OTLP's, as it came in. Traces have any size, and all spans of one come one after the other.
//!
//! Limits: as of [`super::storage`]'s answers. A trace of more than 24 MiB is not adjusted, nor is one
//! that takes more than 32 MiB together with what is made of it: some 20 000 spans of ten tags. Those that are take
//! 64 MiB together and another half a MiB each, until their last message is taken.
//!
//! Does not know: HTTP, where the questions come from.
//!
//! Source: jaeger-idl `proto/api_v2/query.proto`, `proto/api_v3/query_service.proto`; Jaeger's `jaegerquery` extension.

mod held;
mod v2;
mod v3;

use axum::Router;
use prost::Message;
use tonic::Status;
use tonic::service::Routes;

use super::answer::Desk;
use super::grpc::{self, Error, Source, packing};
use super::health::{IsServing, Names, with_health};
use crate::model::SpanKind;
use crate::proto::jaeger::api_v2::query_service_server::QueryServiceServer as V2Server;
use crate::proto::jaeger::api_v3::query_service_server::QueryServiceServer as V3Server;

/// This door.
const NAMES: Names =
    Names { services: &["jaeger.api_v2.QueryService", "jaeger.api_v3.QueryService"], others: &[] };

/// Both services, health, and reflection.
pub fn router(source: Source, is_serving: IsServing) -> Router {
    let v3 = v3::Answers(Desk::new(source.clone()));
    let services = Routes::new(packing!(V2Server::new(v2::Answers::of(source))))
        .add_service(packing!(V3Server::new(v3)));
    grpc::router(with_health(services, NAMES, is_serving))
}

/// What an item of a list takes in its message.
fn bytes_of(item: &impl Message) -> usize {
    /// A field's tag and the length of what is in it, at most.
    const FRAME_BYTES: usize = 1 + 5;
    FRAME_BYTES + item.encoded_len()
}

/// What is asked for.
fn required<T>(query: Option<T>) -> Result<T, Error> {
    query.ok_or_else(|| Error::Contradiction("query is required".into()))
}

fn not_found() -> Status {
    Status::not_found("trace not found")
}

/// The kind that is asked for; empty is any.
fn span_kind(name: &str) -> Result<Option<SpanKind>, Error> {
    if name.is_empty() {
        return Ok(None);
    }
    let kind = SpanKind::from_name(&name.to_ascii_lowercase());
    kind.map(Some).ok_or_else(|| {
        let name: String = name.chars().take(64).collect();
        let kinds = "unspecified, internal, server, client, producer, consumer";
        Error::Contradiction(format!("span_kind: '{name}' is not one of {kinds}"))
    })
}
