//! Requests, errors and durations of each operation, minute by minute.
//!
//! Key: service ‖ 00 ‖ operation ‖ 00 ‖ kind u8 ‖ minute u32; value: [`Stats`], sealed.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use redb::{ReadTransaction, ReadableTableMetadata as _, WriteTransaction};

use crate::model::{SpanKind, Timestamp};
use crate::store::Error;
use crate::store::calls::{Counted, add_to_table};
use crate::store::engine::Definition;
use crate::store::histogram::Stats;
use crate::store::key;
use crate::store::losses::Losses;
use crate::store::seal::{Damaged, unseal};

/// The table.
pub(super) const RED: Definition = Definition::new("jaeger.red");

/// Rows of one file: operations times the minutes in which they ran. Further ones are not counted.
const MAX_ROWS: u64 = 100_000;

/// With so many a new file is due, so that further ones are counted there.
const MANY_ROWS: u64 = MAX_ROWS / 10 * 9;

/// Minutes of operations that one question reads.
const MAX_READ: usize = 200_000;

/// Rows that one question looks at, those that it then leaves out among them.
const MAX_LOOKED_AT: usize = 1_000_000;

/// Whole minutes since the epoch.
pub fn minute(time: Timestamp) -> u32 {
    // The last moment a timestamp can say is in minute 307 445 734.
    (time.nanos() / 60_000_000_000) as u32
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// Of which services; their names as they stand in keys ([`crate::store::shortened`]).
    pub services: &'a [&'a str],
    /// Spans of which kinds.
    pub kinds: &'a [SpanKind],
    /// Which minutes, see [`minute`].
    pub minutes: RangeInclusive<u32>,
    /// Whether each operation of a service is told apart; all stand under "" otherwise.
    pub by_operation: bool,
}

/// The answer: by service and operation, and by minute.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Red {
    /// Of each service and operation what was counted in each minute.
    pub series: BTreeMap<(String, String), BTreeMap<u32, Stats>>,
    /// Whether there was more than one question reads.
    pub is_cut: bool,
    read: usize,
    looked_at: usize,
}

impl Red {
    /// Adds what was counted of an operation in a minute; nothing more once it is full.
    pub fn add(&mut self, service: &str, operation: &str, minute: u32, stats: &Stats) {
        let minutes = self.series.entry((service.to_owned(), operation.to_owned())).or_default();
        if self.read < MAX_READ || minutes.contains_key(&minute) {
            let known = minutes.len();
            minutes.entry(minute).or_default().merge(stats);
            self.read += minutes.len() - known;
        } else {
            self.is_cut = true;
        }
    }
}

/// Adds what a batch counted; whether the file has hardly any room left.
pub(super) fn write(
    transaction: &WriteTransaction,
    counted: &Counted,
    losses: &Losses,
) -> Result<bool, Error> {
    let mut table = transaction.open_table(RED)?;
    let rows =
        counted.red().map(|(red, stats)| (row_key(red.service, red.operation, red.kind, red.minute), stats));
    add_to_table((RED, &mut table), rows.collect(), MAX_ROWS, losses)?;
    Ok(table.len()? >= MANY_ROWS)
}

/// Adds to `into` what one file has.
pub(super) fn read(
    transaction: &ReadTransaction,
    wanted: &Wanted<'_>,
    losses: &Losses,
    into: &mut Red,
) -> Result<(), Error> {
    let table = transaction.open_table(RED)?;
    for service in wanted.services {
        // A name ends with 00, and no operation begins with 0xff: UTF-8 has no such byte.
        let first = key::name(service);
        let last = [&first[..], &[0xff]].concat();
        let mut from = Some(first.clone());
        while let Some(start) = from.take() {
            for row in table.range::<&[u8]>(&start[..]..=&last[..])? {
                let (key, value) = row?;
                into.looked_at += 1;
                into.is_cut |= into.looked_at > MAX_LOOKED_AT;
                if into.is_cut {
                    return Ok(());
                }
                from = next_wanted(key.value(), first.len(), wanted);
                if from.is_some() {
                    break;
                }
                losses.step_over(RED, take(key.value(), value.value(), wanted, into));
            }
        }
    }
    Ok(())
}

/// Where to go on when a row is not wanted: at its operation's first wanted minute, or at the next operation. `None`
/// for a row that is wanted, and for one whose key is none, which says nothing of its neighbors.
fn next_wanted(key: &[u8], service_bytes: usize, wanted: &Wanted<'_>) -> Option<Vec<u8>> {
    let rest = key.get(service_bytes..)?;
    let (kind, minute) = rest.get(memchr::memchr(0, rest)? + 1..)?.split_first()?;
    let minute = u32::from_be_bytes(minute.try_into().ok()?);
    let is_kind = wanted.kinds.contains(&SpanKind::from_number((*kind).into()));
    let operation = &key[..key.len() - 4];
    if !is_kind || minute > *wanted.minutes.end() {
        // The first key after those of all its minutes.
        return Some([operation, &[0xff; 4], &[0]].concat());
    }
    let start = *wanted.minutes.start();
    (minute < start).then(|| [operation, &start.to_be_bytes()].concat())
}

