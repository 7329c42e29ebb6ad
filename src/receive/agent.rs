//! Jaeger's agent: datagrams of thrift, which nobody answers.

use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::ingest::{DoorCounts, Ingest};
use crate::translate::thrift::Protocol;

/// What became of datagrams, and what did not become of them.
#[derive(Debug, Default)]
pub struct Counts {
    /// Datagrams as requests.
    pub door: DoorCounts,
}

/// Takes datagrams until the program is ending.
pub async fn listen(
    _socket: UdpSocket,
    _protocol: Protocol,
    _ingest: Arc<Ingest>,
    _counts: Arc<Counts>,
    mut ending: watch::Receiver<bool>,
) {
    // Who holds the other end ends the program when it lets go.
    let _ended = ending.wait_for(|ending| *ending).await;
}
