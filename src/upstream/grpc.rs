//! OTLP over gRPC, from the client's side: one framed message in each direction.
//!
//! Source: grpc `doc/PROTOCOL-HTTP2.md`, `doc/http-grpc-status-mapping.md`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request, StatusCode, header};

use super::answer::{Answer, Status, said, status};
use super::{Body, MAX_ANSWER_BYTES, Settings, body};
use crate::ingest::Signal;
use crate::ingest::forward::{Outcome, Refusal};

const MEDIA_TYPE: &str = "application/grpc";

/// The bytes before each message: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

const GRPC_ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");
const GRPC_STATUS_DETAILS: HeaderName = HeaderName::from_static("grpc-status-details-bin");

/// Of `-bin` headers: senders pad or do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where a signal's method is.
fn path(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        Signal::Logs => "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
        Signal::Metrics => "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
    }
}

/// A call of a signal's `Export`.
pub(super) fn request(
    settings: &Settings,
    signal: Signal,
    request: Bytes,
) -> Result<Request<Body>, Box<dyn std::error::Error>> {
    let message = settings.compression.pack(request)?;
    let mut prefix = BytesMut::with_capacity(PREFIX_BYTES);
    prefix.put_u8(u8::from(settings.compression.coding().is_some()));
    prefix.put_u32(u32::try_from(message.len())?);
    let mut built =
        Request::post(settings.endpoint.uri(path(signal))?).body(body(prefix.freeze(), message))?;
    let headers = built.headers_mut();
    settings.add_headers(headers, MEDIA_TYPE, GRPC_ENCODING);
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    // At most eight digits, the specification says.
    let millis = settings.timeout.as_millis().min(99_999_999);
    headers.insert(GRPC_TIMEOUT, HeaderValue::try_from(format!("{millis}m"))?);
    Ok(built)
}

/// `google.rpc.Code`s.
mod code {
    pub(super) const OK: u32 = 0;
    pub(super) const CANCELLED: u32 = 1;
    pub(super) const UNKNOWN: u32 = 2;
    pub(super) const INVALID_ARGUMENT: u32 = 3;
    pub(super) const DEADLINE_EXCEEDED: u32 = 4;
    pub(super) const NOT_FOUND: u32 = 5;
    pub(super) const ALREADY_EXISTS: u32 = 6;
    pub(super) const PERMISSION_DENIED: u32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(super) const FAILED_PRECONDITION: u32 = 9;
    pub(super) const ABORTED: u32 = 10;
    pub(super) const OUT_OF_RANGE: u32 = 11;
    pub(super) const UNIMPLEMENTED: u32 = 12;
    pub(super) const INTERNAL: u32 = 13;
    pub(super) const UNAVAILABLE: u32 = 14;
    pub(super) const DATA_LOSS: u32 = 15;
    pub(super) const UNAUTHENTICATED: u32 = 16;
}

/// How gRPC's own libraries say that a message is larger than they take: in Go, C++ and Python; in Rust; in Java; in
/// .NET.
const SIZE_WORDS: [&str; 4] = [
    "larger than max",
    "length too large",
    "exceeds maximum size",
    "exceeds the maximum configured message size",
];

/// The specification's table, but for codes that speak of the address, the account or the server's state.
pub(super) fn outcome(answer: &Answer) -> Outcome {
    let Some(number) = header_text(answer, &GRPC_STATUS).and_then(|text| text.parse().ok()) else {
        return without_status(answer);
    };
    let status = details(answer);
    let words = words(answer, &status);
    let why = match words.as_str() {
        "" => format!("gRPC status {number}"),
        words => format!("gRPC status {number}: {words}"),
    };
    let refused = |why, cause| Outcome::Refused { why, cause };
    let is_size = SIZE_WORDS.iter().any(|size| words.contains(size));
    match number {
        code::OK => answer.accepted(message(&answer.body).unwrap_or_default()),
        code::RESOURCE_EXHAUSTED | code::OUT_OF_RANGE if is_size => refused(why, Refusal::Size),
        code::RESOURCE_EXHAUSTED if status.retry_delay.is_none() => refused(why, Refusal::Exhausted),
        code::CANCELLED
        | code::DEADLINE_EXCEEDED
        | code::RESOURCE_EXHAUSTED
        | code::ABORTED
        | code::OUT_OF_RANGE
        | code::UNAVAILABLE
        | code::DATA_LOSS => Outcome::Retry { why, after: status.retry_delay },
        code::NOT_FOUND | code::PERMISSION_DENIED | code::FAILED_PRECONDITION | code::UNIMPLEMENTED => {
            Outcome::Blocked { why }
        }
        code::UNAUTHENTICATED => Outcome::Unauthorized { why },
        code::INVALID_ARGUMENT | code::ALREADY_EXISTS => refused(why, Refusal::Content),
        // The Collector says INTERNAL, with its reason, to what it will never take; a defect has no words. A code that
        // gRPC does not have is to be read as UNKNOWN.
        code::UNKNOWN | code::INTERNAL | 17.. if words.is_empty() => Outcome::Retry { why, after: None },
        code::UNKNOWN | code::INTERNAL | 17.. => refused(why, Refusal::Content),
    }
}

