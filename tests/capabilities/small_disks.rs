//! Disks that are full, by the buffer itself or by others, or read-only: refused with the reason, nothing that was
//! promised is lost, and it goes on without a restart.
//!
//! Where mounting is not allowed these tests say so and pass; `SMALL_DISKS=required` makes them fail instead.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use tracelodge::buffer::{
    Buffer, Clock, Consumer, Environment, Error, FileStorageConfig, Recovery, Signal, Take,
};

use crate::harness::{Answer, Client, PATIENCE, Server, command};
use crate::wire;

/// How long it may take until a disk with space again is written to again.
const RECOVERY: Duration = Duration::from_secs(5);
const PAYLOAD_BYTES: usize = 60_000;

/// A file system of its own, unmounted when dropped.
struct SmallDisk {
    /// Holds the mount point, and the image where there is one.
    around: TempDir,
}

impl SmallDisk {
    /// In memory.
    fn tmpfs(mebibytes: u32) -> Option<Self> {
        let around = tempfile::tempdir().unwrap();
        let size = format!("size={mebibytes}m");
        Self::mount(around, &["-t", "tmpfs", "-o", &size, "tracelodge-test"])
    }

    /// In a file, of 32 MiB.
    fn ext4() -> Option<Self> {
        let around = tempfile::tempdir().unwrap();
        let image = around.path().join("image");
        File::create(&image).unwrap().set_len(32 << 20).unwrap();
        run("mkfs.ext4", &["-q", "-m", "0", image.to_str().unwrap()])
            .map_err(|why| skip("mkfs.ext4", &why))
            .ok()?;
        let image = image.to_str().unwrap().to_owned();
        Self::mount(around, &["-o", "loop,errors=remount-ro", &image])
    }

    fn mount(around: TempDir, arguments: &[&str]) -> Option<Self> {
        let disk = Self { around };
        fs::create_dir(disk.path()).unwrap();
        let point = disk.path();
        let arguments = [arguments, &[point.to_str().unwrap()]].concat();
        match run("mount", &arguments) {
            Ok(()) => Some(disk),
            Err(why) => {
                skip(&format!("mount {}", arguments.join(" ")), &why);
                None
            }
        }
    }

    fn path(&self) -> PathBuf {
        self.around.path().join("disk")
    }

    /// Both kinds, where they can be had.
    fn both() -> Vec<(&'static str, Self)> {
        let disks = [("tmpfs", Self::tmpfs(4)), ("ext4", Self::ext4())];
        disks.into_iter().filter_map(|(name, disk)| Some((name, disk?))).collect()
    }

    /// Uses up what is left, to the last byte that is given.
    fn fill(&self) -> Filler {
        let path = self.path().join("filler");
        let mut file = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        for piece in [1 << 20, 64 << 10, 4 << 10, 512, 1] {
            while file.write(&vec![1; piece]).is_ok_and(|written| written > 0) {}
        }
        // Some file systems find out only now what they have room for.
        let _may_be_refused = file.sync_all();
        Filler(path)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let point = self.path();
        let point = point.to_str().unwrap_or_default();
        // Lazily where someone still holds a file: nothing may be left mounted.
        if run("mountpoint", &["-q", point]).is_ok() && run("umount", &[point]).is_err() {
            let _nothing_more_to_try = run("umount", &["-l", point]);
        }
    }
}

/// What others have put on the disk.
struct Filler(PathBuf);

impl Filler {
    fn remove(self) {
        fs::remove_file(&self.0).unwrap();
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " "))
}

/// Says why a test does not happen.
fn skip(what: &str, why: &str) {
    let required = std::env::var_os("SMALL_DISKS").is_some_and(|asked| asked == "required");
    assert!(!required, "{what}: {why}");
    // Past the harness, which keeps what a passing test says to itself.
    let _nobody_listens = writeln!(std::io::stderr(), "skipped for want of a small disk: {what}: {why}");
}

/// A buffer on a small disk, what it promised, and what came out of it.
struct Rig {
    folder: PathBuf,
    buffer: Buffer,
    store: Consumer,
    promised: Vec<(u64, u64)>,
    given: Vec<(u64, u64)>,
    numbers: u64,
}

impl Rig {
    fn begin(disk: &SmallDisk) -> Self {
        let folder = disk.path().join("buffer");
        let (buffer, _) = open(&folder).unwrap();
        let store = buffer.external_consumer("store", None).unwrap();
        Self { folder, buffer, store, promised: Vec::new(), given: Vec::new(), numbers: 0 }
    }

    fn append(&mut self) -> Result<u64, Error> {
        self.numbers += 1;
        let number = self.numbers;
        let (answer, answered) = sync_channel(1);
        self.buffer.append(payload(number), 1, move |outcome| answer.send(outcome).unwrap());
        let outcome = answered.recv_timeout(PATIENCE).unwrap();
        self.promised.extend(outcome.iter().map(|sequence| (*sequence, number)));
        outcome
    }

