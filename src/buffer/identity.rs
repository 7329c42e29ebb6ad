//! The file `LOCK`: held by the one process that may use the folder, and the buffer's name and sequence floor.

use std::io;

use bytes::{Buf, BufMut};

use crate::buffer::Signal;
use crate::buffer::disk::{DiskFile, read_up_to, write_all_at};
use crate::buffer::frame::StorageId;
use crate::buffer::version::{self, CHECKSUM_AT};

/// Bytes of the file.
pub(super) const BYTES: usize = version::BYTES;
/// Its name in the folder.
pub(super) const FILE_NAME: &str = "LOCK";

const MAGIC: [u8; 8] = *b"TBUFLCK1";
const VERSION: u16 = 1;

/// Who a buffer is. Stands here as well as in each segment header, so that damage to either is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: StorageId,
    pub(super) signal: Signal,
    /// No frame below this one will be written any more. Raised when the last file is about to be deleted,
    /// so that a folder without files does not begin to number anew.
    pub(super) next_sequence: u64,
}

impl Identity {
    fn encode(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        let mut rest = &mut bytes[..];
        rest.put_slice(&MAGIC);
        rest.put_u16_le(VERSION);
        rest.put_u8(self.signal.code());
        rest.put_bytes(0, 5);
        rest.put_slice(&self.id);
        rest.put_u64_le(self.next_sequence);
        let checksum = crc32c::crc32c(&bytes[..CHECKSUM_AT]);
        bytes[CHECKSUM_AT..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(mut rest) = version::body(bytes, MAGIC, VERSION)? else { return Ok(None) };
        let Some(signal) = Signal::from_code(rest.get_u8()) else { return Ok(None) };
        rest.advance(5);
        let mut id = StorageId::default();
        rest.copy_to_slice(&mut id);
        Ok(Some(Self { id, signal, next_sequence: rest.get_u64_le() }))
    }

    /// What the file says; none if it is new or damaged. Fails if a later version wrote it.
    pub(super) fn read(file: &dyn DiskFile) -> io::Result<Option<Self>> {
        let mut bytes = [0; BYTES];
        let read = read_up_to(file, &mut bytes, 0)?;
        Self::decode(&bytes[..read])
    }

    /// Writes it in place and waits until it is durable. In place, because that works on a full disk too.
    pub(super) fn write(&self, file: &dyn DiskFile) -> io::Result<()> {
        write_all_at(file, &self.encode(), 0)?;
        file.set_len(BYTES as u64)?;
        file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::{BYTES, Identity};
    use crate::buffer::Signal;

    #[test]
    fn an_identity_comes_back_unless_a_bit_is_flipped() {
        let identity = Identity { id: *b"0123456789abcdef", signal: Signal::Logs, next_sequence: 77 };
        let sound = identity.encode();
        assert_eq!(Identity::decode(&sound).unwrap(), Some(identity));
        for bit in 0..BYTES * 8 {
            let mut bytes = sound;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Identity::decode(&bytes).unwrap(), None, "bit {bit}");
        }
    }
}