/// The one message of a unary call comes only from who has taken the request, whatever becomes of the rest. A proxy on
/// the way speaks HTTP only; what it says is mapped as gRPC's document has it. Everything else means that nobody there
/// speaks gRPC.
fn without_status(answer: &Answer) -> Outcome {
    let code = answer.status;
    if let (Some(unfinished), StatusCode::OK) = (&answer.unfinished, code) {
        let is_grpc = answer.media_type().starts_with(MEDIA_TYPE);
        return match message(&answer.body) {
            Some(message) if is_grpc => answer.accepted(message),
            _ => Outcome::Retry { why: unfinished.to_string(), after: None },
        };
    }
    match code {
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            Outcome::Retry { why: format!("HTTP {} without a grpc-status", code.as_u16()), after: None }
        }
        _ => Outcome::Blocked {
            why: format!("HTTP {} without a grpc-status: this is not gRPC", code.as_u16()),
        },
    }
}

/// In the trailers, or in the headers of an answer that has nothing else.
fn header_text<'a>(answer: &'a Answer, name: &HeaderName) -> Option<&'a str> {
    answer.trailers.get(name).or_else(|| answer.headers.get(name))?.to_str().ok()
}

fn details(answer: &Answer) -> Status {
    let decoded = header_text(answer, &GRPC_STATUS_DETAILS).and_then(|text| BASE64.decode(text).ok());
    status(&decoded.unwrap_or_default())
}

/// What the server says beside the number.
fn words(answer: &Answer, status: &Status) -> String {
    let message = header_text(answer, &GRPC_MESSAGE).unwrap_or_default();
    let message = percent_encoding::percent_decode_str(message).decode_utf8_lossy();
    if message.is_empty() { said(&status.message) } else { said(&message) }
}

