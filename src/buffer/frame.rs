//! One frame: a 40-byte header that vouches for itself, then the payload, padded to eight bytes.

use bytes::{Buf, BufMut};

/// The random name of one buffer, given when its folder is first used.
pub(super) type StorageId = [u8; 16];

/// Bytes of a frame header.
pub(super) const HEADER_BYTES: usize = 40;
/// Bytes of the footer frame that ends a sealed file.
pub(super) const FOOTER_BYTES: usize = HEADER_BYTES + FOOTER_PAYLOAD_BYTES;
/// Frames begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;

const FOOTER_PAYLOAD_BYTES: usize = 56;
/// "TF": lets a search for the next frame pass quickly over everything else.
pub(super) const MAGIC: [u8; 2] = *b"TF";
const KIND_DATA: u8 = 1;
const KIND_FOOTER: u8 = 2;
/// A payload that stands in the file as it was accepted.
pub(super) const CODEC_RAW: u8 = 0;
/// Set in a footer that was written by recovery and not by the writer of the file.
const FLAG_RECOVERED: u32 = 1;
/// The highest number a frame can have, which no buffer reaches: at a billion a second it would take centuries. So
/// that numbers can be counted on from whatever a file says.
pub(super) const MAX_SEQUENCE: u64 = i64::MAX as u64;

/// The most items that a file can have, for the same reason: those of all files can be added up.
const MAX_ITEMS: u64 = 1 << 48;

const _: () = assert!(FOOTER_BYTES.is_multiple_of(ALIGNMENT) && HEADER_BYTES.is_multiple_of(ALIGNMENT));

/// Bytes that a frame with such a payload takes up in a file.
pub(super) fn frame_bytes(payload: usize) -> usize {
    HEADER_BYTES + payload.next_multiple_of(ALIGNMENT)
}

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Accepted bytes.
    Data,
    /// What the file holds; the last frame of a sealed file.
    Footer,
    /// Something of a later version: stepped over.
    Other(u8),
}

/// What stands before a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) codec: u8,
    /// Payload bytes in the file.
    pub(super) len: u32,
    pub(super) sequence: u64,
    /// Unix time in nanoseconds.
    pub(super) accepted: u64,
    /// Spans, log records or data points in the payload.
    pub(super) items: u32,
    /// Payload bytes before compression.
    pub(super) raw_len: u32,
    pub(super) payload_crc: u32,
}

impl Header {
    fn of_footer(payload: &[u8], footer: &Footer) -> Self {
        Self {
            kind: Kind::Footer,
            codec: CODEC_RAW,
            len: FOOTER_PAYLOAD_BYTES as u32,
            sequence: footer.last,
            accepted: footer.max_accepted,
            items: 0,
            raw_len: FOOTER_PAYLOAD_BYTES as u32,
            payload_crc: crc32c::crc32c(payload),
        }
    }

    /// Bytes from the start of this frame to the start of the next.
    pub(super) fn frame_bytes(&self) -> u64 {
        frame_bytes(self.len as usize) as u64
    }

    /// Whether these are the bytes that the header was written for.
    pub(super) fn vouches_for(&self, payload: &[u8]) -> bool {
        payload.len() == self.len as usize && crc32c::crc32c(payload) == self.payload_crc
    }

