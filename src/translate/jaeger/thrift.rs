//! Jaeger's spans as thrift (`jaeger.thrift`), as the words of its protobuf.

use bytes::Bytes;

use crate::proto::jaeger::api_v2::Batch;
use crate::translate::thrift::{Error, Protocol};

/// A batch, and what its client says of itself.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Emitted {
    /// The spans that could be read, and the process of all of them.
    pub batch: Batch,
    /// Spans that lack what a span must have.
    pub left_out: u32,
    /// `seqNo`: the number of this batch among those of its client.
    pub sequence: Option<i64>,
    /// What the client lost before it could send it, since it began.
    pub losses: Option<ClientLosses>,
}

/// `ClientStats`: spans that never left their client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientLosses {
    /// Its queue was full.
    pub full_queue: i64,
    /// They would not have fitted into a datagram.
    pub too_large: i64,
    /// They could not be sent.
    pub failed: i64,
}

/// A `Batch` alone, as it is sent over HTTP.
pub fn batch(_protocol: Protocol, _body: &Bytes) -> Result<Emitted, Error> {
    Err(Error { what: "no batch".to_owned(), offset: 0 })
}
