//! The buffer against a simple model, on a disk that fails and forgets: random lives first, then single events.
//!
//! No threads here: the committer's work is done step by step, so that every life can be lived again.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::FileFailurePersistence;

use crate::buffer::committer::commit_once;
use crate::buffer::folder::Folder;
use crate::buffer::journal::Journal;
use crate::buffer::queue::{Answer, Pending};
use crate::buffer::simulated_disk::{Fault, SimulatedDisk};
use crate::buffer::tests::{ALL, TestClock};
use crate::buffer::writer::Writer;
use crate::buffer::{Clock, Consumer, Durability, Error, FileStorageConfig, Recovery, Signal, Take};

pub(super) const FOLDER: &str = "/buffer";

/// One process that has the folder open.
pub(super) struct Process {
    pub(super) journal: Arc<Journal>,
    pub(super) writer: Writer,
}

impl Process {
    pub(super) fn open(
        disk: &SimulatedDisk,
        clock: &Arc<TestClock>,
        settings: &FileStorageConfig,
    ) -> Result<(Self, Recovery), Error> {
        let folder = Folder { path: FOLDER.into(), disk: Arc::new(disk.clone()) };
        let clock: Arc<dyn Clock> = Arc::<TestClock>::clone(clock);
        let (journal, writer, recovery) = Journal::open(folder, Signal::Traces, settings.clone(), clock)?;
        Ok((Self { journal: Arc::new(journal), writer }, recovery))
    }

    pub(super) fn consumer(&self, applied: Option<u64>) -> Consumer {
        Consumer::attach(Arc::clone(&self.journal), "store", applied).unwrap()
    }

    pub(super) fn queue(&self, payload: Vec<u8>) -> Receiver<Result<u64, Error>> {
        let (answer, answered) = sync_channel(1);
        let done = Box::new(move |outcome| answer.send(outcome).unwrap());
        let pending = Pending::new(payload.into(), 1, self.journal.clock.wall_nanos(), done);
        self.journal.queue.push(pending).unwrap();
        answered
    }

    /// What the committer would do now.
    pub(super) fn work(&mut self) {
        commit_once(&self.journal, &mut self.writer, Some(Instant::now()), |answers| {
            answers.into_iter().for_each(Answer::give);
        });
    }

    pub(super) fn append(&mut self, payload: Vec<u8>) -> Result<u64, Error> {
        let answered = self.queue(payload);
        self.work();
        answered.try_recv().unwrap()
    }
}

/// What happens in a life.
#[derive(Debug, Clone)]
enum Event {
    /// Appends that are committed as one group, by the sizes of their payloads.
    Append(Vec<usize>),
    /// The consumer takes so many frames and makes them durable together with its position.
    Consume(usize),
    /// It tells the buffer so.
    Release,
    /// The sweeper runs.
    Sweep,
    Pass(u64),
    /// A file operation to come fails.
    Fail(u32, Fault),
    /// The process ends as it should, or dies, or the power is cut; then it is started again.
    Close,
    Crash,
    CutPower(u64),
}

fn event() -> impl Strategy<Value = Event> {
    let fault = prop_oneof![Just(Fault::Failure), Just(Fault::NoSpace), Just(Fault::PowerCut)];
    prop_oneof![
        8 => vec(8..1_500_usize, 1..6).prop_map(Event::Append),
        6 => (1..8_usize).prop_map(Event::Consume),
        3 => Just(Event::Release),
        2 => Just(Event::Sweep),
        2 => (0..40_000_u64).prop_map(Event::Pass),
        3 => (0..12_u32, fault).prop_map(|(passed, fault)| Event::Fail(passed, fault)),
        1 => Just(Event::Close),
        1 => Just(Event::Crash),
        1 => any::<u64>().prop_map(Event::CutPower),
    ]
}

fn durability() -> impl Strategy<Value = Durability> {
    let group_commit = |linger| Durability::GroupCommit { linger };
    prop_oneof![
        4 => Just(group_commit(Duration::ZERO)),
        1 => Just(Durability::EachWrite),
        2 => Just(Durability::Relaxed),
        2 => (1..20_000_u64).prop_map(|every| Durability::Interval(Duration::from_millis(every))),
    ]
}

