//! Resources and scopes, each pair once in a block: what spans call by a number.
//!
//! A row of `jaeger.resources`, numbers least significant byte first; its key is the number, most significant first:
//!
//! ```text
//! version u8 = 1
//! of each: length u32 ‖ bytes: service name, resource's schema URL, resource, scope's schema URL, scope
//! ```

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use bytes::Bytes;
use redb::{ReadableTable, WriteTransaction};
use xxhash_rust::xxh3::Xxh3;

use crate::model::{Resource, Scope};
use crate::store::Error;
use crate::store::calls::Numbers;
use crate::store::fold::Secrets;
use crate::store::schema::RESOURCES;
use crate::store::seal::{Cut, Damaged, last_number, seal, unseal};
use crate::store::tags::source_tags;

const VERSION: u8 = 1;

/// Sources that are known by their bytes before they are forgotten, and given new numbers when they come again.
const MAX_KNOWN: usize = 20_000;

/// Bytes of what is noted of them before they are forgotten too: a resource may have 65 536 pairs.
const MAX_KNOWN_BYTES: usize = 16 << 20;

/// Sources of which copies are at hand, and how long one may be.
const RECENT: usize = 512;
const MAX_RECENT_BYTES: usize = 8 << 10;

/// A resource and a scope.
pub(super) type Source = (Arc<Resource>, Arc<Scope>);

/// What is made of a source once and needed for every span of it.
#[derive(Debug, Clone)]
pub(super) struct SourceNotes {
    /// The service, [`crate::store::shortened`].
    pub(super) service: Arc<str>,
    /// [`source_tags`].
    pub(super) tags: Arc<[u64]>,
    /// [`bytes`] of the source.
    pub(super) bytes: usize,
}

impl SourceNotes {
    pub(super) fn of(source: &Source) -> Self {
        Self {
            service: crate::store::shortened(&source.0.service).into(),
            tags: source_tags(&source.0, &source.1).into(),
            bytes: bytes(source),
        }
    }
}

/// The notes of sources by their numbers.
pub(super) type Notes = HashMap<u32, SourceNotes, Numbers>;

/// Gives the sources of the active block their numbers.
#[derive(Debug)]
pub(super) struct SourceTable {
    /// Of this process alone, so that nobody can make two sources that are taken for one.
    seed: u64,
    known: HashMap<u128, u32>,
    notes: Notes,
    /// Bytes of the notes.
    bytes: usize,
    next: u32,
    /// The one that was looked up last: spans of one source come in a row.
    last: Option<(Source, u32)>,
    /// Copies of those that were looked up lately, by a hash that is quicker than the one they are known by.
    recent: Vec<Option<(Source, u32)>>,
    secrets: Secrets,
    /// Not written yet.
    fresh: Vec<(u32, Source)>,
}

impl SourceTable {
    /// For a block whose numbers below `next` are given.
    pub(super) fn new(next: u32) -> Self {
        Self {
            seed: RandomState::new().hash_one(0u8),
            known: HashMap::new(),
            notes: Notes::default(),
            bytes: 0,
            next,
            last: None,
            recent: vec![None; RECENT],
            secrets: Secrets::new(),
            fresh: Vec::new(),
        }
    }

    /// The first number that is not given in this table.
    pub(super) fn next_in(table: &impl ReadableTable<&'static [u8], &'static [u8]>) -> Result<u32, Error> {
        Ok(last_number(table)?.map_or(0, |last| last.saturating_add(1)))
    }

    /// Before a batch: forgets everything when there is too much of it.
    pub(super) fn trim(&mut self) {
        if self.known.len() > MAX_KNOWN || self.bytes > MAX_KNOWN_BYTES {
            self.known.clear();
            self.notes.clear();
            self.bytes = 0;
            self.last = None;
            self.recent.fill(None);
        }
    }

    /// The number of a source; a new one when it is not known.
    pub(super) fn number(&mut self, resource: &Arc<Resource>, scope: &Arc<Scope>) -> u32 {
        if let Some(((known_resource, known_scope), number)) = &self.last
            && Arc::ptr_eq(known_resource, resource)
            && Arc::ptr_eq(known_scope, scope)
        {
            return *number;
        }
        let source = (Arc::clone(resource), Arc::clone(scope));
        let number = self.number_of_recent(&source);
        self.last = Some((source, number));
        number
    }

    fn number_of_recent(&mut self, source: &Source) -> u32 {
        let secrets = self.secrets;
        let quick =
            parts(&source.0, &source.1).into_iter().fold(0, |hash, part| secrets.bytes_after(hash, part));
        let slot = quick as usize % RECENT;
        if let Some((recent, number)) = &self.recent[slot]
            && parts(&recent.0, &recent.1) == parts(&source.0, &source.1)
        {
            return *number;
        }
        let hash = self.hash(source);
        let number = match self.known.get(&hash) {
            Some(number) => *number,
            None => self.add(hash, source),
        };
        self.recent[slot] = (bytes(source) <= MAX_RECENT_BYTES).then(|| (copied(source), number));
        number
    }

