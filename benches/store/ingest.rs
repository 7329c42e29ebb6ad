//! Storing: the packed store grows to its full size; in between, by turns, others take its latest batch.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use tracelodge::model::{Span, Timestamp};
use tracelodge::store::literal;

use crate::arm::{Arm, Packed};
use crate::measure::{Cost, allocated_bytes, cost, millis, percentile};

/// Spans a commit of the stores that commit often.
const OFTEN: usize = 10_000;

const ZSTD_PIECE: usize = 64 << 10;

/// A row of the table: one way of storing.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    raw_bytes: u64,
    disk_bytes: u64,
    commits: Vec<Cost>,
    /// What each turn cost: neighbors on the machine disturb all rows of one turn alike.
    turns: Vec<Cost>,
    turn: Cost,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            raw_bytes: 0,
            disk_bytes: 0,
            commits: Vec::new(),
            turns: Vec::new(),
            turn: Cost::default(),
        }
    }

    /// One commit of so many spans that have so many bytes.
    pub(crate) fn commit(&mut self, spans: &[Span], work: impl FnOnce()) {
        let cost = cost(spans.len(), work);
        self.raw_bytes += raw_bytes(spans);
        self.turn.add(&cost);
        self.commits.push(cost);
    }

    pub(crate) fn set_disk_bytes(&mut self, disk_bytes: u64) {
        self.disk_bytes = disk_bytes;
    }

    /// Its turn is over; the next neighbor's begins.
    pub(crate) fn end_turn(&mut self) {
        self.turns.push(std::mem::take(&mut self.turn));
    }

    fn disk_per_span(&self) -> f64 {
        self.disk_bytes as f64 / self.total().spans as f64
    }

    fn written_per_raw(&self) -> f64 {
        self.total().written as f64 / self.raw_bytes as f64
    }

    fn total(&self) -> Cost {
        Cost::total(&self.commits)
    }

    fn print(&self) {
        let total = self.total();
        let took: Vec<_> = self.commits.iter().map(|commit| commit.wall).collect();
        println!(
            "{:<28}{:>10}{:>12.0}{:>10.0}{:>10.1}{:>10.1}{:>10.3}{:>12.1} /{:>8.1}",
            self.name,
            total.spans,
            total.spans_per_second(),
            total.cpu_nanos_per_span(),
            self.disk_per_span(),
            self.raw_bytes as f64 / self.disk_bytes as f64,
            self.written_per_raw(),
            millis(percentile(&took, 50)),
            millis(percentile(&took, 99)),
        );
    }

    /// How many times as fast and as small this row is as the other, with the extremes of all turns.
    fn print_beside(&self, other: &Self) {
        let (ours, theirs) = (self.total(), other.total());
        let speeds = |speed: fn(&Cost) -> f64| {
            let turns: Vec<f64> = self
                .turns
                .iter()
                .zip(&other.turns)
                .map(|(ours, theirs)| speed(ours) / speed(theirs))
                .collect();
            let least = turns.iter().copied().fold(f64::INFINITY, f64::min);
            let most = turns.iter().copied().fold(0.0, f64::max);
            format!("{:.2} ({least:.2} to {most:.2})", speed(&ours) / speed(&theirs))
        };
        println!(
            "{:<28}{:>24}{:>24}{:>10.2}{:>10.2}",
            other.name,
            speeds(Cost::spans_per_second),
            speeds(|cost| 1.0 / cost.cpu_nanos_per_span()),
            other.disk_per_span() / self.disk_per_span(),
            other.written_per_raw() / self.written_per_raw(),
        );
    }
}

pub(crate) fn raw_bytes(spans: &[Span]) -> u64 {
    spans.iter().map(|span| span.body.len() as u64).sum()
}

