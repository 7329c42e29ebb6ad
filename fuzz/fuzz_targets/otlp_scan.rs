//! Any bytes as a request to export spans: the scan and prost agree on each span, and what is kept is sound.

#![no_main]

#[path = "../../tests/otlp/judged.rs"]
mod judged;

use libfuzzer_sys::fuzz_target;
use tracelodge::otlp::{Limits, Scanned, SpanView, scan, spans, without_rejected};

fuzz_target!(|bytes: &[u8]| {
    judged::assert_judged_alike(bytes);
    if let Ok(scanned) = scan(bytes, &Limits::default()) {
        keep(bytes, &scanned);
    }
});

fn keep(bytes: &[u8], scanned: &Scanned) {
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
