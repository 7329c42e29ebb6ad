//! The client against servers that do not behave, byte by byte.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;

use super::{Client, Compression, Endpoint, Protocol, Settings};
use crate::ingest::Signal;
use crate::ingest::forward::{Outcome, Upstream as _};
use crate::model::{Clock, Timestamp};

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO
    }
}

/// What a server says before it closes, or goes on with for ever.
#[derive(Clone, Copy)]
enum Says {
    Once(&'static [u8]),
    ThenNothing(&'static [u8]),
    Endlessly(&'static [u8], &'static [u8]),
    Nothing,
}

/// Answers every connection like that, once something has come.
fn server(says: Says) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _something = stream.read(&mut [0; 4_096]);
            match says {
                Says::Once(bytes) => drop(stream.write_all(bytes)),
                Says::Endlessly(start, more) => {
                    let _whoever_listens = stream.write_all(start);
                    while stream.write_all(more).is_ok() {}
                }
                Says::ThenNothing(bytes) => {
                    stream.write_all(bytes).unwrap();
                    held.push(stream);
                }
                Says::Nothing => held.push(stream),
            }
        }
    });
    port
}

const TIMEOUT: Duration = Duration::from_millis(400);

fn client(scheme: &str, protocol: Protocol, port: u16) -> Client {
    let settings = Settings {
        endpoint: Endpoint::parse(&format!("{scheme}://127.0.0.1:{port}"), protocol).unwrap(),
        headers: HeaderMap::new(),
        compression: Compression::Gzip,
        timeout: TIMEOUT,
        ca_file: None,
        identity: None,
    };
    Client::new(settings, Arc::new(Still)).unwrap()
}

fn export(scheme: &str, protocol: Protocol, port: u16) -> Outcome {
    let client = client(scheme, protocol, port);
    let asked = Instant::now();
    let outcome = client.export(Signal::Logs, "abc".into());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    outcome
}

fn kind(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted { .. } => "accepted",
        Outcome::Retry { .. } => "retry",
        Outcome::Refused { .. } => "refused",
        Outcome::Blocked { .. } | Outcome::Unauthorized { .. } => "blocked",
    }
}

#[test]
fn whatever_is_answered_is_answered_in_time_and_within_bounds() {
    const X: &[u8] = &[b'x'; 1 << 16];
    let http = [
        (Says::Once(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), "accepted"),
        (Says::Once(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"), "accepted"),
        (Says::ThenNothing(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"), "accepted"),
        (Says::ThenNothing(b"HTTP/1.1 400 No\r\ncontent-length: 10\r\n\r\nabc"), "refused"),
        (Says::ThenNothing(b"HTTP/1.1 503 No\r\ncontent-length: 10\r\n\r\nabc"), "retry"),
        (Says::ThenNothing(b"HTTP/1.1 200 OK\r\ncontent-le"), "retry"),
        (Says::Endlessly(b"HTTP/1.1 200 OK\r\n\r\n", X), "accepted"),
        (Says::Endlessly(b"HTTP/1.1 400 No\r\ncontent-length: 99999999999\r\n\r\n", X), "refused"),
        (Says::Endlessly(b"HTTP/1.1 200 OK\r\nx-long: ", X), "retry"),
        (Says::Endlessly(b"", b"HTTP/1.1 100 Continue\r\n\r\n"), "retry"),
        (Says::Once(b"SSH-2.0-OpenSSH_9.2p1\r\n"), "retry"),
        (Says::Once(b""), "retry"),
        (Says::Nothing, "retry"),
    ];
    for (place, (says, expected)) in http.into_iter().enumerate() {
        let outcome = export("http", Protocol::Http, server(says));
        assert_eq!(kind(&outcome), expected, "{place}: {outcome:?}");
    }
    let grpc = [
        (Says::Once(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "retry"),
        (Says::Endlessly(b"", X), "retry"),
        (Says::Nothing, "retry"),
    ];
    for (place, (says, expected)) in grpc.into_iter().enumerate() {
        let outcome = export("http", Protocol::Grpc, server(says));
        assert_eq!(kind(&outcome), expected, "{place}: {outcome:?}");
    }
}

/// RFC 9113, section 4.1; on stream 1, but for settings.
fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let stream = u8::from(kind != SETTINGS);
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const WINDOW_UPDATE: u8 = 8;

/// Reads one frame: its kind, flags, stream and payload.
fn read_frame(stream: &mut impl std::io::Read) -> (u8, u8, u8, Vec<u8>) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).unwrap();
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).unwrap();
    (head[3], head[4], head[8], payload)
}

/// Answers one gRPC call with these frames and nothing after them.
fn http2_server(answer: Vec<Vec<u8>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut stream = listener.accept().unwrap().0;
        stream.write_all(&frame(SETTINGS, 0, b"")).unwrap();
        stream.read_exact(&mut [0; 24]).unwrap();
        // Of the connection and of stream 1: section 5.2.
        let mut windows = [0xffff_usize; 2];
        let mut is_asked = false;
        for frame in answer {
            while !is_asked || windows.iter().any(|window| *window < frame.len()) {
                let (kind, flags, id, payload) = read_frame(&mut stream);
                is_asked |= kind == DATA && flags & END_STREAM != 0;
                if kind == WINDOW_UPDATE {
                    windows[usize::from(id)] += u32::from_be_bytes(payload.try_into().unwrap()) as usize;
                }
            }
            windows.iter_mut().for_each(|window| *window -= frame.len());
            stream.write_all(&frame).unwrap();
        }
        let _until_it_goes = stream.read_to_end(&mut Vec::new());
    });
    port
}

