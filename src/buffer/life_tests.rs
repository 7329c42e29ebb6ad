//! Random lives of a buffer with several consumers, on a disk that fails and forgets, against a model that counts for
//! itself what each of them is owed.
//!
//! Every life can be lived again: the committer works when it is told to, and only then.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::FileFailurePersistence;

use crate::buffer::ledger::Moment;
use crate::buffer::model_tests::{Process, cases, payload};
use crate::buffer::owed::Owed;
use crate::buffer::queue::Pending;
use crate::buffer::simulated_disk::{Fault, SimulatedDisk};
use crate::buffer::tests::{ALL, TestClock};
use crate::buffer::{Clock, Consumer, Error, FileStorageConfig, Frame, StartAt, Take, WhenFull};

/// The one that keeps its position itself, and two whose positions are in the folder.
const NAMES: [&str; 3] = ["store", "upstream", "archive"];
const STORE: usize = 0;

/// What happens in a life. Readers are numbered as in [`NAMES`]; an event that makes no sense for one is none.
#[derive(Debug, Clone)]
enum Event {
    /// Appends that are committed as one group, by the sizes of their payloads.
    Append(Vec<usize>),
    /// A reader takes so many frames; the store makes them durable together with its position.
    Consume(usize, usize),
    /// It releases what it was given, all but the last few.
    Release(usize, usize),
    /// It releases one of the frames it was given.
    ReleaseOne(usize, usize),
    Save(usize),
    GoLive(usize),
    /// It takes so many frames from before [`Event::GoLive`].
    Backfill(usize, usize),
    ReleaseBackfill(usize, usize),
    Rewind(usize),
    /// It stops reading, and begins again.
    Leave(usize),
    Come(usize, Start),
    Forget(usize),
    Seal,
    Clear,
    /// The sweeper runs.
    Sweep,
    Pass(u64),
    /// Others take up the disk but for so many bytes, and leave it again.
    Fill(u64),
    Free,
    /// A file operation to come fails.
    Fail(u32, Fault),
    /// The process ends as it should, or dies, or the power is cut; then it is started again.
    Close,
    Crash,
    CutPower(u64),
}

/// Where a new reader begins; by time: when that payload was accepted.
#[derive(Debug, Clone, Copy)]
enum Start {
    Oldest,
    Latest,
    Since(u64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![20 => reading(), 10 => writing(), 7 => ending()]
}

fn reading() -> impl Strategy<Value = Event> {
    let (one, few) = (0..NAMES.len(), 1..8_usize);
    let (durable, some) = (1..NAMES.len(), 0..8_usize);
    let start = prop_oneof![Just(Start::Oldest), Just(Start::Latest), (0..60_u64).prop_map(Start::Since)];
    prop_oneof![
        8 => (one.clone(), few.clone()).prop_map(|(reader, frames)| Event::Consume(reader, frames)),
        4 => (one.clone(), some.clone()).prop_map(|(reader, but)| Event::Release(reader, but)),
        1 => (durable.clone(), some.clone()).prop_map(|(reader, which)| Event::ReleaseOne(reader, which)),
        3 => durable.clone().prop_map(Event::Save),
        1 => durable.clone().prop_map(Event::GoLive),
        2 => (durable.clone(), few).prop_map(|(reader, frames)| Event::Backfill(reader, frames)),
        1 => (durable.clone(), some).prop_map(|(reader, but)| Event::ReleaseBackfill(reader, but)),
        1 => durable.clone().prop_map(Event::Rewind),
        1 => one.prop_map(Event::Leave),
        3 => (durable.clone(), start).prop_map(|(reader, start)| Event::Come(reader, start)),
        1 => durable.prop_map(Event::Forget),
    ]
}

fn writing() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => vec(8..1_500_usize, 1..6).prop_map(Event::Append),
        1 => Just(Event::Seal),
        2 => Just(Event::Sweep),
        2 => (0..40_000_u64).prop_map(Event::Pass),
        1 => Just(Event::Clear),
    ]
}

fn ending() -> impl Strategy<Value = Event> {
    let fault = prop_oneof![Just(Fault::Failure), Just(Fault::NoSpace), Just(Fault::PowerCut)];
    prop_oneof![
        3 => (0..12_u32, fault).prop_map(|(passed, fault)| Event::Fail(passed, fault)),
        1 => (0..5_000_u64).prop_map(Event::Fill),
        1 => Just(Event::Free),
        1 => Just(Event::Close),
        1 => Just(Event::Crash),
        1 => any::<u64>().prop_map(Event::CutPower),
    ]
}

