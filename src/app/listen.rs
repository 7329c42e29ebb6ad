//! Ports: bound early, served until told to stop, closed in order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use parking_lot::Mutex;
use tokio::io::AsyncBufReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::config;
use super::offered::{Offers, Stalled};
use super::patient::Patient;
use super::tls::Identity;
use crate::ingest::Counter;
use crate::receive::seldom::Seldom;

/// Connections that may wait to be accepted, if the system lets them (`net.core.somaxconn`): a crowd that comes at once. It
/// lets those beyond believe that they are connected, and resets them when they speak.
const MAX_UNACCEPTED: u32 = 4_096;

/// The first bytes must arrive within this time.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// A connection may be silent between two requests for this long, the next one's head included.
const IDLE_WITHIN: Duration = Duration::from_secs(60);

/// A peer has this long to take something more of each answer.
const TAKE_WITHIN: Duration = Duration::from_secs(60);

/// Between two looks at a beginning that could still be either version.
const PEEK_PAUSE: Duration = Duration::from_millis(20);

/// How often a silent HTTP/2 connection is asked whether it lives, and how long it may take to say so.
const PING_EVERY: Duration = Duration::from_secs(30);
const PING_WITHIN: Duration = Duration::from_secs(20);

/// Calls at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 128;

/// The same of a Jaeger's: one that writes in streams keeps up to a thousand open.
const MAX_JAEGER_STREAMS: u32 = 1_100;

/// Bytes of headers of one request.
const MAX_HEADER_BYTES: u32 = 16 << 10;

/// Streams of a connection that a peer may have opened and reset before we took them, and that we may have reset ourselves
/// because of what it did: who goes on is cut off.
const MAX_RESET_STREAMS: usize = 64;

/// Bytes of answers that wait for a slow reader, for each stream.
const MAX_SEND_BYTES: usize = 256 << 10;

/// HTTP/2 windows that let a full batch of spans pass without waiting for the answer of a round trip. A connection may
/// hold as much in memory of what nobody has read yet, and all of them together: it is in no other budget.
const STREAM_WINDOW_BYTES: u32 = 512 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;

/// The same of HTTP/1, where it must also hold all headers.
const HTTP1_BUFFER_BYTES: usize = 32 << 10;

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
    key: &'static str,
    listeners: Vec<TcpListener>,
    turned_away: Arc<TurnedAway>,
    tls: Option<Arc<Identity>>,
    max_streams: u32,
}

impl Bound {
    /// Where it listens; the first address is the one to show.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Its name in numbers, and whom it had no place for.
    pub(super) fn turned_away(&self) -> (&'static str, Arc<TurnedAway>) {
        (self.key.trim_start_matches("doors."), Arc::clone(&self.turned_away))
    }

    /// With room for the many streams of a Jaeger.
    pub(super) fn for_jaeger(self) -> Self {
        Self { max_streams: MAX_JAEGER_STREAMS, ..self }
    }

    /// Speaks TLS, and nothing else.
    pub(super) fn within_tls(self, identity: Arc<Identity>) -> Self {
        Self { tls: Some(identity), ..self }
    }

    /// Whether it speaks TLS.
    pub(super) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// How its addresses begin.
    pub(super) fn scheme(&self) -> &'static str {
        if self.is_encrypted() { "https" } else { "http" }
    }
}

/// Connections that a door had no place for.
#[derive(Debug)]
pub(super) struct TurnedAway {
    by: [Counter; 2],
    said: Seldom,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    /// All are taken.
    Door,
    /// All that one address may have.
    Address,
}

impl Full {
    /// All there are.
    pub(super) const ALL: [Self; 2] = [Self::Door, Self::Address];

    /// Its name in numbers.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Door => "door",
            Self::Address => "address",
        }
    }

    /// The setting that says so.
    fn key(self) -> &'static str {
        match self {
            Self::Door => "doors.max_connections",
            Self::Address => "doors.max_connections_per_address",
        }
    }
}

impl TurnedAway {
    fn new() -> Self {
        Self { by: Default::default(), said: Seldom::new("connections were turned away") }
    }

    /// How many, for this reason.
    pub(super) fn value(&self, full: Full) -> u64 {
        self.by[full as usize].value()
    }

    fn add(&self, full: Full, peer: IpAddr, name: &str) {
        self.by[full as usize].add(1);
        let key = full.key();
        self.said.happened(1, &format_args!("one of {peer} at the door for {name}, by the setting {key}"));
    }
}

/// The sockets of a door for datagrams.
#[derive(Debug)]
pub(super) struct Datagrams {
    /// What it is, for people.
    pub name: &'static str,
    /// One for each address.
    pub sockets: Vec<UdpSocket>,
}

