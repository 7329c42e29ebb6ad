//! Living on: a store whose process was killed in the middle, and spans whose time is over.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tracelodge::query::Query;

use crate::arm::{Arm, MAX_AGE, Packed, last_sequence, open_packed};
use crate::generator::Generator;
use crate::measure::{allocated_bytes, files, millis, timed};
use crate::questions::ask_trace;

/// Stores batches until somebody kills this process, and says after each how many there are.
pub(crate) fn store_until_killed(folder: &Path, mut generator: Generator, commit: usize) {
    let store = Arm::packed(folder);
    let mut out = std::io::stdout();
    for sequence in 1.. {
        let batch = generator.batch(commit);
        store.append(&batch, sequence, generator.now());
        writeln!(out, "{STORED}{sequence}").and_then(|()| out.flush()).expect("the parent listens");
    }
}

/// Before the number of a stored batch.
const STORED: &str = "stored ";

/// Has a second process store so many batches, kills it in the middle of the next, and opens what it left.
pub(crate) fn reopen_after_kill(
    folder: &Path,
    victim: &mut Command,
    generator: &mut Generator,
    knobs: (u64, usize),
) {
    let (batches, commit) = knobs;
    let acknowledged = kill_in_the_middle(victim, batches);
    let bytes = allocated_bytes(folder);
    let (open, store) = timed(|| open_packed(folder));
    let sequence = last_sequence(&store);
    let spans = store.status().spans;
    assert!(sequence >= acknowledged, "batch {acknowledged} was acknowledged, the last is {sequence}");
    assert_eq!(spans, sequence * commit as u64, "every batch is there whole or not at all");
    // The same seed: these are the batches that the other process has not come to.
    for _ in 0..sequence {
        drop(generator.batch(commit));
    }
    let batch = generator.batch(commit);
    let arm = Arm::Packed(Arc::clone(&store));
    let (append, ()) = timed(|| arm.append(&batch, sequence + 1, generator.now()));
    let query = Query::new(store);
    let (answer, services) = timed(|| query.services().expect("the store can be read").len());
    let traces = generator.whole_traces();
    for trace in &traces {
        ask_trace(&query, trace);
    }
    println!(
        "\nkilled while storing, {spans} spans, {} MiB: open again after {:.1} ms, the next batch takes {:.1} ms, \
         {services} services listed in {:.2} ms; every acknowledged batch and {} traces are whole (goal: 2000 ms)",
        bytes >> 20,
        millis(open),
        millis(append),
        millis(answer),
        traces.len(),
    );
}

/// Tells how many batches were acknowledged.
fn kill_in_the_middle(victim: &mut Command, batches: u64) -> u64 {
    let mut child = victim.stdout(Stdio::piped()).spawn().expect("this program can be started again");
    let lines = BufReader::new(child.stdout.take().expect("its output was asked for")).lines();
    let (mut last, mut before, mut took) = (0, Instant::now(), Duration::ZERO);
    for line in lines {
        let line = line.expect("the child says text");
        let Some(number) = line.strip_prefix(STORED) else { continue };
        last = number.parse().expect("the child says numbers");
        took = before.elapsed();
        before = Instant::now();
        if last >= batches {
            break;
        }
    }
    // Making a batch comes first, storing it second: this is well inside a commit, wherever that is.
    std::thread::sleep(took * 2 / 3);
    child.kill().expect("it runs until it is killed");
    child.wait().expect("it was started here");
    last
}

/// Removes everything, a day after its time.
pub(crate) fn expire(store: &Packed, folder: &Path, generator: &Generator) {
    let now = generator.now().plus(MAX_AGE + Duration::from_secs(24 * 3600));
    let before = (files(folder).len(), allocated_bytes(folder));
    let (took, spans) = timed(|| store.expire(now).expect("the disk works"));
    let after = (files(folder).len(), allocated_bytes(folder));
    println!(
        "\nremoving {spans} spans: {:.1} ms (goal: 50); {} files, {} MiB before, {} files, {} MiB after",
        millis(took),
        before.0,
        before.1 >> 20,
        after.0,
        after.1 >> 20,
    );
}