#[test]
fn a_grpc_answer_is_read_to_its_trailers_or_as_far_as_it_comes() {
    // RFC 7541: ":status: 200" of the static table, and "content-type" with a value of its own.
    let head = [&[0x88, 0x0f, 0x10, 16][..], b"application/grpc"].concat();
    let head = frame(HEADERS, END_HEADERS, &head);
    let trailers = |status: u8| {
        let block = [&[0, 11][..], b"grpc-status", &[1, b'0' + status]].concat();
        frame(HEADERS, END_HEADERS | END_STREAM, &block)
    };
    let mut long = vec![head.clone(), frame(DATA, 0, &[0, 0, 2, 0, 0])];
    long.extend((0..8).map(|_| frame(DATA, 0, &[0; 1 << 14])));
    let with_long = |status| [&long[..], &[trailers(status)]].concat();
    let empty = frame(DATA, 0, &[0, 0, 0, 0, 0]);
    for (place, (parts, expected)) in [
        (vec![head.clone(), empty.clone(), trailers(0)], "accepted"),
        (with_long(0), "accepted"),
        (with_long(3), "refused"),
        (with_long(7), "blocked"),
        (vec![head.clone(), empty], "accepted"),
        (vec![head.clone(), frame(DATA, 0, &[0, 0, 0, 0, 9])], "retry"),
        (vec![head], "retry"),
        (vec![], "retry"),
    ]
    .into_iter()
    .enumerate()
    {
        let outcome = export("http", Protocol::Grpc, http2_server(parts));
        assert_eq!(kind(&outcome), expected, "{place}: {outcome:?}");
    }
}

#[test]
fn only_one_large_request_is_in_flight() {
    for (bytes, one_by_one) in [(super::LARGE_BYTES, false), (super::LARGE_BYTES + 1, true)] {
        let client = client("http", Protocol::Http, server(Says::Nothing));
        let asked = Instant::now();
        std::thread::scope(|scope| {
            for signal in [Signal::Traces, Signal::Logs, Signal::Metrics] {
                let client = &client;
                scope.spawn(move || client.export(signal, vec![0; bytes].into()));
            }
        });
        assert_eq!(asked.elapsed() >= 3 * TIMEOUT, one_by_one, "{bytes} {:?}", asked.elapsed());
    }
}

#[test]
fn who_does_not_speak_tls_blocks_and_who_is_not_there_does_not() {
    let plain = server(Says::Once(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for protocol in [Protocol::Http, Protocol::Grpc] {
        assert_eq!(kind(&export("https", protocol, plain)), "blocked");
        assert_eq!(kind(&export("http", protocol, gone)), "retry");
    }
}
