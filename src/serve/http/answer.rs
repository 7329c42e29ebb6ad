//! How answers are written: Jaeger's envelope, indented or not, packed or not.

use std::io::{self, BufWriter, Write as _};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::error::Error;
use super::parameters::Parameters;
use super::unpacked::Unpacked;
use crate::serve::budget::{MAX_ANSWER_BYTES, Share};
use crate::serve::ui;

/// Below this packing saves less than a network packet.
const MIN_PACKED_BYTES: usize = 1024;
/// Above this an answer is held packed even for those who do not take it so.
const MAX_PLAIN_BYTES: usize = 1 << 20;

/// What every answer of Jaeger's API stands in; the order of the fields is Jaeger's.
#[derive(Debug, Serialize)]
pub(super) struct Envelope<T> {
    /// `null` only beside an error.
    pub data: T,
    /// How many services or operations; 0 for everything else.
    pub total: usize,
    pub limit: usize,
    pub offset: usize,
    /// `null` when there are none.
    pub errors: Option<Vec<Item>>,
}

/// An error beside, or instead of, data.
#[derive(Debug, Serialize)]
pub(super) struct Item {
    #[serde(skip_serializing_if = "is_zero")]
    pub code: u16,
    pub msg: String,
    /// Only of a trace that was asked for by its id.
    #[serde(rename = "traceID", skip_serializing_if = "String::is_empty")]
    pub trace_id: String,
}

fn is_zero(code: &u16) -> bool {
    *code == 0
}

impl<T> Envelope<T> {
    pub(super) fn of(data: T, total: usize) -> Self {
        Self { data, total, limit: 0, offset: 0, errors: None }
    }
}

/// How the asker wants an answer written.
#[derive(Debug, Clone, Copy)]
pub(in crate::serve) struct Form {
    indent: bool,
    gzip: bool,
}

impl Form {
    pub(in crate::serve) fn of(parameters: &Parameters, headers: &HeaderMap) -> Self {
        let indent = parameters.text("prettyPrint").is_some_and(|value| value != "false");
        Self { indent, gzip: ui::accepts(headers, "gzip") }
    }
}

/// A written answer.
#[derive(Debug)]
pub(in crate::serve) struct Reply {
    content_type: &'static str,
    /// How it is held.
    body: Vec<u8>,
    is_packed: bool,
    /// Whether it may be sent packed.
    takes_gzip: bool,
    /// Its bytes when it is unpacked.
    length: u64,
    share: Option<Share>,
}

impl Reply {
    /// As JSON, indented by four spaces if wanted.
    pub(in crate::serve) fn json(value: &impl Serialize, form: Form) -> Result<Self, Error> {
        Self::written(form, |writer| {
            if form.indent {
                let indented = PrettyFormatter::with_indent(b"    ");
                value.serialize(&mut Serializer::with_formatter(writer, indented))?;
            } else {
                serde_json::to_writer(writer, value)?;
            }
            Ok(())
        })
    }

    /// As JSON that is written as it stands.
    pub(in crate::serve) fn written<E: From<io::Error>>(
        form: Form,
        write: impl FnOnce(&mut dyn io::Write) -> Result<(), E>,
    ) -> Result<Self, E>
    where
        Error: Into<E>,
    {
        // It comes in pieces of a few bytes, which packing one by one would make slow.
        let mut writer = BufWriter::with_capacity(64 << 10, Packer::of(form));
        write(&mut writer)?;
        let packer = writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        packer.finish("application/json").map_err(Error::into)
    }

    /// As it is.
    pub(super) fn bytes(content_type: &'static str, body: &[u8], form: Form) -> Result<Self, Error> {
        let mut packer = Packer::of(form);
        packer.write_all(body)?;
        packer.finish(content_type)
    }

    /// Keeps what was set aside for this answer until it is sent, trimmed to what it turned out to need.
    pub(in crate::serve) fn with_share(mut self, mut share: Share) -> Self {
        share.trim(self.body.len());
        self.share = Some(share);
        self
    }
}