pub(super) fn small() -> FileStorageConfig {
    FileStorageConfig {
        max_file_size: 4 << 10,
        max_folder_size: 20 << 10,
        tail_bytes: 3_000,
        ..FileStorageConfig::appliance()
    }
}

/// The model: which payloads were promised, and what the consumer has made durable.
struct Life {
    disk: SimulatedDisk,
    clock: Arc<TestClock>,
    settings: FileStorageConfig,
    process: Option<(Process, Consumer)>,
    payloads: u64,
    /// Payload by sequence, for everything that was ever answered or delivered.
    numbers: BTreeMap<u64, u64>,
    promised: BTreeSet<u64>,
    stored: BTreeSet<u64>,
    applied: Option<u64>,
    /// The last number that a frame was given.
    issued: u64,
    /// What that was when the power was last cut: up to it frames, of groups that were never answered, may be damaged.
    suspect: u64,
    /// Frames that were called damaged since the process was started.
    damaged: u64,
}

impl Life {
    fn begin(durability: Durability) -> Self {
        let mut life = Self {
            disk: SimulatedDisk::default(),
            clock: TestClock::new(),
            settings: FileStorageConfig { durability, ..small() },
            process: None,
            payloads: 0,
            numbers: BTreeMap::new(),
            promised: BTreeSet::new(),
            stored: BTreeSet::new(),
            applied: None,
            issued: 0,
            suspect: 0,
            damaged: 0,
        };
        life.start();
        life
    }

    fn live(&mut self, event: &Event) {
        match event {
            Event::Append(sizes) => self.append(sizes),
            Event::Consume(frames) => {
                self.consume(*frames);
            }
            Event::Release => {
                let (_, consumer) = self.process.as_mut().unwrap();
                consumer.release(self.applied.unwrap_or(0));
            }
            Event::Sweep => drop(self.process.as_ref().unwrap().0.journal.sweep()),
            Event::Pass(millis) => {
                self.clock.pass(Duration::from_millis(*millis));
                self.process.as_mut().unwrap().0.work();
            }
            Event::Fail(passed, fault) => self.disk.fail_after(*passed, *fault),
            Event::Close => {
                let (process, _) = self.process.as_mut().unwrap();
                drop(process.writer.seal(&process.journal));
                self.restart();
            }
            Event::Crash => self.restart(),
            Event::CutPower(seed) => self.lose_power(*seed),
        }
        if self.disk.is_off() {
            self.lose_power(self.payloads);
        }
        self.check_folder();
    }

    fn append(&mut self, sizes: &[usize]) {
        let (process, _) = self.process.as_mut().unwrap();
        let first = self.payloads;
        self.payloads += sizes.len() as u64;
        let answers: Vec<_> =
            (first..).zip(sizes).map(|(id, size)| (id, process.queue(payload(id, *size)))).collect();
        while process.journal.queue.bytes() > 0 {
            process.work();
        }
        for (id, answer) in answers {
            if let Ok(sequence) = answer.try_recv().unwrap() {
                self.promised.insert(id);
                assert_eq!(
                    *self.numbers.entry(sequence).or_insert(id),
                    id,
                    "number {sequence} is used twice"
                );
            }
        }
    }

