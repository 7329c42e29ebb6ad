//! The disk buffer beside the disk itself: the same bytes in the same pieces, written and read by hand in the same run.
//!
//! `cargo bench --bench buffer -- append` runs what has "append" in its name only.

#![expect(clippy::print_stdout, reason = "a bench prints what it has measured")]

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use rustix::fs::{Advice, fadvise};
use rustix::time::{ClockId, clock_gettime};
use tracelodge::buffer::{
    Buffer, Clock, Consumer, Disk, DiskFile, Durability, Entry, Environment, Error, FileStorageConfig,
    HostDisk, Signal, Take,
};

/// About forty spans.
const PAYLOAD_BYTES: usize = 16 << 10;
const SPANS: u32 = 40;
const ROUNDS: usize = 5;
const SEALED_FILES: usize = 1_000;
const RECORDS: usize = 1_000;
const RECORD_BYTES: usize = 1_000;
const UNSEALED_BYTES: usize = 256 << 20;
const FRAME_HEADER_BYTES: usize = 40;
const FOOTER_BYTES: u64 = 96;
const GROUP_COMMIT: Durability = Durability::GroupCommit { linger: Duration::ZERO };

type Part = fn(&Path);

fn main() {
    let parts: [(&str, Part); 6] = [
        ("append", append),
        ("modes", append_in_each_mode),
        ("recovery", recover_unsealed),
        ("open", open_many_files),
        ("one-by-one", consume_one_by_one),
        ("idle", idle),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, part) in parts {
        if wanted.is_empty() || wanted.iter().any(|word| name.contains(word.as_str())) {
            let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder to measure in");
            part(folder.path());
        }
    }
}

fn append(folder: &Path) {
    println!("append: {PAYLOAD_BYTES} bytes each, group commit, medians of {ROUNDS} rounds");
    for reading in [Reading::Nobody, Reading::Everything] {
        println!("{reading}\n{}", Round::HEAD);
        for senders in [1, 8, 32, 128] {
            let load = Load { durability: GROUP_COMMIT, senders, in_flight: 1, reading };
            println!("{senders:>12} {}", load.median(folder));
        }
    }
}

fn append_in_each_mode(folder: &Path) {
    println!("append by durability: 4 senders with 32 appends in flight each\n{}", Round::HEAD);
    let modes = [
        ("relaxed", Durability::Relaxed),
        ("500ms", Durability::Interval(Duration::from_millis(500))),
        ("group commit", GROUP_COMMIT),
        ("each write", Durability::EachWrite),
    ];
    for (name, durability) in modes {
        let load = Load { durability, senders: 4, in_flight: 32, reading: Reading::Nobody };
        println!("{name:>12} {}", load.median(folder));
    }
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

/// What is compared.
#[derive(Debug, Clone, Copy)]
struct Load {
    durability: Durability,
    senders: usize,
    /// Appends that a sender begins before it waits for the first of them to be answered.
    in_flight: usize,
    reading: Reading,
}

impl Load {
    fn median(self, folder: &Path) -> Round {
        let mut rounds: Vec<_> =
            (0..ROUNDS).map(|round| self.compare(&folder.join(round.to_string()))).collect();
        rounds.sort_by(|one, other| one.ratio().total_cmp(&other.ratio()));
        rounds.swap_remove(ROUNDS / 2)
    }

    fn compare(self, folder: &Path) -> Round {
        let log = Arc::new(Log::default());
        let disk = Arc::new(WatchedDisk { log: Arc::clone(&log) });
        let settings = FileStorageConfig { durability: self.durability, ..FileStorageConfig::appliance() };
        let (buffer, _) = open(folder, &settings, disk);
        let drain = (self.reading == Reading::Everything).then(|| {
            let consumer = buffer.external_consumer("store", None).expect("the only one");
            thread::spawn(move || drain(consumer))
        });
        log.operations.lock().clear();
        let (took, latencies) = self.send(&buffer);
        let operations = std::mem::take(&mut *log.operations.lock());
        buffer.close();
        if let Some(drain) = drain {
            drain.join().expect("draining does not panic");
        }
        let raw = Raw::replay(folder, &operations);
        std::fs::remove_dir_all(folder).expect("can be removed");
        Round { buffer: took, latencies, raw }
    }

    /// Each sender waits for an answer before it appends again.
    fn send(self, buffer: &Buffer) -> (Duration, Vec<Duration>) {
        let payload = Bytes::from(noise(PAYLOAD_BYTES));
        let appends = match self.durability {
            Durability::Relaxed | Durability::Interval(_) => 12_000 / self.senders,
            Durability::GroupCommit { .. } => (3_000 / self.senders).max(64),
            Durability::EachWrite => 1_000 / self.senders,
        };
        let ready = Barrier::new(self.senders + 1);
        let send = || {
            let inbox = Arc::new(Inbox::default());
            ready.wait();
            let mut latencies = Vec::with_capacity(appends);
            for begun in 0..appends {
                let (answers, started) = (Arc::clone(&inbox), Instant::now());
                buffer.append(payload.clone(), SPANS, move |outcome| {
                    outcome.expect("the disk works");
                    answers.put(started);
                });
                if begun + 1 >= self.in_flight {
                    latencies.push(inbox.take());
                }
            }
            while latencies.len() < appends {
                latencies.push(inbox.take());
            }
            latencies
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..self.senders).map(|_| scope.spawn(send)).collect();
            ready.wait();
            let started = Instant::now();
            let latencies =
                threads.into_iter().flat_map(|thread| thread.join().expect("senders do not panic")).collect();
            (started.elapsed(), latencies)
        })
    }
}

