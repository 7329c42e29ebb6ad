//! A packed answer for someone who does not take it packed: unpacked piece by piece while it is sent.

use std::io::{self, Cursor, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::read::GzDecoder;
use http_body::{Body, Frame, SizeHint};

/// What is unpacked at once.
const PIECE_BYTES: u64 = 64 << 10;

/// The body of such an answer.
pub(super) struct Unpacked<B> {
    packed: GzDecoder<Cursor<B>>,
    /// Bytes still to come.
    left: u64,
}

impl<B: AsRef<[u8]>> Unpacked<B> {
    /// Of these packed bytes, which unpack to `length`.
    pub(super) fn new(packed: B, length: u64) -> Self {
        Self { packed: GzDecoder::new(Cursor::new(packed)), left: length }
    }
}

impl<B: AsRef<[u8]> + Unpin> Body for Unpacked<B> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let mut piece = vec![0; self.left.min(PIECE_BYTES) as usize];
        self.left -= piece.len() as u64;
        let read = self.packed.read_exact(&mut piece);
        Poll::Ready(Some(read.map(|()| Frame::data(piece.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
