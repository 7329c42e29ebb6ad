//! The server: a process of its own, its doors, what it says of itself, and what it used.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// The first argument of the second process, which is the server itself.
pub(crate) const SERVER: &str = "--as-server";

/// Doors that are open, each at a port of the system's choice.
const OPEN: [&str; 10] = [
    "otlp_grpc",
    "otlp_http",
    "jaeger_grpc",
    "jaeger_http",
    "agent_compact",
    "agent_binary",
    "agent_zipkin",
    "zipkin",
    "ui",
    "admin",
];
const CLOSED: [&str; 5] = ["sampling_http", "sampling_grpc", "storage", "archive", "query"];

pub(crate) type HttpClient = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn client(http2: bool) -> HttpClient {
    let mut connector = HttpConnector::new();
    // As gRPC clients do: a request is written in several pieces.
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).http2_only(http2).build(connector)
}

/// The server's process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Names, as the program says them, and addresses; some names have two.
    doors: Vec<(String, String)>,
}

impl Server {
    pub(crate) fn start(data: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SERVER).arg("--data-dir").arg(data).args(["--set", "log.level=warn"]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("TRACELODGE_") {
                command.env_remove(name);
            }
        }
        let open = OPEN.map(|door| format!("doors.{door}=0"));
        for setting in open.into_iter().chain(CLOSED.map(|door| format!("doors.{door}=off"))) {
            command.args(["--set", &setting]);
        }
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let stdout = BufReader::new(child.stdout.take().context("the server's output")?);
        let mut doors = Vec::new();
        for line in stdout.lines() {
            let line = line?;
            if line.starts_with("Open ") {
                break;
            }
            // `name  scheme://address and scheme://address`
            let door = line.split_once("://").and_then(|(before, after)| {
                let (name, _scheme) = before.trim().rsplit_once("  ")?;
                Some((name.to_owned(), after.split(' ').next()?.to_owned()))
            });
            doors.extend(door);
        }
        Ok(Self { child, doors })
    }

    /// The address of the `place`th door of a name.
    pub(crate) fn door(&self, name: &str, place: usize) -> anyhow::Result<&str> {
        let mut doors = self.doors.iter().filter(|door| door.0 == name);
        let door = doors.nth(place).with_context(|| format!("the server does not say where '{name}' is"))?;
        Ok(&door.1)
    }

    pub(crate) fn admin(&self) -> anyhow::Result<&str> {
        self.door("health and metrics", 0)
    }

    pub(crate) fn page(&self) -> anyhow::Result<&str> {
        self.door("page and query API", 0)
    }

    pub(crate) fn usage(&self) -> Usage {
        Usage::of(&self.child.id().to_string())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// How far the server is, by its own numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// Spans on disk …
    pub(crate) acknowledged: u64,
    /// … and in the store.
    pub(crate) stored: u64,
    /// Spans that cannot be used.
    pub(crate) rejected: u64,
    /// Requests and datagrams that had their outcome.
    pub(crate) requests: u64,
    pub(crate) agent: Agent,
}

/// What became of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Agent {
    pub(crate) received: u64,
    pub(crate) unread: u64,
    pub(crate) dropped_by_system: u64,
    /// Spans that there was no room or no disk for.
    pub(crate) dropped_spans: u64,
}

impl Progress {
    pub(crate) async fn ask(client: &HttpClient, admin: &str) -> anyhow::Result<Self> {
        let request =
            Request::builder().uri(format!("http://{admin}/metrics")).body(Full::<Bytes>::default())?;
        let body = client.request(request).await?.into_body().collect().await?.to_bytes();
        let text = std::str::from_utf8(&body)?;
        let sum = |name| sum_of(text, name);
        Ok(Self {
            acknowledged: sum("otelcol_receiver_accepted_spans"),
            stored: sum("tracelodge_store_spans_total"),
            rejected: sum("tracelodge_rejected_spans_total"),
            requests: sum("otelcol_receiver_requests"),
            agent: Agent {
                received: sum("tracelodge_agent_datagrams_total"),
                unread: sum("tracelodge_agent_unread_datagrams_total"),
                dropped_by_system: sum("tracelodge_agent_dropped_datagrams_total"),
                dropped_spans: sum("tracelodge_agent_dropped_spans_total"),
            },
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

/// What a process used.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu_seconds: f64,
    pub(crate) resident: u64,
    pub(crate) peak: u64,
}

impl Usage {
    /// From Linux' /proc; zeros elsewhere.
    pub(crate) fn of(process: &str) -> Self {
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
    pub(crate) fn since(self, before: &Self) -> Self {
        Self { cpu_seconds: self.cpu_seconds - before.cpu_seconds, ..self }
    }
}
