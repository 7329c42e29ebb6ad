//! OTLP over gRPC, from the client's side: one framed message in each direction.
//!
//! Source: grpc `doc/PROTOCOL-HTTP2.md`, `doc/http-grpc-status-mapping.md`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::Full;

use super::Settings;
use super::answer::{Answer, Status, Unusable, said, status};
use crate::ingest::Signal;
use crate::ingest::forward::Outcome;

const MEDIA_TYPE: &str = "application/grpc";
const USER_AGENT: &str = concat!("tracelodge/", env!("CARGO_PKG_VERSION"));

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
) -> Result<Request<Full<Bytes>>, Box<dyn std::error::Error>> {
    let message = settings.compression.pack(request)?;
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(u8::from(settings.compression.coding().is_some()));
    framed.put_u32(u32::try_from(message.len())?);
    framed.put_slice(&message);
    let mut built = Request::post(settings.endpoint.uri(path(signal))?).body(Full::new(framed.freeze()))?;
    let headers = built.headers_mut();
    headers.extend(settings.headers.clone());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    // At most eight digits, the specification says.
    let millis = settings.timeout.as_millis().min(99_999_999);
    headers.insert(GRPC_TIMEOUT, HeaderValue::try_from(format!("{millis}m"))?);
    if let Some(coding) = settings.compression.coding() {
        headers.insert(GRPC_ENCODING, HeaderValue::from_static(coding));
    }
    Ok(built)
}

/// `google.rpc.Code`s that mean something other than "these bytes will never do".
mod code {
    pub(super) const OK: u32 = 0;
    pub(super) const CANCELLED: u32 = 1;
    pub(super) const DEADLINE_EXCEEDED: u32 = 4;
    pub(super) const PERMISSION_DENIED: u32 = 7;
    pub(super) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(super) const ABORTED: u32 = 10;
    pub(super) const OUT_OF_RANGE: u32 = 11;
    pub(super) const UNIMPLEMENTED: u32 = 12;
    pub(super) const UNAVAILABLE: u32 = 14;
    pub(super) const DATA_LOSS: u32 = 15;
    pub(super) const UNAUTHENTICATED: u32 = 16;
}

/// The specification's table. Without a `grpc-status`, it was not a gRPC server that answered.
pub(super) fn outcome(answer: &Answer) -> Outcome {
    let Some(number) = header_text(answer, &GRPC_STATUS).and_then(|text| text.parse().ok()) else {
        return without_status(answer);
    };
    let status = details(answer);
    let why = || format!("gRPC status {number}{}", explained(answer, &status));
    match number {
        code::OK => answer.accepted(message(answer.bytes())),
        code::RESOURCE_EXHAUSTED if status.retry_delay.is_none() => Outcome::Refused { why: why() },
        code::CANCELLED
        | code::DEADLINE_EXCEEDED
        | code::RESOURCE_EXHAUSTED
        | code::ABORTED
        | code::OUT_OF_RANGE
        | code::UNAVAILABLE
        | code::DATA_LOSS => Outcome::Retry { why: why(), after: status.retry_delay },
        code::PERMISSION_DENIED | code::UNIMPLEMENTED | code::UNAUTHENTICATED => {
            Outcome::Blocked { why: why() }
        }
        _ => Outcome::Refused { why: why() },
    }
}

/// A proxy on the way speaks HTTP only; what it says is mapped as gRPC's document has it. Everything else means
/// that nobody there speaks gRPC.
fn without_status(answer: &Answer) -> Outcome {
    if let Err(unusable @ Unusable::CutOff(_)) = &answer.body {
        return Outcome::Retry { why: unusable.to_string(), after: None };
    }
    let code = answer.status;
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

fn explained(answer: &Answer, status: &Status) -> String {
    let message = header_text(answer, &GRPC_MESSAGE).unwrap_or_default();
    let message = percent_encoding::percent_decode_str(message).decode_utf8_lossy();
    let words = if message.is_empty() { said(&status.message) } else { said(&message) };
    if words.is_empty() { words } else { format!(": {words}") }
}

/// The one message of an answer; a packed one was not asked for, and says nothing that has to be known.
fn message(body: &[u8]) -> &[u8] {
    match body.split_at_checked(PREFIX_BYTES) {
        Some(([0, ..], message)) => message,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::write;
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
        let (retry, blocked) = ([1, 4, 10, 11, 14, 15], [7, 12, 16]);
        for number in 0..=20 {
            let text = number.to_string();
            // In the trailers, and as an answer of headers alone.
            for answer in [
                Answer::of(200, &[], b"", &[("grpc-status", &text)]),
                Answer::of(200, &[("grpc-status", &text)], b"", &[]),
            ] {
                match outcome(&answer) {
                    Outcome::Accepted { .. } => assert_eq!(number, 0),
                    Outcome::Retry { after: None, .. } => assert!(retry.contains(&number), "{number}"),
                    Outcome::Blocked { .. } => assert!(blocked.contains(&number), "{number}"),
                    Outcome::Refused { .. } => {
                        assert!(
                            number != 0 && !retry.contains(&number) && !blocked.contains(&number),
                            "{number}"
                        );
                    }
                    odd => panic!("{number}: {odd:?}"),
                }
            }
        }
    }

    #[test]
    fn exhausted_is_retried_only_when_the_server_says_when() {
        let details = retry_info(9);
        let delay = Some(Duration::from_secs(9));
        for (number, details, after) in
            [("8", &*details, Some(delay)), ("8", "", None), ("14", &*details, Some(delay))]
        {
            let trailers = [("grpc-status", number), ("grpc-status-details-bin", details)];
            match outcome(&Answer::of(200, &[], b"", &trailers)) {
                Outcome::Retry { after: said, .. } => assert_eq!(Some(said), after, "{number}"),
                Outcome::Refused { .. } => assert_eq!(None, after, "{number}"),
                odd => panic!("{number}: {odd:?}"),
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
        let mut cut_off = Answer::of(200, &[("content-type", "application/grpc")], b"", &[]);
        cut_off.body = Err(Unusable::CutOff("reset".to_owned()));
        assert!(matches!(outcome(&cut_off), Outcome::Retry { .. }));
    }

    #[test]
    fn a_message_is_percent_decoded() {
        let trailers = [("grpc-status", "3"), ("grpc-message", "bad%20id%0Aof%20%C3%A9")];
        let refused = outcome(&Answer::of(200, &[], b"", &trailers));
        assert_eq!(refused, Outcome::Refused { why: "gRPC status 3: bad id of é".to_owned() });
    }
}
