//! Calls between services at rest.
//!
//! Key: parent ‖ 00 ‖ child ‖ 00 ‖ hour u32 ‖ kind u8; value: [`Stats`], sealed.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use redb::{ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, WriteTransaction};

use super::counting::Counted;
use super::pending;
use super::{Dependency, EdgeKind, Waiting};
use crate::model::Timestamp;
use crate::store::Error;
use crate::store::engine::Definition;
use crate::store::histogram::Stats;
use crate::store::key;
use crate::store::losses::Losses;
use crate::store::seal::{Damaged, seal, unseal};

/// The table.
pub(in crate::store) const DEPENDENCIES: Definition = Definition::new("jaeger.dependencies");

/// Rows of one file: pairs of services that call each other, times the hours in which they do. Further calls are not
/// counted.
pub(super) const MAX_ROWS: u64 = 100_000;

type WriteTable<'t> = redb::Table<'t, &'static [u8], &'static [u8]>;

/// Calls by parent, child and kind, added up over files.
#[derive(Debug, Default)]
pub(in crate::store) struct Calls(BTreeMap<(String, String, EdgeKind), Stats>);

impl Calls {
    /// All of them, sorted by names.
    pub(in crate::store) fn into_dependencies(self) -> Vec<Dependency> {
        let named = |((parent, child, kind), stats): (_, Stats)| Dependency {
            parent,
            child,
            kind,
            calls: stats.calls,
            errors: stats.errors,
            durations: stats.durations,
        };
        self.0.into_iter().map(named).collect()
    }
}

/// Adds the calls that a batch counted, and keeps who of run `run` still waits.
pub(in crate::store) fn write(
    transaction: &WriteTransaction,
    run: u32,
    counted: &Counted,
    losses: &Losses,
) -> Result<(), Error> {
    let mut table = transaction.open_table(DEPENDENCIES)?;
    let rows =
        counted.edges().map(|(edge, stats)| (row_key(edge.parent, edge.child, edge.hour, edge.kind), stats));
    add_to_table((DEPENDENCIES, &mut table), rows.collect(), MAX_ROWS, losses)?;
    pending::write_row(transaction, run, counted)
}

/// Adds to `into` the calls that one file counted in these hours ([`key::hour`]).
pub(in crate::store) fn read(
    transaction: &ReadTransaction,
    hours: &RangeInclusive<u32>,
    losses: &Losses,
    into: &mut Calls,
) -> Result<(), Error> {
    for row in transaction.open_table(DEPENDENCIES)?.range::<&[u8]>(..)? {
        let (key, value) = row?;
        losses.step_over(DEPENDENCIES, take(key.value(), value.value(), hours, into));
    }
    Ok(())
}

/// Of each run of a file that had any, the spans that waited when it was stored, without those whose time is over.
pub(in crate::store) fn read_waiting(
    transaction: &ReadTransaction,
    now: Timestamp,
    losses: &Losses,
) -> Result<Vec<(u32, Vec<Waiting>)>, Error> {
    pending::read_rows(transaction, now, losses)
}

fn take(key: &[u8], value: &[u8], hours: &RangeInclusive<u32>, into: &mut Calls) -> Result<(), Damaged> {
    let (parent, child, hour, kind) = split_row_key(key).ok_or(Damaged)?;
    if hours.contains(&hour) {
        let stats = Stats::read(unseal(key, value)?).ok_or(Damaged)?;
        into.0.entry((parent, child, kind)).or_default().merge(&stats);
    }
    Ok(())
}

/// Adds each to its row, in the order of the keys, as long as the table has no more than `most` rows.
pub(in crate::store) fn add_to_table(
    (definition, table): (Definition, &mut WriteTable<'_>),
    mut rows: Vec<(Vec<u8>, &Stats)>,
    most: u64,
    losses: &Losses,
) -> Result<(), Error> {
    rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    for (key, stats) in rows {
        let stored = table
            .get(&key[..])?
            .map(|value| unseal(&key, value.value()).and_then(|value| Stats::read(value).ok_or(Damaged)));
        if stored.is_none() && table.len()? >= most {
            losses.leave_out(definition, most);
            continue;
        }
        // What a damaged row had counted is lost; it counts anew.
        let mut sum = stored.and_then(|stored| losses.step_over(definition, stored)).unwrap_or_default();
        sum.merge(stats);
        table.insert(&key[..], &seal(&key, sum.to_bytes())[..])?;
    }
    Ok(())
}

fn row_key(parent: &str, child: &str, hour: u32, kind: EdgeKind) -> Vec<u8> {
    let mut key = key::name(parent);
    key.extend_from_slice(&key::name(child));
    key.extend_from_slice(&hour.to_be_bytes());
    key.push(kind as u8);
    key
}

fn split_row_key(key: &[u8]) -> Option<(String, String, u32, EdgeKind)> {
    let (parent, rest) = key::split_name(key)?;
    let (child, rest) = key::split_name(rest)?;
    let (hour, kind) = rest.split_first_chunk()?;
    let [kind] = kind.try_into().ok()?;
    Some((parent, child, u32::from_be_bytes(*hour), EdgeKind::from_number(kind)?))
}

/// Whether a row can be read.
pub(in crate::store) fn check(key: &[u8], value: &[u8]) -> Result<(), Damaged> {
    split_row_key(key).ok_or(Damaged)?;
    Stats::read(unseal(key, value)?).ok_or(Damaged).map(drop)
}