fn when_full() -> impl Strategy<Value = WhenFull> {
    prop_oneof![
        Just(WhenFull::DropForwardBacklog),
        Just(WhenFull::DropOldest),
        Just(WhenFull::Reject),
        Just(WhenFull::Block(Duration::ZERO)),
    ]
}

fn small(when_full: WhenFull) -> FileStorageConfig {
    FileStorageConfig {
        max_file_size: 4 << 10,
        max_folder_size: 32 << 10,
        max_file_age_for_read: Duration::from_secs(70),
        tail_bytes: 3_000,
        when_full,
        ..FileStorageConfig::appliance()
    }
}

fn items(id: u64) -> u32 {
    1 + (id % 5) as u32
}

/// Why a reader lost something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    Evicted,
    Expired,
    Cleared,
}

/// One of the two ways through what is owed.
#[derive(Debug, Default)]
struct Lane {
    next: u64,
    given: BTreeSet<u64>,
}

/// The model of one consumer.
#[derive(Debug, Default)]
struct Reader {
    handle: Option<Consumer>,
    /// The buffer knows of it.
    known: bool,
    /// Sequences that it has neither released nor lost, with their items.
    owed: BTreeMap<u64, u64>,
    /// Sequences that it does not owe: as far as it knows, and as far as that was made durable.
    done: BTreeSet<u64>,
    saved: BTreeSet<u64>,
    split: u64,
    live: Lane,
    backfill: Lane,
    /// Items since it was found.
    found: u64,
    appended: u64,
    released: u64,
    lost: BTreeMap<Loss, u64>,
    /// Sequences that it has lost at any time. What a failed sync left behind may bring them back for a while.
    ever_lost: BTreeSet<u64>,
    /// Frames that a power cut has damaged may be among what it found.
    uncertain: bool,
}

impl Reader {
    fn begin_again(&mut self) {
        (self.split, self.backfill) = (0, Lane::default());
        self.live = Lane { next: self.owed.keys().next().copied().unwrap_or(0), given: BTreeSet::new() };
    }

    /// It begins, or goes on, with this.
    fn find(&mut self, owed: BTreeMap<u64, u64>) {
        (self.known, self.found) = (true, owed.values().sum());
        (self.appended, self.released, self.lost) = (0, 0, BTreeMap::new());
        self.owed = owed;
    }

    fn lane(&mut self, side: Side) -> (&mut Lane, Range<u64>) {
        match side {
            Side::Live => (&mut self.live, self.split..u64::MAX),
            Side::Backfill => (&mut self.backfill, 0..self.split),
        }
    }

    /// What it must be given next.
    fn expected(&mut self, side: Side) -> Vec<u64> {
        let (lane, range) = self.lane(side);
        let from = lane.next.max(range.start);
        if from >= range.end {
            return Vec::new();
        }
        self.owed.range(from..range.end).map(|(sequence, _)| *sequence).collect()
    }

    fn release(&mut self, sequence: u64) {
        self.released += self.owed.remove(&sequence).unwrap_or(0);
        self.done.insert(sequence);
    }

    fn lose(&mut self, sequence: u64, why: Loss) {
        *self.lost.entry(why).or_default() += self.owed.remove(&sequence).unwrap_or(0);
        self.ever_lost.insert(sequence);
        self.done.insert(sequence);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Live,
    Backfill,
}

/// A file before an event.
#[derive(Debug, Clone)]
struct File {
    sequences: Range<u64>,
    created: Option<Moment>,
}

/// The model: what was promised, and what becomes of it.
struct Life {
    disk: SimulatedDisk,
    clock: Arc<TestClock>,
    settings: FileStorageConfig,
    process: Option<Process>,
    readers: [Reader; 3],
    payloads: u64,
    /// Payload by sequence, for everything that was ever answered or found.
    numbers: BTreeMap<u64, u64>,
    /// When payloads were accepted.
    accepted: BTreeMap<u64, u64>,
    promised: BTreeSet<u64>,
    /// What the store has, by payload.
    stored: BTreeSet<u64>,
    applied: Option<u64>,
    /// What a power cut may have damaged: numbers up to this one that were never answered.
    suspect: u64,
    /// Others have taken up the disk.
    full: bool,
}

impl Life {
    fn begin(when_full: WhenFull) -> Self {
        let mut life = Self {
            disk: SimulatedDisk::default(),
            clock: TestClock::new(),
            settings: small(when_full),
            process: None,
            readers: Default::default(),
            payloads: 0,
            numbers: BTreeMap::new(),
            accepted: BTreeMap::new(),
            promised: BTreeSet::new(),
            stored: BTreeSet::new(),
            applied: None,
            suspect: 0,
            full: false,
        };
        life.start();
        life
    }

