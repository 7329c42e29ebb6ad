//! What a furnished store holds, and whether a damaged copy of it tells anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::disk::SimulatedDisk;
use super::life::{self, BUFFER, Life, Promised};
use crate::model::sketch::{trace, trace_id};
use crate::model::{Span, SpanKind, Timestamp, TraceId};
use crate::store::calls::{self, Calls};
use crate::store::{Cursor, Error, Filter, Red, Stats, Store, Wanted, red};

const WANTED: Wanted<'static> = Wanted {
    services: &life::SERVICES,
    kinds: &[SpanKind::Server, SpanKind::Client],
    minutes: 0..=u32::MAX,
    by_operation: true,
};

/// Whose numbers, and how many are right, the more blocks are read.
type Sums = BTreeMap<Vec<String>, Vec<Stats>>;

/// Everything that a store holds.
pub(super) struct Truth {
    pub(super) disk: SimulatedDisk,
    pub(super) now: Timestamp,
    pub(super) sequence: u64,
    /// Each span with the files that hold it.
    pub(super) spans: BTreeMap<(TraceId, [u8; 8]), (Span, BTreeSet<String>)>,
    traces: Vec<TraceId>,
    operations: BTreeMap<String, Vec<(String, SpanKind)>>,
    /// What each block has counted.
    calls: Sums,
    red: Sums,
}

/// What a damaged store still told.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Spans that are not shown.
    pub(super) missing: Vec<(TraceId, [u8; 8])>,
    pub(super) damaged_rows: u64,
    pub(super) set_aside: u64,
}

/// Three blocks of several runs, one merged, and an archive.
pub(super) fn furnished(seed: u64) -> Truth {
    let mut life = Life::begin(SimulatedDisk::default(), Promised::new(seed), seed);
    life.open().unwrap();
    for block in 0..3 {
        if block > 0 {
            life.store().roll(life.now()).unwrap();
        }
        for _batch in 0..5 {
            life.append().unwrap();
        }
        life.store().pin(trace_id(2 + block), life.now()).unwrap();
        if block == 1 {
            while life.store().merge().unwrap().is_some() {}
        }
    }
    Truth::of(&life)
}

impl Truth {
    fn of(life: &Life) -> Self {
        let store = life.store();
        let mut truth = Self {
            disk: SimulatedDisk::default(),
            now: life.now(),
            sequence: store.cursor(BUFFER, 0).unwrap().unwrap(),
            spans: BTreeMap::new(),
            traces: life.promised.lock().traces(),
            operations: BTreeMap::new(),
            calls: Sums::new(),
            red: Sums::new(),
        };
        let snapshot = store.snapshot().unwrap();
        for block in snapshot.blocks() {
            for id in &truth.traces {
                for span in snapshot.gather([block], *id, None, usize::MAX).unwrap().spans {
                    let entry =
                        truth.spans.entry((span.trace_id, span.span_id.0)).or_insert((span, BTreeSet::new()));
                    entry.1.insert(block.name().to_owned());
                }
            }
            let (mut counted, mut red) = (Calls::default(), Red::default());
            let view = snapshot.view(block).unwrap();
            let read = |transaction: &_| {
                calls::read(transaction, &(0..=u32::MAX), &store.losses, &mut counted)?;
                red::read(transaction, &WANTED, &store.losses, &mut red)
            };
            view.reading.read(read).unwrap();
            add(&mut truth.calls, calls_of(counted.into_dependencies()));
            add(&mut truth.red, reds_of(red));
        }
        for service in snapshot.services().unwrap() {
            truth.operations.insert(service.clone(), snapshot.operations(&service).unwrap());
        }
        assert!(truth.calls.values().any(|sums| sums.len() > 2) && truth.operations.len() == 3);
        drop(snapshot);
        truth.disk = life.disk.copy();
        truth
    }

