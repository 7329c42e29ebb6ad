//! Foreign words to ours and back; one module for each language spoken.
//!
//! Promise: pure functions. What is stored is never altered by being said in other words, and the same spans are
//! always said the same way.
//!
//! Limits: as the input; nothing here allocates by a number that was only announced.
//!
//! Does not know: I/O of any kind, who asked, the time of day.
//!
//! | ours | Jaeger's JSON |
//! | --- | --- |
//! | resource, service | process, `serviceName` |
//! | span name (operation) | `operationName` |
//! | attribute | tag |
//! | event | log; its name is the field `event` |
//! | parent, link | reference `CHILD_OF`, `FOLLOWS_FROM` |
//! | kind, status, scope, trace state | the tags `span.kind`, `otel.status_code`, `otel.scope.*`, `w3c.tracestate` |
//! | start, end (ns) | `startTime`, `duration` (µs) |

pub mod agent;
mod batch;
#[cfg(test)]
mod crossing_tests;
#[cfg(test)]
mod documented;
mod exported;
mod fit;
pub mod jaeger;
pub mod jaeger_json;
pub mod otlp;
pub mod thrift;
pub mod zipkin;

pub use batch::Batched;
