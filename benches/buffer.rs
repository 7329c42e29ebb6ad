//! The disk buffer beside the disk itself: the same bytes in the same groups, written and synced by hand in the same run.

#![expect(clippy::print_stdout, reason = "a bench prints what it has measured")]

use std::fmt;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tracelodge::buffer::{
    Buffer, Clock, Consumer, Disk, DiskFile, Entry, Environment, FileStorageConfig, HostDisk, Signal, Take,
};

/// About forty spans.
const PAYLOAD_BYTES: usize = 16 << 10;
const ROUNDS: usize = 5;
const SEALED_FILES: usize = 1_000;

fn main() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder to measure in");
    println!(
        "append: {PAYLOAD_BYTES} byte payloads, group commit, medians of {ROUNDS} rounds; raw: same writes, same syncs"
    );
    for reading in [Reading::Nobody, Reading::Everything] {
        println!("{reading}\nproducers   MB/s    raw  ratio   group KB   ack p50/p99 ms   raw p50/p99 ms");
        for producers in [1, 8, 32, 128] {
            compare(folder.path(), producers, reading);
        }
    }
    open_many_files(folder.path());
}

/// Who reads while it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// The same work as the bare disk has.
    Nobody,
    /// A consumer that takes and releases all of it, and so has files deleted, on the same processors.
    Everything,
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nobody => "nobody reads",
            Self::Everything => "one consumer takes and releases everything",
        })
    }
}

fn compare(folder: &Path, producers: usize, reading: Reading) {
    let mut rounds: Vec<_> = (0..ROUNDS)
        .map(|round| Round::run(&folder.join(format!("{producers}-{round}")), producers, reading))
        .collect();
    rounds.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
    let round = &mut rounds[ROUNDS / 2];
    let megabytes = round.bytes as f64 / 1e6;
    println!(
        "{producers:9} {:6.0} {:6.0} {:6.2} {:10.0} {:>16} {:>16}",
        megabytes / round.buffer.as_secs_f64(),
        megabytes / round.raw.as_secs_f64(),
        round.ratio(),
        round.bytes as f64 / 1e3 / round.raw_latencies.len() as f64,
        percentiles(&mut round.latencies),
        percentiles(&mut round.raw_latencies),
    );
}

/// One comparison.
struct Round {
    bytes: usize,
    buffer: Duration,
    raw: Duration,
    latencies: Vec<Duration>,
    raw_latencies: Vec<Duration>,
}

impl Round {
    fn run(folder: &Path, producers: usize, reading: Reading) -> Self {
        let writes = Arc::new(Mutex::new(Vec::new()));
        let disk = Arc::new(RecordingDisk { writes: Arc::clone(&writes) });
        let settings = FileStorageConfig::appliance();
        let (buffer, _) = Buffer::open(
            folder,
            Signal::Traces,
            settings,
            Environment::new(disk, Arc::new(BenchClock::new())),
        )
        .expect("opens");
        let drain = (reading == Reading::Everything).then(|| {
            let consumer = buffer.external_consumer("store", None).expect("the only one");
            thread::spawn(move || drain(consumer))
        });
        writes.lock().clear();
        let (buffer_time, latencies) = append_from(&buffer, producers, (3_000 / producers).max(64));
        let groups = std::mem::take(&mut *writes.lock());
        buffer.close();
        if let Some(drain) = drain {
            drain.join().expect("draining does not panic");
        }
        let (raw, raw_latencies) = write_raw(&folder.join("raw"), &groups);
        std::fs::remove_dir_all(folder).expect("can be removed");
        let bytes = groups.iter().sum();
        Self { bytes, buffer: buffer_time, raw, latencies, raw_latencies }
    }

    fn ratio(&self) -> f64 {
        self.raw.as_secs_f64() / self.buffer.as_secs_f64()
    }
}

/// Each producer waits for its answer before it appends again, as a sender does.
fn append_from(buffer: &Buffer, producers: usize, appends: usize) -> (Duration, Vec<Duration>) {
    let payload = Bytes::from(noise(PAYLOAD_BYTES));
    let ready = Barrier::new(producers + 1);
    let produce = || {
        ready.wait();
        let (answer, answered) = sync_channel(1);
        let one = |_| {
            let (answer, started) = (answer.clone(), Instant::now());
            buffer.append(payload.clone(), 40, move |outcome| answer.send(outcome).expect("someone waits"));
            answered.recv().expect("every append is answered").expect("the disk works");
            started.elapsed()
        };
        (0..appends).map(one).collect::<Vec<_>>()
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..producers).map(|_| scope.spawn(produce)).collect();
        ready.wait();
        let started = Instant::now();
        let latencies =
            threads.into_iter().flat_map(|thread| thread.join().expect("producers do not panic")).collect();
        (started.elapsed(), latencies)
    })
}

