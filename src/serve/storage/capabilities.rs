//! What this storage can do, in Jaeger's words.

use tonic::{Request, Response, Status};

use super::Settings;
use crate::proto::jaeger::storage::v1::plugin_capabilities_server::PluginCapabilities;
use crate::proto::jaeger::storage::v1::{CapabilitiesRequest, CapabilitiesResponse};
use crate::proto::jaeger::storage::v2::capabilities_server::Capabilities;
use crate::proto::jaeger::storage::v2::{
    FilterCapabilities, GetCapabilitiesRequest, GetCapabilitiesResponse, SearchCapabilities,
};
use crate::serve::expression;

/// Answers `PluginCapabilities`, and `Capabilities` of version 2.
#[derive(Debug, Clone)]
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

#[tonic::async_trait]
impl Capabilities for Offered {
    async fn get_capabilities(
        &self,
        _request: Request<GetCapabilitiesRequest>,
    ) -> Result<Response<GetCapabilitiesResponse>, Status> {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let filter = FilterCapabilities {
            levels: words(&expression::LEVELS),
            operators: words(&expression::OPERATORS),
        };
        let search = SearchCapabilities {
            without_service_name: true,
            same_span_conjunction: true,
            filter: Some(filter),
        };
        Ok(Response::new(GetCapabilitiesResponse { search: Some(search) }))
    }
}
