//! Drives a whole server over OTLP, waits for its store, and proves that every span it acknowledged can be read.
//!
//! `cargo run --release --example load -- --help` lists the knobs. What counts is the sustained rate: all spans by the
//! time from the first request until the store has the last of them. The server runs in a process of its own, in
//! a folder that is removed afterwards, on the machine's own disk unless `--data-dir` says otherwise.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use clap::{Parser, ValueEnum};
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;

/// Spans of one generated trace.
const SPANS_PER_TRACE: u64 = 8;

/// Traces asked for at once when everything is read back.
const TRACES_PER_QUESTION: usize = 100;

/// How long the store may take, after the last request, until it has everything.
const PATIENCE: Duration = Duration::from_secs(1200);

#[derive(Debug, Clone, Parser)]
struct Knobs {
    /// How long to send
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections, each with one request in flight
    #[arg(long, default_value_t = 8)]
    connections: u64,
    /// Spans per request, a multiple of 8; SDKs send 512
    #[arg(long, default_value_t = 512)]
    batch: u64,
    /// The transport
    #[arg(long, value_enum, default_value_t = Transport::Both)]
    transport: Transport,
    /// Where the server keeps its data; a folder of the system's choice if not given
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Transport {
    Grpc,
    Http,
    Both,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    // The second process of this program is the server itself.
    if arguments.nth(1).as_deref() == Some(SERVER) {
        return tracelodge::app::main_with(std::iter::once("tracelodge".to_owned()).chain(arguments));
    }
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    match runtime.block_on(run(Knobs::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

const SERVER: &str = "--as-server";

async fn run(knobs: Knobs) -> anyhow::Result<()> {
    ensure!(
        knobs.batch.is_multiple_of(SPANS_PER_TRACE) && knobs.batch > 0,
        "--batch must be a multiple of {SPANS_PER_TRACE}"
    );
    for (transport, name) in [(Transport::Grpc, "OTLP/gRPC"), (Transport::Http, "OTLP/HTTP protobuf")] {
        if knobs.transport == transport || knobs.transport == Transport::Both {
            println!(
                "{name}: {} connections, {} spans a request, {} s",
                knobs.connections, knobs.batch, knobs.seconds
            );
            measure(&knobs, transport).await?;
        }
    }
    Ok(())
}

async fn measure(knobs: &Knobs, transport: Transport) -> anyhow::Result<()> {
    let temporary = tempfile::tempdir()?;
    let data = knobs.data_dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let server = Server::start(&data)?;
    let before = [server.usage(), Usage::of("self")];
    let template = Arc::new(Template::new(knobs.batch));
    let numbers = Arc::new(AtomicU64::new(1));
    let started = Instant::now();
    let until = started + Duration::from_secs(knobs.seconds);
    let watch = tokio::spawn(tell_every_second(server.admin.clone(), started));
    let senders: Vec<_> = (0..knobs.connections)
        .map(|_| {
            let sender = Sender { transport, otlp: server.otlp.clone(), template: Arc::clone(&template) };
            tokio::spawn(sender.send_until(until, Arc::clone(&numbers)))
        })
        .collect();
    let mut sent = Sent::default();
    for sender in senders {
        sent.add(sender.await??);
    }
    let acknowledged = started.elapsed();
    let spans = sent.acknowledged.len() as u64 * knobs.batch;
    wait_until_stored(&server.admin, spans).await?;
    let times = Times { acknowledged, stored: started.elapsed() };
    watch.abort();
    let used = [server.usage().since(&before[0]), Usage::of("self").since(&before[1])];
    report(spans, &sent, times, &used);
    read_back(&server, knobs, &sent).await?;
    println!("  {:<25} {} MiB at most, reading included", "server's memory", server.usage().peak >> 20);
    Ok(())
}

/// How long it took from the first request until all spans had come so far.
#[derive(Debug, Clone, Copy)]
struct Times {
    acknowledged: Duration,
    stored: Duration,
}

/// How far the server is, by its own numbers.
#[derive(Debug, Clone, Copy)]
struct Progress {
    acknowledged: u64,
    stored: u64,
}

impl Progress {
    async fn ask(client: &HttpClient, admin: &str) -> anyhow::Result<Self> {
        let request =
            Request::builder().uri(format!("http://{admin}/metrics")).body(Full::<Bytes>::default())?;
        let body = client.request(request).await?.into_body().collect().await?.to_bytes();
        let text = std::str::from_utf8(&body)?;
        Ok(Self {
            acknowledged: sum_of(text, "otelcol_receiver_accepted_spans"),
            stored: sum_of(text, "tracelodge_store_spans_total"),
        })
    }
}

/// All samples of a metric in Prometheus' text format, added up.
fn sum_of(text: &str, name: &str) -> u64 {
    let samples = text.lines().filter_map(|line| line.strip_prefix(name));
    let values = samples
        .filter(|rest| rest.starts_with(['{', ' ']))
        .filter_map(|rest| rest.rsplit(' ').next().and_then(|value| value.parse::<u64>().ok()));
    values.sum()
}

async fn tell_every_second(admin: String, started: Instant) {
    let client = client(false);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Ok(Progress { acknowledged, stored }) = Progress::ask(&client, &admin).await {
            println!(
                "  after {:>4.0} s: {acknowledged:>12} acknowledged, {stored:>12} stored, {:>12} behind",
                started.elapsed().as_secs_f64(),
                acknowledged.saturating_sub(stored),
            );
        }
    }
}

async fn wait_until_stored(admin: &str, spans: u64) -> anyhow::Result<()> {
    let client = client(false);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stored = Progress::ask(&client, admin).await?.stored;
        if stored >= spans {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the store has {stored} of {spans} acknowledged spans");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What the senders saw.
#[derive(Debug, Default)]
struct Sent {
    acknowledged: Vec<u64>,
    refused: u64,
    latencies: Vec<Duration>,
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        self.refused += other.refused;
        self.latencies.extend(other.latencies);
    }
}

fn report(spans: u64, sent: &Sent, times: Times, [server, client]: &[Usage; 2]) {
    let per_second = |time: Duration| spans as f64 / time.as_secs_f64();
    let per_span = |used: &Usage| used.cpu_seconds * 1e6 / spans.max(1) as f64;
    println!(
        "  acknowledged on disk   {:>12.0} spans/s ({spans} spans, {} requests refused)",
        per_second(times.acknowledged),
        sent.refused
    );
    println!(
        "  stored, sustained      {:>12.0} spans/s (all of them {:.1} s after the start, {:.1} s after the last answer)",
        per_second(times.stored),
        times.stored.as_secs_f64(),
        (times.stored - times.acknowledged).as_secs_f64()
    );
    report_latencies(sent);
    println!(
        "  server's processor     {:>12.1} s, {:.2} µs a span, {:.0} % of one core",
        server.cpu_seconds,
        per_span(server),
        server.cpu_seconds / times.stored.as_secs_f64() * 100.0
    );
    println!("  client's processor     {:>12.1} s, {:.2} µs a span", client.cpu_seconds, per_span(client));
    println!(
        "  server's memory        {:>8} MiB resident, {} MiB at most",
        server.resident >> 20,
        server.peak >> 20
    );
}

fn report_latencies(sent: &Sent) {
    let mut latencies = sent.latencies.clone();
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        latencies
            .get(place.min(latencies.len().saturating_sub(1)))
            .map_or(0.0, |taken| taken.as_secs_f64() * 1e3)
    };
    println!(
        "  acknowledged after     p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}

/// Asks for every acknowledged trace until all are there, and counts their spans.
async fn read_back(server: &Server, knobs: &Knobs, sent: &Sent) -> anyhow::Result<()> {
    let started = Instant::now();
    let per_request = knobs.batch / SPANS_PER_TRACE;
    let traces: Vec<u64> = sent
        .acknowledged
        .iter()
        .flat_map(|number| (0..per_request).map(move |trace| number * per_request + trace))
        .collect();
    let client = client(false);
    let deadline = started + Duration::from_secs(600);
    let mut spans = 0;
    for some in traces.chunks(TRACES_PER_QUESTION) {
        let ids: Vec<String> =
            some.iter().map(|trace| format!("traceID={:032x}", trace_id(*trace))).collect();
        let url = format!("http://{}/api/traces?raw=true&{}", server.page, ids.join("&"));
        loop {
            let found = spans_of(&client, &url).await?;
            ensure!(found.values().all(|spans| *spans <= SPANS_PER_TRACE), "a span is there twice");
            let total: u64 = found.values().sum();
            if total == some.len() as u64 * SPANS_PER_TRACE {
                spans += total;
                break;
            }
            ensure!(
                Instant::now() < deadline,
                "acknowledged spans cannot be read: {total} of {}",
                some.len() as u64 * SPANS_PER_TRACE
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    println!(
        "  read back              all {spans} acknowledged spans, each once, after {:.1} s\n",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

async fn spans_of(client: &HttpClient, url: &str) -> anyhow::Result<BTreeMap<String, u64>> {
    let request = Request::builder().uri(url).body(Full::default())?;
    let body = client.request(request).await?.into_body().collect().await?.to_bytes();
    let answer: serde_json::Value = serde_json::from_slice(&body)?;
    let traces = answer["data"].as_array().context("an answer without traces")?;
    Ok(traces
        .iter()
        .map(|trace| (trace["traceID"].to_string(), trace["spans"].as_array().map_or(0, Vec::len) as u64))
        .collect())
}

/// A trace id that no other number has, and whose high half is not zero.
fn trace_id(trace: u64) -> u128 {
    (0x7ace_10d6_u128 << 64) | u128::from(trace)
}

/// A request whose ids can be changed in place.
#[derive(Debug)]
struct Template {
    bytes: Vec<u8>,
    trace_id_places: Vec<usize>,
}

impl Template {
    fn new(batch: u64) -> Self {
        let spans = (0..batch).map(generated_span).collect();
        let attributes: Vec<KeyValue> = [
            ("service.name", "load"),
            ("service.version", "1.4.2"),
            ("host.name", "worker-17"),
            ("os.type", "linux"),
            ("process.runtime.name", "rustc"),
            ("deployment.environment.name", "bench"),
            ("telemetry.sdk.language", "rust"),
        ]
        .into_iter()
        .map(|(key, value)| text(key, value))
        .collect();
        let request = ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes, ..Resource::default() }),
                scope_spans: vec![ScopeSpans { spans, ..ScopeSpans::default() }],
                ..ResourceSpans::default()
            }],
        };
        let bytes = request.encode_to_vec();
        let marker = trace_id(0).to_be_bytes();
        let found = |window: &[u8]| window[..8] == marker[..8];
        let trace_id_places: Vec<usize> = bytes
            .windows(16)
            .enumerate()
            .filter(|(_, window)| found(window))
            .map(|(place, _)| place)
            .collect();
        Self { bytes, trace_id_places }
    }

    fn request(&self, number: u64) -> Bytes {
        let mut bytes = self.bytes.clone();
        let traces = self.trace_id_places.len() as u64 / SPANS_PER_TRACE;
        for (span, place) in self.trace_id_places.iter().enumerate() {
            let trace = number * traces + span as u64 / SPANS_PER_TRACE;
            bytes[*place..place + 16].copy_from_slice(&trace_id(trace).to_be_bytes());
        }
        bytes.into()
    }
}

fn generated_span(number: u64) -> Span {
    let start = 1_780_000_000_000_000_000 + number * 1_000_000;
    let in_trace = number % SPANS_PER_TRACE;
    Span {
        trace_id: trace_id(0).to_be_bytes().to_vec(),
        span_id: (number + 1).to_be_bytes().to_vec(),
        parent_span_id: if in_trace == 0 { Vec::new() } else { number.to_be_bytes().to_vec() },
        name: format!("GET /items/{in_trace}"),
        kind: 2,
        start_time_unix_nano: start,
        end_time_unix_nano: start + 350_000 + number * 777,
        attributes: vec![
            text("http.request.method", "GET"),
            text("url.path", &format!("/items/{number}")),
            text("http.route", "/items/{id}"),
            text("server.address", "items.internal"),
            text("user_agent.original", "load/1.0"),
            text("network.protocol.version", "1.1"),
            text("client.address", "10.0.0.17"),
            integer("http.response.status_code", 200),
            integer("item.id", number as i64),
        ],
        ..Span::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    pair(key, any_value::Value::StringValue(value.to_owned()))
}

fn integer(key: &str, value: i64) -> KeyValue {
    pair(key, any_value::Value::IntValue(value))
}

fn pair(key: &str, value: any_value::Value) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

type HttpClient = Client<HttpConnector, Full<Bytes>>;

fn client(http2: bool) -> HttpClient {
    let mut connector = HttpConnector::new();
    // As gRPC clients do: a request is written in several pieces.
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).http2_only(http2).build(connector)
}

/// One connection.
#[derive(Debug)]
struct Sender {
    transport: Transport,
    otlp: [String; 2],
    template: Arc<Template>,
}

impl Sender {
    async fn send_until(self, until: Instant, numbers: Arc<AtomicU64>) -> anyhow::Result<Sent> {
        let client = client(self.transport == Transport::Grpc);
        let mut sent = Sent::default();
        while Instant::now() < until {
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            let request = self.request(self.template.request(number))?;
            let asked = Instant::now();
            let (head, body) = client.request(request).await?.into_parts();
            let body = body.collect().await?;
            let grpc_status = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
            let taken = head.status == 200
                && (self.transport == Transport::Http || grpc_status.is_some_and(|status| status == "0"));
            if taken {
                sent.acknowledged.push(number);
                sent.latencies.push(asked.elapsed());
            } else {
                sent.refused += 1;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(sent)
    }

    fn request(&self, message: Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
        let request = Request::builder().method(Method::POST);
        Ok(match self.transport {
            Transport::Grpc => {
                let mut framed = Vec::with_capacity(message.len() + 5);
                framed.push(0);
                framed.extend((message.len() as u32).to_be_bytes());
                framed.extend_from_slice(&message);
                request
                    .uri(format!(
                        "http://{}/opentelemetry.proto.collector.trace.v1.TraceService/Export",
                        self.otlp[0]
                    ))
                    .header("content-type", "application/grpc")
                    .header("te", "trailers")
                    .body(Full::new(framed.into()))?
            }
            _ => request
                .uri(format!("http://{}/v1/traces", self.otlp[1]))
                .header("content-type", "application/x-protobuf")
                .body(Full::new(message))?,
        })
    }
}

/// The server's process.
#[derive(Debug)]
struct Server {
    child: Child,
    otlp: [String; 2],
    admin: String,
    page: String,
}

/// What a process used.
#[derive(Debug, Default)]
struct Usage {
    cpu_seconds: f64,
    resident: u64,
    peak: u64,
}

impl Server {
    fn start(data: &std::path::Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SERVER).arg("--data-dir").arg(data).args(["--set", "log.level=warn"]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TRACELODGE_") {
                command.env_remove(name);
            }
        }
        for door in ["otlp_grpc", "otlp_http", "ui", "admin"] {
            command.args(["--set", &format!("doors.{door}=0")]);
        }
        let others =
            ["jaeger_grpc", "jaeger_http", "agent_compact", "agent_binary", "agent_zipkin", "zipkin"];
        let answering = ["sampling_http", "sampling_grpc", "storage", "archive", "query"];
        for door in others.into_iter().chain(answering) {
            command.args(["--set", &format!("doors.{door}=off")]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = BufReader::new(child.stdout.take().context("the server's output")?);
        let mut addresses = Vec::new();
        for line in stdout.lines() {
            let line = line?;
            addresses.extend(
                line.split("http://").nth(1).and_then(|rest| rest.split(' ').next()).map(str::to_owned),
            );
            if line.starts_with("Open ") {
                break;
            }
        }
        let [grpc, http, admin, page, _] = <[String; 5]>::try_from(addresses)
            .map_err(|_few| anyhow::anyhow!("the server did not say where it listens"))?;
        Ok(Self { child, otlp: [grpc, http], admin, page })
    }

    fn usage(&self) -> Usage {
        Usage::of(&self.child.id().to_string())
    }
}

impl Usage {
    /// From Linux' /proc; zeros elsewhere.
    fn of(process: &str) -> Self {
        let read =
            |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
        let stat = read("stat");
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let ticks: f64 =
            after_name.split(' ').skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        let status = read("status");
        let kilobytes = |name: &str| {
            let line = status.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1))
                .and_then(|number| number.parse::<u64>().ok())
                .unwrap_or(0)
        };
        // Linux counts in hundredths of a second on every architecture that it tells programs about.
        Self {
            cpu_seconds: ticks / 100.0,
            resident: kilobytes("VmRSS") << 10,
            peak: kilobytes("VmHWM") << 10,
        }
    }

    /// The same with the processor time of an interval.
    fn since(self, before: &Self) -> Self {
        Self { cpu_seconds: self.cpu_seconds - before.cpu_seconds, ..self }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}
