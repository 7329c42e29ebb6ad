//! Is everything there that must be, each span once?

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use http::Request;
use http_body_util::{BodyExt as _, Full};

use super::batch::{SPANS_PER_TRACE, Template, trace_id};
use super::server::{HttpClient, Server, client};

/// Traces asked for at once.
const TRACES_PER_QUESTION: usize = 100;

/// What has been stored is found at once; a question may have to wait for another's turn.
const PATIENCE: Duration = Duration::from_secs(600);

/// Asks for the traces of all requests until `expected` spans are found, and fails if they are not, or more.
pub(crate) async fn read_back(
    server: &Server,
    template: &Template,
    requests: &[u64],
    expected: u64,
) -> anyhow::Result<u64> {
    let started = Instant::now();
    let of = |number: &u64| number * template.traces()..(number + 1) * template.traces();
    let traces: Vec<u64> = requests.iter().flat_map(of).collect();
    let found = loop {
        let found = count(server, &traces).await?;
        if found == expected || started.elapsed() > PATIENCE {
            break found;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    ensure!(found == expected, "{found} spans can be read, {expected} are to be there");
    println!(
        "  read back              all {found} spans, each once, after {:.1} s",
        started.elapsed().as_secs_f64()
    );
    Ok(found)
}

async fn count(server: &Server, traces: &[u64]) -> anyhow::Result<u64> {
    let (client, page) = (client(false), server.page()?);
    let mut spans = 0;
    for some in traces.chunks(TRACES_PER_QUESTION) {
        let ids: Vec<String> =
            some.iter().map(|trace| format!("traceID={:032x}", trace_id(*trace))).collect();
        let url = format!("http://{page}/api/traces?raw=true&{}", ids.join("&"));
        let found = spans_of(&client, &url).await?;
        ensure!(found.values().all(|spans| *spans == SPANS_PER_TRACE), "a trace is not whole: {found:?}");
        spans += found.values().sum::<u64>();
    }
    Ok(spans)
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
