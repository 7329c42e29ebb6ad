//! The other OTLP server: how requests are sent there, and what its answers mean.
//!
//! Promise: [`Client::export`] answers within [`Settings::timeout`] once it is its turn, with what the answer says about
//! the bytes, the way or the address. The bytes go out as they are, packed at most.
//!
//! Limits: 64 KiB of an answer, whose rest is read, up to 4 MiB, only for what follows it; one request over 4 MiB at a
//! time; the time of one call. TLS is verified always, by rustls; headers are never logged.
//!
//! Async, on a runtime of its own with one thread: whoever calls is blocked, and may be left behind when the
//! program ends.
//!
//! Does not know: where the bytes come from, what is done about an answer.
//!
//! Source: opentelemetry-proto `docs/specification.md` ("OTLP/gRPC Response", "OTLP/HTTP Response"); grpc
//! `doc/PROTOCOL-HTTP2.md`.

mod answer;
mod endpoint;
mod grpc;
mod http;
mod pack;
#[cfg(test)]
mod tests;
mod tls;

use std::error::Error as StdError;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::http::header::{CONTENT_TYPE, USER_AGENT};
use ::http::{HeaderMap, HeaderName, HeaderValue, Request};
use bytes::buf::Chain;
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use tokio::runtime::{self, Runtime};
use tokio::time::{Instant, timeout_at};

use crate::ingest::Signal;
use crate::ingest::forward::{Outcome, Upstream};
use crate::model::Clock;

use answer::{Answer, Unfinished};

pub use endpoint::{Endpoint, EndpointError, Protocol, headers};
pub use pack::Compression;
pub use tls::{TlsError, failure as tls_failure, machine_roots};

/// An answer is a number and a sentence, and headers of about that size.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// What is read to come to the end of a longer one.
const MAX_READ_BYTES: usize = 4 << 20;

/// Larger requests go one at a time: each is in memory twice, as it came and packed.
const LARGE_BYTES: usize = 4 << 20;

/// How we name ourselves.
const PRODUCT: &str = concat!("tracelodge/", env!("CARGO_PKG_VERSION"));

/// A connection has this long to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// The longest time of a call that a clock can hold, for whoever asks for more.
const LONGEST_CALL: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A connection that nothing was sent over for so long is closed.
const IDLE_WITHIN: Duration = Duration::from_secs(90);

/// How often a silent HTTP/2 connection is asked whether it lives: a dead one would take every call with it.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_WITHIN: Duration = Duration::from_secs(10);

/// Where to send, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where.
    pub endpoint: Endpoint,
    /// Sent with every request; their values are marked sensitive.
    pub headers: HeaderMap,
    /// How requests are packed.
    pub compression: Compression,
    /// The time of one call, connecting included.
    pub timeout: Duration,
    /// Certificates to trust instead of the system's: PEM.
    pub ca_file: Option<PathBuf>,
    /// Who we are, where the server asks: the files of a certificate chain and of its key, both PEM.
    pub identity: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    /// Reads the certificates and keys, as [`Client::new`] does.
    pub fn check_files(&self) -> Result<(), TlsError> {
        tls::config(self).map(drop)
    }

    /// What is the same in both protocols.
    fn add_headers(&self, headers: &mut HeaderMap, media_type: &'static str, coding: HeaderName) {
        headers.extend(self.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        headers.insert(USER_AGENT, HeaderValue::from_static(PRODUCT));
        if let Some(name) = self.compression.coding() {
            headers.insert(coding, HeaderValue::from_static(name));
        }
    }
}

/// A request's body: what the protocol puts before it, and the packed request, which are not copied together.
type Body = Full<Chain<Bytes, Bytes>>;

fn body(prefix: Bytes, packed: Bytes) -> Body {
    Full::new(prefix.chain(packed))
}

