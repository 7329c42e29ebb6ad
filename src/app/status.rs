//! `tracelodge status`: what a running server holds, for people and for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use http::Method;
use http_body_util::{BodyExt as _, Limited};
use serde::{Deserialize, Serialize};

use super::folder::{self, DataFolder};
use super::telemetry::Report;
use super::{Config, ask, say};
use crate::model::Timestamp;
use crate::serve::admin::AskStatus;
use crate::serve::http::{About, Agent, AgentService};

/// Longer than any answer.
const MAX_ANSWER_BYTES: usize = 1 << 20;

/// Whom to ask, and how to say it.
#[derive(Debug, Clone, clap::Args)]
pub struct Status {
    /// Print the answer as JSON
    #[arg(long)]
    pub json: bool,

    /// The admin door of the server, such as localhost:14269, with https:// before it if it speaks TLS; unless given,
    /// whoever runs on the data folder is asked
    #[arg(long, value_name = "ADDRESS")]
    pub address: Option<String>,
}

/// The answer of `/status`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    version: String,
    doors: Vec<Door>,
    spans: u64,
    blocks: u64,
    runs: u64,
    data_bytes: u64,
    max_bytes: u64,
    archive_bytes: u64,
    free_bytes: Option<u64>,
    traces_pinned: u64,
    /// In the archive's own store; `archive_bytes` are those of pinned traces.
    #[serde(default)]
    archived_spans: u64,
    #[serde(default)]
    archived_bytes: u64,
    #[serde(default)]
    archived_max_bytes: u64,
    /// The start of the oldest stored span, in ns, as text: JavaScript's numbers end at 2^53.
    oldest: Option<String>,
    dropped_spans: BTreeMap<String, u64>,
    damaged_rows: u64,
    set_aside: u64,
    engine_failures: u64,
    left_out: u64,
    unchecked: u64,
    waiting_for_parents: u64,
    given_up_parents: u64,
    waiting_in_buffer: Vec<Waiting>,
    #[serde(default)]
    agent: Agent,
}

#[derive(Debug, Serialize, Deserialize)]
struct Door {
    name: String,
    address: String,
}

/// What somebody has still to take from the buffer.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    signal: String,
    consumer: String,
    items: u64,
    bytes: u64,
}

/// The server's side.
pub(super) fn answering(report: Arc<Report>, about: About) -> AskStatus {
    Arc::new(move || serde_json::to_string(&told(&report, &about)).unwrap_or_default())
}

fn told(report: &Report, about: &About) -> Told {
    let (status, archived) = (report.query.status(), report.archived.status());
    let doors = about.doors.iter().cloned().map(|(name, address)| Door { name, address });
    Told {
        version: about.version.clone(),
        doors: doors.collect(),
        spans: status.spans,
        blocks: status.blocks,
        runs: status.runs,
        data_bytes: status.data_bytes,
        max_bytes: status.max_bytes,
        archive_bytes: status.archive_bytes,
        free_bytes: status.free_bytes,
        traces_pinned: status.traces_pinned,
        archived_spans: archived.spans,
        archived_bytes: archived.data_bytes,
        archived_max_bytes: report.archived_max_bytes,
        oldest: status.oldest.map(|oldest| oldest.nanos().to_string()),
        dropped_spans: status.dropped().map(|(reason, spans)| (reason.to_owned(), spans)).collect(),
        damaged_rows: status.damaged_rows,
        set_aside: status.set_aside,
        engine_failures: status.engine_failures,
        left_out: status.left_out,
        unchecked: status.unchecked,
        waiting_for_parents: status.waiting,
        given_up_parents: status.given_up,
        waiting_in_buffer: waiting(report),
        agent: about.agent.0(),
    }
}

fn waiting(report: &Report) -> Vec<Waiting> {
    let mut waiting = Vec::new();
    for (signal, buffer) in report.buffers.each() {
        waiting.extend(buffer.stats().consumers.into_iter().map(|consumer| Waiting {
            signal: signal.name().to_owned(),
            items: consumer.pending.items,
            bytes: consumer.pending.bytes,
            consumer: consumer.name,
        }));
    }
    waiting
}

/// Asks and says.
pub(super) fn run(status: &Status, config: &Config) -> anyhow::Result<()> {
    let address = address(status, config).context("say how a server is")?;
    let door = ask::Door::new(&address, config).context("say how a server is")?;
    let answer = ask::wait_for(asked(&door)).context("say how a server is")?;
    let told: Told = serde_json::from_str(&answer)
        .with_context(|| format!("understand {}: is that the admin door of tracelodge?", door.shown()))?;
    let text = if status.json { answer } else { in_words(&told) };
    say(&mut std::io::stdout(), text.trim_end());
    Ok(())
}

async fn asked(door: &ask::Door) -> anyhow::Result<String> {
    let answer = door.ask(Method::GET, "/status").await?;
    let body = Limited::new(answer.into_body(), MAX_ANSWER_BYTES).collect().await;
    let body = body.map_err(|error| anyhow::anyhow!(error)).context("have the whole answer")?;
    Ok(String::from_utf8_lossy(&body.to_bytes()).into_owned())
}

