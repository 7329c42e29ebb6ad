//! Every value under a checksum of its own, over its key too, looked at on every read: the engine checks its pages only
//! when it recovers.

use redb::ReadableTable;

use crate::store::Error;

/// A row whose bytes are not what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Damaged;

/// A value with its checksum behind it.
pub(super) fn seal(key: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let checksum = checksum(key, &value);
    value.extend_from_slice(&checksum.to_le_bytes());
    value
}

/// The value without its checksum, if that is right.
pub(super) fn unseal<'a>(key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], Damaged> {
    let (value, stored) = sealed.split_last_chunk().ok_or(Damaged)?;
    if checksum(key, value) == u32::from_le_bytes(*stored) { Ok(value) } else { Err(Damaged) }
}

/// The last number that is a key, among rows that are not damaged.
pub(super) fn last_number(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
) -> Result<Option<u32>, Error> {
    for row in table.iter()?.rev() {
        let (key, value) = row?;
        if let (Ok(number), Ok(_)) = (key.value().try_into(), unseal(key.value(), value.value())) {
            return Ok(Some(u32::from_be_bytes(number)));
        }
    }
    Ok(None)
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(key), value)
}

/// The rest of a value, taken from the front.
pub(super) struct Cut<'a>(pub(super) &'a [u8]);

impl<'a> Cut<'a> {
    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}