/// The one message of an answer, as far as it was kept; `None` where it did not come whole. A packed one was not asked
/// for, and says nothing that has to be known.
fn message(body: &[u8]) -> Option<&[u8]> {
    let (&[packed, a, b, c, d], message) = body.split_first_chunk()?;
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let is_whole = message.len() >= length || PREFIX_BYTES + message.len() == MAX_ANSWER_BYTES;
    is_whole.then_some(if packed == 0 { message } else { &[] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::write;
    use crate::upstream::answer::Unfinished;
    use std::time::Duration;

    fn retry_info(seconds: u64) -> String {
        let mut bytes = Vec::new();
        write::message(&mut bytes, 3, |detail| {
            write::string(detail, 1, "type.googleapis.com/google.rpc.RetryInfo");
            write::message(detail, 2, |info| write::message(info, 1, |delay| write::uint(delay, 1, seconds)));
        });
        base64::engine::general_purpose::STANDARD_NO_PAD.encode(bytes)
    }

    #[test]
    fn codes_mean_what_the_specification_says() {
        let (retry, blocked) = ([1, 4, 10, 11, 14, 15], [5, 7, 9, 12, 16]);
        for number in 0..=20 {
            for words in ["", "words"] {
                let expected = match number {
                    0 => "accepted",
                    2 | 13 | 17.. if words.is_empty() => "retry",
                    8 => "exhausted",
                    _ if retry.contains(&number) => "retry",
                    _ if blocked.contains(&number) => "blocked",
                    _ => "refused",
                };
                let status = [("grpc-status", &*number.to_string()), ("grpc-message", words)];
                // In the trailers, and as an answer of headers alone.
                for answer in [Answer::of(200, &[], b"", &status), Answer::of(200, &status, b"", &[])] {
                    assert_eq!(kind(&outcome(&answer)), expected, "{number} {words}");
                }
            }
        }
    }

    fn kind(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Accepted { .. } => "accepted",
            Outcome::Retry { .. } => "retry",
            Outcome::Blocked { .. } | Outcome::Unauthorized { .. } => "blocked",
            Outcome::Refused { cause: Refusal::Content, .. } => "refused",
            Outcome::Refused { cause: Refusal::Size, .. } => "too large",
            Outcome::Refused { cause: Refusal::Exhausted, .. } => "exhausted",
        }
    }

    #[test]
    fn exhausted_is_retried_when_the_server_says_when() {
        let details = retry_info(9);
        for number in ["8", "14"] {
            let trailers = [("grpc-status", number), ("grpc-status-details-bin", &details)];
            let Outcome::Retry { after, .. } = outcome(&Answer::of(200, &[], b"", &trailers)) else {
                panic!("{number}")
            };
            assert_eq!(after, Some(Duration::from_secs(9)), "{number}");
        }
    }

    #[test]
    fn each_library_has_its_words_for_a_message_that_is_too_large() {
        let details = retry_info(9);
        for (number, words, expected) in [
            ("8", "grpc: received message larger than max (5000000 vs. 4194304)", "too large"),
            ("8", "gRPC message exceeds maximum size 4194304: 5000000", "too large"),
            ("8", "Received message exceeds the maximum configured message size.", "too large"),
            (
                "11",
                "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes",
                "too large",
            ),
            ("8", "quota of the tenant", "exhausted"),
            ("11", "behind the end", "retry"),
            ("3", "attribute larger than max", "refused"),
        ] {
            let trailers = [("grpc-status", number), ("grpc-message", words)];
            assert_eq!(kind(&outcome(&Answer::of(200, &[], b"", &trailers))), expected, "{words}");
        }
        let trailers =
            [("grpc-status", "8"), ("grpc-message", "full"), ("grpc-status-details-bin", &details)];
        assert_eq!(kind(&outcome(&Answer::of(200, &[], b"", &trailers))), "retry");
    }

    #[test]
    fn a_message_without_what_should_follow_it_is_a_yes() {
        let long = [&[0, 0, 1, 0, 0][..], &[0; MAX_ANSWER_BYTES - 5]].concat();
        for (media_type, body, expected) in [
            ("application/grpc", &[0, 0, 0, 0, 0][..], "accepted"),
            ("application/grpc+proto", &[0, 0, 0, 0, 1, 0], "accepted"),
            ("application/grpc", &long, "accepted"),
            ("application/grpc", &[0, 0, 0, 0, 2, 0], "retry"),
            ("application/grpc", &[0, 0, 0], "retry"),
            ("application/grpc", b"", "retry"),
            ("text/plain", &[0, 0, 0, 0, 0], "retry"),
        ] {
            for unfinished in [Unfinished::Late, Unfinished::CutOff("reset".to_owned()), Unfinished::TooLong]
            {
                let mut answer = Answer::of(200, &[("content-type", media_type)], body, &[]);
                answer.unfinished = Some(unfinished);
                assert_eq!(kind(&outcome(&answer)), expected, "{answer:?}");
            }
        }
    }

    #[test]
    fn partial_success_is_success() {
        let mut response = vec![0, 0, 0, 0, 6];
        write::message(&mut response, 1, |partial| {
            write::uint(partial, 1, 2);
            write::string(partial, 2, "x");
        });
        let answer = Answer::of(200, &[], &response, &[("grpc-status", "0")]);
        assert_eq!(outcome(&answer), Outcome::Accepted { rejected: 2, message: "x".to_owned() });
    }

    #[test]
    fn who_does_not_speak_grpc_is_the_wrong_address() {
        for (status, retry) in
            [(200, false), (404, false), (400, false), (502, true), (503, true), (500, false)]
        {
            let outcome = outcome(&Answer::of(status, &[("content-type", "text/html")], b"<html>", &[]));
            let retried = matches!(outcome, Outcome::Retry { .. });
            assert!(
                retried == retry && (retry || matches!(outcome, Outcome::Blocked { .. })),
                "{status} {outcome:?}"
            );
        }
    }

    #[test]
    fn a_message_is_percent_decoded() {
        let trailers = [("grpc-status", "3"), ("grpc-message", "bad%20id%0Aof%20%C3%A9")];
        let refused = outcome(&Answer::of(200, &[], b"", &trailers));
        assert_eq!(
            refused,
            Outcome::Refused { why: "gRPC status 3: bad id of é".to_owned(), cause: Refusal::Content }
        );
    }
}
