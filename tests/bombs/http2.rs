//! HTTP/2 in frames by hand (RFC 9113): what no library would send.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::attack::{Attack, Door, Means};
use crate::ground;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Says that all before it was read.
const LAST_PING: [u8; 8] = *b"the last";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Settings (RFC 9113, section 6.5.2).
const HEADER_TABLE_SIZE: u16 = 1;
const INITIAL_WINDOW_SIZE: u16 = 4;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = pairs
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// A header as it stands, neither indexed nor packed (RFC 7541, section 6.2.2).
fn header(name: &[u8], value: &[u8]) -> Vec<u8> {
    let short = |text: &[u8]| [&[text.len() as u8][..], text].concat();
    assert!(name.len().max(value.len()) < 127);
    [&[0][..], &short(name), &short(value)].concat()
}

/// The headers of a request.
fn asking(method: &str, path: &str) -> Vec<u8> {
    let pairs = [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path)];
    pairs.iter().flat_map(|(name, value)| header(name.as_bytes(), value.as_bytes())).collect()
}

/// Streams of a client have odd numbers.
fn stream(round: u32) -> u32 {
    2 * round + 1
}

fn get(round: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream(round), &asking("GET", path))
}

/// A POST whose body is still to come.
fn post(round: u32, path: &str) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream(round), &asking("POST", path))
}

fn plain_settings() -> Vec<u8> {
    settings(&[])
}

/// Sends the frames and reads all that is said: how it ended, or that all was read, and how many requests were answered.
pub(crate) async fn converse(address: &str, frames: Vec<u8>) -> String {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (mut reading, writing) = stream.into_split();
    let sending = tokio::spawn(send(writing, frames));
    let ended = hear(&mut reading).await;
    sending.abort();
    ended
}

async fn send(mut writing: OwnedWriteHalf, frames: Vec<u8>) -> OwnedWriteHalf {
    let bytes = [PREFACE, &frames, &frame(PING, 0, 0, &LAST_PING)].concat();
    // The other end may have enough of it before that.
    let _cut_off = writing.write_all(&bytes).await;
    std::future::pending::<()>().await;
    writing
}

async fn hear(reading: &mut OwnedReadHalf) -> String {
    let mut answers = 0;
    let ended = loop {
        let mut head = [0; 9];
        if reading.read_exact(&mut head).await.is_err() {
            break "closed".to_owned();
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        if reading.read_exact(&mut payload).await.is_err() {
            break "closed".to_owned();
        }
        match (head[3], head[4]) {
            (GOAWAY, _) => break format!("goaway {}", u32::from_be_bytes(payload[4..8].try_into().unwrap())),
            (PING, ACK) if payload == LAST_PING => break "all read".to_owned(),
            (HEADERS, _) => answers += 1,
            _ => {}
        }
    };
    format!("{ended}, {answers} answered")
}

const OTLP: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const SERVICES: &str = "/api/services";

/// What a server may do with one who asks for too much: tell it so and go, or go.
const CUT_OFF: &[&str] = &["goaway 11", "closed"];
const CUT_OFF_OR_READ: &[&str] = &["goaway 11", "closed", "all read"];
const BROKEN: &[&str] = &["goaway", "closed"];

fn attack(
    name: &'static str,
    door: Door,
    answers: &'static [&'static str],
    rounds: u32,
    round: fn(u32) -> Vec<u8>,
) -> Attack {
    Attack { name, answers, door, means: Means::Frames { start: plain_settings, rounds, round } }
}