    pub(super) fn encode(&self, id: &StorageId) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = &mut bytes[..];
        rest.put_slice(&MAGIC);
        rest.put_u8(match self.kind {
            Kind::Data => KIND_DATA,
            Kind::Footer => KIND_FOOTER,
            Kind::Other(kind) => kind,
        });
        rest.put_u8(self.codec);
        rest.put_u32_le(self.len);
        rest.put_u64_le(self.sequence);
        rest.put_u64_le(self.accepted);
        rest.put_u32_le(self.items);
        rest.put_u32_le(self.raw_len);
        rest.put_u32_le(self.payload_crc);
        let checksum = header_checksum(&bytes, id);
        bytes[HEADER_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header at the start of `bytes`, if one that belongs to this buffer stands there undamaged.
    pub(super) fn decode(bytes: &[u8], id: &StorageId) -> Option<Self> {
        let bytes: &[u8; HEADER_BYTES] = bytes.first_chunk()?;
        let mut rest = bytes.strip_prefix(&MAGIC)?;
        let kind = match rest.get_u8() {
            KIND_DATA => Kind::Data,
            KIND_FOOTER => Kind::Footer,
            other => Kind::Other(other),
        };
        let header = Self {
            kind,
            codec: rest.get_u8(),
            len: rest.get_u32_le(),
            sequence: rest.get_u64_le(),
            accepted: rest.get_u64_le(),
            items: rest.get_u32_le(),
            raw_len: rest.get_u32_le(),
            payload_crc: rest.get_u32_le(),
        };
        (rest.get_u32_le() == header_checksum(bytes, id) && header.sequence <= MAX_SEQUENCE).then_some(header)
    }
}

/// Covers the buffer's id too, so that bytes left over from another buffer never pass for a frame of this one.
fn header_checksum(bytes: &[u8; HEADER_BYTES], id: &StorageId) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..HEADER_BYTES - 4]), id)
}

/// What a file holds: kept while it is written, laid down when it is sealed. Counts frames whose headers are sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Footer {
    pub(super) frames: u32,
    pub(super) recovered: bool,
    pub(super) items: u64,
    /// Sequence of the first and of the last frame; zero while there is none.
    pub(super) first: u64,
    pub(super) last: u64,
    /// Earliest and latest time of acceptance.
    pub(super) min_accepted: u64,
    pub(super) max_accepted: u64,
    /// CRC32C over all frame headers in order.
    pub(super) headers_crc: u32,
}

impl Footer {
    /// Takes one more frame into account.
    pub(super) fn count(&mut self, header: &Header, id: &StorageId) {
        if self.frames == 0 {
            (self.first, self.min_accepted) = (header.sequence, header.accepted);
        }
        self.frames += 1;
        self.items += u64::from(header.items);
        self.last = header.sequence;
        self.min_accepted = self.min_accepted.min(header.accepted);
        self.max_accepted = self.max_accepted.max(header.accepted);
        self.headers_crc = crc32c::crc32c_append(self.headers_crc, &header.encode(id));
    }

    /// The whole footer frame.
    pub(super) fn encode(&self, id: &StorageId) -> [u8; FOOTER_BYTES] {
        let mut bytes = [0; FOOTER_BYTES];
        let mut rest = &mut bytes[HEADER_BYTES..];
        rest.put_u32_le(self.frames);
        rest.put_u32_le(if self.recovered { FLAG_RECOVERED } else { 0 });
        rest.put_u64_le(self.items);
        rest.put_u64_le(self.first);
        rest.put_u64_le(self.last);
        rest.put_u64_le(self.min_accepted);
        rest.put_u64_le(self.max_accepted);
        rest.put_u32_le(self.headers_crc);
        let header = Header::of_footer(&bytes[HEADER_BYTES..], self).encode(id);
        bytes[..HEADER_BYTES].copy_from_slice(&header);
        bytes
    }

    /// From the whole footer frame.
    pub(super) fn decode(bytes: &[u8], id: &StorageId) -> Option<Self> {
        let header = Header::decode(bytes, id).filter(|header| header.kind == Kind::Footer)?;
        Self::from_payload(&header, &bytes[HEADER_BYTES..])
    }

    /// From the payload of a footer frame.
    pub(super) fn from_payload(header: &Header, payload: &[u8]) -> Option<Self> {
        if payload.len() != FOOTER_PAYLOAD_BYTES || !header.vouches_for(payload) {
            return None;
        }
        let mut rest = payload;
        let footer = Self {
            frames: rest.get_u32_le(),
            recovered: rest.get_u32_le() & FLAG_RECOVERED != 0,
            items: rest.get_u64_le(),
            first: rest.get_u64_le(),
            last: rest.get_u64_le(),
            min_accepted: rest.get_u64_le(),
            max_accepted: rest.get_u64_le(),
            headers_crc: rest.get_u32_le(),
        };
        footer.is_possible().then_some(footer)
    }

