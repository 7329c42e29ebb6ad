//! Who is told how exports went.

use std::fmt;

use bytes::Bytes;

use crate::buffer::Error;

/// What was to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Export {
    /// Spans, log records or data points in it.
    pub items: u32,
    /// The OTLP `Export…ServiceRequest`; no bytes where there was nothing to export.
    pub request: Bytes,
}

/// Is told how exports went, on the thread that exports. Does nothing unless told to. A panic in it is caught and logged.
///
/// An export that fits no file of the storage is written in halves, and each is told of by itself.
pub trait ExporterCallback: Send + Sync + fmt::Debug {
    /// It is in the storage.
    fn on_export_success(&self, _export: &Export) {}

    /// It is not, or not in time; without an error it was not even tried, because the exporter is shut down.
    fn on_export_error(&self, _export: &Export, _error: Option<&Error>) {}

    /// The exporter is shut down. Called once.
    fn on_shutdown(&self) {}
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Silent;

impl ExporterCallback for Silent {}
