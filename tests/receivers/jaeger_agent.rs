//! Jaeger's agent: datagrams in, spans out.

use std::net::UdpSocket;

use serde_json::{Value as Json, json};
use thrift::protocol::TMessageType;

use crate::harness::{Answer, Client, Server};
use crate::jaeger_thrift::*;

pub(crate) const COMPACT: &str = "agent, compact";
const BINARY: &str = "agent, binary";
const ZIPKIN: &str = "agent, old Zipkin";

/// A client of one socket.
#[derive(Debug)]
pub(crate) struct Sender(UdpSocket);

impl Sender {
    pub(crate) fn new() -> Self {
        Self(UdpSocket::bind("127.0.0.1:0").unwrap())
    }

    pub(crate) fn send(&self, to: &str, datagram: &[u8]) {
        assert_eq!(self.0.send_to(datagram, to).unwrap(), datagram.len());
    }
}

fn send_over_ipv6(to: &str, datagram: &[u8]) {
    let port = to.rsplit_once(':').unwrap().1;
    let socket = UdpSocket::bind("[::1]:0").unwrap();
    socket.send_to(datagram, format!("[::1]:{port}")).unwrap();
}

pub(crate) fn spans(answer: &Answer) -> Vec<Json> {
    answer.json()["data"][0]["spans"].as_array().cloned().unwrap_or_default()
}

/// The spans of a trace once there are so many.
pub(crate) async fn spans_once(server: &Server, trace: i64, count: usize) -> Vec<Json> {
    let url = server.query(&format!("/api/traces/{}", trace_id(trace)));
    spans(&Client::new().until(&url, |answer| spans(answer).len() >= count).await)
}

/// A number of `/metrics`, 0 if it is not there.
pub(crate) async fn metric(server: &Server, name: &str) -> u64 {
    number(&Client::new().get(server.admin("/metrics")).await, name)
}

fn number(metrics: &Answer, name: &str) -> u64 {
    let text = String::from_utf8_lossy(&metrics.body);
    let number = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    number.map_or(0, |number| number.parse().unwrap())
}

/// Comes back when a number of `/metrics` is at least this.
pub(crate) async fn metric_reaches(server: &Server, name: &str, least: u64) {
    let is_there = |metrics: &Answer| number(metrics, name) >= least;
    Client::new().until(&server.admin("/metrics"), is_there).await;
}

pub(crate) const ACCEPTED: &str = "otelcol_receiver_accepted_spans{receiver=\"jaeger\",transport=\"udp\"}";

#[tokio::test]
async fn every_port_takes_both_methods_however_they_are_called() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let sender = Sender::new();
    let ports =
        [(COMPACT, &[Form::Compact][..]), (BINARY, &[Form::Strict, Form::Lax]), (ZIPKIN, &[Form::Compact])];
    let mut id = 0;
    for (port, forms) in ports {
        for form in forms {
            for message_type in [TMessageType::Call, TMessageType::OneWay] {
                for method in ["emitBatch", "emitZipkinBatch"] {
                    let mut next = || {
                        id += 1;
                        let argument = match method {
                            "emitBatch" => Value::Struct(batch("shop", vec![span(1, id)])),
                            _ => Value::List(vec![zipkin_span("shop", 1, id)]),
                        };
                        message(*form, method, message_type, argument)
                    };
                    sender.send(server.door(port), &next());
                    send_over_ipv6(server.door(port), &next());
                }
            }
        }
    }
    let spans = spans_once(&server, 1, id as usize).await;
    let mut names: Vec<_> = spans.iter().map(|span| span["operationName"].as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!((spans.len(), names.len()), (32, 32));
}

