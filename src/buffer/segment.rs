//! One file of frames: its 64-byte header, and reading it frame by frame past any damage.

use std::io;
use std::ops::Range;
use std::path::Path;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::buffer::Signal;
use crate::buffer::disk::{Disk, DiskFile, read_up_to};
use crate::buffer::frame::{self, ALIGNMENT, FOOTER_BYTES, Footer, Header, Kind, StorageId};
use crate::buffer::version::{self, CHECKSUM_AT};

/// Bytes of a segment header.
pub(super) const HEADER_BYTES: usize = version::BYTES;
/// Bytes of a file that are not frames of data.
pub(super) const OVERHEAD_BYTES: usize = HEADER_BYTES + FOOTER_BYTES;

pub(super) const MAGIC: [u8; 8] = *b"TBUFSEG1";
/// The version written. A file of a later one is refused and left as it is: new kinds and codecs need a new version.
const VERSION: u16 = 1;
/// Read at once; frames that lie in it are handed out as slices of it.
const CHUNK_BYTES: u64 = 256 << 10;

/// What stands at the start of a file. Reading needs none of it: every frame vouches for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) signal: Signal,
    pub(super) created_wall_millis: u64,
    /// One more than the last sequence that was durable when the file was begun.
    pub(super) base_sequence: u64,
    pub(super) id: StorageId,
    pub(super) boot_id: u64,
    pub(super) created_boot_millis: u64,
}

impl SegmentHeader {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        let mut rest = &mut bytes[..];
        rest.put_slice(&MAGIC);
        rest.put_u16_le(VERSION);
        rest.put_u8(self.signal.code());
        rest.put_u8(0);
        rest.put_u64_le(self.created_wall_millis);
        rest.put_u64_le(self.base_sequence);
        rest.put_slice(&self.id);
        rest.put_u64_le(self.boot_id);
        rest.put_u64_le(self.created_boot_millis);
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(mut rest) = version::body(bytes, MAGIC, VERSION)? else { return Ok(None) };
        let Some(signal) = Signal::from_code(rest.get_u8()) else { return Ok(None) };
        rest.advance(1);
        let (created_wall_millis, base_sequence) = (rest.get_u64_le(), rest.get_u64_le());
        let mut id = StorageId::default();
        rest.copy_to_slice(&mut id);
        let (boot_id, created_boot_millis) = (rest.get_u64_le(), rest.get_u64_le());
        let header = Self { signal, created_wall_millis, base_sequence, id, boot_id, created_boot_millis };
        Ok(Some(header).filter(|header| header.base_sequence <= frame::MAX_SEQUENCE))
    }

    /// From the start of a file; none if it is damaged. Fails if a later version wrote it.
    pub(super) fn read(file: &dyn DiskFile) -> io::Result<Option<Self>> {
        let mut bytes = [0; HEADER_BYTES];
        let read = read_up_to(file, &mut bytes, 0)?;
        Self::decode(&bytes[..read])
    }
}

/// What a reader comes upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A frame of data whose header is sound; its payload may not be.
    Data(Header),
    /// Bytes that are no frame, with sound frames after them.
    Damage {
        /// Sequence of the frame after them.
        before: u64,
    },
    /// A frame of a kind that is not known, whole and sound.
    Unknown,
    /// The footer.
    Footer(Footer),
    /// Nothing sound comes any more.
    End,
}

/// Reads one file from its first frame on, in large pieces.
#[derive(Debug)]
pub(super) struct SegmentReader {
    file: Box<dyn DiskFile>,
    id: StorageId,
    /// Where reading stops: the length of the file, or of the part of it that is known to be sound.
    end: u64,
    /// Frames of this sequence or a later one are not taken for frames.
    below: u64,
    /// Where the next step is taken.
    at: u64,
    /// Where the payload of the last data frame begins.
    payload_at: u64,
    /// Frames of this sequence or an earlier one are not taken for frames.
    last_sequence: u64,
    chunk: Bytes,
    chunk_at: u64,
}

