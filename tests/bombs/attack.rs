//! An attack, and how it is made on a running program.

use std::fmt::Display;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use crate::harness::{Client, Server};

/// An attack that nothing comes of within this time is over.
const LASTS_AT_MOST: Duration = Duration::from_secs(15);

/// What an endless attack sends at most.
const SENDS_AT_MOST: usize = 64 << 20;

/// What there are millions of is a part of that where the program is not optimized: it takes as long then.
pub(crate) const PART: usize = if cfg!(debug_assertions) { 10 } else { 1 };

/// How often a datagram is sent.
const DATAGRAMS: usize = 100;

/// How long a crowd is there.
const CROWD_STAYS: Duration = Duration::from_millis(400);

/// Which door is attacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    OtlpGrpc,
    OtlpHttp,
    Storage,
    Query,
    Page,
    Admin,
    /// Any other, by the name that the program calls it by.
    Named(&'static str),
}

impl Door {
    pub(crate) fn address(self, server: &Server) -> &str {
        match self {
            Self::OtlpGrpc => &server.otlp[0],
            Self::OtlpHttp => &server.otlp[1],
            Self::Storage => &server.storage,
            Self::Query => &server.grpc_query,
            Self::Page => &server.page,
            Self::Admin => &server.admin,
            Self::Named(name) => server.door(name),
        }
    }
}

/// An attack that was made.
#[derive(Debug)]
pub(crate) struct Made {
    /// A status, a code of gRPC, an end.
    pub(crate) answer: String,
    /// From the first byte on, once the bytes were made.
    pub(crate) time: Duration,
    /// Bytes of its one request; of none that has no end.
    pub(crate) sent: usize,
}

/// One attack.
#[derive(Debug)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    /// How the answers may begin that are right.
    pub(crate) answers: &'static [&'static str],
    pub(crate) door: Door,
    pub(crate) means: Means,
}

/// Spans that are posted to OTLP's door.
pub(crate) fn post(
    name: &'static str,
    answers: &'static [&'static str],
    headers: &'static [(&'static str, &'static str)],
    body: fn() -> Vec<u8>,
) -> Attack {
    Attack { name, answers, door: Door::OtlpHttp, means: Means::Post { path: "/v1/traces", headers, body } }
}

