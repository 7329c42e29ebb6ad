//! A running program in a folder of its own, and a plain client for all it speaks.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Longer than anything here takes on a slow machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The program, killed when dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Addresses such as `127.0.0.1:4317`, by the door's name: both OTLP doors first.
    pub(crate) otlp: [String; 2],
    /// Jaeger's storage, and its archive.
    pub(crate) storage: String,
    pub(crate) archive: String,
    /// Jaeger's queries over gRPC.
    pub(crate) grpc_query: String,
    pub(crate) admin: String,
    pub(crate) page: String,
    /// Every door's, by the name that the program calls it by.
    doors: Vec<(String, String)>,
}

impl Server {
    /// Starts on ports of the system's choice.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// Starts with more settings, each `key=value`.
    pub(crate) fn start_with(data: &Path, settings: &[&str]) -> Self {
        Self::launch(command(data, settings))
    }

    /// Starts what [`command`] has made, perhaps with another program around it.
    pub(crate) fn launch(mut command: Command) -> Self {
        command.stderr(Stdio::inherit());
        Self::spawn(command)
    }

    /// Starts with more settings, and what it logs goes to a file.
    pub(crate) fn start_saying(data: &Path, settings: &[&str], log: &Path) -> Self {
        let mut command = command(data, settings);
        command.stderr(std::fs::File::create(log).unwrap());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (said, lines) = std::sync::mpsc::sync_channel(64);
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| said.send(line)));
        let mut doors = Vec::new();
        loop {
            let line = lines.recv_timeout(PATIENCE).expect("the program says where it listens");
            if line.starts_with("Open ") {
                break;
            }
            if let Some((name, address)) = line.split_once("://") {
                let name = name.trim().rsplit_once("  ").expect("a name, then a scheme").0;
                let address = address.split(' ').next().unwrap();
                doors.push((name.to_owned(), address.to_owned()));
            }
        }
        let door = |name: &str| doors.iter().find(|door| door.0 == name).expect(name).1.clone();
        let otlp = doors.iter().filter(|door| door.0 == "OTLP").map(|door| door.1.clone());
        Self {
            child,
            otlp: <[String; 2]>::try_from(otlp.collect::<Vec<_>>()).expect("both doors of OTLP"),
            storage: door("Jaeger storage"),
            archive: door("Jaeger archive"),
            grpc_query: door("Jaeger query"),
            admin: door("health and metrics"),
            page: door("page and query API"),
            doors,
        }
    }

    /// The address of a door, by the name that the program calls it by.
    pub(crate) fn door(&self, name: &str) -> &str {
        &self.doors.iter().find(|door| door.0 == name).expect(name).1
    }

    pub(crate) fn otlp_http(&self, path: &str) -> String {
        format!("http://{}{path}", self.otlp[1])
    }

    pub(crate) fn otlp_grpc(&self) -> String {
        format!("http://{}", self.otlp[0])
    }

    pub(crate) fn query(&self, path: &str) -> String {
        format!("http://{}{path}", self.page)
    }

    pub(crate) fn admin(&self, path: &str) -> String {
        format!("http://{}{path}", self.admin)
    }

    /// As the OOM killer would.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; returns the exit code and how long it took.
    pub(crate) fn terminate(mut self) -> (Option<i32>, Duration) {
        let started = Instant::now();
        Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        let status = self.child.wait().unwrap();
        (status.code(), started.elapsed())
    }

    pub(crate) fn process_id(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The program on free ports, not started.
pub(crate) fn command(data: &Path, settings: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracelodge"));
    command.arg("--data-dir").arg(data).args(["--set", "log.level=warn"]);
    for (name, _) in std::env::vars_os() {
        // Settings of whoever runs the tests are not those of this program.
        if name.to_string_lossy().starts_with("TRACELODGE_") {
            command.env_remove(name);
        }
    }
    let doors = ["otlp_grpc", "otlp_http", "storage", "archive", "query", "ui", "admin"];
    let receiving = ["jaeger_grpc", "jaeger_http", "agent_compact", "agent_binary", "agent_zipkin", "zipkin"];
    for door in doors.into_iter().chain(receiving).chain(["sampling_http", "sampling_grpc"]) {
        command.args(["--set", &format!("doors.{door}=0")]);
    }
    for setting in settings {
        command.args(["--set", setting]);
    }
    command
}

/// Runs the program to its end, with settings of its own only: its exit code, what it said, and its troubles.
pub(crate) fn run(arguments: &[&std::ffi::OsStr]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracelodge"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("TRACELODGE_") {
            command.env_remove(name);
        }
    }
    let output = command.args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Runs a start that is expected to fail: its exit code and what it said.
