//! What work costs: time on the wall, time of the processors, bytes handed to the system, blocks on the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Advice, fadvise};
use rustix::time::{ClockId, clock_gettime};

/// What some work on some spans took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) spans: u64,
    pub(crate) wall: Duration,
    /// Of all threads of this process, so that work done on the side counts too.
    pub(crate) cpu: Duration,
    /// Bytes given to `write` and its kin by this process.
    pub(crate) written: u64,
}

impl Cost {
    pub(crate) fn add(&mut self, other: &Self) {
        self.spans += other.spans;
        self.wall += other.wall;
        self.cpu += other.cpu;
        self.written += other.written;
    }

    pub(crate) fn total(costs: &[Self]) -> Self {
        let mut total = Self::default();
        costs.iter().for_each(|cost| total.add(cost));
        total
    }

    pub(crate) fn spans_per_second(&self) -> f64 {
        self.spans as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn cpu_nanos_per_span(&self) -> f64 {
        self.cpu.as_nanos() as f64 / self.spans as f64
    }
}

/// Runs the work and tells what it took.
pub(crate) fn cost(spans: usize, work: impl FnOnce()) -> Cost {
    let (written, cpu, started) = (written(), process_cpu(), Instant::now());
    work();
    let wall = started.elapsed();
    Cost {
        spans: spans as u64,
        wall,
        cpu: process_cpu().saturating_sub(cpu),
        written: self::written() - written,
    }
}

pub(crate) fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let outcome = act();
    (started.elapsed(), outcome)
}

fn process_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Linux only (proc(5)); 0 elsewhere. `write_bytes` beside it leaves out what is overwritten before it reaches the disk.
fn written() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    number_after(&io, "wchar:")
}

/// The most memory that was resident at once; Linux only, 0 elsewhere.
pub(crate) fn peak_resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    number_after(&status, "VmHWM:") << 10
}

fn number_after(lines: &str, name: &str) -> u64 {
    let rest = lines.lines().find_map(|line| line.strip_prefix(name));
    rest.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// All files below the folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the bench made the folder");
    let paths = entries.map(|entry| entry.expect("the folder stays").path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Bytes of the blocks that the files below the folder take on the disk.
pub(crate) fn allocated_bytes(folder: &Path) -> u64 {
    let blocks =
        files(folder).into_iter().map(|path| std::fs::metadata(path).map_or(0, |file| file.blocks()));
    // POSIX: st_blocks counts units of 512 bytes.
    blocks.sum::<u64>() * 512
}

/// Has the system forget what it holds in memory of the files below the folder.
pub(crate) fn evict(folder: &Path) -> io::Result<()> {
    for path in files(folder) {
        let file = File::open(path)?;
        // Only what is on the disk can be forgotten.
        file.sync_all()?;
        fadvise(&file, 0, None, Advice::DontNeed)?;
    }
    Ok(())
}

/// The duration that this share (of 100) of all are not longer than.
pub(crate) fn percentile(durations: &[Duration], share: usize) -> Duration {
    let mut durations = durations.to_vec();
    durations.sort_unstable();
    let last = durations.len().saturating_sub(1);
    durations.get((durations.len() * share / 100).min(last)).copied().unwrap_or_default()
}

pub(crate) fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
