//! Metrics to disk.

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::Temporality;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;

use crate::buffer::SignalStorage;
use crate::otlp;
use crate::to_disk::callback::ExporterCallback;
use crate::to_disk::storage_exporter::{Request, SignalStorageExporter};

/// Writes the metrics that the SDK exports to a storage. Shutting it down does not close the storage.
#[derive(Debug)]
pub struct MetricToDiskExporter {
    exporter: SignalStorageExporter,
    temporality: Temporality,
}

impl MetricToDiskExporter {
    /// Into this storage, cumulative, telling nobody.
    pub fn new(storage: Arc<dyn SignalStorage>) -> Self {
        Self { exporter: SignalStorageExporter::new(storage), temporality: Temporality::Cumulative }
    }

    /// Telling how each export went.
    pub fn with_callback(self, callback: Arc<dyn ExporterCallback>) -> Self {
        Self { exporter: self.exporter.with_callback(callback), ..self }
    }

    /// Waiting no longer than this for the disk; [`crate::to_disk::DEFAULT_WRITE_TIMEOUT`] unless it is said.
    pub fn with_write_timeout(self, timeout: Duration) -> Self {
        Self { exporter: self.exporter.with_timeout(timeout), ..self }
    }

    /// Asking the SDK for sums and histograms since the last export, or since the start.
    pub fn with_temporality(self, temporality: Temporality) -> Self {
        Self { temporality, ..self }
    }
}

fn request(metrics: &ResourceMetrics) -> ExportMetricsServiceRequest {
    if metrics.scope_metrics().next().is_none() {
        return ExportMetricsServiceRequest::default();
    }
    metrics.into()
}

impl Request for ExportMetricsServiceRequest {
    fn items(&self, encoded: &[u8]) -> u32 {
        otlp::count_data_points(encoded).expect("it was encoded a moment ago")
    }
}

impl PushMetricExporter for MetricToDiskExporter {
    /// Written when this returns: the future is ready, and the thread has waited for the disk. So it is meant for threads
    /// of the SDK's own, as its batch processors and readers have them, not for those of an async runtime.
    fn export(&self, metrics: &ResourceMetrics) -> impl Future<Output = OTelSdkResult> + Send {
        ready(self.exporter.export(request(metrics)))
    }

    /// Nothing is held back: there is nothing to flush.
    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        self.exporter.shut_down()
    }

    fn temporality(&self) -> Temporality {
        self.temporality
    }
}
