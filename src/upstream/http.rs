//! OTLP over HTTP, from the client's side.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};

use super::answer::{Answer, said, status};
use super::{Body, Settings, body};
use crate::ingest::Signal;
use crate::ingest::forward::{Outcome, Refusal};
use crate::model::Timestamp;

const PROTOBUF: &str = "application/x-protobuf";

/// `POST /v1/{signal}` below the endpoint's path.
pub(super) fn request(
    settings: &Settings,
    signal: Signal,
    request: Bytes,
) -> Result<Request<Body>, Box<dyn std::error::Error>> {
    let body = body(Bytes::new(), settings.compression.pack(request)?);
    let mut built = Request::post(settings.endpoint.uri(&format!("/v1/{}", signal.name()))?).body(body)?;
    settings.add_headers(built.headers_mut(), PROTOBUF, header::CONTENT_ENCODING);
    built.headers_mut().insert(header::ACCEPT, HeaderValue::from_static(PROTOBUF));
    Ok(built)
}

/// The specification's table, and beside it: statuses that speak of the address, the credentials or the way, and
/// not of the bytes, block; those of a server that is broken rather than of one that judges are tried again.
pub(super) fn outcome(answer: &Answer, now: Timestamp) -> Outcome {
    let code = answer.status;
    let is_page = answer.media_type() == "text/html";
    let status = status(&answer.body);
    let why = || format!("HTTP {}{}", code.as_u16(), explained(answer, &status.message));
    match code.as_u16() {
        // A page that greets every request, as captive portals have, has taken nothing. Nor has one judged.
        200..=299 | 400 if is_page => {
            Outcome::Blocked { why: format!("HTTP {} with a web page: this is not OTLP", code.as_u16()) }
        }
        200..=299 => answer.accepted(&answer.body),
        // Without a Status it is not OTLP's server that says so, but what stands before it or what it runs in.
        500 if answer.media_type() == PROTOBUF && status.code.is_some() => {
            Outcome::Refused { why: why(), cause: Refusal::Content }
        }
        // 520 to 527 are Cloudflare's words for an origin that does not answer.
        408 | 429 | 500 | 502..=504 | 520..=527 => {
            Outcome::Retry { why: why(), after: retry_after(answer, now).or(status.retry_delay) }
        }
        413 => Outcome::Refused { why: why(), cause: Refusal::Size },
        401 => Outcome::Unauthorized { why: why() },
        // 495 and 496 are nginx' words for a client's certificate.
        100..=199 | 300..=399 | 402..=407 | 410 | 415 | 421 | 426 | 431 | 495 | 496 | 505 | 511 => {
            Outcome::Blocked { why: why() }
        }
        _ => Outcome::Refused { why: why(), cause: Refusal::Content },
    }
}

/// `google.rpc.Status`' message if that is what came, or the text that did, or where it points.
fn explained(answer: &Answer, message: &str) -> String {
    let text = match answer.media_type().as_str() {
        PROTOBUF => said(message),
        media_type if media_type.starts_with("text/plain") || media_type == "application/json" => {
            said(&String::from_utf8_lossy(&answer.body))
        }
        _ => answer
            .header(&header::LOCATION)
            .map(|location| format!("to {}", said(location)))
            .unwrap_or_default(),
    };
    if text.is_empty() { text } else { format!(": {text}") }
}

