//! Zipkin's spans, versions 1 and 2, as JSON, protobuf and thrift: how they are kept, and how any span is said in their
//! words.
//!
//! Promise: what [`request`] keeps, [`span`] gives back: every tag and annotation, in order and as often as it was sent,
//! both endpoints, text that is not UTF-8, what was not said. What came by another protocol is said by OpenTelemetry's
//! rules. Names are kept as they are written, though Zipkin makes them lower case.
//!
//! Limits: an id has the length it must have and is not zero; a time in µs and a time with its duration are at most what
//! 64 bits hold in ns (the year 2554), later ones become that; an endpoint that says nothing is none; everything else is
//! judged by [`crate::otlp::scan`] as any span is.
//!
//! `docs/formats.md`, "Zipkin's spans", draws how they are kept.
//!
//! Source: zipkin-api `zipkin2-api.yaml`, `zipkin.proto`, `thrift/zipkinCore.thrift`; opentelemetry.io, "OpenTelemetry to
//! Zipkin".

mod format;
pub mod json;
mod keep;
mod kept;
mod meaning;
mod protobuf;
mod said;
#[cfg(test)]
pub(super) mod tests;
pub mod thrift;
pub mod v1;

use std::net::{Ipv4Addr, Ipv6Addr};

use bytes::Bytes;

use crate::model::{self, Origin, SpanId, SpanKind, TraceId};

#[doc(hidden)]
pub use format::read;
pub use format::{Format, batch, sniff};
pub(super) use kept::span as kept;
pub(super) use meaning::Meaning;
pub use said::peer_keys;

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

impl Kind {
    /// As JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Client => "CLIENT",
            Self::Server => "SERVER",
            Self::Producer => "PRODUCER",
            Self::Consumer => "CONSUMER",
        }
    }

    /// Of OTLP's kinds, the one that is a side of a call or a message.
    fn of(kind: SpanKind) -> Option<Self> {
        match kind {
            SpanKind::Client => Some(Self::Client),
            SpanKind::Server => Some(Self::Server),
            SpanKind::Producer => Some(Self::Producer),
            SpanKind::Consumer => Some(Self::Consumer),
            SpanKind::Unspecified | SpanKind::Internal => None,
        }
    }

    /// In OTLP's words.
    fn to_otlp(self) -> SpanKind {
        match self {
            Self::Client => SpanKind::Client,
            Self::Server => SpanKind::Server,
            Self::Producer => SpanKind::Producer,
            Self::Consumer => SpanKind::Consumer,
        }
    }

    /// The kind of this word, in letters of either case.
    fn from_word(word: &[u8]) -> Option<Self> {
        let kinds = [Self::Client, Self::Server, Self::Producer, Self::Consumer];
        kinds.into_iter().find(|kind| word.eq_ignore_ascii_case(kind.word().as_bytes()))
    }
}

impl Endpoint {
    /// `None` if it says nothing.
    fn unless_silent(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
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

/// Where a list's spans go one after the other, and why some do not.
type Sink<'s> = &'s mut dyn FnMut(Result<Span, Error>);

impl Read {
    fn of(each: impl FnOnce(Sink<'_>) -> Result<(), Error>) -> Result<Self, Error> {
        let mut read = Self::default();
        each(&mut |span| read.take(span))?;
        Ok(read)
    }

    fn take(&mut self, span: Result<Span, Error>) {
        match span {
            Ok(span) => self.spans.push(span),
            Err(error) => {
                self.left_out += 1;
                self.first.get_or_insert(error);
            }
        }
    }
}

/// Why a list, or a span of it, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

impl Error {
    /// Of the span at this place of its list, counted from 0.
    fn of_span(self, place: usize) -> Self {
        Self(format!("span {place}: {}", self.0))
    }
}

/// An `ExportTraceServiceRequest` that keeps these spans; of a megabyte of them those of equal local endpoints share a
/// resource. A span whose endpoint is longer than a resource may be is left out.
pub fn request(spans: &[Span]) -> Vec<u8> {
    let mut unlimited = |_bytes| true;
    let mut batch = keep::Batch::new(&mut unlimited);
    spans.iter().for_each(|span| batch.add(span));
    batch.finish().request
}

/// A span in Zipkin's words: as it was sent if it was sent in these, else by OpenTelemetry's rules.
pub fn span(span: &model::Span) -> Span {
    match span.origin {
        Origin::Zipkin => kept::span(span),
        Origin::Otlp | Origin::Jaeger => said::span(span),
    }
}

/// Of each attribute of a span that was kept for Zipkin, whether one of its fields says the same.
pub(super) fn repeated(span: &model::Span) -> impl Iterator<Item = bool> {
    let sent = kept::span(span);
    let meaning = Meaning::of(&sent.tags);
    let repeated: Vec<_> = sent.tags.iter().map(|(key, text)| meaning.says(span.kind, key, text)).collect();
    // The attributes behind the tags are the other side's.
    repeated.into_iter().chain(std::iter::repeat(false))
}

/// Of the trace, of the span, of the span it was started by.
type CheckedIds = (TraceId, SpanId, Option<SpanId>);

/// The ids of a span that can be kept: its own are not zero; a parent that is zero or the span itself is none.
fn checked_ids(trace_id: TraceId, id: SpanId, parent_id: Option<SpanId>) -> Result<CheckedIds, Error> {
    if trace_id.is_zero() || id.is_zero() {
        return Err(Error(format!("an id of zeros: trace {trace_id}, span {id}")));
    }
    Ok((trace_id, id, parent_id.filter(|parent| !parent.is_zero() && *parent != id)))
}