/// Takes and releases whatever comes until the buffer is closed, as the store does.
fn drain(mut consumer: Consumer) {
    let take = Take { max_frames: 256, max_bytes: 4 << 20, max_items: u64::MAX };
    while let Ok(frames) = consumer.next(take, Duration::from_secs(1)) {
        if let Some(last) = frames.last() {
            consumer.release(last.sequence);
        }
    }
}

/// The same writes, each followed by an fdatasync.
fn write_raw(path: &Path, groups: &[usize]) -> (Duration, Vec<Duration>) {
    let bytes = noise(groups.iter().copied().max().unwrap_or(0));
    let file = OpenOptions::new().write(true).create_new(true).open(path).expect("a new file");
    let (started, mut offset, mut latencies) = (Instant::now(), 0, Vec::new());
    for group in groups {
        let begun = Instant::now();
        file.write_all_at(&bytes[..*group], offset).expect("the disk has room");
        file.sync_data().expect("the disk works");
        offset += *group as u64;
        latencies.push(begun.elapsed());
    }
    (started.elapsed(), latencies)
}

fn open_many_files(folder: &Path) {
    let folder = folder.join("many");
    let settings = FileStorageConfig { max_file_size: 4 << 10, ..FileStorageConfig::appliance() };
    let open = || {
        let clock = Arc::new(BenchClock::new());
        Buffer::open(&folder, Signal::Traces, settings.clone(), Environment::host(clock)).expect("opens")
    };
    let (buffer, _) = open();
    let payload = Bytes::from(noise(settings.max_payload_bytes()));
    let (answer, answered) = sync_channel(SEALED_FILES);
    for _ in 0..SEALED_FILES {
        let answer = answer.clone();
        buffer.append(payload.clone(), 1, move |outcome| answer.send(outcome).expect("someone waits"));
    }
    for _ in 0..SEALED_FILES {
        answered.recv().expect("every append is answered").expect("the disk works");
    }
    buffer.close();
    drop(buffer);
    let started = Instant::now();
    let (buffer, recovery) = open();
    let opened = started.elapsed();
    let mut consumer = buffer.external_consumer("store", None).expect("the only one");
    let take = Take { max_frames: 64, max_bytes: 1 << 20, max_items: u64::MAX };
    let (started, mut frames) = (Instant::now(), 0);
    while frames < SEALED_FILES {
        frames += consumer.next(take, Duration::from_secs(1)).expect("files can be read").len();
    }
    println!(
        "open with {} sealed files: {:.1} ms; reading them: {:.1} ms",
        recovery.files,
        millis(opened),
        millis(started.elapsed())
    );
}

fn percentiles(latencies: &mut [Duration]) -> String {
    latencies.sort_unstable();
    let at = |share: usize| millis(latencies[(latencies.len() * share / 100).min(latencies.len() - 1)]);
    format!("{:.2} / {:.2}", at(50), at(99))
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Bytes that no disk can store in less.
fn noise(bytes: usize) -> Vec<u8> {
    let mut noise = vec![0; bytes];
    rustix::rand::getrandom(&mut noise, rustix::rand::GetRandomFlags::empty()).expect("the system has noise");
    noise
}

#[derive(Debug)]
struct BenchClock {
    started: Instant,
}

impl BenchClock {
    fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for BenchClock {
    fn wall_nanos(&self) -> u64 {
        1_700_000_000_000_000_000 + self.boot_millis() * 1_000_000
    }

    fn boot_millis(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn boot_id(&self) -> u64 {
        1
    }
}

/// The host's disk, noting the size of each write.
#[derive(Debug)]
struct RecordingDisk {
    writes: Arc<Mutex<Vec<usize>>>,
}

#[derive(Debug)]
struct RecordingFile {
    file: Box<dyn DiskFile>,
    writes: Arc<Mutex<Vec<usize>>>,
}

impl RecordingDisk {
    fn recording(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(RecordingFile { file, writes: Arc::clone(&self.writes) })
    }
}

impl Disk for RecordingDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        HostDisk.create_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        HostDisk.list(folder)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(self.recording(HostDisk.create_new(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        HostDisk.open(path)
    }

    fn open_to_mend(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        HostDisk.open_to_mend(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        HostDisk.lock(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        HostDisk.rename(from, to)
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        HostDisk.unlink(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        HostDisk.sync_folder(folder)
    }
}

impl DiskFile for RecordingFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.writes.lock().push(bytes.len());
        self.file.write_at(bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}
