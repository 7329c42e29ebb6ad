//! Bodies of questions: few at a time, of limited size, in limited time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use http_body_util::LengthLimitError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::error::Error;
use crate::serve::turns;

/// Reads bodies; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Bodies {
    places: Arc<Semaphore>,
    wait: Duration,
    read_time: Duration,
    max_bytes: usize,
}

/// A body, which takes its place until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    pub bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl Default for Bodies {
    /// Two at a time, 20 MiB each, as large as a request that brings spans may be.
    fn default() -> Self {
        Self {
            places: Arc::new(Semaphore::new(2)),
            wait: Duration::from_secs(10),
            read_time: Duration::from_secs(30),
            max_bytes: 20 * 1024 * 1024,
        }
    }
}

impl Bodies {
    /// Waits for a place before the first byte is read.
    pub(super) async fn read(&self, body: Body) -> Result<Held, Error> {
        let place = timeout(self.wait, Arc::clone(&self.places).acquire_owned()).await;
        // The places are never closed, so the inner error cannot come.
        let Ok(Ok(place)) = place else { return Err(turns::Error::Busy.into()) };
        let read = timeout(self.read_time, to_bytes(body, self.max_bytes)).await;
        let bytes = read.map_err(|_| Error::BodyTooSlow { seconds: self.read_time.as_secs() })?;
        Ok(Held { bytes: bytes.map_err(|error| self.unread(error))?, _place: place })
    }

    /// A body ends early by its own fault, or by reaching the limit.
    fn unread(&self, error: axum::Error) -> Error {
        let cause = error.into_inner();
        if cause.is::<LengthLimitError>() {
            return Error::BodyTooLarge { limit: self.max_bytes };
        }
        Error::Body(cause.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::Frame;

    use super::*;

    fn bodies() -> Bodies {
        let moment = Duration::from_millis(1);
        Bodies { places: Arc::new(Semaphore::new(1)), wait: moment, read_time: moment, max_bytes: 4 }
    }

    /// A body that never says anything.
    struct Silent;

    impl http_body::Body for Silent {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            Poll::Pending
        }
    }

    #[tokio::test]
    async fn a_body_takes_its_place_as_long_as_it_is_held() {
        let bodies = bodies();
        let held = bodies.read(Body::from("1234")).await.unwrap();
        assert_eq!(held.bytes, "1234");
        assert!(matches!(bodies.read(Body::empty()).await, Err(Error::Turn(turns::Error::Busy))));
        drop(held);
        assert!(bodies.read(Body::empty()).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_may_be_neither_too_large_nor_too_slow() {
        let bodies = bodies();
        assert!(matches!(bodies.read(Body::from("12345")).await, Err(Error::BodyTooLarge { limit: 4 })));
        assert!(matches!(bodies.read(Body::new(Silent)).await, Err(Error::BodyTooSlow { .. })));
        assert!(bodies.read(Body::empty()).await.is_ok(), "the place came back");
    }
}
