//! Jaeger's collector, as far as it takes spans: batches of protobuf over gRPC (14250), of thrift over HTTP (14268).
//!
//! Promise: OK, and 202, mean on disk. A span that cannot be kept is left out, counted and logged, since its sender would
//! not read of it; a batch of which nothing can be kept is refused with the first reason.
//!
//! Limits: those of every door. A batch takes more room while it is read than on the wire: of thrift eighteen times its
//! length, of protobuf what its values take. Two seconds of waiting for that room.
//!
//! Source: jaeger-idl `proto/api_v2/collector.proto`, `thrift/jaeger.thrift`.

mod grpc;
mod http;
pub(super) mod room;

use super::Received;
use super::collector::{Collector, Export, fitted};
use crate::ingest::Refused;
use crate::proto::jaeger::api_v2::Batch;
use crate::translate::jaeger;

pub use grpc::router as grpc;
pub use http::router as http;

/// What is logged.
const LEFT_OUT: &str = "spans of Jaeger's clients were left out";

/// A batch as it was read.
#[derive(Debug)]
struct Read {
    batch: Batch,
    /// Spans that are not in it, because they lack what a span must have.
    lacking: u32,
}

/// An export request with the spans of a batch that can be kept. `read` makes a batch of what was received.
fn export(
    received: Received,
    read: impl FnOnce(&Received) -> Result<Read, Refused>,
) -> Result<Export, Refused> {
    let Read { batch, lacking } = read(&received)?;
    let batched = jaeger::batch(&batch);
    // Its texts are slices of what was received: until both are gone, neither gives room back.
    drop(batch);
    let Received { bytes, reservation } = received;
    drop(bytes);
    let left_out = batched.left_out + lacking;
    let lacking = || "a span without the fields that it must have".to_owned();
    let first = batched.first.map_or_else(lacking, |error| error.to_string());
    if batched.spans == 0 && left_out > 0 {
        return Err(Refused::Malformed(format!("none of {left_out} spans can be kept: {first}")));
    }
    Ok(Export { request: fitted(batched.request, reservation)?, left_out, first })
}