    fn live(&mut self, event: &Event) {
        let files = self.files();
        match event {
            Event::Append(sizes) => self.append(sizes),
            Event::Seal => drop(self.with_process(|process| process.writer.seal(&process.journal))),
            Event::Clear => drop(self.with_process(|process| process.writer.clear(&process.journal))),
            Event::Sweep => drop(self.with_process(|process| process.journal.sweep())),
            Event::Pass(millis) => {
                self.clock.pass(Duration::from_millis(*millis));
                self.with_process(Process::work);
            }
            Event::Fill(left) => self.leave_room(Some(*left)),
            Event::Free => self.leave_room(None),
            Event::Fail(passed, fault) => self.disk.fail_after(*passed, *fault),
            Event::Close => {
                let closed = self.with_process(|process| process.writer.seal(&process.journal));
                drop(closed);
                self.restart();
                return self.check();
            }
            Event::Crash => {
                self.restart();
                return self.check();
            }
            Event::CutPower(seed) => {
                self.lose_power(*seed);
                return self.check();
            }
            reading => self.read(reading),
        }
        if self.disk.is_off() {
            self.note_losses(&files, event);
            self.lose_power(self.payloads);
        } else {
            self.note_losses(&files, event);
        }
        self.check();
    }

    fn read(&mut self, event: &Event) {
        match event {
            Event::Consume(reader, frames) => drop(self.consume(*reader, Side::Live, *frames)),
            Event::Backfill(reader, frames) => drop(self.consume(*reader, Side::Backfill, *frames)),
            Event::Release(reader, but) => self.release(*reader, Side::Live, *but),
            Event::ReleaseBackfill(reader, but) => self.release(*reader, Side::Backfill, *but),
            Event::ReleaseOne(reader, which) => self.release_one(*reader, *which),
            Event::Save(reader) => self.save(*reader),
            Event::GoLive(reader) => self.go_live(*reader),
            Event::Rewind(reader) => {
                if let Some(handle) = &mut self.readers[*reader].handle {
                    handle.rewind();
                    self.readers[*reader].begin_again();
                }
            }
            Event::Leave(reader) => {
                self.readers[*reader].handle = None;
                if *reader == STORE {
                    self.come(STORE, Start::Oldest);
                }
            }
            Event::Come(reader, start) => self.come(*reader, *start),
            Event::Forget(reader) => self.forget(*reader),
            _ => unreachable!("handled by whoever calls"),
        }
    }

    fn leave_room(&mut self, bytes: Option<u64>) {
        self.full = bytes.is_some();
        self.disk.set_capacity(bytes.map_or(u64::MAX, |left| self.disk.total_bytes() + left));
    }

    fn with_process<T>(&mut self, act: impl FnOnce(&mut Process) -> T) -> T {
        act(self.process.as_mut().unwrap())
    }

    /// Does what waits for the committer, while that works.
    fn while_working<T: Send>(process: &mut Process, act: impl FnOnce() -> T + Send) -> T {
        process.work();
        std::thread::scope(|scope| {
            let acting = scope.spawn(act);
            while !acting.is_finished() {
                process.work();
                std::thread::yield_now();
            }
            acting.join().unwrap()
        })
    }

    fn append(&mut self, sizes: &[usize]) {
        let first = self.payloads;
        self.payloads += sizes.len() as u64;
        let now = self.clock.wall_nanos();
        let queue = |process: &mut Process, id: u64, size: usize| {
            let (answer, answered) = sync_channel(1);
            let done = Box::new(move |outcome| answer.send(outcome).unwrap());
            let pending = Pending::new(payload(id, size).into(), items(id), now, done);
            process.journal.queue.push(pending).unwrap();
            (id, answered)
        };
        let process = self.process.as_mut().unwrap();
        let answers: Vec<_> = (first..).zip(sizes).map(|(id, size)| queue(process, id, *size)).collect();
        process.work();
        for (id, answer) in answers {
            self.accepted.insert(id, now);
            if let Ok(sequence) = answer.try_recv().unwrap() {
                self.promised.insert(sequence);
                self.know(sequence, id);
                for reader in self.readers.iter_mut().filter(|reader| reader.known) {
                    reader.owed.insert(sequence, u64::from(items(id)));
                    reader.appended += u64::from(items(id));
                }
            }
        }
    }