    /// Appends until that is refused; the reason.
    fn append_until_refused(&mut self) -> Error {
        loop {
            match self.append() {
                Ok(_) => assert!(self.numbers < 1_000, "a small disk takes everything"),
                Err(error) => return error,
            }
        }
    }

    /// Takes and releases everything there is.
    fn consume(&mut self) {
        let take = Take { max_frames: 20, max_bytes: usize::MAX, max_items: u64::MAX };
        loop {
            let frames = self.store.next(take, Duration::from_millis(400)).unwrap();
            let Some(last) = frames.last() else { return };
            self.store.release(last.sequence);
            for frame in frames {
                let number = u64::from_le_bytes(*frame.payload.first_chunk().unwrap());
                assert_eq!(frame.payload, payload(number));
                self.given.push((frame.sequence, number));
            }
        }
    }

    fn takes_again(&mut self) {
        let deadline = Instant::now() + RECOVERY;
        while let Err(error) = self.append() {
            assert!(matches!(error, Error::NoSpace { .. }), "{error}");
            assert!(Instant::now() < deadline, "there is space, and it still says: {error}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Nothing that was promised is missing, and nothing came twice, a restart later too.
    fn end(mut self) {
        self.consume();
        let kept = self.append().unwrap();
        drop((self.store, self.buffer));
        let (buffer, _) = open(&self.folder).unwrap();
        self.buffer = buffer;
        self.store =
            self.buffer.external_consumer("store", self.given.last().map(|(last, _)| *last)).unwrap();
        self.consume();
        assert_eq!(self.given.last().unwrap().0, kept);
        assert_eq!(self.given, self.promised);
    }
}

fn open(folder: &Path) -> Result<(Buffer, Recovery), Error> {
    let settings = FileStorageConfig {
        max_file_size: 1 << 20,
        max_folder_size: 256 << 20,
        tail_bytes: 1 << 20,
        ..FileStorageConfig::appliance()
    };
    Buffer::open(folder, Signal::Traces, settings, Environment::host(Arc::new(RunningClock(Instant::now()))))
}

fn payload(number: u64) -> Bytes {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(PAYLOAD_BYTES, number as u8);
    payload.into()
}

#[derive(Debug)]
struct RunningClock(Instant);

impl Clock for RunningClock {
    fn wall_nanos(&self) -> u64 {
        1_700_000_000_000_000_000 + u64::try_from(self.0.elapsed().as_nanos()).unwrap()
    }

    fn boot_millis(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }

    fn boot_id(&self) -> u64 {
        1
    }
}

#[test]
fn a_disk_that_the_buffer_has_filled_is_given_back_by_releasing() {
    for (kind, disk) in SmallDisk::both() {
        let mut rig = Rig::begin(&disk);
        let error = rig.append_until_refused();
        assert!(matches!(&error, Error::NoSpace { folder, .. } if *folder == rig.folder), "{kind}: {error}");
        assert!(rig.promised.len() > 20, "{kind}: only {} appends", rig.promised.len());
        rig.consume();
        assert_eq!(rig.given, rig.promised, "{kind}");
        rig.takes_again();
        assert!(rig.buffer.stats().counters.deleted_files > 1, "{kind}");
        rig.end();
    }
}

#[test]
fn a_disk_that_others_have_filled_is_read_and_deleted_from_and_written_to_when_they_are_gone() {
    for (kind, disk) in SmallDisk::both() {
        let mut rig = Rig::begin(&disk);
        for _ in 0..20 {
            rig.append().unwrap();
        }
        let filler = disk.fill();
        let error = rig.append_until_refused();
        assert!(matches!(error, Error::NoSpace { .. }), "{kind}: {error}");
        let before = rig.buffer.stats().folder_bytes;
        rig.consume();
        assert_eq!(rig.given, rig.promised, "{kind}");
        let deadline = Instant::now() + PATIENCE;
        while rig.buffer.stats().folder_bytes >= before {
            assert!(Instant::now() < deadline, "{kind}: nothing is deleted");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Whatever that gave back is used up too.
        let more = disk.fill();
        assert_eq!(more.0, filler.0);
        rig.append_until_refused();
        filler.remove();
        rig.takes_again();
        rig.end();
    }
}

#[test]
fn a_buffer_opens_on_a_full_disk_and_gives_what_it_has() {
    for (kind, disk) in SmallDisk::both() {
        let mut rig = Rig::begin(&disk);
        for _ in 0..20 {
            rig.append().unwrap();
        }
        let Rig { folder, buffer, store, promised, numbers, .. } = rig;
        drop((store, buffer));
        let filler = disk.fill();
        let (buffer, recovery) = open(&folder).unwrap();
        assert_eq!(recovery.frames, 20, "{kind}");
        let store = buffer.external_consumer("store", None).unwrap();
        let mut rig = Rig { folder, buffer, store, promised, given: Vec::new(), numbers };
        rig.consume();
        assert_eq!(rig.given, rig.promised, "{kind}");
        filler.remove();
        rig.takes_again();
        rig.end();
    }
}

#[test]
fn a_disk_that_turns_read_only_is_still_read() {
    let Some(disk) = SmallDisk::ext4() else { return };
    let mut rig = Rig::begin(&disk);
    for _ in 0..40 {
        rig.append().unwrap();
    }
    // What ext4 does by itself when the medium fails.
    let point = disk.path();
    if let Err(why) = run("mount", &["-o", "remount,abort", point.to_str().unwrap()]) {
        return skip("mount -o remount,abort", &why);
    }
    let error = rig.append_until_refused();
    assert!(matches!(error, Error::Io { .. } | Error::Degraded { .. }), "{error}");
    let promised = rig.promised.clone();
    rig.consume();
    assert_eq!(rig.given, promised);
    drop((rig.store, rig.buffer));
    let error = open(&rig.folder).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_server_on_a_full_disk_asks_senders_to_come_again_and_takes_when_there_is_space() {
    let Some(disk) = SmallDisk::tmpfs(96) else { return };
    let server = Server::start(&disk.path());
    let client = Client::new();
    let mut kept = Vec::new();
    for number in 0..50 {
        let answer = export(&client, &server, number).await;
        assert_eq!(answer.status, 200);
        kept.push(number);
    }
    disk.fill();
    let refused = loop {
        let number = 100 + kept.len() as u64;
        let answer = export(&client, &server, number).await;
        if answer.status != 200 {
            break answer;
        }
        kept.push(number);
        assert!(kept.len() < 1_000, "a full disk takes everything");
    };
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    let url = format!("{}/opentelemetry.proto.collector.trace.v1.TraceService/Export", server.otlp_grpc());
    let answer = client.grpc(url, "identity", &wire::trace("shop", 9_999, 300)).await.unwrap();
    let (code, message) = answer.grpc_status();
    assert_eq!(code, 14, "{message}");
    assert!(message.contains("disk"), "{message}");
    let details =
        answer.trailers.get("grpc-status-details-bin").or(answer.headers.get("grpc-status-details-bin"));
    assert!(details.is_some(), "no RetryInfo: {answer:?}");
    // What is stored is shown meanwhile, after a start on the full disk too, however it ended before.
    shows_one(&client, &server).await;
    server.kill();
    let server = Server::start(&disk.path());
    shows_one(&client, &server).await;
    assert_eq!(server.terminate().0, Some(0));
    let filler = disk.fill();
    let server = Server::start(&disk.path());
    shows_one(&client, &server).await;
    filler.remove();
    let space = Instant::now();
    while export(&client, &server, 5_000).await.status != 200 {
        assert!(space.elapsed() < RECOVERY, "there is space, and it still refuses");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    kept.push(5_000);
    let stored = format!("/api/traces/{}", wire::trace_id(5_000));
    while client.get(server.query(&stored)).await.status != 200 {
        assert!(space.elapsed() < RECOVERY, "there is space, and it is not stored");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for number in kept {
        let url = server.query(&format!("/api/traces/{}", wire::trace_id(number)));
        let told = client.until(&url, |answer| answer.status == 200).await.json();
        assert_eq!(told["data"][0]["spans"].as_array().unwrap().len(), 300, "trace {number}");
    }
}

/// The trace that was sent first.
async fn shows_one(client: &Client, server: &Server) {
    let url = server.query(&format!("/api/traces/{}", wire::trace_id(0)));
    let told = client.until(&url, |answer| answer.status == 200).await.json();
    assert_eq!(told["data"][0]["spans"].as_array().unwrap().len(), 300);
}

#[tokio::test]
async fn a_limit_on_the_size_of_files_is_a_full_disk_and_no_end() {
    let data = tempfile::tempdir().unwrap();
    let plain = command(data.path(), &["buffer.reserve_size=64KiB"]);
    let mut limited = Command::new("prlimit");
    limited.arg("--fsize=4194304").arg(plain.get_program()).args(plain.get_args());
    let server = Server::launch(limited);
    let client = Client::new();
    let mut kept = Vec::new();
    let refused = loop {
        let number = kept.len() as u64;
        let answer = export(&client, &server, number).await;
        if answer.status != 200 {
            break answer;
        }
        kept.push(number);
        assert!(kept.len() < 1_000, "a file outgrows the limit");
    };
    assert_eq!(refused.status, 503);
    assert!(kept.len() > 10, "only {} requests before the limit", kept.len());
    assert_eq!(client.get(server.admin("/livez")).await.status, 200);
    server.kill();
    // Without the limit everything that was promised is there.
    let server = Server::start(data.path());
    for number in kept {
        let url = server.query(&format!("/api/traces/{}", wire::trace_id(number)));
        let told = client.until(&url, |answer| answer.status == 200).await.json();
        assert_eq!(told["data"][0]["spans"].as_array().unwrap().len(), 300, "trace {number}");
    }
}

async fn export(client: &Client, server: &Server, number: u64) -> Answer {
    let headers = [("content-type", "application/x-protobuf")];
    client.post(server.otlp_http("/v1/traces"), &headers, wire::trace("shop", number, 300)).await
}
