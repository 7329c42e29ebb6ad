//! What the page shows of the server itself.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;

use super::agent::Agent;
use super::answer::Reply;
use super::desk::Desk;
use super::error::OwnError;
use super::parameters::Asked;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Page<'a> {
    version: &'a str,
    spans: u64,
    data_bytes: u64,
    max_bytes: u64,
    archive_bytes: u64,
    blocks: u64,
    dropped_spans: BTreeMap<&'static str, u64>,
    /// ns, as text: JavaScript's numbers end at 2^53.
    oldest: Option<String>,
    doors: Vec<Door<'a>>,
    open_doors: &'a [String],
    agent: Agent,
}

#[derive(Debug, Serialize)]
struct Door<'a> {
    name: &'a str,
    address: &'a str,
}

/// `GET /api/a1/status`.
pub(super) async fn status(State(desk): State<Desk>, asked: Asked) -> Result<Reply, OwnError> {
    let reply = desk.ask(move |answers| {
        let status = answers.query.status();
        let about = &answers.about;
        let page = Page {
            version: &about.version,
            spans: status.spans,
            data_bytes: status.data_bytes,
            max_bytes: status.max_bytes,
            archive_bytes: status.archive_bytes,
            blocks: status.blocks,
            dropped_spans: status.dropped().collect(),
            oldest: status.oldest.map(|oldest| oldest.nanos().to_string()),
            doors: about.doors.iter().map(|(name, address)| Door { name, address }).collect(),
            open_doors: &about.open_doors,
            agent: about.agent.0(),
        };
        Reply::json(&page, asked.form)
    });
    Ok(reply.await?)
}
