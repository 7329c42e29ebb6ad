//! The other OTLP server: how requests are sent there, and what its answers mean.
//!
//! Promise: [`Client::export`] answers within [`Settings::timeout`], with what the answer says about the bytes, the
//! way or the address. The bytes go out as they are, packed at most.
//!
//! Limits: an answer of 64 KiB; the time of one call. TLS is verified always, by rustls; headers are never logged.
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

use ::http::{HeaderMap, Request};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::runtime::{self, Runtime};

use crate::ingest::Signal;
use crate::ingest::forward::{Outcome, Upstream};
use crate::model::Clock;

use answer::{Answer, Unusable};

pub use endpoint::{Endpoint, EndpointError, Protocol, headers};
pub use pack::Compression;
pub use tls::TlsError;

/// An answer is a number and a sentence, and headers of about that size.
const MAX_ANSWER_BYTES: usize = 64 << 10;

/// A connection has this long to come about.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

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
    connections: HyperClient<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// Always there, until this is dropped.
    runtime: Option<Runtime>,
    clock: Arc<dyn Clock>,
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
        Ok(Self { settings, connections, runtime: Some(runtime), clock })
    }

    /// Sends it, and waits for the whole answer.
    async fn call(&self, request: Request<Full<Bytes>>) -> Result<Answer, Outcome> {
        let response = self.connections.request(request).await.map_err(|error| unreachable(&error))?;
        let (head, body) = response.into_parts();
        let (body, trailers) = match Limited::new(body, MAX_ANSWER_BYTES).collect().await {
            Ok(collected) => {
                let trailers = collected.trailers().cloned().unwrap_or_default();
                (Ok(collected.to_bytes()), trailers)
            }
            Err(error) if error.is::<LengthLimitError>() => (Err(Unusable::TooLong), HeaderMap::new()),
            Err(error) => (Err(Unusable::CutOff(chain(&*error))), HeaderMap::new()),
        };
        Ok(Answer { status: head.status, headers: head.headers, body, trailers })
    }
}

impl Upstream for Client {
    fn export(&self, signal: Signal, request: Bytes) -> Outcome {
        let Some(runtime) = &self.runtime else {
            return Outcome::Retry { why: "the program ends".to_owned(), after: None };
        };
        let request = match self.settings.endpoint.protocol() {
            Protocol::Grpc => grpc::request(&self.settings, signal, request),
            Protocol::Http => http::request(&self.settings, signal, request),
        };
        let request = match request {
            Ok(request) => request,
            Err(error) => return Outcome::Blocked { why: format!("no request can be made: {error}") },
        };
        let within = self.settings.timeout;
        let answer = runtime.block_on(async { tokio::time::timeout(within, self.call(request)).await });
        match answer {
            Ok(Ok(answer)) => match self.settings.endpoint.protocol() {
                Protocol::Grpc => grpc::outcome(&answer),
                Protocol::Http => http::outcome(&answer, self.clock.now()),
            },
            Ok(Err(outcome)) => outcome,
            Err(_elapsed) => {
                let why = format!("no answer within upstream.timeout = {} s", within.as_secs_f64());
                Outcome::Retry { why, after: None }
            }
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
