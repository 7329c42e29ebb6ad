//! A connection whose peer must take what it asked for: one that lets answers lie is closed.
//!
//! An answer holds room that others wait for until its last byte has left, and TCP lets a peer that does not read hold it for
//! as long as it likes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// Bytes to and from a peer. A write that waits for the peer for too long is an error.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    within: Duration,
    /// Since something waits to be taken.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    /// The peer has this long to take something more.
    pub(super) fn new(stream: S, within: Duration) -> Self {
        Self { stream, within, waiting: None }
    }

    fn waited<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let within = self.within;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        ready!(waiting.as_mut().poll(context));
        let why = format!("the peer took nothing for {} s", within.as_secs());
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, why)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.waited(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.waited(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_takes_nothing_is_given_up() {
        let (mut peer, stream) = tokio::io::duplex(16);
        let mut stream = Patient::new(stream, Duration::from_millis(20));
        stream.write_all(&[1; 16]).await.unwrap();
        assert_eq!(stream.write_all(&[2; 16]).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let mut taken = [0; 16];
        peer.read_exact(&mut taken).await.unwrap();
        assert_eq!(taken, [1; 16]);
    }

    #[tokio::test]
    async fn who_takes_a_little_has_all_the_time_again() {
        let (mut peer, stream) = tokio::io::duplex(16);
        let mut stream = Patient::new(stream, Duration::from_secs(3_600));
        stream.write_all(&[3; 16]).await.unwrap();
        for _ in 0..3 {
            let more = poll_fn(|context| Poll::Ready(Pin::new(&mut stream).poll_write(context, &[3])));
            assert!(more.await.is_pending() && stream.waiting.is_some());
            assert_eq!(peer.read_u8().await.unwrap(), 3);
            stream.write_all(&[3]).await.unwrap();
            assert!(stream.waiting.is_none());
        }
    }
}
