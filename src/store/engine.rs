//! The redb file: opened, read, written, and opened again after it failed.
//!
//! redb refuses everything after its first I/O error until the file is opened anew, and a panic inside it leaves
//! nothing to rely on either. Both end here: the failed call reports its error, the handle is dropped, and the next
//! call opens the file again, which repairs it to the last commit.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{MappedRwLockReadGuard, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use redb::{
    Builder, Database, DatabaseError, ReadTransaction, ReadableDatabase as _, TableDefinition,
    WriteTransaction,
};

use crate::store::Error;
use crate::store::seal::{Damaged, seal, unseal};

/// Bytes to bytes: the engine's own encodings are not part of our formats.
pub(super) type Definition = TableDefinition<'static, &'static [u8], &'static [u8]>;

/// The table every file has, whatever its format.
pub(super) const META: Definition = Definition::new("meta");

/// Key of the format number in `meta`.
pub(super) const FORMAT_KEY: &[u8] = b"format";

/// What a file of ours is known by.
#[derive(Clone, Copy)]
pub(super) struct Layout {
    /// The format that is written, and the newest that is read.
    pub(super) format: u32,
    /// Every table; all are made when a file is made, so that readers never miss one.
    pub(super) tables: &'static [Definition],
}

/// Makes a handle of the file, told whether it may make the file too: only once, when the engine is made.
pub(super) type Open = Box<dyn Fn(bool) -> Result<Database, DatabaseError> + Send + Sync>;

/// One redb file.
pub(super) struct Engine {
    path: PathBuf,
    layout: Layout,
    open: Open,
    /// `None` after a failure or while it is not used, until the next use.
    handle: RwLock<Option<Handle>>,
    /// Held while a write transaction lives, so that no handle is dropped or opened beside one.
    writing: Mutex<()>,
    failures: AtomicU64,
}

struct Handle {
    database: Database,
    /// The failures before it was opened: a late error of an older handle does not take this one down.
    generation: u64,
    /// Held by every view of it.
    in_use: Arc<()>,
}

impl Engine {
    /// Opens the file, or makes it. Its pages take at most `cache_bytes` of memory.
    pub(super) fn open(path: &Path, cache_bytes: usize, layout: Layout) -> Result<Arc<Self>, Error> {
        let file = path.to_owned();
        let open = move |may_make| {
            let mut builder = Builder::new();
            let repaired = file.clone();
            builder.set_cache_size(cache_bytes).set_repair_callback(move |repair| {
                tracing::info!(file = %repaired.display(), progress = repair.progress(), "repairing the span store");
            });
            // A file that vanished since is not to be taken for an empty store.
            if may_make { builder.create(&file) } else { builder.open(&file) }
        };
        Self::open_with(path, layout, Box::new(open))
    }

    /// The same with another way to the bytes.
    pub(super) fn open_with(path: &Path, layout: Layout, open: Open) -> Result<Arc<Self>, Error> {
        let engine = Self::closed(path, layout, open);
        *engine.handle.write() = Some(engine.open_handle(true)?);
        Ok(engine)
    }

