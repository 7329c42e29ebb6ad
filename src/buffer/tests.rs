//! The whole buffer, threads included, on the machine's own disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use bytes::Bytes;

use crate::buffer::queue::{Done, Errand, Pending, Queue};
use crate::buffer::simulated_disk::{Fault, SimulatedDisk};
use crate::buffer::{
    Buffer, Clock, Consumer, Durability, Environment, Error, FileStorageConfig, Frame, Recovery, Signal,
    StartAt, Take, WhenFull,
};

/// A clock that tests turn.
#[derive(Debug)]
pub(super) struct TestClock {
    wall_millis: AtomicU64,
    boot_millis: AtomicU64,
    boot_id: AtomicU64,
    boot_ids_told: AtomicU64,
}

impl TestClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            wall_millis: AtomicU64::new(1_700_000_000_000),
            boot_millis: AtomicU64::new(5_000),
            boot_id: AtomicU64::new(1),
            boot_ids_told: AtomicU64::new(0),
        })
    }

    pub(super) fn pass(&self, time: Duration) {
        self.wall_millis.fetch_add(millis(time), Ordering::Relaxed);
        self.boot_millis.fetch_add(millis(time), Ordering::Relaxed);
    }

    /// Sets the time of day back, as an administrator does.
    pub(super) fn turn_back(&self, time: Duration) {
        self.wall_millis.fetch_sub(millis(time), Ordering::Relaxed);
    }

    /// Sets the time of day forward, or back.
    pub(super) fn jump(&self, millis: i64) {
        let before = self.wall_millis.load(Ordering::Relaxed);
        self.wall_millis.store(before.saturating_add_signed(millis), Ordering::Relaxed);
    }

    pub(super) fn wall_millis(&self) -> u64 {
        self.wall_millis.load(Ordering::Relaxed)
    }

    /// The machine starts anew, `time` later.
    pub(super) fn reboot(&self, time: Duration) {
        self.wall_millis.fetch_add(millis(time), Ordering::Relaxed);
        self.boot_millis.store(0, Ordering::Relaxed);
        self.boot_id.fetch_add(1, Ordering::Relaxed);
    }

    /// How often the boot's id was asked for.
    pub(super) fn boot_ids_told(&self) -> u64 {
        self.boot_ids_told.load(Ordering::Relaxed)
    }
}

impl Clock for TestClock {
    fn wall_nanos(&self) -> u64 {
        self.wall_millis.load(Ordering::Relaxed) * 1_000_000
    }

    fn boot_millis(&self) -> u64 {
        self.boot_millis.load(Ordering::Relaxed)
    }

    fn boot_id(&self) -> u64 {
        self.boot_ids_told.fetch_add(1, Ordering::Relaxed);
        self.boot_id.load(Ordering::Relaxed)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}

/// Everything at once.
pub(super) const ALL: Take = Take { max_frames: usize::MAX, max_bytes: usize::MAX, max_items: u64::MAX };
/// Long enough for a busy machine; passed only when something is wrong.
const PATIENCE: Duration = Duration::from_secs(20);

fn open_with(folder: &Path, settings: FileStorageConfig) -> Result<(Buffer, Recovery), Error> {
    Buffer::open(folder, Signal::Traces, settings, Environment::host(TestClock::new()))
}

fn open(folder: &Path) -> (Buffer, Recovery) {
    open_with(folder, FileStorageConfig::appliance()).unwrap()
}

fn append(buffer: &Buffer, payload: &'static [u8]) -> Receiver<Result<u64, Error>> {
    let (answer, answered) = sync_channel(1);
    buffer.append(Bytes::from_static(payload), 1, move |outcome| answer.send(outcome).unwrap());
    answered
}

fn appended(buffer: &Buffer, payload: &'static [u8]) -> Result<u64, Error> {
    append(buffer, payload).recv_timeout(PATIENCE).unwrap()
}

fn next(consumer: &mut Consumer) -> Vec<Frame> {
    consumer.next(ALL, PATIENCE).unwrap()
}

fn payloads(frames: &[Frame]) -> Vec<&[u8]> {
    frames.iter().map(|frame| &*frame.payload).collect()
}

fn file_names(folder: &Path) -> Vec<String> {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn what_is_appended_comes_out_of_memory_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, _) = open(folder.path());
    let mut consumer = buffer.external_consumer("store", None).unwrap();
    assert_eq!(appended(&buffer, b"one").unwrap(), 1);
    let frames = next(&mut consumer);
    assert_eq!((frames[0].sequence, frames[0].items, &*frames[0].payload), (1, 1, &b"one"[..]));
    assert_eq!(buffer.stats().counters.frames_from_memory, 1);
}