    /// Takes frames; if they must come from the open file, that is sealed first.
    fn consume(&mut self, max_frames: usize) -> usize {
        let (process, consumer) = self.process.as_mut().unwrap();
        let may_be_damaged = self.applied.unwrap_or(0) < self.suspect;
        self.disk.take_opened();
        let take = Take { max_frames, ..ALL };
        let mut frames = consumer.next(take, Duration::ZERO).unwrap();
        if frames.is_empty() {
            self.clock.pass(self.settings.min_seal_interval);
            process.work();
            frames = consumer.next(take, Duration::ZERO).unwrap();
        }
        assert!(frames.len() <= max_frames);
        let opened = self.disk.take_opened();
        assert!(opened.iter().all(|path| path.extension().is_none()), "read while being written: {opened:?}");
        for frame in &frames {
            let id = u64::from_le_bytes(*frame.payload.first_chunk().unwrap());
            assert_eq!(frame.payload, payload(id, frame.payload.len()), "frame {}", frame.sequence);
            assert!(self.applied < Some(frame.sequence), "{} came after {:?}", frame.sequence, self.applied);
            assert_eq!(
                *self.numbers.entry(frame.sequence).or_insert(id),
                id,
                "number {} was used twice",
                frame.sequence
            );
            assert!(self.stored.insert(id), "payload {id} was delivered twice");
            self.applied = Some(frame.sequence);
        }
        let damaged = process.journal.stats().counters.damaged_frames;
        assert!(damaged == self.damaged || may_be_damaged, "{damaged} frames are called damaged");
        self.damaged = damaged;
        frames.len()
    }

    /// Opens the folder: at once, or when the disk works again. Opening once more changes nothing.
    fn start(&mut self) {
        let opened = Process::open(&self.disk, &self.clock, &self.settings);
        if self.disk.is_off() {
            drop(opened);
            self.suspect = self.issued;
            self.forgive();
            self.disk.cut_power(|| true);
        } else {
            drop(opened);
        }
        self.disk.fail_no_more();
        let (process, first) = Process::open(&self.disk, &self.clock, &self.settings).unwrap();
        drop(process);
        let files = self.disk.paths();
        let (process, again) = Process::open(&self.disk, &self.clock, &self.settings).unwrap();
        assert_eq!(self.disk.paths(), files, "opening again changed something");
        assert_eq!(
            (first.files, first.frames, first.next_sequence),
            (again.files, again.frames, again.next_sequence)
        );
        assert_eq!((again.recovered_files, again.torn_bytes, again.empty_files), (0, 0, 0));
        let consumer = process.consumer(self.applied);
        self.process = Some((process, consumer));
    }

    fn restart(&mut self) {
        self.stop();
        self.start();
    }

    fn stop(&mut self) {
        let (process, _) = self.process.take().unwrap();
        self.issued = process.journal.stats().last_sequence;
        self.damaged = 0;
    }

    fn lose_power(&mut self, seed: u64) {
        self.stop();
        self.suspect = self.issued;
        self.forgive();
        let mut state = seed | 1;
        self.disk.cut_power(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % 8 < seed % 9
        });
        self.start();
    }

    /// Where answers do not wait for syncs, a power cut may take what was promised. Numbers that the consumer has made
    /// durable are not given again even then.
    fn forgive(&mut self) {
        if let Durability::Relaxed | Durability::Interval(_) = self.settings.durability {
            self.promised.retain(|id| self.stored.contains(id));
            self.numbers.retain(|sequence, _| Some(*sequence) <= self.applied);
        }
    }

    fn check_folder(&self) {
        let (bytes, limit) = (self.disk.total_bytes(), self.settings.max_folder_size);
        assert!(bytes <= limit, "{bytes} bytes in a folder of {limit}");
        let accounted = self.process.as_ref().unwrap().0.journal.stats().folder_bytes;
        assert!(bytes <= accounted, "{bytes} bytes in the folder, {accounted} accounted for");
        assert!(accounted <= limit, "{accounted} bytes accounted for in a folder of {limit}");
    }

    /// In the end everything that was promised has been delivered.
    fn end(&mut self) {
        self.disk.fail_no_more();
        self.restart();
        while self.consume(3) > 0 {}
        let lost: Vec<_> = self.promised.difference(&self.stored).collect();
        assert!(lost.is_empty(), "promised, but never delivered: {lost:?}");
        let (process, consumer) = self.process.as_mut().unwrap();
        consumer.release(self.applied.unwrap_or(0));
        process.append(payload(u64::MAX, 100)).expect("a buffer with everything released takes more");
    }
}

