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
use prost::Message as _;

use crate::buffer::SignalStorage;
use crate::to_disk::callback::{Export, ExporterCallback};
use crate::to_disk::writer::Writer;

/// Writes the spans that the SDK exports to a storage. Shutting it down does not close the storage.
#[derive(Debug)]
pub struct SpanToDiskExporter {
    writer: Writer,
    resource: ResourceAttributesWithSchema,
}

impl SpanToDiskExporter {
    /// Into this storage, telling nobody.
    pub fn new(storage: Arc<dyn SignalStorage>) -> Self {
        Self { writer: Writer::new(storage), resource: ResourceAttributesWithSchema::default() }
    }

    /// Telling how each export went.
    pub fn with_callback(self, callback: Arc<dyn ExporterCallback>) -> Self {
        Self { writer: self.writer.with_callback(callback), ..self }
    }

    /// Waiting no longer than this for the disk; [`crate::to_disk::DEFAULT_WRITE_TIMEOUT`] unless it is said.
    pub fn with_write_timeout(self, timeout: Duration) -> Self {
        Self { writer: self.writer.with_timeout(timeout), ..self }
    }

    fn encode(&self, batch: Vec<SpanData>) -> Export {
        let items = u32::try_from(batch.len()).unwrap_or(u32::MAX);
        if batch.is_empty() {
            return Export { items, request: Default::default() };
        }
        let resource_spans = group_spans_by_resource_and_scope(batch, &self.resource);
        let request = ExportTraceServiceRequest { resource_spans };
        Export { items, request: request.encode_to_vec().into() }
    }
}

impl SpanExporter for SpanToDiskExporter {
    /// Written when this returns: the future is ready.
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        ready(self.writer.write(&self.encode(batch)))
    }

    fn shutdown_with_timeout(&self, _timeout: Duration) -> OTelSdkResult {
        self.writer.shut_down()
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.resource = resource.into();
    }
}
