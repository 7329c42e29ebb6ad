//! The bytes of a message, and how far they are read.

use bytes::Bytes;

use super::{Error, MAX_COUNT, Result};

/// A place in the bytes received.
#[derive(Debug)]
pub(in crate::translate) struct Input<'a> {
    whole: &'a Bytes,
    /// The same, looked at.
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(whole: &'a Bytes) -> Self {
        Self { whole, bytes: whole, at: 0 }
    }

    /// How many bytes are read.
    #[inline]
    pub(in crate::translate) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// The part of the bytes received as a value of its own that shares their memory.
    pub(super) fn shared(&self, part: &'a [u8]) -> Bytes {
        self.whole.slice_ref(part)
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Result<u8> {
        let byte = *self.bytes.get(self.at).ok_or_else(|| self.ends(1))?;
        self.at += 1;
        Ok(byte)
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let array = self.bytes[self.at..].first_chunk().ok_or_else(|| self.ends(N))?;
        self.at += N;
        Ok(*array)
    }

    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let taken = self.bytes[self.at..].get(..length).ok_or_else(|| self.ends(length))?;
        self.at += length;
        Ok(taken)
    }

    /// The bytes of a text whose length, as it was announced at byte `start`, is `length`.
    #[inline]
    pub(super) fn sized(&mut self, length: i64, start: usize) -> Result<&'a [u8]> {
        let fits = usize::try_from(length).ok().filter(|length| *length <= self.remaining());
        match fits {
            Some(length) => self.take(length),
            None => Err(self.refused("a text", "bytes", length, start)),
        }
    }

    /// The count that a container announced at byte `start`, if the bytes that are left can hold as many elements of at
    /// least `least_bytes`.
    pub(super) fn count(&self, count: i64, least_bytes: usize, start: usize) -> Result<usize> {
        let fits = |count: &u64| *count <= MAX_COUNT && count * least_bytes as u64 <= self.remaining() as u64;
        match u64::try_from(count).ok().filter(fits) {
            Some(count) => Ok(count as usize),
            None => Err(self.refused("a container", "elements", count, start)),
        }
    }

    /// An unsigned number of seven bits a byte, the lowest first.
    #[inline]
    pub(super) fn varint(&mut self) -> Result<u64> {
        match self.peek() {
            // Field ids, kinds, most lengths and counts are of one byte.
            Some(byte) if byte < 0x80 => {
                self.at += 1;
                Ok(u64::from(byte))
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64> {
        let (start, mut value) = (self.at, 0);
        for shift in 0..10 {
            let byte = self.byte()?;
            // The tenth byte holds the 64th bit and nothing more.
            if shift == 9 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * shift);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::new("a number of more than 64 bits", start))
    }

    #[cold]
    fn ends(&self, wanted: usize) -> Box<Error> {
        Error::new(format!("the end after {} of {wanted} bytes", self.remaining()), self.at)
    }

    #[cold]
    fn refused(&self, what: &str, of: &str, announced: i64, start: usize) -> Box<Error> {
        Error::new(format!("{what} of {announced} {of} where {} bytes are left", self.remaining()), start)
    }
}