/// Why there can be no client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No thread or no sockets.
    #[error("start the upstream's threads")]
    Runtime(#[from] std::io::Error),
    /// A certificate or key is missing or unusable.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A client of one server; it keeps its connections.
#[derive(Debug)]
pub struct Client {
    settings: Settings,
    connections: HyperClient<HttpsConnector<HttpConnector>, Body>,
    /// Always there, until this is dropped.
    runtime: Option<Runtime>,
    clock: Arc<dyn Clock>,
    /// Whose turn it is among the large ones.
    large: Mutex<()>,
}

impl Client {
    /// Nothing is connected yet.
    pub fn new(settings: Settings, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_WITHIN.min(settings.timeout)));
        let tls = tls::config(&settings)?;
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
        let grpc = settings.endpoint.protocol() == Protocol::Grpc;
        let connector = if grpc {
            connector.enable_http2().wrap_connector(tcp)
        } else {
            connector.enable_all_versions().wrap_connector(tcp)
        };
        let connections = HyperClient::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE_WITHIN)
            .pool_max_idle_per_host(Signal::ALL.len())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .http2_only(grpc)
            .http2_keep_alive_interval(PING_EVERY)
            .http2_keep_alive_timeout(PING_WITHIN)
            .http2_max_header_list_size(MAX_ANSWER_BYTES as u32)
            .http1_max_buf_size(MAX_ANSWER_BYTES)
            .build(connector);
        let runtime = runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("upstream")
            .enable_all()
            .build()?;
        Ok(Self { settings, connections, runtime: Some(runtime), clock, large: Mutex::new(()) })
    }

    /// Sends it, and waits for the answer until then. When its head is there, what is missing of the rest does not
    /// matter: the server has done what it was asked, and would do it again.
    async fn call(&self, request: Request<Body>, until: Instant) -> Result<Answer, Outcome> {
        let response = match timeout_at(until, self.connections.request(request)).await {
            Ok(response) => response.map_err(|error| unreachable(&error))?,
            Err(_elapsed) => {
                let within = self.settings.timeout.as_secs_f64();
                let why = format!("no answer within upstream.timeout = {within} s");
                return Err(Outcome::Retry { why, after: None });
            }
        };
        let (head, incoming) = response.into_parts();
        let (mut body, mut trailers) = (BytesMut::new(), HeaderMap::new());
        let unfinished = match timeout_at(until, read(incoming, &mut body, &mut trailers)).await {
            Ok(outcome) => outcome.err(),
            Err(_elapsed) => Some(Unfinished::Late),
        };
        let (status, headers, body) = (head.status, head.headers, body.freeze());
        Ok(Answer { status, headers, body, unfinished, trailers })
    }
}

/// Reads to the end, and keeps the start.
async fn read(
    mut incoming: impl http_body::Body<Data = Bytes, Error = impl StdError + 'static> + Unpin,
    body: &mut BytesMut,
    trailers: &mut HeaderMap,
) -> Result<(), Unfinished> {
    let mut length = 0;
    while let Some(frame) = incoming.frame().await {
        match frame.map_err(|error| Unfinished::CutOff(chain(&error)))?.into_data() {
            Ok(data) => {
                length += data.len();
                body.extend_from_slice(&data[..data.len().min(MAX_ANSWER_BYTES - body.len())]);
            }
            Err(frame) => trailers.extend(frame.into_trailers().unwrap_or_default()),
        }
        if length > MAX_READ_BYTES {
            return Err(Unfinished::TooLong);
        }
    }
    Ok(())
}

impl Upstream for Client {
    fn export(&self, signal: Signal, request: Bytes) -> Outcome {
        let Some(runtime) = &self.runtime else {
            return Outcome::Retry { why: "the program ends".to_owned(), after: None };
        };
        let _turn = (request.len() > LARGE_BYTES).then(|| self.large.lock());
        let request = match self.settings.endpoint.protocol() {
            Protocol::Grpc => grpc::request(&self.settings, signal, request),
            Protocol::Http => http::request(&self.settings, signal, request),
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => return Outcome::Blocked { why: format!("no request can be made: {error}") },
        };
        let now = Instant::now();
        // Settings may say thousands of years.
        let until = now.checked_add(self.settings.timeout).unwrap_or(now + LONGEST_CALL);
        match runtime.block_on(self.call(request, until)) {
            Ok(answer) => match self.settings.endpoint.protocol() {
                Protocol::Grpc => grpc::outcome(&answer),
                Protocol::Http => http::outcome(&answer, self.clock.now()),
            },
            Err(outcome) => outcome,
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A runtime waits for its threads when it is dropped, which is not allowed wherever this may happen.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// No connection, or one that broke off before the answer.
fn unreachable(error: &(dyn StdError + 'static)) -> Outcome {
    match tls::failure(error) {
        Some(failure) => Outcome::Blocked { why: format!("TLS failed: {failure}") },
        None => Outcome::Retry { why: chain(error), after: None },
    }
}

/// An error with all its causes, in one line.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !words.ends_with(&said) {
            words.push_str(": ");
            words.push_str(&said);
        }
        cause = error.source();
    }
    words
}
