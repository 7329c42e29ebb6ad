//! A buffer whose process kills itself right before, within or after a chosen file operation, while it opens, appends,
//! seals, saves positions, deletes, evicts, clears, or gives its reserve back: nothing it promised is lost, nothing comes
//! twice to who keeps its own position, and it always opens again.
//!
//! The test runs itself again as the process to be killed. What that one was told it notes in a file, and what it was
//! given in another, which it syncs as a store would: both survive it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::ops::Range;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tracelodge::buffer::{
    Buffer, Clock, Consumer, Disk, DiskFile, Entry, Environment, Error, FileStorageConfig, Frame, HostDisk,
    Reserve, Signal, StartAt, Take,
};

use crate::harness::PATIENCE;

/// Kills in a normal run; `KILL_ROUNDS=10000` asks for more.
const ROUNDS: u64 = 280;
/// Then a new folder is begun, so that a long run does not spend itself on reading back.
const ROUNDS_PER_FOLDER: u64 = 35;
/// Tells the process that it is to be killed, and how.
const MARK: &str = "KILLED_AT";
/// Steps of a life that is not cut short.
const STEPS: u64 = 40;
/// Most payloads that are appended at once.
const MAX_GROUP: u64 = 4;

/// What a process is killed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    CreateNew,
    Write,
    Sync,
    SetLength,
    Rename,
    Unlink,
    SyncFolder,
}

const OPERATIONS: [Operation; 7] = [
    Operation::Write,
    Operation::Sync,
    Operation::Rename,
    Operation::SyncFolder,
    Operation::CreateNew,
    Operation::Unlink,
    Operation::SetLength,
];

/// On which side of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    Before,
    /// Half of a write is done; of anything else nothing.
    Within,
    After,
}

const MOMENTS: [Moment; 3] = [Moment::Before, Moment::After, Moment::Within];

/// One life: which operation it ends at, counted from one.
#[derive(Debug, Clone, Copy)]
struct End {
    round: u64,
    operation: Operation,
    moment: Moment,
    count: u64,
}

impl End {
    /// Visits every operation on each side; every other life ends early, many of those while it opens the folder.
    fn of(round: u64) -> Self {
        let operation = OPERATIONS[(round % OPERATIONS.len() as u64) as usize];
        let turn = round / OPERATIONS.len() as u64;
        let moment = MOMENTS[(turn % MOMENTS.len() as u64) as usize];
        let many = matches!(operation, Operation::Write | Operation::Sync);
        let count = match turn / 2 % 4 {
            _ if operation == Operation::SetLength => 1 + turn % 2,
            0 => 1 + turn % 3,
            1 => 1 + turn % 7,
            _ if many => 1 + turn * 7 % 40,
            _ => 1 + turn * 5 % 8,
        };
        Self { round, operation, moment, count }
    }

    fn encode(self) -> String {
        let place = |wanted: Operation| OPERATIONS.iter().position(|known| *known == wanted).unwrap();
        let side = MOMENTS.iter().position(|known| *known == self.moment).unwrap();
        format!("{} {} {side} {}", self.round, place(self.operation), self.count)
    }

    fn decode(text: &str) -> Self {
        let numbers: Vec<u64> = text.split(' ').map(|number| number.parse().unwrap()).collect();
        let [round, operation, side, count] = numbers[..] else { panic!("{text}") };
        Self { round, operation: OPERATIONS[operation as usize], moment: MOMENTS[side as usize], count }
    }
}

#[test]
fn whatever_a_process_is_killed_at_nothing_promised_is_lost_or_comes_twice() {
    let rounds = rounds();
    let mut killed = BTreeMap::<String, u64>::new();
    for first in (0..rounds).step_by(ROUNDS_PER_FOLDER as usize) {
        lives_of_one_folder(first..rounds.min(first + ROUNDS_PER_FOLDER), &mut killed);
    }
    if rounds >= ROUNDS {
        for operation in OPERATIONS {
            let name = format!("{operation:?}");
            assert!(killed.get(&name).is_some_and(|kills| *kills > rounds / 40), "{name} among {killed:?}");
        }
    }
}

/// The process that is killed; by itself it does nothing.
#[test]
fn a_life_that_is_cut_short() {
    let Some(mark) = std::env::var_os(MARK) else { return };
    let mark = mark.into_string().unwrap();
    let (end, folder) = mark.split_once('|').unwrap();
    live(End::decode(end), Path::new(folder));
}

