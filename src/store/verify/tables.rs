//! Every table of a file, row by row, and what a row that is not as it was written costs.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use redb::{ReadTransaction, ReadableTableMetadata as _, TableHandle as _};

use super::{Damage, Found, Tally, chain};
use crate::model::TraceId;
use crate::store::calls::{self, DEPENDENCIES, PENDING_PARENTS};
use crate::store::chunk::Chunk;
use crate::store::directory::{ChunkEntry, Run};
use crate::store::engine::{Definition, Engine, META, Reading};
use crate::store::red::{self, RED};
use crate::store::schema::{
    ARCHIVE, CURSOR, OPERATIONS, RESOURCES, RUNS, SEARCHABLE_TAGS, SERVICE_NAME_INDEX, SERVICES, SPANS,
    chunk_key, indexed_run,
};
use crate::store::seal::{Damaged, unseal};
use crate::store::tag_filters::TagRow;
use crate::store::{Error, bloom, index, key, sources};

/// After so many chunks it is told how far it is.
const CHUNKS_BETWEEN: u64 = 64;

/// Reads the tables of one file.
pub(super) struct Verifying<'t> {
    tell: &'t mut dyn FnMut(Found<'_>),
    pub(super) tally: Tally,
}

type Entries = HashMap<[u8; 28], (u32, ChunkEntry)>;

/// The runs that the directory lists, by their numbers, and their chunks that were not read yet, by their keys.
#[derive(Default)]
struct Directory {
    runs: HashMap<u32, (u32, usize)>,
    damaged: HashSet<u32>,
    chunks: Entries,
}

