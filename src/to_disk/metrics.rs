//! Metrics to disk.

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use prost::Message as _;

use crate::buffer::SignalStorage;
use crate::otlp;
use crate::to_disk::callback::{Export, ExporterCallback};
use crate::to_disk::writer::Writer;

/// Writes the metrics that the SDK exports to a storage. Shutting it down does not close the storage.
#[derive(Debug)]
pub struct MetricToDiskExporter {
    writer: Writer,
    temporality: Temporality,
}

impl MetricToDiskExporter {
    /// Into this storage, cumulative, telling nobody.
    pub fn new(storage: Arc<dyn SignalStorage>) -> Self {
        Self { writer: Writer::new(storage), temporality: Temporality::Cumulative }
    }

    /// Telling how each export went.
    pub fn with_callback(self, callback: Arc<dyn ExporterCallback>) -> Self {
        Self { writer: self.writer.with_callback(callback), ..self }
    }

    /// Waiting no longer than this for the disk; [`crate::to_disk::DEFAULT_WRITE_TIMEOUT`] unless it is said.
    pub fn with_write_timeout(self, timeout: Duration) -> Self {
        Self { writer: self.writer.with_timeout(timeout), ..self }
    }

    /// Asking the SDK for sums and histograms since the last export, or since the start.
    pub fn with_temporality(self, temporality: Temporality) -> Self {
        Self { temporality, ..self }
    }
}

fn encode(metrics: &ResourceMetrics) -> Export {
    if metrics.scope_metrics().next().is_none() {
        return Export { items: 0, request: Default::default() };
    }
    let request = ExportMetricsServiceRequest::from(metrics).encode_to_vec();
    let items = otlp::count_data_points(&request).expect("it was encoded a moment ago");
    Export { items, request: request.into() }
}

impl PushMetricExporter for MetricToDiskExporter {
    /// Written when this returns: the future is ready.
    fn export(&self, metrics: &ResourceMetrics) -> impl Future<Output = OTelSdkResult> + Send {
        ready(self.writer.write(&encode(metrics)))
    }

    /// Nothing is held back: there is nothing to flush.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        self.writer.shut_down()
    }

    fn temporality(&self) -> Temporality {
        self.temporality
    }
}
