//! The store beside a row a span, bare compression and the bare disk: the same spans in one run, by turns.
//!
//! `cargo bench --bench store -- --help` lists the knobs. The data is generated; how, and what each line means, says
//! docs/performance.md.

#![expect(clippy::print_stdout, reason = "a bench prints what it has measured")]

mod arm;
mod demo;
mod generator;
mod ingest;
mod life;
mod measure;
mod operation;
mod piece;
mod questions;
mod random;
mod services;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::Parser;
use tracelodge::model::Span;
use tracelodge::otlp::{self, SpanView, write};

use crate::arm::{Arm, open_packed};
use crate::generator::{Data, Generator, Shape};
use crate::ingest::{Row, Yardsticks};
use crate::measure::{Cost, allocated_bytes, cost, peak_resident_bytes};
use crate::questions::Rounds;

#[derive(Debug, Clone, Parser)]
struct Knobs {
    /// Spans that the packed store takes
    #[arg(long, default_value_t = 2_000_000)]
    spans: u64,
    /// Spans a commit
    #[arg(long, default_value_t = 50_000)]
    commit: usize,
    /// Spans that everything it is compared with takes; 0 for no comparison
    #[arg(long, default_value_t = 200_000)]
    beside: u64,
    /// Ask when so many spans are stored; several numbers with commas, 0 for never
    #[arg(long, value_delimiter = ',', default_value = "1000000")]
    queries_at: Vec<u64>,
    /// How often each question is asked warm
    #[arg(long, default_value_t = 100)]
    warm: usize,
    /// How often each question is asked cold
    #[arg(long, default_value_t = 20)]
    cold: usize,
    /// Kill a process that has stored so many spans; 0 for not at all
    #[arg(long, default_value_t = 500_000)]
    kill_at: u64,
    /// Spans by which a service's part of a trace is late at most
    #[arg(long, default_value_t = 5_000)]
    window: u64,
    /// Three attributes more a span that nothing compresses
    #[arg(long, conflicts_with = "demo")]
    hard: bool,
    /// Traces such as the OpenTelemetry demo's
    #[arg(long)]
    demo: bool,
    /// Where to measure; in the build's folder if not given
    #[arg(long)]
    folder: Option<PathBuf>,
    /// This process is there to be killed while it stores in this folder
    #[arg(long, hide = true)]
    victim: Option<PathBuf>,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

impl Knobs {
    fn generator(&self) -> Generator {
        let shape = match (self.hard, self.demo) {
            (true, _) => Shape::Hard,
            (_, true) => Shape::Demo,
            _ => Shape::Services,
        };
        Generator::new(Data { shape, window: self.window })
    }

    /// This program again, to be killed.
    fn victim(&self, folder: &Path) -> Command {
        let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
        command.arg("--victim").arg(folder);
        command.args(["--commit", &self.commit.to_string(), "--window", &self.window.to_string()]);
        command.args(self.hard.then_some("--hard")).args(self.demo.then_some("--demo"));
        command
    }
}

fn main() {
    let knobs = Knobs::parse();
    if let Some(folder) = &knobs.victim {
        return life::store_until_killed(folder, knobs.generator(), knobs.commit);
    }
    let place = knobs.folder.clone().unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    let folder = tempfile::tempdir_in(place).expect("a folder to measure in");
    grow(&knobs, folder.path());
    if knobs.kill_at > 0 {
        let killed = folder.path().join("killed");
        let batches = knobs.kill_at.div_ceil(knobs.commit as u64);
        life::reopen_after_kill(
            &killed,
            &mut knobs.victim(&killed),
            &mut knobs.generator(),
            (batches, knobs.commit),
        );
    }
}

/// Stores, asks and removes.
fn grow(knobs: &Knobs, folder: &Path) {
    let mut generator = knobs.generator();
    let store_folder = folder.join("packed");
    let mut store = open_packed(&store_folder);
    let mut yardsticks = Yardsticks::new(folder, knobs.commit);
    let mut packed = Row::new(format!("packed, by {}", knobs.commit));
    let commit = knobs.commit as u64;
    let batches = (knobs.spans / commit).max(1);
    let turns = (knobs.beside / commit).min(batches);
    let mut making = Cost::default();
    for number in 1..=batches {
        let mut batch = Vec::new();
        making.add(&cost(knobs.commit, || batch = generator.batch(knobs.commit)));
        if number == 1 {
            assert_as_scanned(&batch[..batch.len().min(2_000)]);
            describe(&batch);
        }
        let arm = Arm::Packed(Arc::clone(&store));
        packed.commit(&batch, || arm.append(&batch, number, generator.now()));
        drop(arm);
        if number * turns / batches > (number - 1) * turns / batches {
            packed.end_turn();
            yardsticks.take(&batch, generator.now());
        }
        let stored = (number - 1) * commit + 1..=number * commit;
        if knobs.queries_at.iter().any(|at| stored.contains(at)) {
            let rounds = Rounds { warm: knobs.warm, cold: knobs.cold };
            store = questions::ask(store, &store_folder, &generator, rounds);
        }
    }
    packed.set_disk_bytes(allocated_bytes(&store_folder));
    println!(
        "\n{:.1} spans a trace, made in {:.0} ns of cpu each (not counted); {} MiB resident at most\n",
        generator.spans_per_trace(),
        making.cpu_nanos_per_span(),
        peak_resident_bytes() >> 20
    );
    ingest::print(&packed, &yardsticks);
    if let Some((packed, rows)) = yardsticks.same_spans() {
        questions::compare(packed, rows, &generator);
    }
    life::expire(&store, &store_folder, &generator);
}

/// The records are what the scan makes of the same bytes, sent.
fn assert_as_scanned(batch: &[Span]) {
    let mut request = Vec::new();
    for span in batch {
        write::message(&mut request, 1, |out| {
            write::bytes(out, 1, &span.resource.bytes);
            write::message(out, 2, |out| {
                write::bytes(out, 1, &span.scope.bytes);
                write::bytes(out, 2, &span.body);
                write::string(out, 3, &span.scope.schema_url);
            });
            write::string(out, 3, &span.resource.schema_url);
        });
    }
    let scanned = otlp::spans(&request.into(), &otlp::Limits::default()).expect("the request is sound");
    assert!(scanned == batch, "every span is as the scan makes it");
}

/// What the spans are like.
fn describe(batch: &[Span]) {
    let mut bytes: Vec<usize> = batch.iter().map(|span| span.body.len()).collect();
    bytes.sort_unstable();
    let at = |share: usize| bytes[bytes.len() * share / 100];
    let attributes: usize = batch.iter().map(|span| SpanView::read(&span.body).attributes.len()).sum();
    println!(
        "spans of {:.0} bytes (p10 {}, p50 {}, p90 {}, p99 {}) and {:.1} attributes, in resources of {:.0} bytes",
        ingest::raw_bytes(batch) as f64 / batch.len() as f64,
        at(10),
        at(50),
        at(90),
        at(99),
        attributes as f64 / batch.len() as f64,
        batch.iter().map(|span| span.resource.bytes.len()).sum::<usize>() as f64 / batch.len() as f64,
    );
}
