//! What the storage says that it can do.

use tonic::transport::Endpoint;
use tracelodge::proto::jaeger::storage::v1::plugin_capabilities_client::PluginCapabilitiesClient;
use tracelodge::proto::jaeger::storage::v1::{CapabilitiesRequest, CapabilitiesResponse};

use crate::harness::Server;

async fn offered(settings: &[&str]) -> CapabilitiesResponse {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with(folder.path(), settings);
    let door = Endpoint::from_shared(format!("http://{}", server.storage)).unwrap().connect().await.unwrap();
    let answer = PluginCapabilitiesClient::new(door).capabilities(CapabilitiesRequest {}).await;
    answer.unwrap().into_inner()
}

#[tokio::test]
async fn archives_are_offered_and_streams_only_if_they_are_wanted() {
    let offer = CapabilitiesResponse {
        archive_span_reader: true,
        archive_span_writer: true,
        streaming_span_writer: false,
    };
    assert_eq!(offered(&[]).await, offer);
    let offer = CapabilitiesResponse { streaming_span_writer: true, ..offer };
    assert_eq!(offered(&["storage.streaming_writer=true"]).await, offer);
}