pub(super) fn payload(id: u64, size: usize) -> Vec<u8> {
    let mut bytes = id.to_le_bytes().to_vec();
    bytes.extend((8..size).map(|at| (id as usize).wrapping_mul(31).wrapping_add(at) as u8));
    bytes
}

/// How many lives are lived; `BUFFER_CASES` asks for more.
pub(super) fn cases() -> u32 {
    std::env::var_os("BUFFER_CASES").and_then(|cases| cases.to_str()?.parse().ok()).unwrap_or(300)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_promised_is_delivered_once_through_any_life(
        durability in durability(),
        events in vec(event(), 1..60),
    ) {
        let mut life = Life::begin(durability);
        for event in &events {
            life.live(event);
        }
        life.end();
    }
}

/// Lives that went wrong once.
#[test]
fn no_mistake_is_made_twice() {
    use Event::{Append, Crash, Fail, Pass};
    let lives = [
        // A disk that fails while a file is mended is no reason to give the file up.
        vec![Append(vec![8]), Fail(1, Fault::Failure), Crash],
        // What a failed sync left in a file is in the next file too, and here only there.
        vec![
            Fail(5, Fault::Failure),
            Append(vec![8, 8]),
            Fail(0, Fault::Failure),
            Append(vec![305, 8]),
            Fail(5, Fault::PowerCut),
            Pass(30_000),
            Append(vec![8, 8]),
        ],
    ];
    for events in lives {
        let mut life = Life::begin(small().durability);
        events.iter().for_each(|event| life.live(event));
        life.end();
    }
}

pub(super) fn begun(settings: FileStorageConfig) -> (SimulatedDisk, Arc<TestClock>, Process) {
    let (disk, clock) = (SimulatedDisk::default(), TestClock::new());
    let (process, _) = Process::open(&disk, &clock, &settings).unwrap();
    (disk, clock, process)
}

pub(super) fn data_files(disk: &SimulatedDisk) -> Vec<PathBuf> {
    disk.paths().into_iter().filter(|path| !path.ends_with("LOCK")).collect()
}

pub(super) fn sequences(consumer: &mut Consumer) -> Vec<u64> {
    consumer.next(ALL, Duration::ZERO).unwrap().iter().map(|frame| frame.sequence).collect()
}

#[test]
fn a_failed_sync_is_mended_by_a_new_file() {
    let (disk, clock, mut process) = begun(small());
    process.append(payload(1, 100)).unwrap();
    disk.fail_after(1, Fault::Failure);
    assert_eq!(process.append(payload(2, 100)).unwrap(), 2);
    assert_eq!(process.append(payload(3, 100)).unwrap(), 3);
    drop(process);
    disk.cut_power(|| false);
    let (process, _) = Process::open(&disk, &clock, &small()).unwrap();
    assert_eq!(sequences(&mut process.consumer(None)), [1]);
    let mut consumer = process.consumer(Some(1));
    assert_eq!(sequences(&mut consumer), [2, 3]);
    assert_eq!(process.journal.stats().counters.damaged_frames, 0);
}

#[test]
fn two_failed_syncs_refuse_everything_until_restart() {
    let (disk, clock, mut process) = begun(small());
    process.append(payload(1, 100)).unwrap();
    // The write passes, its sync fails; cutting, renaming, syncing the folder, creating and writing pass.
    disk.fail_after(1, Fault::Failure);
    disk.fail_after(5, Fault::Failure);
    assert!(matches!(process.append(payload(2, 100)), Err(Error::Degraded { .. })));
    assert!(matches!(process.append(payload(3, 100)), Err(Error::Degraded { .. })));
    assert!(process.journal.stats().degraded);
    drop(process);
    let (mut process, _) = Process::open(&disk, &clock, &small()).unwrap();
    let sequence = process.append(payload(4, 100)).unwrap();
    let mut consumer = process.consumer(None);
    clock.pass(Duration::from_secs(60));
    process.work();
    let mut seen = sequences(&mut consumer);
    seen.extend(sequences(&mut consumer));
    assert!(seen.starts_with(&[1]) && seen.ends_with(&[sequence]), "{seen:?}");
}