    /// Opens a damaged copy, asks it everything, and writes to it, now and after the next start.
    pub(super) fn examine(&self, disk: &SimulatedDisk) -> Findings {
        let store = life::open(disk, self.now).unwrap();
        let findings = self.ask(&store);
        self.check_writing(&store);
        let pins = self.check_upkeep(&store);
        self.check_spans(&store);
        drop(store);
        let store = life::open(disk, self.now).unwrap();
        self.check_late(&store, self.sequence + 3);
        assert!(store.archive.len() >= pins);
        self.append(&store, self.sequence + 4, &self.late());
        self.check_upkeep(&store);
        self.check_late(&store, self.sequence + 4);
        self.check_spans(&store);
        findings
    }

    /// Asks everything.
    pub(super) fn ask(&self, store: &Store) -> Findings {
        let mut findings = Findings { missing: self.check_spans(store), ..Findings::default() };
        self.check_lists(store);
        let status = store.status();
        (findings.damaged_rows, findings.set_aside) = (status.damaged_rows, status.set_aside);
        findings
    }

    /// What is not there.
    pub(super) fn check_spans(&self, store: &Store) -> Vec<(TraceId, [u8; 8])> {
        let mut shown = BTreeSet::new();
        for id in &self.traces {
            for span in store.ask(|snapshot| snapshot.trace(*id, usize::MAX)).unwrap().spans {
                self.check_span(&span);
                shown.insert((span.trace_id, span.span_id.0));
            }
        }
        for service in [None, Some("cart")] {
            let found = store.ask(|snapshot| {
                let filter = filter(service);
                let (mut scan, mut candidates) = (snapshot.scan(&filter)?, Vec::new());
                while scan.advance(&mut candidates)? {}
                candidates.iter().map(|candidate| scan.span(candidate)).collect::<Result<Vec<_>, Error>>()
            });
            for span in found.unwrap().into_iter().flatten() {
                self.check_span(&span);
            }
        }
        self.spans.keys().filter(|key| !shown.contains(*key)).copied().collect()
    }

    fn check_span(&self, span: &Span) {
        let Some((original, _)) = self.spans.get(&(span.trace_id, span.span_id.0)) else {
            let is_late = span.trace_id == trace_id(LATE) || self.late_in_pinned().contains(span);
            assert!(is_late, "a span that was never stored: {span:?}");
            return;
        };
        assert_eq!(span, original);
    }

    fn check_lists(&self, store: &Store) {
        let snapshot = store.snapshot().unwrap();
        for service in snapshot.services().unwrap() {
            let right = &self.operations[&service];
            for operation in snapshot.operations(&service).unwrap() {
                assert!(right.contains(&operation), "{operation:?} of {service}");
            }
        }
        let calls = snapshot.dependencies(Timestamp::ZERO, Timestamp::MAX).unwrap();
        check_sums(&self.calls, calls_of(calls));
        check_sums(&self.red, reds_of(snapshot.red(&WANTED).unwrap()));
    }

    /// It goes on, with another block if it must.
    pub(super) fn check_writing(&self, store: &Store) {
        // The buffer may be further than a block that was set aside; it may also send everything again.
        let batches = [self.late(), self.some_of_each_run(), self.late_in_pinned()];
        for (sequence, spans) in (self.sequence + 1..).zip(&batches) {
            self.append(store, sequence, spans);
        }
        self.check_late(store, self.sequence + 3);
    }

    fn append(&self, store: &Store, sequence: u64, spans: &[Span]) {
        let tries: Vec<_> = (0..5).map(|_| store.append(spans, &self.cursor(sequence), self.now)).collect();
        assert!(tries[4].is_ok(), "{tries:?}");
    }

    /// What came after the damage is there.
    fn check_late(&self, store: &Store, sequence: u64) {
        assert_eq!(store.cursor(BUFFER, 0).unwrap(), Some(sequence));
        let shown = store.ask(|snapshot| snapshot.trace(trace_id(LATE), usize::MAX)).unwrap().spans;
        assert_eq!(shown, self.late());
        for late in self.late_in_pinned() {
            let shown = store.ask(|snapshot| snapshot.trace(late.trace_id, usize::MAX)).unwrap().spans;
            assert!(shown.contains(&late), "{late:?}");
        }
    }