impl SegmentReader {
    pub(super) fn open(disk: &dyn Disk, path: &Path, id: StorageId, end: u64) -> io::Result<Self> {
        Ok(Self::new(disk.open(path)?, id, end))
    }

    pub(super) fn new(file: Box<dyn DiskFile>, id: StorageId, end: u64) -> Self {
        let at = HEADER_BYTES as u64;
        Self {
            file,
            id,
            end,
            below: u64::MAX,
            at,
            payload_at: at,
            last_sequence: 0,
            chunk: Bytes::new(),
            chunk_at: 0,
        }
    }

    /// Passes frames outside of these sequences as if they were damaged.
    pub(super) fn within(self, sequences: Range<u64>) -> Self {
        Self { last_sequence: sequences.start.saturating_sub(1), below: sequences.end, ..self }
    }

    /// Gives the file back.
    pub(super) fn into_file(self) -> Box<dyn DiskFile> {
        self.file
    }

    /// Where the next step will be taken.
    pub(super) fn position(&self) -> u64 {
        self.at
    }

    pub(super) fn step(&mut self) -> io::Result<Step> {
        loop {
            let Some(header) = self.header_at(self.at)? else {
                match self.pass_damage()? {
                    None => return Ok(Step::End),
                    Some(next) if next.kind == Kind::Data => {
                        return Ok(Step::Damage { before: next.sequence });
                    }
                    Some(_) => continue,
                }
            };
            let payload_at = self.at + frame::HEADER_BYTES as u64;
            self.at += header.frame_bytes();
            match header.kind {
                Kind::Data => {
                    (self.payload_at, self.last_sequence) = (payload_at, header.sequence);
                    return Ok(Step::Data(header));
                }
                Kind::Footer => {
                    let payload = self.read(payload_at, u64::from(header.len))?;
                    if let Some(footer) = Footer::from_payload(&header, &payload) {
                        return Ok(Step::Footer(footer));
                    }
                }
                Kind::Other(_) => {
                    self.payload_at = payload_at;
                    if self.payload(&header)?.is_some() {
                        return Ok(Step::Unknown);
                    }
                }
            }
        }
    }

    /// The payload of the data frame that was stepped on last, unless it is damaged.
    pub(super) fn payload(&mut self, header: &Header) -> io::Result<Option<Bytes>> {
        let payload = self.read(self.payload_at, u64::from(header.len))?;
        Ok(header.vouches_for(&payload).then_some(payload))
    }

    /// A sound header at `at`, of a frame that lies wholly within the file and carries the numbering on.
    fn header_at(&mut self, at: u64) -> io::Result<Option<Header>> {
        let bytes = self.read(at, frame::HEADER_BYTES as u64)?;
        Ok(self.sound_header(&bytes, at))
    }

    fn sound_header(&self, bytes: &[u8], at: u64) -> Option<Header> {
        let header = Header::decode(bytes, &self.id)?;
        let carries_on = header.kind != Kind::Data
            || (header.sequence > self.last_sequence && header.sequence < self.below);
        (carries_on && header.frame_bytes() <= self.end - at).then_some(header)
    }

    /// Looks for the next sound header after the damage at the present position and goes there.
    fn pass_damage(&mut self) -> io::Result<Option<Header>> {
        let mut from = self.at + ALIGNMENT as u64;
        while from + frame::HEADER_BYTES as u64 <= self.end {
            let window = self.read(from, CHUNK_BYTES.min(self.end - from))?;
            if window.len() < frame::HEADER_BYTES {
                break;
            }
            let passed = (window.len() - frame::HEADER_BYTES + 1).next_multiple_of(ALIGNMENT);
            for place in
                (0..passed).step_by(ALIGNMENT).filter(|place| window[*place..].starts_with(&frame::MAGIC))
            {
                let at = from + place as u64;
                if let Some(header) = self.sound_header(&window[place..], at) {
                    self.at = at;
                    return Ok(Some(header));
                }
            }
            from += passed as u64;
        }
        Ok(None)
    }