/// Packs while the answer is written, so that a large one is never held unpacked.
struct Packer {
    takes_gzip: bool,
    /// Everything, as long as it may turn out to be too short for packing.
    plain: Vec<u8>,
    packed: Option<GzEncoder<Vec<u8>>>,
    /// What was written so far.
    length: u64,
}

impl Packer {
    fn of(form: Form) -> Self {
        Self { takes_gzip: form.gzip, plain: Vec::new(), packed: None, length: 0 }
    }

    fn finish(self, content_type: &'static str) -> Result<Reply, Error> {
        let is_packed = self.packed.is_some();
        let body = match self.packed {
            Some(packed) => packed.finish()?,
            None => self.plain,
        };
        let (takes_gzip, length) = (self.takes_gzip, self.length);
        Ok(Reply { content_type, body, is_packed, takes_gzip, length, share: None })
    }
}

impl io::Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.length += bytes.len() as u64;
        if let Some(packed) = &mut self.packed {
            packed.write_all(bytes)?;
            let fits = packed.get_ref().len() <= MAX_ANSWER_BYTES;
            return if fits { Ok(bytes.len()) } else { Err(io::ErrorKind::FileTooLarge.into()) };
        }
        self.plain.extend_from_slice(bytes);
        let pack_above = if self.takes_gzip { MIN_PACKED_BYTES } else { MAX_PLAIN_BYTES };
        if self.plain.len() > pack_above {
            let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
            packed.write_all(&std::mem::take(&mut self.plain))?;
            self.packed = Some(packed);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let held = Held { bytes: self.body, _share: self.share };
        let body = if self.is_packed && !self.takes_gzip {
            Body::new(Unpacked::new(held, self.length))
        } else {
            Body::from(Bytes::from_owner(held))
        };
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type))];
        let mut response = (content_type, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if self.is_packed && self.takes_gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// A written answer on its way: the server drops it when the last byte has left.
struct Held {
    bytes: Vec<u8>,
    _share: Option<Share>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::to_bytes;
    use http_body::Body as _;

    use super::*;
    use crate::serve::budget::Budget;

    const PLAIN: Form = Form { indent: false, gzip: false };
    const PACKED: Form = Form { indent: false, gzip: true };

    #[tokio::test]
    async fn an_answer_keeps_its_bytes_until_it_is_sent_and_no_more_than_it_needs() {
        for form in [PLAIN, PACKED] {
            let budget = Budget::default();
            let share = budget.take(Duration::ZERO).await.unwrap();
            assert_eq!(budget.taken(), MAX_ANSWER_BYTES);
            let text = "spans ".repeat(500_000);
            let reply = Reply::json(&text, form).unwrap().with_share(share);
            let held = reply.body.len();
            assert!(held < 100_000, "{held} bytes: it is held packed whoever asked");
            let response = reply.into_response();
            assert_eq!(budget.taken(), held, "nobody has read it yet");
            let whole = to_bytes(response.into_body(), usize::MAX).await.unwrap();
            if form.gzip {
                assert_eq!((whole.len(), budget.taken()), (held, held), "its last byte is not sent yet");
            } else {
                assert_eq!(whole, format!("\"{text}\""));
            }
            drop(whole);
            assert_eq!(budget.taken(), 0);
        }
    }

    #[test]
    fn the_length_of_an_answer_is_said_whether_or_not_it_is_unpacked_on_its_way() {
        for length in [10, MAX_PLAIN_BYTES * 2] {
            let response = Reply::bytes("text/plain", &vec![b'x'; length], PLAIN).unwrap().into_response();
            assert_eq!(response.body().size_hint().exact(), Some(length as u64));
        }
    }

    #[test]
    fn an_answer_that_is_too_large_even_packed_is_refused() {
        let mut noise = vec![0; MAX_ANSWER_BYTES + (1 << 20)];
        rustix::rand::getrandom(&mut noise, rustix::rand::GetRandomFlags::empty()).unwrap();
        let refused = noise
            .chunks(1 << 20)
            .try_fold(Packer::of(PACKED), |mut packer, piece| packer.write_all(piece).map(|()| packer));
        assert!(matches!(refused.map_err(Error::from), Err(Error::TooLarge)));
    }
}