/// Everything that the packed store is compared with.
#[derive(Debug)]
pub(crate) struct Yardsticks<'f> {
    folder: &'f Path,
    stores: [(Row, &'static str, Arm, usize); 3],
    zstd: Row,
    raw: Row,
    sequence: u64,
}

impl<'f> Yardsticks<'f> {
    pub(crate) fn new(folder: &'f Path, commit: usize) -> Self {
        let store = |name: &str, place: &'static str, open: fn(&Path) -> Arm, commit: usize| {
            (Row::new(format!("{name} {commit}")), place, open(&folder.join(place)), commit)
        };
        Self {
            folder,
            stores: [
                store("packed, by", "packed-often", Arm::packed, OFTEN),
                store("row a span, by", "literal-often", Arm::literal, OFTEN),
                store("row a span, by", "literal", Arm::literal, commit),
            ],
            zstd: Row::new("zstd 1, 64 KiB pieces"),
            raw: Row::new("append and fdatasync"),
            sequence: 0,
        }
    }

    /// Everybody takes the batch.
    pub(crate) fn take(&mut self, batch: &[Span], now: Timestamp) {
        for (row, place, store, commit) in &mut self.stores {
            for spans in batch.chunks(*commit) {
                self.sequence += 1;
                row.commit(spans, || store.append(spans, self.sequence, now));
            }
            row.set_disk_bytes(allocated_bytes(&self.folder.join(*place)));
            row.end_turn();
        }
        let bodies: Vec<u8> = batch.iter().flat_map(|span| &span.body[..]).copied().collect();
        self.compress(batch, &bodies);
        self.append_raw(batch, &bodies);
    }

    fn compress(&mut self, batch: &[Span], bodies: &[u8]) {
        let mut compressor = zstd::bulk::Compressor::new(1).expect("level 1 exists");
        let mut out = vec![0; zstd::zstd_safe::compress_bound(ZSTD_PIECE)];
        let mut bytes = 0;
        self.zstd.commit(batch, || {
            for piece in bodies.chunks(ZSTD_PIECE) {
                bytes += compressor.compress_to_buffer(piece, &mut out).expect("the bound holds") as u64;
            }
        });
        self.zstd.set_disk_bytes(self.zstd.disk_bytes + bytes);
        self.zstd.end_turn();
    }

    fn append_raw(&mut self, batch: &[Span], bodies: &[u8]) {
        let path = self.folder.join("raw");
        let mut file = File::options().create(true).append(true).open(&path).expect("the folder is ours");
        self.raw.commit(batch, || {
            file.write_all(bodies).expect("the disk has room");
            file.sync_data().expect("the disk works");
        });
        self.raw.set_disk_bytes(file.metadata().expect("it is open").len());
        self.raw.end_turn();
    }

    /// The packed store and the row a span that hold the same spans, if they hold any.
    pub(crate) fn same_spans(&self) -> Option<(&Arc<Packed>, &literal::Store)> {
        let [(_, _, packed, _), (_, _, rows, _), _] = &self.stores;
        match (packed, rows) {
            (Arm::Packed(packed), Arm::Literal(rows)) if self.sequence > 0 => Some((packed, rows)),
            _ => None,
        }
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.stores.iter().map(|(row, ..)| row).chain([&self.zstd, &self.raw])
    }
}

/// What storing cost, and how many times better the packed store is than everything else.
pub(crate) fn print(packed: &Row, yardsticks: &Yardsticks<'_>) {
    println!(
        "{:<28}{:>10}{:>12}{:>10}{:>10}{:>10}{:>10}{:>22}",
        "storing", "spans", "spans/s", "cpu ns", "B/span", "raw/disk", "written", "commit p50 / p99 ms"
    );
    packed.print();
    if yardsticks.sequence > 0 {
        yardsticks.rows().for_each(Row::print);
        println!(
            "\n{:<28}{:>24}{:>24}{:>10}{:>10}",
            "times better than", "spans/s (each turn)", "cpu (each turn)", "disk", "written"
        );
        yardsticks.rows().for_each(|row| packed.print_beside(row));
    }
    print_tenths(packed);
}

/// Does it get slower as it grows?
fn print_tenths(packed: &Row) {
    let tenth = (packed.commits.len() / 10).max(1);
    let first = Cost::total(&packed.commits[..tenth]);
    let last = Cost::total(&packed.commits[packed.commits.len() - tenth..]);
    println!(
        "\nlast tenth beside the first: {:.2} of the spans/s ({:.0} after {:.0}), {:.2} of the spans per cpu second",
        last.spans_per_second() / first.spans_per_second(),
        last.spans_per_second(),
        first.spans_per_second(),
        first.cpu_nanos_per_span() / last.cpu_nanos_per_span(),
    );
}
