//! Spans whose parent, or a span they link, was not stored yet.
//!
//! They wait in memory. On disk each run has one row with those of its spans that waited when it was stored, which is
//! never changed: after a restart, who reads the rows leaves out what a later run has brought.
//!
//! Row: when they began to wait u64 ‖ count of services ‖ the services ‖ the waiting ones, each the wanted span's
//! TraceID 16 ‖ SpanID 8 ‖ hour u32 ‖ kind u8 with the highest bit for an error, the next for [`Wanted::OtherHalf`] and
//! the one after that for [`Wanted::NotAsking`] ‖ service ‖ duration. Fixed numbers least significant byte first, others
//! as varints; a service has its length before it. Sealed. Key: run u32.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use redb::{ReadTransaction, WriteTransaction};

use super::EdgeKind;
use super::counting::Counted;
use crate::model::{SpanId, SpanKind, Timestamp, TraceId};
use crate::otlp::write::varint as put_varint;
use crate::store::Error;
use crate::store::engine::Definition;
use crate::store::histogram::{Outcome, varint};
use crate::store::key::shortened;
use crate::store::losses::Losses;
use crate::store::seal::{Cut, Damaged, seal, unseal};

/// The table.
pub(in crate::store) const PENDING_PARENTS: Definition = Definition::new("jaeger.pending_parents");

/// How many wait at most.
pub(in crate::store) const MAX_WAITING: usize = 50_000;

/// How long one waits.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(600);

const ERROR_BIT: u8 = 0x80;

const OTHER_HALF_BIT: u8 = 0x40;

const NOT_ASKING_BIT: u8 = 0x20;

const WANTED_BITS: u8 = OTHER_HALF_BIT | NOT_ASKING_BIT;

/// Which of the spans of an id is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Wanted {
    /// The parent, or one that is linked.
    Relative,
    /// The parent, but not another service's half that asks: that one is the parent of the half that answers, which is
    /// still to come under the same id.
    NotAsking,
    /// Who asked, of a span with the same id.
    OtherHalf,
}

impl Wanted {
    /// Whether a span of the id is it, given its kind and whether it is of the service of who wants it.
    pub(super) fn is(self, kind: SpanKind, is_own_service: bool) -> bool {
        let asks = matches!(kind, SpanKind::Client | SpanKind::Producer);
        match self {
            Self::Relative => true,
            Self::NotAsking => is_own_service || !asks,
            Self::OtherHalf => asks,
        }
    }

    fn bits(self) -> u8 {
        match self {
            Self::Relative => 0,
            Self::NotAsking => NOT_ASKING_BIT,
            Self::OtherHalf => OTHER_HALF_BIT,
        }
    }

    fn from_bits(bits: u8) -> Option<Self> {
        [Self::Relative, Self::NotAsking, Self::OtherHalf].into_iter().find(|wanted| wanted.bits() == bits)
    }
}

/// A span that waits for another to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Waiting {
    /// The trace of the span it waits for.
    pub(in crate::store) trace_id: TraceId,
    /// The span it waits for.
    pub(in crate::store) span_id: SpanId,
    /// Which of that id.
    pub(super) wanted: Wanted,
    /// Since when.
    pub(in crate::store) since: Timestamp,
    /// Its own service.
    pub(super) service: Arc<str>,
    /// The hour of its start.
    pub(super) hour: u32,
    /// What kind of call it is, unless the span it waits for sends messages.
    pub(super) kind: EdgeKind,
    /// How it ended.
    pub(super) outcome: Outcome,
}

impl Waiting {
    /// Whether it waits for a span of this kind and service, of the id that it waits for.
    pub(in crate::store) fn is_for(&self, kind: SpanKind, service: &str) -> bool {
        self.wanted.is(kind, *self.service == *shortened(service))
    }

    pub(super) fn is_given_up(&self, now: Timestamp) -> bool {
        now.since(self.since) > MAX_WAIT
    }
}

/// Those that wait. Changes only when a batch that is on disk is applied.
#[derive(Debug, Default)]
pub(in crate::store) struct Pending {
    /// By the trace of the span that is waited for; those that came first stand first.
    waiting: HashMap<TraceId, VecDeque<(u64, Waiting)>>,
    /// The order in which they came.
    order: BTreeMap<u64, TraceId>,
    next: u64,
    given_up: u64,
}

