//! A folder that a Java program has left behind, imported into the running program and read back.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use bytes::Bytes;
use opentelemetry::logs::{Logger as _, LoggerProvider as _};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracelodge::buffer::{
    FileLogRecordStorage, FileMetricStorage, FileSpanStorage, FileStorageConfig, SignalStorage as _,
};
use tracelodge::to_disk::{LogRecordToDiskExporter, MetricToDiskExporter, SpanToDiskExporter};

use crate::harness::{Client, Server};
use crate::wire;

/// As OpenTelemetry Java writes it: the length in seven-bit groups, least first, then the message.
fn record(message: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut length = message.len();
    while length > 0x7f {
        bytes.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    bytes.push(length as u8);
    bytes.extend(message);
    bytes
}

fn file(traces: &[u64]) -> Vec<u8> {
    traces.iter().flat_map(|trace| record(&wire::trace("phone", *trace, 2))).collect()
}

fn import(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracelodge"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TRACELODGE_") {
            command.env_remove(name);
        }
    }
    command.arg("import").args(arguments).output().unwrap()
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> =
        entries.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect();
    all.sort();
    all
}

async fn has_trace(client: &Client, server: &Server, trace: u64) -> bool {
    let url = server.query(&format!("/api/traces/{}", wire::trace_id(trace)));
    let told = client.until(&url, |answer| answer.status == 200).await.json();
    told["data"][0]["spans"].as_array().unwrap().len() == 2
}

