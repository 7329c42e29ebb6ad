//! Many connections, silent ones, slow ones and rude ones: others are served all the while.

use std::io;
use std::net::{IpAddr, UdpSocket};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{Client, PATIENCE, Server};
use crate::wire;

/// A request that comes among all this is answered within this time, on a slow machine.
const AT_ONCE: Duration = Duration::from_secs(5);

async fn is_served(server: &Server, trace: u64) {
    let started = Instant::now();
    let headers = [("content-type", "application/x-protobuf")];
    let answer =
        Client::new().post(server.otlp_http("/v1/traces"), &headers, wire::trace("shop", trace, 1)).await;
    assert_eq!((answer.status.as_u16(), started.elapsed() < AT_ONCE), (200, true), "{:?}", started.elapsed());
}

/// Until the peer closes or resets it; what it said before.
async fn until_closed(connection: &mut TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    let ended = tokio::time::timeout(2 * PATIENCE, connection.read_to_end(&mut said)).await;
    // A reset is an end too.
    let _how = ended.expect("it is closed");
    said
}

async fn connections(address: &str, count: usize) -> Vec<TcpStream> {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        open.push(TcpStream::connect(address).await.unwrap());
    }
    open
}

/// The same, silent after a first byte: that gives them a minute, where who says nothing at all may be cut before a slow
/// machine has opened the last.
async fn hesitating(address: &str, count: usize) -> Vec<TcpStream> {
    let mut open = connections(address, count).await;
    for connection in &mut open {
        // There may have been no place for it.
        let _or_reset = connection.write_all(b"O").await;
    }
    open
}

