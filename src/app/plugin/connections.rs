//! The connections of the one door: HTTP/2 only, as gRPC speaks it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::door::Door;
use super::life::Life;

/// Calls at once on one connection: a host that writes in streams holds up to a thousand open.
const MAX_STREAMS: u32 = 10_000;

/// Bytes of headers of one call; tokens that are passed on may be long.
const MAX_HEADER_BYTES: u32 = 64 << 10;

/// HTTP/2 windows that let a large span pass without waiting at every step.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// Pause of the accept loop when the system is out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Everybody who came through the door.
#[derive(Debug)]
pub(super) struct Connections {
    open: watch::Receiver<usize>,
    ended: JoinHandle<()>,
}

impl Connections {
    /// Serves until the end begins: then nobody can come any more, and those who are there begin no more calls.
    pub(super) fn serve(door: Door, router: Router, life: Life) -> Self {
        let (opened, open) = watch::channel(0);
        let ended = tokio::spawn(async move {
            let graceful = GracefulShutdown::new();
            let server = Arc::new(server());
            accept(&door, &router, &life, &Arc::new(opened), &server, &graceful).await;
            drop(door);
            graceful.shutdown().await;
        });
        Self { open, ended }
    }

    /// How many are open.
    pub(super) fn open(&self) -> watch::Receiver<usize> {
        self.open.clone()
    }

    /// Until all are closed that were open when the end began.
    pub(super) async fn ended(self) {
        if let Err(error) = self.ended.await {
            tracing::error!(%error, "the door broke");
        }
    }
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new()).http2_only();
    server
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    server
}

async fn accept(
    door: &Door,
    router: &Router,
    life: &Life,
    opened: &Arc<watch::Sender<usize>>,
    server: &Arc<auto::Builder<TokioExecutor>>,
    graceful: &GracefulShutdown,
) {
    loop {
        let accepted = tokio::select! {
            accepted = door.accept() => accepted,
            () = life.ending() => return,
        };
        let stream = match accepted {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let open = Open::count(opened);
        let (server, service) = (Arc::clone(server), TowerToHyperService::new(router.clone()));
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let connection = server.serve_connection(TokioIo::new(stream), service);
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(open);
        });
    }
}

/// A connection while it is open.
struct Open(Arc<watch::Sender<usize>>);

impl Open {
    fn count(open: &Arc<watch::Sender<usize>>) -> Self {
        open.send_modify(|open| *open += 1);
        Self(Arc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.send_modify(|open| *open -= 1);
    }
}