#[test]
fn a_disk_that_finds_itself_full_when_it_syncs_takes_again_when_there_is_space() {
    let (disk, clock, mut process) = begun(small());
    process.append(payload(1, 100)).unwrap();
    // The write passes, its sync does not; cutting, renaming and syncing the folder pass, creating does not.
    disk.fail_after(1, Fault::NoSpace);
    disk.fail_after(3, Fault::NoSpace);
    assert!(matches!(process.append(payload(2, 100)), Err(Error::NoSpace { .. })));
    assert!(!process.journal.stats().degraded);
    assert_eq!(process.append(payload(3, 100)).unwrap(), 3);
    drop(process);
    disk.cut_power(|| true);
    let (process, _) = Process::open(&disk, &clock, &small()).unwrap();
    let mut consumer = process.consumer(None);
    assert_eq!((sequences(&mut consumer), sequences(&mut consumer)), (vec![1], vec![3]));
}

#[test]
fn a_full_disk_refuses_and_takes_again_when_there_is_space() {
    let (disk, _, mut process) = begun(small());
    let mut consumer = process.consumer(None);
    process.append(payload(1, 100)).unwrap();
    disk.fail_after(0, Fault::NoSpace);
    assert!(matches!(process.append(payload(2, 1_000)), Err(Error::NoSpace { .. })));
    disk.fail_no_more();
    process.append(payload(3, 100)).unwrap();
    let frames = consumer.next(ALL, Duration::ZERO).unwrap();
    assert_eq!(frames.iter().map(|frame| &frame.payload[0]).collect::<Vec<_>>(), [&1, &3]);
    assert_eq!(data_files(&disk).len(), 1);
}

#[test]
fn a_full_folder_refuses_with_retry_later_and_takes_again_when_released() {
    let (disk, _, mut process) = begun(small());
    let mut consumer = process.consumer(None);
    let refusal = loop {
        if let Err(error) = process.append(payload(1, 1_000)) {
            break error;
        }
    };
    assert!(matches!(refusal, Error::Full { retry_after, .. } if retry_after > Duration::ZERO), "{refusal}");
    assert!(disk.total_bytes() > 16 << 10);
    let mut seen = Vec::new();
    while let last @ [.., _] = &*sequences(&mut consumer) {
        seen.extend_from_slice(last);
    }
    consumer.release(*seen.last().unwrap());
    process.append(payload(2, 1_000)).unwrap();
    assert_eq!(process.journal.stats().counters.refused_full.frames, 1);
}

#[test]
fn a_full_folder_looks_for_room_once_a_group() {
    let (disk, _, mut process) = begun(small());
    let mut consumer = process.consumer(None);
    while process.append(payload(1, 1_000)).is_ok() {}
    while !sequences(&mut consumer).is_empty() {}
    consumer.release(u64::MAX);
    // The files go, and before the last one `LOCK` is written, cut and synced; syncing the folder fails.
    disk.fail_after(data_files(&disk).len() as u32 + 3, Fault::Failure);
    assert!(process.journal.sweep().is_err());
    assert!(data_files(&disk).is_empty());
    disk.fail_after(0, Fault::Failure);
    disk.fail_after(0, Fault::PowerCut);
    let answers = [1, 2, 3].map(|id| process.queue(payload(id, 1_000)));
    process.work();
    assert!(answers.iter().all(|answer| matches!(answer.try_recv(), Ok(Err(Error::Full { .. })))));
    assert!(!disk.is_off(), "each refused frame has the folder synced");
    disk.fail_no_more();
    process.append(payload(4, 1_000)).unwrap();
}