    /// What is done beside appending; returns how many traces are pinned at least.
    pub(super) fn check_upkeep(&self, store: &Store) -> usize {
        for _time in 0..8 {
            match store.merge() {
                Ok(None) => break,
                Err(error) => assert!(error.is_damage(), "{error:?}"),
                Ok(Some(_)) => {}
            }
        }
        for id in [3, 5, LATE] {
            match store.pin(trace_id(id), self.now) {
                Err(error) => assert!(error.is_damage(), "{error:?}"),
                Ok(is_there) => assert!(is_there || id != LATE),
            }
        }
        store.expire(self.now).unwrap();
        store.status();
        store.archive.len()
    }

    pub(super) fn cursor(&self, sequence: u64) -> Cursor {
        Cursor { buffer: BUFFER, signal: 0, sequence }
    }

    /// A trace that comes after the damage.
    pub(super) fn late(&self) -> Vec<Span> {
        trace(LATE, "shop | GET /cart | server | 0-9\n  cart | GET | server | 1-5")
    }

    /// More of it.
    pub(super) fn later(&self) -> Vec<Span> {
        trace(LATE, "redis | x | client | 2-3 | #3 ^2")
    }

    /// Spans of traces that were pinned before.
    fn late_in_pinned(&self) -> Vec<Span> {
        [2, 3, 4].iter().flat_map(|id| trace(*id, "redis | x | client | 2-3 | #77 ^2")).collect()
    }

    /// Appends until that is refused: why, and which batch it was.
    pub(super) fn fill(&self, store: &Store, from: u64) -> (Error, u64) {
        for sequence in from + 1..from + 500 {
            let text = format!("shop | GET /cart | server | 0-9 | text={sequence}");
            if let Err(error) = store.append(&trace(LATE, &text), &self.cursor(sequence), self.now) {
                return (error, sequence);
            }
        }
        panic!("a full disk takes everything");
    }

    /// Every seventh span, for which all runs are looked into.
    fn some_of_each_run(&self) -> Vec<Span> {
        self.spans.values().map(|(span, _)| span.clone()).step_by(7).collect()
    }
}

/// Its number.
const LATE: u64 = 1 << 40;

fn filter(service: Option<&str>) -> Filter {
    Filter {
        service: service.map(str::to_owned),
        operation: None,
        kind: None,
        status: None,
        tags: Vec::new(),
        starts: Timestamp::ZERO..=Timestamp::MAX,
        durations: Duration::ZERO..=Duration::MAX,
    }
}

fn calls_of(counted: Vec<calls::Dependency>) -> BTreeMap<Vec<String>, Stats> {
    let told = |it: calls::Dependency| {
        let stats = Stats { calls: it.calls, errors: it.errors, durations: it.durations };
        (vec![it.parent, it.child, format!("{:?}", it.kind)], stats)
    };
    counted.into_iter().map(told).collect()
}

fn reds_of(red: Red) -> BTreeMap<Vec<String>, Stats> {
    let mut all = BTreeMap::new();
    for ((service, operation), minutes) in red.series {
        for (minute, stats) in minutes {
            all.insert(vec![service.clone(), operation.clone(), minute.to_string()], stats);
        }
    }
    all
}

fn add(sums: &mut Sums, block: BTreeMap<Vec<String>, Stats>) {
    for (key, stats) in block {
        sums.entry(key).or_default().push(stats);
    }
}

/// Each is what some of the blocks have counted.
fn check_sums(sums: &Sums, told: BTreeMap<Vec<String>, Stats>) {
    for (key, stats) in told {
        let blocks = sums.get(&key).unwrap_or_else(|| panic!("{key:?} was never counted"));
        let sum = |chosen: u32| {
            let mut sum = Stats::default();
            (0..)
                .zip(blocks)
                .filter(|(place, _)| chosen >> place & 1 == 1)
                .for_each(|(_, stats)| sum.merge(stats));
            sum
        };
        assert!(
            (0..1 << blocks.len()).any(|chosen| sum(chosen) == stats),
            "{key:?}: {stats:?} of {blocks:?}"
        );
    }
}
