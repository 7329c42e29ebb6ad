//! Removing what is past its time.
//!
//! `expiry` holds a reminder for every row that has its day, ordered by time. A reminder that is due is taken out,
//! and its row with it, unless the row was renewed meanwhile: then the reminder moves to the row's new time. So
//! renewing a row costs nothing here, and what is not due is never looked at.

use redb::{ReadableTable as _, WriteTransaction};

use crate::model::Timestamp;
use crate::store::append::{WriteTable, remind};
use crate::store::key::{self, Identity};
use crate::store::record::Note;
use crate::store::schema::{
    DEPENDENCIES, EXPIRY, Expiring, OPERATIONS, PENDING_PARENTS, SERVICE_NAME_INDEX, SERVICES, SPANS,
    START_TIME_INDEX,
};
use crate::store::{Error, Expired};

/// Reminders that one transaction handles: some 100 ms of work, for which other writers wait.
pub(super) const REMINDERS_PER_BATCH: usize = 5_000;

/// A reminder that is due.
struct Due {
    key: Vec<u8>,
    value: Vec<u8>,
}

/// Handles one batch of what is due at `now`, the longest overdue first.
pub(super) fn expire(transaction: &WriteTransaction, now: Timestamp) -> Result<Expired, Error> {
    let mut reminders = transaction.open_table(EXPIRY)?;
    let due = due(&reminders, now.nanos() / 1_000_000_000)?;
    let mut expired = Expired { more: due.len() == REMINDERS_PER_BATCH, ..Expired::default() };
    for due in due {
        reminders.remove(&due.key[..])?;
        let Some((_time, table, row)) = key::expiring(&due.key) else { continue };
        match Expiring::from_number(table) {
            Some(Expiring::Spans) => {
                expired.spans += u64::from(remove_span(transaction, row, &due)?);
            }
            Some(table) => remove_unless_renewed(transaction, &mut reminders, (table, row), now)?,
            None => {}
        }
    }
    Ok(expired)
}

fn due(reminders: &WriteTable<'_>, now_seconds: u64) -> Result<Vec<Due>, Error> {
    let end = key::expiry(now_seconds.saturating_add(1), 0, &[]);
    let mut due = Vec::new();
    for row in reminders.range::<&[u8]>(..&end[..])?.take(REMINDERS_PER_BATCH) {
        let (key, value) = row?;
        due.push(Due { key: key.value().to_vec(), value: value.value().to_vec() });
    }
    Ok(due)
}

/// Removes a span and its index rows. A span is never renewed, and the reminder knows where it is indexed, so its
/// row need not be read: a damaged one goes like any other.
fn remove_span(transaction: &WriteTransaction, row: &[u8], due: &Due) -> Result<bool, Error> {
    if let (Ok(indexed), Some(identity)) = (Note::read(&due.key, &due.value), Identity::from_key(row)) {
        let start = Timestamp(indexed.number);
        let key = key::service_index(&indexed.text, start, identity);
        transaction.open_table(SERVICE_NAME_INDEX)?.remove(&key[..])?;
        transaction.open_table(START_TIME_INDEX)?.remove(&key::start_index(start, identity)[..])?;
    }
    Ok(transaction.open_table(SPANS)?.remove(row)?.is_some())
}

fn remove_unless_renewed(
    transaction: &WriteTransaction,
    reminders: &mut WriteTable<'_>,
    (expiring, row): (Expiring, &[u8]),
    now: Timestamp,
) -> Result<(), Error> {
    let mut table = transaction.open_table(match expiring {
        Expiring::Spans => SPANS,
        Expiring::Services => SERVICES,
        Expiring::Operations => OPERATIONS,
        Expiring::Dependencies => DEPENDENCIES,
        Expiring::PendingParents => PENDING_PARENTS,
    })?;
    let stored = table.get(row)?.map(|value| Note::read(row, value.value()));
    match stored {
        Some(Ok(note)) if note.expire_time > now.nanos() / 1_000_000_000 => {
            remind(reminders, expiring, row, &note)
        }
        Some(_due_or_damaged) => {
            table.remove(row)?;
            Ok(())
        }
        None => Ok(()),
    }
}
