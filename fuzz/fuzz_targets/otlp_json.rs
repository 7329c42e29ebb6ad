//! Any bytes as OTLP/JSON: an error, or protobuf.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracelodge::otlp::{Limits, count_data_points, count_log_records, json, scan};

fuzz_target!(|text: &[u8]| {
    if let Ok(request) = json::traces(text) {
        scan(&request, &Limits::default()).expect("a request to export spans");
        // Nothing in JSON becomes more than a few times as long.
        assert!(request.len() <= 8 * text.len());
    }
    if let Ok(request) = json::logs(text) {
        count_log_records(&request).expect("a request to export logs");
    }
    if let Ok(request) = json::metrics(text) {
        count_data_points(&request).expect("a request to export metrics");
    }
});
