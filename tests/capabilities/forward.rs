//! Store and forward: everything that is accepted reaches another server, whatever happens to it or to us.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use prost::Message as _;
use tokio::task::JoinHandle;

use crate::harness::{Client, PATIENCE, Server, command, fails_to_start};
use crate::upstream_stub::{Reply, Stub};
use crate::wire;

const PROTOBUF: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];

/// Sends one of each signal with this number.
async fn send_all(client: &Client, server: &Server, number: u64) {
    for (signal, request) in [
        ("traces", wire::trace("shop", number, 1)),
        ("logs", wire::log_record(number)),
        ("metrics", wire::data_point(number)),
    ] {
        let answer = client.post(server.otlp_http(&format!("/v1/{signal}")), &PROTOBUF, request).await;
        assert_eq!(answer.status, 200, "{signal} {number}");
    }
}

/// Spans are numbered by trace and place in it.
fn numbers_of(signal: &str, sent: impl IntoIterator<Item = u64>) -> BTreeMap<u64, usize> {
    sent.into_iter().map(|number| (if signal == "traces" { number * 1_000 } else { number }, 1)).collect()
}

/// A number of `/metrics` by its name and labels.
fn number(metrics: &str, name: &str, labels: &[&str]) -> u64 {
    let line = metrics.lines().find(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    let line = line.unwrap_or_else(|| panic!("{name} {labels:?} is not in\n{metrics}"));
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

async fn metrics(client: &Client, server: &Server) -> String {
    String::from_utf8(client.get(server.admin("/metrics")).await.body.to_vec()).unwrap()
}

/// Waits until a number satisfies.
async fn until_number(
    client: &Client,
    server: &Server,
    name: &str,
    labels: &[&str],
    satisfied: impl Fn(u64) -> bool,
) {
    let said = |answer: &crate::harness::Answer| {
        satisfied(number(std::str::from_utf8(&answer.body).unwrap(), name, labels))
    };
    client.until(&server.admin("/metrics"), said).await;
}

#[tokio::test]
async fn everything_accepted_arrives_by_every_protocol_and_packing() {
    let client = Client::new();
    for protocol in ["http", "grpc"] {
        for compression in ["gzip", "zstd", "none"] {
            let (data, stub) = (tempfile::tempdir().unwrap(), Stub::start());
            let settings = [
                &*stub.endpoint(),
                &format!("upstream.protocol={protocol}"),
                &format!("upstream.compression={compression}"),
                "upstream.headers=[\"authorization=Bearer abc\"]",
            ];
            let server = Server::start_with(data.path(), &settings);
            for number in 1..=20 {
                send_all(&client, &server, number).await;
            }
            for signal in ["traces", "logs", "metrics"] {
                let expected = numbers_of(signal, 1..=20);
                stub.until(signal, |stub| stub.taken(signal) == expected).await;
            }
            let got = stub.got();
            assert!(got.iter().all(|got| got.headers["authorization"] == "Bearer abc"));
            let packed = if protocol == "grpc" { "grpc-encoding" } else { "content-encoding" };
            let packed = got[0].headers.get(packed).map_or("none", |coding| coding.to_str().unwrap());
            assert_eq!(packed, compression);
        }
    }
}

#[tokio::test]
async fn the_bytes_that_arrive_are_those_that_were_sent() {
    let (data, stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    let server = Server::start_with(data.path(), &[&stub.endpoint()]);
    // A field that OTLP does not have: whoever decodes and encodes again loses it.
    let mut request = wire::trace("shop", 1, 3).to_vec();
    request.extend([0xfa, 0x3e, 3, b'o', b'w', b'n']);
    client.post(server.otlp_http("/v1/traces"), &PROTOBUF, request.clone().into()).await;
    stub.until("it arrives", |stub| !stub.got().is_empty()).await;
    assert_eq!(stub.got()[0].request, request);
}

/// Sends numbered spans of 20 kB until it is told to stop, and notes how many were acknowledged.
fn load(server: &Server, stop: &Arc<AtomicBool>, sent: &Arc<AtomicU64>) -> JoinHandle<()> {
    let (url, stop, sent) = (server.otlp_http("/v1/traces"), Arc::clone(stop), Arc::clone(sent));
    tokio::spawn(async move {
        let client = Client::new();
        while !stop.load(Ordering::Relaxed) {
            let number = sent.load(Ordering::Relaxed) + 1;
            let mut span = wire::span(number, 0);
            span.attributes.push(wire::attribute("filler", &"x".repeat(20_000)));
            let request = wire::request("load", vec![span]).encode_to_vec();
            let answer = client.post(url.clone(), &PROTOBUF, request.into()).await;
            assert_eq!(answer.status, 200);
            sent.store(number, Ordering::Relaxed);
        }
    })
}

/// The first number of each request after the first so many.
fn order(stub: &Stub, after: usize) -> Vec<u64> {
    stub.got()[after..].iter().map(|got| got.numbers()[0] / 1_000).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_is_cut_under_load_loses_nothing_and_fresh_spans_go_first() {
    let (data, mut stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    let log = data.path().join("log");
    let server = Server::start_saying(data.path(), &[&stub.endpoint(), "log.level=info"], &log);
    let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let sending = load(&server, &stop, &sent);
    stub.until("the load flows", |stub| stub.taken("traces").len() > 20).await;
    stub.cut();
    until_number(&client, &server, "tracelodge_upstream_failing", &["traces"], |failing| failing == 1).await;
    // Three requests of backlog and more.
    let cut_at = sent.load(Ordering::Relaxed);
    while sent.load(Ordering::Relaxed) < cut_at + 700 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // What was begun when the cable was pulled may have been taken without our hearing of it.
    let (before, in_flight) = (stub.got().len(), stub.got().last().unwrap().numbers());
    stub.mend();
    stub.until("fresh ones go before older ones", |stub| !order(stub, before).is_sorted()).await;
    stop.store(true, Ordering::Relaxed);
    sending.await.unwrap();
    let all = sent.load(Ordering::Relaxed);
    stub.until("all arrive", |stub| stub.taken("traces").len() as u64 == all).await;
    for (number, times) in stub.taken("traces") {
        assert!(times == 1 || (times == 2 && in_flight.contains(&number)), "{number} came {times} times");
    }
    until_number(&client, &server, "tracelodge_buffer_consumer_pending_items", &["upstream"], |items| {
        items == 0
    })
    .await;
    let said = std::fs::read_to_string(&log).unwrap();
    let live = said.find("forwarding live again").expect("it says that it is back");
    let done = said.find("backlog forwarded").expect("it says that the rest is done");
    assert!(live < done, "{said}");
}

#[tokio::test]
async fn what_is_refused_for_good_is_set_aside_and_the_rest_goes_on() {
    let (data, stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    stub.reply(|got| match got.numbers().contains(&7_000) {
        true => Reply::Status(400, "x-why", "poison"),
        false => Reply::Take,
    });
    let server = Server::start_with(data.path(), &[&stub.endpoint(), "log.level=error"]);
    for number in 1..=30 {
        client.post(server.otlp_http("/v1/traces"), &PROTOBUF, wire::trace("shop", number, 1)).await;
    }
    let expected = numbers_of("traces", (1..=30).filter(|number| *number != 7));
    stub.until("all others arrive", |stub| stub.taken("traces") == expected).await;
    until_number(&client, &server, "tracelodge_upstream_set_aside_items_total", &["traces"], |items| {
        items == 1
    })
    .await;
    let folder = data.path().join("rejected/traces");
    let file = std::fs::read_dir(folder).unwrap().next().unwrap().unwrap().path();
    let bytes = std::fs::read(file).unwrap();
    let request = wire::trace("shop", 7, 1);
    let mut rest = &bytes[..];
    assert_eq!(prost::decode_length_delimiter(&mut rest).unwrap(), request.len());
    assert_eq!(rest, request);
}

#[tokio::test]
async fn a_server_that_refuses_everything_costs_five_requests_and_no_more() {
    let (data, stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    stub.reply(|_| Reply::Status(400, "x-why", "sick"));
    let log = data.path().join("log");
    let server = Server::start_saying(data.path(), &[&stub.endpoint(), "log.level=error"], &log);
    for number in 1..=40 {
        client.post(server.otlp_http("/v1/traces"), &PROTOBUF, wire::trace("shop", number, 1)).await;
    }
    let labels = ["signal=\"traces\""];
    until_number(&client, &server, "tracelodge_upstream_blocked", &labels, |blocked| blocked == 1).await;
    let health = client.get_json(server.admin("/healthz")).await.to_string();
    assert!(health.contains("forwarding traces is blocked"), "{health}");
    let told = metrics(&client, &server).await;
    assert_eq!(number(&told, "tracelodge_upstream_set_aside_items_total", &labels), 5);
    let upstream = [labels[0], "consumer=\"upstream\""];
    assert_eq!(number(&told, "tracelodge_buffer_consumer_pending_items", &upstream), 35);
    stub.reply(|_| Reply::Take);
    // Beside what the first tries brought.
    stub.until("all others arrive", |stub| stub.taken("traces").len() == 35).await;
    let told = metrics(&client, &server).await;
    assert_eq!(number(&told, "tracelodge_upstream_set_aside_items_total", &labels), 5);
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(said.matches("forwarding is blocked: it refuses everything").count(), 1, "{said}");
}

#[tokio::test]
async fn a_warning_beside_a_yes_is_told_once() {
    let (data, stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    stub.reply(|_| Reply::TakeBut(0));
    let log = data.path().join("log");
    let server = Server::start_saying(data.path(), &[&stub.endpoint(), "log.level=warn"], &log);
    for number in 1..=5 {
        client.post(server.otlp_http("/v1/traces"), &PROTOBUF, wire::trace("shop", number, 1)).await;
        stub.until("it is taken", |stub| stub.taken("traces").len() as u64 == number).await;
    }
    server.terminate();
    let said = std::fs::read_to_string(&log).unwrap();
    assert_eq!(said.matches("with a warning").count(), 1, "{said}");
    assert!(said.contains("said=\"x\""), "{said}");
}

#[tokio::test]
async fn signals_that_are_left_out_stay_here() {
    let (data, stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    let settings = [&*stub.endpoint(), "upstream.signals=traces"];
    let server = Server::start_with(data.path(), &settings);
    send_all(&client, &server, 1).await;
    stub.until("spans arrive", |stub| stub.taken("traces").len() == 1).await;
    let told = metrics(&client, &server).await;
    for signal in ["logs", "metrics"] {
        assert_eq!(number(&told, "tracelodge_discarded_items_total", &[signal]), 1);
        assert!(!data.path().join("buffer").join(signal).exists());
    }
    server.terminate();
    let server = Server::start_with(data.path(), &[&*stub.endpoint(), "upstream.signals=logs,metrics"]);
    send_all(&client, &server, 2).await;
    for signal in ["logs", "metrics"] {
        stub.until(signal, |stub| stub.taken(signal) == numbers_of(signal, [2])).await;
    }
    let stored = server.query(&format!("/api/traces/{}", wire::trace_id(2)));
    client.until(&stored, |answer| answer.status == 200).await;
    assert_eq!(stub.taken("traces"), numbers_of("traces", [1]));
}

#[tokio::test]
async fn what_is_not_known_here_is_for_the_upstream_to_judge() {
    let (data, stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    let server = Server::start_with(data.path(), &[&stub.endpoint()]);
    // Resources with nothing that counts, and with a field that OTLP does not have yet.
    for (signal, request) in
        [("metrics", &[10, 0][..]), ("logs", &[10, 5, 0xfa, 0x3e, 2, b'o', b'k']), ("traces", &[10, 0])]
    {
        let url = server.otlp_http(&format!("/v1/{signal}"));
        assert_eq!(client.post(url, &PROTOBUF, request.to_vec().into()).await.status, 200);
    }
    client.post(server.otlp_http("/v1/logs"), &PROTOBUF, bytes::Bytes::new()).await;
    send_all(&client, &server, 1).await;
    for signal in ["traces", "logs", "metrics"] {
        stub.until(signal, |stub| stub.taken(signal) == numbers_of(signal, [1])).await;
    }
    let bytes_of = |signal: &str| {
        let got = stub.got();
        got.iter().filter(|got| got.signal == signal).map(|got| got.request.len()).sum::<usize>()
    };
    assert_eq!(bytes_of("metrics"), 2 + wire::data_point(1).len());
    assert_eq!(bytes_of("logs"), 7 + wire::log_record(1).len());
    assert_eq!(bytes_of("traces"), wire::trace("shop", 1, 1).len());
}

#[test]
fn certificates_are_checked_with_the_settings() {
    let data = tempfile::tempdir().unwrap();
    let settings = ["upstream.endpoint=https://example.org", "upstream.ca_file=/nowhere/ca.pem"];
    let mut command = command(data.path(), &settings);
    command.arg("--check-config");
    let (code, said) = fails_to_start(command);
    assert_eq!(code, Some(1));
    assert!(said.contains("upstream.ca_file = /nowhere/ca.pem"), "{said}");
}

#[tokio::test]
async fn wrong_credentials_block_and_lose_nothing() {
    let (data, stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    for (reply, protocol) in [(Reply::Status(401, "x-why", "who"), "http"), (Reply::Grpc(16), "grpc")] {
        stub.reply(move |_| reply.clone());
        let protocol = format!("upstream.protocol={protocol}");
        let server = Server::start_with(data.path(), &[&stub.endpoint(), &protocol, "log.level=off"]);
        let labels = ["signal=\"traces\""];
        send_all(&client, &server, if protocol.ends_with("http") { 1 } else { 2 }).await;
        until_number(&client, &server, "tracelodge_upstream_blocked", &labels, |blocked| blocked == 1).await;
        let health = client.get_json(server.admin("/healthz")).await.to_string();
        assert!(health.contains("forwarding traces is blocked"), "{health}");
        let metrics = metrics(&client, &server).await;
        assert_eq!(number(&metrics, "tracelodge_upstream_set_aside_items_total", &labels), 0);
        server.terminate();
    }
    // With others, everything goes.
    stub.reply(|_| Reply::Take);
    let _server = Server::start_with(data.path(), &[&stub.endpoint()]);
    for signal in ["traces", "logs", "metrics"] {
        stub.until(signal, |stub| stub.taken(signal) == numbers_of(signal, 1..=2)).await;
    }
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let (data, stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    let busy = AtomicBool::new(true);
    stub.reply(move |_| match busy.swap(false, Ordering::Relaxed) {
        true => Reply::Status(503, "retry-after", "2"),
        false => Reply::TakeBut(1),
    });
    let server = Server::start_with(data.path(), &[&stub.endpoint(), "log.level=error"]);
    client.post(server.otlp_http("/v1/traces"), &PROTOBUF, wire::trace("shop", 1, 3)).await;
    stub.until("it is taken", |stub| stub.got().len() == 2).await;
    let got = stub.got();
    let waited = got[1].at - got[0].at;
    assert!(waited >= Duration::from_secs(2) && waited < Duration::from_secs(4), "{waited:?}");
    assert_eq!(got[0].request, got[1].request);
    until_number(&client, &server, "tracelodge_upstream_rejected_items_total", &["traces"], |items| {
        items == 1
    })
    .await;
    until_number(&client, &server, "tracelodge_upstream_forwarded_items_total", &["traces"], |items| {
        items == 2
    })
    .await;
}

#[tokio::test]
async fn it_ends_in_time_though_the_upstream_hangs() {
    let (data, stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    stub.reply(|_| Reply::Hang);
    let server = Server::start_with(data.path(), &[&stub.endpoint(), "upstream.timeout=1h"]);
    send_all(&client, &server, 1).await;
    stub.until("all three hang", |stub| stub.got().len() == 3).await;
    let (code, took) = server.terminate();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(5), "{took:?}");
    stub.reply(|_| Reply::Take);
    let _server = Server::start_with(data.path(), &[&stub.endpoint()]);
    for signal in ["traces", "logs", "metrics"] {
        stub.until(signal, |stub| stub.taken(signal) == numbers_of(signal, [1])).await;
    }
}

/// Kills in a normal run; `FORWARD_ROUNDS=10000` asks for more.
const ROUNDS: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_and_repeats_one_request_at_most() {
    let (data, stub) = (tempfile::tempdir().unwrap(), Stub::start());
    #[expect(clippy::disallowed_methods, reason = "a knob of this test, not a setting of the program")]
    let rounds = std::env::var("FORWARD_ROUNDS").map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let (mut acknowledged, mut next) = (Vec::new(), 1);
    for round in 0..rounds {
        let server = Server::start_with(data.path(), &[&stub.endpoint(), "log.level=off"]);
        let client = Client::new();
        let until = Instant::now() + Duration::from_millis(10 + round * 37 % 60);
        while Instant::now() < until {
            let answer =
                client.post(server.otlp_http("/v1/traces"), &PROTOBUF, wire::trace("kill", next, 1)).await;
            assert_eq!(answer.status, 200);
            acknowledged.push(next * 1_000);
            next += 1;
        }
        server.kill();
    }
    let _server = Server::start_with(data.path(), &[&stub.endpoint()]);
    stub.until("all arrive", |stub| {
        let taken = stub.taken("traces");
        acknowledged.iter().all(|number| taken.contains_key(number))
    })
    .await;
    assert!(acknowledged.len() as u64 > rounds, "too little was sent to say anything");
    // Over the whole run: whatever was sent again by the life after a kill, no matter which.
    let (mut known, mut repeated) = (BTreeSet::new(), 0);
    for got in stub.got() {
        let numbers = got.numbers();
        repeated += u64::from(numbers.iter().any(|number| known.contains(number)));
        known.extend(numbers);
    }
    assert!(repeated <= rounds, "{repeated} requests came again after {rounds} kills");
}

#[tokio::test]
async fn a_second_tracelodge_is_an_upstream_like_any_other() {
    let client = Client::new();
    for protocol in ["http", "grpc"] {
        let (near, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let far = Server::start(far.path());
        let door = if protocol == "grpc" { far.otlp_grpc() } else { far.otlp_http("") };
        let settings = [format!("upstream.endpoint={door}"), format!("upstream.protocol={protocol}")];
        let near = Server::start_with(near.path(), &settings.each_ref().map(String::as_str));
        client.post(near.otlp_http("/v1/traces"), &PROTOBUF, wire::trace("shop", 5, 40)).await;
        for server in [&near, &far] {
            let url = server.query(&format!("/api/traces/{}", wire::trace_id(5)));
            let told = client.until(&url, |answer| answer.status == 200).await.json();
            assert_eq!(told["data"][0]["spans"].as_array().unwrap().len(), 40);
        }
    }
}

#[tokio::test]
async fn the_balance_closes_for_every_consumer() {
    let (data, mut stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    stub.reply(|got| match got.numbers().contains(&3_000) {
        true => Reply::Status(400, "x-why", "poison"),
        false => Reply::Take,
    });
    let settings = [&*stub.endpoint(), "log.level=off"];
    for (life, down) in [false, true, false].into_iter().enumerate() {
        if down {
            stub.cut()
        } else if life > 0 {
            stub.mend()
        }
        let server = Server::start_with(data.path(), &settings);
        for number in 1..=10 {
            send_all(&client, &server, life as u64 * 10 + number).await;
        }
        for (signal, consumer) in
            [("traces", "store"), ("traces", "upstream"), ("logs", "upstream"), ("metrics", "upstream")]
        {
            let labels = [&*format!("signal=\"{signal}\""), &*format!("consumer=\"{consumer}\"")];
            if consumer == "store" || !down {
                until_number(
                    &client,
                    &server,
                    "tracelodge_buffer_consumer_pending_items",
                    &labels,
                    |items| items == 0,
                )
                .await;
            }
            let metrics = metrics(&client, &server).await;
            let of = |name: &str| number(&metrics, &format!("tracelodge_buffer_consumer_{name}"), &labels);
            let accepted = number(&metrics, "tracelodge_buffer_items_total", &labels[..1]);
            let dropped: u64 = ["evicted", "expired", "cleared", "damaged"]
                .map(|reason| {
                    number(
                        &metrics,
                        "tracelodge_buffer_consumer_dropped_items_total",
                        &[labels[0], labels[1], &format!("reason=\"{reason}\"")],
                    )
                })
                .iter()
                .sum();
            let released = of("released_items_total");
            assert_eq!(accepted, 10, "{signal}");
            assert_eq!(
                of("found_items") + accepted,
                released + dropped + of("pending_items"),
                "{signal} {consumer}\n{metrics}"
            );
            if consumer == "store" {
                assert_eq!(released, number(&metrics, "tracelodge_store_spans_total", &[]));
            } else {
                let forwarded: u64 = [
                    "forwarded_items_total",
                    "rejected_items_total",
                    "set_aside_items_total",
                    "left_out_items_total",
                ]
                .map(|name| number(&metrics, &format!("tracelodge_upstream_{name}"), &labels[..1]))
                .iter()
                .sum();
                assert_eq!(released, forwarded, "{signal} in life {life}\n{metrics}");
                assert_eq!(of("found_items"), if life == 2 { 10 } else { 0 }, "{signal}");
            }
        }
        server.terminate();
    }
}

/// Requests during a long outage, and the bytes of each: together more than the program may have in memory then.
const SENT: u64 = 2_500;
const BYTES: usize = 40_000;
const MOST_RESIDENT: u64 = 90 << 20;

/// The forwarder waits for up to a minute between two tries when many have failed.
const NEXT_TRY_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_upstream_that_is_away_for_long_costs_the_folder_and_nothing_else() {
    let (data, mut stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    stub.cut();
    let settings = [
        &*stub.endpoint(),
        "buffer.max_file_size=128KiB",
        "buffer.max_folder_size=1MiB",
        "buffer.tail_bytes=1MiB",
        "receive.max_request_bytes=64KiB",
        "store.cache_bytes=1MiB",
        "log.level=off",
    ];
    let server = Server::start_with(data.path(), &settings);
    for number in 1..=SENT {
        let mut span = wire::span(number, 0);
        span.attributes.push(wire::attribute("filler", &"x".repeat(BYTES)));
        let request = wire::request("load", vec![span]).encode_to_vec();
        loop {
            let answer = client.post(server.otlp_http("/v1/traces"), &PROTOBUF, request.clone().into()).await;
            if answer.status == 200 {
                break;
            }
            // The store has not taken what is in the way yet: nobody may drop that.
            assert_eq!(answer.status, 503);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let labels = |consumer| ["signal=\"traces\"", consumer];
    let (store, upstream) = (labels("consumer=\"store\""), labels("consumer=\"upstream\""));
    let pending = "tracelodge_buffer_consumer_pending_items";
    until_number(&client, &server, pending, &store, |items| items == 0).await;
    let metrics = metrics(&client, &server).await;
    let of =
        |name: &str, labels: &[&str]| number(&metrics, &format!("tracelodge_buffer_consumer_{name}"), labels);
    assert_eq!(of("released_items_total", &store), SENT);
    let evicted = of("dropped_items_total", &[upstream[0], upstream[1], "evicted"]);
    let left = of("pending_items", &upstream);
    assert!(evicted > 100 && left > 10 && evicted + left == SENT, "{evicted} evicted, {left} left");
    if cfg!(target_os = "linux") {
        let resident = number(&metrics, "otelcol_process_memory_rss", &[]);
        assert!(resident < MOST_RESIDENT, "{resident} bytes");
    }
    assert!(number(&metrics, "tracelodge_buffer_folder_bytes", &upstream[..1]) <= 1 << 20);
    stub.mend();
    let came = Instant::now() + NEXT_TRY_WITHIN + PATIENCE;
    while stub.got().is_empty() {
        assert!(Instant::now() < came, "it is not tried again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What it was about to send when that made room is sent all the same.
    until_number(&client, &server, pending, &upstream, |items| items == 0).await;
    let taken = stub.taken("traces");
    assert!(
        taken.len() as u64 >= left
            && (SENT + 1 - left..=SENT).all(|number| taken.contains_key(&(number * 1_000)))
    );
}

#[tokio::test]
async fn an_upstream_that_is_not_set_any_more_is_remembered_until_somebody_says_otherwise() {
    let (data, mut stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    stub.cut();
    let server = Server::start_with(data.path(), &[&stub.endpoint(), "log.level=off"]);
    send_all(&client, &server, 1).await;
    server.terminate();

    let log = data.path().join("log");
    let server = Server::start_saying(data.path(), &[], &log);
    // Without an upstream they are counted and discarded.
    send_all(&client, &server, 2).await;
    let metrics = metrics(&client, &server).await;
    assert_eq!(number(&metrics, "tracelodge_discarded_items_total", &["logs"]), 1);
    server.terminate();
    let said = std::fs::read_to_string(&log).unwrap();
    for words in ["\"traces\" items=1", "\"logs\" items=1", "\"metrics\" items=1", "forget-upstream"] {
        assert!(said.contains(words), "{words}: {said}");
    }

    let mut forget = command(data.path(), &[]);
    let output = forget.arg("forget-upstream").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    assert_eq!(
        said,
        "traces: 2 items are not waiting any more\nlogs: 1 items are not waiting any more\n\
         metrics: 1 items are not waiting any more\n"
    );
    let server = Server::start_saying(data.path(), &[], &log);
    assert_eq!(client.get(server.query(&format!("/api/traces/{}", wire::trace_id(1)))).await.status, 200);
    assert_eq!(std::fs::read_to_string(&log).unwrap(), "", "nothing is left to warn of");
}

#[test]
fn a_door_of_our_own_is_no_upstream() {
    let data = tempfile::tempdir().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let settings = [format!("doors.otlp_http={port}"), format!("upstream.endpoint=http://localhost:{port}")];
    let (code, said) = fails_to_start(command(data.path(), &settings.each_ref().map(String::as_str)));
    assert_eq!(code, Some(1));
    assert!(said.contains("that is this program's own door"), "{said}");
}

#[tokio::test]
async fn bytes_per_second_are_bounded_over_all_signals() {
    let (data, stub, client) = (tempfile::tempdir().unwrap(), Stub::start(), Client::new());
    let server = Server::start_with(data.path(), &[&stub.endpoint(), "upstream.max_bytes_per_second=2KiB"]);
    for number in 1..=12 {
        client.post(server.otlp_http("/v1/traces"), &PROTOBUF, wire::trace("slow", number, 5)).await;
        stub.until("it arrives", |stub| stub.got().len() as u64 == number).await;
    }
    // One second's worth goes at once, and each request on credit.
    let got = stub.got();
    let before: usize = got[..11].iter().map(|got| got.request.len()).sum();
    let (least, took) = (before as f64 / 2_048.0 - 1.0, (got[11].at - got[0].at).as_secs_f64());
    assert!(least > 1.0 && took > least - 0.1, "{took} s for {before} bytes");
}
