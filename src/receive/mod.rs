//! The doors spans come in by.
//!
//! Promise: every request is answered in its sender's own protocol and encoding, success only once its spans
//! are on disk. A refusal names what was wrong, where, and the limit or setting that decided, and says by its
//! code whether sending again can help.
//!
//! Limits: bytes of a request before and after inflating, bytes in flight over all doors, time to send a body.
//!
//! Does not know: sockets (it returns routers; `app` binds), the store, questions.

pub mod agent;
mod answer;
mod body;
mod collector;
mod grpc;
mod hand_over;
pub mod jaeger;
pub mod otlp;
mod pages;
mod plain;
pub(crate) mod seldom;
pub mod storage;
mod unpack;
pub mod zipkin;

use axum::http::{HeaderMap, HeaderName, header};
use bytes::Bytes;

use crate::ingest::{DoorCounts, Reservation};

/// What was counted by transport.
#[derive(Debug, Default)]
pub struct Counts {
    /// Over gRPC.
    pub grpc: DoorCounts,
    /// Over HTTP.
    pub http: DoorCounts,
}

impl Counts {
    fn of(&self, transport: Transport) -> &DoorCounts {
        match transport {
            Transport::Grpc => &self.grpc,
            Transport::Http => &self.http,
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Transport {
    Grpc,
    Http,
}

/// A body that was read, and the room it takes.
#[derive(Debug)]
struct Received {
    bytes: Bytes,
    reservation: Reservation,
}

/// A header as text; one that is not text is as good as absent.
fn header_text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// The media type without its parameters, in lower case.
fn media_type(headers: &HeaderMap) -> String {
    let text = header_text(headers, &header::CONTENT_TYPE);
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}
