//! What is lost over UDP is counted: by the system, by us, on the way, and in the clients themselves.

use std::ffi::OsStr;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tracelodge::buffer::{Buffer, Environment, FileStorageConfig, HostClock, HostDisk, Signal};
use tracelodge::ingest::{Buffers, Ingest, Settings};
use tracelodge::receive::agent::{Counts, listen};
use tracelodge::translate::thrift::Protocol;

use crate::harness::{Client, PATIENCE, Server, run};
use crate::jaeger_agent::{ACCEPTED, COMPACT, Sender, metric, metric_reaches, spans_once};
use crate::jaeger_thrift::*;

/// A batch of one span, with its number and what its client lost.
fn numbered(client: &str, trace: i64, number: i64, lost: [i64; 3]) -> Vec<u8> {
    let mut batch = batch("shop", vec![span(trace, number)]);
    batch = with(batch, 1, process("shop", vec![tag("client-uuid", text(client))]));
    batch = with(batch, 3, Value::I64(number));
    let stats = (1..).zip(lost.map(Value::I64)).collect();
    emitted(Form::Compact, with(batch, 4, Value::Struct(stats)))
}

#[tokio::test]
async fn what_never_came_and_what_clients_lost_is_counted_for_each_service() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let sender = Sender::new();
    let send = |datagram: &[u8]| sender.send(server.door(COMPACT), datagram);
    for (number, lost) in [(1, [0, 0, 0]), (2, [3, 0, 0]), (5, [3, 1, 2]), (6, [4, 1, 2])] {
        send(&numbered("one", 1, number, lost));
    }
    for number in [10, 11, 14, 12] {
        send(&numbered("other", 2, number, [1, 0, 0]));
    }
    spans_once(&server, 1, 4).await;
    spans_once(&server, 2, 4).await;
    for (name, expected) in [
        ("batches_total{service=\"shop\"}", 8),
        ("spans_total{service=\"shop\"}", 8),
        ("missing_batches{service=\"shop\"}", 2 + 1),
        ("client_lost_spans_total{service=\"shop\",reason=\"full_queue\"}", 4),
        ("client_lost_spans_total{service=\"shop\",reason=\"too_large\"}", 1),
        ("client_lost_spans_total{service=\"shop\",reason=\"failed\"}", 2),
    ] {
        assert_eq!(metric(&server, &format!("tracelodge_agent_{name}")).await, expected, "{name}");
    }
    let status = Client::new().get_json(server.admin("/status")).await;
    let agent = &status["agent"];
    assert_eq!((&agent["datagrams"], &agent["unreadDatagrams"]), (&8.into(), &0.into()), "{agent}");
    let service = &agent["services"][0];
    assert_eq!((&service["missingBatches"], &service["lostByClients"]), (&3.into(), &7.into()), "{service}");
    let admin = server.admin.clone();
    let arguments = ["status", "--address", &admin].map(OsStr::new);
    let (code, said, _) = run(&arguments);
    assert_eq!(code, Some(0));
    assert!(said.contains("3 batches of shop; its clients lost 7 spans"), "{said}");
}

#[tokio::test]
async fn names_of_others_cannot_break_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let sender = Sender::new();
    for service in ["\"} 1\nevil{a=\"", "back\\slash\\", "\u{1b}[31m", ""] {
        sender.send(server.door(COMPACT), &emitted(Form::Compact, batch(service, vec![span(1, 1)])));
    }
    metric_reaches(&server, ACCEPTED, 4).await;
    let text = Client::new().get(server.admin("/metrics")).await.body;
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("tracelodge_agent_spans_total{service=\"\\\"} 1\\nevil{a=\\\"\"} 1\n"), "{text}");
    assert!(text.contains("{service=\"back\\\\slash\\\\\"} 1\n"), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("evil")), "{text}");
}

fn signal(server: &Server, name: &str) {
    let sent = Command::new("kill").args([name, &server.process_id().to_string()]).status();
    assert!(sent.unwrap().success());
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_the_system_drops_is_counted_to_the_span() {
    // More than any room that is asked for.
    const BATCHES: i64 = 4_000;
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let address = server.door(COMPACT).to_owned();
    let sender = Sender::new();
    let long = |number| {
        let long = with(span(1, number), 10, Value::List(vec![tag("long", text([b'x'; 8_000]))]));
        let batch = with(batch("shop", vec![long]), 3, Value::I64(number));
        emitted(Form::Compact, batch)
    };
    sender.send(&address, &long(1));
    metric_reaches(&server, ACCEPTED, 1).await;
    signal(&server, "-STOP");
    (2..=BATCHES).for_each(|number| sender.send(&address, &long(number)));
    signal(&server, "-CONT");
    let dropped = format!("tracelodge_agent_dropped_datagrams_total{{address=\"{address}\"}}");
    let lost = metric(&server, &dropped).await;
    assert!(lost > 0 && lost < BATCHES as u64, "{lost} dropped");
    let kept = BATCHES as u64 - lost;
    metric_reaches(&server, ACCEPTED, kept).await;
    // The last that come show how many before them did not.
    sender.send(&address, &long(BATCHES + 1));
    metric_reaches(&server, ACCEPTED, kept + 1).await;
    assert_eq!(metric(&server, &dropped).await, lost);
    assert_eq!(metric(&server, "tracelodge_agent_missing_batches{service=\"shop\"}").await, lost);
    assert_eq!(metric(&server, "tracelodge_agent_spans_total{service=\"shop\"}").await, kept + 1);
    assert_eq!(metric(&server, ACCEPTED).await, kept + 1);
}

#[tokio::test]
async fn spans_without_room_are_counted_by_what_there_was_none_of() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment::new(Arc::new(HostDisk), Arc::new(HostClock));
    let settings = FileStorageConfig::appliance();
    let (buffer, _recovery) = Buffer::open(folder.path(), Signal::Traces, settings, environment).unwrap();
    let settings = Settings { max_request_bytes: 4_000, max_span_bytes: 4_000, in_flight_bytes: 32 * 4_000 };
    let buffers = Buffers { traces: buffer.clone(), logs: None, metrics: None };
    let ingest = Arc::new(Ingest::new(buffers, settings));
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap().to_string();
    let (end, ending) = watch::channel(false);
    let counts = Arc::new(Counts::default());
    let listening = tokio::spawn(listen(socket, Protocol::Compact, ingest, Arc::clone(&counts), ending));
    let dropped = || counts.told().dropped_spans.map(|(_, spans)| spans);
    let until = async |what: &str, is_so: &dyn Fn() -> bool| {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !is_so() {
            assert!(tokio::time::Instant::now() < deadline, "{what}: {:?}", counts.told());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let sender = Sender::new();
    let of = |spans| emitted(Form::Compact, batch("shop", (1..=spans).map(|id| span(1, id)).collect()));
    sender.send(&address, &of(100));
    until("memory", &|| dropped() == [100, 0, 0]).await;
    sender.send(&address, &of(3));
    until("kept", &|| counts.door.accepted_spans.value() == 3).await;
    tokio::task::spawn_blocking(move || buffer.close()).await.unwrap();
    sender.send(&address, &of(4));
    until("disk", &|| dropped() == [100, 4, 0]).await;
    assert_eq!(counts.told().services[0].1.spans, 107);
    end.send_replace(true);
    listening.await.unwrap();
}
