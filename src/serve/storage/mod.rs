//! The storage that Jaeger stands on, as far as it reads: `jaeger.storage.v1` and `jaeger.storage.v2`.
//!
//! Promise: what came in is given back, in the words of the version that asks. Whole traces of any size, all spans of a
//! trace side by side, the newest trace first; a trace is as of one moment.
//!
//! Limits: a question has at most 256 KiB, inflated, and asks for at most 1 000 attributes. A message has at most 1 000
//! spans and 3.4 MiB, below the 4 MiB that Jaeger's clients take; a larger span is cut, and says so, and a longer list is.
//! A search gives at most 10 000 traces, 100 if no number is asked for, and ends as those of all doors do
//! ([`crate::query::Limits`]). Questions wait for their turn as those of all doors do, but for up to two minutes. 32
//! answers of traces are under way at a time, and eight of them read; one that waits for a slow reader lets others read,
//! and is given up when no message of it is taken for 30 s, when it was waited for 60 s and a second for each message, or
//! after ten minutes.
//!
//! Does not know: how spans come in; writing is a receiver's.
//!
//! Source: jaeger `storage.proto` (v1), jaeger-idl `proto/storage/v2`.

mod capabilities;
mod v1;
mod v2;
mod value;

use std::sync::Arc;

use axum::Router;
use tonic::service::Routes;

use super::answer::Desk;
use super::grpc::{self, Source, packing};
use super::health::{IsServing, Names, with_health};
use crate::proto::jaeger::storage::v1::archive_span_reader_plugin_server::ArchiveSpanReaderPluginServer;
use crate::proto::jaeger::storage::v1::dependencies_reader_plugin_server::DependenciesReaderPluginServer;
use crate::proto::jaeger::storage::v1::plugin_capabilities_server::PluginCapabilitiesServer;
use crate::proto::jaeger::storage::v1::span_reader_plugin_server::SpanReaderPluginServer;
use crate::proto::jaeger::storage::v2::capabilities_server::CapabilitiesServer;
use crate::proto::jaeger::storage::v2::dependency_reader_server::DependencyReaderServer;
use crate::proto::jaeger::storage::v2::trace_reader_server::TraceReaderServer;
use capabilities::Offered;

/// What this door says that it can do beside reading and writing spans one by one, and how it says it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Whether Jaeger is told to write in streams: faster, and what is on its way is lost when one breaks.
    pub streaming_writer: bool,
    /// What version 1 calls the kind of an operation that has none.
    pub missing_kind: String,
}

/// A door of storage, what writes among it.
const NAMES: Names = Names {
    services: &[
        "jaeger.storage.v1.SpanReaderPlugin",
        "jaeger.storage.v1.SpanWriterPlugin",
        "jaeger.storage.v1.StreamingSpanWriterPlugin",
        "jaeger.storage.v1.ArchiveSpanReaderPlugin",
        "jaeger.storage.v1.ArchiveSpanWriterPlugin",
        "jaeger.storage.v1.DependenciesReaderPlugin",
        "jaeger.storage.v1.PluginCapabilities",
        "jaeger.storage.v2.TraceReader",
        "jaeger.storage.v2.DependencyReader",
        "jaeger.storage.v2.Capabilities",
        "opentelemetry.proto.collector.trace.v1.TraceService",
    ],
    // What Jaeger's own server says besides, and what hosts of plugins ask for.
    others: &["jaeger.storage.v2.TraceWriter", "plugin"],
};

/// Every service that reads, health, and reflection. `archive` is whom the archive's services of version 1 ask.
pub fn router(source: Source, archive: Source, settings: Settings, is_serving: IsServing) -> Router {
    let desk = Desk::new(source);
    let missing_kind = Arc::from(settings.missing_kind.as_str());
    let offered = Offered(settings);
    let reader = v1::Reader { desk: desk.clone(), missing_kind };
    let services = Routes::new(packing!(SpanReaderPluginServer::new(reader)))
        .add_service(packing!(ArchiveSpanReaderPluginServer::new(v1::ArchiveReader(Desk::new(archive)))))
        .add_service(packing!(DependenciesReaderPluginServer::new(v1::Dependencies(desk.clone()))))
        .add_service(packing!(PluginCapabilitiesServer::new(offered.clone())))
        .add_service(packing!(TraceReaderServer::new(v2::Reader(desk.clone()))))
        .add_service(packing!(DependencyReaderServer::new(v2::Dependencies(desk))))
        .add_service(packing!(CapabilitiesServer::new(offered)));
    grpc::router(with_health(services, NAMES, is_serving))
}
