//! Everything that a store's file holds, read once, and what of it is damaged: named, with what it costs.
//!
//! A file is only read: what redb would repair in it is repaired in memory ([`Untouched`]).

use std::collections::{HashMap, HashSet};
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Builder, DatabaseError, ReadTransaction, ReadableTableMetadata as _, TableHandle as _};

use crate::model::TraceId;
use crate::store::blocks::parsed;
use crate::store::calls::{self, DEPENDENCIES, PENDING_PARENTS};
use crate::store::chunk::Chunk;
use crate::store::convert::OLD;
use crate::store::directory::{ChunkEntry, Run};
use crate::store::engine::{Definition, Engine, META, Reading};
use crate::store::files::BLOCKS;
use crate::store::index;
use crate::store::red::{self, RED};
use crate::store::schema::{
    ARCHIVE, CURSOR, LAYOUT, OPERATIONS, RESOURCES, RUNS, SEARCHABLE_TAGS, SERVICE_NAME_INDEX, SERVICES,
    SPANS, chunk_key, indexed_run,
};
use crate::store::seal::{Damaged, unseal};
use crate::store::untouched::Untouched;
use crate::store::{Error, archive, bloom, key, sources};

/// Memory for pages of the file.
const CACHE_BYTES: usize = 16 << 20;

/// After so many chunks it is told how far it is.
const CHUNKS_BETWEEN: u64 = 64;

/// What was read of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Rows of all tables.
    pub rows: u64,
    /// Runs.
    pub runs: u64,
    /// Chunks of spans.
    pub chunks: u64,
    /// Spans, each read whole.
    pub spans: u64,
    /// Spans that cannot be read.
    pub lost_spans: u64,
    /// Damages that were told.
    pub damages: u64,
    /// Whether it was not closed in order, so that the next start repairs it.
    pub repaired: bool,
}

impl Tally {
    /// Adds what was read of another file.
    pub fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.runs += other.runs;
        self.chunks += other.chunks;
        self.spans += other.spans;
        self.lost_spans += other.lost_spans;
        self.damages += other.damages;
        self.repaired |= other.repaired;
    }
}

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The table, where it is in one.
    pub table: Option<String>,
    /// The row's key, where it is a row.
    pub key: Vec<u8>,
    /// What is wrong.
    pub what: String,
    /// What is not shown, found or counted because of it.
    pub cost: String,
}

