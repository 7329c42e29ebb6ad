//! Any bytes as a request to export spans: the scan and prost agree, and what is kept is sound.

#![no_main]

use libfuzzer_sys::fuzz_target;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message as _;
use tracelodge::otlp::{Limits, Scanned, SpanView, scan, spans, without_rejected};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default();
    let decoded = ExportTraceServiceRequest::decode(bytes);
    match scan(bytes, &limits) {
        Ok(scanned) => agree(bytes, &scanned, decoded.map(drop)),
        // Nesting is limited on both sides, in different places.
        Err(error) => assert!(decoded.is_err() || is_depth(&error.to_string()), "prost accepts: {error}"),
    }
});

fn agree(bytes: &[u8], scanned: &Scanned, decoded: Result<(), prost::DecodeError>) {
    match decoded {
        Ok(()) => {
            assert_eq!(scanned.repaired, 0, "prost finds no text that is not UTF-8");
            if let Some(reason) = &scanned.first_rejection {
                assert!(is_our_rule(reason), "prost accepts: {reason}");
            }
        }
        Err(error) => {
            let error = error.to_string();
            // Text around no span at all is counted for no span.
            let excused = scanned.rejected > 0 || scanned.repaired > 0 || scanned.accepted == 0;
            let excused = excused || error.contains("recursion") || error.contains("UTF-8");
            assert!(excused, "the scan accepts: {error}");
        }
    }
    let limits = Limits::default();
    let kept = without_rejected(bytes, &limits).expect("scanned before");
    let again = scan(&kept, &limits).expect("what is kept is a request");
    assert_eq!((again.accepted, again.rejected), (scanned.accepted, 0));
    let records = spans(&bytes.to_vec().into(), &limits).expect("scanned before");
    assert_eq!(records.len(), scanned.accepted as usize);
    for record in records {
        SpanView::read(&record.body);
    }
}

fn is_depth(reason: &str) -> bool {
    reason.contains("nested deeper") || reason.contains("unbalanced group")
}

/// About ids, sizes and depth prost has no rules, or others.
fn is_our_rule(reason: &str) -> bool {
    is_depth(reason) || reason.contains("trace id") || reason.contains("span id") || reason.contains("above the limit")
}
