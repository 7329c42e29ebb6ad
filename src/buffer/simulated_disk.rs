//! A disk in memory that fails on request and, when its power is cut, forgets what was not synced: whole sectors,
//! names and all.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use crate::buffer::disk::{Disk, DiskFile, Entry};

const SECTOR_BYTES: usize = 512;

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// EIO; nothing is done. Of a sync: what it should have made durable never will be.
    Failure,
    /// ENOSPC, after half of the bytes of a write.
    NoSpace,
    /// From here on nothing works until the power is back.
    PowerCut,
    /// The thread panics.
    Panic,
}

impl Fault {
    fn error(self) -> io::Error {
        match self {
            Self::NoSpace => io::ErrorKind::StorageFull.into(),
            Self::Failure | Self::PowerCut => io::Error::other("injected failure"),
            Self::Panic => panic!("a test's own"),
        }
    }
}

#[derive(Debug, Default)]
struct Inode {
    /// What a power cut leaves.
    durable: Vec<u8>,
    /// What readers see.
    current: Vec<u8>,
    /// Sectors written since the last sync, failed ones included: as Linux has it, what a failed sync should have made
    /// durable only becomes so when it is written again.
    dirty: BTreeSet<usize>,
    /// Bytes that cannot be read.
    bad: Range<usize>,
}

/// A change of names that is not durable yet.
#[derive(Debug, Clone)]
enum Change {
    Link(PathBuf, u64),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, u64),
}

#[derive(Debug, Default)]
struct State {
    inodes: BTreeMap<u64, Inode>,
    names: BTreeMap<PathBuf, u64>,
    durable_names: BTreeMap<PathBuf, u64>,
    changes: Vec<Change>,
    locked: BTreeSet<PathBuf>,
    /// Operations until each fault, counted from the one before, and the fault.
    faults: VecDeque<(u32, Fault)>,
    off: bool,
    /// Bytes that all files together may have; any number if there is none.
    capacity: Option<u64>,
    /// Syncs of files and folders that were asked for.
    syncs: u64,
    opened: Vec<PathBuf>,
    /// Files that do not open, and why not.
    unopenable: BTreeMap<PathBuf, Errno>,
}

/// See the file's opening line. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(super) struct SimulatedDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug)]
struct OpenFile {
    disk: SimulatedDisk,
    inode: u64,
    locks: Option<PathBuf>,
}

impl SimulatedDisk {
    /// Lets the operation after `passed` more ones fail, counted from the fault to come if there is one already.
    /// Reading and listing do not count.
    pub(super) fn fail_after(&self, passed: u32, fault: Fault) {
        self.state.lock().faults.push_back((passed, fault));
    }

    pub(super) fn fail_no_more(&self) {
        self.state.lock().faults.clear();
    }

    /// All files together may have so many bytes from now on.
    pub(super) fn set_capacity(&self, bytes: u64) {
        self.state.lock().capacity = Some(bytes);
    }

    /// Syncs of files and folders so far, those that failed included.
    pub(super) fn syncs(&self) -> u64 {
        self.state.lock().syncs
    }

    /// Whether the power is off.
    pub(super) fn is_off(&self) -> bool {
        self.state.lock().off
    }

    /// Turns it off and on again: each sector and each name that was not synced is kept or lost as `kept` says.
    pub(super) fn cut_power(&self, mut kept: impl FnMut() -> bool) {
        let mut state = self.state.lock();
        let State { changes, durable_names, .. } = &mut *state;
        for change in changes.drain(..).filter(|_| kept()) {
            match change {
                Change::Link(path, inode) => drop(durable_names.insert(path, inode)),
                Change::Unlink(path) => drop(durable_names.remove(&path)),
                Change::Rename(from, to, inode) => {
                    durable_names.remove(&from);
                    durable_names.insert(to, inode);
                }
            }
        }
        state.names = state.durable_names.clone();
        for inode in state.inodes.values_mut() {
            inode.lose(&mut kept);
        }
        state.off = false;
        state.faults.clear();
        state.locked.clear();
    }

    /// The file's bytes, to look at or to spoil.
    pub(super) fn with_bytes<T>(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        let mut state = self.state.lock();
        let inode = state.names[path];
        let inode = state.inodes.get_mut(&inode).unwrap();
        let outcome = change(&mut inode.current);
        inode.durable.clone_from(&inode.current);
        outcome
    }