impl Datagrams {
    /// Where they wait.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
    }
}

/// Opens a door, on both loopback addresses when its host is `localhost`: clients that resolve the name to
/// `::1` first would otherwise find nobody. `None` when it is off.
pub(super) async fn bind(door: &config::Door) -> Result<Option<Bound>, Error> {
    let Some(listeners) = sockets(door).await? else { return Ok(None) };
    let turned_away = Arc::new(TurnedAway::new());
    Ok(Some(Bound {
        name: door.name,
        key: door.key,
        listeners,
        turned_away,
        tls: None,
        max_streams: MAX_STREAMS,
    }))
}

/// The same of a door for datagrams.
pub(super) async fn bind_datagrams(door: &config::Door) -> Result<Option<Datagrams>, Error> {
    let sockets = sockets(door).await?;
    Ok(sockets.map(|sockets| Datagrams { name: door.name, sockets }))
}

async fn sockets<S: Socket>(door: &config::Door) -> Result<Option<Vec<S>>, Error> {
    let Some((host, port)) = &door.address else { return Ok(None) };
    let failed = |cause| Error { name: door.name, key: door.key, address: format!("{host}:{port}"), cause };
    if host != "localhost" {
        return bind_named(host, *port).await.map_err(failed).map(|socket| Some(vec![socket]));
    }
    // A port of the system's choice for one address may be taken on the other: it is asked for another then.
    let mut tries = if *port == 0 { FREE_PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        match bind_both(*port).await {
            Ok(sockets) => return Ok(Some(sockets)),
            Err(error) if tries == 0 => return Err(failed(error)),
            Err(error) => tracing::debug!(%error, "asking for another free port"),
        }
    }
}

