//! The program as a child of Jaeger 1.12 to 1.57, seen by its host.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::task::{Context, Poll};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::{Stream, StreamExt as _};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tracelodge::proto::jaeger::api_v2::{KeyValue, Process, Span};
use tracelodge::proto::jaeger::storage::v1::plugin_capabilities_client::PluginCapabilitiesClient;
use tracelodge::proto::jaeger::storage::v1::span_reader_plugin_client::SpanReaderPluginClient;
use tracelodge::proto::jaeger::storage::v1::span_writer_plugin_client::SpanWriterPluginClient;
use tracelodge::proto::jaeger::storage::v1::streaming_span_writer_plugin_client::StreamingSpanWriterPluginClient;
use tracelodge::proto::jaeger::storage::v1::{CapabilitiesRequest, GetTraceRequest, WriteSpanRequest};
use tracelodge::proto::plugin::ConnInfo;
use tracelodge::proto::plugin::grpc_broker_client::GrpcBrokerClient;
use tracelodge::proto::plugin::grpc_stdio_client::GrpcStdioClient;

use crate::harness::{PATIENCE, Server};
use crate::plugin_host::{Folders, KILLS_AFTER, Plugin, log, signal, until};

async fn health(door: &Channel, service: &str) -> Result<i32, Code> {
    let question = HealthCheckRequest { service: service.to_owned() };
    let answer = HealthClient::new(door.clone()).check(question).await;
    answer.map(|answer| answer.into_inner().status).map_err(|status| status.code())
}

async fn streams(door: &Channel) -> bool {
    let answer = PluginCapabilitiesClient::new(door.clone()).capabilities(CapabilitiesRequest {}).await;
    answer.unwrap().into_inner().streaming_span_writer
}

const SERVING: i32 = 1;

#[tokio::test]
async fn a_host_finds_what_it_asks_for() {
    let folders = Folders::new();
    let plugin = Plugin::start(folders.command("")).await;
    assert_eq!(folders.sockets(), std::slice::from_ref(&plugin.socket));
    for name in ["plugin", "", "jaeger.storage.v1.SpanReaderPlugin", "jaeger.storage.v2.TraceReader"] {
        assert_eq!(health(&plugin.door, name).await, Ok(SERVING), "{name:?}");
    }
    assert_eq!(health(&plugin.door, "nobody").await, Err(Code::NotFound));
    assert!(!streams(&plugin.door).await);
    let mut stdio = GrpcStdioClient::new(plugin.door.clone()).stream_stdio(()).await.unwrap().into_inner();
    let asked = tokio_stream::pending::<ConnInfo>();
    let mut broker =
        GrpcBrokerClient::new(plugin.door.clone()).start_stream(asked).await.unwrap().into_inner();
    let silent = tokio::time::timeout(Duration::from_millis(300), async {
        tokio::select! { said = stdio.next() => said.is_some(), said = broker.next() => said.is_some() }
    });
    assert!(silent.await.is_err(), "both stay open and say nothing");
}

#[tokio::test]
async fn no_port_is_opened() {
    let folders = Folders::new();
    let plugin = Plugin::start(folders.command("")).await;
    let own: Vec<String> = std::fs::read_dir(format!("/proc/{}/fd", plugin.id()))
        .unwrap()
        .filter_map(|file| std::fs::read_link(file.unwrap().path()).ok()?.to_str().map(str::to_owned))
        .collect();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let sockets = std::fs::read_to_string(format!("/proc/{}/net/{table}", plugin.id())).unwrap();
        for line in sockets.lines().skip(1) {
            let inode = line.split_whitespace().nth(9).unwrap();
            assert!(!own.contains(&format!("socket:[{inode}]")), "{table}: {line}");
        }
    }
}

