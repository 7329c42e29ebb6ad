//! Another process of this program, asked over HTTP.

use std::error::Error;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// A server on this machine is there at once; one far away has this long to be reached.
const REACH_WITHIN: Duration = Duration::from_secs(10);

/// The first bytes of an answer come within this: a block may have to be finished before.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// Bytes of a refusal that are read.
const MAX_SAID: usize = 4 << 10;

/// Runs what waits for answers.
pub(super) fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("start its threads")?.block_on(work)
}

/// Sends a request without a body to `address`, such as `localhost:14269`; an answer that is not a success is an error
/// in the server's words.
pub(super) async fn ask(
    method: Method,
    address: &str,
    path: &str,
) -> anyhow::Result<Response<impl Body<Data = Bytes, Error = impl Error + Send + Sync + 'static> + Unpin>> {
    let address = address.strip_prefix("http://").unwrap_or(address).trim_end_matches('/');
    let request = Request::builder().method(method).uri(format!("http://{address}{path}"));
    let request = request.body(Empty::<Bytes>::new()).with_context(|| format!("ask {address}"))?;
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(REACH_WITHIN));
    let client: Client<_, Empty<Bytes>> = Client::builder(TokioExecutor::new()).build(connector);
    let answer = tokio::time::timeout(ANSWER_WITHIN, client.request(request)).await;
    let answer = answer.with_context(|| format!("have an answer of {address} in time"))?;
    let answer = answer.with_context(|| format!("reach a server at {address}"))?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let said = Limited::new(answer.into_body(), MAX_SAID).collect().await;
    let said = said.map(|said| said.to_bytes()).unwrap_or_default();
    bail!("have it done by {address}: HTTP {}: {}", status.as_u16(), String::from_utf8_lossy(&said).trim());
}