/// What is told on the way.
#[derive(Debug)]
pub enum Found<'f> {
    /// One more.
    Damage(&'f Damage),
    /// So far, now and then.
    Progress(&'f Tally),
}

/// The files of a store in a folder, oldest first, the archive last: names below the folder.
pub fn store_files(folder: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    match std::fs::read_dir(folder.join(BLOCKS)) {
        Ok(entries) => {
            for entry in entries {
                let plain = entry?.file_name();
                names.extend(plain.to_str().map(|plain| format!("{BLOCKS}/{plain}")));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    names.retain(|name| parsed(name).is_some() || is_first_format(name));
    names.sort_unstable();
    names.extend(folder.join(archive::NAME).exists().then(|| archive::NAME.to_owned()));
    Ok(names)
}

/// Whether a file is of the first format: its rows are looked at when the next start takes it over.
pub fn is_first_format(name: &str) -> bool {
    name == OLD
}

/// Reads everything in a block or an archive that nobody writes to.
pub fn verify(path: &Path, tell: &mut dyn FnMut(Found<'_>)) -> Result<Tally, Error> {
    let mut reading = Verifying { tell, tally: Tally::default() };
    let repaired = Arc::new(AtomicBool::new(false));
    match open(path, &repaired) {
        Ok(engine) => {
            reading.tables(&engine);
            reading.check_integrity(&engine);
        }
        Err(error @ (Error::File { .. } | Error::NewerFormat { .. })) => return Err(error),
        Err(error) if error.is_no_space() => return Err(error),
        Err(error) => reading.damage(None, &[], chain(&error), "nothing in this file is shown".to_owned()),
    }
    reading.tally.repaired = repaired.load(Ordering::Relaxed);
    Ok(reading.tally)
}

fn open(path: &Path, repaired: &Arc<AtomicBool>) -> Result<Arc<Engine>, Error> {
    // Whether it is there and may be read is no damage.
    Untouched::open(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let (file, repaired) = (path.to_owned(), Arc::clone(repaired));
    let open = move |_may_make| open_untouched(&file, &repaired);
    Engine::open_with(path, LAYOUT, Box::new(open))
}

fn open_untouched(path: &PathBuf, repaired: &Arc<AtomicBool>) -> Result<redb::Database, DatabaseError> {
    let backend = Untouched::open(path)?;
    // An empty one would be taken for one that is to be made.
    if redb::StorageBackend::len(&backend)? == 0 {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let repaired = Arc::clone(repaired);
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder.set_repair_callback(move |_| repaired.store(true, Ordering::Relaxed));
    builder.create_with_backend(backend)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

struct Verifying<'t> {
    tell: &'t mut dyn FnMut(Found<'_>),
    tally: Tally,
}

type Entries = HashMap<[u8; 28], (u32, ChunkEntry)>;

/// The runs that the directory lists, by their numbers, and their chunks that were not read yet, by their keys.
#[derive(Default)]
struct Directory {
    runs: HashMap<u32, (u32, usize)>,
    damaged: HashSet<u32>,
    chunks: Entries,
}

impl Verifying<'_> {
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

    fn tables(&mut self, engine: &Arc<Engine>) {
        let reading = match engine.begin_read() {
            Ok(reading) => reading,
            Err(error) => {
                return self.damage(None, &[], chain(&error), "nothing in this file is shown".to_owned());
            }
        };
        let directory = self.runs(&reading);
        self.plain_rows(&reading);
        self.tags(&reading, &directory);
        self.index(&reading, &directory);
        self.spans(&reading, directory);
    }

    /// Every row of a table until `look` has seen enough; what the engine cannot read is told, and ends it.
    fn rows(
        &mut self,
        reading: &Reading,
        table: Definition,
        look: &mut dyn FnMut(&mut Self, &ReadTransaction, &[u8], &[u8]) -> Result<(), Error>,
    ) -> ControlFlow<()> {
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
    fn blobs(
        &mut self,
        reading: &Reading,
        table: Definition,
        look: &mut dyn FnMut(&mut Self, Option<&ReadTransaction>, &[u8], Blob<'_>) -> Result<(), Error>,
    ) -> ControlFlow<()> {
        let mut parts = Parts::default();
        let ended = self.rows(reading, table, &mut |this, transaction, key, value| {
            let Some((part, blob_key)) = key.split_last() else {
                this.damaged_row(table, key, "nothing is known of this row".to_owned());
                return Ok(());
            };
            if parts.key != blob_key {
                parts.end(&mut |key, blob| look(this, Some(transaction), key, blob))?;
                parts.begin(blob_key);
            }
            parts.add(key, *part, value);
            Ok(())
        });
        if ended.is_continue() {
            let read = reading
                .read(|transaction| parts.end(&mut |key, blob| look(self, Some(transaction), key, blob)));
            if let Err(error) = read {
                self.damage(Some(table), &parts.key, chain(&error), "what stands in this row".to_owned());
            }
        }
        ended
    }

    fn tags(&mut self, reading: &Reading, directory: &Directory) {
        let _told = self.blobs(reading, SEARCHABLE_TAGS, &mut |this, _, key, blob| {
            let run = key.try_into().map(u32::from_be_bytes).unwrap_or_default();
            let chunks = directory.runs.get(&run).map(|(_, chunks)| *chunks);
            let filters = blob.bytes.and_then(|bytes| Ok(bloom::filters(bytes)?.len()));
            if filters.is_err() || chunks.is_some_and(|chunks| filters != Ok(chunks)) {
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
        transaction: Option<&ReadTransaction>,
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
        let read = match (chunk, transaction) {
            (Some(chunk), Some(transaction)) if chunk.len() as u64 == expected => {
                self.read_spans(transaction, &chunk, missing)?
            }
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
    fn check_integrity(&mut self, engine: &Arc<Engine>) {
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

    fn end(&mut self, look: &mut dyn FnMut(&[u8], Blob<'_>) -> Result<(), Error>) -> Result<(), Error> {
        if self.count == 0 {
            return Ok(());
        }
        let bytes = if self.damaged_row.is_none() { Ok(&self.bytes[..]) } else { Err(Damaged) };
        look(&self.key, Blob { bytes, damaged_row: self.damaged_row.as_deref() })
    }
}