/// At the first address of that name that can be had.
async fn bind_named<S: Socket>(host: &str, port: u16) -> io::Result<S> {
    let mut failed = io::Error::new(io::ErrorKind::NotFound, "this name has no address");
    for address in tokio::net::lookup_host((host, port)).await? {
        match S::bind(address).await {
            Ok(socket) => return Ok(socket),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// How often a free port is asked for.
const FREE_PORT_TRIES: usize = 16;

/// A socket that waits at an address.
trait Socket: Sized {
    async fn bind(address: SocketAddr) -> io::Result<Self>;
    fn port(&self) -> io::Result<u16>;
}

impl Socket for TcpListener {
    async fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // What is left of the connections of a server that has ended keeps nobody from its port.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(MAX_UNACCEPTED)
    }

    fn port(&self) -> io::Result<u16> {
        Ok(self.local_addr()?.port())
    }
}

impl Socket for UdpSocket {
    async fn bind(address: SocketAddr) -> io::Result<Self> {
        Self::bind(address).await
    }

    fn port(&self) -> io::Result<u16> {
        Ok(self.local_addr()?.port())
    }
}

async fn bind_both<S: Socket>(port: u16) -> io::Result<Vec<S>> {
    let first = S::bind((Ipv4Addr::LOCALHOST, port).into()).await?;
    let port = first.port()?;
    match S::bind((Ipv6Addr::LOCALHOST, port).into()).await {
        Ok(second) => Ok(vec![first, second]),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Err(error),
        Err(error) => {
            // A machine without IPv6 is a whole machine.
            tracing::debug!(%error, "nobody listens on [::1]:{port}");
            Ok(vec![first])
        }
    }
}

/// Serves doors until it is told to stop.
#[derive(Debug)]
pub(super) struct Serving {
    stop: watch::Sender<bool>,
    loops: JoinSet<()>,
    graceful: Arc<GracefulShutdown>,
    limits: Limits,
}

/// How many connections a door has at once.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Of all peers.
    pub connections: usize,
    /// Of one address that is not this machine's own; of IPv6 all those of its network.
    pub connections_per_address: usize,
}

impl Serving {
    /// No door yet; each that comes has room for so many connections.
    pub(super) fn new(limits: Limits) -> Self {
        let (stop, graceful) = (watch::Sender::new(false), Arc::new(GracefulShutdown::new()));
        Self { stop, loops: JoinSet::new(), graceful, limits }
    }

    /// Turns true when the program is ending: calls without an end of their own end then.
    pub(super) fn ending(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    /// Serves this router on that door.
    pub(super) fn add(&mut self, bound: Bound, router: &Router) {
        let connections = Arc::new(Connections::new(self.limits));
        for listener in bound.listeners {
            let door = Door {
                name: bound.name,
                turned_away: Arc::clone(&bound.turned_away),
                tls: bound.tls.clone(),
                max_streams: bound.max_streams,
                router: router.clone(),
                connections: Arc::clone(&connections),
                graceful: Arc::clone(&self.graceful),
            };
            self.loops.spawn(door.accept(listener, self.stop.subscribe()));
        }
    }

    /// Runs this, which has no end of its own, until it is told to stop.
    pub(super) fn keep(&mut self, endless: impl Future<Output = ()> + Send + 'static) {
        let mut ending = self.ending();
        self.run(async move {
            tokio::select! { () = endless => {}, _ = ending.wait_for(|ending| *ending) => {} }
        });
    }

    /// Runs this until it is told to stop.
    pub(super) fn run(&mut self, until_stopped: impl Future<Output = ()> + Send + 'static) {
        self.loops.spawn(until_stopped);
    }

    /// Takes no more connections, and tells calls without an end of their own that they end.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Takes no more connections, lets requests in flight be answered for at most this long.
    /// Returns whether all were.
    pub(super) async fn finish(mut self, within: Duration) -> bool {
        self.stop();
        let answered = async {
            while self.loops.join_next().await.is_some() {}
            // The loops had the other handles.
            if let Some(graceful) = Arc::into_inner(self.graceful) {
                graceful.shutdown().await;
            }
        };
        tokio::time::timeout(within, answered).await.is_ok()
    }
}

/// What a listener's loop has.
struct Door {
    name: &'static str,
    turned_away: Arc<TurnedAway>,
    tls: Option<Arc<Identity>>,
    max_streams: u32,
    router: Router,
    connections: Arc<Connections>,
    graceful: Arc<GracefulShutdown>,
}

impl Door {
    /// Never ends by itself: an error of one connection is not the door's.
    async fn accept(self, listener: TcpListener, mut stop: watch::Receiver<bool>) {
        let server = Arc::new(server(self.max_streams));
        let unaccepted = Seldom::new("connections could not be accepted");
        let stalled = Arc::new(Seldom::new("connections were closed because answers were not taken"));
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    unaccepted.happened(1, &format_args!("{error}, at the door for {}", self.name));
                    // Out of descriptors or memory: asking again at once would only burn the processor.
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let place = match Connections::enter(&self.connections, peer.ip()) {
                Ok(place) => place,
                Err(full) => {
                    self.turned_away.add(full, peer.ip().to_canonical(), self.name);
                    continue;
                }
            };
            let (server, router, watcher) =
                (Arc::clone(&server), self.router.clone(), self.graceful.watcher());
            let tls = self.tls.as_ref().map(|identity| TlsAcceptor::from(identity.now()));
            let (stalled, name) = (Arc::clone(&stalled), self.name);
            tokio::spawn(async move {
                let served = match tls {
                    None => serve(&server, stream, router, watcher).await,
                    Some(tls) => serve_within_tls(&tls, &server, stream, router, watcher).await,
                };
                match served {
                    Ok(()) => {}
                    Err(error) if error.is::<Stalled>() => {
                        let peer = peer.ip().to_canonical();
                        stalled.happened(1, &format_args!("{error}, of {peer} at the door for {name}"));
                    }
                    // A client that breaks off, or breaks the protocol, is answered by closing.
                    Err(error) => tracing::debug!(%error, "a connection ended early"),
                }
                drop(place);
            });
        }
    }
}

/// The connections of a door.
#[derive(Debug)]
struct Connections {
    limits: Limits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    /// Of addresses that are not this machine's own.
    of: HashMap<IpAddr, usize>,
}

impl Connections {
    fn new(limits: Limits) -> Self {
        Self { limits, open: Mutex::default() }
    }

    /// Takes a place until it is dropped; an error says why there is none.
    fn enter(connections: &Arc<Self>, peer: IpAddr) -> Result<Place, Full> {
        let peer = counted_as(peer);
        let (limits, mut open) = (connections.limits, connections.open.lock());
        if open.all >= limits.connections {
            return Err(Full::Door);
        }
        if !peer.is_loopback() {
            let of_peer = open.of.entry(peer).or_default();
            if *of_peer >= limits.connections_per_address {
                return Err(Full::Address);
            }
            *of_peer += 1;
        }
        open.all += 1;
        Ok(Place { connections: Arc::clone(connections), peer })
    }
}

/// Whose connections those of an address are: one machine may have all the 2⁶⁴ that an IPv6 network is (RFC 4291,
/// section 2.5.1).
fn counted_as(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into()
        }
        address => address,
    }
}

