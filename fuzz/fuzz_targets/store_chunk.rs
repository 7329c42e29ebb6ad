//! Any bytes as a chunk of the store, and any bytes as what a chunk has packed: all of it can be read, or is damaged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tracelodge::store::read_any;

const VERSION: u8 = 1;

/// The longest block of zstd.
const MAX_BLOCK_BYTES: usize = 128 << 10;

fuzz_target!(|input: &[u8]| {
    let Some((mode, bytes)) = input.split_first() else { return };
    if mode & 1 == 0 {
        read_any(bytes);
    } else if let Some(chunk) = around(bytes) {
        read_any(&chunk);
    }
});

/// A chunk with these bytes as its numbers, ids, head and body: no run would get past zstd otherwise.
fn around(bytes: &[u8]) -> Option<Vec<u8>> {
    let ([spans, traces, foreign, values, distinct, head], rest) = bytes.split_first_chunk()?;
    let small = [spans, traces, foreign].map(|number| number % 16);
    let ids = 16 * usize::from(small[1]) + 8 * usize::from(small[0] + small[2]);
    let (ids, rest) = rest.split_at_checked(ids)?;
    let (head, body) = rest.split_at_checked(usize::from(*head))?;
    let (packed_head, packed_body) = (frame(head)?, frame(body)?);
    let mut chunk = vec![VERSION];
    let counts = [small[0], small[1], small[2], *values, *distinct].map(usize::from);
    let lengths = [head.len(), packed_head.len(), body.len()];
    counts.into_iter().chain(lengths).for_each(|number| push_number(&mut chunk, number));
    Some([&chunk, ids, &packed_head, &packed_body].concat())
}

/// A zstd frame of one block that is not compressed (RFC 8878, section 3.1.1).
fn frame(content: &[u8]) -> Option<Vec<u8>> {
    if content.len() > MAX_BLOCK_BYTES {
        return None;
    }
    let length = content.len() as u32;
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
    frame.extend(length.to_le_bytes());
    frame.extend(&(length << 3 | 1).to_le_bytes()[..3]);
    frame.extend(content);
    Some(frame)
}

fn push_number(out: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}
