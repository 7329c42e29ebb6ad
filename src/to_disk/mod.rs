//! The OpenTelemetry SDK's way into a storage: exporters that write to disk what they are given.
//!
//! Promise: one export is one OTLP `Export…ServiceRequest` in the storage, grouped by resource and scope, and as safe as
//! the storage makes it when the export is answered. Where it fits no file of the storage it is halved, down to single
//! spans, log records or metrics. Whoever asked to hears of every request, and of the end once.
//!
//! Limits: an export waits for the disk at most ten seconds unless told otherwise, and the thread that exports with it:
//! fine for the threads that the SDK has for that, not for those of an async runtime. What could not be written is not
//! tried again here; the SDK drops it.
//!
//! Does not know: where the folder is, which layout it has, who reads it.
//!
//! Source: OpenTelemetry Java contrib, disk-buffering: `SpanToDiskExporter`, `LogRecordToDiskExporter`,
//! `MetricToDiskExporter`, `ExporterCallback`. The encoding is that of the crate opentelemetry-proto.

mod callback;
mod halving;
mod logs;
mod metrics;
mod spans;
mod storage_exporter;

#[cfg(test)]
mod serialization_tests;
#[cfg(test)]
mod tests;

pub use callback::{Export, ExporterCallback};
pub use logs::LogRecordToDiskExporter;
pub use metrics::MetricToDiskExporter;
pub use spans::SpanToDiskExporter;
pub use storage_exporter::DEFAULT_WRITE_TIMEOUT;