    /// A number never stands for two payloads.
    fn know(&mut self, sequence: u64, id: u64) {
        assert_eq!(*self.numbers.entry(sequence).or_insert(id), id, "number {sequence} is used twice");
    }

    /// Takes frames; if they must come from the open file, that is sealed first.
    fn consume(&mut self, reader: usize, side: Side, max_frames: usize) -> usize {
        if self.readers[reader].handle.is_none() {
            return 0;
        }
        let mut frames = self.take(reader, side, max_frames);
        if frames.is_empty() && side == Side::Live {
            self.clock.pass(self.settings.min_seal_interval);
            self.with_process(Process::work);
            frames = self.take(reader, side, max_frames);
        }
        let expected = self.readers[reader].expected(side);
        let given: Vec<_> = frames.iter().map(|frame| frame.sequence).collect();
        let name = NAMES[reader];
        assert!(
            given.len() <= max_frames && expected.starts_with(&given),
            "{name}: {given:?}, owed {expected:?}"
        );
        for frame in &frames {
            self.recognize(frame);
            if reader == STORE {
                assert!(
                    self.applied < Some(frame.sequence),
                    "{} came after {:?}",
                    frame.sequence,
                    self.applied
                );
                assert!(
                    self.stored.insert(self.numbers[&frame.sequence]),
                    "frame {} came twice",
                    frame.sequence
                );
                self.applied = Some(frame.sequence);
            }
        }
        if let Some(last) = given.last() {
            let (lane, _) = self.readers[reader].lane(side);
            lane.next = last + 1;
            lane.given.extend(&given);
        }
        given.len()
    }

    fn take(&mut self, reader: usize, side: Side, max_frames: usize) -> Vec<Frame> {
        let handle = self.readers[reader].handle.as_mut().unwrap();
        let take = Take { max_frames, ..ALL };
        self.disk.take_opened();
        let frames = match side {
            Side::Live => handle.next(take, Duration::ZERO).unwrap(),
            Side::Backfill => handle.next_backfill(take).unwrap(),
        };
        let opened = self.disk.take_opened();
        assert!(opened.iter().all(|path| path.extension().is_none()), "read while being written: {opened:?}");
        frames
    }

    fn recognize(&mut self, frame: &Frame) {
        let id = u64::from_le_bytes(*frame.payload.first_chunk().unwrap());
        assert_eq!(frame.payload, payload(id, frame.payload.len()), "frame {}", frame.sequence);
        assert_eq!(
            (frame.items, frame.accepted),
            (items(id), self.accepted[&id]),
            "frame {}",
            frame.sequence
        );
        self.know(frame.sequence, id);
    }

    fn release(&mut self, reader: usize, side: Side, but: usize) {
        let model = &mut self.readers[reader];
        let (lane, range) = model.lane(side);
        let Some(up_to) = lane.given.iter().rev().nth(but).copied() else { return };
        let Some(handle) = &mut model.handle else { return };
        handle.release(up_to);
        let released: Vec<_> = model.owed.range(range.start..=up_to).map(|(sequence, _)| *sequence).collect();
        released.into_iter().for_each(|sequence| model.release(sequence));
        model.lane(side).0.given.retain(|sequence| *sequence > up_to);
    }

    fn release_one(&mut self, reader: usize, which: usize) {
        let model = &mut self.readers[reader];
        let given: Vec<_> = model.backfill.given.union(&model.live.given).copied().collect();
        let (Some(handle), false) = (&mut model.handle, given.is_empty()) else { return };
        let sequence = given[which % given.len()];
        handle.release_one(sequence);
        model.release(sequence);
        model.live.given.remove(&sequence);
        model.backfill.given.remove(&sequence);
    }

    fn save(&mut self, reader: usize) {
        let model = &mut self.readers[reader];
        if let Some(handle) = &mut model.handle
            && handle.save().is_ok()
        {
            model.saved.clone_from(&model.done);
        }
    }