#[tokio::test]
async fn a_span_is_read_back_value_by_value() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let tags = vec![
        tag("text", text("ä")),
        tag("text", text("again")),
        tag("double", Value::Double(-0.25)),
        tag("yes", Value::Bool(true)),
        tag("long", Value::I64(i64::MIN)),
        binary_tag("bytes", b"\x00\xff"),
    ];
    let reference = |trace, id, kind| {
        vec![(1, Value::I32(kind)), (2, Value::I64(trace)), (3, Value::I64(0x5eed)), (4, Value::I64(id))]
    };
    let mut whole = with(span(1, 2), 10, Value::List(tags));
    whole = with(whole, 4, Value::I64(-1));
    whole = with(whole, 6, Value::List(vec![reference(2, 7, 1)]));
    whole = with(whole, 7, Value::I32(3));
    let logs = vec![log(START + 5, vec![tag("event", text("retry"))]), log(START, vec![])];
    whole = with(whole, 11, Value::List(logs));
    let mut batch = batch("shop", vec![whole]);
    batch = with(batch, 1, process("shop", vec![tag("hostname", text("box")), tag("ip", text("::1"))]));
    Sender::new().send(server.door(COMPACT), &emitted(Form::Compact, batch));
    spans_once(&server, 1, 1).await;
    let answer = Client::new().get_json(server.query(&format!("/api/traces/{}?raw=true", trace_id(1)))).await;
    let span = &answer["data"][0]["spans"][0];
    let tag = |key: &str, kind: &str, value: Json| json!({"key": key, "type": kind, "value": value});
    let expected = json!({
        "traceID": trace_id(1),
        "spanID": "0000000000000002",
        "operationName": "operation 2",
        "startTime": START + 2,
        "duration": 1_000,
        "flags": 3,
        "references": [
            {"refType": "CHILD_OF", "traceID": trace_id(1), "spanID": "ffffffffffffffff"},
            {"refType": "FOLLOWS_FROM", "traceID": trace_id(2), "spanID": "0000000000000007"},
        ],
        "tags": [
            tag("text", "string", json!("ä")),
            tag("text", "string", json!("again")),
            tag("double", "float64", json!(-0.25)),
            tag("yes", "bool", json!(true)),
            tag("long", "int64", json!(i64::MIN.to_string())),
            tag("bytes", "binary", json!("AP8=")),
        ],
        "logs": [
            {"timestamp": START + 5, "fields": [tag("event", "string", json!("retry"))]},
            {"timestamp": START, "fields": []},
        ],
    });
    for (name, expected) in expected.as_object().unwrap() {
        assert_eq!(&span[name], expected, "{name} in {span}");
    }
    let process = &answer["data"][0]["processes"][span["processID"].as_str().unwrap()];
    let tags = json!([tag("hostname", "string", json!("box")), tag("ip", "string", json!("::1"))]);
    assert_eq!((&process["serviceName"], &process["tags"]), (&json!("shop"), &tags));
}

#[tokio::test]
async fn what_cannot_be_read_costs_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let (sender, good) = (Sender::new(), emitted(Form::Compact, batch("shop", vec![span(1, 1)])));
    let unread: [&[u8]; 7] = [
        b"",
        b"\x82",
        b"GET / HTTP/1.1\r\n\r\n",
        &good[..good.len() - 5],
        &emitted(Form::Strict, batch("shop", vec![span(1, 2)])),
        &message(Form::Compact, "emitTrace", TMessageType::OneWay, Value::Struct(vec![])),
        &[0xff; 65_507],
    ];
    for datagram in unread {
        sender.send(server.door(COMPACT), datagram);
    }
    let lacking = vec![(5, text("nobody's"))];
    sender.send(server.door(COMPACT), &emitted(Form::Compact, batch("shop", vec![lacking, span(1, 3)])));
    sender.send(server.door(COMPACT), &emitted(Form::Compact, batch("shop", vec![])));
    sender.send(server.door(COMPACT), &good);
    assert_eq!(spans_once(&server, 1, 2).await.len(), 2);
    let address = server.door(COMPACT);
    for (name, expected) in [
        (format!("tracelodge_agent_unread_datagrams_total{{address=\"{address}\"}}"), 7),
        (format!("tracelodge_agent_datagrams_total{{address=\"{address}\"}}"), 10),
        ("tracelodge_failed_requests_total{receiver=\"jaeger\",transport=\"udp\"}".to_owned(), 7),
        ("tracelodge_rejected_spans_total{receiver=\"jaeger\",transport=\"udp\"}".to_owned(), 1),
        (ACCEPTED.to_owned(), 2),
        ("otelcol_receiver_requests{receiver=\"jaeger\",transport=\"udp\"}".to_owned(), 10),
    ] {
        assert_eq!(metric(&server, &name).await, expected, "{name}");
    }
}

#[tokio::test]
async fn what_is_counted_as_accepted_outlives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path());
    let sender = Sender::new();
    for id in 1..=200 {
        sender.send(server.door(BINARY), &emitted(Form::Strict, batch("shop", vec![span(1, id)])));
    }
    metric_reaches(&server, ACCEPTED, 200).await;
    server.kill();
    let server = Server::start(folder.path());
    assert_eq!(spans_once(&server, 1, 200).await.len(), 200);
}
