//! A request's body on its way to another process, and once more to the next one if that ends meanwhile.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use parking_lot::Mutex;

/// Bytes of a body that are kept for being sent again: a span as Jaeger writes them, and most questions.
const MAX_KEPT_BYTES: usize = 256 << 10;

/// A body, and what went out of it.
#[derive(Debug, Clone)]
pub(super) struct Held(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    rest: Body,
    kept: Vec<Bytes>,
    kept_bytes: usize,
    /// Which of the readers may take from `rest`.
    reader: u64,
    /// What was taken from `rest` is all in `kept`.
    whole: bool,
}

impl Held {
    /// Nothing of it has gone out.
    pub(super) fn new(body: Body) -> Self {
        let state = State { rest: body, kept: Vec::new(), kept_bytes: 0, reader: 0, whole: true };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The body from its beginning, unless that is lost; readers that were given before read no further.
    pub(super) fn anew(&self) -> Option<Passing> {
        let mut state = self.0.lock();
        state.reader += 1;
        state.whole.then(|| Passing { held: self.clone(), reader: state.reader, next: 0 })
    }

    /// It is not needed again.
    pub(super) fn let_go(&self) {
        self.0.lock().forget();
    }
}

impl State {
    fn forget(&mut self) {
        self.whole = false;
        self.kept = Vec::new();
    }

    fn keep(&mut self, data: &Bytes) {
        self.kept_bytes = self.kept_bytes.saturating_add(data.len());
        if self.kept_bytes > MAX_KEPT_BYTES {
            self.forget();
        } else if self.whole {
            self.kept.push(data.clone());
        }
    }
}

/// One reading of a held body.
#[derive(Debug)]
pub(super) struct Passing {
    held: Held,
    reader: u64,
    next: usize,
}

impl HttpBody for Passing {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let held = self.held.clone();
        let mut state = held.0.lock();
        if state.reader != self.reader {
            return Poll::Ready(Some(Err(axum::Error::new("the call goes another way now"))));
        }
        if let Some(data) = state.kept.get(self.next) {
            let data = data.clone();
            self.next += 1;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let frame = std::task::ready!(Pin::new(&mut state.rest).poll_frame(context));
        match frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref) {
            Some(data) => {
                state.keep(data);
                self.next = state.kept.len();
            }
            // A body that broke, or had more after its data, is not one that can be begun again.
            None if frame.is_some() => state.forget(),
            None => {}
        }
        Poll::Ready(frame)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt as _, StreamBody};

    use super::*;

    fn pieces(pieces: &[&'static str]) -> Held {
        let frames: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, axum::Error>(Frame::data(Bytes::from_static(piece.as_bytes()))))
            .collect();
        Held::new(Body::new(StreamBody::new(tokio_stream::iter(frames))))
    }

    async fn next(passing: &mut Passing) -> Result<Bytes, axum::Error> {
        passing.frame().await.unwrap().map(|frame| frame.into_data().unwrap())
    }

    #[tokio::test]
    async fn a_body_can_be_begun_again_from_anywhere() {
        let held = pieces(&["ab", "cd", "ef"]);
        let mut first = held.anew().unwrap();
        assert_eq!(next(&mut first).await.unwrap(), "ab");
        assert_eq!(next(&mut first).await.unwrap(), "cd");
        let second = held.anew().unwrap();
        assert!(next(&mut first).await.is_err(), "only one may read on");
        assert_eq!(second.collect().await.unwrap().to_bytes(), "abcdef");
        let third = held.anew().unwrap();
        assert_eq!(third.collect().await.unwrap().to_bytes(), "abcdef", "its end is no reason against it");
    }

    #[tokio::test]
    async fn what_is_long_is_passed_on_but_not_kept() {
        let long: &'static str = "x".repeat(MAX_KEPT_BYTES).leak();
        let held = pieces(&["a", long, "b"]);
        let passing = held.anew().unwrap();
        assert_eq!(passing.collect().await.unwrap().to_bytes().len(), MAX_KEPT_BYTES + 2);
        assert!(held.anew().is_none());
        assert!(held.0.lock().kept.is_empty());
    }

    #[tokio::test]
    async fn what_was_answered_is_let_go() {
        let held = pieces(&["a", "b"]);
        let mut passing = held.anew().unwrap();
        assert_eq!(next(&mut passing).await.unwrap(), "a");
        held.let_go();
        assert_eq!(next(&mut passing).await.unwrap(), "b", "whoever reads may read on");
        assert!(passing.frame().await.is_none());
        assert!(held.anew().is_none());
    }
}