impl<'t> Verifying<'t> {
    pub(super) fn new(tell: &'t mut dyn FnMut(Found<'_>)) -> Self {
        Self { tell, tally: Tally::default() }
    }

    /// The file cannot even be opened.
    pub(super) fn unreadable(&mut self, error: &Error) {
        self.damage(None, &[], chain(error), "nothing in this file is shown".to_owned());
    }

    fn damage(&mut self, table: Option<Definition>, key: &[u8], what: String, cost: String) {
        self.tally.damages += 1;
        let table = table.map(|table| table.name().to_owned());
        (self.tell)(Found::Damage(&Damage { table, key: key.to_vec(), what, cost }));
    }

    /// A row, or a value of several rows, that is not as it was written.
    fn damaged_row(&mut self, table: Definition, key: &[u8], cost: String) {
        let what = "its bytes are not those that were written".to_owned();
        self.damage(Some(table), key, what, cost);
    }

    /// Reads every row.
    pub(super) fn tables(&mut self, engine: &Arc<Engine>) {
        let reading = match engine.begin_read() {
            Ok(reading) => reading,
            Err(error) => return self.unreadable(&error),
        };
        let directory = self.runs(&reading);
        self.plain_rows(&reading);
        self.tags(&reading, &directory);
        self.index(&reading, &directory);
        self.spans(&reading, directory);
    }

    /// Every row of a table until `look` has seen enough; what the engine cannot read is told, and ends it.
    fn rows(&mut self, reading: &Reading, table: Definition, look: &mut LookAtRow<'_>) -> ControlFlow<()> {
        let mut last = Vec::new();
        let read = reading.read(|transaction| {
            let rows = transaction.open_table(table)?;
            let listed = rows.len()?;
            let mut seen = 0;
            for row in rows.range::<&[u8]>(..)? {
                let (key, value) = row?;
                last = key.value().to_vec();
                seen += 1;
                self.tally.rows += 1;
                look(self, transaction, key.value(), value.value())?;
            }
            Ok((seen, listed))
        });
        let what = match read {
            Ok((seen, listed)) if seen == listed => return ControlFlow::Continue(()),
            Ok((seen, listed)) => format!("{seen} rows are there, and {listed} were written"),
            Err(error) => format!("the rows from this one on cannot be read: {}", chain(&error)),
        };
        self.damage(Some(table), &last, what, "what stands in those rows".to_owned());
        ControlFlow::Break(())
    }

    fn runs(&mut self, reading: &Reading) -> Directory {
        let mut directory = Directory::default();
        let _told = self.rows(reading, RUNS, &mut |this, _, key, value| {
            match Run::read(key, value) {
                Ok(run) => {
                    this.tally.runs += 1;
                    directory.runs.insert(run.id, (run.spans, run.chunks.len()));
                    let chunks = run.chunks.into_iter();
                    let entry = |chunk: ChunkEntry| (chunk_key(run.id, chunk.first), (run.id, chunk));
                    directory.chunks.extend(chunks.map(entry));
                }
                Err(Damaged) => {
                    let run = key.try_into().map(u32::from_be_bytes).unwrap_or_default();
                    directory.damaged.insert(run);
                    this.damaged_row(RUNS, key, format!("the spans of run {run} are not found"));
                }
            }
            Ok(())
        });
        directory
    }

    /// Tables whose rows say something each for itself.
    fn plain_rows(&mut self, reading: &Reading) {
        for (table, check, cost) in PLAIN {
            let _told = self.rows(reading, table, &mut |this, _, key, value| {
                if check(key, value).is_err() {
                    this.damaged_row(table, key, cost.to_owned());
                }
                Ok(())
            });
        }
    }

    /// Every value of a table whose values are cut into parts.
    fn blobs(&mut self, reading: &Reading, table: Definition, look: &mut LookAtBlob<'_>) -> ControlFlow<()> {
        let mut parts = Parts::default();
        let ended = self.rows(reading, table, &mut |this, transaction, key, value| {
            let Some((part, blob_key)) = key.split_last() else {
                this.damaged_row(table, key, "nothing is known of this row".to_owned());
                return Ok(());
            };
            if parts.key != blob_key {
                if let Some((key, blob)) = parts.whole() {
                    look(this, transaction, key, blob)?;
                }
                parts.begin(blob_key);
            }
            parts.add(key, *part, value);
            Ok(())
        });
        if ended.is_continue() {
            let read = reading.read(|transaction| {
                parts.whole().map_or(Ok(()), |(key, blob)| look(self, transaction, key, blob))
            });
            if let Err(error) = read {
                self.damage(Some(table), &parts.key, chain(&error), "what stands in this row".to_owned());
            }
        }
        ended
    }

    fn tags(&mut self, reading: &Reading, directory: &Directory) {
        let _told = self.blobs(reading, SEARCHABLE_TAGS, &mut |this, _, key, blob| {
            let (run, is_one_of_all) = (key.first_chunk(), key.len() == 4);
            let run = run.map_or(0, |run| u32::from_be_bytes(*run));
            let chunks = directory.runs.get(&run).map(|(_, chunks)| *chunks);
            let is_sound = blob.bytes.is_ok_and(|bytes| match chunks {
                _ if is_one_of_all => bloom::filters(bytes)
                    .is_ok_and(|filters| chunks.is_none_or(|chunks| filters.len() == chunks)),
                chunks => TagRow::read(bytes, chunks.unwrap_or(usize::MAX)).is_ok(),
            });
            if !is_sound {
                let cost = format!("a search by a tag reads all spans of run {run}");
                this.damaged_row(SEARCHABLE_TAGS, &blob.row(key), cost);
            }
            Ok(())
        });
    }

    fn index(&mut self, reading: &Reading, directory: &Directory) {
        let mut reader = index::Reader::default();
        let _told = self.blobs(reading, SERVICE_NAME_INDEX, &mut |this, _, key, blob| {
            let row = blob.row(key);
            let service = key::split_name(key).map(|(service, _)| service);
            let run = indexed_run(&row).map_or(0, |(_, run)| run);
            let spans = directory.runs.get(&run).map_or(u32::MAX, |(spans, _)| *spans);
            let read = blob.bytes.and_then(|bytes| reader.read(bytes));
            let is_sound = read.is_ok_and(|read| read.spans.iter().all(|span| span.ordinal < spans))
                && service.is_some();
            if !is_sound {
                let service = service.unwrap_or_else(|| "a service".to_owned());
                let cost = format!("a search by the service {service} does not find its spans of run {run}");
                this.damaged_row(SERVICE_NAME_INDEX, &row, cost);
            }
            Ok(())
        });
    }

    fn spans(&mut self, reading: &Reading, mut directory: Directory) {
        let mut missing_sources = HashSet::new();
        let ended = self.blobs(reading, SPANS, &mut |this, transaction, key, blob| {
            this.chunk(transaction, (key, blob), &mut directory, &mut missing_sources)
        });
        if ended.is_break() {
            let spans: u64 = directory.chunks.values().map(|(_, chunk)| u64::from(chunk.spans)).sum();
            self.tally.lost_spans += spans;
            return;
        }
        for (key, (run, chunk)) in directory.chunks {
            self.tally.lost_spans += u64::from(chunk.spans);
            let cost = format!("{} spans of run {run} are not shown", chunk.spans);
            self.damage(Some(SPANS), &key, "it is not there".to_owned(), cost);
        }
    }

    fn chunk(
        &mut self,
        transaction: &ReadTransaction,
        (key, blob): (&[u8], Blob<'_>),
        directory: &mut Directory,
        missing: &mut HashSet<u32>,
    ) -> Result<(), Error> {
        let listed = key.try_into().ok().and_then(|key: [u8; 28]| directory.chunks.remove(&key));
        let row = blob.row(key);
        let whole = blob
            .bytes
            .ok()
            .filter(|bytes| listed.as_ref().is_none_or(|(_, chunk)| bytes.len() == chunk.bytes as usize));
        let chunk = whole.and_then(|bytes| Chunk::open(bytes).ok());
        let Some((run, entry)) = listed else {
            return self.unlisted(&row, chunk.as_ref(), directory);
        };
        let expected = u64::from(entry.spans);
        let read = match chunk {
            Some(chunk) if chunk.len() as u64 == expected => self.read_spans(transaction, &chunk, missing)?,
            _ => None,
        };
        self.tally.lost_spans += expected - read.unwrap_or(0).min(expected);
        match read {
            Some(read) => {
                self.tally.chunks += 1;
                self.tally.spans += read;
                if self.tally.chunks.is_multiple_of(CHUNKS_BETWEEN) {
                    (self.tell)(Found::Progress(&self.tally));
                }
            }
            None => self.damaged_row(SPANS, &row, format!("{expected} spans of run {run} are not shown")),
        }
        Ok(())
    }

    /// A chunk that no run lists: of a run whose own row is damaged, which was told, or a riddle.
    fn unlisted(&mut self, row: &[u8], chunk: Option<&Chunk>, directory: &Directory) -> Result<(), Error> {
        let run = row.first_chunk().map_or(0, |run| u32::from_be_bytes(*run));
        let spans = chunk.map_or(0, Chunk::len) as u64;
        self.tally.lost_spans += spans;
        if !directory.damaged.contains(&run) {
            let cost = format!("{spans} spans of run {run} are not found");
            self.damage(Some(SPANS), row, "no run lists it".to_owned(), cost);
        }
        Ok(())
    }

    /// How many spans of a chunk can be read; `None` when the chunk itself is damaged.
    fn read_spans(
        &mut self,
        transaction: &ReadTransaction,
        chunk: &Chunk,
        missing: &mut HashSet<u32>,
    ) -> Result<Option<u64>, Error> {
        let table = transaction.open_table(RESOURCES)?;
        let mut known = HashMap::new();
        for source in chunk.sources() {
            let read = sources::read(&table, *source)?;
            // A damaged row was told when its table was read.
            if read.is_none() && missing.insert(*source) {
                let cost = "spans of this resource and scope are not shown".to_owned();
                self.damage(Some(RESOURCES), &source.to_be_bytes(), "it is not there".to_owned(), cost);
            }
            known.extend(read.and_then(Result::ok).map(|read| (*source, read)));
        }
        let Ok(mut reader) = chunk.reader(|source| known.get(&source).cloned()) else { return Ok(None) };
        let mut spans = 0;
        for place in 0..chunk.len() {
            spans += u64::from(reader.span(place).is_some());
        }
        Ok(Some(spans))
    }

    /// What the engine says of its own pages; last, because it gives a damaged file up.
    pub(super) fn check_integrity(&mut self, engine: &Arc<Engine>) {
        let checked = engine.alone(|database| {
            database
                .check_integrity()
                .map_err(|source| Error::Open { path: engine.path().to_owned(), source: Box::new(source) })
        });
        let what = match checked {
            Some(Ok(true)) => return,
            Some(Ok(false)) => "the engine's own pages are not in order".to_owned(),
            Some(Err(error)) => format!("the engine's own check fails: {}", chain(&error)),
            None => "the engine's own check could not be made".to_owned(),
        };
        let cost = "this may be damage in the rows told of, or in free space".to_owned();
        self.damage(None, &[], what, cost);
    }
}