    /// Up to `len` bytes from `from` on, fewer at the end; a slice of the piece that was read last if it is there.
    fn read(&mut self, from: u64, len: u64) -> io::Result<Bytes> {
        let len = len.min(self.end.saturating_sub(from));
        if from < self.chunk_at || from + len > self.chunk_at + self.chunk.len() as u64 {
            let wanted = len.max(CHUNK_BYTES).min(self.end.saturating_sub(from));
            let mut chunk = BytesMut::zeroed(usize::try_from(wanted).unwrap_or(usize::MAX));
            let read = read_up_to(&*self.file, &mut chunk, from)?;
            chunk.truncate(read);
            (self.chunk, self.chunk_at) = (chunk.freeze(), from);
        }
        let start = usize::try_from(from - self.chunk_at).unwrap_or(usize::MAX).min(self.chunk.len());
        let end = start.saturating_add(usize::try_from(len).unwrap_or(usize::MAX)).min(self.chunk.len());
        Ok(self.chunk.slice(start..end))
    }
}

/// What a whole file turns out to hold when every checksum in it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Survey {
    /// Counts of the data frames with sound headers, up to the last frame that is wholly sound.
    pub(super) content: Footer,
    /// Where the last wholly sound frame ends; zero if there is none.
    pub(super) sound_end: u64,
    /// The file ends with a footer that agrees with what was found, right after the last sound frame.
    pub(super) sealed: bool,
    /// Frames with damaged headers that stand before a sound one: there will be no other trace of them. Later ones
    /// cannot be told from an append cut short.
    pub(super) vanished_frames: u64,
    /// The last sequence in any sound header; zero if there is none.
    pub(super) last_met: u64,
}

impl Survey {
    /// Reads everything. `base` is the sequence the file begins with, where that is known.
    pub(super) fn of(reader: &mut SegmentReader, base: Option<u64>) -> io::Result<Self> {
        let mut found = Self::default();
        // What has been seen since the last wholly sound frame, and counts only if another one follows.
        let mut ahead = found;
        loop {
            match reader.step()? {
                Step::Data(header) => {
                    ahead.last_met = header.sequence;
                    ahead.content.count(&header, &reader.id);
                    if reader.payload(&header)?.is_some() {
                        ahead.sound_end = reader.position();
                        found = ahead;
                    }
                }
                Step::Unknown => {
                    ahead.sound_end = reader.position();
                    found = ahead;
                }
                Step::Damage { before } => {
                    let none = ahead.content.frames == 0;
                    let expected = if none { base.unwrap_or(before) } else { ahead.content.last + 1 };
                    ahead.vanished_frames += before.saturating_sub(expected).max(1);
                }
                Step::Footer(footer) => {
                    let ends_here = reader.position() == reader.end;
                    let follows = reader.position() == found.sound_end + FOOTER_BYTES as u64;
                    found.sealed = ends_here
                        && follows
                        && footer == Footer { recovered: footer.recovered, ..found.content };
                }
                Step::End => return Ok(Self { last_met: ahead.last_met, ..found }),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER_BYTES, SegmentHeader};
    use crate::buffer::Signal;

    #[test]
    fn a_segment_header_comes_back_unless_a_bit_is_flipped() {
        let header = SegmentHeader {
            signal: Signal::Traces,
            created_wall_millis: 1_700_000_000_000,
            base_sequence: 12,
            id: *b"0123456789abcdef",
            boot_id: 99,
            created_boot_millis: 1_234,
        };
        let sound = header.encode();
        assert_eq!(SegmentHeader::decode(&sound).unwrap(), Some(header));
        for bit in 0..HEADER_BYTES * 8 {
            let mut bytes = sound;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(SegmentHeader::decode(&bytes).unwrap(), None, "bit {bit}");
        }
    }
}
