//! What was read is kept as a request, and is given back as it was.

use bytes::Bytes;
use tracelodge::model::Span;
use tracelodge::otlp::{Limits, scan, spans};
use tracelodge::translate::zipkin;

/// The spans of a request of ours that are sound.
pub fn request(request: Vec<u8>, count: u32) -> Vec<Span> {
    let (request, limits) = (Bytes::from(request), Limits::default());
    let scanned = scan(&request, &limits).expect("what we write is a request");
    assert_eq!(scanned.accepted + scanned.rejected, count);
    let kept = spans(&request, &limits).expect("scanned before");
    assert_eq!(kept.len(), scanned.accepted as usize);
    kept
}

/// Spans of Zipkin's come back as they were sent.
pub fn zipkin(read: zipkin::Read, input: &[u8]) {
    assert!(read.spans.len() + read.left_out as usize <= input.len());
    assert_eq!(read.first.is_some(), read.left_out > 0);
    let kept = request(zipkin::request(&read.spans), read.spans.len() as u32);
    if kept.len() < read.spans.len() {
        return;
    }
    let mut given_back: Vec<_> = kept.iter().map(zipkin::span).map(without_nothings).collect();
    // Spans of one service come one after the other.
    for span in read.spans.into_iter().filter(is_in_our_time).map(without_nothings) {
        let place = given_back.iter().position(|given| *given == span);
        given_back.swap_remove(place.unwrap_or_else(|| panic!("{span:?} is not among {given_back:?}")));
    }
}

/// An endpoint that says nothing is none, and so is such an annotation.
pub fn without_nothings(mut span: zipkin::Span) -> zipkin::Span {
    let said =
        |endpoint: Option<zipkin::Endpoint>| endpoint.filter(|said| *said != zipkin::Endpoint::default());
    span.local_endpoint = said(span.local_endpoint);
    span.remote_endpoint = said(span.remote_endpoint);
    span.annotations.retain(|annotation| *annotation != zipkin::Annotation::default());
    span
}

/// Whether all times of a span can be said in nanoseconds: what is later is kept as the last there is.
fn is_in_our_time(span: &zipkin::Span) -> bool {
    const LAST: u64 = u64::MAX / 1_000;
    let start = span.timestamp.unwrap_or_default();
    let end = start.checked_add(span.duration.unwrap_or_default());
    end.is_some_and(|end| end <= LAST)
        && span.annotations.iter().all(|annotation| annotation.timestamp <= LAST)
}
