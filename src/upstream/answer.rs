//! What servers answer with: responses with a partial success, and `google.rpc.Status` with its `RetryInfo`.
//!
//! Source: `collector/trace/v1/trace_service.proto` (logs and metrics have the same shape), googleapis
//! `google/rpc/status.proto`, `google/rpc/error_details.proto`.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header};

use crate::ingest::forward::Outcome;
use crate::otlp::{Fields, Value};

/// Letters of a server's words that are repeated in logs.
const SAID_LETTERS: usize = 200;

/// Why a body does not end as it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfinished {
    #[error("its answer is longer than {} bytes", super::MAX_READ_BYTES)]
    TooLong,
    #[error("its answer broke off: {0}")]
    CutOff(String),
    #[error("the rest of its answer did not come in time")]
    Late,
}

/// An answer, as far as it came.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Its first [`super::MAX_ANSWER_BYTES`].
    pub(super) body: Bytes,
    /// Why that, or what follows, is not all.
    pub(super) unfinished: Option<Unfinished>,
    pub(super) trailers: HeaderMap,
}

impl Answer {
    /// A header as text; one that is not text is as good as absent.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The media type without its parameters, in lower case.
    pub(super) fn media_type(&self) -> String {
        let text = self.header(&header::CONTENT_TYPE).unwrap_or_default();
        text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }

    /// A yes, with what an `Export…ServiceResponse` says beside it. What cannot be read is still a yes.
    pub(super) fn accepted(&self, response: &[u8]) -> Outcome {
        let mut outcome = (0, String::new());
        each_field(response, |number, value| {
            if let (1, Value::Bytes(partial)) = (number, value) {
                each_field(partial, |number, value| match (number, value) {
                    // An int64; less than nothing was not rejected.
                    (1, Value::Varint(rejected)) => outcome.0 = u64::try_from(rejected as i64).unwrap_or(0),
                    (2, Value::Bytes(message)) => outcome.1 = said(&String::from_utf8_lossy(message)),
                    _ => {}
                });
            }
        });
        Outcome::Accepted { rejected: outcome.0, message: outcome.1 }
    }
}

/// What a `google.rpc.Status` says beside its code.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// `None` where it is not a status at all.
    pub(super) code: Option<u64>,
    pub(super) message: String,
    pub(super) retry_delay: Option<Duration>,
}

/// Of bytes that may be one; what cannot be read is not there.
pub(super) fn status(bytes: &[u8]) -> Status {
    let mut status = Status::default();
    each_field(bytes, |number, value| match (number, value) {
        (1, Value::Varint(code)) => status.code = Some(code),
        (2, Value::Bytes(message)) => status.message = String::from_utf8_lossy(message).into_owned(),
        (3, Value::Bytes(detail)) => status.retry_delay = status.retry_delay.or(retry_info(detail)),
        _ => {}
    });
    status
}

/// `google.protobuf.Any` of a `RetryInfo`.
fn retry_info(detail: &[u8]) -> Option<Duration> {
    let (mut is_retry_info, mut delay) = (false, None);
    each_field(detail, |number, value| match (number, value) {
        (1, Value::Bytes(url)) => is_retry_info = url.ends_with(b"/google.rpc.RetryInfo"),
        (2, Value::Bytes(info)) => {
            let mut found = Duration::ZERO;
            each_field(info, |number, value| {
                if let (1, Value::Bytes(duration)) = (number, value) {
                    found = duration_of(duration);
                }
            });
            delay = Some(found);
        }
        _ => {}
    });
    // Without a value it asks for no delay, and still says that a retry is welcome.
    is_retry_info.then(|| delay.unwrap_or_default())
}

/// `google.protobuf.Duration`; a negative one is none.
fn duration_of(message: &[u8]) -> Duration {
    let (mut seconds, mut nanos) = (0, 0);
    each_field(message, |number, value| match (number, value) {
        (1, Value::Varint(value)) => seconds = u64::try_from(value as i64).unwrap_or(0),
        (2, Value::Varint(value)) => nanos = u32::try_from(value as i64).unwrap_or(0),
        _ => {}
    });
    Duration::from_secs(seconds).saturating_add(Duration::from_nanos(nanos.into()))
}

/// The fields of a message, up to where it is damaged.
fn each_field<'a>(message: &'a [u8], mut take: impl FnMut(u32, Value<'a>)) {
    let mut fields = Fields::new(message);
    while let Ok(Some((number, value))) = fields.next_field() {
        take(number, value);
    }
}

/// A server's words, fit for one line of a log.
pub(super) fn said(words: &str) -> String {
    let words: Vec<&str> =
        words.split(|letter: char| letter.is_whitespace() || letter.is_control()).collect();
    let line = words.into_iter().filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    line.chars().take(SAID_LETTERS).collect()
}

#[cfg(test)]
impl Answer {
    /// As tests write one.
    pub(super) fn of(
        status: u16,
        headers: &[(&'static str, &str)],
        body: &[u8],
        trailers: &[(&'static str, &str)],
    ) -> Self {
        let map = |pairs: &[(&'static str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
                .collect()
        };
        let status = StatusCode::from_u16(status).unwrap();
        Self {
            status,
            headers: map(headers),
            body: Bytes::copy_from_slice(body),
            unfinished: None,
            trailers: map(trailers),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otlp::write;

    fn status_with(url: &str, seconds: u64, nanos: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        write::uint(&mut bytes, 1, 14);
        write::string(&mut bytes, 2, "full");
        write::message(&mut bytes, 3, |detail| {
            write::string(detail, 1, "type.googleapis.com/google.rpc.Help")
        });
        write::message(&mut bytes, 3, |detail| {
            write::string(detail, 1, url);
            write::message(detail, 2, |info| {
                write::message(info, 1, |delay| {
                    write::uint(delay, 1, seconds);
                    write::uint(delay, 2, nanos);
                });
            });
        });
        bytes
    }

    #[test]
    fn a_delay_is_found_among_the_details() {
        let url = "type.googleapis.com/google.rpc.RetryInfo";
        let cases = [
            (status_with(url, 3, 500_000_000), Some(Duration::from_millis(3_500))),
            (status_with(url, 0, 0), Some(Duration::ZERO)),
            (status_with(url, u64::MAX, 0), Some(Duration::ZERO)),
            (
                status_with(url, i64::MAX as u64, 999_999_999),
                Some(Duration::new(i64::MAX as u64, 999_999_999)),
            ),
            (status_with("type.googleapis.com/google.rpc.QuotaFailure", 3, 0), None),
            (b"\xff\xff\xff".to_vec(), None),
        ];
        for (bytes, delay) in cases {
            assert_eq!(status(&bytes).retry_delay, delay, "{bytes:?}");
        }
        assert_eq!(status(&status_with(url, 1, 0)).message, "full");
    }

    #[test]
    fn any_bytes_at_all_are_read_without_harm() {
        let url = "type.googleapis.com/google.rpc.RetryInfo";
        let whole = status_with(url, 3, 5);
        for length in 0..whole.len() {
            for flip in 0..8 {
                let mut bytes = whole[..=length].to_vec();
                bytes[length] ^= 1 << flip;
                let _whatever = status(&bytes);
            }
        }
    }

    #[test]
    fn words_fit_one_line() {
        assert_eq!(said("  a\r\n\tb\u{7}c \n"), "a b c");
        assert_eq!(said(&"é".repeat(10_000)).chars().count(), SAID_LETTERS);
    }
}
