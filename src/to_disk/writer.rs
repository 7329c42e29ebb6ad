//! What the three exporters share: writing one request and telling how it went.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};

use crate::buffer::{Error, SignalStorage};
use crate::to_disk::callback::{Export, ExporterCallback, Silent};

/// How long an export waits for the disk unless told otherwise, as in the original.
pub const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(super) struct Writer {
    storage: Arc<dyn SignalStorage>,
    callback: Arc<dyn ExporterCallback>,
    timeout: Duration,
    is_shut_down: AtomicBool,
}

impl Writer {
    pub(super) fn new(storage: Arc<dyn SignalStorage>) -> Self {
        let callback = Arc::new(Silent);
        Self { storage, callback, timeout: DEFAULT_WRITE_TIMEOUT, is_shut_down: AtomicBool::new(false) }
    }

    pub(super) fn with_callback(self, callback: Arc<dyn ExporterCallback>) -> Self {
        Self { callback, ..self }
    }

    pub(super) fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    pub(super) fn write(&self, export: &Export) -> OTelSdkResult {
        if self.is_shut_down.load(Ordering::Acquire) {
            self.callback.on_export_error(export, None);
            return Err(OTelSdkError::AlreadyShutdown);
        }
        match self.storage.write_within(export.request.clone(), export.items, self.timeout) {
            Ok(()) => {
                self.callback.on_export_success(export);
                Ok(())
            }
            Err(error) => {
                self.callback.on_export_error(export, Some(&error));
                Err(match error {
                    Error::TimedOut { waited } => OTelSdkError::Timeout(waited),
                    error => OTelSdkError::InternalFailure(described(&error)),
                })
            }
        }
    }

    /// The storage stays open: it is its owner's to close.
    pub(super) fn shut_down(&self) -> OTelSdkResult {
        if self.is_shut_down.swap(true, Ordering::AcqRel) {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        self.callback.on_shutdown();
        Ok(())
    }
}

/// An error and its causes: the SDK takes text only.
fn described(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
