//! How the program is, from what its parts say of themselves.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::ingest::Ingest;
use crate::query::Query;
use crate::serve::admin::{AskHealth, Health, Readiness, Status};
use crate::serve::health::IsServing;

use super::telemetry::Report;

/// Asks the parts, anew each time. A full or failed disk stops the way in; what is stored can still be read.
pub(super) fn health(report: Arc<Report>) -> AskHealth {
    Arc::new(move || {
        let ingest = ingest_reasons(&report);
        let ready = ingest.is_empty();
        let status = match () {
            () if report.ingest.is_stopping() => Status::Stopping,
            () if report.buffers.each().any(|(_, buffer)| buffer.stats().degraded) => Status::PermanentError,
            () if !ready => Status::RecoverableError,
            () => Status::Ok,
        };
        Health {
            status,
            ingest: Readiness { ready, reasons: [ingest, forward_reasons(&report)].concat() },
            query: Readiness { ready: true, reasons: query_reasons(&report) },
        }
    })
}

/// Asks whether questions over gRPC are answered.
pub(super) fn is_serving(ingest: &Arc<Ingest>, query: &Arc<Query>) -> IsServing {
    let (ingest, query) = (Arc::clone(ingest), Arc::clone(query));
    Arc::new(move || !ingest.is_stopping() && query.can_answer())
}

fn ingest_reasons(report: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    if report.ingest.is_stopping() {
        reasons.push("the server is stopping".to_owned());
    }
    // What the buffer said to the last request that it refused, until it takes one again.
    for (signal, buffer) in report.buffers.each() {
        let trouble = buffer.stats().trouble;
        reasons.extend(trouble.map(|trouble| format!("the buffer of {} could not {trouble}", signal.name())));
    }
    reasons
}

/// Things a person should know though everything is accepted.
fn forward_reasons(report: &Report) -> Vec<String> {
    let mut reasons = Vec::new();
    for (signal, counts) in &report.forwarded {
        if counts.ended.load(Ordering::Relaxed) {
            reasons.push(format!(
                "{} are not forwarded any more, by a defect of this program: restart it",
                signal.name()
            ));
        } else if counts.blocked.load(Ordering::Relaxed) {
            reasons.push(format!(
                "forwarding {} is blocked until the upstream, its address, headers or certificates are mended",
                signal.name()
            ));
        } else if counts.failing.load(Ordering::Relaxed) {
            reasons
                .push(format!("the upstream does not take {} now; they wait in the buffer", signal.name()));
        }
    }
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
    let set_aside = report.query.status().set_aside + report.archived.status().set_aside;
    if set_aside > 0 {
        reasons.push(format!("{set_aside} damaged file(s) of the store were set aside in quarantine"));
    }
    reasons
}
