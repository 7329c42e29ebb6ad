//! Ports: bound early, served until told to stop, closed in order.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::config::Door;

/// A request's head must arrive within this time.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How often a silent HTTP/2 connection is asked whether it lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WITHIN: Duration = Duration::from_secs(20);

/// Calls at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;

/// Bytes of headers of one request.
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// HTTP/2 windows that let a full batch of spans pass without waiting for the answer of a round trip.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 4 << 20;

/// Pause of the accept loop when the system is out of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A port could not be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "open the door for {name} on {address}: {}; move it with the setting {key}, or switch it off",
    reason(cause)
)]
pub(super) struct Error {
    name: &'static str,
    key: &'static str,
    address: String,
    cause: io::Error,
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there".to_owned(),
        io::ErrorKind::PermissionDenied => "this user may not listen there".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        _ => error.to_string(),
    }
}

/// The sockets of one door.
#[derive(Debug)]
pub(super) struct Bound {
    /// What it is, for people.
    pub name: &'static str,
    listeners: Vec<TcpListener>,
}

impl Bound {
    /// Where it listens; the first address is the one to show.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }
}

/// Opens a door, on both loopback addresses when its host is `localhost`: clients that resolve the name to
/// `::1` first would otherwise find nobody. `None` when it is off.
pub(super) async fn bind(door: &Door) -> Result<Option<Bound>, Error> {
    let Some((host, port)) = &door.address else { return Ok(None) };
    let failed = |cause| Error { name: door.name, key: door.key, address: format!("{host}:{port}"), cause };
    if host != "localhost" {
        let listener = TcpListener::bind((host.as_str(), *port)).await.map_err(failed)?;
        return Ok(Some(Bound { name: door.name, listeners: vec![listener] }));
    }
    let first = TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).await.map_err(failed)?;
    let port = first.local_addr().map_err(failed)?.port();
    let mut listeners = vec![first];
    match TcpListener::bind((IpAddr::V6(Ipv6Addr::LOCALHOST), port)).await {
        Ok(second) => listeners.push(second),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => return Err(failed(error)),
        // A machine without IPv6 is a whole machine.
        Err(error) => tracing::debug!(%error, "{} does not listen on [::1]:{port}", door.name),
    }
    Ok(Some(Bound { name: door.name, listeners }))
}

/// Serves doors until it is told to stop.
#[derive(Debug)]
pub(super) struct Serving {
    stop: watch::Sender<bool>,
    loops: JoinSet<GracefulShutdown>,
    connections: Arc<Semaphore>,
}

impl Serving {
    /// No door yet; at most this many connections over all that come.
    pub(super) fn new(max_connections: usize) -> Self {
        let connections = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        Self { stop: watch::Sender::new(false), loops: JoinSet::new(), connections }
    }

    /// Serves this router on that door.
    pub(super) fn add(&mut self, bound: Bound, router: Router) {
        for listener in bound.listeners {
            let connections = Arc::clone(&self.connections);
            self.loops.spawn(accept(listener, router.clone(), connections, self.stop.subscribe()));
        }
    }

    /// Takes no more connections, lets requests in flight be answered for at most this long.
    /// Returns whether all were.
    pub(super) async fn finish(mut self, within: Duration) -> bool {
        self.stop.send_replace(true);
        let answered = async {
            while let Some(ended) = self.loops.join_next().await {
                if let Ok(connections) = ended {
                    connections.shutdown().await;
                }
            }
        };
        tokio::time::timeout(within, answered).await.is_ok()
    }
}

/// Never ends by itself: an error of one connection is not the door's.
async fn accept(
    listener: TcpListener,
    router: Router,
    connections: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) -> GracefulShutdown {
    let graceful = GracefulShutdown::new();
    let server = server();
    loop {
        let next = async {
            let permit = Arc::clone(&connections).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            _ = stop.wait_for(|stop| *stop) => return graceful,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = serve(&server, stream, router.clone());
                let connection = graceful.watch(connection.into_owned());
                tokio::spawn(async move {
                    // A client that breaks off, or breaks the protocol, is answered by closing.
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "a connection ended early");
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn server() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEADER_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    server
}

type Service = TowerToHyperService<Router>;

fn serve(
    server: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    router: Router,
) -> auto::Connection<'_, TokioIo<TcpStream>, Service, TokioExecutor> {
    // Answers are small and waited for.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps Nagle's delay");
    }
    server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}
