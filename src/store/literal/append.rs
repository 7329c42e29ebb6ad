//! Writing a batch: spans, their index rows, names, calls and the cursor, all in one transaction.

use std::collections::{HashMap, HashSet};

use redb::{ReadableTable as _, ReadableTableMetadata as _, Table, WriteTransaction};

use crate::model::{Span, SpanKind, Timestamp, TraceId};
use crate::store::literal::calls::Calls;
use crate::store::literal::key::{self, Identity};
use crate::store::literal::record::{self, Damaged, IndexRow, Note};
use crate::store::literal::schema::{
    ARCHIVE, CURSOR, Definition, EXPIRY, Expiring, OPERATIONS, SERVICE_NAME_INDEX, SERVICES, SPANS,
    START_TIME_INDEX,
};
use crate::store::literal::{Appended, Cursor, Error};
use crate::store::losses::Losses;

/// A table that is being written.
pub(super) type WriteTable<'t> = Table<'t, &'static [u8], &'static [u8]>;

/// Services that are listed; spans of further ones are stored and found all the same.
const MAX_SERVICES: u64 = 10_000;

/// Operations that are listed, of all services together.
const MAX_OPERATIONS: u64 = 100_000;

/// A span whose row was written, and what the indexes say of it.
struct Written<'s> {
    span: &'s Span,
    index: IndexRow,
    /// It was there before, damaged: its calls are counted already.
    healed: bool,
}

/// When a batch is written, and when what it holds is due to go (unix seconds).
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Timestamp,
    pub(super) expire_time: u64,
}

/// Writes the spans that are not there yet, and the cursor.
pub(super) fn append(
    transaction: &WriteTransaction,
    losses: &Losses,
    spans: &[Span],
    cursor: &Cursor,
    moment: Moment,
) -> Result<Appended, Error> {
    let written = insert_spans(transaction, losses, spans, moment)?;
    note_names(transaction, losses, &written, moment)?;
    let new: Vec<&Span> =
        written.iter().filter(|written| !written.healed).map(|written| written.span).collect();
    Calls::open(transaction, losses, moment)?.count(&new)?;
    keep_pinned_whole(transaction, &written)?;
    advance(transaction, losses, cursor)?;
    let count = new.len() as u64;
    Ok(Appended { new: count, duplicates: spans.len() as u64 - count })
}

/// Inserts what is not there or damaged there, with its index rows and reminders, and tells which spans were.
fn insert_spans<'s>(
    transaction: &WriteTransaction,
    losses: &Losses,
    spans: &'s [Span],
    moment: Moment,
) -> Result<Vec<Written<'s>>, Error> {
    let mut table = transaction.open_table(SPANS)?;
    let mut by_service = transaction.open_table(SERVICE_NAME_INDEX)?;
    let mut by_start = transaction.open_table(START_TIME_INDEX)?;
    let mut reminders = transaction.open_table(EXPIRY)?;
    let mut written = Vec::with_capacity(spans.len());
    for span in spans {
        let identity = Identity::of(span);
        let row = &identity.to_key()[..];
        let stored = table.get(row)?.map(|value| record::unseal(row, value.value()).map(drop));
        let healed = stored.is_some();
        if stored.is_some_and(|stored| losses.step_over(SPANS, stored).is_some()) {
            continue;
        }
        table.insert(row, &record::span(span, moment.expire_time)[..])?;
        let index = IndexRow::of(span);
        for (table, key) in [
            (&mut by_service, key::service_index(&index.service, span.start, identity)),
            (&mut by_start, key::start_index(span.start, identity).to_vec()),
        ] {
            table.insert(&key[..], &index.to_value(&key)[..])?;
        }
        let indexed =
            Note { expire_time: moment.expire_time, number: span.start.nanos(), text: index.service.clone() };
        remind(&mut reminders, Expiring::Spans, row, &indexed)?;
        written.push(Written { span, index, healed });
    }
    Ok(written)
}

/// Writes down that a row is to be looked at when its time has come.
pub(super) fn remind(
    reminders: &mut WriteTable<'_>,
    table: Expiring,
    row: &[u8],
    note: &Note,
) -> Result<(), Error> {
    let key = key::expiry(note.expire_time, table as u8, row);
    reminders.insert(&key[..], &note.to_value(&key)[..])?;
    Ok(())
}