    fn go_live(&mut self, reader: usize) {
        let split = {
            let ledger = self.process.as_ref().unwrap().journal.ledger.lock();
            ledger.open.as_ref().map_or(ledger.published, |open| open.sequences.start)
        };
        let model = &mut self.readers[reader];
        if let Some(handle) = &mut model.handle {
            handle.go_live();
            model.begin_again();
            model.backfill = std::mem::take(&mut model.live);
            (model.split, model.live.next) = (split, split);
        }
    }

    fn come(&mut self, reader: usize, start: Start) {
        if self.readers[reader].handle.is_some() {
            return;
        }
        let applied = self.applied;
        let since = match start {
            Start::Oldest => StartAt::Oldest,
            Start::Latest => StartAt::Latest,
            Start::Since(id) => StartAt::Since(self.accepted.get(&id).copied().unwrap_or(u64::MAX)),
        };
        let process = self.process.as_mut().unwrap();
        let journal = Arc::clone(&process.journal);
        // A file that could not be taken back after a failure is a position for the next process.
        if reader != STORE && !self.readers[reader].known && journal.forget(NAMES[reader]).is_err() {
            return;
        }
        let come = Self::while_working(process, || match reader {
            STORE => Consumer::attach(journal, NAMES[STORE], applied),
            _ => Consumer::attach_durable(&journal, NAMES[reader], since),
        });
        let known = self.readers[reader].known && reader != STORE;
        match come {
            Ok(handle) => {
                self.readers[reader].handle = Some(handle);
                if !known {
                    self.find_new(reader, since);
                }
                self.readers[reader].begin_again();
            }
            Err(error) if reader == STORE => {
                // It cannot be told apart from what is in the open file until that can be sealed.
                assert!(matches!(error, Error::Io { .. }), "{error}");
                self.restart();
            }
            Err(error) => {
                assert!(matches!(error, Error::Io { .. } | Error::Full { .. }) && !known, "{error}")
            }
        }
    }

    /// What a consumer that nobody knew must find.
    fn find_new(&mut self, reader: usize, start: StartAt) {
        let files = self.files();
        let mut present = self.read_copy();
        // What a failed write has left, or a file that could not be deleted, is found by the next process only.
        present.retain(|frame| files.iter().any(|file| file.sequences.contains(&frame.sequence)));
        let present = self.recognize_all(&present);
        let published = self.process.as_ref().unwrap().journal.ledger.lock().published;
        let first = match start {
            _ if reader == STORE => self.applied.map_or(0, |applied| applied + 1),
            StartAt::Oldest => 0,
            StartAt::Latest => published,
            StartAt::Since(time) => {
                let late = |sequence: &&u64| self.accepted[&self.numbers[*sequence]] >= time;
                present.iter().find(late).copied().unwrap_or(published)
            }
        };
        let owed = present.iter().filter(|sequence| **sequence >= first);
        let owed = owed.map(|sequence| (*sequence, u64::from(items(self.numbers[sequence]))));
        let owed = owed.collect();
        let position = self.owed(reader).unwrap();
        let model = &mut self.readers[reader];
        model.find(owed);
        model.done = self.numbers.keys().copied().filter(|sequence| !position.contains(*sequence)).collect();
        model.saved.clone_from(&model.done);
        self.note_what_is_damaged(reader);
    }

    fn forget(&mut self, reader: usize) {
        self.readers[reader].handle = None;
        let journal = Arc::clone(&self.process.as_ref().unwrap().journal);
        // Where its file cannot be deleted it is back after a restart.
        drop(journal.forget(NAMES[reader]));
        self.readers[reader] = Reader::default();
    }

    /// The files at this moment, the open one last.
    fn files(&self) -> Vec<File> {
        let ledger = self.process.as_ref().unwrap().journal.ledger.lock();
        let sealed = ledger.sealed.iter();
        let sealed = sealed.map(|file| File { sequences: file.sequences(), created: Some(file.created) });
        let open = ledger.open.iter().map(|open| File { sequences: open.sequences.clone(), created: None });
        sealed.chain(open).collect()
    }

    fn owed(&self, reader: usize) -> Option<Owed> {
        let ledger = self.process.as_ref().unwrap().journal.ledger.lock();
        ledger.consumers.values().find(|known| known.name == NAMES[reader]).map(|known| known.owed.clone())
    }