pub(crate) fn fails_to_start(mut command: Command) -> (Option<i32>, String) {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// gRPC's status and message, wherever they stand.
    pub(crate) fn grpc_status(&self) -> (u32, String) {
        let either = |name| self.trailers.get(name).or_else(|| self.headers.get(name));
        let text = |name| either(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        let message =
            percent_encoding::percent_decode_str(&text("grpc-message")).decode_utf8().unwrap().into_owned();
        (text("grpc-status").parse().unwrap(), message)
    }
}

/// Speaks HTTP/1.1 and HTTP/2 with prior knowledge.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http1: HyperClient<HttpConnector, Full<Bytes>>,
    http2: HyperClient<HttpConnector, Full<Bytes>>,
}

impl Client {
    pub(crate) fn new() -> Self {
        // As clients do: or small frames wait 40 ms for each other's acknowledgement.
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let http1 = HyperClient::builder(TokioExecutor::new()).build(connector.clone());
        let http2 = HyperClient::builder(TokioExecutor::new()).http2_only(true).build(connector);
        Self { http1, http2 }
    }

    pub(crate) async fn get(&self, url: String) -> Answer {
        self.send(Method::GET, url, &[], Bytes::new()).await.unwrap()
    }

    pub(crate) async fn get_json(&self, url: String) -> Value {
        self.get(url).await.json()
    }

    /// POST with headers over HTTP/1.1.
    pub(crate) async fn post(&self, url: String, headers: &[(&str, &str)], body: Bytes) -> Answer {
        self.send(Method::POST, url, headers, body).await.unwrap()
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        url: String,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Answer, hyper_util::client::legacy::Error> {
        answer(&self.http1, request(method, url, headers, body)).await
    }

    /// POST over HTTP/2 without TLS.
    pub(crate) async fn post_http2(&self, url: String, headers: &[(&str, &str)], body: Bytes) -> Answer {
        answer(&self.http2, request(Method::POST, url, headers, body)).await.unwrap()
    }

    /// One unary gRPC call with a message that is already encoded, and compressed as `encoding` says.
    pub(crate) async fn grpc(
        &self,
        url: String,
        encoding: &str,
        message: &[u8],
    ) -> Result<Answer, hyper_util::client::legacy::Error> {
        let mut framed = vec![u8::from(encoding != "identity")];
        framed.extend((message.len() as u32).to_be_bytes());
        framed.extend(message);
        let headers = [("content-type", "application/grpc"), ("te", "trailers"), ("grpc-encoding", encoding)];
        answer(&self.http2, request(Method::POST, url, &headers, framed.into())).await
    }

    /// Asks until the answer satisfies, for as long as [`PATIENCE`] lasts.
    pub(crate) async fn until(&self, url: &str, satisfied: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(url.to_owned()).await;
            if satisfied(&answer) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{url} still says {answer:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// Bytes in a coding of HTTP's; as they are in any other.
pub(crate) fn packed(coding: &str, bytes: &[u8]) -> Bytes {
    let level = flate2::Compression::fast();
    let mut packed = Vec::new();
    match coding {
        "gzip" => drop(flate2::read::GzEncoder::new(bytes, level).read_to_end(&mut packed).unwrap()),
        "deflate" => drop(flate2::read::ZlibEncoder::new(bytes, level).read_to_end(&mut packed).unwrap()),
        "zstd" => packed = zstd::encode_all(bytes, 1).unwrap(),
        _ => packed.extend(bytes),
    }
    packed.into()
}

fn request(method: Method, url: String, headers: &[(&str, &str)], body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body)).unwrap()
}

async fn answer(
    client: &HyperClient<HttpConnector, Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> Result<Answer, hyper_util::client::legacy::Error> {
    let response = client.request(request).await?;
    let (head, body) = response.into_parts();
    // A server that is killed while it answers is part of what is tested.
    let collected = body.collect().await.unwrap_or_default();
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Ok(Answer { status: head.status, headers: head.headers, body: collected.to_bytes(), trailers })
}
