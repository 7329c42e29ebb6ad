//! `kill -9` in the middle of a burst: what was acknowledged is there afterwards, exactly once.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::harness::{Client, PATIENCE, Server};
use crate::wire;

/// Rounds in a normal run; `CRASH_ROUNDS=10000` asks for more.
const ROUNDS: u64 = 100;

/// Then a new folder is begun, so that a long run does not spend itself on reading back.
const ROUNDS_PER_FOLDER: u64 = 200;

/// Senders of a burst, each waiting for its answer before it sends again.
const SENDERS: u64 = 4;

/// Trace number → spans sent in it, for what was acknowledged and for what was not.
#[derive(Debug, Default)]
struct Sent {
    acknowledged: BTreeMap<u64, u64>,
    unanswered: BTreeMap<u64, u64>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_kill_9_exactly_once() {
    let rounds = rounds();
    let mut answered = 0;
    for first in (0..rounds).step_by(ROUNDS_PER_FOLDER as usize) {
        answered += lives_of_one_folder(first..rounds.min(first + ROUNDS_PER_FOLDER)).await;
    }
    // The shortest bursts may be killed before their first answer.
    assert!(answered > rounds / 2, "only {answered} of {rounds} bursts got an answer");
}

/// Starts, sends, kills, again and again on the same folder. Returns how many bursts got an answer.
async fn lives_of_one_folder(rounds: Range<u64>) -> u64 {
    let data = tempfile::tempdir().unwrap();
    let sent = Arc::new(Mutex::new(Sent::default()));
    let numbers = Arc::new(AtomicU64::new(1));
    let mut answered = 0;
    for round in rounds.clone() {
        let server = Server::start(data.path());
        let before = sent.lock().await.acknowledged.len();
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                tokio::spawn(burst(server.otlp.clone(), sender, Arc::clone(&numbers), Arc::clone(&sent)))
            })
            .collect();
        // Somewhere between the first append and a steady stream; a prime step visits every phase.
        tokio::time::sleep(Duration::from_millis(5 + round * 37 % 120)).await;
        server.kill();
        for sender in senders {
            sender.await.unwrap();
        }
        if round % 20 == 19 || round + 1 == rounds.end {
            let server = Server::start(data.path());
            verify(&server, &*sent.lock().await).await;
            server.kill();
        }
        answered += u64::from(sent.lock().await.acknowledged.len() > before);
    }
    answered
}

fn rounds() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "a knob of this test, not a setting of the program")]
    let asked = std::env::var("CRASH_ROUNDS");
    asked.ok().map_or(ROUNDS, |rounds| rounds.parse().expect("CRASH_ROUNDS is a number"))
}

/// Sends until the server is gone, noting each answer before the next request.
async fn burst(otlp: [String; 2], sender: u64, numbers: Arc<AtomicU64>, sent: Arc<Mutex<Sent>>) {
    let client = Client::new();
    loop {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let spans = 1 + number % 7;
        let message = wire::trace("burst", number, spans);
        sent.lock().await.unanswered.insert(number, spans);
        let acknowledged = if sender.is_multiple_of(2) {
            let url =
                format!("http://{}/opentelemetry.proto.collector.trace.v1.TraceService/Export", otlp[0]);
            let answer = client.grpc(url, "identity", &message).await;
            let Ok(answer) = answer else { return };
            answer.trailers.get("grpc-status").is_some_and(|status| status == "0")
        } else {
            let url = format!("http://{}/v1/traces", otlp[1]);
            let headers = [("content-type", "application/x-protobuf")];
            let Ok(answer) = client.send(http::Method::POST, url, &headers, message).await else { return };
            answer.status == 200
        };
        if acknowledged {
            let mut sent = sent.lock().await;
            sent.unanswered.remove(&number);
            sent.acknowledged.insert(number, spans);
        }
    }
}

async fn verify(server: &Server, sent: &Sent) {
    let client = Client::new();
    let numbers: Vec<u64> = sent.acknowledged.keys().copied().collect();
    for some in numbers.chunks(50) {
        let found =
            found(server, &client, some, |found| some.iter().all(|number| found.contains_key(number))).await;
        for number in some {
            assert_eq!(found[number], sent.acknowledged[number], "spans of the acknowledged trace {number}");
        }
    }
    let numbers: Vec<u64> = sent.unanswered.keys().copied().collect();
    for some in numbers.chunks(50) {
        for (number, spans) in found(server, &client, some, |_| true).await {
            assert_eq!(spans, sent.unanswered[&number], "the unanswered trace {number} is there in part");
        }
    }
}

/// Trace number → spans, asked until satisfied.
async fn found(
    server: &Server,
    client: &Client,
    numbers: &[u64],
    satisfied: impl Fn(&BTreeMap<u64, u64>) -> bool,
) -> BTreeMap<u64, u64> {
    let ids: Vec<String> =
        numbers.iter().map(|number| format!("traceID={}", wire::trace_id(*number))).collect();
    let url = server.query(&format!("/api/traces?raw=true&{}", ids.join("&")));
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = wire::told(&client.get_json(url.clone()).await);
        let found: BTreeMap<u64, u64> = told
            .iter()
            .map(|(id, spans)| (u64::from_str_radix(&id[16..], 16).unwrap(), spans.len() as u64))
            .collect();
        if satisfied(&found) {
            return found;
        }
        assert!(Instant::now() < deadline, "acknowledged but not there: {found:?} of {numbers:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