/// Where a sender waits for its answers, asleep: a channel would have all senders spin first, on the processors that
/// are measured.
#[derive(Debug, Default)]
struct Inbox {
    latencies: Mutex<Vec<Duration>>,
    news: Condvar,
}

impl Inbox {
    fn put(&self, started: Instant) {
        self.latencies.lock().push(started.elapsed());
        self.news.notify_one();
    }

    fn take(&self) -> Duration {
        let mut latencies = self.latencies.lock();
        loop {
            if let Some(latency) = latencies.pop() {
                return latency;
            }
            self.news.wait(&mut latencies);
        }
    }
}

/// One comparison.
struct Round {
    buffer: Duration,
    latencies: Vec<Duration>,
    raw: Raw,
}

impl Round {
    const HEAD: &'static str =
        "                MB/s    raw  ratio  k spans/s   group KB   ack p50/p99 ms   raw p50/p99 ms";

    fn ratio(&self) -> f64 {
        self.raw.took.as_secs_f64() / self.buffer.as_secs_f64()
    }
}

impl fmt::Display for Round {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.raw.bytes as f64 / 1e6;
        let spans = self.latencies.len() as f64 * f64::from(SPANS);
        write!(
            f,
            "{:7.0} {:6.0} {:6.2} {:10.0} {:10.0} {:>16} {:>16}",
            megabytes / self.buffer.as_secs_f64(),
            megabytes / self.raw.took.as_secs_f64(),
            self.ratio(),
            spans / 1e3 / self.buffer.as_secs_f64(),
            self.raw.bytes as f64 / 1e3 / self.raw.latencies.len() as f64,
            percentiles(&self.latencies),
            percentiles(&self.raw.latencies),
        )
    }
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

/// What the bare disk takes for the same writes, syncs and deletions: one thread writes, another one deletes.
struct Raw {
    bytes: usize,
    took: Duration,
    /// Of each write, and of the sync that follows it.
    latencies: Vec<Duration>,
}