    /// Puts a file there, durably.
    pub(super) fn place(&self, path: &Path, bytes: Vec<u8>) {
        let mut state = self.state.lock();
        let inode = state.link(path);
        state.changes.pop();
        state.durable_names.insert(path.to_owned(), inode);
        state.inodes.insert(inode, Inode { durable: bytes.clone(), current: bytes, ..Inode::default() });
    }

    /// Takes a file away, durably.
    pub(super) fn remove(&self, path: &Path) {
        let mut state = self.state.lock();
        state.names.remove(path);
        state.durable_names.remove(path);
    }

    /// Lets opening a file fail, without harm to the file.
    pub(super) fn fail_to_open(&self, path: &Path, error: Errno) {
        self.state.lock().unopenable.insert(path.to_owned(), error);
    }

    /// Files open and sectors are read again.
    pub(super) fn heal(&self) {
        let mut state = self.state.lock();
        state.unopenable.clear();
        state.inodes.values_mut().for_each(|inode| inode.bad = 0..0);
    }

    /// Lets reading any of these bytes of a file fail.
    pub(super) fn fail_to_read(&self, path: &Path, bytes: Range<usize>) {
        let mut state = self.state.lock();
        let inode = state.names[path];
        state.inodes.get_mut(&inode).unwrap().bad = bytes;
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        self.state.lock().names.keys().cloned().collect()
    }

    pub(super) fn total_bytes(&self) -> u64 {
        self.state.lock().total_bytes()
    }

    /// What was opened to read since this was last asked.
    pub(super) fn take_opened(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.state.lock().opened)
    }

    /// An independent copy with everything durable and nothing open.
    pub(super) fn copy(&self) -> Self {
        let state = self.state.lock();
        let mut copy =
            State { names: state.names.clone(), durable_names: state.names.clone(), ..State::default() };
        for inode in state.names.values() {
            let current = state.inodes[inode].current.clone();
            copy.inodes.insert(*inode, Inode { durable: current.clone(), current, ..Inode::default() });
        }
        Self { state: Arc::new(Mutex::new(copy)) }
    }

    fn operate<T>(&self, act: impl FnOnce(&mut State, Option<Fault>) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        let fault = match state.faults.front_mut() {
            Some((0, fault)) => {
                let fault = *fault;
                state.faults.pop_front();
                state.off |= fault == Fault::PowerCut;
                Some(fault)
            }
            Some((left, _)) => {
                *left -= 1;
                None
            }
            None => None,
        };
        if state.off {
            return Err(io::Error::other("the power is off"));
        }
        act(&mut state, fault)
    }

    fn change(&self, change: impl FnOnce(&mut State) -> io::Result<()>) -> io::Result<()> {
        self.operate(|state, fault| match fault {
            Some(fault) => Err(fault.error()),
            None => change(state),
        })
    }

    fn handle(&self, inode: u64) -> Box<dyn DiskFile> {
        Box::new(OpenFile { disk: self.clone(), inode, locks: None })
    }

    fn existing(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock();
        state.opened.push(path.to_owned());
        if let Some(error) = state.unopenable.get(path) {
            return Err(io::Error::from_raw_os_error(error.raw_os_error()));
        }
        state.names.get(path).map(|inode| self.handle(*inode)).ok_or(io::ErrorKind::NotFound.into())
    }
}

impl State {
    fn total_bytes(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[inode].current.len() as u64).sum()
    }

    /// How long a file may be made.
    fn room(&self, inode: u64) -> usize {
        let free = self.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(self.total_bytes()));
        self.inodes[&inode].current.len().saturating_add(usize::try_from(free).unwrap())
    }

    fn link(&mut self, path: &Path) -> u64 {
        let inode = self.inodes.keys().last().map_or(1, |last| last + 1);
        self.inodes.insert(inode, Inode::default());
        self.names.insert(path.to_owned(), inode);
        self.changes.push(Change::Link(path.to_owned(), inode));
        inode
    }
}

impl Inode {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        self.current.resize(self.current.len().max(end), 0);
        self.current[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR_BYTES..end.div_ceil(SECTOR_BYTES));
    }

    fn sync(&mut self) {
        self.durable.resize(self.current.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            self.keep(sector);
        }
    }

    /// Makes a sector durable, as far as the file reaches.
    fn keep(&mut self, sector: usize) {
        let start = sector * SECTOR_BYTES;
        let end = (start + SECTOR_BYTES).min(self.current.len()).min(self.durable.len());
        if start < end {
            self.durable[start..end].copy_from_slice(&self.current[start..end]);
        }
    }

    fn lose(&mut self, kept: &mut impl FnMut() -> bool) {
        if self.current.len() != self.durable.len() && kept() {
            self.durable.resize(self.current.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            if kept() {
                self.keep(sector);
            }
        }
        self.current.clone_from(&self.durable);
    }
}