fn rounds() -> u64 {
    let asked = std::env::var_os("KILL_ROUNDS");
    asked.map_or(ROUNDS, |rounds| rounds.to_str().unwrap().parse().expect("KILL_ROUNDS is a number"))
}

/// Lives and ends, again and again on the same folder, and at last reads back everything.
fn lives_of_one_folder(rounds: Range<u64>, killed: &mut BTreeMap<String, u64>) {
    let folder = tempfile::tempdir().unwrap();
    for round in rounds.clone() {
        let end = End::of(round);
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "steered_kills::a_life_that_is_cut_short", "--nocapture", "--test-threads=1"])
            .env(MARK, format!("{}|{}", end.encode(), folder.path().display()))
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = || String::from_utf8_lossy(&child.stderr).into_owned();
        assert!(child.status.success() || child.status.signal() == Some(9), "{end:?}: {}", said());
        *killed.entry(format!("{:?}", end.operation)).or_default() += u64::from(!child.status.success());
        if round % 10 == 9 || round + 1 == rounds.end {
            read_everything(folder.path(), round);
            Notes::read(folder.path()).check(end);
        }
    }
}

/// What the lives of a folder are about, besides appending, sealing and deleting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// A second consumer that moves on, and must be given everything too.
    Positions,
    /// A second consumer that hardly does, in a folder that is soon full.
    Evicting,
    Clearing,
    /// A disk that finds itself full now and then.
    Reserve,
}

impl About {
    fn of(round: u64) -> Self {
        let all = [Self::Positions, Self::Evicting, Self::Clearing, Self::Reserve];
        all[(round / ROUNDS_PER_FOLDER) as usize % all.len()]
    }
}

/// A buffer and those who read it.
struct Rig {
    about: About,
    buffer: Buffer,
    reserve: Arc<Reserve>,
    store: Consumer,
    upstream: Consumer,
    told: Notebook,
    given: Notebook,
    sent: Notebook,
}

/// Opens, appends, consumes and releases until it is killed, or long enough.
fn live(end: End, folder: &Path) {
    let disk = KillingDisk { end, passed: Arc::default() };
    let mut rig = Rig::open(folder, Arc::new(disk), end.round);
    for step in 0..STEPS {
        rig.append(end.round * STEPS * MAX_GROUP + step * MAX_GROUP, 1 + step % MAX_GROUP);
        let turn = step + end.round;
        if turn.is_multiple_of(3) {
            rig.consume(2 + step as usize % 9);
        }
        if rig.about != About::Evicting && turn.is_multiple_of(4) {
            rig.send(1 + step as usize % 7, turn.is_multiple_of(8));
        }
        match rig.about {
            About::Positions if turn.is_multiple_of(11) => rig.buffer.seal().unwrap(),
            About::Clearing if turn.is_multiple_of(7) => {
                rig.told.write("clearing");
                rig.buffer.clear().unwrap();
            }
            About::Reserve if turn.is_multiple_of(9) => rig.reserve.release(),
            _ => {}
        }
    }
    rig.buffer.close();
}

impl Rig {
    fn open(folder: &Path, disk: Arc<dyn Disk>, life: u64) -> Self {
        let about = About::of(life);
        let settings = FileStorageConfig {
            max_file_size: 4 << 10,
            max_folder_size: if about == About::Evicting { 24 << 10 } else { 512 << 10 },
            tail_bytes: 4_000,
            min_seal_interval: Duration::from_millis(1),
            ..FileStorageConfig::appliance()
        };
        let reserve = Arc::new(Reserve::open(Arc::clone(&disk), &folder.join("reserve"), 16 << 10).unwrap());
        let environment = Environment::new(disk, Arc::new(LifeClock { life, begun: Instant::now() }));
        let environment = environment.with_reserve(Arc::clone(&reserve));
        let (buffer, _) =
            Buffer::open(&folder.join("buffer"), Signal::Traces, settings, environment).unwrap();
        let store = buffer.external_consumer("store", Notes::read(folder).applied()).unwrap();
        let upstream = buffer.consumer("upstream", StartAt::Oldest).unwrap();
        let [told, given, sent] = ["told", "given", "sent"].map(|name| Notebook::open(&folder.join(name)));
        Self { about, buffer, reserve, store, upstream, told, given, sent }
    }

