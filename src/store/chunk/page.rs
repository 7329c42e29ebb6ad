//! Memory of known size that messages are written into, front to back.

use std::ops::Range;

/// Bytes that are copied at once: most keys and values are shorter, and a copy of a length that the compiler knows takes
/// a fraction of the time.
pub(super) const STEP: usize = 32;

/// What is written, and the room for the rest.
#[derive(Debug)]
pub(super) struct Page {
    bytes: Vec<u8>,
    at: usize,
}

impl Page {
    /// Room for exactly so many bytes.
    pub(super) fn with_room(length: usize) -> Self {
        Self { bytes: vec![0; length + STEP], at: 0 }
    }

    /// What was written.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.truncate(self.at);
        self.bytes
    }

    #[inline]
    pub(super) fn byte(&mut self, byte: u8) {
        self.bytes[self.at] = byte;
        self.at += 1;
    }

    #[inline]
    pub(super) fn array<const N: usize>(&mut self, bytes: [u8; N]) {
        self.bytes[self.at..][..N].copy_from_slice(&bytes);
        self.at += N;
    }

    /// An id, its length before it.
    #[inline]
    pub(super) fn id<const N: usize>(&mut self, id: [u8; N]) {
        self.byte(N as u8);
        self.array(id);
    }

    /// A number in groups of seven bits.
    #[inline]
    pub(super) fn number(&mut self, mut number: usize) {
        while number >= 0x80 {
            self.byte(number as u8 | 0x80);
            number >>= 7;
        }
        self.byte(number as u8);
    }

    /// A part of some bytes. What a step copies beyond it, the next part writes over.
    #[inline]
    pub(super) fn part(&mut self, bytes: &[u8], place: Range<usize>) {
        let length = place.len();
        let (from, to) = (&bytes[place.start..], &mut self.bytes[self.at..]);
        match (from.first_chunk::<STEP>(), to.first_chunk_mut::<STEP>()) {
            (Some(from), Some(to)) if length <= STEP => *to = *from,
            _ => to[..length].copy_from_slice(&from[..length]),
        }
        self.at += length;
    }
}
