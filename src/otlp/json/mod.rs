//! OTLP/JSON into OTLP protobuf, and OTLP's spans back into JSON ([`ResourceSpans`]), without anything in between.
//!
//! Promise: one pass over the text, appending protobuf to one buffer; what every client means is understood, however
//! it spells it. Beyond the specification, as the collector's receiver and more: `null` anywhere is absent, members
//! may be in snake_case, numbers may be texts, enums may be names, a whole number that does not fit 64 bits becomes a
//! double, lists may lack their `values`, base64 may be of either alphabet and unpadded, the last of repeated members
//! holds, unknown members are passed over.
//!
//! An id that is not hex, or of a wrong length, is passed on with a wrong length: then [`super::scan()`] rejects that
//! one span instead of the whole request being refused here.
//!
//! Limits: objects nest at most [`MAX_DEPTH`] levels (an array of values is two of them, a map three), there are at most
//! two million of them, and what members that come again make be copied is at most eight times the text. The protobuf is at most a few times as long
//! as the JSON.
//!
//! Does not know: whether the result can be stored; compression; content types.
//!
//! Source: opentelemetry-proto, `docs/specification.md`, "JSON Protobuf Encoding"; protobuf.dev, "ProtoJSON Format".

mod encoded;
mod number;
mod scalar;
mod schema;
mod tables;
mod transcode;
mod writer;

use schema::Message;
pub use writer::ResourceSpans;

/// How many objects may stand inside of each other.
pub const MAX_DEPTH: usize = 64;

/// How many objects there may be in all. An empty one takes three bytes, and almost none packed; an attribute is two of
/// forty bytes or more, so that a request of 20 MiB has room for half as many real ones.
pub(crate) const MAX_OBJECTS: usize = 2 << 20;

/// Why a text is not an OTLP/JSON request, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what} at line {line}, column {column}")]
pub struct Error {
    /// The member that could not be read, as `resourceSpans[0].scopeSpans[2].spans[7].name`.
    pub path: String,
    /// What is wrong with it.
    pub what: String,
    /// Counted from 1.
    pub line: usize,
    /// In bytes, counted from 1.
    pub column: usize,
}

/// An `ExportTraceServiceRequest` from its JSON.
pub fn traces(json: &[u8]) -> Result<Vec<u8>, Error> {
    request(json, &tables::TRACES)
}

/// An `ExportLogsServiceRequest` from its JSON.
pub fn logs(json: &[u8]) -> Result<Vec<u8>, Error> {
    request(json, &tables::LOGS)
}

/// An `ExportMetricsServiceRequest` from its JSON.
pub fn metrics(json: &[u8]) -> Result<Vec<u8>, Error> {
    request(json, &tables::METRICS)
}

fn request(json: &[u8], message: &'static Message) -> Result<Vec<u8>, Error> {
    // Some writers put a byte order mark before the text.
    let json = json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(json);
    transcode::transcode(json, message)
}