fn floods() -> Vec<Attack> {
    vec![
        attack("rapid reset (CVE-2023-44487)", Door::Page, CUT_OFF, 50_000, |round| {
            [get(round, SERVICES), frame(RST_STREAM, 0, stream(round), &8_u32.to_be_bytes())].concat()
        }),
        attack("rapid reset of half-sent calls", Door::OtlpGrpc, CUT_OFF, 50_000, |round| {
            [post(round, OTLP), frame(RST_STREAM, 0, stream(round), &8_u32.to_be_bytes())].concat()
        }),
        attack("resets made by the server (CVE-2025-8671)", Door::OtlpGrpc, BROKEN, 20_000, |round| {
            // A window that grows by nothing is an error of its stream only.
            let nothing = frame(WINDOW_UPDATE, 0, stream(round), &0_u32.to_be_bytes());
            [post(round, OTLP), nothing].concat()
        }),
        attack("a window overrun on stream after stream", Door::OtlpGrpc, BROKEN, 20_000, |round| {
            let much = frame(WINDOW_UPDATE, 0, stream(round), &0x7fff_ffff_u32.to_be_bytes());
            [post(round, OTLP), much.clone(), much].concat()
        }),
        attack("a CONTINUATION flood", Door::Page, CUT_OFF, 100_000, |round| match round {
            0 => frame(HEADERS, 0, 1, &asking("GET", SERVICES)),
            _ => frame(CONTINUATION, 0, 1, &header(b"x-more", &[b'x'; 100])),
        }),
        attack("empty CONTINUATION frames", Door::Page, CUT_OFF, 1_000_000, |round| match round {
            0 => frame(HEADERS, 0, 1, &asking("GET", SERVICES)),
            _ => frame(CONTINUATION, 0, 1, &[]),
        }),
        attack("a SETTINGS flood", Door::OtlpGrpc, CUT_OFF_OR_READ, 200_000, |round| {
            settings(&[(INITIAL_WINDOW_SIZE, 65_535 + round % 2)])
        }),
        attack("a PING flood", Door::OtlpGrpc, CUT_OFF_OR_READ, 500_000, |_| frame(PING, 0, 0, &[7; 8])),
        attack("a flood of empty DATA", Door::OtlpGrpc, CUT_OFF_OR_READ, 1_000_000, |round| match round {
            0 => post(0, OTLP),
            _ => frame(DATA, 0, 1, &[]),
        }),
        attack("a PRIORITY flood", Door::Page, CUT_OFF_OR_READ, 1_000_000, |round| {
            frame(PRIORITY, 0, stream(round), &[0, 0, 0, 0, 255])
        }),
        attack("a WINDOW_UPDATE flood", Door::Page, CUT_OFF_OR_READ, 1_000_000, |_| {
            frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())
        }),
    ]
}

fn streams() -> Vec<Attack> {
    vec![
        attack("10 000 calls that never end", Door::OtlpGrpc, CUT_OFF_OR_READ, 10_000, |round| {
            post(round, OTLP)
        }),
        attack("10 000 streams of spans that never end", Door::Storage, CUT_OFF_OR_READ, 10_000, |round| {
            post(round, "/jaeger.storage.v1.StreamingSpanWriterPlugin/WriteSpanStream")
        }),
        attack(
            "one entry of a header table named again and again",
            Door::Page,
            CUT_OFF_OR_READ,
            200,
            |round| {
                // Indexed by the first, then 12 000 times by one byte each (RFC 7541, section 6.1): 48 MB of headers.
                let mut block = asking("GET", SERVICES);
                if round == 0 {
                    block.extend([&[0x40, 6][..], b"x-bomb", &[0x7f, 0x81, 0x1e], &[b'x'; 4_000]].concat());
                }
                block.extend([0xbe; 12_000]);
                frame(HEADERS, END_STREAM | END_HEADERS, stream(round), &block)
            },
        ),
        Attack {
            name: "a header table of 4 GiB",
            answers: CUT_OFF_OR_READ,
            door: Door::Page,
            means: Means::Frames {
                start: || settings(&[(HEADER_TABLE_SIZE, u32::MAX)]),
                rounds: 1_000,
                round: |round| {
                    let name = format!("x-{round}");
                    let entry =
                        [&[0x40, name.len() as u8][..], name.as_bytes(), &[100], &[b'x'; 100]].concat();
                    let block = [asking("GET", SERVICES), entry].concat();
                    frame(HEADERS, END_STREAM | END_HEADERS, stream(round), &block)
                },
            },
        },
        Attack {
            name: "answers that are asked for and never taken",
            answers: CUT_OFF_OR_READ,
            door: Door::Page,
            means: Means::Frames {
                start: || settings(&[(INITIAL_WINDOW_SIZE, 0)]),
                rounds: 100,
                round: |round| get(round, "/"),
            },
        },
        attack("more than a window holds", Door::OtlpGrpc, BROKEN, 4_000, |round| match round {
            0 => post(0, OTLP),
            _ => frame(DATA, 0, 1, &[0; 16_384]),
        }),
        attack("a frame of 16 MiB", Door::Page, BROKEN, 1, |_| {
            [&[0xff, 0xff, 0xff, HEADERS, END_HEADERS, 0, 0, 0, 1][..], &[0; 1 << 20]].concat()
        }),
        attack("a header block that is no such thing", Door::Page, BROKEN, 1, |_| {
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0xff; 16_000])
        }),
        attack("a number of a million bytes in a header block", Door::Page, BROKEN, 1, |_| {
            let start = frame(HEADERS, 0, 1, &[0xff; 16_000]);
            let more = frame(CONTINUATION, 0, 1, &[0xff; 16_000]);
            [start, more.repeat(60)].concat()
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_frames_are_cut_off() {
    ground::withstands(&floods()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_are_few_and_their_headers_small() {
    ground::withstands(&streams()).await;
}
