//! A file that redb may open, repair and check without a byte of it being changed: what it writes stays in memory.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use parking_lot::Mutex;
use redb::{Builder, Database, DatabaseError, StorageBackend};

use crate::store::files::Padded;

const PAGE_BYTES: usize = 4096;

/// Pages that are written at most: a repair writes the state of the pages, which is a small part of a file.
const MAX_PAGES: usize = 16 << 10;

/// Opens a database that is there.
pub(super) fn open(path: &Path, builder: &Builder) -> Result<Database, DatabaseError> {
    let backend = Untouched::open(path)?;
    // An empty one would be taken for one that is to be made.
    if backend.len()? == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    builder.create_with_backend(Padded(backend))
}

/// A file that is only read.
#[derive(Debug)]
pub(super) struct Untouched {
    file: File,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    /// How long the file seems to be.
    length: u64,
    /// How much of the file itself is still seen.
    kept: u64,
    pages: HashMap<u64, Box<[u8; PAGE_BYTES]>>,
}

impl Untouched {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self { file, written: Mutex::new(Written { length, kept: length, pages: HashMap::new() }) })
    }

    /// A page as it is in the file, with zeros where that has none.
    fn read_page(&self, kept: u64, page: u64, into: &mut [u8; PAGE_BYTES]) -> io::Result<()> {
        let start = page * PAGE_BYTES as u64;
        let there = usize::try_from(kept.saturating_sub(start)).unwrap_or(PAGE_BYTES).min(PAGE_BYTES);
        into[there..].fill(0);
        self.file.read_exact_at(&mut into[..there], start)
    }
}

/// Where each piece of a stretch stands: the page, where in it, and which of the stretch's bytes.
fn pieces(offset: u64, length: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let inside = (at % PAGE_BYTES as u64) as usize;
        let piece = done..length.min(done + PAGE_BYTES - inside);
        done = piece.end;
        (!piece.is_empty()).then_some((at / PAGE_BYTES as u64, inside, piece))
    })
}

impl StorageBackend for Untouched {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.written.lock();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > written.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let end = offset + out.len() as u64;
        if written.pages.is_empty() && end <= written.kept {
            return self.file.read_exact_at(out, offset);
        }
        let mut fresh = [0; PAGE_BYTES];
        for (page, inside, piece) in pieces(offset, out.len()) {
            let bytes = match written.pages.get(&page) {
                Some(page) => page,
                None => {
                    self.read_page(written.kept, page, &mut fresh)?;
                    &fresh
                }
            };
            out[piece.clone()].copy_from_slice(&bytes[inside..inside + piece.len()]);
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut written = self.written.lock();
        if length < written.length {
            // What is cut off comes back as zeros, should the file grow again.
            let last = length / PAGE_BYTES as u64;
            written.pages.retain(|page, _| *page <= last);
            if let Some(page) = written.pages.get_mut(&last) {
                page[(length % PAGE_BYTES as u64) as usize..].fill(0);
            }
            written.kept = written.kept.min(length);
        }
        written.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock();
        for (page, inside, piece) in pieces(offset, data.len()) {
            if !written.pages.contains_key(&page) {
                if written.pages.len() >= MAX_PAGES {
                    return Err(io::Error::other("a repair of the file would write more than 64 MiB"));
                }
                let mut fresh = Box::new([0; PAGE_BYTES]);
                self.read_page(written.kept, page, &mut fresh)?;
                written.pages.insert(page, fresh);
            }
            if let Some(page) = written.pages.get_mut(&page) {
                page[inside..inside + piece.len()].copy_from_slice(&data[piece]);
            }
        }
        written.length = written.length.max(offset + data.len() as u64);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_the_file_stays_as_it_is() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let before: Vec<u8> = (0..10_000u32).map(|at| at as u8).collect();
        std::fs::write(file.path(), &before).unwrap();
        let untouched = Untouched::open(file.path()).unwrap();
        let mut expected = before.clone();
        for (offset, length) in [(0, 3), (4_090, 20), (9_990, 10), (9_999, 6_000), (20_000, 1)] {
            expected.resize(expected.len().max(offset + length), 0);
            expected[offset..offset + length].fill(0xee);
            untouched.write(offset as u64, &vec![0xee; length]).unwrap();
            let mut seen = vec![1; expected.len()];
            untouched.read(0, &mut seen).unwrap();
            assert_eq!(seen, expected, "{offset}");
        }
        for length in [5_000usize, 9_000] {
            expected.resize(length, 0);
            untouched.set_len(length as u64).unwrap();
            let mut seen = vec![1; length];
            untouched.read(0, &mut seen).unwrap();
            assert_eq!(seen, expected, "{length}");
        }
        assert!(untouched.read(8_999, &mut [0; 2]).is_err());
        assert_eq!(std::fs::read(file.path()).unwrap(), before);
    }
}
