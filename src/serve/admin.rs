//! The admin door: is it alive, is it ready, what does it count, what does it hold; and a copy of that.
//!
//! `/livez` says that the process runs and depends on nothing else. `/readyz` says whether spans can be accepted
//! and acknowledged. `/healthz` and `/` (where Jaeger's admin port answers) say the same with details. A full disk
//! is: alive, not ready for spans, ready for queries.
//!
//! `/status` says in JSON what there is, and `POST /backup` gives a copy of it as it is made: one at a time, to somebody
//! who takes it without pausing for more than a minute, and not at a crawl. `POST /purge`, which is off unless it was
//! asked for, deletes everything.

use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::{Bytes, BytesMut};
use http::{StatusCode, header};
use http_body::Frame;
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;

use super::guard::{self, AllowedHosts, DEFECT};

const PATHS: &str =
    "404 page not found; there are /livez, /readyz, /healthz, /metrics, /status and /backup (POST)\n";

const PURGE_IS_OFF: &str = "nothing is deleted: the setting doors.purge is false; it is for test rigs\n";

/// Bytes of a backup that are sent at once, and pieces that wait to be taken.
const PIECE_BYTES: usize = 256 << 10;
const PIECES: usize = 2;

/// A copy that nobody takes is given up: it holds files of the store.
const TAKE_WITHIN: Duration = Duration::from_secs(60);

/// So is one that is taken more slowly than this, a minute's grace aside.
const LEAST_BYTES_A_SECOND: u64 = 128 << 10;

/// The state of a process, in the OpenTelemetry Collector's words (`component/componentstatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Status {
    /// Not everything runs yet.
    Starting,
    /// Everything runs.
    #[serde(rename = "OK")]
    Ok,
    /// Something does not, and may by itself again.
    RecoverableError,
    /// Something does not, and will not without help.
    PermanentError,
    /// The process is about to end because of it.
    FatalError,
    /// The process was told to end.
    Stopping,
    /// Everything has ended.
    Stopped,
}

/// Whether one of the two things the server is for can be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// It can.
    pub ready: bool,
    /// Why not, or what a person should know though it can.
    pub reasons: Vec<String>,
}

/// What the process knows of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Health {
    /// In one word.
    pub status: Status,
    /// Accepting spans and keeping them.
    pub ingest: Readiness,
    /// Answering questions.
    pub query: Readiness,
}

/// Asks the process how it is; may block.
pub type AskHealth = Arc<dyn Fn() -> Health + Send + Sync>;
/// Writes every metric in Prometheus' text format 0.0.4; may block.
pub type WriteMetrics = Arc<dyn Fn() -> String + Send + Sync>;

/// Says what there is, as JSON; may block.
pub type AskStatus = Arc<dyn Fn() -> String + Send + Sync>;
/// Writes a copy of what is stored; may block. An error says in words why it has no end, or no beginning.
pub type WriteBackup = Arc<dyn Fn(&mut dyn Write) -> Result<(), String> + Send + Sync>;

/// Deletes everything that came in before; may block. An error says in words why not.
pub type Purge = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the process can be asked.
#[derive(Clone)]
pub struct Process {
    /// How it is.
    pub health: AskHealth,
    /// What it counts.
    pub metrics: WriteMetrics,
    /// What there is.
    pub status: AskStatus,
    /// A copy of it.
    pub backup: WriteBackup,
    /// The end of it; `None` where nobody may ask for that.
    pub purge: Option<Purge>,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}

/// Everything of the admin port.
pub fn router(process: Process, hosts: AllowedHosts) -> Router {
    let Process { health, metrics, status, backup, purge } = process;
    let one_at_a_time = Arc::new(Semaphore::new(1));
    let routes = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(ready_for_spans))
        .route("/healthz", get(details))
        .route("/", get(details))
        .with_state(health)
        .route("/metrics", get(move || written("text/plain; version=0.0.4", metrics)))
        .route("/status", get(move || written("application/json", status)))
        .route("/backup", post(move || copy(backup, one_at_a_time)))
        .route("/purge", post(move || emptied(purge)))
        .fallback(|| async { (StatusCode::NOT_FOUND, PATHS) });
    guard::protect(routes, hosts)
}