    /// What readers do not owe any more without having released it: whole files, and for a reason.
    fn note_losses(&mut self, files: &[File], event: &Event) {
        for (reader, name) in NAMES.into_iter().enumerate() {
            let Some(owed) = self.owed(reader).filter(|_| self.readers[reader].known) else { continue };
            let lost: Vec<u64> = self.readers[reader]
                .owed
                .keys()
                .copied()
                .filter(|sequence| !owed.contains(*sequence))
                .collect();
            for sequence in lost {
                let file = files.iter().find(|file| file.sequences.contains(&sequence));
                let why = self.reason(reader, event, file);
                if let Some(file) = file {
                    let range = self.readers[reader].owed.range(file.sequences.clone());
                    let kept: Vec<_> =
                        range.map(|(kept, _)| kept).filter(|kept| owed.contains(**kept)).collect();
                    assert!(kept.is_empty(), "{name}: of {file:?} only a part was dropped");
                }
                self.readers[reader].lose(sequence, why);
            }
        }
    }

    fn reason(&self, reader: usize, event: &Event, file: Option<&File>) -> Loss {
        let process = self.process.as_ref().unwrap();
        let age = file.and_then(|file| file.created).map(|created| process.journal.age(&created).at_least);
        let expired = age.is_some_and(|age| age > self.settings.max_file_age_for_read) && reader != STORE;
        match (event, self.settings.when_full) {
            (Event::Clear, _) => Loss::Cleared,
            (Event::Append(_) | Event::Sweep, _) if expired => Loss::Expired,
            (Event::Append(_), WhenFull::DropOldest) => Loss::Evicted,
            (Event::Append(_), WhenFull::DropForwardBacklog) if reader != STORE => Loss::Evicted,
            _ => panic!("{} lost something of {file:?}, {age:?} old", NAMES[reader]),
        }
    }

    /// Opens the folder: at once, or when the disk works again. Opening once more changes nothing.
    fn start(&mut self) {
        drop(Process::open(&self.disk, &self.clock, &self.settings));
        if self.disk.is_off() {
            self.suspect = self.suspect.max(self.numbers.keys().last().copied().unwrap_or(0) + 100);
            self.disk.cut_power(|| true);
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
        // Without room for its footer a file is read through at each start.
        assert!(self.full || again.recovered_files == 0, "{again:?}");
        assert_eq!((again.torn_bytes, again.empty_files), (0, 0));
        self.process = Some(process);
        self.find_again();
    }

    /// What is in the files now: whatever anyone still owed, and nothing that anyone has released for good.
    fn find_again(&mut self) {
        let present = self.read_copy();
        let present = self.recognize_all(&present);
        for (reader, name) in NAMES.into_iter().enumerate() {
            let model = &self.readers[reader];
            let due =
                |sequence: &&u64| self.promised.contains(*sequence) && !model.ever_lost.contains(*sequence);
            let gone: Vec<_> =
                model.owed.keys().filter(due).filter(|sequence| !present.contains(sequence)).collect();
            assert!(gone.is_empty(), "{name} is owed {gone:?}, and they are gone");
            if reader == STORE {
                self.come(STORE, Start::Oldest);
                continue;
            }
            let Some(owed) = self.owed(reader) else {
                assert!(!model.known, "{name} is forgotten");
                continue;
            };
            for sequence in present.iter().filter(|_| model.known) {
                let owes = owed.contains(*sequence);
                assert!(
                    !(owes && model.saved.contains(sequence)),
                    "{name} has saved that {sequence} is released"
                );
                let due = self.promised.contains(sequence) && !model.done.contains(sequence);
                assert!(owes || !due, "{name} never released {sequence}");
            }
            let numbers = &self.numbers;
            let model = &mut self.readers[reader];
            let items = |sequence: &u64| u64::from(items(numbers[sequence]));
            let still = present.iter().filter(|sequence| owed.contains(**sequence));
            model.find(still.map(|sequence| (*sequence, items(sequence))).collect());
            model.done = numbers.keys().copied().filter(|sequence| !owed.contains(*sequence)).collect();
            self.note_what_is_damaged(reader);
        }
    }

    /// Frames of which only the headers are sound are found, and dropped when their file is read.
    fn note_what_is_damaged(&mut self, reader: usize) {
        let found = self.stats(reader).found.items;
        let model = &mut self.readers[reader];
        let next = self.process.as_ref().unwrap().journal.ledger.lock().first_sequence;
        model.uncertain = found != model.found;
        if model.uncertain {
            let why = format!("{} found {found} items of {}", NAMES[reader], model.found);
            assert!(found > model.found && self.suspect > 0, "{why}, number {next}");
        }
    }

    fn stats(&self, reader: usize) -> crate::buffer::ConsumerStats {
        let stats = self.process.as_ref().unwrap().journal.stats();
        stats.consumers.into_iter().find(|consumer| consumer.name == NAMES[reader]).unwrap()
    }

    /// Everything that can be read, by someone who opens a copy of the folder.
    fn read_copy(&self) -> Vec<Frame> {
        let (process, _) = Process::open(&self.disk.copy(), &self.clock, &self.settings).unwrap();
        let mut reader = Consumer::attach(Arc::clone(&process.journal), "someone", None).unwrap();
        let mut present = Vec::new();
        loop {
            let frames = reader.next(ALL, Duration::ZERO).unwrap();
            if frames.is_empty() {
                return present;
            }
            present.extend(frames);
        }
    }

    fn recognize_all(&mut self, frames: &[Frame]) -> BTreeSet<u64> {
        frames.iter().for_each(|frame| self.recognize(frame));
        frames.iter().map(|frame| frame.sequence).collect()
    }

    fn restart(&mut self) {
        self.stop();
        self.start();
    }

    fn stop(&mut self) {
        for reader in &mut self.readers {
            reader.handle = None;
        }
        self.readers[STORE].known = false;
        // What it has is durable with it.
        let applied = self.applied;
        self.readers[STORE].owed.retain(|sequence, _| applied < Some(*sequence));
        self.process = None;
    }

    fn lose_power(&mut self, seed: u64) {
        let issued = self.process.as_ref().unwrap().journal.stats().last_sequence;
        self.stop();
        self.suspect = self.suspect.max(issued);
        let mut state = seed | 1;
        self.disk.cut_power(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % 8 < seed % 9
        });
        self.start();
    }