/// What is done. What is large is made when its turn comes.
#[derive(Debug)]
pub(crate) enum Means {
    /// A POST over HTTP/1.1 with these headers.
    Post { path: &'static str, headers: &'static [(&'static str, &'static str)], body: fn() -> Vec<u8> },
    /// A GET of this path and query.
    Get(fn() -> String),
    /// A call of gRPC with this body, frames and all.
    Call { path: &'static str, coding: &'static str, body: fn() -> Vec<u8> },
    /// These bytes on a plain connection.
    Said(fn() -> Vec<u8>),
    /// The same, and then it ends, as far as it speaks.
    Left(fn() -> Vec<u8>),
    /// These bytes in a datagram, a hundred times: nobody answers.
    Datagram(fn() -> Vec<u8>),
    /// The first on a plain connection, then the second over and over.
    Endless { start: &'static str, again: fn() -> Vec<u8> },
    /// Frames of HTTP/2 after its preface: the first once, then the second for each round.
    Frames { start: fn() -> Vec<u8>, rounds: u32, round: fn(u32) -> Vec<u8> },
    /// So many connections that say this and then, now and then, that.
    Crowd { connections: usize, start: fn() -> Vec<u8>, drip: &'static [u8] },
}

impl Attack {
    /// Makes it and says what came of it.
    pub(crate) async fn make(&self, server: &Server) -> Made {
        let (address, mut sent) = (self.door.address(server), 0);
        let (answer, time) = match self.means {
            Means::Post { path, headers, body } => {
                let (url, body) = (format!("http://{address}{path}"), Bytes::from(body()));
                sent = body.len();
                timed(async {
                    let answer = Client::new().send(Method::POST, url, headers, body).await;
                    answer.map_or_else(said, |answer| answer.status.as_u16().to_string())
                })
                .await
            }
            Means::Get(path) => {
                let head = format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", path());
                timed(talk(address, Talk::of(head.into_bytes()))).await
            }
            Means::Call { path, coding, body } => {
                let (url, body) = (format!("http://{address}{path}"), Bytes::from(body()));
                sent = body.len();
                let headers =
                    [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-encoding", coding)];
                timed(async {
                    let answer = Client::new().post_http2(url, &headers, body).await;
                    format!("grpc {}", answer.grpc_status().0)
                })
                .await
            }
            Means::Said(bytes) => {
                let said = Talk::of(bytes());
                timed(talk(address, said)).await
            }
            Means::Left(bytes) => {
                let whole = Talk { leaves: true, ..Talk::of(bytes()) };
                timed(talk(address, whole)).await
            }
            Means::Datagram(bytes) => {
                let bytes = bytes();
                timed(throw(address, &bytes)).await
            }
            Means::Endless { start, again } => {
                let endless = Talk { again: again(), ..Talk::of(start.into()) };
                timed(talk(address, endless)).await
            }
            Means::Frames { start, rounds, round } => {
                let rounds = rounds.div_ceil(PART as u32);
                let frames: Vec<u8> = start().into_iter().chain((0..rounds).flat_map(round)).collect();
                timed(crate::http2::converse(address, frames)).await
            }
            Means::Crowd { connections, start, drip } => crowd(address, connections, &start(), drip).await,
        };
        Made { answer, time, sent }
    }

    /// Whether its own time says nothing, because it lasts as long as who makes it wants.
    pub(crate) fn lasts(&self) -> bool {
        matches!(self.means, Means::Endless { .. } | Means::Frames { .. } | Means::Crowd { .. })
    }
}

fn said(error: impl Display) -> String {
    format!("closed ({error})")
}

async fn timed(attack: impl Future<Output = String>) -> (String, Duration) {
    let started = Instant::now();
    let outcome = tokio::time::timeout(LASTS_AT_MOST, attack).await;
    (outcome.unwrap_or_else(|_elapsed| "no answer".to_owned()), started.elapsed())
}

/// What is said on a connection.
#[derive(Debug, Default)]
struct Talk {
    start: Vec<u8>,
    /// Over and over, unless it is empty.
    again: Vec<u8>,
    /// Whether the end of it is told.
    leaves: bool,
}

impl Talk {
    fn of(start: Vec<u8>) -> Self {
        Self { start, ..Self::default() }
    }
}

/// Sends, and goes on sending while nothing is said: the status of the answer, or how it ended without one.
async fn talk(address: &str, talk: Talk) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let sending = async move {
        let mut sent = talk.start.len();
        let mut sending = writing.write_all(&talk.start).await;
        while sending.is_ok() && !talk.again.is_empty() && sent < SENDS_AT_MOST {
            sent += talk.again.len();
            sending = writing.write_all(&talk.again).await;
        }
        if talk.leaves {
            drop(writing.shutdown().await);
        }
        if sending.is_ok() && talk.again.is_empty() {
            // Whoever is answered may still be heard.
            std::future::pending::<()>().await;
        }
        format!("took {} MiB", sent >> 20)
    };
    let answer = async move {
        let mut answer = vec![0; 4 << 10];
        match reading.read(&mut answer).await {
            Ok(0) | Err(_) => "closed".to_owned(),
            Ok(length) => status_line(&answer[..length]),
        }
    };
    tokio::pin!(sending, answer);
    tokio::select! {
        answer = &mut answer => answer,
        took = &mut sending => {
            // The other end is gone, or has taken all: what it said is told.
            tokio::time::timeout(Duration::from_secs(1), answer).await.unwrap_or(took)
        }
    }
}

async fn throw(address: &str, datagram: &[u8]) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..DATAGRAMS {
        // Who is gone would be told of the one before.
        if let Err(error) = socket.send_to(datagram, address).await {
            return said(error);
        }
    }
    "thrown".to_owned()
}

/// `413` of `HTTP/1.1 413 Payload Too Large`.
fn status_line(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).unwrap_or(line).to_owned()
}

async fn crowd(address: &str, connections: usize, start: &[u8], drip: &[u8]) -> (String, Duration) {
    let started = Instant::now();
    let mut crowd = Vec::new();
    for _ in 0..connections {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // One that is turned away is a part of the crowd, too.
        if stream.write_all(start).await.is_ok() {
            crowd.push(stream);
        }
    }
    while started.elapsed() < CROWD_STAYS && !drip.is_empty() {
        for stream in &mut crowd {
            let _turned_away = stream.write_all(drip).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(CROWD_STAYS.saturating_sub(started.elapsed())).await;
    (format!("{} stayed", crowd.len()), started.elapsed())
}
