//! What forwarding counts, for each signal.

use std::sync::atomic::Ordering;

use super::Text;
use crate::app::forwarding::ForwardingCounts;
use crate::ingest::forward::ForwardCounts;

type Column = (&'static str, &'static str, &'static str, fn(&ForwardCounts) -> u64);

/// What a consumer named upstream released in this run = forwarded + rejected + set aside + left out, in items.
const COLUMNS: [Column; 9] = [
    ("forwarded_requests_total", "counter", "Requests that the upstream took.", |counts| {
        counts.requests.value()
    }),
    ("forwarded_items_total", "counter", "Items that it took.", |counts| counts.items.value()),
    ("forwarded_bytes_total", "counter", "Bytes of them, before packing.", |counts| counts.bytes.value()),
    ("retries_total", "counter", "Tries that failed and are repeated.", |counts| counts.retries.value()),
    ("rejected_items_total", "counter", "Items that it left out of what it took.", |counts| {
        counts.rejected_items.value()
    }),
    ("set_aside_items_total", "counter", "Items that it will never take.", |counts| {
        counts.set_aside_items.value()
    }),
    (
        "left_out_items_total",
        "counter",
        "Spans with ids of zeros, which OTLP does not have: not sent.",
        |counts| counts.left_out_items.value(),
    ),
    ("failing", "gauge", "1 while the last try failed.", |counts| {
        u64::from(counts.failing.load(Ordering::Relaxed))
    }),
    ("blocked", "gauge", "1 while it, its address or our credentials have to be mended.", |counts| {
        u64::from(counts.blocked.load(Ordering::Relaxed))
    }),
];

/// Nothing without an upstream.
pub(super) fn report(text: &mut Text, forwarded: &ForwardingCounts) {
    if forwarded.is_empty() {
        return;
    }
    for (name, kind, help, value) in COLUMNS {
        let name = format!("tracelodge_upstream_{name}");
        text.head(&name, kind, help);
        for (signal, counts) in forwarded {
            text.sample(&name, &[("signal", signal.name())], value(counts));
        }
    }
}
