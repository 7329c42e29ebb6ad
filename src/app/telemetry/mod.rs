//! Our own logs, and the numbers on `/metrics`.

mod agent;
mod buffered;
mod forgiving;
mod forwarded;
pub(super) mod hclog;

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Instant;

use tracing_subscriber::EnvFilter;

use super::VERSION;
use super::forwarding::ForwardingCounts;
use super::listen::{Full, TurnedAway};
use super::tokens::{Right, Tokens};
use crate::ingest::{Buffers, DoorCounts, DrainCounts, Ingest};
use crate::model::Clock;
use crate::query::Query;
use crate::receive;

use forgiving::Forgiving;

/// The log level is not a level nor a filter.
#[derive(Debug, thiserror::Error)]
#[error("log.level = \"{level}\"")]
pub(super) struct LevelError {
    level: String,
    source: tracing_subscriber::filter::ParseError,
}

/// Libraries that warn of what a stranger does, as often as it does it: a few bytes would become a line each.
const OF_STRANGERS: &str = "h2=error,rustls=error";

/// Sends logs to standard error, for people or for programs.
pub(super) fn start_logs(level: &str, json: bool) -> Result<(), LevelError> {
    // What comes later says more of the same.
    let filter = EnvFilter::try_new(format!("{OF_STRANGERS},{level}"))
        .map_err(|source| LevelError { level: level.to_owned(), source })?;
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Forgiving::stderr)
        .with_ansi(io::stderr().is_terminal());
    // Logs that were set up before, by a program that uses us as a library, stay as they are.
    let _already_set = if json { logs.json().flatten_event(true).try_init() } else { logs.try_init() };
    Ok(())
}

/// What came in, by door.
#[derive(Debug, Clone, Default)]
pub(super) struct Received {
    /// At the OTLP doors.
    pub otlp: Arc<receive::Counts>,
    /// At the doors of Jaeger's collector.
    pub jaeger: Arc<receive::Counts>,
    /// At the doors of Jaeger's agent.
    pub agent: Arc<receive::agent::Counts>,
    /// At Zipkin's door.
    pub zipkin: Arc<receive::Counts>,
    /// At the door for Jaeger's storage.
    pub storage: Arc<receive::Counts>,
    /// At the door for Jaeger's archive.
    pub archive: Arc<receive::Counts>,
}

impl Received {
    /// Each with the names of its receiver and its transport.
    fn each(&self) -> impl Iterator<Item = (&'static str, &'static str, &DoorCounts)> {
        [
            ("otlp", "grpc", &self.otlp.grpc),
            ("otlp", "http", &self.otlp.http),
            ("jaeger", "grpc", &self.jaeger.grpc),
            ("jaeger", "http", &self.jaeger.http),
            ("jaeger", "udp", &self.agent.door),
            ("zipkin", "http", &self.zipkin.http),
            ("jaeger_storage", "grpc", &self.storage.grpc),
            ("jaeger_archive", "grpc", &self.archive.grpc),
        ]
        .into_iter()
    }
}

/// Everything that is counted, asked when somebody scrapes.
#[derive(Debug)]
pub(super) struct Report {
    /// When the program started.
    pub started: Instant,
    /// Who may do what.
    pub tokens: Arc<Tokens>,
    /// Whom each door had no place for.
    pub turned_away: Vec<(&'static str, Arc<TurnedAway>)>,
    /// The way in.
    pub ingest: Arc<Ingest>,
    /// By door and transport.
    pub received: Received,
    /// Where it makes things safe.
    pub buffers: Buffers,
    /// From buffer to store.
    pub drain: Arc<DrainCounts>,
    /// From buffers to the upstream.
    pub forwarded: ForwardingCounts,
    /// Tells how old things are.
    pub clock: Arc<dyn Clock>,
    /// What is stored.
    pub query: Arc<Query>,
    /// What is archived.
    pub archived: Arc<Query>,
    /// Bytes that that may take on the disk.
    pub archived_max_bytes: u64,
}

impl Report {
    /// All numbers in Prometheus' text format 0.0.4. Where a number means what one of the OpenTelemetry
    /// Collector's means, it has the Collector's name, so that dashboards made for it fit.
    pub(super) fn metrics(&self) -> String {
        let mut text = Text::default();
        text.single("tracelodge_build_info", "gauge", "The version that runs.", &[("version", VERSION)], 1);
        self.doors(&mut text);
        agent::report(&mut text, &self.received.agent);
        self.discarded(&mut text);
        self.unauthorized(&mut text);
        self.turned_away(&mut text);
        buffered::report(&mut text, &self.buffers, self.clock.now());
        self.drained(&mut text);
        forwarded::report(&mut text, &self.forwarded);
        self.stored(&mut text);
        self.archived(&mut text);
        self.process(&mut text);
        text.0
    }

