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
                Says::Nothing => held.push(stream),
            }
        }
    });
    port
}

fn export(scheme: &str, protocol: Protocol, port: u16) -> Outcome {
    let settings = Settings {
        endpoint: Endpoint::parse(&format!("{scheme}://127.0.0.1:{port}"), protocol).unwrap(),
        headers: HeaderMap::new(),
        compression: Compression::Gzip,
        timeout: Duration::from_millis(400),
        ca_file: None,
        identity: None,
    };
    let client = Client::new(settings, Arc::new(Still)).unwrap();
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
        Outcome::Blocked { .. } => "blocked",
    }
}

#[test]
fn whatever_is_answered_is_answered_in_time_and_within_bounds() {
    const X: &[u8] = &[b'x'; 1 << 16];
    let http = [
        (Says::Once(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"), "accepted"),
        (Says::Once(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"), "accepted"),
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

#[test]
fn who_does_not_speak_tls_blocks_and_who_is_not_there_does_not() {
    let plain = server(Says::Once(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for protocol in [Protocol::Http, Protocol::Grpc] {
        assert_eq!(kind(&export("https", protocol, plain)), "blocked");
        assert_eq!(kind(&export("http", protocol, gone)), "retry");
    }
}
