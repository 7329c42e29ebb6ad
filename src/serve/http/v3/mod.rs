//! Jaeger's HTTP API, v3: what its page searches with since 2.19, and what Grafana asks with its gRPC switch on.
//!
//! Traces are OTLP/JSON as they came in: nothing is adjusted, so `rawTraces` changes nothing. What Jaeger would adjust in
//! OTLP are duplicates, which are not stored, ids that client and server share, as Zipkin's did, and the spelling and
//! order of attributes; times it does not shift either unless it is told to. Summaries count spans as they came in.
//!
//! Nothing found is 404, but for summaries, which are an empty list. There is no other method than GET, as in Jaeger.
//!
//! Limits: as of [`super`]; a trace is read and written piece by piece, so that only the answer's size bounds it.
//!
//! Source: jaeger-idl `proto/api_v3`; Jaeger 2.20 `internal/apiv3`; jaeger-ui, for what it requires of answers.

mod dependencies;
mod error;
mod question;
mod services;
mod summaries;
mod traces;

pub(super) use dependencies::dependencies;
pub(super) use services::{operations, services};
pub(super) use summaries::summaries;
pub(super) use traces::{by_id, search};