#[test]
fn what_was_answered_is_there_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, _) = open(folder.path());
    appended(&buffer, b"one").unwrap();
    appended(&buffer, b"two").unwrap();
    let id = buffer.id();
    drop(buffer);
    let (buffer, recovery) = open(folder.path());
    assert_eq!((recovery.recovered_files, recovery.frames, recovery.next_sequence), (1, 2, 3));
    assert_eq!(buffer.id(), id);
    let mut consumer = buffer.external_consumer("store", Some(1)).unwrap();
    assert_eq!(payloads(&next(&mut consumer)), [b"two"]);
    assert_eq!(appended(&buffer, b"three").unwrap(), 3);
    assert_eq!(payloads(&next(&mut consumer)), [b"three"]);
}

#[test]
fn a_closed_buffer_gives_everything_and_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, _) = open(folder.path());
    let mut consumer = buffer.external_consumer("store", None).unwrap();
    let waiting: Vec<_> = (0..10).map(|_| append(&buffer, b"queued")).collect();
    buffer.close();
    buffer.close();
    for answered in waiting {
        answered.recv_timeout(PATIENCE).unwrap().unwrap();
    }
    assert!(matches!(appended(&buffer, b"late"), Err(Error::Closed)));
    assert_eq!(next(&mut consumer).len(), 10);
    assert!(matches!(consumer.next(ALL, PATIENCE), Err(Error::Closed)));
    assert_eq!(file_names(folder.path()), ["1700000000000", "LOCK"]);
    consumer.release(10);
    assert_eq!(file_names(folder.path()), ["LOCK"]);
}

#[test]
fn released_files_are_deleted_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let settings = FileStorageConfig { max_file_size: 4 << 10, ..FileStorageConfig::appliance() };
    let (buffer, _) = open_with(folder.path(), settings).unwrap();
    let mut consumer = buffer.external_consumer("store", None).unwrap();
    for _ in 0..3 {
        appended(&buffer, &[5; 3_000]).unwrap();
    }
    let mut given = 0;
    while given < 3 {
        given += next(&mut consumer).len();
    }
    consumer.release(3);
    buffer.close();
    assert_eq!(file_names(folder.path()), ["LOCK"]);
    assert_eq!(buffer.stats().counters.deleted_files, 3);
}

#[test]
fn a_panicking_callback_harms_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, _) = open(folder.path());
    buffer.append(Bytes::from_static(b"one"), 1, |_| panic!("a test's own"));
    assert_eq!(appended(&buffer, b"two").unwrap(), 2);
}

#[test]
fn callbacks_that_panic_while_the_buffer_is_abandoned_harm_nobody_else() {
    let (answer, answered) = sync_channel(1);
    let queue = Queue::new(FileStorageConfig::appliance().durability);
    let panicking: Done = Box::new(|_| panic!("a test's own"));
    let listening: Done = Box::new(move |outcome| answer.send(outcome).unwrap());
    for done in [panicking, Box::new(|_| panic!("another")), listening] {
        queue.push(Pending::new(Bytes::new(), 1, 0, done)).unwrap();
    }
    queue.abandon();
    assert!(matches!(answered.try_recv(), Ok(Err(Error::Closed))));
}

#[test]
fn a_writing_thread_that_panics_leaves_the_buffer_degraded() {
    let disk = SimulatedDisk::default();
    let (buffer, _) = Buffer::open(
        Path::new("/buffer"),
        Signal::Traces,
        FileStorageConfig::appliance(),
        Environment::new(Arc::new(disk.clone()), TestClock::new()),
    )
    .unwrap();
    disk.fail_after(0, Fault::Panic);
    assert!(matches!(appended(&buffer, b"one"), Err(Error::Closed)));
    buffer.close();
    let stats = buffer.stats();
    assert!(stats.degraded);
    assert_eq!(stats.trouble.as_deref(), Some("the thread that writes has panicked"));
}