    /// Appends a group and notes each payload's number before, and each answer after.
    fn append(&self, first: u64, payloads: u64) {
        let (answer, answers) = sync_channel(MAX_GROUP as usize);
        for number in first..first + payloads {
            self.told.write(&format!("offered {number}"));
            let answer = answer.clone();
            self.buffer.append(payload(number), 1, move |outcome| answer.send((number, outcome)).unwrap());
        }
        for _ in 0..payloads {
            match answers.recv_timeout(PATIENCE).unwrap() {
                (number, Ok(sequence)) => self.told.write(&format!("kept {number} {sequence}")),
                (_, Err(Error::Full { .. } | Error::NoSpace { .. })) => {}
                (number, Err(error)) => panic!("payload {number}: {error}"),
            }
        }
    }

    /// Takes frames for the store, keeps them with their numbers in one durable write, and releases them.
    fn consume(&mut self, max_frames: usize) {
        let frames = next(&mut self.store, max_frames);
        let Some(last) = frames.last() else { return };
        self.given.write(&line(&frames));
        self.given.sync();
        self.store.release(last.sequence);
    }

    /// Takes frames for upstream, notes that they are sent, and releases them.
    fn send(&mut self, max_frames: usize, save: bool) {
        let frames = next(&mut self.upstream, max_frames);
        if let Some(last) = frames.last() {
            self.sent.write(&line(&frames));
            self.upstream.release(last.sequence);
        }
        if save {
            self.upstream.save().unwrap();
        }
    }
}

fn next(consumer: &mut Consumer, max_frames: usize) -> Vec<Frame> {
    let take = Take { max_frames, max_bytes: usize::MAX, max_items: u64::MAX };
    consumer.next(take, Duration::from_millis(5)).unwrap()
}

fn line(frames: &[Frame]) -> String {
    let pairs: Vec<_> = frames.iter().map(|frame| format!("{}={}", frame.sequence, number(frame))).collect();
    pairs.join(" ")
}

/// What the last of a folder's lives left is read by a process that nobody kills.
fn read_everything(folder: &Path, round: u64) {
    let mut rig = Rig::open(folder, Arc::new(HostDisk), round);
    let deadline = Instant::now() + PATIENCE;
    while rig.buffer.stats().consumers.iter().any(|consumer| consumer.pending.frames > 0) {
        rig.consume(100);
        rig.send(100, true);
        assert!(Instant::now() < deadline, "still {:?}", rig.buffer.stats().consumers);
    }
    rig.buffer.close();
}

fn payload(number: u64) -> Bytes {
    let size = 8 + (number.wrapping_mul(2_654_435_761) % 1_300) as usize;
    let mut payload = number.to_le_bytes().to_vec();
    payload.extend((8..size).map(|at| (number as usize + at) as u8));
    payload.into()
}

/// The number of a payload that came back as it was.
fn number(frame: &Frame) -> u64 {
    let number = u64::from_le_bytes(*frame.payload.first_chunk().unwrap());
    assert_eq!(frame.payload, payload(number), "frame {}", frame.sequence);
    number
}

/// What was told and given in all lives of a folder.
#[derive(Debug, Default)]
struct Notes {
    offered: BTreeSet<u64>,
    /// Sequence by payload.
    kept: BTreeMap<u64, u64>,
    /// The same, of what was cleared later.
    cleared: BTreeMap<u64, u64>,
    /// Sequence and payload, in the order in which they came.
    given: Vec<(u64, u64)>,
    sent: Vec<(u64, u64)>,
}

impl Notes {
    fn read(folder: &Path) -> Self {
        let mut notes = Self::default();
        for line in lines(&folder.join("told")) {
            let words: Vec<_> = line.split(' ').collect();
            match words[..] {
                ["offered", number] => drop(notes.offered.insert(number.parse().unwrap())),
                ["kept", number, sequence] => {
                    notes.kept.insert(number.parse().unwrap(), sequence.parse().unwrap());
                }
                ["clearing"] => notes.cleared.append(&mut notes.kept),
                _ => panic!("{line}"),
            }
        }
        (notes.given, notes.sent) = (pairs(&folder.join("given")), pairs(&folder.join("sent")));
        notes
    }

    fn applied(&self) -> Option<u64> {
        self.given.last().map(|(sequence, _)| *sequence)
    }

    fn check(&self, end: End) {
        assert!(self.given.is_sorted_by(|(a, _), (b, _)| a < b), "{end:?}: given out of order or twice");
        let given: BTreeMap<u64, u64> =
            self.given.iter().map(|(sequence, number)| (*number, *sequence)).collect();
        assert_eq!(given.len(), self.given.len(), "{end:?}: a payload was given twice");
        let sent: BTreeMap<u64, u64> =
            self.sent.iter().map(|(sequence, number)| (*number, *sequence)).collect();
        for (number, sequence) in &self.kept {
            assert_eq!(given.get(number), Some(sequence), "{end:?}: payload {number} was promised");
            // Upstream is the one that may lose something in a full folder.
            if About::of(end.round) != About::Evicting {
                assert_eq!(sent.get(number), Some(sequence), "{end:?}: payload {number} was never sent");
            }
        }
        assert!(
            given.keys().all(|number| self.offered.contains(number)),
            "{end:?}: given, but never offered"
        );
        self.check_numbers(end);
    }