#[tokio::test]
async fn a_shutdown_ends_it_in_time_with_all_streams_open_and_nothing_printed() {
    let folders = Folders::new();
    let file = folders.file("log", "");
    let mut command = folders.command("");
    command.env("TRACELODGE_LOG_LEVEL", "trace").stderr(File::create(&file).unwrap());
    let mut plugin = Plugin::start(command).await;
    let mut stdio = GrpcStdioClient::new(plugin.door.clone()).stream_stdio(()).await.unwrap().into_inner();
    let asked = tokio_stream::pending::<ConnInfo>();
    let mut broker =
        GrpcBrokerClient::new(plugin.door.clone()).start_stream(asked).await.unwrap().into_inner();
    assert_eq!(health(&plugin.door, "plugin").await, Ok(SERVING));
    plugin.shut_down().await;
    let answered = Instant::now();
    assert!(stdio.next().await.is_none() && broker.next().await.is_none(), "they end as they should");
    let (code, printed) = plugin.ends_within(KILLS_AFTER);
    assert!(answered.elapsed() < KILLS_AFTER);
    assert_eq!((code, printed.as_str()), (Some(0), ""));
    assert!(folders.sockets().is_empty());
    let lines = log(&file);
    assert!(lines.iter().any(|line| line["@level"] == "trace"), "{} lines", lines.len());
    assert!(lines.iter().any(|line| line["@message"] == "time to end: the host asked for it"));
}

#[tokio::test]
async fn it_ends_when_its_host_is_killed() {
    let folders = Folders::new();
    let process = folders.file("process", "");
    let script = format!("\"$@\" & echo $! > {}; wait", process.display());
    let mut plugin = Plugin::start(folders.command_in(&script)).await;
    let child = std::fs::read_to_string(&process).unwrap().trim().to_owned();
    signal("-KILL", plugin.id());
    until("the socket is removed", || folders.sockets().is_empty()).await;
    until("the process is gone", || has_ended(&child)).await;
    plugin.ends_within(Duration::ZERO);
}

/// In a container nobody may take note of an orphan's end.
fn has_ended(process: &str) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat"));
    state.map_or(true, |state| state.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z')))
}

#[tokio::test]
async fn it_ends_when_a_script_between_outlives_the_host() {
    let folders = Folders::new();
    // The script has closed what the host reads.
    let mut plugin = Plugin::start(folders.command_in("\"$@\" & exec >&- 2>&-; wait")).await;
    plugin.stop_reading();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(health(&plugin.door, "plugin").await, Ok(SERVING), "whoever is connected is still there");
    plugin.door = Endpoint::from_static("http://unused").connect_lazy();
    until("the socket is removed", || folders.sockets().is_empty()).await;
    plugin.ends_within(PATIENCE);
}

#[tokio::test]
async fn an_interrupt_is_the_hosts_and_a_termination_its_own() {
    let folders = Folders::new();
    let mut plugin = Plugin::start(folders.command("")).await;
    plugin.signal("-INT");
    plugin.signal("-INT");
    assert_eq!(health(&plugin.door, "plugin").await, Ok(SERVING));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(health(&plugin.door, "plugin").await, Ok(SERVING));
    plugin.signal("-TERM");
    assert_eq!(plugin.ends_within(Duration::from_secs(5)), (Some(0), String::new()));
    assert!(folders.sockets().is_empty());
}

#[tokio::test]
async fn a_host_that_was_asked_to_end_too_is_served_to_its_end() {
    let folders = Folders::new();
    let (file, command) = logged(&folders);
    let mut plugin = Plugin::start(command).await;
    plugin.signal("-TERM");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(health(&plugin.door, "plugin").await, Ok(SERVING));
    plugin.shut_down().await;
    plugin.ends_within(KILLS_AFTER);
    assert!(says(&file, "time to end: the host asked for it"), "it does not wait any more");
}

/// A command whose log is a file, and that file.
fn logged(folders: &Folders) -> (PathBuf, Command) {
    let file = folders.file("log", "");
    let mut command = folders.command("");
    command.stderr(File::create(&file).unwrap());
    (file, command)
}

fn says(file: &Path, message: &str) -> bool {
    log(file).iter().any(|line| line["@message"] == message)
}

/// What is said where the end did not come by itself.
const CUT: &str = "some calls did not end in time and are cut";

#[tokio::test]
async fn a_log_that_nobody_reads_does_no_harm() {
    let folders = Folders::new();
    let mut command = folders.command("");
    let (reader, writer) = std::io::pipe().unwrap();
    command.env("TRACELODGE_LOG_LEVEL", "trace").stderr(writer);
    let mut plugin = Plugin::start(command).await;
    drop(reader);
    for _ in 0..20 {
        assert_eq!(health(&plugin.door, "plugin").await, Ok(SERVING));
    }
    plugin.shut_down().await;
    assert_eq!(plugin.ends_within(KILLS_AFTER), (Some(0), String::new()));
}

