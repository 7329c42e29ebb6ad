//! The span record: what is indexed and compared, beside the message it came in.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use super::{SpanId, Timestamp, TraceId};

/// How a span relates to its parent and children (OTLP `Span.SpanKind`; the numbers are stored).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum SpanKind {
    /// Not said.
    #[default]
    Unspecified = 0,
    /// Work inside one service.
    Internal = 1,
    /// The answering side of a call.
    Server = 2,
    /// The asking side of a call.
    Client = 3,
    /// Puts a message somewhere.
    Producer = 4,
    /// Takes a message from somewhere.
    Consumer = 5,
}

impl SpanKind {
    /// From OTLP's number; a number of a later version of OTLP is `Unspecified`.
    pub fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Internal,
            2 => Self::Server,
            3 => Self::Client,
            4 => Self::Producer,
            5 => Self::Consumer,
            _ => Self::Unspecified,
        }
    }

    /// The lower-case word the field uses, empty for `Unspecified`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unspecified => "",
            Self::Internal => "internal",
            Self::Server => "server",
            Self::Client => "client",
            Self::Producer => "producer",
            Self::Consumer => "consumer",
        }
    }

    /// The kind of this name, in lower case.
    pub fn from_name(name: &str) -> Option<Self> {
        (0..=5)
            .map(Self::from_number)
            .find(|kind| kind.name() == name || (name == "unspecified" && kind.name().is_empty()))
    }
}

/// How a span ended (OTLP `Status.StatusCode`; the numbers are stored).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum StatusCode {
    /// Nothing was said.
    #[default]
    Unset = 0,
    /// Said to be well.
    Ok = 1,
    /// Failed.
    Error = 2,
}

impl StatusCode {
    /// From OTLP's number; an unknown number is `Unset`.
    pub fn from_number(number: u64) -> Self {
        match number {
            1 => Self::Ok,
            2 => Self::Error,
            _ => Self::Unset,
        }
    }

    /// The lower-case word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unset => "unset",
            Self::Ok => "ok",
            Self::Error => "error",
        }
    }
}

/// Whose words a span came in; decides how it is read back (the numbers are stored).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[repr(u8)]
pub enum Origin {
    /// OpenTelemetry's own protocol.
    #[default]
    Otlp = 0,
    /// Jaeger's span as protobuf or thrift: its body keeps all that such a span says, as `translate::jaeger` writes it.
    Jaeger = 1,
    /// Zipkin's span, of either version: OTLP that says all of it but a few bits, as `translate::zipkin` writes it.
    Zipkin = 2,
}

impl Origin {
    /// From the stored number.
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Otlp),
            1 => Some(Self::Jaeger),
            2 => Some(Self::Zipkin),
            _ => None,
        }
    }
}

/// What a span ran in: OTLP's `Resource` message verbatim, and what is asked of it most.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    /// The `opentelemetry.proto.resource.v1.Resource` message.
    pub bytes: Bytes,
    /// `ResourceSpans.schema_url`.
    pub schema_url: String,
    /// The attribute `service.name`; empty when it is missing or not a string.
    pub service: String,
}

/// What made a span: OTLP's `InstrumentationScope` message verbatim.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// The `opentelemetry.proto.common.v1.InstrumentationScope` message.
    pub bytes: Bytes,
    /// `ScopeSpans.schema_url`.
    pub schema_url: String,
}

/// A span: the header that is indexed, and its message as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The trace it belongs to; zero only if it came in Jaeger's words, which allow it.
    pub trace_id: TraceId,
    /// Its own id; zero as the trace's, and not always unique (retries, shared ids of old clients).
    pub span_id: SpanId,
    /// The span it was started by.
    pub parent_id: Option<SpanId>,
    /// When it started.
    pub start: Timestamp,
    /// When it ended; may lie before `start` when a client's clock jumped.
    pub end: Timestamp,
    /// Its role in a call.
    pub kind: SpanKind,
    /// How it ended.
    pub status: StatusCode,
    /// Whose words it came in.
    pub origin: Origin,
    /// All 32 bits of OTLP's `Span.flags`.
    pub flags: u32,
    /// With both ids, this span's identity: see [`content_hash`].
    pub content_hash: u64,
    /// What it ran in.
    pub resource: Arc<Resource>,
    /// What made it.
    pub scope: Arc<Scope>,
    /// The `opentelemetry.proto.trace.v1.Span` message, unknown fields included.
    pub body: Bytes,
}

impl Span {
    /// Time from start to end; zero when the end lies before the start.
    pub fn duration(&self) -> Duration {
        self.end.since(self.start)
    }
}

/// Tells a retry of a span from another span with the same id: XXH3-64 over resource, scope and body.
///
/// Each part is preceded by its length (u64, little-endian), so no two different spans feed the same bytes.
/// Stored, hence fixed for ever.
pub fn content_hash(resource: &Resource, scope: &Scope, body: &[u8]) -> u64 {
    ContentHasher::new(resource, scope).hash(body)
}

/// [`content_hash`] of many spans around which resource and scope are the same: those are read once.
#[derive(Clone)]
pub struct ContentHasher(Xxh3);

impl std::fmt::Debug for ContentHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContentHasher").finish_non_exhaustive()
    }
}

impl ContentHasher {
    /// For spans in this resource and scope.
    pub fn new(resource: &Resource, scope: &Scope) -> Self {
        let mut hasher = Self(Xxh3::new());
        let around = [
            &resource.bytes[..],
            resource.schema_url.as_bytes(),
            &scope.bytes[..],
            scope.schema_url.as_bytes(),
        ];
        around.into_iter().for_each(|part| hasher.feed(part));
        hasher
    }

    /// Of the span with this body.
    pub fn hash(&self, body: &[u8]) -> u64 {
        let mut hasher = self.clone();
        hasher.feed(body);
        hasher.0.digest()
    }

    fn feed(&mut self, part: &[u8]) {
        self.0.update(&(part.len() as u64).to_le_bytes());
        self.0.update(part);
    }
}