    /// The same, but the file, which is there, is not opened before it is used.
    pub(super) fn closed(path: &Path, layout: Layout, open: Open) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            layout,
            open,
            handle: RwLock::new(None),
            writing: Mutex::new(()),
            failures: AtomicU64::new(0),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How often a handle was given up.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Runs `work` in one write transaction and commits it: on disk when this returns `Ok`, undone otherwise.
    /// Waits for other writers.
    pub(super) fn write<T>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let alone = self.writing.lock();
        let handle = self.handle()?;
        let generation = handle.generation;
        let written = guarded(|| commit(&handle.database, work));
        drop(handle);
        written.inspect_err(|error| self.give_up_after(error, generation, &alone))
    }

    /// A view of the last commit that no later one changes. Never waits for a writer.
    pub(super) fn begin_read(self: &Arc<Self>) -> Result<Reading, Error> {
        let handle = self.handle()?;
        let (generation, in_use) = (handle.generation, Arc::clone(&handle.in_use));
        let begun = guarded(|| Ok(handle.database.begin_read()?));
        drop(handle);
        match begun {
            Ok(transaction) => {
                Ok(Reading { engine: Arc::clone(self), transaction, generation, _in_use: in_use })
            }
            Err(error) => {
                self.give_up_after(&error, generation, &self.writing.lock());
                Err(error)
            }
        }
    }

    /// The open handle; opens the file when there is none, and checks that it is one of ours.
    fn handle(&self) -> Result<MappedRwLockReadGuard<'_, Handle>, Error> {
        if let Ok(handle) = RwLockReadGuard::try_map(self.handle.read(), Option::as_ref) {
            return Ok(handle);
        }
        let mut slot = self.handle.write();
        if slot.is_none() {
            *slot = Some(self.open_handle(false)?);
        }
        let slot = RwLockWriteGuard::downgrade(slot);
        Ok(RwLockReadGuard::map(slot, |slot| slot.as_ref().expect("it was filled under the same lock")))
    }

    fn open_handle(&self, may_make: bool) -> Result<Handle, Error> {
        let refused = |source| Error::Open { path: self.path.clone(), source: Box::new(source) };
        let database = guarded(|| {
            let database = (self.open)(may_make).map_err(refused)?;
            check_format(&database, &self.path, self.layout)?;
            Ok(database)
        })?;
        Ok(Handle { database, generation: self.failures(), in_use: Arc::default() })
    }

    /// Whether the file is open.
    pub(super) fn is_open(&self) -> bool {
        // Who has it alone has it open, and is not waited for: this is asked for the sake of other files.
        self.handle.try_read().is_none_or(|handle| handle.is_some())
    }

    /// Opens the file now, so that it can be read even when its name goes.
    pub(super) fn keep_open(&self) -> Result<(), Error> {
        self.handle().map(drop)
    }

    /// Closes the file until the next use, unless somebody uses it.
    pub(super) fn close_if_idle(&self) {
        let Some(_alone) = self.writing.try_lock() else { return };
        let mut slot = self.handle.write();
        if let Some(handle) = slot.take_if(|handle| Arc::strong_count(&handle.in_use) == 1) {
            self.close(handle);
        }
    }

    /// Runs `work` while the file's bytes stay as they are: nobody writes, and nobody closes or opens it.
    pub(super) fn hold_still<T>(&self, work: impl FnOnce() -> T) -> T {
        let _alone = self.writing.lock();
        if let Err(error) = self.keep_open() {
            // What cannot be opened is not written to either.
            tracing::warn!(%error, file = %self.path.display(), "a file of the span store is copied unopened");
        }
        work()
    }

    /// Looks at all pages of the file, in a handle of its own that writes nothing to it: whether they are as they were
    /// written. Commits to pages that are not may panic in a destructor while unwinding, which ends the program.
    pub(super) fn is_sound(&self, open_untouched: Open) -> Result<bool, Error> {
        self.hold_still(|| {
            let looked = Self::open_with(&self.path, self.layout, open_untouched)?;
            let checked = looked.alone(|database| {
                let refused = |source| Error::Open { path: self.path.clone(), source: Box::new(source) };
                database.check_integrity().map_err(refused)
            });
            checked.expect("nobody else has this handle")
        })
    }

    /// Runs `work` on the whole file while nobody else uses it; `None` when somebody does.
    pub(super) fn alone<T>(
        &self,
        work: impl FnOnce(&mut Database) -> Result<T, Error>,
    ) -> Option<Result<T, Error>> {
        let alone = self.writing.try_lock()?;
        drop(self.handle().ok()?);
        let mut slot = self.handle.write();
        let handle = slot.as_mut().filter(|handle| Arc::strong_count(&handle.in_use) == 1)?;
        let generation = handle.generation;
        let done = guarded(|| work(&mut handle.database));
        drop(slot);
        Some(done.inspect_err(|error| self.give_up_after(error, generation, &alone)))
    }

    /// Lets go of the file as it is after the last commit, which is whole in itself. A redb that is dropped commits once
    /// more, except while its thread unwinds; on damaged pages that can panic in a destructor, and end the program.
    fn close(&self, handle: Handle) {
        let closed: Result<(), _> = catch_unwind(AssertUnwindSafe(move || {
            let _dropped_by_unwinding = handle;
            resume_unwind(Box::new(Closed))
        }));
        if closed.is_err_and(|unwound| !unwound.is::<Closed>()) {
            tracing::warn!(file = %self.path.display(), "could not close a file of the span store");
        }
    }

    /// Drops the handle if the error means that redb will not go on with it.
    fn give_up_after(&self, error: &Error, generation: u64, _alone: &MutexGuard<'_, ()>) {
        if !error.ends_the_handle() {
            return;
        }
        let mut slot = self.handle.write();
        if let Some(handle) = slot.take_if(|handle| handle.generation == generation) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            self.close(handle);
        }
    }
}