/// Looks at a row, or at a value of several rows by their common key; the transaction is for rows of other tables.
type LookAtRow<'l> = dyn FnMut(&mut Verifying<'_>, &ReadTransaction, &[u8], &[u8]) -> Result<(), Error> + 'l;
type LookAtBlob<'l> =
    dyn FnMut(&mut Verifying<'_>, &ReadTransaction, &[u8], Blob<'_>) -> Result<(), Error> + 'l;

type Check = fn(&[u8], &[u8]) -> Result<(), Damaged>;

/// Tables whose rows say something each for itself, how a row is looked at, and what a damaged one costs.
const PLAIN: [(Definition, Check, &str); 9] = [
    (META, |key, value| unseal(key, value).map(drop), "the file may not be opened by the next start"),
    (
        RESOURCES,
        |key, value| sources::from_value(key, value).map(drop),
        "spans of this resource and scope are not shown",
    ),
    (SERVICES, named, "this service is not listed"),
    (OPERATIONS, named, "this operation is not listed"),
    (DEPENDENCIES, calls::check, "calls between two services in one hour are not counted"),
    (RED, red::check, "an operation's numbers of one minute are missing"),
    (PENDING_PARENTS, calls::check_waiting, "calls whose parents come later are not counted"),
    (
        ARCHIVE,
        |key, value| {
            trace_id(key)?;
            unseal(key, value).map(drop)
        },
        "it is not known when this trace was pinned",
    ),
    (CURSOR, |key, value| unseal(key, value).map(drop), "what the buffer still holds is stored again"),
];