/// What is answered where there is no answer.
type Defect = (StatusCode, &'static str);

async fn ready_for_spans(State(health): State<AskHealth>) -> Result<Response, Defect> {
    let health = asked(health).await?;
    let status = status_code(&health);
    if health.ingest.ready {
        return Ok((status, "ready\n").into_response());
    }
    Ok((status, format!("not ready: {}\n", health.ingest.reasons.join("; "))).into_response())
}

async fn details(State(health): State<AskHealth>) -> Result<Response, Defect> {
    let health = asked(health).await?;
    Ok((status_code(&health), Json(health)).into_response())
}

fn status_code(health: &Health) -> StatusCode {
    if health.ingest.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

async fn written(
    media_type: &'static str,
    write: Arc<dyn Fn() -> String + Send + Sync>,
) -> Result<Response, Defect> {
    Ok(([(header::CONTENT_TYPE, media_type)], asked(write).await?).into_response())
}

/// On a thread that may block: some of it is asked of the store.
async fn asked<T: Send + 'static>(ask: Arc<dyn Fn() -> T + Send + Sync>) -> Result<T, Defect> {
    spawn_blocking(move || ask()).await.map_err(|defect| {
        tracing::error!(%defect, "what the process knows of itself was not said");
        (StatusCode::INTERNAL_SERVER_ERROR, DEFECT)
    })
}

/// Answers when everything is gone.
async fn emptied(purge: Option<Purge>) -> Response {
    let Some(purge) = purge else { return (StatusCode::NOT_FOUND, PURGE_IS_OFF).into_response() };
    let answer = match asked(purge).await {
        Ok(Ok(())) => (StatusCode::OK, "everything is deleted\n").into_response(),
        Ok(Err(why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
        Err(defect) => defect.into_response(),
    };
    // Test rigs look for connections that are left open.
    ([(header::CONNECTION, "close")], answer).into_response()
}

/// Answers when the first piece is there, or when it is known that none will be.
async fn copy(backup: WriteBackup, one_at_a_time: Arc<Semaphore>) -> Response {
    let Ok(turn) = one_at_a_time.try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "another backup is being made\n").into_response();
    };
    let (sender, mut pieces) = mpsc::channel(PIECES);
    let runtime = Handle::current();
    spawn_blocking(move || {
        let _turn = turn;
        let mut out =
            Pieces { sender, runtime, pace: Pace::default(), piece: BytesMut::with_capacity(PIECE_BYTES) };
        let last = match backup(&mut out) {
            Ok(()) => out.flush().map(|()| Piece::End),
            Err(why) => {
                tracing::warn!(error = why, "a backup was not made");
                Ok(Piece::Failed(why))
            }
        };
        // Whoever is gone has heard enough.
        let _gone = last.and_then(|last| out.send(last));
    });
    match pieces.recv().await {
        Some(Piece::Failed(why)) => (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response(),
        Some(first) => {
            let body = Body::new(Copy { first: Some(first), pieces });
            ([(header::CONTENT_TYPE, "application/x-tar")], body).into_response()
        }
        None => (StatusCode::INTERNAL_SERVER_ERROR, DEFECT).into_response(),
    }
}

/// What a backup is sent in.
enum Piece {
    Bytes(Bytes),
    End,
    Failed(String),
}

/// The writing side.
struct Pieces {
    sender: mpsc::Sender<Piece>,
    runtime: Handle,
    pace: Pace,
    piece: BytesMut,
}

/// How fast a copy is taken: what the disk takes to read it does not count.
#[derive(Debug, Default)]
struct Pace {
    taken_bytes: u64,
    waited: Duration,
}

impl Pace {
    /// How long the next piece is waited for.
    fn patience(&self) -> Duration {
        let earned = Duration::from_secs(self.taken_bytes / LEAST_BYTES_A_SECOND);
        (TAKE_WITHIN + earned).saturating_sub(self.waited).min(TAKE_WITHIN)
    }

    fn taken(&mut self, bytes: usize, waited: Duration) {
        self.taken_bytes += bytes as u64;
        self.waited += waited;
    }
}

impl Pieces {
    fn send(&mut self, piece: Piece) -> io::Result<()> {
        let bytes = if let Piece::Bytes(bytes) = &piece { bytes.len() } else { 0 };
        let (asked, patience) = (Instant::now(), self.pace.patience());
        let sent = self.runtime.block_on(tokio::time::timeout(patience, self.sender.send(piece)));
        self.pace.taken(bytes, asked.elapsed());
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_gone)) => Err(io::Error::new(io::ErrorKind::BrokenPipe, "whoever asked for it is gone")),
            Err(_late) => {
                Err(io::Error::new(io::ErrorKind::TimedOut, "it was taken too slowly, or not for a minute"))
            }
        }
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.piece, BytesMut::with_capacity(PIECE_BYTES));
        if piece.is_empty() { Ok(()) } else { self.send(Piece::Bytes(piece.freeze())) }
    }
}

/// The reading side: the body of the answer, broken off where the copy is.
struct Copy {
    first: Option<Piece>,
    pieces: mpsc::Receiver<Piece>,
}

impl http_body::Body for Copy {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let piece = match self.first.take() {
            Some(first) => Some(first),
            None => ready!(self.pieces.poll_recv(context)),
        };
        Poll::Ready(match piece {
            Some(Piece::Bytes(bytes)) => Some(Ok(Frame::data(bytes))),
            Some(Piece::End) => None,
            Some(Piece::Failed(why)) => Some(Err(io::Error::other(why))),
            None => Some(Err(io::Error::other("the backup was broken off"))),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_is_taken_at_a_crawl_is_given_up() {
        // Seconds for each piece, and how many pieces are waited for.
        let cases = [(59, Some(1)), (10, Some(7)), (3, Some(58)), (2, None), (0, None)];
        for (seconds, given_up) in cases {
            let (mut pace, slow) = (Pace::default(), Duration::from_secs(seconds));
            let in_time = (0..1_000).take_while(|_| {
                let is_in_time = slow <= pace.patience();
                pace.taken(PIECE_BYTES, slow);
                is_in_time
            });
            let in_time = in_time.count();
            assert_eq!((in_time < 1_000).then_some(in_time), given_up, "{seconds} s a piece");
        }
        assert_eq!(Pace { taken_bytes: u64::MAX, waited: Duration::ZERO }.patience(), TAKE_WITHIN);
    }
}
