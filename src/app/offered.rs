//! Answers as their peer takes them: a peer that lets one lie is given up.
//!
//! An answer holds room that others wait for until its last byte has left. In HTTP/2 each has a window of its own, which its
//! peer may never open, while the connection lives and takes what else there is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use bytes::Buf;
use http::{Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;

/// A peer let an answer lie.
#[derive(Debug, thiserror::Error)]
#[error("the peer took nothing of an answer for {} s", .0.as_secs())]
pub(super) struct Stalled(Duration);

/// What one connection offers its peer.
#[derive(Debug, Clone)]
pub(super) struct Offers {
    within: Duration,
    open: Arc<Mutex<Open>>,
}

/// Answers of which something is not yet taken.
#[derive(Debug, Default)]
struct Open {
    /// By their numbers.
    answers: HashMap<u64, Waiting>,
    next: u64,
}

/// An answer that waits to be taken.
#[derive(Debug)]
struct Waiting {
    /// Of it, as they were made.
    pieces: usize,
    /// When something of it was taken last.
    since: Instant,
}

impl Offers {
    /// The peer has this long to take something more of each.
    pub(super) fn new(within: Duration) -> Self {
        Self { within, open: Arc::default() }
    }

    /// What the router answers is offered.
    pub(super) fn of(&self, router: Router) -> Offering {
        Offering { answers: TowerToHyperService::new(router), offers: self.clone() }
    }

    /// Serves a connection, at most until an answer was let lie for too long.
    pub(super) async fn serve<E: From<Stalled>>(
        &self,
        connection: impl Future<Output = Result<(), E>>,
    ) -> Result<(), E> {
        tokio::select! {
            served = connection => served,
            () = self.until_one_stalls() => Err(Stalled(self.within).into()),
        }
    }

    async fn until_one_stalls(&self) {
        loop {
            let first = self.open.lock().answers.values().map(|waiting| waiting.since).min();
            let longest = first.map_or(Duration::ZERO, |since| since.elapsed());
            match self.within.checked_sub(longest) {
                Some(left) if !left.is_zero() => tokio::time::sleep(left).await,
                _ => return,
            }
        }
    }

    fn answer(&self, body: Body) -> Offered {
        let mut open = self.open.lock();
        open.next += 1;
        Offered { body, number: open.next, open: Arc::clone(&self.open) }
    }
}

/// Answers, each of whose pieces is offered.
#[derive(Debug, Clone)]
pub(super) struct Offering {
    answers: TowerToHyperService<Router>,
    offers: Offers,
}

impl Service<Request<Incoming>> for Offering {
    type Response = Response<Offered>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (answer, offers) = (self.answers.call(request), self.offers.clone());
        Box::pin(async move { Ok(answer.await?.map(|body| offers.answer(body))) })
    }
}

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Offered {
    body: Body,
    number: u64,
    open: Arc<Mutex<Open>>,
}

impl Offered {
    fn piece(&self, bytes: Bytes) -> Piece {
        let new = Waiting { pieces: 0, since: Instant::now() };
        self.open.lock().answers.entry(self.number).or_insert(new).pieces += 1;
        Piece { bytes, number: self.number, open: Arc::clone(&self.open) }
    }
}