#[tokio::test]
async fn a_file_of_settings_is_read_in_either_form() {
    let folders = Folders::new();
    let sample = concat!(env!("CARGO_MANIFEST_DIR"), "/config/plugin.sample.toml");
    let jaegers = folders.file("jaeger.yaml", "enable_streaming_writer: true\n");
    let toml = folders.file("own.toml", "[plugin]\nephemeral = true\nenable_streaming_writer = true\n");
    for (config, expected) in [(sample.into(), false), (jaegers, true), (toml, true)] {
        let mut plugin = Plugin::start(folders.command(&config)).await;
        assert_eq!(streams(&plugin.door).await, expected, "{}", config.display());
        plugin.shut_down().await;
        plugin.ends_within(KILLS_AFTER);
    }
}

#[tokio::test]
async fn what_is_ephemeral_leaves_nothing() {
    let folders = Folders::new();
    let temporary = tempfile::tempdir().unwrap();
    let mut command = folders.command(folders.file("own.toml", "plugin.ephemeral = true\n"));
    command.env("TMPDIR", temporary.path());
    let mut plugin = Plugin::start(command).await;
    let kept = || std::fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!((kept(), folders.data().exists()), (1, false));
    plugin.shut_down().await;
    plugin.ends_within(KILLS_AFTER);
    assert_eq!(kept(), 0);
}

#[test]
fn a_host_that_cannot_be_served_is_told_why() {
    let folders = Folders::new();
    let yaml = folders.file("nested.yaml", "storage:\n  path: /data\n");
    let cases: [(&str, &str, std::path::PathBuf, &str); 4] = [
        ("PLUGIN_PROTOCOL_VERSIONS", "2,3", "".into(), "PLUGIN_PROTOCOL_VERSIONS has 2,3"),
        ("PLUGIN_CLIENT_CERT", "-----BEGIN CERTIFICATE-----", "".into(), "AutoMTLS"),
        ("TRACELODGE_DATA_DIR", "/dev/null/data", "".into(), "/dev/null/data"),
        ("LANG", "C", yaml, "only lines of 'key: value'"),
    ];
    for (name, value, config, said) in cases {
        let output = folders.command(config).env(name, value).stderr(Stdio::piped()).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
        let file = folders.file("log", &String::from_utf8(output.stderr).unwrap());
        let lines = log(&file);
        let last = lines.last().unwrap();
        assert!(last["@level"] == "error" && last["@message"].as_str().unwrap().contains(said), "{last}");
    }
    assert!(folders.sockets().is_empty());
}

#[test]
fn the_cookie_alone_makes_no_child() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracelodge"));
    let output = command.arg("--version").env("STORAGE_PLUGIN", "jaeger").output().unwrap();
    assert!(output.stdout.starts_with(b"tracelodge "), "{output:?}");
}

#[tokio::test]
async fn two_children_share_a_folder_and_the_second_outlives_the_first() {
    let folders = Folders::new();
    let mut first = Plugin::start(folders.command("")).await;
    let mut second = Plugin::start(folders.command("")).await;
    for plugin in [&first, &second] {
        assert_eq!(health(&plugin.door, "plugin").await, Ok(SERVING));
        assert!(!streams(&plugin.door).await);
    }
    first.shut_down().await;
    assert!(!streams(&second.door).await, "it waits until the folder is its own");
    first.ends_within(KILLS_AFTER);
    assert_eq!(folders.sockets(), std::slice::from_ref(&second.socket));

    let mut third = Plugin::start(folders.command("")).await;
    assert!(!streams(&third.door).await);
    third.shut_down().await;
    third.ends_within(KILLS_AFTER);
    assert!(!streams(&second.door).await, "the end of one is not the end of the other");

    let fourth = Plugin::start(folders.command("")).await;
    signal("-KILL", second.id());
    assert!(!streams(&fourth.door).await, "nor is a sudden one");
    second.ends_within(KILLS_AFTER);
}

#[tokio::test]
async fn beside_a_running_server_it_passes_everything_on_and_waits_for_it() {
    let folders = Folders::new();
    let server = Server::start_with(&folders.data(), &["storage.streaming_writer=true"]);
    let mut plugin = Plugin::start(folders.command("")).await;
    assert!(streams(&plugin.door).await, "it is the server's answer");
    server.kill();
    let door = plugin.door.clone();
    let asked = tokio::spawn(async move { streams(&door).await });
    let server = Server::start(&folders.data());
    assert!(!asked.await.unwrap(), "it is the next one's");
    assert_eq!(server.terminate().0, Some(0));
    assert_eq!(health(&plugin.door, "plugin").await, Ok(SERVING));
    plugin.shut_down().await;
    assert_eq!(plugin.ends_within(KILLS_AFTER), (Some(0), String::new()));
}

