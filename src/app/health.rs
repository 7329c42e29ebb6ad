//! How the program is, from what its parts say of themselves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::serve::admin::{AskHealth, Health, Readiness, Status};

use super::telemetry::Report;

/// Asks the parts, anew each time. A full or failed disk stops the way in; what is stored can still be read.
pub(super) fn health(report: Arc<Report>) -> AskHealth {
    Arc::new(move || {
        let ingest = ingest_reasons(&report);
        let status = match () {
            () if report.ingest.is_stopping() => Status::Stopping,
            () if report.buffer.stats().degraded => Status::PermanentError,
            () if !ingest.is_empty() => Status::RecoverableError,
            () => Status::Ok,
        };
        Health {
            status,
            ingest: Readiness { ready: ingest.is_empty(), reasons: ingest },
            query: Readiness { ready: true, reasons: query_reasons(&report) },
        }
    })
}

fn ingest_reasons(report: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    if report.ingest.is_stopping() {
        reasons.push("the server is stopping".to_owned());
    }
    // What the buffer said to the last request that it refused, until it takes one again.
    reasons.extend(report.buffer.stats().trouble.map(|trouble| format!("the buffer could not {trouble}")));
    reasons
}

/// Things a person should know though questions are answered.
fn query_reasons(report: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    if report.drain.failing.load(Ordering::Relaxed) {
        reasons.push(
            "the store does not take what is safe in the buffer: the newest spans are not shown".to_owned(),
        );
    }
    if report.set_aside > 0 {
        reasons.push(format!("{} damaged store(s) were set aside in quarantine", report.set_aside));
    }
    reasons
}