impl http_body::Body for Offered {
    type Data = Piece;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| self.piece(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Bytes of an answer, until the last of them is taken.
#[derive(Debug)]
pub(super) struct Piece {
    bytes: Bytes,
    number: u64,
    open: Arc<Mutex<Open>>,
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(waiting) = self.open.lock().answers.get_mut(&self.number) {
            waiting.since = Instant::now();
        }
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let mut open = self.open.lock();
        if let Entry::Occupied(mut waiting) = open.answers.entry(self.number) {
            waiting.get_mut().pieces -= 1;
            if waiting.get().pieces == 0 {
                waiting.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};

    use super::*;

    type Failure = Box<dyn std::error::Error + Send + Sync>;

    const MOMENT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(20);

    const ANSWER_BYTES: usize = 1_000;

    /// What an answer is made of, and holds until it is taken.
    struct Room(Vec<u8>, #[expect(dead_code, reason = "it is held")] Arc<()>);

    impl AsRef<[u8]> for Room {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }

    /// A connection whose every answer holds what is handed out beside it, and how it ends.
    fn served(within: Duration) -> (DuplexStream, Arc<()>, tokio::task::JoinHandle<Result<(), Failure>>) {
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let answer =
            async move || Body::from(Bytes::from_owner(Room(vec![b'a'; ANSWER_BYTES], holds.clone())));
        let router = Router::new().route("/", get(answer));
        let (peer, stream) = tokio::io::duplex(64 << 10);
        let serving = tokio::spawn(async move {
            let (server, offers) = (auto::Builder::new(TokioExecutor::new()), Offers::new(within));
            offers.serve(server.serve_connection(TokioIo::new(stream), offers.of(router))).await
        });
        (peer, held, serving)
    }

    /// A frame of HTTP/2 (RFC 9113, section 4.1).
    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, stream][..], payload].concat()
    }

    /// Asks for / twice, with windows of so many bytes.
    fn questions(window: u8) -> Vec<u8> {
        const HEADERS: u8 = 1;
        const SETTINGS: u8 = 4;
        // SETTINGS_INITIAL_WINDOW_SIZE; GET / of http://a.
        let (settings, head) = ([0, 4, 0, 0, 0, window], [0x82, 0x86, 0x84, 0x01, 1, b'a']);
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        let ask = |stream| frame(HEADERS, 5, stream, &head);
        [preface, frame(SETTINGS, 0, 0, &settings), ask(1), ask(3)].concat()
    }

    #[tokio::test]
    async fn who_opens_no_window_for_an_answer_is_given_up_and_holds_nothing() {
        for window in [0, 10] {
            let (mut peer, held, serving) = served(MOMENT);
            peer.write_all(&questions(window)).await.unwrap();
            let why = tokio::time::timeout(LONG, serving).await.unwrap().unwrap().unwrap_err();
            assert!(why.is::<Stalled>(), "{why}");
            tokio::time::timeout(LONG, peer.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
            let deadline = Instant::now() + LONG;
            // The router has one, and this.
            while Arc::strong_count(&held) > 1 {
                assert!(Instant::now() < deadline, "{} are held", Arc::strong_count(&held));
                tokio::task::yield_now().await;
            }
        }
    }

    #[tokio::test]
    async fn who_takes_a_little_now_and_then_is_waited_for() {
        let offers = Offers::new(LONG);
        let (answer, another) = (offers.answer(Body::empty()), offers.answer(Body::empty()));
        let piece = || answer.piece(Bytes::from_static(b"some of it"));
        let (mut first, second, _other) = (piece(), piece(), another.piece(Bytes::from_static(b"other")));
        let long_ago = Instant::now().checked_sub(LONG).unwrap();
        let forget = || offers.open.lock().answers.get_mut(&answer.number).unwrap().since = long_ago;
        let lies = || tokio::time::timeout(MOMENT, offers.until_one_stalls());
        forget();
        lies().await.unwrap();
        first.advance(1);
        lies().await.unwrap_err();
        drop(first);
        forget();
        lies().await.unwrap();
        drop(second);
        lies().await.unwrap_err();
    }

    #[tokio::test]
    async fn an_answer_that_pauses_is_waited_for() {
        use http_body_util::{BodyExt as _, Empty, StreamBody};
        use hyper_util::client::legacy::Client;
        use hyper_util::client::legacy::connect::HttpConnector;
        use tokio_stream::StreamExt as _;

        let answer = async || {
            let pieces = tokio_stream::iter([b'a', b'b']).then(|letter| async move {
                tokio::time::sleep(3 * MOMENT).await;
                Ok::<_, Infallible>(Frame::data(Bytes::from(vec![letter])))
            });
            Body::new(StreamBody::new(pieces))
        };
        let router = Router::new().route("/", get(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url: http::Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        for http2 in [false, true] {
            let client = Client::builder(TokioExecutor::new()).http2_only(http2).build(HttpConnector::new());
            let asking =
                tokio::spawn(client.request(Request::get(url.clone()).body(Empty::<Bytes>::new()).unwrap()));
            let (stream, _) = listener.accept().await.unwrap();
            let (offers, router) = (Offers::new(MOMENT), router.clone());
            tokio::spawn(async move {
                let server = auto::Builder::new(TokioExecutor::new());
                offers
                    .serve::<Failure>(server.serve_connection(TokioIo::new(stream), offers.of(router)))
                    .await
            });
            let answer = asking.await.unwrap().unwrap().into_body().collect().await.unwrap();
            assert_eq!(answer.to_bytes(), "ab", "HTTP/2: {http2}");
        }
    }

    #[tokio::test]
    async fn a_connection_without_an_answer_to_take_lives_on() {
        let (mut peer, _held, serving) = served(MOMENT);
        tokio::time::sleep(3 * MOMENT).await;
        peer.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        peer.read_to_end(&mut answer).await.unwrap();
        assert!(answer.ends_with(&[b'a'; ANSWER_BYTES]));
        serving.await.unwrap().unwrap();
    }
}
