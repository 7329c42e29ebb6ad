//! The archive: written at its own door and by the methods of old, read at both, and apart from everything else.

use tracelodge::proto::jaeger::storage::v1::archive_span_writer_plugin_client::ArchiveSpanWriterPluginClient;

use crate::harness::{Client, Server};
use crate::writing::{connect, span, spans_once, trace_id, write, writer};

#[tokio::test]
async fn what_is_archived_is_not_shown_among_the_others() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let mut old = ArchiveSpanWriterPluginClient::new(connect(&server.storage).await);
    old.write_archive_span(write(span(1, 1))).await.unwrap();
    writer(&server.archive).await.write_span(write(span(2, 1))).await.unwrap();
    writer(&server.storage).await.write_span(write(span(3, 1))).await.unwrap();
    spans_once(&server, 3, 1).await;
    for trace in [1, 2] {
        let url = server.query(&format!("/api/traces/{}", trace_id(trace).1));
        assert_eq!(Client::new().get(url).await.status, 404);
    }
}
