//! Packing requests.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::write::GzEncoder;

/// How requests are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// As they are.
    None,
    /// What every OTLP server must take.
    Gzip,
    /// Smaller and quicker, where the server takes it.
    Zstd,
}

/// What zstd itself takes unless told otherwise.
const ZSTD_LEVEL: i32 = 3;

/// What telemetry shrinks to at least, as a part of it: room for that saves copying while it grows.
const USUAL_RATIO: usize = 4;

impl Compression {
    /// Its name in `content-encoding` and `grpc-encoding`.
    pub(super) fn coding(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip => Some("gzip"),
            Self::Zstd => Some("zstd"),
        }
    }

    /// Packs a request.
    pub(super) fn pack(self, request: Bytes) -> io::Result<Bytes> {
        match self {
            Self::None => Ok(request),
            Self::Gzip => {
                let packed = Vec::with_capacity(request.len() / USUAL_RATIO);
                let mut encoder = GzEncoder::new(packed, flate2::Compression::fast());
                encoder.write_all(&request)?;
                Ok(encoder.finish()?.into())
            }
            Self::Zstd => Ok(zstd::bulk::compress(&request, ZSTD_LEVEL)?.into()),
        }
    }
}