/// Whether a request is answered on a connection of its own.
async fn has_a_place(address: &str) -> io::Result<bool> {
    let mut connection = TcpStream::connect(address).await?;
    connection.write_all(b"OPTIONS /v1/traces HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await?;
    Ok(!until_closed(&mut connection).await.is_empty())
}

async fn until_there_is_a_place(address: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !has_a_place(address).await.unwrap_or(false) {
        assert!(Instant::now() < deadline, "there is no place at {address}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_thousand_silent_connections_keep_nobody_out_and_more_than_allowed_only_each_other() {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("log");
    let server = Server::start_saying(&data.path().join("data"), &["doors.max_connections=1100"], &log);
    let address = server.otlp[1].as_str();
    let mut silent = hesitating(address, 1_050).await;
    is_served(&server, 1).await;
    // All places taken, and three hundred more.
    silent.extend(hesitating(address, 350).await);
    assert!(!has_a_place(address).await.unwrap_or(false));
    let metrics = Client::new().get(server.admin("/metrics")).await.body;
    let metrics = String::from_utf8_lossy(&metrics).into_owned();
    let refused = "tracelodge_refused_connections_total{door=\"otlp_http\",reason=\"door\"} ";
    let count = metrics.split_once(refused).and_then(|(_, rest)| rest.lines().next()?.parse::<u64>().ok());
    assert!(count.is_some_and(|count| (301..=400).contains(&count)), "{count:?}");
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!((said.lines().count(), said.contains("doors.max_connections")), (1, true), "{said}");
    // Other doors have places of their own.
    assert_eq!(Client::new().get(server.query("/api/services")).await.status, 200);
    silent.drain(..500);
    until_there_is_a_place(address).await;
    is_served(&server, 2).await;
}

/// Those that the system has not handed over yet, because the server was busy or had no processor.
#[tokio::test]
async fn a_crowd_that_comes_at_once_is_let_in() {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let send = |signal| {
        let process = Pid::from_raw(server.process_id().cast_signed()).unwrap();
        kill_process(process, signal).unwrap();
    };
    send(Signal::STOP);
    let crowd = tokio::time::timeout(PATIENCE, connections(&server.otlp[1], 500.min(most))).await;
    let mut crowd = crowd.expect("the system has room for all of them");
    for connection in &mut crowd {
        connection.write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await.unwrap();
    }
    send(Signal::CONT);
    for mut connection in crowd {
        assert!(!until_closed(&mut connection).await.is_empty());
    }
}

/// An address of this machine that others could use, if it has one. Nothing is sent: only the way is looked up.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("198.51.100.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[tokio::test]
#[expect(clippy::print_stderr, reason = "whoever reads the tests' output is told what was not tested")]
async fn one_address_takes_no_more_than_its_share() {
    let Some(own) = own_address() else {
        eprintln!("not tested: this machine has no address but its loopback's");
        return;
    };
    let data = tempfile::tempdir().unwrap();
    let settings = ["doors.otlp_http=0.0.0.0:0", "doors.max_connections_per_address=8"];
    let server = Server::start_with(data.path(), &settings);
    let port = server.otlp[1].rsplit(':').next().unwrap();
    let (others, ours) = (format!("{own}:{port}"), format!("127.0.0.1:{port}"));
    let mut open = connections(&others, 8).await;
    assert!(!has_a_place(&others).await.unwrap_or(false), "the ninth");
    let beside = connections(&ours, 20).await;
    assert!(has_a_place(&ours).await.unwrap(), "this machine's own are not counted");
    drop((open.pop(), beside));
    until_there_is_a_place(&others).await;
}

/// Sends a little, again and again, for as long as it is listened to; how long that is.
async fn drips(address: &str, start: &[u8]) -> Duration {
    let started = Instant::now();
    let (mut hears, mut says) = TcpStream::connect(address).await.unwrap().into_split();
    says.write_all(start).await.unwrap();
    let dripping = async {
        while says.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    let mut said = Vec::new();
    let heard = async {
        let _or_reset = hears.read_to_end(&mut said).await;
    };
    let cut = async {
        tokio::select! { () = dripping => {}, () = heard => {} }
    };
    tokio::time::timeout(2 * PATIENCE, cut).await.expect("it is cut");
    started.elapsed()
}

/// The real times; bodies have the longer one of `receive::body`, which is tested there.
#[tokio::test]
async fn who_says_nothing_or_hardly_anything_is_cut_and_others_are_served() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(data.path());
    let address = server.otlp[1].as_str();
    let silent = async {
        let started = Instant::now();
        let mut connection = TcpStream::connect(address).await.unwrap();
        assert!(until_closed(&mut connection).await.is_empty());
        started.elapsed()
    };
    // This could still become either version of HTTP.
    let undecided = drips(address, b"PRI * HTTP/2.0\r\n");
    let others = async {
        for trace in 0.. {
            is_served(&server, trace).await;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    };
    let cut = async { tokio::join!(silent, undecided) };
    let (silent, undecided) = tokio::select! {
        cut = cut => cut,
        () = others => unreachable!("they go on"),
    };
    let soon = Duration::from_secs(10)..Duration::from_secs(10) + AT_ONCE;
    assert!(soon.contains(&silent), "{silent:?}");
    assert!(undecided < soon.end, "{undecided:?}");
}

/// One frame of HTTP/2 (RFC 9113, section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Ticks of the processor that the server has used.
fn used(server: &Server) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.process_id())).unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    after_name.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// CVE-2023-44487: requests that are taken back as soon as they are made.
#[tokio::test]
async fn who_takes_back_request_after_request_is_cut_off_and_fills_no_log() {
    const HEADERS: u8 = 1;
    const RST_STREAM: u8 = 3;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    let data = tempfile::tempdir().unwrap();
    let log = data.path().join("log");
    let server = Server::start_saying(&data.path().join("data"), &[], &log);
    // GET / of http://a: three names of HPACK's table, and one with a value of its own.
    let head = [0x82, 0x86, 0x84, 0x01, 1, b'a'];
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    frames.extend(frame(SETTINGS, 0, 0, &[]));
    // Answers to what nobody asked.
    frames.extend(frame(PING, 1, 0, &[0; 8]).repeat(1_000));
    for request in 0..10_000 {
        let stream = 2 * request + 1;
        frames.extend(frame(HEADERS, 0x5, stream, &head));
        frames.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    for address in [&server.otlp[1], &server.page] {
        let (mut hears, mut says) = TcpStream::connect(address).await.unwrap().into_split();
        let mut said = Vec::new();
        let heard = tokio::time::timeout(PATIENCE, hears.read_to_end(&mut said));
        let (_written, heard) = tokio::join!(says.write_all(&frames), heard);
        let _closed_or_reset = heard.expect("it is cut off");
        // Ten thousand answers would be more.
        assert!(said.len() < 16_384, "{} bytes", said.len());
        is_served(&server, 1).await;
    }
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "");
    let deadline = Instant::now() + AT_ONCE;
    loop {
        let before = used(&server);
        tokio::time::sleep(Duration::from_millis(250)).await;
        // Of 25 ticks that one processor has in this time.
        if used(&server) - before <= 5 {
            break;
        }
        assert!(Instant::now() < deadline, "the processor is never free again");
    }
}
