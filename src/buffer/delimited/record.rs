//! One record: its length as a varint, then so many bytes. No checksum, no mark to find the next one by.

use std::io;
use std::path::Path;

use bytes::{BufMut, Bytes, BytesMut};

use crate::buffer::disk::{Disk, DiskFile, is_unreadable};

/// The longest record that is read, in bytes.
pub const MAX_RECORD_BYTES: u64 = 64 << 20;

/// The original writes lengths as 32-bit varints.
const MAX_LENGTH_BYTES: usize = 5;
/// Read at once; records that lie in it are handed out as slices of it.
const CHUNK_BYTES: u64 = 64 << 10;

/// Bytes that a record of such a payload takes up in a file.
pub(super) fn record_bytes(payload: usize) -> u64 {
    let bits = (payload as u64 | 1).ilog2() + 1;
    u64::from(bits.div_ceil(7)) + payload as u64
}

/// The record as it stands in a file.
pub(super) fn encode(payload: &[u8]) -> Bytes {
    let mut record = BytesMut::with_capacity(MAX_LENGTH_BYTES + payload.len());
    let mut rest = payload.len();
    while rest >= 0x80 {
        record.put_u8((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    record.put_u8(rest as u8);
    record.put_slice(payload);
    record.freeze()
}

/// What is wrong in a file. Reading it stops there: nothing says where the next record begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum Flaw {
    /// The file ends within a length.
    #[error("a length that is cut short")]
    CutLength,
    /// More than 32 bits.
    #[error("a length that does not end")]
    EndlessLength,
    /// No writer writes such a record.
    #[error("a record of no bytes")]
    EmptyRecord,
    /// More than is read.
    #[error("a record of {announced} bytes, the limit is {MAX_RECORD_BYTES}")]
    TooLong { announced: u64 },
    /// The file ends within a record.
    #[error("a record of {announced} bytes that ends after {present}")]
    CutRecord { announced: u64, present: u64 },
    /// The disk cannot read it.
    #[error("bad sectors")]
    Unreadable,
}

/// What a reader comes upon.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::buffer) enum Step {
    /// A whole record and the bytes of the file that it takes up.
    Record { payload: Bytes, begin: u64, end: u64 },
    /// Something wrong at this byte of the file.
    Flaw(Flaw, u64),
    /// The end of a sound file.
    End,
}

/// Reads one file from its start on.
#[derive(Debug)]
pub(in crate::buffer) struct RecordReader {
    file: Box<dyn DiskFile>,
    /// How long the file is.
    bytes: u64,
    at: u64,
    chunk: Bytes,
    chunk_at: u64,
}

impl RecordReader {
    pub(in crate::buffer) fn open(disk: &dyn Disk, path: &Path, bytes: u64) -> io::Result<Self> {
        Ok(Self { file: disk.open(path)?, bytes, at: 0, chunk: Bytes::new(), chunk_at: 0 })
    }

    /// The next record. A flaw is met again by asking again.
    pub(in crate::buffer) fn step(&mut self) -> io::Result<Step> {
        match self.try_step() {
            Err(error) if is_unreadable(&error) => Ok(Step::Flaw(Flaw::Unreadable, self.at)),
            step => step,
        }
    }

    /// Goes on behind a record that ends there.
    pub(in crate::buffer) fn seek(&mut self, at: u64) {
        self.at = at;
    }

    fn try_step(&mut self) -> io::Result<Step> {
        let begin = self.at;
        if begin >= self.bytes {
            return Ok(Step::End);
        }
        let head = self.read(begin, MAX_LENGTH_BYTES as u64)?;
        let (announced, length_bytes) = match decode_length(&head) {
            Ok(length) => length,
            Err(flaw) => return Ok(Step::Flaw(flaw, begin)),
        };
        let from = begin + length_bytes;
        let present = self.bytes - from;
        let flaw = match announced {
            0 => Flaw::EmptyRecord,
            _ if announced > MAX_RECORD_BYTES => Flaw::TooLong { announced },
            _ if announced > present => Flaw::CutRecord { announced, present },
            _ => {
                let payload = self.read(from, announced)?;
                if payload.len() as u64 == announced {
                    self.at = from + announced;
                    return Ok(Step::Record { payload, begin, end: self.at });
                }
                Flaw::CutRecord { announced, present: payload.len() as u64 }
            }
        };
        Ok(Step::Flaw(flaw, begin))
    }

    /// Up to `len` bytes, fewer at the end; a slice of the piece that was read last if they are there.
    fn read(&mut self, from: u64, len: u64) -> io::Result<Bytes> {
        let len = len.min(self.bytes - from);
        if from < self.chunk_at || from + len > self.chunk_at + self.chunk.len() as u64 {
            let wanted = len.max(CHUNK_BYTES).min(self.bytes - from);
            self.chunk = match read_exactly_or_less(&*self.file, from, wanted) {
                // What is needed may lie before the bad sectors.
                Err(error) if is_unreadable(&error) => read_exactly_or_less(&*self.file, from, len)?,
                read => read?,
            };
            self.chunk_at = from;
        }
        let start = usize::try_from(from - self.chunk_at).unwrap_or(usize::MAX).min(self.chunk.len());
        let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(self.chunk.len());
        Ok(self.chunk.slice(start..end))
    }
}

/// Unlike what checksums stand behind, bytes that cannot be read must not come as zeros here.
fn read_exactly_or_less(file: &dyn DiskFile, from: u64, wanted: u64) -> io::Result<Bytes> {
    let mut bytes = BytesMut::zeroed(usize::try_from(wanted).unwrap_or(usize::MAX));
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes.freeze())
}