impl Raw {
    fn replay(folder: &Path, operations: &[Operation]) -> Self {
        let largest = operations.iter().map(|operation| operation.bytes()).max().unwrap_or(0);
        let bytes = noise(largest);
        let path = |number: usize| folder.join(format!("raw-{number}"));
        let create =
            |number| OpenOptions::new().write(true).create_new(true).open(path(number)).expect("a new file");
        let (delete, to_delete) = sync_channel::<usize>(operations.len());
        let deleting =
            || to_delete.into_iter().for_each(|number| HostDisk.unlink(&path(number)).expect("is there"));
        let mut raw = Self { bytes: 0, took: Duration::ZERO, latencies: Vec::new() };
        thread::scope(|scope| {
            scope.spawn(deleting);
            let (started, mut begun) = (Instant::now(), Instant::now());
            let (mut file, mut offset, mut files, mut deleted) = (create(0), 0, 1, 0);
            for operation in operations {
                match operation {
                    Operation::Create if offset > 0 => {
                        (file, offset, files) = (create(files), 0, files + 1);
                    }
                    Operation::Create => {}
                    Operation::Write(size) => {
                        begun = Instant::now();
                        file.write_all_at(&bytes[..*size], offset).expect("the disk has room");
                        offset += *size as u64;
                        raw.bytes += size;
                        raw.latencies.push(begun.elapsed());
                    }
                    Operation::Sync => {
                        file.sync_data().expect("the disk works");
                        if let Some(last) = raw.latencies.last_mut() {
                            *last = begun.elapsed();
                        }
                    }
                    Operation::Delete => {
                        delete.send(deleted).expect("someone deletes");
                        deleted += 1;
                    }
                }
            }
            raw.took = started.elapsed();
            drop(delete);
        });
        raw
    }
}

/// What a killed process leaves, opened, beside reading its bytes.
fn recover_unsealed(folder: &Path) {
    let settings = FileStorageConfig {
        max_file_size: 2 * UNSEALED_BYTES as u64,
        durability: Durability::Relaxed,
        ..FileStorageConfig::appliance()
    };
    for (name, cold) in [("warm", false), ("cold", true)] {
        let folder = folder.join(name);
        let (buffer, _) = open(&folder, &settings, Arc::new(HostDisk));
        append_all(&buffer, PAYLOAD_BYTES, UNSEALED_BYTES / PAYLOAD_BYTES);
        drop(buffer);
        let path = data_files(&folder).remove(0);
        forget(&path, cold);
        let (raw, bytes) = timed(|| read_through(&path));
        forget(&path, cold);
        let (opened, recovery) = timed(|| open(&folder, &settings, Arc::new(HostDisk)).1);
        assert_eq!((recovery.recovered_files, recovery.torn_bytes), (1, 0));
        let gibibytes = bytes as f64 / (1 << 30) as f64;
        println!(
            "recovery of one unsealed file, {name}: {:.2} s/GiB; only reading it: {:.2} s/GiB; ratio {:.2}",
            opened.as_secs_f64() / gibibytes,
            raw.as_secs_f64() / gibibytes,
            raw.as_secs_f64() / opened.as_secs_f64(),
        );
    }
}

/// Makes the file durable and, where asked, has the system forget what it remembers of it.
fn forget(path: &Path, cold: bool) {
    let file = File::open(path).expect("opens");
    file.sync_all().expect("the disk works");
    if cold {
        fadvise(&file, 0, None, Advice::DontNeed).expect("the system takes advice");
    }
}

fn read_through(path: &Path) -> usize {
    let file = File::open(path).expect("opens");
    let (mut bytes, mut at) = (vec![0; 256 << 10], 0);
    loop {
        match FileExt::read_at(&file, &mut bytes, at as u64).expect("can be read") {
            0 => return at,
            read => at += read,
        }
    }
}