    fn doors(&self, text: &mut Text) {
        type Column = fn(&DoorCounts) -> u64;
        let columns: [(&str, &str, Column); 5] = [
            ("otelcol_receiver_requests", "Export requests that got an outcome.", |door| {
                door.requests.value()
            }),
            ("otelcol_receiver_accepted_spans", "Spans that are on disk.", |door| {
                door.accepted_spans.value()
            }),
            ("tracelodge_rejected_spans_total", "Spans left out because they cannot be used.", |door| {
                door.rejected_spans.value()
            }),
            ("tracelodge_refused_requests_total", "Requests asked to come again.", |door| {
                door.refused_requests.value()
            }),
            ("tracelodge_failed_requests_total", "Requests that cannot be used.", |door| {
                door.failed_requests.value()
            }),
        ];
        for (name, help, value) in columns {
            text.head(name, "counter", help);
            for (receiver, transport, door) in self.received.each() {
                text.sample(name, &[("receiver", receiver), ("transport", transport)], value(door));
            }
        }
    }

    fn discarded(&self, text: &mut Text) {
        let counts = self.ingest.counts();
        let name = "tracelodge_discarded_items_total";
        text.head(name, "counter", "Items accepted and discarded: nobody takes them.");
        text.sample(name, &[("signal", "logs")], counts.log_records.value());
        text.sample(name, &[("signal", "metrics")], counts.data_points.value());
    }

    fn unauthorized(&self, text: &mut Text) {
        let name = "tracelodge_unauthorized_requests_total";
        text.head(name, "counter", "Requests without the token that they needed.");
        for right in Right::ALL {
            text.sample(name, &[("right", right.name())], self.tokens.refused[right as usize].value());
        }
    }

    fn turned_away(&self, text: &mut Text) {
        let name = "tracelodge_refused_connections_total";
        text.head(
            name,
            "counter",
            "Connections that there was no place for, at the door or for their address.",
        );
        for (door, turned_away) in &self.turned_away {
            for full in Full::ALL {
                text.sample(name, &[("door", door), ("reason", full.name())], turned_away.value(full));
            }
        }
    }

    fn drained(&self, text: &mut Text) {
        let counts = &self.drain;
        let columns = [
            ("spans_total", "Spans written to the store.", &counts.stored_spans),
            ("duplicate_spans_total", "Spans the store had already.", &counts.duplicate_spans),
            ("commits_total", "Commits.", &counts.commits),
            ("failed_commits_total", "Commits that were tried again.", &counts.failed_commits),
            ("damaged_frames_total", "Frames without readable spans.", &counts.damaged_frames),
            ("merged_runs_total", "Sorted runs that became parts of others.", &counts.merged_runs),
        ];
        for (name, help, counter) in columns {
            text.single(&format!("tracelodge_store_{name}"), "counter", help, &[], counter.value());
        }
    }

