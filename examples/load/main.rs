//! Drives a whole server over every protocol, waits for its store, and proves that every span it acknowledged can be read.
//!
//! `cargo run --release --example load -- --help` lists the knobs. What counts is the sustained rate: all spans by the
//! time from the first request until the store has the last of them. Datagrams are not acknowledged: of each that was sent
//! it is told what became of it, by the server's own numbers, and they must add up to the span. The server runs in
//! a process of its own, a new one for each protocol, in a folder that is removed afterwards, on the machine's own disk
//! unless `--data-dir` says otherwise.
#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod batch;
mod jaeger_thrift;
mod read_back;
mod server;
mod thrift_fields;
mod transport;
mod zipkin;
mod zipkin_v1;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::ensure;
use clap::Parser;

use batch::{SPANS_PER_TRACE, Template};
use server::{Progress, SERVER, Server, Usage, client};
use transport::{Sender, Sent, Transport};

/// How long the last datagrams may take until it is known what became of them.
const SETTLED_WITHIN: Duration = Duration::from_secs(60);

/// How long the store may take, after the last request, until it has everything.
const PATIENCE: Duration = Duration::from_secs(1200);

#[derive(Debug, Clone, Parser)]
struct Knobs {
    /// How long to send over each protocol
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections, each with one request in flight, one run for each number; datagrams come from one sender
    #[arg(long, value_delimiter = ',', default_values_t = [8])]
    connections: Vec<u64>,
    /// Spans per request, a multiple of 8; SDKs send 512. As many as fit into a datagram, if those are fewer
    #[arg(long, default_value_t = 512)]
    batch: u64,
    /// The protocol
    #[arg(long, value_enum, default_value_t = Transport::All)]
    transport: Transport,
    /// Spans per second over UDP, one run for each rate: one that is kept up with, and one that is not
    #[arg(long, value_delimiter = ',', default_values_t = [20_000, 1_000_000])]
    rate: Vec<u64>,
    /// Where the server keeps its data, if there is one run only; a folder of the system's choice if not given
    #[arg(long)]
    data_dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    // The second process of this program is the server itself.
    if arguments.nth(1).as_deref() == Some(SERVER) {
        return tracelodge::app::main_with(std::iter::once("tracelodge".to_owned()).chain(arguments));
    }
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    match runtime.block_on(run(Knobs::parse())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(knobs: Knobs) -> anyhow::Result<()> {
    ensure!(
        knobs.batch.is_multiple_of(SPANS_PER_TRACE) && knobs.batch > 0,
        "--batch must be a multiple of {SPANS_PER_TRACE}"
    );
    ensure!(
        !knobs.rate.contains(&0) && !knobs.connections.contains(&0),
        "--rate and --connections are 1 or more"
    );
    let loads = |transport: Transport| -> Vec<Load> {
        if transport.is_datagrams() {
            return knobs.rate.iter().copied().map(Load::Rate).collect();
        }
        knobs.connections.iter().copied().map(Load::Connections).collect()
    };
    let runs = knobs.transport.each().flat_map(|each| loads(each).into_iter().map(move |load| (each, load)));
    let runs: Vec<_> = runs.collect();
    ensure!(
        runs.len() == 1 || knobs.data_dir.is_none(),
        "--data-dir is for one run, and these are {}",
        runs.len()
    );
    let mut rows = Vec::new();
    for (transport, load) in runs {
        rows.push(measure(&knobs, transport, load).await?);
    }
    table(&rows);
    if knobs.connections.len() > 1 {
        compare(&rows);
    }
    Ok(())
}

/// How much is sent at once.
#[derive(Debug, Clone, Copy)]
enum Load {
    /// As much as so many senders have acknowledged, one request after the other.
    Connections(u64),
    /// Spans per second, whatever becomes of them.
    Rate(u64),
}

impl Load {
    fn of(self, transport: Transport) -> String {
        match self {
            Self::Connections(count) => format!("{}, {count} senders", transport.name()),
            Self::Rate(rate) => format!("{}, {rate}/s", transport.name()),
        }
    }
}

/// What a run came to.
#[derive(Debug)]
struct Row {
    name: String,
    transport: Transport,
    bytes_per_span: usize,
    /// Spans that were sent, and those of them that are on disk.
    spans: u64,
    acknowledged: u64,
    /// Requests that were asked to come again.
    refused: u64,
    times: Times,
    /// The server's, and the client's.
    used: [Usage; 2],
    read_back: u64,
}

/// How long it took from the first request until all spans had come so far.
#[derive(Debug, Clone, Copy)]
struct Times {
    acknowledged: Duration,
    stored: Duration,
}

async fn measure(knobs: &Knobs, transport: Transport, load: Load) -> anyhow::Result<Row> {
    let temporary = tempfile::tempdir()?;
    let data = knobs.data_dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    let template = Arc::new(transport.template(knobs.batch));
    let name = load.of(transport);
    println!("{name}: {} spans a request, {} s", template.spans(), knobs.seconds);
    let server = Server::start(&data)?;
    let before = [server.usage(), Usage::of("self")];
    let started = Instant::now();
    let watch = tokio::spawn(tell_every_second(server.admin()?.to_owned(), started));
    let sent = send(knobs, (transport, load), &server, &template, started).await?;
    let spans = sent.numbers.len() as u64 * template.spans();
    let acknowledged = match load {
        Load::Rate(_) => settled(&server, &sent, template.spans()).await?,
        Load::Connections(_) => spans,
    };
    ensure!(acknowledged > 0, "nothing was taken: {}", sent.first_refusal.as_deref().unwrap_or_default());
    let acknowledged_after = started.elapsed();
    wait_until_stored(server.admin()?, acknowledged).await?;
    let times = Times { acknowledged: acknowledged_after, stored: started.elapsed() };
    watch.abort();
    let used = [server.usage().since(&before[0]), Usage::of("self").since(&before[1])];
    let bytes_per_span = template.length() / template.spans() as usize;
    let refused = sent.refused;
    let mut row =
        Row { name, transport, bytes_per_span, spans, acknowledged, refused, times, used, read_back: 0 };
    report(&row, &sent);
    row.read_back = read_back::read_back(&server, &template, &sent.numbers, acknowledged).await?;
    println!("  {:<25} {} MiB at most, reading included\n", "server's memory", server.usage().peak >> 20);
    Ok(row)
}

async fn send(
    knobs: &Knobs,
    (transport, load): (Transport, Load),
    server: &Server,
    template: &Arc<Template>,
    started: Instant,
) -> anyhow::Result<Sent> {
    let until = started + Duration::from_secs(knobs.seconds);
    let address = transport.address(server)?;
    let sender = || Sender { transport, address: address.clone(), template: Arc::clone(template) };
    let connections = match load {
        Load::Connections(count) => count,
        Load::Rate(rate) => {
            let sender = sender();
            return tokio::task::spawn_blocking(move || sender.pour(started, until, rate)).await?;
        }
    };
    let numbers = Arc::new(AtomicU64::new(1));
    let senders: Vec<_> =
        (0..connections).map(|_| tokio::spawn(sender().send_until(until, Arc::clone(&numbers)))).collect();
    let mut sent = Sent::default();
    for sender in senders {
        sent.add(sender.await??);
    }
    Ok(sent)
}

/// Waits until every datagram had its outcome, and proves that the server's numbers add up to what was sent. The spans
/// that are on disk.
async fn settled(server: &Server, sent: &Sent, spans_each: u64) -> anyhow::Result<u64> {
    let (client, admin) = (client(false), server.admin()?);
    let (datagrams, deadline) = (sent.numbers.len() as u64, Instant::now() + SETTLED_WITHIN);
    let progress = loop {
        let progress = Progress::ask(&client, admin).await?;
        if progress.requests + progress.agent.dropped_by_system >= datagrams {
            break progress;
        }
        ensure!(
            Instant::now() < deadline,
            "of {datagrams} datagrams {} had an outcome and the system dropped {}",
            progress.requests,
            progress.agent.dropped_by_system
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let Progress { acknowledged, rejected, agent, .. } = progress;
    let (spans, by_system) = (datagrams * spans_each, agent.dropped_by_system * spans_each);
    println!(
        "  sent                   {spans:>12} spans in {datagrams} datagrams of {spans_each}, {} refused",
        sent.refused
    );
    println!("  on disk                {acknowledged:>12} spans");
    println!("  dropped by the system  {by_system:>12} spans in {} datagrams", agent.dropped_by_system);
    println!(
        "  dropped by the server  {:>12} spans, {rejected} cannot be used, {} datagrams cannot be read",
        agent.dropped_spans, agent.unread
    );
    let told = acknowledged + by_system + agent.dropped_spans + rejected + agent.unread * spans_each;
    ensure!(told == spans, "{spans} spans were sent, and the server tells of {told}");
    println!("  lost                   {:>12} spans, all of them counted", spans - acknowledged);
    Ok(acknowledged)
}

async fn tell_every_second(admin: String, started: Instant) {
    let client = client(false);
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Ok(Progress { acknowledged, stored, .. }) = Progress::ask(&client, &admin).await {
            println!(
                "  after {:>4.0} s: {acknowledged:>12} acknowledged, {stored:>12} stored, {:>12} behind",
                started.elapsed().as_secs_f64(),
                acknowledged.saturating_sub(stored),
            );
        }
    }
}

async fn wait_until_stored(admin: &str, spans: u64) -> anyhow::Result<()> {
    let client = client(false);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stored = Progress::ask(&client, admin).await?.stored;
        if stored >= spans {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the store has {stored} of {spans} acknowledged spans");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

impl Row {
    fn per_second(&self, time: Duration) -> f64 {
        self.acknowledged as f64 / time.as_secs_f64()
    }

    /// Microseconds of the server's processor for a span that it keeps, and of the client's for one that it sends.
    fn per_span(&self) -> [f64; 2] {
        let [server, client] = &self.used;
        let of = |used: &Usage, spans: u64| used.cpu_seconds * 1e6 / spans.max(1) as f64;
        [of(server, self.acknowledged), of(client, self.spans)]
    }
}

fn report(row: &Row, sent: &Sent) {
    let Row { times, used: [server, client], .. } = row;
    println!(
        "  acknowledged on disk   {:>12.0} spans/s ({} spans, {} requests refused)",
        row.per_second(times.acknowledged),
        row.acknowledged,
        sent.refused
    );
    if let Some(refusal) = &sent.first_refusal {
        println!("  refused                {refusal}");
    }
    println!(
        "  stored, sustained      {:>12.0} spans/s (all of them {:.1} s after the start, {:.1} s after the last answer)",
        row.per_second(times.stored),
        times.stored.as_secs_f64(),
        (times.stored - times.acknowledged).as_secs_f64()
    );
    if !sent.latencies.is_empty() {
        report_latencies(sent);
    }
    let [of_server, of_client] = row.per_span();
    println!(
        "  server's processor     {:>12.1} s, {of_server:.2} µs a span, {:.0} % of one core",
        server.cpu_seconds,
        server.cpu_seconds / times.stored.as_secs_f64() * 100.0
    );
    println!("  client's processor     {:>12.1} s, {of_client:.2} µs a span", client.cpu_seconds);
    println!(
        "  server's memory        {:>8} MiB resident, {} MiB at most",
        server.resident >> 20,
        server.peak >> 20
    );
}

fn report_latencies(sent: &Sent) {
    let mut latencies = sent.latencies.clone();
    latencies.sort_unstable();
    let at = |share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        latencies
            .get(place.min(latencies.len().saturating_sub(1)))
            .map_or(0.0, |taken| taken.as_secs_f64() * 1e3)
    };
    println!(
        "  acknowledged after     p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0)
    );
}

/// All runs side by side.
fn table(rows: &[Row]) {
    let line = |cells: [&str; 10]| {
        let [name, rest @ ..] = cells;
        let rest: String = rest.iter().map(|cell| format!("{cell:>11}")).collect();
        println!("{name:<36}{rest}");
    };
    line(["", "bytes", "on disk", "sustained", "server's", "client's", "server's", "refused", "read", ""]);
    line(["", "/span", "spans/s", "spans/s", "µs/span", "µs/span", "MiB", "requests", "back", "lost"]);
    for row in rows {
        let [server, client] = row.per_span();
        line([
            &row.name,
            &row.bytes_per_span.to_string(),
            &format!("{:.0}", row.per_second(row.times.acknowledged)),
            &format!("{:.0}", row.per_second(row.times.stored)),
            &format!("{server:.2}"),
            &format!("{client:.2}"),
            &(row.used[0].peak >> 20).to_string(),
            &row.refused.to_string(),
            &row.read_back.to_string(),
            &(row.spans - row.acknowledged).to_string(),
        ]);
    }
}

/// What becomes of a server when more and more send to it.
fn compare(rows: &[Row]) {
    println!();
    for of_transport in rows.chunk_by(|a, b| a.transport == b.transport) {
        let [first, others @ ..] = of_transport else { continue };
        for other in others.iter().filter(|_| !first.transport.is_datagrams()) {
            let of = |of: fn(&Row) -> f64| of(other) / of(first) * 100.0;
            println!(
                "{}: {:.0} % of the spans/s of the first, at {:.0} % of the processor's time for each",
                other.name,
                of(|row| row.per_second(row.times.acknowledged)),
                of(|row| row.per_span()[0]),
            );
        }
    }
}
