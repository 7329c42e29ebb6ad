//! Services and operations of a block: listed, each once, as many as a list can be read by.

use std::collections::HashSet;

use redb::{ReadTransaction, ReadableTable, WriteTransaction};

use crate::model::{SpanKind, Timestamp};
use crate::store::engine::Definition;
use crate::store::losses::Losses;
use crate::store::schema::{OPERATIONS, SERVICES};
use crate::store::seal::{seal, unseal};
use crate::store::{Error, key};

/// Names that a block lists; spans of further ones are stored and found, but not listed.
pub(super) const MAX_SERVICES: usize = 10_000;
pub(super) const MAX_OPERATIONS: usize = 100_000;

/// The names that the active block lists, and those that a batch brings.
#[derive(Debug, Default)]
pub(super) struct Names {
    services: Known,
    operations: Known,
}

/// Keys of one table.
#[derive(Debug, Default)]
struct Known {
    keys: HashSet<Box<[u8]>>,
    fresh: Vec<Box<[u8]>>,
}

impl Known {
    fn read(transaction: &ReadTransaction, table: Definition) -> Result<Self, Error> {
        let mut keys = HashSet::new();
        for row in transaction.open_table(table)?.iter()? {
            keys.insert(row?.0.value().into());
        }
        Ok(Self { keys, fresh: Vec::new() })
    }

    fn add(&mut self, key: Vec<u8>, most: usize, losses: &Losses, table: Definition) {
        if self.keys.contains(&key[..]) {
            return;
        }
        if self.keys.len() >= most {
            losses.leave_out(table, most as u64);
            return;
        }
        let key: Box<[u8]> = key.into();
        self.fresh.push(key.clone());
        self.keys.insert(key);
    }

    fn write(&self, transaction: &WriteTransaction, table: Definition, now: Timestamp) -> Result<(), Error> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        let mut table = transaction.open_table(table)?;
        for key in &self.fresh {
            table.insert(&key[..], &seal(key, now.nanos().to_le_bytes().to_vec())[..])?;
        }
        Ok(())
    }
}

impl Names {
    /// What a block lists already.
    pub(super) fn read(transaction: &ReadTransaction) -> Result<Self, Error> {
        Ok(Self {
            services: Known::read(transaction, SERVICES)?,
            operations: Known::read(transaction, OPERATIONS)?,
        })
    }

    /// A span of this service, operation and kind is to be stored.
    pub(super) fn add(&mut self, service: &str, operation: &str, kind: SpanKind, losses: &Losses) {
        self.services.add(key::service(service), MAX_SERVICES, losses, SERVICES);
        self.operations.add(key::operation(service, operation, kind), MAX_OPERATIONS, losses, OPERATIONS);
    }

    /// Writes those that are new.
    pub(super) fn write(&self, transaction: &WriteTransaction, now: Timestamp) -> Result<(), Error> {
        self.services.write(transaction, SERVICES, now)?;
        self.operations.write(transaction, OPERATIONS, now)
    }

    /// They are written.
    pub(super) fn committed(&mut self) {
        self.services.fresh.clear();
        self.operations.fresh.clear();
    }
}

/// Adds the names of a block's services.
pub(super) fn services(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    losses: &Losses,
    mut add: impl FnMut(String),
) -> Result<(), Error> {
    for row in table.iter()? {
        let (key, value) = row?;
        let read = unseal(key.value(), value.value())
            .and_then(|_seen| Ok(key::split_name(key.value()).ok_or(crate::store::seal::Damaged)?.0));
        losses.step_over(SERVICES, read).into_iter().for_each(&mut add);
    }
    Ok(())
}

/// Adds the names and kinds of a service's operations in a block.
pub(super) fn operations(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    service: &str,
    losses: &Losses,
    mut add: impl FnMut((String, SpanKind)),
) -> Result<(), Error> {
    let (first, last) = key::operation_bounds(service);
    for row in table.range::<&[u8]>(&first[..]..=&last[..])? {
        let (key, value) = row?;
        let read = unseal(key.value(), value.value())
            .and_then(|_seen| operation(key.value()).ok_or(crate::store::seal::Damaged));
        losses.step_over(OPERATIONS, read).into_iter().for_each(&mut add);
    }
    Ok(())
}

fn operation(key: &[u8]) -> Option<(String, SpanKind)> {
    let (_service, rest) = key::split_name(key)?;
    let (name, kind) = key::split_name(rest)?;
    let [kind] = kind else { return None };
    Some((name, SpanKind::from_number((*kind).into())))
}
