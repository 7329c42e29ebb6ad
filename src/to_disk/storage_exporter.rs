//! What the three exporters share: writing a request, in parts if need be, and telling how it went.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use prost::Message;

use crate::buffer::{Error, SignalStorage};
use crate::to_disk::callback::{Export, ExporterCallback, Silent};
use crate::to_disk::halving::Divisible;

/// How long an export waits for the disk unless told otherwise, as in the original.
pub const DEFAULT_WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// An OTLP request of one signal.
pub(super) trait Request: Divisible + Message {
    /// Spans, log records or data points in it; these are its bytes.
    fn items(&self, _encoded: &[u8]) -> u32 {
        u32::try_from(self.count()).unwrap_or(u32::MAX)
    }
}

#[derive(Debug)]
pub(super) struct SignalStorageExporter {
    storage: Arc<dyn SignalStorage>,
    callback: Arc<dyn ExporterCallback>,
    timeout: Duration,
    is_shut_down: AtomicBool,
}

impl SignalStorageExporter {
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

    /// Writes it; where the storage takes nothing of that size, its halves, and theirs, down to single items.
    pub(super) fn export(&self, request: impl Request) -> OTelSdkResult {
        let begun = Instant::now();
        let (mut parts, mut patience, mut exported) = (vec![request], self.timeout, Ok(()));
        while let Some(mut part) = parts.pop() {
            let bytes = part.encode_to_vec();
            let export = Export { items: part.items(&bytes), request: bytes.into() };
            let count = part.count();
            match self.write(&export, patience) {
                Some(Err(Error::TooLarge { .. })) if count > 1 => {
                    let rest = part.cut(count / 2);
                    parts.extend([rest, part]);
                }
                outcome => exported = exported.and(self.tell_of(&export, outcome)),
            }
            patience = self.timeout.saturating_sub(begun.elapsed());
        }
        exported
    }

    /// None if it is not even tried.
    fn write(&self, export: &Export, patience: Duration) -> Option<Result<(), Error>> {
        if self.is_shut_down.load(Ordering::Acquire) {
            return None;
        }
        Some(self.storage.write_within(export.request.clone(), export.items, patience))
    }

    fn tell_of(&self, export: &Export, outcome: Option<Result<(), Error>>) -> OTelSdkResult {
        match outcome {
            None => {
                self.tell(|callback| callback.on_export_error(export, None));
                Err(OTelSdkError::AlreadyShutdown)
            }
            Some(Ok(())) => {
                self.tell(|callback| callback.on_export_success(export));
                Ok(())
            }
            Some(Err(error)) => {
                self.tell(|callback| callback.on_export_error(export, Some(&error)));
                Err(match error {
                    Error::TimedOut { waited } => OTelSdkError::Timeout(waited),
                    error => OTelSdkError::InternalFailure(described(&error)),
                })
            }
        }
    }

    /// The other side may do as it likes, even panic: the SDK's threads are not to die of it.
    fn tell(&self, what: impl FnOnce(&dyn ExporterCallback)) {
        if panic::catch_unwind(AssertUnwindSafe(|| what(&*self.callback))).is_err() {
            tracing::error!("whoever listens to an exporter to disk has panicked");
        }
    }

    /// The storage stays open: it is its owner's to close.
    pub(super) fn shut_down(&self) -> OTelSdkResult {
        if self.is_shut_down.swap(true, Ordering::AcqRel) {
            return Err(OTelSdkError::AlreadyShutdown);
        }
        self.tell(|callback| callback.on_shutdown());
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
