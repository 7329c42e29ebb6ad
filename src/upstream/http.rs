//! OTLP over HTTP, from the client's side.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;

use super::Settings;
use super::answer::{Answer, said, status};
use crate::ingest::Signal;
use crate::ingest::forward::Outcome;
use crate::model::Timestamp;

const PROTOBUF: &str = "application/x-protobuf";
const USER_AGENT: &str = concat!("tracelodge/", env!("CARGO_PKG_VERSION"));

/// `POST /v1/{signal}` below the endpoint's path.
pub(super) fn request(
    settings: &Settings,
    signal: Signal,
    request: Bytes,
) -> Result<Request<Full<Bytes>>, Box<dyn std::error::Error>> {
    let body = settings.compression.pack(request)?;
    let mut built =
        Request::post(settings.endpoint.uri(&format!("/v1/{}", signal.name()))?).body(Full::new(body))?;
    let headers = built.headers_mut();
    headers.extend(settings.headers.clone());
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROTOBUF));
    headers.insert(header::ACCEPT, HeaderValue::from_static(PROTOBUF));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    if let Some(coding) = settings.compression.coding() {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
    }
    Ok(built)
}

/// The specification's table, and beside it: statuses that speak of the address, the credentials or the way, and
/// not of the bytes, block.
pub(super) fn outcome(answer: &Answer, now: Timestamp) -> Outcome {
    let code = answer.status;
    let status = status(answer.bytes());
    let why = || format!("HTTP {}{}", code.as_u16(), explained(answer, &status.message));
    match code {
        // A page that greets every request, as captive portals have, has taken nothing.
        _ if code.is_success() && answer.media_type() == "text/html" => {
            Outcome::Blocked { why: format!("HTTP {} with a web page: this is not OTLP", code.as_u16()) }
        }
        _ if code.is_success() => answer.accepted(answer.bytes()),
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => {
            Outcome::Retry { why: why(), after: retry_after(answer, now).or(status.retry_delay) }
        }
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::NOT_FOUND
        | StatusCode::METHOD_NOT_ALLOWED
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED
        | StatusCode::UNSUPPORTED_MEDIA_TYPE
        | StatusCode::MISDIRECTED_REQUEST
        | StatusCode::UPGRADE_REQUIRED => Outcome::Blocked { why: why() },
        _ if code.is_redirection() || code.is_informational() => Outcome::Blocked { why: why() },
        _ => Outcome::Refused { why: why() },
    }
}

/// `google.rpc.Status`' message if that is what came, or the text that did, or where it points.
fn explained(answer: &Answer, message: &str) -> String {
    let text = match answer.media_type().as_str() {
        PROTOBUF => said(message),
        media_type if media_type.starts_with("text/plain") || media_type == "application/json" => {
            said(&String::from_utf8_lossy(answer.bytes()))
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
        let retry = [429, 502, 503, 504];
        let blocked = [301, 302, 307, 308, 401, 403, 404, 405, 407, 415, 421, 426];
        let accepted = [200, 202, 204];
        let refused = [400, 402, 406, 408, 409, 413, 418, 422, 431, 451, 500, 501, 505, 507, 599];
        for status in 200..600 {
            let kind = match answered(status, &[], b"") {
                Outcome::Accepted { rejected: 0, .. } => &accepted[..],
                Outcome::Retry { after: None, .. } => &retry[..],
                Outcome::Blocked { .. } => &blocked[..],
                Outcome::Refused { .. } => &refused[..],
                odd => panic!("{status}: {odd:?}"),
            };
            let named =
                [&accepted[..], &retry, &blocked, &refused].into_iter().find(|kind| kind.contains(&status));
            assert!(named.is_none_or(|named| named == kind), "{status} is {:?}", answered(status, &[], b""));
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
    fn a_page_that_greets_everybody_has_taken_nothing() {
        let outcome = answered(200, &[("content-type", "text/html; charset=utf-8")], b"<html>Welcome");
        assert!(matches!(outcome, Outcome::Blocked { .. }), "{outcome:?}");
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
            assert_eq!(outcome, Outcome::Refused { why: expected.to_owned() });
        }
    }
}