/// Writes one span after the other until it is told to stop; each must be taken.
fn write_on(door: &Channel, spans: Range<u64>, stop: &watch::Sender<bool>) -> JoinHandle<Vec<u64>> {
    let (mut writer, stop) = (SpanWriterPluginClient::new(door.clone()), stop.subscribe());
    tokio::spawn(async move {
        let mut taken = Vec::new();
        for id in spans {
            writer.write_span(WriteSpanRequest { span: Some(span(id)) }).await.unwrap();
            taken.push(id);
            if *stop.borrow() {
                break;
            }
        }
        taken
    })
}

const TRACE: Bytes = Bytes::from_static(&[7; 16]);

fn span(id: u64) -> Span {
    let process = Process { service_name: Bytes::from_static(b"shop"), tags: Vec::new() };
    Span {
        trace_id: TRACE,
        span_id: Bytes::copy_from_slice(&id.to_be_bytes()),
        operation_name: Bytes::from_static(b"buy"),
        start_time: Some(SystemTime::UNIX_EPOCH.elapsed().map(now).unwrap()),
        duration: Some(prost_types::Duration { seconds: 0, nanos: 1 }),
        process: Some(process),
        ..Span::default()
    }
}

fn now(since: Duration) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() as i32 }
}

/// Waits until the trace has as many spans as these and checks that they are these: what is on disk is found a moment later.
async fn keeps(door: &Channel, expected: &[u64]) {
    let started = Instant::now();
    let mut found = Vec::new();
    while found.len() < expected.len() && started.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
        found = match ids(door).await {
            Err(status) if status.code() == Code::NotFound => Vec::new(),
            ids => ids.unwrap(),
        };
    }
    assert_eq!(found, expected);
}

/// The ids of the trace's spans, in order.
async fn ids(door: &Channel) -> Result<Vec<u64>, Status> {
    let question = GetTraceRequest { trace_id: TRACE, ..GetTraceRequest::default() };
    let mut chunks = SpanReaderPluginClient::new(door.clone()).get_trace(question).await?.into_inner();
    let mut ids = Vec::new();
    while let Some(chunk) = chunks.next().await {
        let spans = chunk?.spans;
        ids.extend(spans.iter().map(|span| u64::from_be_bytes(span.span_id[..].try_into().unwrap())));
    }
    ids.sort_unstable();
    Ok(ids)
}

/// A channel's receiver as a stream.
struct ReceiverStream<T>(tokio::sync::mpsc::Receiver<T>);

impl<T> Stream for ReceiverStream<T> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        self.0.poll_recv(context)
    }
}