#[test]
fn an_old_file_is_sealed_without_more_data_and_then_nothing_happens() {
    let (disk, clock, mut process) = begun(small());
    process.append(payload(1, 100)).unwrap();
    assert_eq!(process.writer.until_due(&process.journal), Some(Duration::from_secs(30)));
    clock.pass(Duration::from_millis(29_999));
    process.work();
    assert_eq!(data_files(&disk), [Path::new("/buffer/1700000000000.tmp")]);
    clock.pass(Duration::from_millis(1));
    process.work();
    assert_eq!(data_files(&disk), [Path::new("/buffer/1700000000000")]);
    assert_eq!(process.writer.until_due(&process.journal), None);
    disk.fail_after(0, Fault::PowerCut);
    clock.pass(Duration::from_secs(3_600));
    process.work();
    assert!(!disk.is_off(), "an idle buffer touched the disk");
}

#[test]
fn files_begun_in_one_millisecond_or_after_the_clock_went_back_get_later_names() {
    let settings = small();
    let (disk, clock, mut process) = begun(settings.clone());
    for id in 0..3 {
        process.append(payload(id, 3_000)).unwrap();
    }
    drop(process);
    clock.turn_back(Duration::from_secs(3_600));
    let (mut process, _) = Process::open(&disk, &clock, &settings).unwrap();
    process.append(payload(3, 100)).unwrap();
    let names: Vec<_> = data_files(&disk).iter().map(|path| path.display().to_string()).collect();
    let expected = ["1700000000000", "1700000000001", "1700000000002", "1700000000003.tmp"];
    assert_eq!(names, expected.map(|name| format!("{FOLDER}/{name}")));
}

#[test]
fn numbering_goes_on_after_a_consumer_that_is_ahead() {
    let (disk, clock, mut process) = begun(small());
    let _consumer = process.consumer(Some(90));
    assert_eq!(process.append(payload(1, 100)).unwrap(), 91);
    drop((process, _consumer));
    let (mut process, _) = Process::open(&disk, &clock, &small()).unwrap();
    process.append(payload(2, 100)).unwrap();
    let ahead = Consumer::attach(Arc::clone(&process.journal), "store", Some(200));
    assert!(matches!(ahead, Err(Error::ConsumerAhead { applied: 200, .. })));
}

#[test]
fn numbering_goes_on_when_every_file_has_been_deleted() {
    let (disk, clock, mut process) = begun(small());
    let mut consumer = process.consumer(None);
    assert_eq!(process.append(payload(1, 100)).unwrap(), 1);
    assert_eq!(sequences(&mut consumer), [1]);
    consumer.release(1);
    process.writer.seal(&process.journal).unwrap();
    assert_eq!(process.journal.sweep().unwrap(), 1);
    let id = process.journal.about().id;
    drop((process, consumer));
    assert!(data_files(&disk).is_empty());
    let (mut process, recovery) = Process::open(&disk, &clock, &small()).unwrap();
    assert_eq!((recovery.next_sequence, process.journal.about().id), (2, id));
    assert_eq!(process.append(payload(2, 100)).unwrap(), 2);
}

#[test]
fn numbering_goes_on_when_every_file_has_been_deleted_after_a_restart() {
    let (disk, clock, mut process) = begun(small());
    for id in 1..=3 {
        process.append(payload(id, 100)).unwrap();
    }
    drop(process);
    let (process, _) = Process::open(&disk, &clock, &small()).unwrap();
    let mut consumer = process.consumer(None);
    assert_eq!(sequences(&mut consumer), [1, 2, 3]);
    consumer.release(3);
    assert_eq!(process.journal.sweep().unwrap(), 1);
    drop((process, consumer));
    let (_, recovery) = Process::open(&disk, &clock, &small()).unwrap();
    assert_eq!(recovery.next_sequence, 4);
}

#[test]
fn a_file_stays_until_every_consumer_has_released_it() {
    let (disk, _, mut process) = begun(small());
    let attach = |name| Consumer::attach(Arc::clone(&process.journal), name, None).unwrap();
    let (mut quick, mut slow) = (attach("store"), attach("upstream"));
    assert!(matches!(
        Consumer::attach(Arc::clone(&process.journal), "store", None),
        Err(Error::ConsumerTaken { .. })
    ));
    process.append(payload(1, 100)).unwrap();
    process.writer.seal(&process.journal).unwrap();
    assert_eq!((sequences(&mut quick), sequences(&mut slow)), (vec![1], vec![1]));
    quick.release(1);
    assert_eq!(process.journal.sweep().unwrap(), 0);
    slow.release(1);
    assert_eq!(process.journal.sweep().unwrap(), 1);
    assert!(data_files(&disk).is_empty());
}

