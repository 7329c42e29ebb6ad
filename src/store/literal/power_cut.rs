//! The store on a disk that loses power: of what was written since the last sync any sectors may be there.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use proptest::prelude::*;
use redb::{Builder, StorageBackend};

use crate::model::sketch::{BASE, trace, trace_id};
use crate::model::{Span, Timestamp};
use crate::store::engine::Engine;
use crate::store::literal::{Cursor, LAYOUT, Settings, Store};

const SETTINGS: Settings = Settings { cache_bytes: 1 << 20, max_age: Duration::from_secs(3_600) };
const BATCHES: u64 = 4;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: u64 = 512;

/// What was done to the disk, in order.
#[derive(Debug, Clone)]
enum Act {
    Write(u64, Vec<u8>),
    SetLength(u64),
    Sync,
    /// An append returned: what it was given is safe from here on.
    Acknowledged(u64),
}

/// A disk in memory that remembers what was done to it.
#[derive(Debug, Clone, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    acts: Arc<Mutex<Vec<Act>>>,
}

impl Disk {
    fn act(&self, act: Act) {
        apply(&mut self.bytes.lock(), &act);
        self.acts.lock().push(act);
    }

    fn open(&self) -> Store {
        let disk = self.clone();
        let open = move |_may_make| {
            Builder::new().set_cache_size(SETTINGS.cache_bytes).create_with_backend(disk.clone())
        };
        Store::with_engine(Engine::open_with(Path::new("memory"), LAYOUT, Box::new(open)).unwrap(), &SETTINGS)
    }
}

fn apply(bytes: &mut Vec<u8>, act: &Act) {
    match act {
        Act::Write(offset, data) => {
            let offset = *offset as usize;
            bytes.resize(bytes.len().max(offset + data.len()), 0);
            bytes[offset..offset + data.len()].copy_from_slice(data);
        }
        Act::SetLength(length) => bytes.resize(*length as usize, 0),
        Act::Sync | Act::Acknowledged(_) => {}
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.bytes.lock();
        let asked = bytes.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(asked.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.act(Act::SetLength(len));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.act(Act::Sync);
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.act(Act::Write(offset, data.to_vec()));
        Ok(())
    }
}

fn batch(number: u64) -> Vec<Span> {
    trace(number, "shop | GET /cart | server | 0-9\n  cart | GET | server | 1-2\n  | x | client | 3-4")
}

/// Everything that was done to a disk while a few batches were appended to a new store.
fn acts() -> Vec<Act> {
    let disk = Disk::default();
    let store = disk.open();
    disk.act(Act::Acknowledged(0));
    for sequence in 1..=BATCHES {
        let cursor = Cursor { buffer: [0; 16], signal: 0, sequence };
        store.append(&batch(sequence), &cursor, BASE).unwrap();
        disk.act(Act::Acknowledged(sequence));
    }
    disk.acts.lock().clone()
}

/// A write as one of each sector that it touches.
fn sectors(act: &Act) -> Vec<Act> {
    let Act::Write(offset, data) = act else { return vec![act.clone()] };
    let (mut at, mut rest, mut parts) = (*offset, &data[..], Vec::new());
    while !rest.is_empty() {
        let length = rest.len().min((SECTOR_BYTES - at % SECTOR_BYTES) as usize);
        parts.push(Act::Write(at, rest[..length].to_vec()));
        (at, rest) = (at + length as u64, &rest[length..]);
    }
    parts
}

/// The disk as a power cut after `acts` leaves it: what was synced, and of the rest the sectors `kept` says.
fn after_power_cut(acts: &[Act], kept: &[bool]) -> Disk {
    let synced = acts.iter().rposition(|act| matches!(act, Act::Sync)).map_or(0, |place| place + 1);
    let disk = Disk::default();
    let mut bytes = disk.bytes.lock();
    acts[..synced].iter().for_each(|act| apply(&mut bytes, act));
    let unsynced = acts[synced..].iter().flat_map(sectors).zip(kept.iter().cycle());
    unsynced.filter(|(_, kept)| **kept).for_each(|(act, _)| apply(&mut bytes, &act));
    drop(bytes);
    disk
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_was_acknowledged_is_there_after_a_power_cut(
        cut in any::<prop::sample::Index>(), kept in prop::collection::vec(any::<bool>(), 1..20),
    ) {
        let acts = ACTS.with(Vec::clone);
        let ready = acts.iter().position(|act| matches!(act, Act::Acknowledged(0))).unwrap();
        let acts = &acts[..ready + 1 + cut.index(acts.len() - ready)];
        let acknowledged = acts.iter().rev().find_map(|act| match act {
            Act::Acknowledged(sequence) => Some(*sequence),
            _ => None,
        });
        let store = after_power_cut(acts, &kept).open();
        let cursor = store.cursor([0; 16], 0).unwrap().unwrap_or(0);
        prop_assert!(Some(cursor) >= acknowledged, "{cursor} of {acknowledged:?}");
        let snapshot = store.snapshot().unwrap();
        for number in 1..=BATCHES {
            let mut spans = snapshot.trace(trace_id(number), usize::MAX).unwrap().spans;
            spans.sort_by_key(|span| span.start);
            let expected = if number <= cursor { batch(number) } else { Vec::new() };
            prop_assert_eq!(spans, expected, "spans come with the cursor or not at all");
        }
        let calls = snapshot.dependencies(Timestamp::ZERO, Timestamp::MAX).unwrap();
        prop_assert_eq!(calls.len(), if cursor > 0 { 2 } else { 0 });
        prop_assert!(calls.iter().all(|call| call.calls == cursor), "so do calls: {:?}", calls);
    }
}

thread_local! {
    static ACTS: Vec<Act> = acts();
}
