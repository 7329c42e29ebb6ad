//! Tokens: who has none is told so at every door, and what is free stays free.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::task::JoinSet;

use crate::harness::{Answer, Client, PATIENCE, Server, command, fails_to_start, run};

const INGEST: &str = "ingest-token-0123456789";
const READ: &str = "read-token-0123456789";
const ADMIN: &str = "admin-token-0123456789";

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

fn settings(folder: &Path) -> Vec<String> {
    [("ingest", INGEST), ("read", READ), ("admin", ADMIN)]
        .map(|(name, token)| {
            let text = format!("# of {name}\n\n{token}\n");
            format!("tokens.{name}_file={}", write(folder, name, &text))
        })
        .to_vec()
}

fn start(folder: &Path, settings: &[String]) -> Server {
    Server::start_with(&folder.join("data"), &settings.iter().map(String::as_str).collect::<Vec<_>>())
}

async fn asked(method: Method, uri: String, kind: &str, authorization: Option<String>) -> Answer {
    let authorization = authorization.unwrap_or_default();
    let mut headers = vec![("content-type", kind)];
    if !authorization.is_empty() {
        headers.push(("authorization", authorization.as_str()));
    }
    Client::new().send(method, uri, &headers, Bytes::new()).await.unwrap()
}

async fn status(method: Method, uri: String, kind: &str, authorization: Option<String>) -> StatusCode {
    asked(method, uri, kind, authorization).await.status
}

fn bearer(token: &str) -> Option<String> {
    Some(format!("Bearer {token}"))
}

fn basic(token: &str) -> Option<String> {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("anybody:{token}"));
    Some(format!("basic {pair}"))
}

#[tokio::test]
async fn each_door_asks_for_its_own_token() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &settings(folder.path()));
    let protobuf = "application/x-protobuf";
    let at = |name: &str, path: &str| format!("http://{}{path}", server.door(name));
    let cases = [
        (Method::POST, server.otlp_http("/v1/traces"), protobuf, Some(INGEST)),
        (Method::GET, server.query("/"), "", Some(READ)),
        (Method::GET, server.query("/api/services"), "", Some(READ)),
        (Method::GET, server.admin("/metrics"), "", Some(ADMIN)),
        (Method::GET, server.admin("/status"), "", Some(ADMIN)),
        (Method::GET, server.admin("/livez"), "", None),
        (Method::GET, server.admin("/readyz"), "", None),
        (Method::GET, at("sampling", "/sampling?service=a"), "", None),
        (Method::OPTIONS, server.otlp_http("/v1/traces"), "", None),
        (Method::POST, at("Zipkin", "/api/v2/spans"), "application/json", Some(INGEST)),
        (Method::POST, at("Zipkin", "/api/v1/spans"), "application/x-thrift", Some(INGEST)),
        (Method::GET, at("Zipkin", "/api/v2/services"), "", Some(READ)),
        (Method::GET, at("Zipkin", "/health"), "", None),
        (Method::GET, at("Zipkin", "/actuator/health"), "", None),
        (Method::OPTIONS, at("Zipkin", "/api/v2/spans"), "", None),
        (Method::GET, server.query("/zipkin/api/v2/services"), "", Some(READ)),
        (Method::POST, at("Jaeger thrift", "/api/traces"), "application/x-thrift", Some(INGEST)),
        (Method::GET, at("Jaeger thrift", "/api/sampling?service=a"), "", None),
    ];
    let mut doors = JoinSet::new();
    for (method, uri, kind, needed) in cases {
        doors.spawn(asks_for(method, uri, kind, needed));
    }
    doors.join_all().await;
}

/// Of all ways to give all tokens, these let in.
async fn asks_for(method: Method, uri: String, kind: &'static str, needed: Option<&'static str>) {
    let ask = |authorization| status(method.clone(), uri.clone(), kind, authorization);
    let Some(needed) = needed else {
        assert_ne!(ask(None).await, 401, "{uri} is free");
        return;
    };
    assert_eq!(ask(None).await, 401, "{uri}");
    for token in [INGEST, READ, ADMIN, "another-token-0123456789", &needed[..needed.len() - 1]] {
        let expected = token == needed;
        assert_eq!(ask(bearer(token)).await != 401, expected, "{uri} with {token}");
        assert_eq!(ask(basic(token)).await != 401, expected, "{uri} with {token} as a password");
    }
}

const UNAUTHENTICATED: u32 = 16;

/// One call with an empty message: its status.
async fn called(address: &str, path: &str, authorization: Option<String>) -> (u32, String) {
    let authorization = authorization.unwrap_or_default();
    let mut headers = vec![("content-type", "application/grpc"), ("te", "trailers")];
    if !authorization.is_empty() {
        headers.push(("authorization", authorization.as_str()));
    }
    let empty = Bytes::from_static(&[0; 5]);
    let answer = Client::new().post_http2(format!("http://{address}{path}"), &headers, empty).await;
    assert_eq!(answer.status, 200, "{path}: refusals of gRPC stand in its own status");
    answer.grpc_status()
}