impl Pending {
    /// How many wait.
    pub(in crate::store) fn len(&self) -> usize {
        self.order.len()
    }

    /// How many waited in vain so far: too long, or until too many others waited.
    pub(in crate::store) fn given_up(&self) -> u64 {
        self.given_up
    }

    /// Forgets who waits, to read it from the disk; how many waited in vain stays known.
    pub(in crate::store) fn forget(&mut self) {
        *self = Self { given_up: self.given_up, ..Self::default() };
    }

    /// Those that wait for spans of this trace, each with the number by which it is taken.
    pub(super) fn of(&self, trace_id: TraceId) -> impl Iterator<Item = &(u64, Waiting)> {
        self.waiting.get(&trace_id).into_iter().flatten()
    }

    /// Takes over what a batch that is now on disk changed.
    pub(in crate::store) fn apply(&mut self, counted: Counted) {
        self.remove(&counted.taken);
        self.give_up(counted.now);
        for waiting in counted.waiting {
            self.add(waiting);
        }
    }

    /// One more waits; the one that came first goes when there are too many.
    pub(in crate::store) fn add(&mut self, waiting: Waiting) {
        if self.order.len() >= MAX_WAITING {
            self.drop_first();
        }
        self.order.insert(self.next, waiting.trace_id);
        self.waiting.entry(waiting.trace_id).or_default().push_back((self.next, waiting));
        self.next += 1;
    }

    fn remove(&mut self, taken: &HashSet<u64>) {
        let traces: HashSet<_> = taken.iter().filter_map(|place| self.order.remove(place)).collect();
        for trace_id in traces {
            let Some(of_trace) = self.waiting.get_mut(&trace_id) else { continue };
            of_trace.retain(|(place, _)| !taken.contains(place));
            if of_trace.is_empty() {
                self.waiting.remove(&trace_id);
            }
        }
    }

    /// Lets go of those whose time is over. They stand in the order in which they came, so the first that is not due
    /// ends this.
    fn give_up(&mut self, now: Timestamp) {
        while self.first().is_some_and(|waiting| waiting.is_given_up(now)) {
            self.drop_first();
        }
    }

    fn first(&self) -> Option<&Waiting> {
        let (_, trace_id) = self.order.first_key_value()?;
        self.waiting.get(trace_id)?.front().map(|(_, waiting)| waiting)
    }

    fn drop_first(&mut self) {
        let Some((_, trace_id)) = self.order.pop_first() else { return };
        self.given_up += 1;
        if let Some(of_trace) = self.waiting.get_mut(&trace_id) {
            of_trace.pop_front();
            if of_trace.is_empty() {
                self.waiting.remove(&trace_id);
            }
        }
    }
}

/// Writes the row of a run; none when nothing of it waits.
pub(super) fn write_row(transaction: &WriteTransaction, run: u32, counted: &Counted) -> Result<(), Error> {
    if !counted.waiting.is_empty() {
        let key = run.to_be_bytes();
        let row = seal(&key, to_bytes(&counted.waiting, counted.now));
        transaction.open_table(PENDING_PARENTS)?.insert(&key[..], &row[..])?;
    }
    Ok(())
}

impl Pending {
    /// Writes all who wait into a new file, as if they were of runs that nothing else is of.
    pub(in crate::store) fn write_all(
        &self,
        transaction: &WriteTransaction,
        mut new_run: impl FnMut() -> u32,
    ) -> Result<(), Error> {
        let mut waiting: Vec<&(u64, Waiting)> = self.waiting.values().flatten().collect();
        waiting.sort_unstable_by_key(|(order, _)| *order);
        let mut table = transaction.open_table(PENDING_PARENTS)?;
        for group in waiting.chunk_by(|(_, one), (_, other)| one.since == other.since) {
            let key = new_run().to_be_bytes();
            let waiting: Vec<Waiting> = group.iter().map(|(_, waiting)| waiting.clone()).collect();
            let row = seal(&key, to_bytes(&waiting, group[0].1.since));
            table.insert(&key[..], &row[..])?;
        }
        Ok(())
    }
}

