//! The frames of one write, gathered without copying payloads that are worth a piece of their own.

use std::io::{self, IoSlice};
use std::ops::Range;

use bytes::Bytes;

use crate::buffer::disk::{DiskFile, write_all_vectored_at};
use crate::buffer::frame::{ALIGNMENT, HEADER_BYTES};

/// Payloads from this size on are written from where they are; shorter ones cost less copied.
const LEAST_PIECE_BYTES: usize = 4 << 10;
/// Kept for the next write; more is given back.
const KEPT_BYTES: usize = 1 << 20;

/// See the file's opening line.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    /// Headers, padding and short payloads.
    small: Vec<u8>,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
enum Piece {
    Small(Range<usize>),
    Payload(Bytes),
}

impl Gathering {
    pub(super) fn clear(&mut self) {
        self.small.clear();
        self.small.shrink_to(KEPT_BYTES);
        self.pieces.clear();
    }

    /// Adds one frame, padding included.
    pub(super) fn push(&mut self, header: &[u8; HEADER_BYTES], payload: &Bytes) {
        self.push_small(header);
        if payload.len() < LEAST_PIECE_BYTES {
            self.push_small(payload);
        } else {
            self.pieces.push(Piece::Payload(payload.clone()));
        }
        let padding = payload.len().next_multiple_of(ALIGNMENT) - payload.len();
        self.push_small(&[0; ALIGNMENT][..padding]);
    }

    /// Writes all of it, `before` first; how many bytes that are.
    pub(super) fn write(&self, file: &dyn DiskFile, before: &[u8], offset: u64) -> io::Result<u64> {
        let mut slices = Vec::with_capacity(1 + self.pieces.len());
        slices.push(IoSlice::new(before));
        slices.extend(self.pieces.iter().map(|piece| match piece {
            Piece::Small(range) => IoSlice::new(&self.small[range.clone()]),
            Piece::Payload(payload) => IoSlice::new(payload),
        }));
        let bytes = slices.iter().map(|slice| slice.len() as u64).sum();
        write_all_vectored_at(file, &mut slices, offset)?;
        Ok(bytes)
    }

    fn push_small(&mut self, bytes: &[u8]) {
        let from = self.small.len();
        self.small.extend_from_slice(bytes);
        match self.pieces.last_mut() {
            Some(Piece::Small(range)) => range.end = self.small.len(),
            _ if bytes.is_empty() => {}
            _ => self.pieces.push(Piece::Small(from..self.small.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::Gathering;
    use crate::buffer::disk::{Disk, HostDisk};
    use crate::buffer::frame::{self, HEADER_BYTES};

    #[test]
    fn frames_of_all_sizes_stand_in_the_file_one_after_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let sizes = [0, 1, 7, 8, 4_095, 4_096, 4_097, 9, 70_000, 8_192];
        // More pieces than one write takes.
        let sizes = sizes.into_iter().chain(std::iter::repeat_n(5_001, 1_100));
        let payloads: Vec<_> =
            sizes.zip(0_u32..).map(|(size, at)| Bytes::from(vec![at as u8; size])).collect();
        let mut gathering = Gathering::default();
        let mut expected = b"before".to_vec();
        for payload in &payloads {
            gathering.push(&[0xAA; HEADER_BYTES], payload);
            let end = expected.len() + frame::frame_bytes(payload.len());
            expected.extend_from_slice(&[0xAA; HEADER_BYTES]);
            expected.extend_from_slice(payload);
            expected.resize(end, 0);
        }
        let file = HostDisk.create_new(&path).unwrap();
        assert_eq!(gathering.write(&*file, b"before", 0).unwrap(), expected.len() as u64);
        assert!(std::fs::read(&path).unwrap() == expected);
    }
}
