//! Zipkin's spans, versions 1 and 2, as JSON, protobuf and thrift: how they are kept, and how any span is said in their
//! words.
//!
//! Promise: what [`request`] keeps, [`span`] gives back. What came by another protocol is said by OpenTelemetry's rules.
//!
//! Limits: an id has the length it must have and is not zero; everything else is judged by [`crate::otlp::scan`] as any
//! span is.
//!
//! Source: zipkin-api `zipkin2-api.yaml`, `zipkin.proto`, `thrift/zipkinCore.thrift`; opentelemetry.io, "OpenTelemetry to
//! Zipkin".

pub mod json;
pub mod protobuf;
pub mod thrift;
pub mod v1;

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use crate::model::{self, SpanId, TraceId};

/// A span of version 2.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Span {
    /// Never zero.
    pub trace_id: TraceId,
    /// Never zero; the two halves of a shared span have the same.
    pub id: SpanId,
    /// The span it was started by.
    pub parent_id: Option<SpanId>,
    /// `None` is a span within its service.
    pub kind: Option<Kind>,
    /// Empty when it has none.
    pub name: Bytes,
    /// Start, in µs since 1970.
    pub timestamp: Option<u64>,
    /// In µs.
    pub duration: Option<u64>,
    /// Who recorded it.
    pub local_endpoint: Option<Endpoint>,
    /// Who was on the other side.
    pub remote_endpoint: Option<Endpoint>,
    /// In the order they were sent in.
    pub annotations: Vec<Annotation>,
    /// In the order they were sent in, duplicates included.
    pub tags: Vec<(Bytes, Bytes)>,
    /// Recorded whatever a sampler says.
    pub debug: bool,
    /// The other half of this id is another span, of who asked.
    pub shared: bool,
}

/// A side of a call or of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Who asks.
    Client,
    /// Who answers.
    Server,
    /// Who puts a message somewhere.
    Producer,
    /// Who takes it from there.
    Consumer,
}

/// Somebody in a network.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Endpoint {
    /// Empty when it is not known.
    pub service_name: Bytes,
    /// Its address.
    pub ipv4: Option<Ipv4Addr>,
    /// Its other address.
    pub ipv6: Option<Ipv6Addr>,
    /// `None` is not known.
    pub port: Option<u16>,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Annotation {
    /// In µs since 1970.
    pub timestamp: u64,
    /// What.
    pub value: Bytes,
}

/// What a list was read as.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Read {
    /// The spans that can be kept.
    pub spans: Vec<Span>,
    /// How many cannot.
    pub left_out: u32,
    /// Why the first of those cannot.
    pub first: Option<Error>,
}

/// Why a list, or a span of it, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// An `ExportTraceServiceRequest` that keeps these spans; spans of equal local endpoints share a resource.
pub fn request(_spans: &[Span]) -> Vec<u8> {
    Vec::new()
}

/// A span in Zipkin's words: as it was sent if it was sent in these, else by OpenTelemetry's rules.
pub fn span(span: &model::Span) -> Span {
    Span { trace_id: span.trace_id, id: span.span_id, ..Span::default() }
}