    fn add(&mut self, hash: u128, source: &Source) -> u32 {
        let number = self.next;
        self.next = self.next.checked_add(1).expect("a block is full long before four billion sources");
        self.known.insert(hash, number);
        let notes = SourceNotes::of(source);
        self.bytes += size_of_val(&*notes.tags);
        self.notes.insert(number, notes);
        self.fresh.push((number, source.clone()));
        number
    }

    /// The notes of a source that was given its number here.
    pub(super) fn notes(&self) -> &Notes {
        &self.notes
    }

    /// Writes those that are new.
    pub(super) fn write(&self, transaction: &WriteTransaction) -> Result<u64, Error> {
        let (mut table, mut written) = (transaction.open_table(RESOURCES)?, 0);
        for (number, source) in &self.fresh {
            let key = number.to_be_bytes();
            let value = to_value(&key, source);
            table.insert(&key[..], &value[..])?;
            written += value.len() as u64;
        }
        Ok(written)
    }

    /// They are written.
    pub(super) fn committed(&mut self) {
        self.fresh.clear();
    }

    fn hash(&self, (resource, scope): &Source) -> u128 {
        let mut hasher = Xxh3::with_seed(self.seed);
        for part in parts(resource, scope) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.digest128()
    }
}

/// Bytes that a source takes in memory, more or less.
pub(super) fn bytes((resource, scope): &Source) -> usize {
    parts(resource, scope).map(<[u8]>::len).iter().sum()
}

/// The same without the request that they came in.
fn copied((resource, scope): &Source) -> Source {
    let resource = Resource { bytes: Bytes::copy_from_slice(&resource.bytes), ..Resource::clone(resource) };
    let scope = Scope { bytes: Bytes::copy_from_slice(&scope.bytes), ..Scope::clone(scope) };
    (Arc::new(resource), Arc::new(scope))
}

fn parts<'a>(resource: &'a Resource, scope: &'a Scope) -> [&'a [u8]; 5] {
    [
        resource.service.as_bytes(),
        resource.schema_url.as_bytes(),
        &resource.bytes,
        scope.schema_url.as_bytes(),
        &scope.bytes,
    ]
}

fn to_value(key: &[u8], (resource, scope): &Source) -> Vec<u8> {
    let mut value = vec![VERSION];
    for part in parts(resource, scope) {
        let length = u32::try_from(part.len()).expect("a part of a request is far below 4 GiB");
        value.extend_from_slice(&length.to_le_bytes());
        value.extend_from_slice(part);
    }
    seal(key, value)
}

/// The source of this number; `None` when there is no such row.
pub(super) fn read(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    number: u32,
) -> Result<Option<Result<Source, Damaged>>, Error> {
    let key = number.to_be_bytes();
    Ok(table.get(&key[..])?.map(|value| from_value(&key, value.value())))
}

/// The source that a row holds.
pub(super) fn from_value(key: &[u8], sealed: &[u8]) -> Result<Source, Damaged> {
    let mut cut = Cut(unseal(key, sealed)?);
    let mut read = || {
        let [VERSION] = cut.array::<1>()? else { return None };
        let mut part = || {
            let length = cut.u32()? as usize;
            cut.bytes(length)
        };
        let service = str::from_utf8(part()?).ok()?.to_owned();
        let schema_url = str::from_utf8(part()?).ok()?.to_owned();
        let resource = Resource { service, schema_url, bytes: Bytes::copy_from_slice(part()?) };
        let schema_url = str::from_utf8(part()?).ok()?.to_owned();
        let scope = Scope { schema_url, bytes: Bytes::copy_from_slice(part()?) };
        Some((Arc::new(resource), Arc::new(scope)))
    };
    read().ok_or(Damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sketch::trace;

    #[test]
    fn sources_of_many_pairs_are_forgotten_in_time() {
        let drawn = trace(1, "shop | GET / | server | 0-1 | resource:zone=a").remove(0);
        let pair = &drawn.resource.bytes;
        let mut sources = SourceTable::new(0);
        let mut most = 0;
        for number in 0..40 {
            let bytes = Bytes::from(pair.repeat(100_000 + number));
            let resource = Arc::new(Resource { bytes, ..Resource::clone(&drawn.resource) });
            sources.trim();
            sources.number(&resource, &drawn.scope);
            sources.committed();
            most = most.max(sources.notes().values().map(|notes| 8 * notes.tags.len()).sum());
        }
        assert!(most > MAX_KNOWN_BYTES / 2 && most < MAX_KNOWN_BYTES + (4 << 20), "{most}");
        assert_eq!(sources.next, 40);
    }
}