#[tokio::test]
async fn a_folder_of_a_java_program_is_imported_as_far_as_it_is_sound() {
    let (data, phone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let spans = phone.path().join("spans");
    fs::create_dir(&spans).unwrap();
    let torn = [file(&[4]), file(&[99])[..50].to_vec()].concat();
    let files: [(&str, Vec<u8>); 5] = [
        ("1700000000000", file(&[1, 2])),
        ("1700000030000", file(&[3])),
        ("1700000060000", torn),
        ("1700000090000.tmp", file(&[5])),
        (".nomedia", Vec::new()),
    ];
    for (name, bytes) in &files {
        fs::write(spans.join(name), bytes).unwrap();
    }
    let before = contents(&spans);

    let server = Server::start(data.path());
    let output = import(&[spans.to_str().unwrap(), "--to", &server.otlp_http("")]);
    let (said, troubles) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said, "requests of traces: 5 read, 5 sent, 0 refused, 1 damaged\n", "{troubles}");
    assert!(troubles.contains("damaged: 1700000060000: a record of"), "{troubles}");
    assert!(troubles.contains("tracelodge could not import everything in"), "{troubles}");
    assert_eq!(output.status.code(), Some(1));
    let client = Client::new();
    for trace in 1..=5 {
        assert!(has_trace(&client, &server, trace).await, "trace {trace}");
    }
    assert_eq!(contents(&spans), before, "the folder stays as it is");

    // Again, without what is damaged: nothing is there twice.
    fs::remove_file(spans.join("1700000060000")).unwrap();
    let output = import(&[spans.to_str().unwrap(), "--to", &server.otlp_http("")]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    for trace in 1..=5 {
        assert!(has_trace(&client, &server, trace).await, "trace {trace}");
    }
}

#[tokio::test]
async fn a_buffer_of_a_stopped_server_is_imported_and_one_in_use_is_not() {
    let (data, edge) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Server::start(data.path());
    let folder = edge.path().join("buffer/traces");
    let folder = folder.to_str().unwrap();
    let client = Client::new();

    let stopped = Server::start_with(edge.path(), &["upstream.endpoint=http://127.0.0.1:1"]);
    let headers = [("content-type", "application/x-protobuf")];
    let answer = client.post(stopped.otlp_http("/v1/traces"), &headers, wire::trace("edge", 7, 2)).await;
    assert_eq!(answer.status, 200);
    let output = import(&[folder, "--to", &server.otlp_http("")]);
    let troubles = String::from_utf8_lossy(&output.stderr);
    assert!(troubles.contains("in use by another process"), "{troubles}");
    assert_eq!(output.status.code(), Some(1));
    stopped.kill();

    let output = import(&[folder, "--to", &server.otlp_http("")]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said, "requests of traces: 1 read, 1 sent, 0 refused, 0 damaged\n");
    assert!(has_trace(&client, &server, 7).await);
    let output = import(&[folder, "--signal", "logs", "--to", &server.otlp_http("")]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("as logs: it holds traces"));
}

#[tokio::test]
async fn what_is_no_frame_among_frames_is_said_and_not_passed_in_silence() {
    let (data, program) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    buffer_a_span(program.path());
    fs::write(program.path().join("5"), file(&[1])).unwrap();
    let server = Server::start(data.path());
    let output = import(&[program.path().to_str().unwrap(), "--to", &server.otlp_http("")]);
    let (said, troubles) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(said, "requests of traces: 1 read, 1 sent, 0 refused, 1 damaged\n");
    assert!(troubles.contains("damaged: 5: none of its"), "{troubles}");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn what_the_sdk_has_buffered_of_each_signal_is_imported() {
    let (data, program) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = |name: &str| program.path().join(name);
    buffer_a_span(&folder("a"));
    buffer_a_log_record(&folder("b"));
    buffer_a_metric(&folder("c"));

    let server = Server::start(data.path());
    for (name, signal) in [("a", "traces"), ("b", "logs"), ("c", "metrics")] {
        let output = import(&[folder(name).to_str().unwrap(), "--to", &server.otlp_http("")]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said, format!("requests of {signal}: 1 read, 1 sent, 0 refused, 0 damaged\n"));
    }
    let found = server.query("/api/traces?service=program&operation=buffered");
    let client = Client::new();
    let told = client.until(&found, |answer| answer.json()["data"][0].is_object()).await.json();
    assert_eq!(told["data"][0]["spans"][0]["operationName"], "buffered");
}

fn service() -> Resource {
    Resource::builder_empty().with_service_name("program").build()
}

fn buffer_a_span(folder: &Path) {
    let storage = Arc::new(FileSpanStorage::create(folder, FileStorageConfig::default()).unwrap());
    let exporter = SpanToDiskExporter::new(storage.clone());
    let provider =
        SdkTracerProvider::builder().with_resource(service()).with_batch_exporter(exporter).build();
    provider.tracer("test").start("buffered").end();
    provider.shutdown().unwrap();
    storage.close().unwrap();
}

fn buffer_a_log_record(folder: &Path) {
    let storage = Arc::new(FileLogRecordStorage::create(folder, FileStorageConfig::default()).unwrap());
    let exporter = LogRecordToDiskExporter::new(storage.clone());
    let provider =
        SdkLoggerProvider::builder().with_resource(service()).with_batch_exporter(exporter).build();
    let logger = provider.logger("test");
    logger.emit(logger.create_log_record());
    provider.shutdown().unwrap();
    storage.close().unwrap();
}

fn buffer_a_metric(folder: &Path) {
    let storage = Arc::new(FileMetricStorage::create(folder, FileStorageConfig::default()).unwrap());
    let exporter = MetricToDiskExporter::new(storage.clone());
    let provider =
        SdkMeterProvider::builder().with_resource(service()).with_periodic_exporter(exporter).build();
    provider.meter("test").u64_counter("count").build().add(1, &[]);
    provider.shutdown().unwrap();
    storage.close().unwrap();
}

#[tokio::test]
async fn what_the_server_says_of_a_request_is_repeated() {
    let (data, phone) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(phone.path().join("1700000000000"), record(b"\xff\xff\xff")).unwrap();
    let server = Server::start(data.path());
    let output = import(&[phone.path().to_str().unwrap(), "--to", &server.otlp_http("")]);
    let troubles = String::from_utf8_lossy(&output.stderr);
    assert!(troubles.contains("refused: a request in 1700000000000: HTTP 400: "), "{troubles}");
    assert_eq!(output.status.code(), Some(1));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_with_what_to_do() {
    let phone = tempfile::tempdir().unwrap();
    fs::write(phone.path().join("1"), file(&[1])).unwrap();
    let folder = phone.path().to_str().unwrap();
    let output = import(&[folder, "--to", "http://127.0.0.1:1"]);
    let troubles = String::from_utf8_lossy(&output.stderr);
    let advice = "reach http://127.0.0.1:1; start tracelodge there, or give its address with --to";
    assert!(troubles.contains(advice), "{troubles}");
    assert_eq!(output.status.code(), Some(1));

    let nothing = tempfile::tempdir().unwrap();
    let output = import(&[nothing.path().to_str().unwrap()]);
    assert!(output.status.success());
    assert!(Bytes::from(output.stdout).starts_with(b"there is nothing to import in "));
}

/// A name that is not `localhost` may be anybody's.
#[tokio::test]
async fn a_token_is_sent_to_this_machine_or_within_tls_only() {
    let folder = tempfile::tempdir().unwrap();
    let spans = folder.path().join("spans");
    fs::create_dir(&spans).unwrap();
    fs::write(spans.join("1700000000000"), file(&[1])).unwrap();
    let tokens = folder.path().join("tokens");
    fs::write(&tokens, "ingest-token-0123456789").unwrap();
    fs::set_permissions(&tokens, fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::start_with(
        &folder.path().join("data"),
        &[&format!("tokens.ingest_file={}", tokens.display())],
    );
    let settings = folder.path().join("settings.toml");
    fs::write(&settings, format!("[tokens]\ningest_file = {tokens:?}\n")).unwrap();
    let import_to = |host: &str| {
        let port = server.otlp[1].rsplit(':').next().unwrap();
        let to = format!("http://{host}:{port}");
        import(&["--config", settings.to_str().unwrap(), spans.to_str().unwrap(), "--to", &to])
    };
    // What the system's resolver takes for 127.0.0.1.
    let output = import_to("127.1");
    let troubles = String::from_utf8_lossy(&output.stderr);
    assert!(troubles.contains("only to this machine or within TLS: write https://"), "{troubles}");
    assert_eq!(output.status.code(), Some(1));
    let output = import_to("127.0.0.1");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(has_trace(&Client::new(), &server, 1).await);
}