#[tokio::test]
async fn calls_are_refused_in_the_words_of_grpc() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &settings(folder.path()));
    let (write, health) = ("/jaeger.storage.v1.SpanWriterPlugin/WriteSpan", "/grpc.health.v1.Health/Check");
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let services = "/jaeger.storage.v1.SpanReaderPlugin/GetServices";
    let export = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    let (storage, archive) = (server.storage.as_str(), server.archive.as_str());
    let (collector, query) = (server.door("Jaeger gRPC"), server.grpc_query.as_str());
    let cases = [
        (server.otlp[0].as_str(), export, Some(INGEST)),
        (storage, write, Some(INGEST)),
        (storage, export, Some(INGEST)),
        (storage, "/jaeger.storage.v1.StreamingSpanWriterPlugin/WriteSpanStream", Some(INGEST)),
        (storage, services, Some(READ)),
        (storage, "/jaeger.storage.v2.TraceReader/GetServices", Some(READ)),
        (storage, "/jaeger.storage.v1.PluginCapabilities/Capabilities", Some(READ)),
        (archive, write, Some(INGEST)),
        (archive, "/jaeger.storage.v1.ArchiveSpanWriterPlugin/WriteArchiveSpan", Some(INGEST)),
        (archive, services, Some(READ)),
        (query, "/jaeger.api_v2.QueryService/GetServices", Some(READ)),
        (query, "/jaeger.api_v3.QueryService/GetServices", Some(READ)),
        (collector, "/jaeger.api_v2.CollectorService/PostSpans", Some(INGEST)),
        (collector, "/not.there.Service/Method", Some(INGEST)),
        (collector, "/jaeger.api_v2.SamplingManager/GetSamplingStrategy", None),
        (server.door("sampling gRPC"), "/jaeger.api_v2.SamplingManager/GetSamplingStrategy", None),
        (storage, health, None),
        (archive, reflection, None),
        (query, health, None),
        (collector, health, None),
        (collector, reflection, None),
    ];
    let mut doors = JoinSet::new();
    for (address, path, needed) in cases {
        doors.spawn(is_asked_by_call(address.to_owned(), path, needed));
    }
    doors.join_all().await;
}

async fn is_asked_by_call(address: String, path: &'static str, needed: Option<&'static str>) {
    let call = |authorization| called(&address, path, authorization);
    let (status, message) = call(None).await;
    let Some(needed) = needed else {
        assert_ne!(status, UNAUTHENTICATED, "{path} is free");
        return;
    };
    assert_eq!(status, UNAUTHENTICATED, "{path}");
    assert!(message.contains("tokens."), "{message}");
    for token in [INGEST, READ, ADMIN] {
        let is_refused = call(bearer(token)).await.0 == UNAUTHENTICATED;
        assert_eq!(is_refused, token != needed, "{path} with {token}");
    }
    assert_ne!(call(basic(needed)).await.0, UNAUTHENTICATED, "{path} with a password");
}

/// Who is refused reads why, even who reads nothing before all is written.
#[tokio::test]
async fn a_large_request_without_a_token_is_told_why() {
    const BYTES: usize = 16 << 20;
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &settings(folder.path()));
    let mut connection = TcpStream::connect(&server.otlp[1]).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-protobuf\r\nContent-Length: {BYTES}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).unwrap();
    for _ in 0..BYTES >> 20 {
        connection.write_all(&[0; 1 << 20]).expect("it is read on");
        // Long enough for the refusal to have been written.
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut said = [0; 12];
    connection.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP/1.1 401");
}

/// As secrets are handed to a service.
#[tokio::test]
async fn a_file_of_tokens_may_be_read_by_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let settings = settings(folder.path());
    let readable = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(folder.path().join("read"), readable).unwrap();
    let server = start(folder.path(), &settings);
    let asked = status(Method::GET, server.query("/api/services"), "", bearer(READ));
    assert_eq!(asked.await, 200);
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &settings(folder.path()));
    let answer = asked(Method::GET, server.query("/api/services"), "", bearer("not-a-token-of-ours")).await;
    assert_eq!(answer.status, 401);
    let said = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(said.contains("tokens.read_file") && !said.contains("not-a-token"), "{said}");
    assert!(answer.header("www-authenticate").starts_with("Basic "), "browsers ask for a password");
    let metrics = asked(Method::GET, server.admin("/metrics"), "", bearer(ADMIN)).await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("tracelodge_unauthorized_requests_total{right=\"read\"} 1"), "{metrics}");
}

#[tokio::test]
async fn changed_tokens_hold_from_then_on() {
    let folder = tempfile::tempdir().unwrap();
    let server = start(folder.path(), &settings(folder.path()));
    let ask = |token| status(Method::GET, server.query("/api/services"), "", bearer(token));
    assert_eq!(ask(READ).await, 200);
    let next = "the-next-token-0123456789";
    write(folder.path(), "read", next);
    let until = std::time::Instant::now() + PATIENCE;
    while ask(next).await != 200 {
        assert!(std::time::Instant::now() < until, "the new token is never taken");
    }
    assert_eq!(ask(READ).await, 401);
}

#[test]
fn files_that_cannot_be_used_are_named_and_their_tokens_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let open = write(folder.path(), "open", READ);
    std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o644)).unwrap();
    let cases = [
        (format!("tokens.read_file={}", folder.path().join("missing").display()), "read tokens.read_file = "),
        (format!("tokens.read_file={}", folder.path().display()), "it is not a file"),
        (format!("tokens.read_file={open}"), "its group may read it; chmod o="),
        (
            format!("tokens.admin_file={}", write(folder.path(), "short", "ok\nhunter2\n")),
            "line 1 is no token",
        ),
        (format!("tokens.ingest_file={}", write(folder.path(), "empty", "# nothing\n")), "there is no token"),
    ];
    for (setting, said) in cases {
        let (code, words) = fails_to_start(command(&folder.path().join("data"), &[&setting]));
        assert_eq!(code, Some(1), "{setting}");
        assert!(words.contains(said) && !words.contains("hunter2"), "{setting}: {words}");
        let (_, _, checked) = run(&["--set", &setting, "--check-config"].map(std::ffi::OsStr::new));
        assert_eq!(checked, words, "what is checked is what the start says");
    }
}
