//! Reading: every answer of one snapshot is from the same moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::ops::RangeInclusive;

use redb::{Range, ReadOnlyTable, ReadableTableMetadata as _};

use crate::model::{Span, SpanId, SpanKind, Timestamp, TraceId};
use crate::store::engine::Reading;
use crate::store::literal::key::Identity;
use crate::store::literal::record::{Damaged, IndexRow, Note, SpanMaker, SpanRow};
use crate::store::literal::schema::{
    ARCHIVE, CURSOR, DEPENDENCIES, Definition, OPERATIONS, SERVICE_NAME_INDEX, SERVICES, SPANS,
    START_TIME_INDEX,
};
use crate::store::literal::{Cursor, Error, key};
use crate::store::losses::Losses;

type Table = ReadOnlyTable<&'static [u8], &'static [u8]>;
type Rows = Range<'static, &'static [u8], &'static [u8]>;

/// The store as it stood when the snapshot was taken. Pages it can see are not reused while it lives: keep it short.
#[derive(Debug)]
pub struct Snapshot<'s> {
    pub(super) reading: Reading,
    pub(super) losses: &'s Losses,
}

/// The stored spans of one trace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceRows {
    /// In no promised order, each once.
    pub spans: Vec<Span>,
    /// Bytes of their rows.
    pub bytes: usize,
    /// True when there are more than the caller had room for.
    pub cut: bool,
}

/// How often one service called another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// The calling service; empty when its spans name none.
    pub parent: String,
    /// The called service; empty when its spans name none.
    pub child: String,
    /// Spans of the child below a span of the parent.
    pub calls: u64,
}

