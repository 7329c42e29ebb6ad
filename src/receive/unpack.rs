//! What packed bytes inflate to, as a stream that ends where they take more work than what comes of them is worth.
//!
//! What comes out is limited by who reads it. Here is limited what goes in: a body may have as many bytes as any other, and
//! hold millions of frames, members or blocks with next to nothing in each.

use std::cell::Cell;
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use super::body::Coding;

/// Bytes that may be packed beyond those that come out. Packing adds a thousandth to what cannot be made smaller, and some
/// twenty bytes to each member of gzip.
const MAX_OVERHEAD_BYTES: usize = 256 << 10;

/// Frames and blocks of zstd in a body. A block holds up to 128 KiB; who ends one with every span has one for some hundred
/// bytes.
const MAX_PIECES: usize = 128 << 10;

/// Bytes that are offered at a time.
const STEP_BYTES: usize = 16 << 10;

/// 8 MiB, what every decoder of RFC 8878 must accept (section 3.1.1.1.2) and the most that this one does.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

/// What comes of these bytes.
pub(super) fn unpack(coding: Coding, packed: &[u8]) -> io::Result<Box<dyn Read + '_>> {
    let out = Rc::new(Cell::new(0));
    let rationed = Rationed { left: packed, taken: 0, out: Rc::clone(&out) };
    let inner: Box<dyn Read + '_> = match coding {
        Coding::Identity => Box::new(rationed),
        // Clients join gzip members when they flush in between (RFC 1952, section 2.2).
        Coding::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(rationed)),
        Coding::Deflate => Box::new(flate2::bufread::ZlibDecoder::new(rationed)),
        Coding::Zstd => {
            count_pieces(packed)?;
            let mut decoder = zstd::stream::read::Decoder::with_buffer(rationed)?;
            decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
            Box::new(decoder)
        }
    };
    Ok(Box::new(Counted { inner, out }))
}

/// Packed bytes, as long as enough comes of them.
struct Rationed<'a> {
    left: &'a [u8],
    taken: usize,
    /// How much came out.
    out: Rc<Cell<usize>>,
}

impl BufRead for Rationed<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        let (taken, out) = (self.taken, self.out.get());
        if taken > out + MAX_OVERHEAD_BYTES {
            return Err(damaged(format!(
                "{taken} bytes of it hold {out}, where at most {MAX_OVERHEAD_BYTES} may be added by packing"
            )));
        }
        Ok(&self.left[..self.left.len().min(STEP_BYTES)])
    }

    fn consume(&mut self, length: usize) {
        self.left = &self.left[length..];
        self.taken += length;
    }
}

impl Read for Rationed<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(into)?;
        self.consume(read);
        Ok(read)
    }
}

/// Tells how much came out.
struct Counted<'a> {
    inner: Box<dyn Read + 'a>,
    out: Rc<Cell<usize>>,
}

impl Read for Counted<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(into)?;
        self.out.set(self.out.get() + read);
        Ok(read)
    }
}

/// Refuses what is in too many pieces, and what is none of RFC 8878: the library reads formats that are older. A piece that
/// ends early is left for it to find.
fn count_pieces(packed: &[u8]) -> io::Result<()> {
    let (mut rest, mut pieces) = (packed, 0);
    while !rest.is_empty() {
        let Some(behind) = behind_frame(rest, &mut pieces)? else { return Ok(()) };
        rest = behind;
    }
    Ok(())
}

/// What stands behind the first frame, if it is whole (RFC 8878, section 3.1).
fn behind_frame<'a>(frame: &'a [u8], pieces: &mut usize) -> io::Result<Option<&'a [u8]>> {
    count(pieces)?;
    let Some((&magic, rest)) = frame.split_first_chunk() else { return Ok(None) };
    match u32::from_le_bytes(magic) {
        0x184D_2A50..=0x184D_2A5F => {
            let skipped = rest.split_first_chunk();
            Ok(skipped.and_then(|(&length, rest)| rest.get(u32::from_le_bytes(length) as usize..)))
        }
        0xFD2F_B528 => {
            let Some((&descriptor, rest)) = rest.split_first() else { return Ok(None) };
            let Some(mut rest) = rest.get(header_bytes(descriptor)..) else { return Ok(None) };
            loop {
                count(pieces)?;
                let Some((&[low, middle, high], behind)) = rest.split_first_chunk() else { return Ok(None) };
                let head = u32::from_le_bytes([low, middle, high, 0]);
                // A byte that is repeated stands there once.
                let length = if head >> 1 & 3 == 1 { 1 } else { head as usize >> 3 };
                let Some(behind) = behind.get(length..) else { return Ok(None) };
                if head & 1 == 1 {
                    let checksum = if descriptor & 4 == 0 { 0 } else { 4 };
                    return Ok(behind.get(checksum..));
                }
                rest = behind;
            }
        }
        _ => Err(damaged("it is not zstd".to_owned())),
    }
}