fn named(key: &[u8], value: &[u8]) -> Result<(), Damaged> {
    key::split_name(key).ok_or(Damaged)?;
    unseal(key, value).map(drop)
}

fn trace_id(key: &[u8]) -> Result<TraceId, Damaged> {
    TraceId::from_slice(key).ok_or(Damaged)
}

/// A value that stands in several rows.
#[derive(Clone, Copy)]
struct Blob<'b> {
    bytes: Result<&'b [u8], Damaged>,
    /// Where it is not sound.
    damaged_row: Option<&'b [u8]>,
}

impl Blob<'_> {
    /// The row to name: the first damaged one, or the first of all.
    fn row(&self, key: &[u8]) -> Vec<u8> {
        self.damaged_row.map_or_else(|| [key, &[0]].concat(), <[u8]>::to_vec)
    }
}

/// Puts the parts of one value together.
#[derive(Default)]
struct Parts {
    key: Vec<u8>,
    bytes: Vec<u8>,
    count: usize,
    damaged_row: Option<Vec<u8>>,
}

impl Parts {
    fn begin(&mut self, key: &[u8]) {
        self.key = key.to_vec();
        self.bytes.clear();
        (self.count, self.damaged_row) = (0, None);
    }

    fn add(&mut self, row: &[u8], part: u8, value: &[u8]) {
        match unseal(row, value) {
            Ok(piece) if usize::from(part) == self.count => self.bytes.extend_from_slice(piece),
            _ => drop(self.damaged_row.get_or_insert_with(|| row.to_vec())),
        }
        self.count += 1;
    }

    /// The value, with its key; `None` before the first one.
    fn whole(&self) -> Option<(&[u8], Blob<'_>)> {
        let bytes = if self.damaged_row.is_none() { Ok(&self.bytes[..]) } else { Err(Damaged) };
        (self.count > 0).then_some((&self.key[..], Blob { bytes, damaged_row: self.damaged_row.as_deref() }))
    }
}
