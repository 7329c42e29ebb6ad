//! More at once than there is room for: who is refused is asked to come again, and all that was acknowledged is there.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::harness::{Answer, Client, PATIENCE, Server};
use crate::wire;

/// Of each protocol.
const SENDERS: u64 = 16;
/// Each sends so many traces of so many spans, some 300 kB at a time.
const TRACES: u64 = 3;
const SPANS: u64 = 2_000;

/// What a sender that was refused waits: less than it is asked to, for the test's sake.
const PAUSE: Duration = Duration::from_millis(20);

#[tokio::test]
async fn a_crowd_is_refused_until_there_is_room_and_loses_nothing() {
    let data = tempfile::tempdir().unwrap();
    let settings = ["receive.max_request_bytes=1MiB", "receive.in_flight_bytes=3MiB"];
    let server = Server::start_with(data.path(), &settings);
    let half_sent = take_all_room(&server).await;
    let (refused, mut refusals) = watch::channel(BTreeSet::new());
    let senders: Vec<_> = (0..2 * SENDERS)
        .map(|number| {
            let urls = (server.otlp_http("/v1/traces"), format!("{}{EXPORT}", server.otlp_grpc()));
            tokio::spawn(send_until_taken(number, urls, refused.clone()))
        })
        .collect();
    // Each of them, for there is no room; then there is.
    let all = refusals.wait_for(|refused| refused.len() as u64 == 2 * SENDERS);
    tokio::time::timeout(PATIENCE, all).await.expect("all are refused").unwrap();
    drop(half_sent);
    for sender in senders {
        sender.await.unwrap();
    }
    let client = Client::new();
    for trace in 0..2 * SENDERS * TRACES {
        let url = server.query(&format!("/api/traces/{}", wire::trace_id(trace + 1)));
        let answer = client.until(&url, |answer| answer.status == 200).await.json();
        assert_eq!(answer["data"][0]["spans"].as_array().unwrap().len() as u64, SPANS, "trace {trace}");
    }
}

const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Three bodies that never end hold what they sent: there is no room for anything else.
async fn take_all_room(server: &Server) -> Vec<TcpStream> {
    let mut half_sent = Vec::new();
    for _ in 0..3 {
        half_sent.push(half_send(server).await);
    }
    let probe = || async {
        let headers = [("content-type", "application/x-protobuf")];
        Client::new()
            .post(server.otlp_http("/v1/traces"), &headers, wire::trace("probe", u64::MAX, SPANS))
            .await
    };
    // What is written is not yet read, and a probe may have been before it.
    let deadline = Instant::now() + PATIENCE;
    while is_taken_over_http(&probe().await) {
        assert!(Instant::now() < deadline, "three megabytes take no room");
        for stream in &mut half_sent {
            if stream.try_read(&mut [0]).is_ok() {
                *stream = half_send(server).await;
            }
        }
    }
    half_sent
}

async fn half_send(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(&server.otlp[1]).await.unwrap();
    let head = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: 1000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; 999_999]).await.unwrap();
    stream
}

/// One over HTTP, the next over gRPC, each on a connection of its own.
async fn send_until_taken(
    number: u64,
    (http, grpc): (String, String),
    refused: watch::Sender<BTreeSet<u64>>,
) {
    let client = Client::new();
    let deadline = Instant::now() + 2 * PATIENCE;
    for trace in 0..TRACES {
        let body = wire::trace("crowd", number * TRACES + trace + 1, SPANS);
        loop {
            assert!(Instant::now() < deadline, "sender {number} waits for room at trace {trace}");
            let is_taken = if number.is_multiple_of(2) {
                let headers = [("content-type", "application/x-protobuf")];
                is_taken_over_http(&client.post(http.clone(), &headers, body.clone()).await)
            } else {
                is_taken_over_grpc(&client.grpc(grpc.clone(), "identity", &body).await.unwrap())
            };
            if is_taken {
                break;
            }
            refused.send_if_modified(|refused| refused.insert(number));
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Any other refusal than the one that asks to come again would make SDKs drop their spans.
fn is_taken_over_http(answer: &Answer) -> bool {
    if answer.status != 200 {
        assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"), "{answer:?}");
    }
    answer.status == 200
}

fn is_taken_over_grpc(answer: &Answer) -> bool {
    let (code, message) = answer.grpc_status();
    if code != 0 {
        assert_eq!(code, 14, "{message}");
        assert!(!answer.header("grpc-status-details-bin").is_empty(), "no RetryInfo: {message}");
    }
    code == 0
}