/// Notes services and operations as seen now.
fn note_names(
    transaction: &WriteTransaction,
    losses: &Losses,
    written: &[Written<'_>],
    moment: Moment,
) -> Result<(), Error> {
    let seen = written.iter().map(|Written { index, .. }| index);
    let operations: HashSet<(&str, &str, SpanKind)> =
        seen.map(|row| (&*row.service, &*row.operation, row.kind)).collect();
    let services: HashSet<&str> = operations.iter().map(|(service, ..)| *service).collect();
    let keys = services.into_iter().map(key::service);
    note_seen(transaction, losses, (SERVICES, Expiring::Services, MAX_SERVICES), keys, moment)?;
    let keys = operations.into_iter().map(|(service, name, kind)| key::operation(service, name, kind));
    note_seen(transaction, losses, (OPERATIONS, Expiring::Operations, MAX_OPERATIONS), keys, moment)
}

fn note_seen(
    transaction: &WriteTransaction,
    losses: &Losses,
    (definition, expiring, most): (Definition, Expiring, u64),
    keys: impl Iterator<Item = Vec<u8>>,
    moment: Moment,
) -> Result<(), Error> {
    let mut table = transaction.open_table(definition)?;
    let mut reminders = transaction.open_table(EXPIRY)?;
    let seen = Note { expire_time: moment.expire_time, number: moment.now.nanos(), text: String::new() };
    for key in keys {
        let is_known = table.get(&key[..])?.is_some();
        if !is_known && table.len()? >= most {
            losses.leave_out(definition, most);
            continue;
        }
        table.insert(&key[..], &seen.to_value(&key)[..])?;
        // A row that is known has its reminder, which moves on by itself (see `expiry`).
        if !is_known {
            remind(&mut reminders, expiring, &key, &seen)?;
        }
    }
    Ok(())
}

/// Puts late spans of pinned traces beside the others, so that they outlive their day together.
fn keep_pinned_whole(transaction: &WriteTransaction, written: &[Written<'_>]) -> Result<(), Error> {
    let mut archive = transaction.open_table(ARCHIVE)?;
    if archive.is_empty()? {
        return Ok(());
    }
    let mut pinned: HashMap<TraceId, bool> = HashMap::new();
    for Written { span, .. } in written {
        let is_pinned = match pinned.get(&span.trace_id) {
            Some(known) => *known,
            None => has_trace(&archive, span.trace_id)?,
        };
        pinned.insert(span.trace_id, is_pinned);
        if is_pinned {
            archive.insert(&Identity::of(span).to_key()[..], &record::span(span, record::NEVER)[..])?;
        }
    }
    Ok(())
}

fn has_trace(table: &WriteTable<'_>, id: TraceId) -> Result<bool, Error> {
    let (first, last) = (key::trace_first(id), key::trace_last(id));
    Ok(table.range::<&[u8]>(&first[..]..=&last[..])?.next().is_some())
}

/// Copies a trace to where nothing expires; false when there is no such trace.
pub(super) fn pin(transaction: &WriteTransaction, losses: &Losses, id: TraceId) -> Result<bool, Error> {
    let spans = transaction.open_table(SPANS)?;
    let mut archive = transaction.open_table(ARCHIVE)?;
    let (first, last) = (key::trace_first(id), key::trace_last(id));
    for row in spans.range::<&[u8]>(&first[..]..=&last[..])? {
        let (key, value) = row?;
        let kept = record::span_with_expire_time(key.value(), value.value(), record::NEVER);
        if let Some(kept) = losses.step_over(SPANS, kept) {
            archive.insert(key.value(), &kept[..])?;
        }
    }
    has_trace(&archive, id)
}

/// Moves the cursor on; one that stands further already stays.
fn advance(transaction: &WriteTransaction, losses: &Losses, cursor: &Cursor) -> Result<(), Error> {
    let mut table = transaction.open_table(CURSOR)?;
    let key = key::cursor(cursor.buffer, cursor.signal);
    let stored = table.get(&key[..])?.map(|value| cursor_of(&key, value.value()));
    let stored = stored.and_then(|sequence| losses.step_over(CURSOR, sequence));
    if stored.is_none_or(|sequence| sequence < cursor.sequence) {
        table.insert(&key[..], &record::seal(&key, cursor.sequence.to_le_bytes().to_vec())[..])?;
    }
    Ok(())
}

/// The sequence of a cursor's row. Without it the buffer delivers again what the store then knows.
pub(super) fn cursor_of(key: &[u8], sealed: &[u8]) -> Result<u64, Damaged> {
    Ok(u64::from_le_bytes(record::unseal(key, sealed)?.try_into().map_err(|_| Damaged)?))
}
