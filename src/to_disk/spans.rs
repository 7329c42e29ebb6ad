//! Spans to disk.

use std::future::{Future, ready};
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};

use crate::buffer::SignalStorage;
use crate::to_disk::callback::ExporterCallback;
use crate::to_disk::storage_exporter::{Request, SignalStorageExporter};

/// Writes the spans that the SDK exports to a storage. Shutting it down does not close the storage.
#[derive(Debug)]
pub struct SpanToDiskExporter {
    exporter: SignalStorageExporter,
    resource: ResourceAttributesWithSchema,
}

impl SpanToDiskExporter {
    /// Into this storage, telling nobody.
    pub fn new(storage: Arc<dyn SignalStorage>) -> Self {
        Self {
            exporter: SignalStorageExporter::new(storage),
            resource: ResourceAttributesWithSchema::default(),
        }
    }

    /// Telling how each export went.
    pub fn with_callback(self, callback: Arc<dyn ExporterCallback>) -> Self {
        Self { exporter: self.exporter.with_callback(callback), ..self }
    }

    /// Waiting no longer than this for the disk; [`crate::to_disk::DEFAULT_WRITE_TIMEOUT`] unless it is said.
    pub fn with_write_timeout(self, timeout: Duration) -> Self {
        Self { exporter: self.exporter.with_timeout(timeout), ..self }
    }

    fn request(&self, batch: Vec<SpanData>) -> ExportTraceServiceRequest {
        if batch.is_empty() {
            return ExportTraceServiceRequest::default();
        }
        ExportTraceServiceRequest { resource_spans: group_spans_by_resource_and_scope(batch, &self.resource) }
    }
}

impl Request for ExportTraceServiceRequest {}

impl SpanExporter for SpanToDiskExporter {
    /// Written when this returns: the future is ready, and the thread has waited for the disk. So it is meant for threads
    /// of the SDK's own, as its batch processors and readers have them, not for those of an async runtime.
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        ready(self.exporter.export(self.request(batch)))
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        self.exporter.shut_down()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}
