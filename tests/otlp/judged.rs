//! The scan's judgment beside prost's, one span at a time, so that what excuses one span excuses no other. The fuzzer
//! includes this file.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::{DecodeError, Message as _};
use tracelodge::otlp::{Fields, Limits, Scanned, Value, scan, write};

/// A span that nobody refuses.
const GOOD_SPAN: [u8; 28] = [
    0x0a, 16, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, // the trace id
    0x12, 8, 2, 2, 2, 2, 2, 2, 2, 2,
];

/// The scan refuses, rejects or finds text that is not UTF-8 exactly where prost does not decode: around the spans and
/// in each span by itself. Only what prost has no rule about is left open.
#[track_caller]
pub(crate) fn assert_judged_alike(request: &[u8]) {
    let scanned = match scan(request, &Limits::default()) {
        Ok(scanned) => scanned,
        Err(error) => {
            let is_refused = ExportTraceServiceRequest::decode(request).is_err();
            return assert!(is_refused || is_own_rule(&error.to_string()), "prost decodes: {error}");
        }
    };
    let mut spans = Vec::new();
    let around = without_spans(request, Level::Request, &mut spans);
    let around_scanned = scan(&around, &Limits::default()).expect("it was sound with its spans");
    assert_eq!(around_scanned.rejected, 0, "{:?}", around_scanned.first_rejection);
    assert_agreement(&around_scanned, ExportTraceServiceRequest::decode(&around[..]).map(drop));
    let (mut accepted, mut rejected) = (0, 0);
    for span in spans {
        let alone = scan(&request_of(span), &Limits::default()).expect("around the span all is sound");
        assert_eq!(alone.accepted + alone.rejected, 1);
        assert_agreement(&alone, Span::decode(span).map(drop));
        accepted += alone.accepted;
        rejected += alone.rejected;
    }
    assert_eq!((scanned.accepted, scanned.rejected), (accepted, rejected));
}

#[track_caller]
fn assert_agreement(scanned: &Scanned, decoded: Result<(), DecodeError>) {
    let refused = scanned.rejected > 0 || scanned.repaired > 0;
    match (&scanned.first_rejection, decoded) {
        (Some(reason), _) if is_own_rule(reason) => {}
        // Nesting is limited on both sides, in different places.
        (_, Err(error)) if error.to_string().contains("recursion") => {}
        (reason, decoded) => assert_eq!(refused, decoded.is_err(), "{reason:?} {decoded:?} {scanned:?}"),
    }
}

/// About ids, sizes, numbers and depth prost has no rules, or others.
fn is_own_rule(reason: &str) -> bool {
    [" trace id", " span id", " above ", "nested deeper", "unbalanced group"]
        .iter()
        .any(|words| reason.contains(words))
}

/// The messages that enclose spans.
#[derive(Debug, Clone, Copy)]
enum Level {
    Request,
    ResourceSpans,
    ScopeSpans,
}

/// The same message with one good span in place of those in each scope, which are put to `spans`; every resource gets
/// a scope with such a span, for what is around it to be judged by.
fn without_spans<'a>(message: &'a [u8], level: Level, spans: &mut Vec<&'a [u8]>) -> Vec<u8> {
    let (mut fields, mut around, mut start) = (Fields::new(message), Vec::new(), 0);
    while let Some(field) = fields.next() {
        match (level, field) {
            (Level::Request, (1, Value::Bytes(inner))) => {
                write::bytes(&mut around, 1, &without_spans(inner, Level::ResourceSpans, spans));
            }
            (Level::ResourceSpans, (2, Value::Bytes(inner))) => {
                write::bytes(&mut around, 2, &without_spans(inner, Level::ScopeSpans, spans));
            }
            (Level::ScopeSpans, (2, Value::Bytes(span))) => spans.push(span),
            _ => around.extend_from_slice(&message[start..fields.offset()]),
        }
        start = fields.offset();
    }
    match level {
        Level::Request => {}
        Level::ResourceSpans => write::message(&mut around, 2, |scope| write::bytes(scope, 2, &GOOD_SPAN)),
        Level::ScopeSpans => write::bytes(&mut around, 2, &GOOD_SPAN),
    }
    around
}

/// A request with nothing but this span.
fn request_of(span: &[u8]) -> Vec<u8> {
    let mut request = Vec::new();
    write::message(&mut request, 1, |resource| {
        write::message(resource, 2, |scope| write::bytes(scope, 2, span));
    });
    request
}
