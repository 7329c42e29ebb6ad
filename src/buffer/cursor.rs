//! The file `cursor.<consumer>`: what a consumer still owes, written in place so that it works on a full disk too.

use std::io;
use std::path::PathBuf;

use bytes::{Buf, BufMut};
use parking_lot::{Mutex, MutexGuard};

use crate::buffer::Error;
use crate::buffer::disk::{DiskFile, read_up_to, write_all_at};
use crate::buffer::folder::failed;
use crate::buffer::frame::StorageId;
use crate::buffer::owed::Owed;

/// Bytes of the file: two slots.
pub(super) const BYTES: usize = 2 * SLOT_BYTES;
/// What its name begins with.
pub(super) const PREFIX: &str = "cursor.";

const SLOT_BYTES: usize = 2 << 10;
const CHECKSUM_AT: usize = SLOT_BYTES - 4;
const MAGIC: [u8; 8] = *b"TBUFCUR1";
const VERSION: u16 = 1;
/// What fits into a slot beside its head.
pub(super) const MAX_RANGES: usize = (CHECKSUM_AT - HEAD_BYTES) / 16;
const HEAD_BYTES: usize = 40;
/// Letters of a name.
const MAX_NAME: usize = 64;

/// Whether a consumer may have this name: it becomes part of a file's.
pub(super) fn is_name(name: &str) -> bool {
    let allowed =
        |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit() || b"-_".contains(&letter);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(allowed)
}

/// A consumer's position on disk. Writing alternates between two slots, so that a torn one costs nothing.
#[derive(Debug)]
pub(super) struct Cursor {
    path: PathBuf,
    slots: Mutex<Slots>,
}

/// The open file. Held while it is written, and before the ledger is.
#[derive(Debug)]
pub(super) struct Slots {
    file: Box<dyn DiskFile>,
    /// Of the slot that was written last; its place is this modulo two.
    generation: u64,
}

impl Cursor {
    /// A file that was just made.
    pub(super) fn new(path: PathBuf, file: Box<dyn DiskFile>) -> Self {
        Self { path, slots: Mutex::new(Slots { file, generation: 0 }) }
    }

    /// A file that was there, and what it says; nothing if it is damaged or of another buffer.
    ///
    /// # Errors
    ///
    /// `Unsupported` if a later version wrote it.
    pub(super) fn read(
        path: PathBuf,
        file: Box<dyn DiskFile>,
        id: &StorageId,
    ) -> io::Result<(Self, Option<Owed>)> {
        let mut newest: Option<(u64, Owed)> = None;
        for slot in 0..2 {
            let mut bytes = [0; SLOT_BYTES];
            let read = read_up_to(&*file, &mut bytes, (slot * SLOT_BYTES) as u64)?;
            let found = if read == SLOT_BYTES { decode(&bytes, id)? } else { None };
            if let Some((generation, owed)) =
                found.filter(|(found, _)| newest.as_ref().is_none_or(|(known, _)| known < found))
            {
                newest = Some((generation, owed));
            }
        }
        let (generation, owed) = newest.map_or((0, None), |(generation, owed)| (generation, Some(owed)));
        Ok((Self { path, slots: Mutex::new(Slots { file, generation }) }, owed))
    }

    /// Keeps others from writing meanwhile.
    pub(super) fn lock(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock()
    }

    /// Makes a new file as long as it will ever be.
    pub(super) fn lay_down(&self, slots: &mut Slots, id: &StorageId, owed: &Owed) -> Result<(), Error> {
        let laid = write_all_at(&*slots.file, &[0; BYTES], 0).map_err(failed("write", &self.path));
        laid.and_then(|()| self.write(slots, id, owed))
    }

    /// Makes durable what was read, of a file of so many bytes: whoever wrote it may have been killed, or refused, before
    /// it was, or before the file was whole.
    pub(super) fn confirm(&self, bytes: u64, id: &StorageId, owed: &Owed) -> Result<(), Error> {
        let missing = vec![0; BYTES.saturating_sub(usize::try_from(bytes).unwrap_or(BYTES))];
        let mut slots = self.lock();
        write_all_at(&*slots.file, &missing, bytes).map_err(failed("write", &self.path))?;
        self.write(&mut slots, id, owed)
    }

    /// Writes the older slot and waits until it is durable.
    pub(super) fn write(&self, slots: &mut Slots, id: &StorageId, owed: &Owed) -> Result<(), Error> {
        let generation = slots.generation + 1;
        let bytes = encode(id, generation, owed);
        let at = generation % 2 * SLOT_BYTES as u64;
        let written = write_all_at(&*slots.file, &bytes, at).and_then(|()| slots.file.sync_data());
        written.map_err(failed("write", &self.path))?;
        slots.generation = generation;
        Ok(())
    }
}

/// `owed` has at most [`MAX_RANGES`].
fn encode(id: &StorageId, generation: u64, owed: &Owed) -> [u8; SLOT_BYTES] {
    let ranges = owed.ranges();
    let mut bytes = [0; SLOT_BYTES];
    let mut rest = &mut bytes[..];
    rest.put_slice(&MAGIC);
    rest.put_u16_le(VERSION);
    rest.put_u16_le(ranges.len() as u16);
    rest.put_u32_le(0);
    rest.put_u64_le(generation);
    rest.put_slice(id);
    for range in ranges {
        rest.put_u64_le(range.start);
        rest.put_u64_le(range.end);
    }
    let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
    bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn decode(bytes: &[u8; SLOT_BYTES], id: &StorageId) -> io::Result<Option<(u64, Owed)>> {
    let (covered, mut checksum) = bytes.split_at(CHECKSUM_AT);
    let Some(mut rest) = covered.strip_prefix(&MAGIC) else { return Ok(None) };
    if checksum.get_u32_le() != crc32c::crc32c(covered) {
        return Ok(None);
    }
    let version = rest.get_u16_le();
    if version > VERSION {
        let why = format!("written in format {version}, this program knows {VERSION}");
        return Err(io::Error::new(io::ErrorKind::Unsupported, why));
    }
    let ranges = usize::from(rest.get_u16_le());
    rest.advance(4);
    let generation = rest.get_u64_le();
    let mut whose = StorageId::default();
    rest.copy_to_slice(&mut whose);
    if ranges > MAX_RANGES || whose != *id {
        return Ok(None);
    }
    let ranges = (0..ranges).map(|_| rest.get_u64_le()..rest.get_u64_le()).collect();
    Ok(Owed::from_ranges(ranges).map(|owed| (generation, owed)))
}

#[cfg(test)]
mod tests {
    use super::{MAX_RANGES, SLOT_BYTES, decode, encode, is_name};
    use crate::buffer::owed::Owed;

    const ID: [u8; 16] = [7; 16];

    #[test]
    fn a_position_comes_back_unless_a_bit_is_flipped_or_the_buffer_is_another() {
        let mut owed = Owed::from(3);
        (0..MAX_RANGES as u64 - 1).for_each(|hole| owed.release(10 * hole + 5..10 * hole + 6));
        let sound = encode(&ID, 9, &owed);
        assert_eq!(decode(&sound, &ID).unwrap(), Some((9, owed)));
        assert_eq!(decode(&sound, &[8; 16]).unwrap(), None);
        for bit in 0..SLOT_BYTES * 8 {
            let mut bytes = sound;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&bytes, &ID).unwrap(), None, "bit {bit}");
        }
    }

    #[test]
    fn a_name_is_one_that_a_file_may_carry() {
        for name in ["upstream", "a", "edge-2_b"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "Upstream", "a.b", "a/b", "ä", &"a".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