#[test]
fn a_consumer_that_fell_out_of_memory_has_the_open_file_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let settings = FileStorageConfig { tail_bytes: 0, ..FileStorageConfig::appliance() };
    let (buffer, _) = open_with(folder.path(), settings).unwrap();
    let mut consumer = buffer.external_consumer("store", None).unwrap();
    appended(&buffer, b"one").unwrap();
    assert_eq!(payloads(&next(&mut consumer)), [b"one"]);
    let counters = buffer.stats().counters;
    assert_eq!((counters.demanded_seals, counters.frames_from_files), (1, 1));
}

#[test]
fn a_buffer_can_be_finished_and_cleared_on_demand() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, _) = open(folder.path());
    let mut consumer = buffer.consumer("upstream", StartAt::Oldest).unwrap();
    appended(&buffer, b"one").unwrap();
    buffer.seal().unwrap();
    assert_eq!(file_names(folder.path()), ["1700000000000", "LOCK", "cursor.upstream"]);
    appended(&buffer, b"two").unwrap();
    assert_eq!(buffer.clear().unwrap(), 2);
    assert_eq!(file_names(folder.path()), ["LOCK", "cursor.upstream"]);
    appended(&buffer, b"three").unwrap();
    assert_eq!(payloads(&next(&mut consumer)), [b"three"]);
    buffer.close();
    assert!(matches!(buffer.seal(), Err(Error::Closed)));
    assert_eq!(buffer.clear().unwrap(), 1);
    assert_eq!(file_names(folder.path()), ["LOCK", "cursor.upstream"]);
    drop(consumer);
    buffer.forget_consumer("upstream").unwrap();
    assert_eq!(file_names(folder.path()), ["LOCK"]);
}

#[test]
fn of_many_that_attach_one_name_at_once_one_has_it() {
    for _ in 0..20 {
        let folder = tempfile::tempdir().unwrap();
        let (buffer, _) = open(folder.path());
        let ready = std::sync::Barrier::new(4);
        let attached: Vec<_> = std::thread::scope(|scope| {
            let attach = || {
                ready.wait();
                buffer.consumer("upstream", StartAt::Oldest)
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(attach)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap().ok()).collect()
        });
        assert_eq!(attached.len(), 1);
        assert_eq!(file_names(folder.path()), ["LOCK", "cursor.upstream"]);
    }
}

#[test]
fn an_errand_waits_for_what_was_appended_before_it_only() {
    let queue = Queue::new(Durability::EachWrite);
    let push = || queue.push(Pending::new(Bytes::new(), 1, 0, Box::new(|_| ()))).unwrap();
    push();
    queue.send(Errand::Seal(sync_channel(1).0)).unwrap();
    push();
    push();
    let work = queue.take(None);
    assert_eq!((work.group.len(), work.errands.len()), (1, 1));
    assert_eq!(queue.take(None).errands.len(), 0);
}

#[test]
fn an_append_waits_for_room_where_the_settings_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let when_full = WhenFull::Block(PATIENCE);
    let sizes = FileStorageConfig {
        max_file_size: 4 << 10,
        max_folder_size: 16 << 10,
        ..FileStorageConfig::appliance()
    };
    let (buffer, _) = open_with(folder.path(), FileStorageConfig { when_full, ..sizes }).unwrap();
    let mut consumer = buffer.external_consumer("store", None).unwrap();
    let waiting: Vec<_> = (0..8).map(|_| append(&buffer, &[7; 3_000])).collect();
    let mut given = 0;
    while given < 8 {
        given += next(&mut consumer).len() as u64;
        consumer.release(given);
    }
    for answered in waiting {
        answered.recv_timeout(PATIENCE).unwrap().unwrap();
    }
}

