//! A host of go-plugin as far as Jaeger 1.12 to 1.57 is one: it starts the program, reads its line, connects.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint};
use tracelodge::proto::plugin::Empty;
use tracelodge::proto::plugin::grpc_controller_client::GrpcControllerClient;

use crate::harness::PATIENCE;

/// A host kills so long after it was answered.
pub(crate) const KILLS_AFTER: Duration = Duration::from_secs(2);

/// Folders of one host: what its children keep, where their sockets are, what they log.
pub(crate) struct Folders {
    root: tempfile::TempDir,
}

impl Folders {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("sockets")).unwrap();
        Self { root }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    pub(crate) fn sockets(&self) -> Vec<PathBuf> {
        let sockets = std::fs::read_dir(self.root.path().join("sockets")).unwrap();
        sockets.map(|socket| socket.unwrap().path()).collect()
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.root.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The two arguments and the environment that go-plugin gives, and nothing of ours but where data is kept.
    pub(crate) fn command(&self, config: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracelodge"));
        self.fill(command.arg("--config").arg(config));
        command
    }

    /// The same through `sh`, which stands between the two.
    pub(crate) fn command_in(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        self.fill(command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_tracelodge"), "--config", ""]));
        command
    }

    fn fill(&self, command: &mut Command) {
        let inherited = ["PATH", "HOME", "TMPDIR"].map(|name| (name, std::env::var_os(name)));
        command.env_clear().envs(inherited.into_iter().filter_map(|(name, value)| Some((name, value?))));
        command
            .env("STORAGE_PLUGIN", "jaeger")
            .env("PLUGIN_MIN_PORT", "10000")
            .env("PLUGIN_MAX_PORT", "25000")
            .env("PLUGIN_PROTOCOL_VERSIONS", "1")
            .env("SPAN_STORAGE_TYPE", "grpc-plugin")
            .env("PLUGIN_UNIX_SOCKET_DIR", self.root.path().join("sockets"))
            .env("TRACELODGE_DATA_DIR", self.data())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
    }
}

/// A child that has shaken hands; killed when dropped.
pub(crate) struct Plugin {
    process: Child,
    stdout: Option<BufReader<ChildStdout>>,
    pub(crate) socket: PathBuf,
    pub(crate) door: Channel,
}

impl Plugin {
    pub(crate) async fn start(mut command: Command) -> Self {
        let mut process = command.spawn().unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let socket = line.strip_prefix("1|1|unix|").and_then(|rest| rest.strip_suffix("|grpc\n"));
        let socket = PathBuf::from(socket.unwrap_or_else(|| panic!("no handshake: {line:?}")));
        assert!(socket.as_os_str().len() <= 104, "{}", socket.display());
        let door = connect(&socket).await;
        Self { process, stdout: Some(stdout), socket, door }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// As `Kill` of go-plugin asks.
    pub(crate) async fn shut_down(&self) {
        GrpcControllerClient::new(self.door.clone()).shutdown(Empty {}).await.unwrap();
    }

    /// The exit code, and everything that came on standard output after the handshake.
    pub(crate) fn ends_within(&mut self, time: Duration) -> (Option<i32>, String) {
        let deadline = Instant::now() + time;
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it still runs after {time:?}");
            std::thread::sleep(Duration::from_millis(10));
        };
        let mut rest = String::new();
        if let Some(mut stdout) = self.stdout.take() {
            stdout.read_to_string(&mut rest).unwrap();
        }
        (status.code(), rest)
    }

    pub(crate) fn stop_reading(&mut self) {
        self.stdout = None;
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(name, self.id());
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        let _already_gone = self.process.kill();
        let _reaped = self.process.wait();
    }
}

pub(crate) fn signal(name: &str, process: u32) {
    assert!(Command::new("kill").args([name, &process.to_string()]).status().unwrap().success());
}

/// gRPC over a socket; the authority is a constant, as Go's is.
pub(crate) async fn connect(socket: &Path) -> Channel {
    let socket = socket.to_owned();
    let connector = tower::service_fn(move |_| {
        let socket = socket.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    Endpoint::from_static("http://unused").connect_with_connector(connector).await.unwrap()
}

/// Waits for what must come.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    started.elapsed()
}

/// A child's log as a host reads it: anything else than such lines is a failure.
pub(crate) fn log(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines: Vec<Value> = text.lines().map(read_line).collect();
    assert!(text.is_empty() || text.ends_with('\n'));
    lines
}

fn read_line(line: &str) -> Value {
    assert!(line.len() < 32 << 10, "{} bytes: {line:.200}", line.len());
    let read: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    for (key, value) in read.as_object().unwrap() {
        assert!(value.is_string(), "{key} in {line}");
    }
    let time = read["@timestamp"].as_str().unwrap();
    let digits = time.split_once('.').unwrap().1;
    assert!(digits.len() == 7 && digits.ends_with('Z'), "{time}");
    assert!(
        ["trace", "debug", "info", "warn", "error"].contains(&read["@level"].as_str().unwrap()),
        "{line}"
    );
    assert!(read["@message"].is_string() && read["@module"].is_string(), "{line}");
    read
}
