//! What this storage can do, in Jaeger's words.

use tonic::{Request, Response, Status};

use super::Settings;
use crate::proto::jaeger::storage::v1::plugin_capabilities_server::PluginCapabilities;
use crate::proto::jaeger::storage::v1::{CapabilitiesRequest, CapabilitiesResponse};

/// Answers `PluginCapabilities`.
#[derive(Debug)]
pub(super) struct Offered(pub Settings);

#[tonic::async_trait]
impl PluginCapabilities for Offered {
    async fn capabilities(
        &self,
        _request: Request<CapabilitiesRequest>,
    ) -> Result<Response<CapabilitiesResponse>, Status> {
        Ok(Response::new(CapabilitiesResponse {
            archive_span_reader: true,
            archive_span_writer: true,
            streaming_span_writer: self.0.streaming_writer,
        }))
    }
}
