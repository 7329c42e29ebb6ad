//! The one thing that any version must be able to read of a file of any other: its version.

use std::io;

use bytes::Buf;

/// Bytes of a file's header and of `LOCK`, in every version: magic, version (u16), anything, CRC (u32).
pub(super) const BYTES: usize = 64;
/// Where their CRC stands; it covers what is before it.
pub(super) const CHECKSUM_AT: usize = BYTES - 4;

/// What follows magic and version, up to the CRC; none if the bytes are damaged, or something else.
///
/// # Errors
///
/// `Unsupported` if it is a later one than `known`: whoever does not know what a file may hold must leave it alone.
pub(super) fn body(bytes: &[u8], magic: [u8; 8], known: u16) -> io::Result<Option<&[u8]>> {
    let Some(bytes) = bytes.first_chunk::<BYTES>() else { return Ok(None) };
    let (covered, mut checksum) = bytes.split_at(CHECKSUM_AT);
    let Some(mut rest) = covered.strip_prefix(&magic) else { return Ok(None) };
    if checksum.get_u32_le() != crc32c::crc32c(covered) {
        return Ok(None);
    }
    let version = rest.get_u16_le();
    if version > known {
        let why = format!("written in format {version}, this program knows {known}");
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    Ok(Some(rest))
}
