//! Requests as they were captured from SDKs.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use flate2::read::{GzDecoder, ZlibDecoder};

/// A captured body, uncompressed.
pub(crate) fn captured(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire").join(name);
    let bytes = fs::read(path).expect("the captured request is there");
    let mut plain = Vec::new();
    match name.rsplit('.').next() {
        Some("gz") => GzDecoder::new(&bytes[..]).read_to_end(&mut plain).expect("gzip"),
        Some("zlib") => ZlibDecoder::new(&bytes[..]).read_to_end(&mut plain).expect("zlib"),
        _ => return bytes,
    };
    plain
}