/// The number that the bytes begin with, and how many of them it takes.
fn decode_length(bytes: &[u8]) -> Result<(u64, u64), Flaw> {
    let mut length = 0;
    for (place, byte) in bytes.iter().take(MAX_LENGTH_BYTES).enumerate() {
        length |= u64::from(byte & 0x7f) << (7 * place);
        if *byte < 0x80 {
            return Ok((length, place as u64 + 1));
        }
    }
    Err(if bytes.len() < MAX_LENGTH_BYTES { Flaw::CutLength } else { Flaw::EndlessLength })
}

#[cfg(test)]
mod tests {
    use proptest::collection;
    use proptest::prelude::*;

    use super::{Flaw, MAX_RECORD_BYTES, RecordReader, Step, decode_length, encode, record_bytes};
    use crate::buffer::HostDisk;

    /// The payloads in a file of these bytes, and how it ends.
    fn read(bytes: &[u8]) -> (Vec<Vec<u8>>, Step) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        let mut reader = RecordReader::open(&HostDisk, file.path(), bytes.len() as u64).unwrap();
        let mut payloads = Vec::new();
        loop {
            match reader.step().unwrap() {
                Step::Record { payload, .. } => payloads.push(payload.to_vec()),
                step => return (payloads, step),
            }
        }
    }

    #[test]
    fn records_of_every_length_of_length_come_back() {
        let lengths = [1, 127, 128, 16_383, 16_384, 70_000, 2_097_152];
        let payloads: Vec<Vec<u8>> = lengths.iter().map(|length| vec![7; *length]).collect();
        let mut bytes = Vec::new();
        for payload in &payloads {
            let record = encode(payload);
            assert_eq!(record.len() as u64, record_bytes(payload.len()));
            bytes.extend(record);
        }
        assert_eq!(read(&bytes), (payloads, Step::End));
    }

    #[test]
    fn the_layout_is_that_of_the_original() {
        assert_eq!(encode(b"ab")[..], [2, b'a', b'b']);
        assert_eq!(encode(&[9; 300])[..3], [0xac, 0x02, 9]);
    }

    #[test]
    fn each_flaw_stops_the_file_with_what_is_wrong_and_where() {
        let cases: [(&[u8], Flaw, &str); 7] = [
            (&[0x80], Flaw::CutLength, "a length that is cut short"),
            (&[0xff, 0xff], Flaw::CutLength, "a length that is cut short"),
            (&[0xff; 9], Flaw::EndlessLength, "a length that does not end"),
            (&[0, 1, 2], Flaw::EmptyRecord, "a record of no bytes"),
            (
                &[5, 1, 2],
                Flaw::CutRecord { announced: 5, present: 2 },
                "a record of 5 bytes that ends after 2",
            ),
            (&[9], Flaw::CutRecord { announced: 9, present: 0 }, "a record of 9 bytes that ends after 0"),
            (
                &[0xff, 0xff, 0xff, 0xff, 0x07],
                Flaw::TooLong { announced: 0x7fff_ffff },
                "a record of 2147483647 bytes, the limit is 67108864",
            ),
        ];
        for (tail, flaw, said) in cases {
            let bytes = [&[2, 1, 2][..], tail].concat();
            assert_eq!(read(&bytes), (vec![vec![1, 2]], Step::Flaw(flaw, 3)), "{tail:?}");
            assert_eq!(flaw.to_string(), said);
        }
        assert!(MAX_RECORD_BYTES < u64::from(u32::MAX));
    }

    proptest! {
        #[test]
        fn whatever_bytes_a_file_holds_they_are_records_up_to_a_flaw(bytes in collection::vec(any::<u8>(), 0..400)) {
            let (payloads, step) = read(&bytes);
            let sound: Vec<u8> = payloads.iter().flat_map(|payload| encode(payload)).collect();
            match step {
                Step::End | Step::Record { .. } => prop_assert!(canonical(&bytes) == sound),
                Step::Flaw(_, at) => prop_assert!(canonical(&bytes[..at as usize]) == sound),
            }
        }
    }

    /// The bytes with each length as short as it can be.
    fn canonical(bytes: &[u8]) -> Vec<u8> {
        let (mut rest, mut written) = (bytes, Vec::new());
        while !rest.is_empty() {
            let (length, length_bytes) = decode_length(rest).unwrap();
            let (record, after) = rest[length_bytes as usize..].split_at(length as usize);
            written.extend(encode(record));
            rest = after;
        }
        written
    }

    #[test]
    fn a_file_cut_anywhere_gives_the_whole_records_before_the_cut() {
        let payloads: Vec<Vec<u8>> = [3, 200, 1, 0x4000].iter().map(|length| vec![5; *length]).collect();
        let bytes: Vec<u8> = payloads.iter().flat_map(|payload| encode(payload)).collect();
        let mut ends = vec![0];
        for payload in &payloads {
            ends.push(ends.last().unwrap() + record_bytes(payload.len()) as usize);
        }
        for cut in (0..bytes.len()).filter(|cut| cut % 97 == 0 || *cut < 220) {
            let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
            let (read, step) = read(&bytes[..cut]);
            assert_eq!(read, payloads[..whole], "cut at {cut}");
            assert_eq!(step == Step::End, ends.contains(&cut), "cut at {cut}");
        }
    }
}