    /// Whoever speaks of a sequence means the same payload.
    fn check_numbers(&self, end: End) {
        let mut numbers = BTreeMap::new();
        let told = self.kept.iter().chain(&self.cleared).map(|(number, sequence)| (*sequence, *number));
        for (sequence, number) in told.chain(self.given.iter().copied()).chain(self.sent.iter().copied()) {
            let known = *numbers.entry(sequence).or_insert(number);
            assert_eq!(known, number, "{end:?}: number {sequence} is used twice");
        }
    }
}

fn pairs(path: &Path) -> Vec<(u64, u64)> {
    let lines = lines(path);
    let pairs = lines.iter().flat_map(|line| line.split(' ')).map(|pair| pair.split_once('=').unwrap());
    pairs.map(|(sequence, number)| (sequence.parse().unwrap(), number.parse().unwrap())).collect()
}

/// The whole lines of a file: one that a kill has cut short was never written, and is cut off.
fn lines(path: &Path) -> Vec<String> {
    let Ok(mut file) = OpenOptions::new().read(true).write(true).open(path) else { return Vec::new() };
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    file.set_len(whole as u64).unwrap();
    text[..whole].lines().map(str::to_owned).collect()
}

/// Lines that survive the process, each by one write.
struct Notebook(Mutex<File>);

impl Notebook {
    fn open(path: &Path) -> Self {
        Self(Mutex::new(OpenOptions::new().append(true).create(true).open(path).unwrap()))
    }

    fn write(&self, line: &str) {
        self.0.lock().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    fn sync(&self) {
        self.0.lock().unwrap().sync_data().unwrap();
    }
}

/// Each life an hour after the one before, and each a hundred times as fast as life.
#[derive(Debug)]
struct LifeClock {
    life: u64,
    begun: Instant,
}

impl Clock for LifeClock {
    fn wall_nanos(&self) -> u64 {
        (1_700_000_000_000 + self.life * 3_600_000 + self.boot_millis()) * 1_000_000
    }

    fn boot_millis(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap() / 10
    }

    fn boot_id(&self) -> u64 {
        self.life
    }
}

/// The machine's disk, until the end.
#[derive(Debug, Clone)]
struct KillingDisk {
    end: End,
    passed: Arc<AtomicU64>,
}

#[derive(Debug)]
struct KillingFile {
    file: Box<dyn DiskFile>,
    disk: KillingDisk,
}

impl KillingDisk {
    fn operate<T>(&self, operation: Operation, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let last = operation == self.end.operation
            && self.passed.fetch_add(1, Ordering::SeqCst) + 1 == self.end.count;
        if last && self.end.moment != Moment::After {
            die();
        }
        let outcome = act();
        if last {
            die();
        }
        outcome
    }

    fn wrap(&self, file: io::Result<Box<dyn DiskFile>>) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(KillingFile { file: file?, disk: self.clone() }))
    }
}

fn die() -> ! {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    loop {
        std::thread::park();
    }
}

impl Disk for KillingDisk {
    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        HostDisk.create_folder(folder)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        HostDisk.list(folder)
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.wrap(self.operate(Operation::CreateNew, || HostDisk.create_new(path)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.wrap(HostDisk.open(path))
    }

    fn open_to_mend(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.wrap(HostDisk.open_to_mend(path))
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.wrap(HostDisk.lock(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.operate(Operation::Rename, || HostDisk.rename(from, to))
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.operate(Operation::Unlink, || HostDisk.unlink(path))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.operate(Operation::SyncFolder, || HostDisk.sync_folder(folder))
    }
}

impl DiskFile for KillingFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let End { moment, count, .. } = self.disk.end;
        let within = moment == Moment::Within && self.disk.passed.load(Ordering::SeqCst) + 1 == count;
        if within && self.disk.end.operation == Operation::Write {
            self.file.write_at(&bytes[..bytes.len() / 2], offset)?;
        }
        self.disk.operate(Operation::Write, || self.file.write_at(bytes, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.operate(Operation::Sync, || self.file.sync_data())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.operate(Operation::SetLength, || self.file.set_len(bytes))
    }
}