    /// Whether so many frames can have these numbers. One that contradicts itself says nothing of its file, whatever its
    /// checksums say.
    fn is_possible(&self) -> bool {
        let numbers = self.last.checked_sub(self.first).filter(|_| self.last <= MAX_SEQUENCE);
        let has_numbers = self.frames == 0 || numbers.is_some_and(|more| u64::from(self.frames - 1) <= more);
        has_numbers && self.items <= MAX_ITEMS
    }
}

#[cfg(test)]
mod tests {
    use super::{CODEC_RAW, FOOTER_BYTES, Footer, HEADER_BYTES, Header, Kind, MAX_SEQUENCE};

    const ID: [u8; 16] = [7; 16];

    fn header_of(payload: &[u8], sequence: u64, accepted: u64, items: u32) -> Header {
        let (len, payload_crc) = (payload.len() as u32, crc32c::crc32c(payload));
        Header {
            kind: Kind::Data,
            codec: CODEC_RAW,
            len,
            sequence,
            accepted,
            items,
            raw_len: len,
            payload_crc,
        }
    }

    #[test]
    fn a_header_comes_back_as_it_was_written() {
        let header = header_of(b"payload", 42, 1_700_000_000_000_000_000, 3);
        assert_eq!(Header::decode(&header.encode(&ID), &ID), Some(header));
        assert!(header.vouches_for(b"payload") && !header.vouches_for(b"payloae"));
    }

    #[test]
    fn a_number_that_no_buffer_reaches_is_no_frames() {
        for (sequence, is_one) in [(MAX_SEQUENCE, true), (MAX_SEQUENCE + 1, false), (u64::MAX, false)] {
            let header = header_of(b"payload", sequence, 1, 3).encode(&ID);
            assert_eq!(Header::decode(&header, &ID).is_some(), is_one, "{sequence}");
        }
    }

    #[test]
    fn a_header_of_another_buffer_is_none() {
        let header = header_of(b"payload", 42, 1, 3);
        assert_eq!(Header::decode(&header.encode(&ID), &[8; 16]), None);
    }

    #[test]
    fn a_header_with_any_bit_flipped_is_none() {
        let sound = header_of(b"payload", 42, 1, 3).encode(&ID);
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = sound;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&bytes, &ID), None, "bit {bit}");
        }
    }

    #[test]
    fn a_footer_comes_back_as_it_was_written() {
        let mut footer = Footer { recovered: true, ..Footer::default() };
        footer.count(&header_of(b"a", 5, 90, 2), &ID);
        footer.count(&header_of(b"b", 6, 80, 3), &ID);
        let bytes: [u8; FOOTER_BYTES] = footer.encode(&ID);
        assert_eq!(Footer::decode(&bytes, &ID), Some(footer));
        assert_eq!((footer.frames, footer.items, footer.first, footer.last), (2, 5, 5, 6));
        assert_eq!((footer.min_accepted, footer.max_accepted), (80, 90));
    }

    #[test]
    fn a_footer_that_contradicts_itself_is_none() {
        let possible = [(0, 0, 0), (1, 7, 7), (2, 7, 8), (2, 7, 9), (u32::MAX, 1, MAX_SEQUENCE)];
        let impossible =
            [(1, 1_700_000_000_000, 1), (2, 7, 7), (3, 7, 8), (1, u64::MAX, 0), (1, 1, u64::MAX)];
        let decoded = |(frames, first, last)| {
            let footer = Footer { frames, first, last, ..Footer::default() };
            Footer::decode(&footer.encode(&ID), &ID).is_some()
        };
        assert!(possible.into_iter().all(decoded));
        assert!(!impossible.into_iter().any(decoded));
        let endless = Footer { items: u64::MAX, ..Footer::default() };
        assert_eq!(Footer::decode(&endless.encode(&ID), &ID), None);
    }
}
