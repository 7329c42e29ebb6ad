//! How answers are written: Jaeger's envelope, indented or not, packed or not.

use std::io::{self, BufWriter, Write as _};

use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderMap, HeaderValue};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use super::error::Error;
use super::parameters::Parameters;
use crate::serve::ui;

/// Below this packing saves less than a network packet.
const MIN_PACKED_BYTES: usize = 1024;

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
pub(super) struct Form {
    indent: bool,
    gzip: bool,
}

impl Form {
    pub(super) fn of(parameters: &Parameters, headers: &HeaderMap) -> Self {
        let indent = parameters.text("prettyPrint").is_some_and(|value| value != "false");
        Self { indent, gzip: ui::accepts(headers, "gzip") }
    }
}

/// A written answer.
#[derive(Debug)]
pub(super) struct Reply {
    content_type: &'static str,
    body: Vec<u8>,
    is_packed: bool,
}

impl Reply {
    /// As JSON, indented by four spaces if wanted.
    pub(super) fn json(value: &impl Serialize, form: Form) -> Result<Self, Error> {
        // The writer comes in pieces of a few bytes, which packing one by one would make slow.
        let mut writer = BufWriter::with_capacity(64 << 10, Packer::of(form));
        if form.indent {
            value.serialize(&mut Serializer::with_formatter(
                &mut writer,
                PrettyFormatter::with_indent(b"    "),
            ))?;
        } else {
            serde_json::to_writer(&mut writer, value)?;
        }
        let packer = writer.into_inner().map_err(|error| Error::Pack(error.into_error()))?;
        packer.finish("application/json")
    }

    /// As it is.
    pub(super) fn bytes(content_type: &'static str, body: &[u8], form: Form) -> Result<Self, Error> {
        let mut packer = Packer::of(form);
        packer.write_all(body).map_err(Error::Pack)?;
        packer.finish(content_type)
    }
}

/// Packs while the answer is written, so that a large one is never held unpacked.
struct Packer {
    is_wanted: bool,
    /// Everything, as long as it may turn out to be too short for packing.
    plain: Vec<u8>,
    packed: Option<GzEncoder<Vec<u8>>>,
}

impl Packer {
    fn of(form: Form) -> Self {
        Self { is_wanted: form.gzip, plain: Vec::new(), packed: None }
    }

    fn finish(self, content_type: &'static str) -> Result<Reply, Error> {
        let is_packed = self.packed.is_some();
        let body = match self.packed {
            Some(packed) => packed.finish().map_err(Error::Pack)?,
            None => self.plain,
        };
        Ok(Reply { content_type, body, is_packed })
    }
}

impl io::Write for Packer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(packed) = &mut self.packed {
            return packed.write(bytes);
        }
        self.plain.extend_from_slice(bytes);
        if self.is_wanted && self.plain.len() > MIN_PACKED_BYTES {
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
        let content_type = [(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type))];
        let mut response = (content_type, self.body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        if self.is_packed {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}