/// What [`Engine::close`] unwinds with.
struct Closed;

/// As at any other time: see [`Engine::close`].
impl Drop for Engine {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.get_mut().take() {
            self.close(handle);
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("path", &self.path).finish_non_exhaustive()
    }
}

/// A read transaction.
#[derive(Debug)]
pub(super) struct Reading {
    engine: Arc<Engine>,
    transaction: ReadTransaction,
    generation: u64,
    _in_use: Arc<()>,
}

impl Reading {
    /// Runs `work` on the transaction; everything that touches the engine's pages goes through here.
    pub(super) fn read<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, Error>,
    ) -> Result<T, Error> {
        guarded(|| work(&self.transaction)).inspect_err(|error| {
            // Damaged pages make the engine panic. As long as it still reads others, so may those who have a view.
            let goes_on = matches!(error, Error::Panicked(_)) && self.reads_still();
            if error.ends_the_handle() && !goes_on {
                self.engine.give_up_after(error, self.generation, &self.engine.writing.lock());
            }
        })
    }

    fn reads_still(&self) -> bool {
        let read = guarded(|| Ok(self.transaction.open_table(META)?.get(FORMAT_KEY)?.is_some()));
        matches!(read, Ok(true))
    }
}

/// One transaction, on the disk when this returns `Ok`.
pub(super) fn commit<T>(
    database: &Database,
    work: impl FnOnce(&WriteTransaction) -> Result<T, Error>,
) -> Result<T, Error> {
    // Durability is redb's default, `Immediate`: commit returns after the sync.
    let mut transaction = database.begin_write()?;
    // Writes the state of the pages with every commit, or a restart after a crash would walk the whole
    // file. A second sync a commit and a file a fifth larger are the price.
    transaction.set_quick_repair(true);
    let value = work(&transaction)?;
    transaction.commit()?;
    Ok(value)
}

/// Turns a panic inside the engine into an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    // Unwind safety: what the engine touched is dropped with its handle before anyone looks at it again.
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Error::Panicked(message_of(&*panic))))
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().map(str::to_owned);
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

/// Refuses a file that a later version wrote, and makes the tables of a new one. Writes nothing otherwise: the
/// disk may be full.
fn check_format(database: &Database, path: &Path, layout: Layout) -> Result<(), Error> {
    match stored_format(database)? {
        Some(Ok(found)) if found > layout.format => {
            Err(Error::NewerFormat { path: path.to_owned(), found, known: layout.format })
        }
        Some(Ok(_known)) => Ok(()),
        Some(Err(Damaged)) => Err(Error::DamagedFormat { path: path.to_owned() }),
        // All tables are made in one commit: where there are others, this one was lost.
        None if has_tables(database)? => Err(Error::DamagedFormat { path: path.to_owned() }),
        None => make_tables(database, layout),
    }
}

fn has_tables(database: &Database) -> Result<bool, Error> {
    Ok(database.begin_read()?.list_tables()?.next().is_some())
}

fn stored_format(database: &Database) -> Result<Option<Result<u32, Damaged>>, Error> {
    let table = match database.begin_read()?.open_table(META) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table?,
    };
    Ok(table.get(FORMAT_KEY)?.map(|value| format_of(value.value())))
}

fn format_of(sealed: &[u8]) -> Result<u32, Damaged> {
    Ok(u32::from_le_bytes(unseal(FORMAT_KEY, sealed)?.try_into().map_err(|_| Damaged)?))
}

fn make_tables(database: &Database, layout: Layout) -> Result<(), Error> {
    let transaction = database.begin_write()?;
    for table in layout.tables {
        transaction.open_table(*table)?;
    }
    let format = seal(FORMAT_KEY, layout.format.to_le_bytes().to_vec());
    transaction.open_table(META)?.insert(FORMAT_KEY, &format[..])?;
    Ok(transaction.commit()?)
}