fn address(status: &Status, config: &Config) -> anyhow::Result<String> {
    if let Some(address) = &status.address {
        return Ok(address.clone());
    }
    let folder = &config.data_dir;
    // Asked without making anything.
    let held = if folder.join("LOCK").is_file() { DataFolder::take(folder).err() } else { None };
    match held {
        Some(folder::Error::Held { admin: Some(admin), .. }) => Ok(admin),
        Some(folder::Error::Held { holder, .. }) => {
            bail!("ask {holder}: it has no admin door (doors.admin), or does not serve")
        }
        Some(error) => Err(error.into()),
        None => bail!(
            "find one: none runs on the data folder {}; start it, or name another with --data-dir or --address",
            folder.display()
        ),
    }
}

fn in_words(told: &Told) -> String {
    let mut text = String::new();
    let mut line = |name: &str, said: String| {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{name:<20}{said}");
    };
    line("version", told.version.clone());
    for Door { name, address } in &told.doors {
        line(name, if address.contains("://") { address.clone() } else { format!("http://{address}") });
    }
    line("spans", format!("{} in {} blocks and {} runs", told.spans, told.blocks, told.runs));
    let oldest = told.oldest.as_ref().and_then(|nanos| nanos.parse().ok()).map(Timestamp);
    line("oldest span", oldest.map_or_else(|| "none".to_owned(), moment));
    line("disk", format!("{} of {}{}", bytes(told.data_bytes), bytes(told.max_bytes), free(told)));
    line("archive", format!("{} traces kept for good, {}", told.traces_pinned, bytes(told.archive_bytes)));
    let (archived, limit) = (bytes(told.archived_bytes), bytes(told.archived_max_bytes));
    line("Jaeger's archive", format!("{} spans, {archived} of {limit}", told.archived_spans));
    let dropped = told.dropped_spans.iter().map(|(reason, spans)| format!("{spans} by {reason}"));
    line("dropped spans", dropped.collect::<Vec<_>>().join(", "));
    for Waiting { signal, consumer, items, bytes: size } in &told.waiting_in_buffer {
        line("in the buffer", format!("{items} items of {signal} for the {consumer}, {}", bytes(*size)));
    }
    line("damaged", format!("{} rows met, {} files set aside", told.damaged_rows, told.set_aside));
    if told.engine_failures + told.left_out + told.unchecked > 0 {
        let (failures, left_out, unchecked) = (told.engine_failures, told.left_out, told.unchecked);
        line("engine failures", failures.to_string());
        line(
            "left out",
            format!("{left_out} names and counts; {unchecked} traces not looked for everywhere"),
        );
    }
    if told.agent.datagrams > 0 || told.agent.dropped_datagrams.is_some_and(|dropped| dropped > 0) {
        line("over UDP", over_udp(&told.agent));
    }
    for AgentService { service, missing_batches, lost_by_clients, .. } in told.agent.lossy() {
        let service: String =
            service.chars().map(|letter| if letter.is_control() { '\u{fffd}' } else { letter }).collect();
        line(
            "  lost on the way",
            format!("{missing_batches} batches of {service}; its clients lost {lost_by_clients} spans"),
        );
    }
    let (waiting, given_up) = (told.waiting_for_parents, told.given_up_parents);
    line("without parents", format!("{waiting} spans wait, {given_up} waited in vain"));
    text
}

fn over_udp(agent: &Agent) -> String {
    let Agent { datagrams, unread_datagrams, dropped_datagrams, dropped_spans, .. } = agent;
    let by_system =
        dropped_datagrams.map_or_else(String::new, |dropped| format!(", {dropped} dropped by the system"));
    format!(
        "{datagrams} datagrams{by_system}, {unread_datagrams} that could not be read; {dropped_spans} spans for which there was no room"
    )
}

fn free(told: &Told) -> String {
    told.free_bytes.map_or_else(String::new, |free| format!("; {} are free", bytes(free)))
}

/// A size for people.
pub(super) fn bytes(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let unit = units.into_iter().find(|(_, shift)| bytes >> shift > 0);
    unit.map_or_else(
        || format!("{bytes} B"),
        |(unit, shift)| format!("{:.1} {unit}", bytes as f64 / (1u64 << shift) as f64),
    )
}

/// A moment for people, to the second, in UTC.
pub(super) fn moment(moment: Timestamp) -> String {
    let seconds = i64::try_from(moment.millis() / 1_000).ok();
    let moment = seconds.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    moment.map_or_else(|| "a time beyond calendars".to_owned(), |moment| moment.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_moments_read_well() {
        let cases =
            [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (5 << 20, "5.0 MiB"), (7 << 33, "56.0 GiB")];
        for (size, expected) in cases {
            assert_eq!(bytes(size), expected);
        }
        assert_eq!(moment(Timestamp::from_millis(1_700_000_000_999)), "2023-11-14T22:13:20Z");
        assert_eq!(moment(Timestamp::MAX), "2554-07-21T23:34:33Z");
    }
}