/// The bytes of a frame's header behind its descriptor: window, dictionary, size of the content (section 3.1.1.1).
fn header_bytes(descriptor: u8) -> usize {
    let is_single_segment = descriptor & 0x20 != 0;
    let window = if is_single_segment { 0 } else { 1 };
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = match descriptor >> 6 {
        0 => usize::from(is_single_segment),
        flag => 1 << flag,
    };
    window + dictionary + content
}

fn count(pieces: &mut usize) -> io::Result<()> {
    *pieces += 1;
    if *pieces > MAX_PIECES {
        return Err(damaged(format!("it is in more than {MAX_PIECES} frames and blocks")));
    }
    Ok(())
}

fn damaged(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    const CODINGS: [Coding; 3] = [Coding::Gzip, Coding::Deflate, Coding::Zstd];

    /// A frame of one block: its kind, its size and what it holds.
    fn zstd_frame(kind: u32, size: u32, content: &[u8]) -> Vec<u8> {
        let block = size << 3 | kind << 1 | 1;
        [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0][..], &block.to_le_bytes()[..3], content].concat()
    }

    fn packed(coding: Coding, parts: &[&[u8]]) -> Vec<u8> {
        fn write(mut to: impl Write, parts: &[&[u8]]) -> io::Result<()> {
            for part in parts {
                to.write_all(part)?;
                // Ends a block.
                to.flush()?;
            }
            Ok(())
        }
        let mut packed = Vec::new();
        match coding {
            Coding::Identity => write(&mut packed, parts).unwrap(),
            Coding::Gzip => write(GzEncoder::new(&mut packed, Compression::fast()), parts).unwrap(),
            Coding::Deflate => write(ZlibEncoder::new(&mut packed, Compression::fast()), parts).unwrap(),
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(&mut packed, 1).unwrap();
                encoder.include_checksum(true).unwrap();
                write(encoder.auto_finish(), parts).unwrap();
            }
        }
        packed
    }

    fn unpacked(coding: Coding, packed: &[u8]) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        let read = unpack(coding, packed).and_then(|mut from| from.read_to_end(&mut out));
        read.map(|_| out).map_err(|error| error.to_string())
    }

    /// Bytes that cannot be made smaller.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_u32;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn what_clients_pack_comes_out_again() {
        let (noise, zeros) = (noise(1 << 20), vec![0; 4 << 20]);
        let spans: Vec<_> = noise[..200_000].chunks(40).collect();
        for coding in CODINGS {
            for parts in [&[][..], &[b"".as_slice()], &[noise.as_slice()], &[zeros.as_slice()], &spans] {
                let once = packed(coding, parts);
                assert!(unpacked(coding, &once).unwrap() == parts.concat(), "{coding:?}");
                if coding != Coding::Deflate {
                    let joined = unpacked(coding, &once.repeat(2)).unwrap();
                    assert!(joined == parts.concat().repeat(2), "{coding:?} twice");
                }
            }
        }
    }

    #[test]
    fn a_body_that_inflates_to_next_to_nothing_is_given_up() {
        // Blocks that are stored, and hold nothing (RFC 1951, section 3.2.4).
        let empty_blocks = [0, 0, 0, 0xff, 0xff].repeat(100_000);
        let gzip_head = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
        let cases = [
            (Coding::Gzip, packed(Coding::Gzip, &[]).repeat(50_000)),
            (Coding::Gzip, [&gzip_head[..], &empty_blocks].concat()),
            (Coding::Deflate, [&[0x78, 0xda][..], &empty_blocks].concat()),
            (Coding::Zstd, zstd_frame(0, 0, b"").repeat(50_000)),
            (Coding::Zstd, [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0].repeat(50_000)),
        ];
        for (coding, body) in cases {
            let why = unpacked(coding, &body).unwrap_err();
            assert!(
                why.ends_with("hold 0, where at most 262144 may be added by packing"),
                "{coding:?}: {why}"
            );
        }
    }

    #[test]
    fn zstd_in_too_many_pieces_is_given_up() {
        let frame = zstd_frame(1, 40, b"a");
        let many = frame.repeat(MAX_PIECES / 2);
        assert_eq!(unpacked(Coding::Zstd, &many).unwrap().len(), 40 * MAX_PIECES / 2);
        let why = "it is in more than 131072 frames and blocks";
        assert_eq!(unpacked(Coding::Zstd, &[many, frame].concat()).unwrap_err(), why);
        let head = [0x28, 0xb5, 0x2f, 0xfd, 0, 0];
        // A byte four times.
        let blocks = [&head[..], &[0x22, 0, 0, b'a'].repeat(MAX_PIECES)].concat();
        assert_eq!(unpacked(Coding::Zstd, &blocks).unwrap_err(), why);
    }

    #[test]
    fn what_breaks_off_or_is_no_zstd_is_an_error() {
        let whole = packed(Coding::Zstd, &[b"a span", b"and another"]);
        for length in 1..whole.len() {
            unpacked(Coding::Zstd, &whole[..length]).unwrap_err();
        }
        // The magic number of version 0.7.
        let older = [&[0x27, 0xb5, 0x2f, 0xfd][..], &whole[4..]].concat();
        assert_eq!(unpacked(Coding::Zstd, &older).unwrap_err(), "it is not zstd");
    }
}
