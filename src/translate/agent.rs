//! What Jaeger's clients send to an agent: one message in a datagram, of one of two methods.

use bytes::Bytes;

use super::jaeger::thrift::Emitted;
use super::thrift::{Error, Protocol};
use super::zipkin;

/// A datagram, read.
#[derive(Debug, Clone, PartialEq)]
pub enum Message {
    /// `emitBatch`.
    Jaeger(Emitted),
    /// `emitZipkinBatch`.
    Zipkin(zipkin::Read),
}

/// Reads a whole message: its name, type and number, and its arguments. Of the type only that it calls is asked.
pub fn message(_protocol: Protocol, _datagram: &Bytes) -> Result<Message, Error> {
    Err(Error { what: "no message".to_owned(), offset: 0 })
}
