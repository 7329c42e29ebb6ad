//! Any bytes as a span or a batch of Jaeger's: what is kept is sound, and is given back as it was.

#![no_main]

mod allowance;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message as _;
use tracelodge::otlp::{Limits, scan, spans};
use tracelodge::proto::jaeger::api_v2::{PostSpansRequest, Span};
use tracelodge::proto::jaeger::storage::v1::WriteSpanRequest;
use tracelodge::translate::jaeger;

fuzz_target!(|bytes: &[u8]| {
    // A tag of two bytes is one of more than a hundred when it is decoded, in a list that grows by doubling.
    allowance::at_most(200, bytes, || {
        if let Ok(WriteSpanRequest { span: Some(span) }) = WriteSpanRequest::decode(bytes) {
            keep(&[span]);
        }
        if let Ok(PostSpansRequest { batch: Some(batch) }) = PostSpansRequest::decode(bytes) {
            let batched = jaeger::batch(&batch);
            assert_eq!((batched.spans + batched.left_out) as usize, batch.spans.len());
            assert_eq!(batched.first.is_some(), batched.left_out > 0);
            read_back(batched.request, batched.spans);
        }
    });
});

fn keep(sent: &[Span]) {
    let Ok(request) = jaeger::request(sent) else { return };
    let given_back = read_back(request, sent.len() as u32);
    // What is not sound enough to be found again, such as an id that is too short, is judged as any span's is.
    if given_back.len() == sent.len() {
        let again = jaeger::request(&given_back).expect("it was kept before");
        assert_eq!(read_back(again, sent.len() as u32), given_back, "{sent:?}");
    }
}

fn read_back(request: Vec<u8>, count: u32) -> Vec<Span> {
    let (request, limits) = (Bytes::from(request), Limits::default());
    let scanned = scan(&request, &limits).expect("what we write is a request");
    assert_eq!(scanned.accepted + scanned.rejected, count);
    let kept = spans(&request, &limits).expect("scanned before");
    assert_eq!(kept.len(), scanned.accepted as usize);
    kept.iter().map(jaeger::span).collect()
}
