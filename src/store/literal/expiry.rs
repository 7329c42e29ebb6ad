//! Removing what is past its time.
//!
//! `expiry` holds a reminder for every row that has its day, ordered by time. A reminder that is due is taken out,
//! and its row with it, unless the row says that its own time is later: then the reminder moves to that time. So
//! renewing a row costs nothing here, what is not due is never looked at, and a damaged reminder removes nothing
//! early.

use redb::{ReadableTable, WriteTransaction};

use crate::model::Timestamp;
use crate::store::literal::append::{WriteTable, remind};
use crate::store::literal::key::{self, Identity};
use crate::store::literal::record::{Note, SpanRow};
use crate::store::literal::schema::{
    DEPENDENCIES, EXPIRY, Expiring, OPERATIONS, PENDING_PARENTS, SERVICE_NAME_INDEX, SERVICES, SPANS,
    START_TIME_INDEX,
};
use crate::store::literal::{Error, Expired};
use crate::store::losses::Losses;

/// Reminders that one transaction handles: some 100 ms of work, for which other writers wait.
pub(super) const REMINDERS_PER_BATCH: usize = 5_000;

/// A reminder that is due.
struct Due {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Whether there is a reminder that is due at `now`.
pub(super) fn is_due(
    reminders: &impl ReadableTable<&'static [u8], &'static [u8]>,
    now: Timestamp,
) -> Result<bool, Error> {
    Ok(reminders.range::<&[u8]>(..&first_not_due(now)[..])?.next().transpose()?.is_some())
}

/// Handles one batch of what is due at `now`, the longest overdue first.
pub(super) fn expire(
    transaction: &WriteTransaction,
    losses: &Losses,
    now: Timestamp,
) -> Result<Expired, Error> {
    let mut sweep = Sweep::open(transaction, losses, now)?;
    let due = sweep.due(now)?;
    let mut expired = Expired { more: due.len() == REMINDERS_PER_BATCH, ..Expired::default() };
    for due in due {
        sweep.reminders.remove(&due.key[..])?;
        let Some((_time, table, row)) = key::expiring(&due.key) else { continue };
        let Some(expiring) = Expiring::from_number(table) else { continue };
        expired.spans += u64::from(sweep.remove(expiring, row, &due)?);
    }
    Ok(expired)
}

/// The least key whose reminder is not due.
fn first_not_due(now: Timestamp) -> Vec<u8> {
    key::expiry(seconds(now).saturating_add(1), 0, &[])
}

fn seconds(time: Timestamp) -> u64 {
    time.nanos() / 1_000_000_000
}

/// The tables that rows go from.
struct Sweep<'t> {
    reminders: WriteTable<'t>,
    spans: WriteTable<'t>,
    by_service: WriteTable<'t>,
    by_start: WriteTable<'t>,
    services: WriteTable<'t>,
    operations: WriteTable<'t>,
    dependencies: WriteTable<'t>,
    pending: WriteTable<'t>,
    losses: &'t Losses,
    now_seconds: u64,
}

impl<'t> Sweep<'t> {
    fn open(transaction: &'t WriteTransaction, losses: &'t Losses, now: Timestamp) -> Result<Self, Error> {
        Ok(Self {
            reminders: transaction.open_table(EXPIRY)?,
            spans: transaction.open_table(SPANS)?,
            by_service: transaction.open_table(SERVICE_NAME_INDEX)?,
            by_start: transaction.open_table(START_TIME_INDEX)?,
            services: transaction.open_table(SERVICES)?,
            operations: transaction.open_table(OPERATIONS)?,
            dependencies: transaction.open_table(DEPENDENCIES)?,
            pending: transaction.open_table(PENDING_PARENTS)?,
            losses,
            now_seconds: seconds(now),
        })
    }

    fn due(&self, now: Timestamp) -> Result<Vec<Due>, Error> {
        let mut due = Vec::new();
        for row in self.reminders.range::<&[u8]>(..&first_not_due(now)[..])?.take(REMINDERS_PER_BATCH) {
            let (key, value) = row?;
            due.push(Due { key: key.value().to_vec(), value: value.value().to_vec() });
        }
        Ok(due)
    }

    /// Removes a row unless it was renewed; returns whether that was a span.
    fn remove(&mut self, expiring: Expiring, row: &[u8], due: &Due) -> Result<bool, Error> {
        let (definition, table) = match expiring {
            Expiring::Spans => return self.remove_span(row, due),
            Expiring::Services => (SERVICES, &mut self.services),
            Expiring::Operations => (OPERATIONS, &mut self.operations),
            Expiring::Dependencies => (DEPENDENCIES, &mut self.dependencies),
            Expiring::PendingParents => (PENDING_PARENTS, &mut self.pending),
        };
        let Some(stored) = table.get(row)?.map(|value| Note::read(row, value.value())) else {
            return Ok(false);
        };
        match self.losses.step_over(definition, stored) {
            Some(note) if note.expire_time > self.now_seconds => {
                remind(&mut self.reminders, expiring, row, &note)?;
            }
            _due_or_damaged => drop(table.remove(row)?),
        }
        Ok(false)
    }

    /// Removes a span and its index rows. The span tells where it is indexed, or, when it is damaged, the reminder;
    /// when both are, its index rows stay behind and lead to nothing.
    fn remove_span(&mut self, row: &[u8], due: &Due) -> Result<bool, Error> {
        let stored = |value: &[u8]| SpanRow::read(row, value).map(|span| span.to_reminder());
        let Some(stored) = self.spans.get(row)?.map(|value| stored(value.value())) else {
            return Ok(false);
        };
        let stored = self.losses.step_over(SPANS, stored);
        let reminded = self.losses.step_over(EXPIRY, Note::read(&due.key, &due.value));
        if let Some(renewed) = stored.as_ref().filter(|note| note.expire_time > self.now_seconds) {
            remind(&mut self.reminders, Expiring::Spans, row, renewed)?;
            return Ok(false);
        }
        if let (Some(indexed), Some(identity)) = (stored.or(reminded), Identity::from_key(row)) {
            let start = Timestamp(indexed.number);
            self.by_service.remove(&key::service_index(&indexed.text, start, identity)[..])?;
            self.by_start.remove(&key::start_index(start, identity)[..])?;
        }
        Ok(self.spans.remove(row)?.is_some())
    }
}