impl Snapshot<'_> {
    /// The names of all services, sorted; long ones [`crate::store::literal::shortened`].
    pub fn services(&self) -> Result<Vec<String>, Error> {
        let mut names = Vec::new();
        self.each(SERVICES, &[], &[0xff], |key, value| {
            Note::read(key, value)?;
            names.push(key::split_name(key).ok_or(Damaged)?.0);
            Ok(true)
        })?;
        Ok(names)
    }

    /// The names and kinds of a service's operations, sorted.
    pub fn operations(&self, service: &str) -> Result<Vec<(String, SpanKind)>, Error> {
        let (first, last) = key::operation_bounds(service);
        let mut operations = Vec::new();
        self.each(OPERATIONS, &first, &last, |key, value| {
            Note::read(key, value)?;
            let (_service, rest) = key::split_name(key).ok_or(Damaged)?;
            let (name, kind) = key::split_name(rest).ok_or(Damaged)?;
            let [kind] = kind else { return Err(Damaged) };
            operations.push((name, SpanKind::from_number((*kind).into())));
            Ok(true)
        })?;
        Ok(operations)
    }

    /// The spans of a trace, stored and pinned, as many as fit into `max_bytes` of rows (always at least one).
    pub fn trace(&self, id: TraceId, max_bytes: usize) -> Result<TraceRows, Error> {
        let mut rows = TraceRows::default();
        self.add_spans(&mut rows, (key::trace_first(id), key::trace_last(id)), max_bytes)?;
        Ok(rows)
    }

    /// Those spans of a trace that have one of these ids.
    pub fn spans_with_ids(
        &self,
        id: TraceId,
        span_ids: &BTreeSet<SpanId>,
        max_bytes: usize,
    ) -> Result<TraceRows, Error> {
        let mut rows = TraceRows::default();
        for &span_id in span_ids {
            self.add_spans(&mut rows, key::span_bounds(id, span_id), max_bytes)?;
            if rows.cut {
                break;
            }
        }
        Ok(rows)
    }

    /// Adds the stored spans between the bounds, and the pinned ones that are stored no more.
    fn add_spans(
        &self,
        rows: &mut TraceRows,
        (first, last): ([u8; 32], [u8; 32]),
        max_bytes: usize,
    ) -> Result<(), Error> {
        let (before, mut maker) = (rows.spans.len(), SpanMaker::default());
        for table in [SPANS, ARCHIVE] {
            let stored = before..rows.spans.len();
            self.each(table, &first, &last, |key, value| {
                let row = SpanRow::read(key, value)?;
                // In the order of their keys, as any table gives them.
                let known = rows.spans[stored.clone()].binary_search_by_key(&row.identity, Identity::of);
                if known.is_ok() {
                    return Ok(true);
                }
                rows.cut = !rows.spans.is_empty() && rows.bytes + value.len() > max_bytes;
                if !rows.cut {
                    rows.spans.push(maker.span(&row));
                    rows.bytes += value.len();
                }
                Ok(!rows.cut)
            })?;
            if rows.cut {
                break;
            }
        }
        Ok(())
    }

    /// The stored spans, one by one.
    pub fn spans(&self) -> Result<Spans<'_>, Error> {
        let table = self.reading.read(|transaction| Ok(transaction.open_table(SPANS)?))?;
        Ok(Spans { snapshot: self, table })
    }

    /// The index rows of spans that started within the bounds, newest first; of all services when none is named.
    pub fn newest(
        &self,
        service: Option<&str>,
        starts: RangeInclusive<Timestamp>,
    ) -> Result<Newest<'_>, Error> {
        let (first, last) = key::index_bounds(service, *starts.start(), *starts.end());
        let table = if service.is_some() { SERVICE_NAME_INDEX } else { START_TIME_INDEX };
        let rows = if starts.is_empty() { None } else { Some(self.range(table, &first, &last)?) };
        Ok(Newest { snapshot: self, table, rows })
    }

    /// Calls between services, sorted, over all hours that overlap with the time between the bounds.
    pub fn dependencies(&self, start: Timestamp, end: Timestamp) -> Result<Vec<Dependency>, Error> {
        let hours = key::hour(start)..=key::hour(end);
        let mut calls: BTreeMap<(String, String), u64> = BTreeMap::new();
        self.each(DEPENDENCIES, &[], &[0xff], |key, value| {
            let (parent, child, hour) = key::split_dependency(key).ok_or(Damaged)?;
            if hours.contains(&hour) {
                let counted = Note::read(key, value)?.number;
                let count = calls.entry((parent, child)).or_default();
                *count = count.saturating_add(counted);
            }
            Ok(true)
        })?;
        let named = |((parent, child), calls)| Dependency { parent, child, calls };
        Ok(calls.into_iter().map(named).collect())
    }

    /// Hands each sound row between the bounds to `take` until that returns `Ok(false)`; damaged ones are counted.
    fn each(
        &self,
        definition: Definition,
        first: &[u8],
        last: &[u8],
        mut take: impl FnMut(&[u8], &[u8]) -> Result<bool, Damaged>,
    ) -> Result<(), Error> {
        let mut rows = self.range(definition, first, last)?;
        self.reading.read(|_transaction| {
            for row in &mut rows {
                let (key, value) = row?;
                let taken = take(key.value(), value.value());
                if self.losses.step_over(definition, taken) == Some(false) {
                    break;
                }
            }
            Ok(())
        })
    }

    fn range(&self, definition: Definition, first: &[u8], last: &[u8]) -> Result<Rows, Error> {
        self.reading.read(|transaction| {
            let table: Table = transaction.open_table(definition)?;
            Ok(table.range(first..=last)?)
        })
    }

    /// So many spans at most, in the order of their keys, from behind one of them, and none behind so many bytes.
    pub(super) fn spans_after(
        &self,
        definition: Definition,
        after: Option<Identity>,
        (count, max_bytes): (usize, usize),
    ) -> Result<Vec<Span>, Error> {
        let behind = after.map(Identity::to_key);
        let first = behind.as_ref().map_or(Unbounded, |key| Excluded(&key[..]));
        let (mut spans, mut maker, mut bytes) = (Vec::new(), SpanMaker::default(), 0);
        self.reading.read(|transaction| {
            let table: Table = transaction.open_table(definition)?;
            for row in table.range::<&[u8]>((first, Unbounded))? {
                let (key, value) = row?;
                let span = SpanRow::read(key.value(), value.value()).map(|row| maker.span(&row));
                spans.extend(self.losses.step_over(definition, span));
                bytes += value.value().len();
                if spans.len() >= count || (bytes >= max_bytes && !spans.is_empty()) {
                    break;
                }
            }
            Ok(())
        })?;
        Ok(spans)
    }

    /// Every buffer's cursor.
    pub(super) fn cursors(&self) -> Result<Vec<Cursor>, Error> {
        let mut cursors = Vec::new();
        self.each(CURSOR, &[], &[0xff; 18], |key, value| {
            let (buffer, signal) = key.split_first_chunk().ok_or(Damaged)?;
            let [signal] = signal else { return Err(Damaged) };
            let sequence = super::append::cursor_of(key, value)?;
            cursors.push(Cursor { buffer: *buffer, signal: *signal, sequence });
            Ok(true)
        })?;
        Ok(cursors)
    }

    /// How many spans there are, pinned ones not counted.
    pub(super) fn span_count(&self) -> Result<u64, Error> {
        self.reading.read(|transaction| Ok(transaction.open_table(SPANS)?.len()?))
    }

    /// The start of the earliest span that has one.
    pub(super) fn oldest(&self) -> Result<Option<Timestamp>, Error> {
        let (first, last) = key::index_bounds(None, Timestamp(1), Timestamp::MAX);
        let mut rows = self.range(START_TIME_INDEX, &first, &last)?;
        self.reading.read(|_transaction| {
            let Some(row) = rows.next() else { return Ok(None) };
            Ok(key::indexed(row?.0.value()).map(|(start, _identity)| start))
        })
    }

    /// How many traces are pinned; takes one seek for each.
    pub(super) fn archived_count(&self) -> Result<u64, Error> {
        self.reading.read(|transaction| {
            let table: Table = transaction.open_table(ARCHIVE)?;
            let (mut count, mut behind) = (0, key::trace_first(TraceId([0; 16])));
            while let Some(row) = table.range::<&[u8]>((Excluded(&behind[..]), Unbounded))?.next() {
                let Some(found) = key::Identity::from_key(row?.0.value()) else { break };
                count += 1;
                behind = key::trace_last(found.trace_id);
            }
            Ok(count)
        })
    }
}