/// RFC 9110, section 10.2.3: seconds, or a date.
fn retry_after(answer: &Answer, now: Timestamp) -> Option<Duration> {
    let text = answer.header(&header::RETRY_AFTER)?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    let until = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(until.saturating_sub(now.since(Timestamp::ZERO)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::write;

    fn answered(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Outcome {
        let answer = Answer::of(status, headers, body, &[]);
        // Fri, 14 Nov 2025 12:00:00 GMT.
        outcome(&answer, Timestamp::from_millis(1_763_121_600_000))
    }

    #[test]
    fn statuses_mean_what_the_specification_says() {
        let retry = [408, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 526, 527];
        let blocked = [401, 402, 403, 404, 405, 406, 407, 410, 415, 421, 426, 431, 495, 496, 505, 511];
        for status in 200..600 {
            let expected = match status {
                200..=299 => "accepted",
                300..=399 => "blocked",
                413 => "too large",
                _ if retry.contains(&status) => "retry",
                _ if blocked.contains(&status) => "blocked",
                _ => "refused",
            };
            assert_eq!(kind(&answered(status, &[], b"")), expected, "{status}");
        }
    }

    fn kind(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Accepted { rejected: 0, .. } => "accepted",
            Outcome::Retry { after: None, .. } => "retry",
            Outcome::Blocked { .. } | Outcome::Unauthorized { .. } => "blocked",
            Outcome::Refused { cause: Refusal::Content, .. } => "refused",
            Outcome::Refused { cause: Refusal::Size, .. } => "too large",
            odd => panic!("{odd:?}"),
        }
    }

    #[test]
    fn who_says_it_matters_as_much_as_what_is_said() {
        let (protobuf, html) = ("application/x-protobuf", "text/html; charset=utf-8");
        let status = b"\x08\x0d\x12\x03bad";
        for (code, media_type, body, expected) in [
            (500, protobuf, &status[..], "refused"),
            (500, protobuf, b"", "retry"),
            (500, protobuf, b"\xff", "retry"),
            (500, html, b"<html>oops", "retry"),
            (500, "text/plain", status, "retry"),
            (400, protobuf, status, "refused"),
            (400, "", b"", "refused"),
            (400, html, b"<html>The plain HTTP request was sent to HTTPS port", "blocked"),
            (200, html, b"<html>Welcome", "blocked"),
        ] {
            let outcome = answered(code, &[("content-type", media_type)], body);
            assert_eq!(kind(&outcome), expected, "{code} {media_type} {outcome:?}");
        }
    }

    #[test]
    fn a_server_says_when_it_wants_to_hear_again() {
        let cases = [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Fri, 14 Nov 2025 12:00:30 GMT", Some(30)),
            ("Fri, 14 Nov 2025 11:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ];
        for (text, seconds) in cases {
            let Outcome::Retry { after, .. } = answered(503, &[("retry-after", text)], b"") else {
                panic!("{text}")
            };
            assert_eq!(after, seconds.map(Duration::from_secs), "{text}");
        }
    }

    #[test]
    fn partial_success_is_success() {
        let mut response = Vec::new();
        write::message(&mut response, 1, |partial| {
            write::uint(partial, 1, 3);
            write::string(partial, 2, "too old");
        });
        let protobuf = [("content-type", "application/x-protobuf")];
        let expected = Outcome::Accepted { rejected: 3, message: "too old".to_owned() };
        assert_eq!(answered(200, &protobuf, &response), expected);
        // Whatever else a server answers with: it said yes.
        let yes = Outcome::Accepted { rejected: 0, message: String::new() };
        for (media_type, body) in
            [("application/json", &b"{}"[..]), ("application/x-protobuf", b"\xff"), ("", b"ok")]
        {
            assert_eq!(answered(200, &[("content-type", media_type)], body), yes, "{media_type}");
        }
    }

    #[test]
    fn a_refusal_is_repeated_in_the_servers_words() {
        let mut status = Vec::new();
        write::uint(&mut status, 1, 3);
        write::string(&mut status, 2, "no\nservice name");
        let cases = [
            ("application/x-protobuf", &status[..], "HTTP 400: no service name"),
            ("text/plain; charset=utf-8", b"bad body\n", "HTTP 400: bad body"),
            ("application/octet-stream", b"\0\0", "HTTP 400"),
        ];
        for (media_type, body, expected) in cases {
            let outcome = answered(400, &[("content-type", media_type)], body);
            assert_eq!(outcome, Outcome::Refused { why: expected.to_owned(), cause: Refusal::Content });
        }
    }
}
