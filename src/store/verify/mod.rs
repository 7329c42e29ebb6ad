//! Everything that a store's file holds, read once, and what of it is damaged: named, with what it costs.
//!
//! Promise: every row of every table is read with its checksum, every chunk with all its spans, and redb checks its own
//! pages. Nothing is changed: what redb would repair in a file is repaired in memory ([`Untouched`]).
//!
//! Limits: memory for the file's directory, one chunk, pages of 16 MiB, and 64 MiB of what a repair would write.
//!
//! Does not know: whether somebody uses the file; whoever asks sees to that.

mod tables;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Builder, DatabaseError};

use crate::store::backup::ARCHIVED;
use crate::store::blocks::parsed;
use crate::store::convert::OLD;
use crate::store::engine::Engine;
use crate::store::files::BLOCKS;
use crate::store::schema::LAYOUT;
use crate::store::untouched::{self, Untouched};
use crate::store::{Error, archive};

use tables::Verifying;

/// Memory for pages of the file.
const CACHE_BYTES: usize = 16 << 20;

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

/// The files of a store in a folder, oldest first, the archive last, and then the same of the store of what is archived:
/// names below the folder.
pub fn store_files(folder: &Path) -> io::Result<Vec<String>> {
    let archived = files_in(&folder.join(ARCHIVED))?;
    let archived = archived.into_iter().map(|name| format!("{ARCHIVED}{name}"));
    Ok(files_in(folder)?.into_iter().chain(archived).collect())
}

fn files_in(folder: &Path) -> io::Result<Vec<String>> {
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

/// Whether there is a store in a folder; it may be without a file.
pub fn is_store(folder: &Path) -> bool {
    folder.join(BLOCKS).is_dir()
}

/// Whether a file is of the first format: its rows are looked at when the next start takes it over.
pub fn is_first_format(name: &str) -> bool {
    name == OLD
}

/// Reads everything in a block or an archive that nobody writes to.
pub fn verify(path: &Path, tell: &mut dyn FnMut(Found<'_>)) -> Result<Tally, Error> {
    let mut verifying = Verifying::new(tell);
    let repaired = Arc::new(AtomicBool::new(false));
    match open(path, &repaired) {
        Ok(engine) => {
            verifying.tables(&engine);
            verifying.check_integrity(&engine);
        }
        Err(error @ (Error::File { .. } | Error::NewerFormat { .. })) => return Err(error),
        Err(error) if error.is_no_space() => return Err(error),
        Err(error) => verifying.unreadable(&error),
    }
    Ok(Tally { repaired: repaired.load(Ordering::Relaxed), ..verifying.tally })
}

fn open(path: &Path, repaired: &Arc<AtomicBool>) -> Result<Arc<Engine>, Error> {
    // Whether it is there and may be read is no damage.
    Untouched::open(path).map_err(|source| Error::File { path: path.to_owned(), source })?;
    let (file, repaired) = (path.to_owned(), Arc::clone(repaired));
    let open = move |_may_make| open_untouched(&file, &repaired);
    Engine::open_with(path, LAYOUT, Box::new(open))
}

fn open_untouched(path: &Path, repaired: &Arc<AtomicBool>) -> Result<redb::Database, DatabaseError> {
    let repaired = Arc::clone(repaired);
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder.set_repair_callback(move |_| repaired.store(true, Ordering::Relaxed));
    untouched::open(path, &builder)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