fn open_many_files(folder: &Path) {
    let settings = FileStorageConfig { max_file_size: 4 << 10, ..FileStorageConfig::appliance() };
    let (buffer, _) = open(folder, &settings, Arc::new(HostDisk));
    append_all(&buffer, settings.max_payload_bytes(), SEALED_FILES);
    buffer.close();
    drop(buffer);
    let (raw, ()) = timed(|| data_files(folder).iter().for_each(|path| read_ends(path)));
    let (opened, (buffer, recovery)) = timed(|| open(folder, &settings, Arc::new(HostDisk)));
    let mut consumer = buffer.external_consumer("store", None).expect("the only one");
    let take = Take { max_frames: 64, max_bytes: 1 << 20, max_items: u64::MAX };
    let (read, ()) = timed(|| {
        let mut frames = 0;
        while frames < SEALED_FILES {
            frames += consumer.next(take, Duration::from_secs(1)).expect("files can be read").len();
        }
    });
    println!(
        "open with {} sealed files: {:.1} ms; listing them and reading both ends: {:.1} ms; ratio {:.2}; consuming \
         them: {:.1} ms",
        recovery.files,
        millis(opened),
        millis(raw),
        raw.as_secs_f64() / opened.as_secs_f64(),
        millis(read)
    );
}

fn read_ends(path: &Path) {
    let file = File::open(path).expect("opens");
    let bytes = file.metadata().expect("is there").len();
    let mut end = [0; FOOTER_BYTES as usize];
    file.read_exact_at(&mut end[..64], 0).expect("can be read");
    file.read_exact_at(&mut end, bytes - FOOTER_BYTES).expect("can be read");
}

fn consume_one_by_one(folder: &Path) {
    let settings = FileStorageConfig { delete_items_on_iteration: false, ..FileStorageConfig::appliance() };
    let (buffer, _) = open(folder, &settings, Arc::new(HostDisk));
    let consumer = buffer.external_consumer("store", None).expect("the only one");
    append_all(&buffer, RECORD_BYTES, RECORDS);
    let (from_memory, ()) = timed(|| take_one_by_one(consumer));
    buffer.close();
    drop(buffer);
    let refill = folder.join("again");
    let (buffer, _) = open(&refill, &settings, Arc::new(HostDisk));
    append_all(&buffer, RECORD_BYTES, RECORDS);
    buffer.close();
    drop(buffer);
    let path = data_files(&refill).remove(0);
    let (raw, ()) = timed(|| read_records(&path));
    let (buffer, _) = open(&refill, &settings, Arc::new(HostDisk));
    let consumer = buffer.external_consumer("store", None).expect("the only one");
    let (from_files, ()) = timed(|| take_one_by_one(consumer));
    println!(
        "{RECORDS} records of {RECORD_BYTES} bytes consumed and released one by one: {:.2} ms from memory, {:.2} ms \
         from a file; as many reads by hand: {:.2} ms; ratio {:.2}",
        millis(from_memory),
        millis(from_files),
        millis(raw),
        raw.as_secs_f64() / from_files.as_secs_f64(),
    );
}

fn take_one_by_one(mut consumer: Consumer) {
    let take = Take { max_frames: 1, max_bytes: usize::MAX, max_items: u64::MAX };
    for _ in 0..RECORDS {
        let frames = consumer.next(take, Duration::from_secs(1)).expect("can be read");
        consumer.release(frames[0].sequence);
    }
}

fn read_records(path: &Path) {
    let file = File::open(path).expect("opens");
    let mut record = [0; FRAME_HEADER_BYTES + RECORD_BYTES];
    for at in (64..).step_by(record.len()).take(RECORDS) {
        file.read_exact_at(&mut record, at).expect("can be read");
    }
}