/// The stored spans, held open for many questions.
pub struct Spans<'s> {
    snapshot: &'s Snapshot<'s>,
    table: Table,
}

impl Spans<'_> {
    /// The span an index row stands for; `None` when it is gone or damaged.
    pub fn get(&self, row: &IndexRow) -> Result<Option<Span>, Error> {
        let key = row.identity.to_key();
        let make = |value: &[u8]| SpanRow::read(&key, value).map(|row| SpanMaker::default().span(&row));
        let read = self
            .snapshot
            .reading
            .read(|_transaction| Ok(self.table.get(&key[..])?.map(|value| make(value.value()))))?;
        Ok(read.and_then(|span| self.snapshot.losses.step_over(SPANS, span)))
    }
}

impl fmt::Debug for Spans<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").field("snapshot", self.snapshot).finish_non_exhaustive()
    }
}

/// Index rows, newest first. Rows that are damaged are counted and left out.
pub struct Newest<'s> {
    snapshot: &'s Snapshot<'s>,
    table: Definition,
    rows: Option<Rows>,
}

impl Iterator for Newest<'_> {
    type Item = Result<IndexRow, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.rows.as_mut()?;
        loop {
            let read = self.snapshot.reading.read(|_transaction| {
                let Some(row) = rows.next_back() else { return Ok(None) };
                let (key, value) = row?;
                Ok(Some(IndexRow::read(key.value(), value.value())))
            });
            match read {
                Ok(None) => return None,
                Ok(Some(row)) => match self.snapshot.losses.step_over(self.table, row) {
                    Some(row) => return Some(Ok(row)),
                    None => continue,
                },
                Err(error) => {
                    self.rows = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

impl fmt::Debug for Newest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newest").field("snapshot", self.snapshot).finish_non_exhaustive()
    }
}