    /// The folder keeps within its bound, and the buffer has counted as the model has.
    fn check(&self) {
        let (bytes, limit) = (self.disk.total_bytes(), self.settings.max_folder_size);
        let accounted = self.process.as_ref().unwrap().journal.stats().folder_bytes;
        assert!(bytes <= accounted, "{bytes} bytes in the folder, {accounted} accounted for");
        assert!(accounted <= limit, "{accounted} bytes accounted for in a folder of {limit}");
        for (reader, model) in self.readers.iter().enumerate().filter(|(_, model)| model.known) {
            let stats = self.stats(reader);
            let of = |why| model.lost.get(&why).copied().unwrap_or(0);
            let dropped = stats.dropped;
            let name = NAMES[reader];
            assert_eq!(
                stats.found.items + model.appended,
                stats.released.items + dropped.total().items + stats.pending.items,
                "items of {name}: {stats:?}"
            );
            if model.uncertain {
                continue;
            }
            assert_eq!(dropped.damaged.items, 0, "{name}");
            assert_eq!(
                [dropped.evicted.items, dropped.expired.items, dropped.cleared.items],
                [of(Loss::Evicted), of(Loss::Expired), of(Loss::Cleared)],
                "items that {name} lost"
            );
            assert_eq!(stats.released.items, model.released, "items that {name} released");
            assert_eq!(stats.pending.items, model.owed.values().sum::<u64>(), "items pending for {name}");
            assert_eq!(stats.pending.frames, model.owed.len() as u64, "frames pending for {name}");
        }
    }