#[test]
fn no_thread_misses_the_end() {
    for _ in 0..2_000 {
        let environment = Environment::new(Arc::new(SimulatedDisk::default()), TestClock::new());
        let config = FileStorageConfig::appliance();
        let (buffer, _) = Buffer::open(Path::new("/buffer"), Signal::Traces, config, environment).unwrap();
        buffer.close();
    }
}

#[test]
fn what_waits_for_room_is_refused_when_the_buffer_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let when_full = WhenFull::Block(Duration::from_secs(24 * 60 * 60));
    let sizes = FileStorageConfig {
        max_file_size: 4 << 10,
        max_folder_size: 16 << 10,
        ..FileStorageConfig::appliance()
    };
    let (buffer, _) = open_with(folder.path(), FileStorageConfig { when_full, ..sizes }).unwrap();
    let _consumer = buffer.external_consumer("store", None).unwrap();
    let waiting: Vec<_> = (0..8).map(|_| append(&buffer, &[7; 3_000])).collect();
    buffer.close();
    let answers = waiting.iter().map(|answered| answered.recv_timeout(PATIENCE).unwrap());
    let refused = answers.filter(|answer| matches!(answer, Err(Error::Full { .. }))).count();
    assert!(refused > 0);
}

#[test]
fn a_second_opening_of_a_folder_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (_buffer, _) = open(folder.path());
    let error = open_with(folder.path(), FileStorageConfig::appliance()).unwrap_err();
    assert!(matches!(error, Error::Locked { .. }));
    assert_eq!(error.to_string(), format!("lock {}: in use by another process", folder.path().display()));
}

#[test]
fn a_folder_of_another_signal_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let opened = Buffer::open(
        folder.path(),
        Signal::Logs,
        FileStorageConfig::appliance(),
        Environment::host(TestClock::new()),
    );
    assert!(matches!(opened, Err(Error::OtherSignal { found: Signal::Traces, wanted: Signal::Logs, .. })));
}

#[test]
fn a_payload_that_fits_no_file_is_refused_with_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let settings = FileStorageConfig { max_file_size: 4096, ..FileStorageConfig::appliance() };
    let limit = settings.max_payload_bytes();
    let (buffer, _) = open_with(folder.path(), settings).unwrap();
    let payload: &'static [u8] = vec![7; limit + 1].leak();
    let error = appended(&buffer, payload).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("append {} bytes: the limit is {limit} bytes, by max_file_size", limit + 1)
    );
    appended(&buffer, &payload[..limit]).unwrap();
    assert_eq!(buffer.stats().counters.refused_too_large.frames, 1);
}

#[test]
fn the_last_handle_may_be_dropped_by_a_callback() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, _) = open(folder.path());
    let (answer, answered) = sync_channel(1);
    let held = buffer.clone();
    let (go, gone) = sync_channel::<()>(1);
    buffer.append(Bytes::from_static(b"one"), 1, move |outcome| {
        gone.recv_timeout(PATIENCE).unwrap();
        drop(held);
        answer.send(outcome.is_ok()).unwrap();
    });
    drop(buffer);
    go.send(()).unwrap();
    assert!(answered.recv_timeout(PATIENCE).unwrap());
}

#[test]
fn many_producers_share_syncs_and_nothing_is_lost_or_reordered() {
    let folder = tempfile::tempdir().unwrap();
    let settings = FileStorageConfig { max_file_size: 64 << 10, ..FileStorageConfig::appliance() };
    let (buffer, _) = open_with(folder.path(), settings).unwrap();
    let mut consumer = buffer.external_consumer("store", None).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let waiting: Vec<_> = (0..100).map(|_| append(&buffer, &[9; 700])).collect();
                for answered in waiting {
                    answered.recv_timeout(PATIENCE).unwrap().unwrap();
                }
            });
        }
        let mut seen = 0;
        while seen < 800 {
            for frame in next(&mut consumer) {
                seen += 1;
                assert_eq!(frame.sequence, seen);
            }
            consumer.release(seen);
        }
    });
    let counters = buffer.stats().counters;
    assert!(counters.groups < 800, "{counters:?}");
    assert_eq!(counters.appended_frames, 800);
}