fn take(key: &[u8], value: &[u8], wanted: &Wanted<'_>, into: &mut Red) -> Result<(), Damaged> {
    let (service, operation, kind, minute) = split_row_key(key).ok_or(Damaged)?;
    if wanted.kinds.contains(&kind) && wanted.minutes.contains(&minute) {
        let stats = Stats::read(unseal(key, value)?).ok_or(Damaged)?;
        into.add(&service, if wanted.by_operation { &operation } else { "" }, minute, &stats);
    }
    Ok(())
}

fn row_key(service: &str, operation: &str, kind: SpanKind, minute: u32) -> Vec<u8> {
    let mut key = key::operation(service, operation, kind);
    key.extend_from_slice(&minute.to_be_bytes());
    key
}

fn split_row_key(key: &[u8]) -> Option<(String, String, SpanKind, u32)> {
    let (service, rest) = key::split_name(key)?;
    let (operation, rest) = key::split_name(rest)?;
    let (&kind, minute) = rest.split_first()?;
    let minute = u32::from_be_bytes(minute.try_into().ok()?);
    Some((service, operation, SpanKind::from_number(kind.into()), minute))
}

/// Whether a row can be read.
pub(super) fn check(key: &[u8], value: &[u8]) -> Result<(), Damaged> {
    split_row_key(key).ok_or(Damaged)?;
    Stats::read(unseal(key, value)?).ok_or(Damaged).map(drop)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::sketch::{BASE, trace};
    use crate::store::{Cursor, Settings, Store};

    #[test]
    fn rows_that_are_not_wanted_are_jumped_over() {
        let kinds = [SpanKind::Server, SpanKind::Client];
        let kept = &[1, 5, 9, u32::MAX][..];
        let rows = || {
            let operations =
                ["", "GET", "GET /", "\u{0}"].into_iter().flat_map(|name| kinds.map(|kind| (name, kind)));
            operations
                .flat_map(|(name, kind)| kept.iter().map(move |&minute| row_key("shop", name, kind, minute)))
        };
        let mut keys: Vec<_> = rows().collect();
        keys.sort();
        for minutes in [0..=0, 0..=u32::MAX, 2..=8, 5..=5, 9..=u32::MAX, 10..=11] {
            for kinds in [&kinds[..], &kinds[..1]] {
                let wanted =
                    Wanted { services: &["shop"], kinds, minutes: minutes.clone(), by_operation: true };
                let (mut found, mut looked_at, mut at) = (Vec::new(), 0, 0);
                while let Some(key) = keys.get(at) {
                    looked_at += 1;
                    at = match next_wanted(key, 5, &wanted) {
                        Some(next) => keys.partition_point(|key| *key < next),
                        None => {
                            found.push(key.clone());
                            at + 1
                        }
                    };
                }
                let is_wanted = |key: &&Vec<u8>| {
                    let (_, _, kind, minute) = split_row_key(key).unwrap();
                    kinds.contains(&kind) && minutes.contains(&minute)
                };
                assert_eq!(found, keys.iter().filter(is_wanted).cloned().collect::<Vec<_>>());
                // One before and one after the wanted ones of each operation and kind.
                assert!(looked_at <= found.len() + 2 * 8, "{looked_at} {wanted:?}");
            }
        }
        assert_eq!(
            next_wanted(
                b"shop\0GET\0\x02abcde",
                5,
                &Wanted { services: &[], kinds: &[], minutes: 0..=0, by_operation: true }
            ),
            None
        );
    }

    #[test]
    fn a_block_with_no_room_for_minutes_makes_way_for_another() {
        let folder = tempfile::tempdir().unwrap();
        let age = Duration::from_secs(86_400);
        let settings =
            Settings { cache_bytes: 16 << 20, max_age: age, max_bytes: Some(1 << 30), min_free_bytes: 0 };
        let store = Store::open(folder.path(), &settings, BASE).unwrap();
        let append = |number| {
            let cursor = Cursor { buffer: [7; 16], signal: 0, sequence: number };
            store.append(&trace(number, "shop | GET /cart | server | 0-100"), &cursor, BASE).unwrap();
            store.status().blocks
        };
        assert_eq!((append(1), append(2)), (1, 1));
        let filled = store.blocks.active().unwrap().engine().write(|transaction| {
            let mut table = transaction.open_table(RED)?;
            for row in 0..MANY_ROWS {
                table.insert(&row.to_be_bytes()[..], &[][..])?;
            }
            Ok(())
        });
        filled.unwrap();
        assert_eq!([append(3), append(4), append(5)], [1, 2, 2]);
    }
}
