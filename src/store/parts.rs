//! Large values in pieces that leave no page of the engine half empty.
//!
//! redb gives a value that is larger than a page a run of 2^k pages. A blob is therefore cut into pieces that fill
//! such runs to the last byte, the largest first; only the last piece is of any length, and shares its page with
//! others when it is small. Without this a file is a third larger.

use redb::{ReadableTable, Table};

use crate::store::Error;
use crate::store::seal::{Damaged, seal, unseal};

type WriteTable<'t> = Table<'t, &'static [u8], &'static [u8]>;

const PAGE_BYTES: usize = 4096;

/// The largest piece takes 2^6 pages: larger ones gain nothing and are harder to place.
const LARGEST: u32 = 6;

/// What a leaf with one row of key and value takes beside them (redb's design notes, "leaf page"), and the checksum.
const OVERHEAD: usize = 4 + 4 + 4 + 4;

/// The longest blob: the pieces of the largest size that leave numbers for what smaller ones the rest takes.
pub(super) const MAX_BLOB_BYTES: usize = 240 * ((PAGE_BYTES << LARGEST) - 512);

/// Writes a blob below `key`, to which one byte is added: the number of the part. One that is too long is an error.
pub(super) fn write(table: &mut WriteTable<'_>, key: &[u8], blob: &[u8]) -> Result<u64, Error> {
    let (what, found) = ("bytes of a value in parts", blob.len());
    let too_large = || Error::TooLarge { what, found, most: MAX_BLOB_BYTES };
    if blob.len() > MAX_BLOB_BYTES {
        return Err(too_large());
    }
    let mut key = [key, &[0]].concat();
    let (mut rest, mut written) = (blob, 0);
    loop {
        let (piece, behind) = rest.split_at(piece_bytes(key.len(), rest.len()));
        let value = seal(&key, piece.to_vec());
        table.insert(&key[..], &value[..])?;
        written += (key.len() + value.len()) as u64;
        rest = behind;
        if rest.is_empty() {
            return Ok(written);
        }
        let part = key.last_mut().expect("the part was added above");
        *part = part.checked_add(1).ok_or_else(too_large)?;
    }
}

/// Writes a blob as one part, however long: one that leaves hardly anything of its pages empty.
pub(super) fn write_one(table: &mut WriteTable<'_>, key: &[u8], blob: &[u8]) -> Result<u64, Error> {
    let key = [key, &[0]].concat();
    let value = seal(&key, blob.to_vec());
    table.insert(&key[..], &value[..])?;
    Ok((key.len() + value.len()) as u64)
}

/// How much of what is left goes into the next piece.
fn piece_bytes(key_bytes: usize, left: usize) -> usize {
    let full = (0..=LARGEST).rev().map(|order| room(order, key_bytes)).find(|&room| room <= left);
    full.unwrap_or(left)
}

/// What fits into 2^`order` pages with a key of so many bytes.
fn room(order: u32, key_bytes: usize) -> usize {
    (PAGE_BYTES << order) - OVERHEAD - key_bytes
}

/// The blob below `key`; `None` when there is none.
pub(super) fn read(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
) -> Result<Option<Result<Vec<u8>, Damaged>>, Error> {
    let (first, last) = ([key, &[0]].concat(), [key, &[u8::MAX]].concat());
    let (mut blob, mut parts) = (Vec::new(), 0usize);
    for row in table.range::<&[u8]>(&first[..]..=&last[..])? {
        let (key, value) = row?;
        let key = key.value();
        // A part that is missing would put together what does not belong together.
        let piece = match unseal(key, value.value()) {
            Ok(piece) if key.last().is_some_and(|&part| usize::from(part) == parts) => piece,
            _ => return Ok(Some(Err(Damaged))),
        };
        blob.extend_from_slice(piece);
        parts += 1;
        // The last one. To look for another would read the next blob's pages.
        if piece.len() < room(0, key.len()) {
            break;
        }
    }
    Ok((parts > 0).then_some(Ok(blob)))
}

/// Looks at a blob of one part; `None` when there is none. Others are not looked for: on the disk they may be far away.
pub(super) fn read_one<T>(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    key: &[u8],
    look: impl FnOnce(&[u8]) -> Result<T, Damaged>,
) -> Result<Option<Result<T, Damaged>>, Error> {
    let key = [key, &[0]].concat();
    Ok(table.get(&key[..])?.map(|value| unseal(&key, value.value()).and_then(look)))
}

/// Removes all blobs whose keys begin like this.
pub(super) fn remove_all(table: &mut WriteTable<'_>, start: &[u8]) -> Result<(), Error> {
    let last = [start, &[u8::MAX; 4]].concat();
    table.retain_in::<&[u8], _>(start..=&last[..], |_key, _value| false)?;
    Ok(())
}

/// Removes the blob below `key`.
pub(super) fn remove(table: &mut WriteTable<'_>, key: &[u8]) -> Result<(), Error> {
    let (first, last) = ([key, &[0]].concat(), [key, &[u8::MAX]].concat());
    table.retain_in::<&[u8], _>(&first[..]..=&last[..], |_key, _value| false)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_but_the_last_fills_its_pages() {
        for left in [0, 1, 4_000, 4_096, 9_000, 100_000, 1 << 20, MAX_BLOB_BYTES] {
            let (mut rest, mut pieces) = (left, Vec::new());
            while rest > 0 {
                pieces.push(piece_bytes(29, rest));
                rest -= pieces[pieces.len() - 1];
            }
            assert!(pieces.len() <= 255, "{} pieces of {left} bytes", pieces.len());
            for piece in &pieces[..pieces.len().saturating_sub(1)] {
                let taken = piece + 29 + OVERHEAD;
                assert!(
                    taken.is_multiple_of(PAGE_BYTES) && (taken / PAGE_BYTES).is_power_of_two(),
                    "{taken}"
                );
            }
        }
    }
}