/// Of one connection.
#[derive(Debug)]
struct Place {
    connections: Arc<Connections>,
    peer: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock();
        open.all -= 1;
        if let Entry::Occupied(mut of_peer) = open.of.entry(self.peer) {
            *of_peer.get_mut() -= 1;
            if *of_peer.get() == 0 {
                of_peer.remove();
            }
        }
    }
}

fn server(max_streams: u32) -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).header_read_timeout(IDLE_WITHIN).max_buf_size(HTTP1_BUFFER_BYTES);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WITHIN)
        .max_concurrent_streams(max_streams)
        .max_header_list_size(MAX_HEADER_BYTES)
        .max_pending_accept_reset_streams(MAX_RESET_STREAMS)
        .max_local_error_reset_streams(MAX_RESET_STREAMS)
        .max_send_buf_size(MAX_SEND_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES);
    server
}

/// Why a connection ended early.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The handshake says which version is spoken; who says nothing speaks HTTP/1.
async fn serve_within_tls(
    tls: &TlsAcceptor,
    server: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    router: Router,
    watcher: Watcher,
) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let stream = tokio::time::timeout(HEAD_WITHIN, async {
        let mut stream = tls.accept(Patient::new(stream, TAKE_WITHIN)).await?;
        stream.fill_buf().await?;
        Ok::<_, io::Error>(stream)
    });
    let stream = stream.await??;
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
    let server = server.clone();
    let server = if is_http2 { server.http2_only() } else { server.http1_only() };
    let offers = Offers::new(TAKE_WITHIN);
    let connection = server.serve_connection(TokioIo::new(stream), offers.of(router));
    offers.serve(watcher.watch(connection.into_owned())).await
}

async fn serve(
    server: &auto::Builder<TokioExecutor>,
    stream: TcpStream,
    router: Router,
    watcher: Watcher,
) -> Result<(), Failure> {
    // Answers are small and waited for.
    stream.set_nodelay(true)?;
    // Which version is spoken is told by the first bytes, and hyper waits for them without an end.
    tokio::time::timeout(HEAD_WITHIN, said_version(&stream)).await??;
    let (stream, offers) = (TokioIo::new(Patient::new(stream, TAKE_WITHIN)), Offers::new(TAKE_WITHIN));
    let connection = server.serve_connection(stream, offers.of(router));
    offers.serve(watcher.watch(connection)).await
}

/// What every HTTP/2 connection begins with (RFC 9113, section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Until the peer has said enough to tell HTTP/1 from HTTP/2, or is gone.
async fn said_version(stream: &TcpStream) -> io::Result<()> {
    let mut start = [0; HTTP2_PREFACE.len()];
    loop {
        let length = stream.peek(&mut start).await?;
        let told = length == 0 || length == start.len() || !HTTP2_PREFACE.starts_with(&start[..length]);
        if told {
            return Ok(());
        }
        // What was peeked at stays there, so waiting for more would return at once.
        tokio::time::sleep(PEEK_PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let limits = Limits { connections: 4, connections_per_address: 2 };
        let connections = Arc::new(Connections::new(limits));
        let enter = |peer: &str| Connections::enter(&connections, peer.parse().unwrap());
        let (first, second) = (enter("192.0.2.1").unwrap(), enter("::ffff:192.0.2.1").unwrap());
        assert_eq!(enter("192.0.2.1").unwrap_err(), Full::Address);
        let (other, ours) = (enter("2001:db8::1").unwrap(), enter("::1").unwrap());
        assert_eq!(enter("127.0.0.1").unwrap_err(), Full::Door);
        drop((first, other));
        let again = enter("192.0.2.1").unwrap();
        assert_eq!(enter("192.0.2.1").unwrap_err(), Full::Address);
        let once_more = enter("127.0.0.1").unwrap();
        drop((second, ours, again, once_more));
        {
            let open = connections.open.lock();
            assert_eq!((open.all, open.of.len()), (0, 0));
        }
        let _as_many_as_there_are: Vec<_> = (0..4).map(|_| enter("127.0.0.1").unwrap()).collect();
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one() {
        let cases = [
            ("2001:db8:1:2::1", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("::1", "::1"),
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.2", "192.0.2.2"),
        ];
        for (peer, expected) in cases {
            assert_eq!(counted_as(peer.parse().unwrap()), expected.parse::<IpAddr>().unwrap(), "{peer}");
        }
        let limits = Limits { connections: 4, connections_per_address: 1 };
        let connections = Arc::new(Connections::new(limits));
        let _place = Connections::enter(&connections, "2001:db8::1".parse().unwrap()).unwrap();
        let beside = Connections::enter(&connections, "2001:db8::2".parse().unwrap());
        assert_eq!(beside.unwrap_err(), Full::Address);
    }
}