fn idle(folder: &Path) {
    let log = Arc::new(Log::default());
    let age = Duration::from_millis(100);
    let settings = FileStorageConfig { max_file_age_for_write: age, ..FileStorageConfig::appliance() };
    let (buffer, _) = open(folder, &settings, Arc::new(WatchedDisk { log: Arc::clone(&log) }));
    let consumer = buffer.external_consumer("store", None).expect("the only one");
    append_all(&buffer, RECORD_BYTES, 1);
    let drain = thread::spawn(move || drain(consumer));
    while buffer.stats().counters.deleted_files == 0 {
        thread::sleep(age);
    }
    let (before, busy) = (log.syncs.load(Ordering::Relaxed), processor_time());
    let (watched, ()) = timed(|| thread::sleep(Duration::from_secs(3)));
    let (syncs, busy) = (log.syncs.load(Ordering::Relaxed) - before, processor_time() - busy);
    println!(
        "idle: {:.1} syncs/s, {:.3} % of a processor",
        syncs as f64 / watched.as_secs_f64(),
        busy.as_secs_f64() / watched.as_secs_f64() * 100.0
    );
    buffer.close();
    drain.join().expect("draining does not panic");
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn open(
    folder: &Path,
    settings: &FileStorageConfig,
    disk: Arc<dyn Disk>,
) -> (Buffer, tracelodge::buffer::Recovery) {
    let environment = Environment::new(disk, Arc::new(BenchClock::new()));
    Buffer::open(folder, Signal::Traces, settings.clone(), environment).expect("opens")
}

/// Appends so many payloads and waits until all are answered.
fn append_all(buffer: &Buffer, bytes: usize, count: usize) {
    const IN_FLIGHT: usize = 256;
    let payload = Bytes::from(noise(bytes));
    let (answer, answered) = sync_channel::<Result<u64, Error>>(IN_FLIGHT);
    let wait = || answered.recv().expect("every append is answered").expect("the disk works");
    for begun in 0..count {
        if begun >= IN_FLIGHT {
            wait();
        }
        let answer = answer.clone();
        buffer.append(payload.clone(), 1, move |outcome| answer.send(outcome).expect("someone waits"));
    }
    for _ in 0..count.min(IN_FLIGHT) {
        wait();
    }
}

/// All but `LOCK`.
fn data_files(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).expect("is there").map(|entry| entry.expect("is there").path());
    files.filter(|path| path.is_file() && !path.ends_with("LOCK")).collect()
}

fn timed<T>(act: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let outcome = act();
    (started.elapsed(), outcome)
}

fn percentiles(latencies: &[Duration]) -> String {
    let mut latencies = latencies.to_vec();
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

/// What was done to a [`WatchedDisk`].
#[derive(Debug, Default)]
struct Log {
    operations: Mutex<Vec<Operation>>,
    syncs: AtomicUsize,
}

/// What is done to files, in order.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Create,
    /// So many bytes, to the file that was made last.
    Write(usize),
    Sync,
    /// The oldest file.
    Delete,
}

impl Operation {
    fn bytes(self) -> usize {
        if let Self::Write(bytes) = self { bytes } else { 0 }
    }
}

/// The host's disk, noting what is done to it.
#[derive(Debug)]
struct WatchedDisk {
    log: Arc<Log>,
}

#[derive(Debug)]
struct WatchedFile {
    file: Box<dyn DiskFile>,
    log: Arc<Log>,
}

impl WatchedDisk {
    fn watched(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(WatchedFile { file, log: Arc::clone(&self.log) })
    }
}

impl Disk for WatchedDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        HostDisk.create_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        HostDisk.list(folder)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.log.operations.lock().push(Operation::Create);
        Ok(self.watched(HostDisk.create_new(path)?))
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
        self.log.operations.lock().push(Operation::Delete);
        HostDisk.unlink(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.log.syncs.fetch_add(1, Ordering::Relaxed);
        HostDisk.sync_folder(folder)
    }
}

impl DiskFile for WatchedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.log.operations.lock().push(Operation::Write(bytes.len()));
        self.file.write_at(bytes, offset)
    }

    fn write_vectored_at(&self, slices: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let written = self.file.write_vectored_at(slices, offset)?;
        self.log.operations.lock().push(Operation::Write(written));
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.log.syncs.fetch_add(1, Ordering::Relaxed);
        self.log.operations.lock().push(Operation::Sync);
        self.file.sync_data()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)
    }
}