impl Disk for SimulatedDisk {
    /// Folders need not be made, but making one may fail.
    fn create_folder(&self, _: &Path) -> io::Result<()> {
        self.change(|_| Ok(()))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state.lock();
        let inside = state.names.iter().filter(|(path, _)| path.parent() == Some(folder));
        Ok(inside
            .map(|(path, inode)| Entry {
                name: path.file_name().unwrap().to_str().unwrap().to_owned(),
                bytes: state.inodes[inode].current.len() as u64,
            })
            .collect())
    }

    fn create_new(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.change(|state| {
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.link(path);
            Ok(())
        })?;
        Ok(self.handle(self.state.lock().names[path]))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.existing(path)
    }

    fn open_to_mend(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.existing(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state.lock();
        if !state.locked.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let known = state.names.get(path).copied();
        let inode = known.unwrap_or_else(|| state.link(path));
        Ok(Box::new(OpenFile { disk: self.clone(), inode, locks: Some(path.to_owned()) }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.change(|state| {
            let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            state.names.insert(to.to_owned(), inode);
            state.changes.push(Change::Rename(from.to_owned(), to.to_owned(), inode));
            Ok(())
        })
    }

    fn unlink(&self, path: &Path) -> io::Result<()> {
        self.change(|state| {
            state.names.remove(path).ok_or(io::ErrorKind::NotFound)?;
            state.changes.push(Change::Unlink(path.to_owned()));
            Ok(())
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.change(|state| {
            state.syncs += 1;
            let inside = |path: &Path| path.parent() == Some(folder);
            // A rename between two folders becomes durable with either.
            state.changes.retain(|change| match change {
                Change::Link(path, _) | Change::Unlink(path) => !inside(path),
                Change::Rename(from, to, _) => !inside(from) && !inside(to),
            });
            let State { names, durable_names, .. } = state;
            durable_names.retain(|path, _| !inside(path) || names.contains_key(path));
            durable_names.extend(names.iter().filter(|(path, _)| inside(path)).map(|(p, i)| (p.clone(), *i)));
            Ok(())
        })
    }
}

impl DiskFile for OpenFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.state.lock();
        let Inode { current, bad, .. } = &state.inodes[&self.inode];
        let start = usize::try_from(offset).unwrap().min(current.len());
        let read = bytes.len().min(current.len() - start);
        if start.max(bad.start) < bad.end.min(start + read) {
            return Err(io::Error::from_raw_os_error(Errno::IO.raw_os_error()));
        }
        bytes[..read].copy_from_slice(&current[start..start + read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let offset = usize::try_from(offset).unwrap();
        self.disk.operate(|state, fault| {
            let room = state.room(self.inode).saturating_sub(offset);
            let bytes = &bytes[..bytes.len().min(room)];
            let inode = state.inodes.get_mut(&self.inode).unwrap();
            match fault {
                // The first write is short, the one that follows it finds no space at all.
                Some(Fault::NoSpace) if bytes.len() > 1 => {
                    inode.write(&bytes[..bytes.len() / 2], offset);
                    state.faults.push_front((0, Fault::NoSpace));
                    Ok(bytes.len() / 2)
                }
                Some(fault) => Err(fault.error()),
                None if bytes.is_empty() => Err(Fault::NoSpace.error()),
                None => {
                    inode.write(bytes, offset);
                    Ok(bytes.len())
                }
            }
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.operate(|state, fault| {
            state.syncs += 1;
            let inode = state.inodes.get_mut(&self.inode).unwrap();
            if let Some(fault) = fault {
                inode.dirty.clear();
                return Err(fault.error());
            }
            inode.sync();
            Ok(())
        })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.disk.operate(|state, fault| {
            if let Some(fault) = fault {
                return Err(fault.error());
            }
            let bytes = usize::try_from(bytes).unwrap();
            if bytes > state.room(self.inode) {
                return Err(Fault::NoSpace.error());
            }
            let inode = state.inodes.get_mut(&self.inode).unwrap();
            inode.current.resize(bytes, 0);
            Ok(())
        })
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if let Some(path) = &self.locks {
            self.disk.state.lock().locked.remove(path);
        }
    }
}