#[test]
fn what_was_not_given_is_not_released() {
    let (_, _, mut process) = begun(small());
    let mut consumer = process.consumer(None);
    process.append(payload(1, 100)).unwrap();
    process.writer.seal(&process.journal).unwrap();
    consumer.release(1);
    assert_eq!(process.journal.sweep().unwrap(), 0);
}

#[test]
fn a_file_younger_than_the_read_delay_is_not_read() {
    let settings = FileStorageConfig { min_file_age_for_read: Duration::from_secs(33), ..small() };
    let (_, clock, mut process) = begun(settings);
    let mut consumer = process.consumer(None);
    process.append(payload(1, 100)).unwrap();
    clock.pass(Duration::from_secs(30));
    process.work();
    assert!(sequences(&mut consumer).is_empty());
    clock.pass(Duration::from_secs(3));
    assert_eq!(sequences(&mut consumer), [1]);
}

#[test]
fn after_a_reboot_age_is_told_by_the_time_of_day() {
    let settings = FileStorageConfig { min_file_age_for_read: Duration::from_secs(33), ..small() };
    let (disk, clock, mut process) = begun(settings.clone());
    process.append(payload(1, 100)).unwrap();
    drop(process);
    clock.reboot(Duration::from_secs(10));
    let (process, _) = Process::open(&disk, &clock, &settings).unwrap();
    let mut consumer = process.consumer(None);
    assert!(sequences(&mut consumer).is_empty());
    clock.pass(Duration::from_secs(23));
    assert_eq!(sequences(&mut consumer), [1]);
    drop((process, consumer));
    // A time of day from before the file makes the file old.
    clock.reboot(Duration::ZERO);
    clock.turn_back(Duration::from_secs(3_600));
    let (process, _) = Process::open(&disk, &clock, &settings).unwrap();
    assert_eq!(sequences(&mut process.consumer(None)), [1]);
}

#[test]
fn a_file_does_not_get_younger_when_the_time_of_day_is_set_back() {
    let (_, clock, mut process) = begun(small());
    process.append(payload(1, 100)).unwrap();
    clock.turn_back(Duration::from_secs(3_600));
    clock.pass(Duration::from_secs(10));
    assert_eq!(process.writer.until_due(&process.journal), Some(Duration::from_secs(20)));
}

#[test]
fn the_id_of_the_boot_is_asked_for_once() {
    let (_, clock, mut process) = begun(small());
    let mut consumer = process.consumer(None);
    process.append(payload(1, 100)).unwrap();
    process.writer.seal(&process.journal).unwrap();
    assert_eq!(sequences(&mut consumer), [1]);
    assert_eq!(clock.boot_ids_told(), 1);
}

#[test]
fn a_consumer_that_comes_back_begins_where_it_says() {
    let (_, _, mut process) = begun(small());
    let mut consumer = process.consumer(None);
    for id in 0..4 {
        process.append(payload(id, 100)).unwrap();
    }
    assert_eq!(sequences(&mut consumer), [1, 2, 3, 4]);
    drop(consumer);
    process.writer.seal(&process.journal).unwrap();
    assert_eq!(sequences(&mut process.consumer(Some(2))), [3, 4]);
}

#[test]
fn too_much_waiting_for_the_disk_is_refused() {
    let (_, _, process) = begun(FileStorageConfig::appliance());
    let chunk = Bytes::from(vec![0; 8 << 20]);
    let queue = || {
        let pending = Pending::new(chunk.clone(), 1, 0, Box::new(|_| ()));
        process.journal.queue.push(pending).map_err(|(_, error)| error)
    };
    for _ in 0..3 {
        queue().unwrap();
    }
    assert!(matches!(queue(), Err(Error::Busy { retry_after, .. }) if retry_after > Duration::ZERO));
}