/// Which run each of a file's rows is of, and who waited then, in the order in which they came: no more than may wait,
/// the newest, and none whose time is over by `now`. Older rows, which are most of a file's, are not read.
pub(super) fn read_rows(
    transaction: &ReadTransaction,
    now: Timestamp,
    losses: &Losses,
) -> Result<Vec<(u32, Vec<Waiting>)>, Error> {
    let (mut rows, mut room) = (Vec::new(), MAX_WAITING);
    for row in transaction.open_table(PENDING_PARENTS)?.range::<&[u8]>(..)?.rev() {
        let (key, value) = row?;
        let read = losses.step_over(PENDING_PARENTS, row_of(key.value(), value.value()));
        let Some((run, mut waiting)) = read else { continue };
        // Those of one row came at the same time.
        if room == 0 || waiting.first().is_some_and(|first| first.is_given_up(now)) {
            break;
        }
        waiting.drain(..waiting.len().saturating_sub(room));
        room -= waiting.len();
        rows.push((run, waiting));
    }
    rows.reverse();
    Ok(rows)
}

/// Whether a row can be read.
pub(in crate::store) fn check_waiting(key: &[u8], value: &[u8]) -> Result<(), Damaged> {
    row_of(key, value).map(drop)
}

fn row_of(key: &[u8], value: &[u8]) -> Result<(u32, Vec<Waiting>), Damaged> {
    let run = u32::from_be_bytes(key.try_into().map_err(|_| Damaged)?);
    Ok((run, from_bytes(unseal(key, value)?).ok_or(Damaged)?))
}

fn to_bytes(waiting: &[Waiting], since: Timestamp) -> Vec<u8> {
    let (mut services, mut places) = (Vec::new(), HashMap::new());
    for one in waiting {
        places.entry(&one.service).or_insert_with(|| {
            services.push(&one.service);
            services.len() as u64 - 1
        });
    }
    let mut out = since.nanos().to_le_bytes().to_vec();
    put_varint(&mut out, services.len() as u64);
    for service in services {
        put_varint(&mut out, service.len() as u64);
        out.extend_from_slice(service.as_bytes());
    }
    for one in waiting {
        out.extend_from_slice(&one.trace_id.0);
        out.extend_from_slice(&one.span_id.0);
        out.extend_from_slice(&one.hour.to_le_bytes());
        let error = if one.outcome.is_error { ERROR_BIT } else { 0 };
        out.push(one.kind as u8 | error | one.wanted.bits());
        put_varint(&mut out, places[&one.service]);
        put_varint(&mut out, one.outcome.nanos);
    }
    out
}

fn from_bytes(bytes: &[u8]) -> Option<Vec<Waiting>> {
    let mut rest = Cut(bytes);
    let since = Timestamp(rest.u64()?);
    let mut services = Vec::new();
    for _ in 0..varint(&mut rest)? {
        let length = usize::try_from(varint(&mut rest)?).ok()?;
        services.push(Arc::from(std::str::from_utf8(rest.bytes(length)?).ok()?));
    }
    let mut waiting = Vec::new();
    while !rest.0.is_empty() {
        waiting.push(one_of(&mut rest, since, &services)?);
    }
    Some(waiting)
}

fn one_of(rest: &mut Cut<'_>, since: Timestamp, services: &[Arc<str>]) -> Option<Waiting> {
    let (trace_id, span_id) = (TraceId(rest.array()?), SpanId(rest.array()?));
    let hour = rest.u32()?;
    let [kind] = rest.array()?;
    let service = services.get(usize::try_from(varint(rest)?).ok()?)?;
    let outcome = Outcome { is_error: kind & ERROR_BIT != 0, nanos: varint(rest)? };
    let wanted = Wanted::from_bits(kind & WANTED_BITS)?;
    let kind = EdgeKind::from_number(kind & !(ERROR_BIT | WANTED_BITS))?;
    Some(Waiting { trace_id, span_id, wanted, since, service: Arc::clone(service), hour, kind, outcome })
}