    fn stored(&self, text: &mut Text) {
        let status = self.query.status();
        let columns = [
            ("bytes", "gauge", "Bytes that the store's blocks take on the disk.", status.data_bytes),
            ("limit_bytes", "gauge", "Bytes that they may take, and one block more.", status.max_bytes),
            ("archive_bytes", "gauge", "Bytes that pinned traces take beside them.", status.archive_bytes),
            ("blocks", "gauge", "Files of spans.", status.blocks),
            ("runs", "gauge", "Sorted runs in them.", status.runs),
            ("stored_spans", "gauge", "Spans in the store.", status.spans),
            (
                "expired_spans_total",
                "counter",
                "Spans of blocks that were dropped, for whatever reason.",
                status.dropped_spans.iter().sum(),
            ),
            ("pinned_traces", "gauge", "Traces kept for good.", status.traces_pinned),
            ("damaged_rows_total", "counter", "Damaged rows met and left out.", status.damaged_rows),
            ("engine_failures_total", "counter", "Times a file was opened again.", status.engine_failures),
            ("set_aside", "gauge", "Damaged files in quarantine.", status.set_aside),
            (
                "left_out_total",
                "counter",
                "Names, counts and late spans of pinned traces that there was no room for.",
                status.left_out,
            ),
            ("unchecked_total", "counter", "Traces not looked for in every earlier run.", status.unchecked),
            ("waiting_for_parents", "gauge", "Spans whose parent has not come yet.", status.waiting),
            (
                "given_up_parents_total",
                "counter",
                "Spans whose parent did not come in time.",
                status.given_up,
            ),
        ];
        for (name, kind, help, value) in columns {
            text.single(&format!("tracelodge_store_{name}"), kind, help, &[], value);
        }
        let dropped = "tracelodge_store_dropped_spans_total";
        text.head(dropped, "counter", "Spans of blocks that were dropped, by reason.");
        for (reason, spans) in status.dropped() {
            text.sample(dropped, &[("reason", reason)], spans);
        }
        if let Some(free) = status.free_bytes {
            let help = "Bytes that the disk has left for this program.";
            text.single("tracelodge_store_free_bytes", "gauge", help, &[], free);
        }
        if let Some(oldest) = status.oldest {
            let (name, help) =
                ("tracelodge_store_oldest_span_timestamp_seconds", "Start of the oldest span.");
            text.single(name, "gauge", help, &[], oldest.nanos() as f64 / 1e9);
        }
    }

    fn archived(&self, text: &mut Text) {
        let status = self.archived.status();
        let columns = [
            ("spans", "gauge", "Spans in Jaeger's archive.", status.spans),
            ("bytes", "gauge", "Bytes that it takes on the disk.", status.data_bytes),
            ("limit_bytes", "gauge", "Bytes that it may take.", self.archived_max_bytes),
            ("damaged_rows_total", "counter", "Damaged rows met in it and left out.", status.damaged_rows),
            (
                "engine_failures_total",
                "counter",
                "Times a file of it was opened again.",
                status.engine_failures,
            ),
        ];
        for (name, kind, help, value) in columns {
            text.single(&format!("tracelodge_archive_{name}"), kind, help, &[], value);
        }
    }

    fn process(&self, text: &mut Text) {
        let uptime = self.started.elapsed().as_secs_f64();
        text.single("otelcol_process_uptime", "counter", "Seconds since the start.", &[], uptime);
        if let Some(seconds) = cpu_seconds() {
            text.single("otelcol_process_cpu_seconds", "counter", "Processor time used.", &[], seconds);
        }
        if let Some(bytes) = resident_bytes() {
            text.single("otelcol_process_memory_rss", "gauge", "Resident bytes.", &[], bytes);
        }
    }
}

/// Linux only (proc(5)): user and system time are the 12th and 13th numbers after the program's name, in ticks.
fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let (_, numbers) = stat.rsplit_once(") ")?;
    let ticks: Vec<u64> =
        numbers.split(' ').skip(11).take(2).filter_map(|number| number.parse().ok()).collect();
    Some(ticks.iter().sum::<u64>() as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Linux only (proc(5)): the second number of `statm` is resident pages.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}

/// The text format. Written by hand because the names above are given, and the crates for it add suffixes.
#[derive(Debug, Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a String cannot fail, here and below.
        let _infallible = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        let labels: Vec<String> =
            labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _infallible = writeln!(self.0, "{name}{labels} {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, labels: &[(&str, &str)], value: impl Display) {
        self.head(name, kind, help);
        self.sample(name, labels, value);
    }
}

/// Some labels are others' text.
fn escaped(value: &str) -> Cow<'_, str> {
    if !value.contains(['\\', '"', '\n']) {
        return value.into();
    }
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_label_ends_its_line() {
        let mut text = Text::default();
        text.sample("name", &[("one", "plain ä"), ("other", "\\\"}\n1\r")], 2);
        assert_eq!(text.0, "name{one=\"plain ä\",other=\"\\\\\\\"}\\n1\r\"} 2\n");
    }
}