    /// In the end everybody is given everything that is owed, and the buffer takes more.
    fn end(&mut self) {
        self.disk.fail_no_more();
        self.leave_room(None);
        self.restart();
        for (reader, name) in NAMES.into_iter().enumerate() {
            self.come(reader, Start::Oldest);
            while self.consume(reader, Side::Live, 3) > 0 {}
            let left = self.readers[reader].expected(Side::Live);
            assert!(left.is_empty(), "{name} is not given {left:?}");
            self.release(reader, Side::Live, 0);
            self.save(reader);
            self.check();
        }
        self.with_process(|process| process.journal.sweep()).unwrap();
        let id = self.payloads;
        self.append(&[100]);
        let taken = self.numbers.values().any(|known| *known == id);
        assert!(taken, "a buffer with everything released takes no more");
    }
}

fn live_through(policy: WhenFull, events: &[Event]) {
    let mut life = Life::begin(policy);
    events.iter().for_each(|event| life.live(event));
    life.end();
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        max_shrink_iters: 4_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn everybody_is_given_what_is_owed_through_any_life(policy in when_full(), events in vec(event(), 1..80)) {
        live_through(policy, &events);
    }
}

#[test]
fn numbers_are_not_given_again_when_their_floor_was_written_and_not_synced() {
    use Event::{Append, Clear, Close, Come, Fail};
    let events = [
        Append(vec![8]),
        Fail(5, Fault::Failure),
        Clear,
        Close,
        Clear,
        Fail(1, Fault::Failure),
        Fail(0, Fault::PowerCut),
        Come(1, Start::Oldest),
    ];
    live_through(WhenFull::DropForwardBacklog, &events);
}

/// Lives that went wrong once.
#[test]
fn a_footer_that_found_no_space_has_its_place_in_the_folder() {
    use Event::{Append, Come, Fail, Fill, Free, Pass};
    let events = [
        Append(vec![8, 937, 441, 137]),
        Append(vec![497, 81, 129, 1_297, 833]),
        Append(vec![281]),
        Append(vec![1_209, 745, 473, 1_321]),
        Append(vec![1_305, 1_033, 1_009, 929, 289]),
        Append(vec![297, 121, 577, 537, 609]),
        Append(vec![1_113]),
        Append(vec![457, 113]),
        Come(2, Start::Oldest),
        Fill(1),
        Pass(30_000),
        Fail(6, Fault::PowerCut),
        Append(vec![8; 5]),
        Come(1, Start::Oldest),
        Free,
        Append(vec![1_257, 817]),
        Append(vec![345, 873, 473]),
        Append(vec![1_185, 81]),
    ];
    live_through(WhenFull::Reject, &events);
}

#[test]
fn no_mistake_is_made_twice() {
    use Event::{Append, Backfill, Clear, Close, Come, Consume, Fail, GoLive, Leave, Save};
    use Start::{Latest, Oldest};
    let lives = [
        // The file of a position is cut short while it is made, and stays.
        vec![Fail(1, Fault::Failure), Fail(0, Fault::Failure), Come(1, Oldest), Append(vec![8]), Close],
        // A file with frames on both sides of where a consumer went live.
        vec![
            Come(1, Oldest),
            Append(vec![8]),
            GoLive(1),
            Append(vec![379]),
            Append(vec![836, 1_220, 29, 57]),
            Consume(1, 5),
        ],
        // Numbers that no frame has, between the backlog and the file that is being written.
        vec![
            Come(1, Oldest),
            Fail(0, Fault::Failure),
            Append(vec![8]),
            Append(vec![626, 638, 1_449]),
            GoLive(1),
            Append(vec![1_049]),
            Backfill(1, 3),
        ],
        // The store comes back to what was cleared, and is still in memory.
        vec![
            Append(vec![8]),
            Append(vec![825, 1_353]),
            Come(1, Oldest),
            Append(vec![577, 441, 465]),
            Consume(0, 1),
            Clear,
            Leave(0),
            Consume(0, 1),
        ],
        // A file that could be neither synced nor deleted comes back with what was cleared.
        vec![
            Append(vec![8]),
            Fail(8, Fault::Failure),
            Fail(0, Fault::Failure),
            Append(vec![1_193, 1_345, 473, 697]),
            Clear,
            Come(1, Oldest),
        ],
        // A position whose sync failed is read by the next process, and never becomes durable by itself.
        vec![
            Append(vec![8]),
            Close,
            Come(2, Oldest),
            Come(1, Oldest),
            Append(vec![8]),
            Fail(3, Fault::Failure),
            Fail(1, Fault::Failure),
            Fail(2, Fault::Failure),
            Clear,
            Close,
            Append(vec![8]),
            Come(2, Oldest),
            Save(2),
            Fail(0, Fault::PowerCut),
            Append(vec![8]),
        ],
        vec![
            Append(vec![865, 1_473]),
            Fail(9, Fault::Failure),
            Fail(5, Fault::Failure),
            Fail(0, Fault::Failure),
            Consume(0, 1),
            Append(vec![737, 681]),
            Come(1, Latest),
        ],
    ];
    for events in lives {
        live_through(WhenFull::DropForwardBacklog, &events);
    }
}

#[test]
fn an_append_that_waits_for_room_gives_up_though_a_released_file_cannot_be_deleted() {
    use Event::{Append, Consume, Fail, Release};
    let mut events = vec![Append(vec![1_200]); 30];
    events.extend([Consume(0, 3), Release(0, 0), Fail(0, Fault::PowerCut), Append(vec![1_200])]);
    live_through(WhenFull::Block(Duration::ZERO), &events);
}