#[tokio::test]
async fn what_was_taken_is_there_after_the_next_start() {
    let folders = Folders::new();
    let plugin = Plugin::start(folders.command("")).await;
    let mut writer = SpanWriterPluginClient::new(plugin.door.clone());
    for id in 1..=50 {
        writer.write_span(WriteSpanRequest { span: Some(span(id)) }).await.unwrap();
    }
    plugin.shut_down().await;
    // A host that does not wait.
    plugin.signal("-KILL");
    let plugin = Plugin::start(folders.command("")).await;
    keeps(&plugin.door, &(1..=50).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn a_span_that_is_larger_than_servers_take_is_taken_from_a_host() {
    let folders = Folders::new();
    let plugin = Plugin::start(folders.command("")).await;
    let text = Bytes::from(vec![b'x'; 12 << 20]);
    let tag = KeyValue { key: Bytes::from_static(b"body"), v_str: text, ..KeyValue::default() };
    let large = Span { tags: vec![tag], ..span(1) };
    let mut writer = SpanWriterPluginClient::new(plugin.door.clone());
    writer.write_span(WriteSpanRequest { span: Some(large) }).await.unwrap();
    keeps(&plugin.door, &[1]).await;
}

#[tokio::test]
async fn a_stream_that_is_open_does_not_hold_up_the_end_and_keeps_what_came() {
    let folders = Folders::new();
    let (file, command) = logged(&folders);
    let mut plugin = Plugin::start(command).await;
    let said = stream_until_the_end(&plugin).await;
    assert!(said.message().contains("20 spans of this stream are kept"), "{said}");
    plugin.ends_within(KILLS_AFTER);
    assert!(!says(&file, CUT));
    let plugin = Plugin::start(folders.command("")).await;
    keeps(&plugin.door, &(1..=20).collect::<Vec<_>>()).await;
}

/// Writes twenty spans in a stream that stays open until its host ends the plugin: what the stream is answered then.
async fn stream_until_the_end(plugin: &Plugin) -> Status {
    let (spans, stream) = tokio::sync::mpsc::channel(8);
    let mut writer = StreamingSpanWriterPluginClient::new(plugin.door.clone());
    let answer = tokio::spawn(async move { writer.write_span_stream(ReceiverStream(stream)).await });
    for id in 1..=20 {
        spans.send(WriteSpanRequest { span: Some(span(id)) }).await.unwrap();
    }
    keeps(&plugin.door, &(1..=20).collect::<Vec<_>>()).await;
    plugin.shut_down().await;
    answer.await.unwrap().unwrap_err()
}

#[tokio::test]
async fn a_stream_that_is_passed_on_ends_with_the_process_that_passes_it() {
    let folders = Folders::new();
    let first = Plugin::start(folders.command("")).await;
    let (file, command) = logged(&folders);
    let mut second = Plugin::start(command).await;
    let said = stream_until_the_end(&second).await;
    assert_eq!(said.code(), Code::Unavailable);
    assert!(said.message().contains("how much of it is kept is not known"), "{said}");
    second.ends_within(KILLS_AFTER);
    assert!(!says(&file, CUT));
    keeps(&first.door, &(1..=20).collect::<Vec<_>>()).await;
}

#[tokio::test]
async fn who_cannot_say_where_it_can_be_asked_serves_all_the_same() {
    let folders = Folders::new();
    // Stands where that is written.
    std::fs::create_dir_all(folders.data().join("storage.address.new")).unwrap();
    let mut plugin = Plugin::start(folders.command("")).await;
    let mut writer = SpanWriterPluginClient::new(plugin.door.clone());
    writer.write_span(WriteSpanRequest { span: Some(span(1)) }).await.unwrap();
    plugin.shut_down().await;
    plugin.ends_within(KILLS_AFTER);
    let server = Server::start(&folders.data());
    let door = Endpoint::from_shared(format!("http://{}", server.storage)).unwrap().connect().await.unwrap();
    keeps(&door, &[1]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_while_the_server_beside_it_is_started_anew() {
    let folders = Folders::new();
    let server = Server::start(&folders.data());
    let plugin = Plugin::start(folders.command("")).await;
    let stop = watch::Sender::new(false);
    let writers: Vec<_> =
        (1..5).map(|writer| write_on(&plugin.door, writer << 32..u64::MAX, &stop)).collect();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(server.terminate().0, Some(0));
    let server = Server::start(&folders.data());
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.kill();
    let _server = Server::start(&folders.data());
    tokio::time::sleep(Duration::from_millis(200)).await;
    stop.send_replace(true);
    let mut taken = Vec::new();
    for writer in writers {
        taken.extend(writer.await.unwrap());
    }
    taken.sort_unstable();
    assert!(taken.len() > 50, "{} spans", taken.len());
    keeps(&plugin.door, &taken).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_no_call_fails_while_the_folder_changes_hands() {
    let folders = Folders::new();
    let mut first = Plugin::start(folders.command("")).await;
    let mut second = Plugin::start(folders.command("")).await;
    let stop = watch::Sender::new(false);
    let writers: Vec<_> =
        (1..5).map(|writer| write_on(&second.door, writer << 32..u64::MAX, &stop)).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    first.shut_down().await;
    first.ends_within(KILLS_AFTER);
    tokio::time::sleep(Duration::from_millis(300)).await;

    let third = Plugin::start(folders.command("")).await;
    let more: Vec<_> = (5..9).map(|writer| write_on(&third.door, writer << 32..u64::MAX, &stop)).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.send_replace(true);
    let mut taken = Vec::new();
    for writer in writers {
        taken.extend(writer.await.unwrap());
    }
    stop.send_replace(false);
    signal("-KILL", second.id());
    second.ends_within(KILLS_AFTER);
    tokio::time::sleep(Duration::from_millis(300)).await;
    stop.send_replace(true);
    for writer in more {
        taken.extend(writer.await.unwrap());
    }
    taken.sort_unstable();
    assert!(taken.len() > 50, "{} spans", taken.len());
    keeps(&third.door, &taken).await;
}
