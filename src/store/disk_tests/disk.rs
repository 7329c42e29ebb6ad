//! A disk in memory that loses power, fails, fills up and rots, with files that keep what was synced.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use redb::{Builder, Database, DatabaseError, StorageBackend};

use crate::model::Timestamp;
use crate::store::files::{BLOCKS, Files, Padded, begun_and_never_made};

const PAGE_BYTES: usize = 4096;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// Numbers that look random and are the same for the same seed.
#[derive(Debug, Clone)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// A number below `most`.
    pub(super) fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % most
    }

    /// True once in so many times.
    pub(super) fn one_in(&mut self, most: u64) -> bool {
        self.below(most) == 0
    }
}

/// Bytes of a file; what was never written takes no space and reads as zeros.
#[derive(Debug, Clone, Default)]
struct Bytes {
    pages: Vec<Option<Arc<[u8; PAGE_BYTES]>>>,
    length: usize,
}

impl Bytes {
    fn of(bytes: &[u8]) -> Self {
        let mut file = Self::default();
        file.write(0, bytes);
        file
    }

    fn set_length(&mut self, length: usize) {
        self.pages.resize(length.div_ceil(PAGE_BYTES), None);
        let within = length % PAGE_BYTES;
        if length < self.length
            && within > 0
            && let Some(Some(last)) = self.pages.last_mut()
        {
            Arc::make_mut(last)[within..].fill(0);
        }
        self.length = length;
    }

    fn write(&mut self, mut offset: usize, mut data: &[u8]) {
        if offset + data.len() > self.length {
            self.set_length(offset + data.len());
        }
        while !data.is_empty() {
            let within = offset % PAGE_BYTES;
            let (now, rest) = data.split_at(data.len().min(PAGE_BYTES - within));
            let page = self.pages[offset / PAGE_BYTES].get_or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            Arc::make_mut(page)[within..within + now.len()].copy_from_slice(now);
            (offset, data) = (offset + now.len(), rest);
        }
    }

    fn read(&self, mut offset: usize, mut out: &mut [u8]) -> io::Result<()> {
        if offset + out.len() > self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        while !out.is_empty() {
            let (within, left) = (offset % PAGE_BYTES, out.len());
            let (now, rest) = std::mem::take(&mut out).split_at_mut((PAGE_BYTES - within).min(left));
            match &self.pages[offset / PAGE_BYTES] {
                Some(page) => now.copy_from_slice(&page[within..within + now.len()]),
                None => now.fill(0),
            }
            (offset, out) = (offset + now.len(), rest);
        }
        Ok(())
    }

    /// Pages that the file has not, and would have after such a write.
    fn new_pages(&self, offset: usize, length: usize) -> usize {
        let pages = offset / PAGE_BYTES..(offset + length).div_ceil(PAGE_BYTES);
        pages.filter(|page| !self.pages.get(*page).is_some_and(Option::is_some)).count()
    }

    fn taken(&self) -> usize {
        self.pages.iter().flatten().count()
    }
}

/// What is done to a file.
#[derive(Debug, Clone)]
enum Change {
    Write(usize, Vec<u8>),
    SetLength(usize),
}

fn apply(bytes: &mut Bytes, change: &Change) {
    match change {
        Change::Write(offset, data) => bytes.write(*offset, data),
        Change::SetLength(length) => bytes.set_length(*length),
    }
}

/// A file: as it is read, as it was synced, and what was done to it since.
#[derive(Debug, Default)]
struct Contents {
    now: Bytes,
    synced: Bytes,
    unsynced: Vec<Change>,
}

impl Contents {
    fn of(bytes: Bytes) -> Self {
        Self { now: bytes.clone(), synced: bytes, unsynced: Vec::new() }
    }

    /// As a power cut leaves it: of what was not synced any sectors may be there.
    fn after_power_cut(&self, dice: &mut Dice) -> Bytes {
        let mut bytes = self.synced.clone();
        // Everything, nothing, the beginning, or some of it.
        let (manner, end) = (dice.below(5), dice.below(self.unsynced.len() as u64 + 1) as usize);
        for (place, change) in self.unsynced.iter().enumerate() {
            match (manner, change) {
                (0, _) => apply(&mut bytes, change),
                (1, _) => {}
                (2, _) if place > end => {}
                (2, _) if place < end => apply(&mut bytes, change),
                (_, Change::SetLength(_)) => {
                    if dice.one_in(2) {
                        apply(&mut bytes, change);
                    }
                }
                (_, Change::Write(offset, data)) => sectors(&mut bytes, *offset, data, dice),
            }
        }
        bytes
    }
}

/// Writes some of the sectors.
fn sectors(bytes: &mut Bytes, mut offset: usize, mut data: &[u8], dice: &mut Dice) {
    let whole = dice.below(3);
    while !data.is_empty() {
        let (now, rest) = data.split_at(data.len().min(SECTOR_BYTES - offset % SECTOR_BYTES));
        if whole == 0 || (whole == 1 && dice.one_in(2)) {
            bytes.write(offset, now);
        }
        (offset, data) = (offset + now.len(), rest);
    }
}

/// An open or named file.
#[derive(Debug, Default)]
struct Node {
    contents: Mutex<Contents>,
    is_open: AtomicBool,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Calls that write fail.
    Writing,
    /// All calls fail.
    Everything,
    /// There is no space for anything.
    NoSpace,
    /// Half of what is to be written is, and that is all.
    ShortWrite,
}

/// Faults of so many calls, after so many that go well.
#[derive(Debug, Clone, Copy)]
struct Trouble {
    fault: Fault,
    from: u64,
    to: u64,
}

#[derive(Debug, Default)]
struct State {
    names: BTreeMap<String, Arc<Node>>,
    /// The names as they are on the disk for good.
    durable: BTreeMap<String, Arc<Node>>,
    nodes: Vec<Weak<Node>>,
    calls: u64,
    trouble: Option<Trouble>,
    /// Pages that there is space for.
    capacity: Option<usize>,
    camera: Option<Camera>,
}

/// Takes pictures of the disk: what a power cut at that moment would leave.
struct Camera {
    dice: Dice,
    /// One in so many calls.
    rarity: u64,
    take: Box<dyn FnMut(SimulatedDisk) + Send>,
}

impl std::fmt::Debug for Camera {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Camera").finish_non_exhaustive()
    }
}

/// A disk.
#[derive(Debug, Clone, Default)]
pub(super) struct SimulatedDisk(Arc<Mutex<State>>);

impl SimulatedDisk {
    fn with(files: BTreeMap<String, Bytes>) -> Self {
        let disk = Self::default();
        for (name, bytes) in files {
            let node = Arc::new(Node { contents: Mutex::new(Contents::of(bytes)), ..Node::default() });
            let mut state = disk.0.lock();
            state.nodes.push(Arc::downgrade(&node));
            state.names.insert(name.clone(), Arc::clone(&node));
            state.durable.insert(name, node);
        }
        disk
    }

    /// The disk as it is, for other processes: as if this one were killed, or had ended.
    pub(super) fn copy(&self) -> Self {
        let state = self.0.lock();
        Self::with(
            state.names.iter().map(|(name, node)| (name.clone(), node.contents.lock().now.clone())).collect(),
        )
    }

    /// Shows what power cuts would leave, at one in `rarity` moments, to `take`.
    pub(super) fn watch(&self, dice: Dice, rarity: u64, take: impl FnMut(Self) + Send + 'static) {
        self.0.lock().camera = Some(Camera { dice, rarity, take: Box::new(take) });
    }

    /// Another disk is watched in this one's place.
    pub(super) fn hand_watch_to(&self, other: &Self) {
        let camera = self.0.lock().camera.take();
        other.0.lock().camera = camera;
    }

    pub(super) fn watch_no_more(&self) {
        self.0.lock().camera = None;
    }

    /// Calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// So many calls from now, `count` calls fail.
    pub(super) fn fail(&self, fault: Fault, after: u64, count: u64) {
        let mut state = self.0.lock();
        let from = state.calls + after;
        state.trouble = Some(Trouble { fault, from, to: from.saturating_add(count) });
    }

    pub(super) fn fail_no_more(&self) {
        self.0.lock().trouble = None;
    }

    /// Whether the calls that are to fail have all been made.
    pub(super) fn is_in_trouble(&self) -> bool {
        let state = self.0.lock();
        state.trouble.is_some_and(|trouble| state.calls < trouble.to)
    }

    /// From now on there is so much space beside what is taken.
    pub(super) fn leave_space(&self, bytes: Option<usize>) {
        let mut state = self.0.lock();
        let taken = state.taken();
        state.capacity = bytes.map(|bytes| taken + bytes / PAGE_BYTES);
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// The bytes of a file.
    pub(super) fn bytes_of(&self, name: &str) -> Vec<u8> {
        let node = Arc::clone(&self.0.lock().names[name]);
        let contents = node.contents.lock();
        let mut bytes = vec![0; contents.now.length];
        contents.now.read(0, &mut bytes).unwrap();
        bytes
    }

    /// Puts other bytes in a file's place; `None` removes it.
    pub(super) fn put(&self, name: &str, bytes: Option<&[u8]>) {
        let mut state = self.0.lock();
        state.names.remove(name);
        state.durable.remove(name);
        if let Some(bytes) = bytes {
            let node =
                Arc::new(Node { contents: Mutex::new(Contents::of(Bytes::of(bytes))), ..Node::default() });
            state.nodes.push(Arc::downgrade(&node));
            state.names.insert(name.to_owned(), Arc::clone(&node));
            state.durable.insert(name.to_owned(), node);
        }
    }

    /// Turns a bit of one of the pages that a file takes, and says which page; an even choice among all files'.
    pub(super) fn rot(&self, dice: &mut Dice) -> (String, usize) {
        let state = self.0.lock();
        let taken = |node: &Arc<Node>| node.contents.lock().now.taken() as u64;
        let mut place = dice.below(state.names.values().map(taken).sum());
        for (name, node) in &state.names {
            let pages = taken(node);
            if place >= pages {
                place -= pages;
                continue;
            }
            let mut contents = node.contents.lock();
            let mut there = contents.now.pages.iter_mut().enumerate().filter(|(_, page)| page.is_some());
            let (number, page) = there.nth(place as usize).unwrap();
            let bit = dice.below(8 * PAGE_BYTES as u64) as usize;
            Arc::make_mut(page.as_mut().unwrap())[bit / 8] ^= 1 << (bit % 8);
            return (name.clone(), number);
        }
        unreachable!("the place is below the sum of all pages")
    }

    /// One call, and what it meets.
    fn call(&self, is_write: bool) -> io::Result<Option<Fault>> {
        let camera = {
            let mut state = self.0.lock();
            state.calls += 1;
            let due =
                is_write && state.camera.as_mut().is_some_and(|camera| camera.dice.one_in(camera.rarity));
            let trouble = state.trouble.filter(|it| (it.from..it.to).contains(&state.calls));
            match trouble.map(|trouble| trouble.fault) {
                Some(Fault::Everything) => return Err(io::Error::other("simulated failure")),
                Some(Fault::Writing) if is_write => {
                    return Err(io::Error::other("simulated failure of writing"));
                }
                Some(Fault::NoSpace) if is_write => return Err(io::ErrorKind::StorageFull.into()),
                Some(Fault::ShortWrite) if is_write => return Ok(Some(Fault::ShortWrite)),
                _ => {}
            }
            due.then(|| state.camera.take()).flatten()
        };
        if let Some(mut camera) = camera {
            let picture = self.after_power_cut(&mut camera.dice);
            (camera.take)(picture);
            self.0.lock().camera = Some(camera);
        }
        Ok(None)
    }

    /// What a power cut would leave now.
    fn after_power_cut(&self, dice: &mut Dice) -> Self {
        let state = self.0.lock();
        let mut names = state.durable.clone();
        let all: std::collections::BTreeSet<&String> =
            state.names.keys().chain(state.durable.keys()).collect();
        for name in all {
            if dice.one_in(2) {
                match state.names.get(name) {
                    Some(node) => drop(names.insert(name.clone(), Arc::clone(node))),
                    None => drop(names.remove(name)),
                }
            }
        }
        Self::with(
            names
                .into_iter()
                .map(|(name, node)| (name, node.contents.lock().after_power_cut(dice)))
                .collect(),
        )
    }

    fn node(&self, name: &str) -> io::Result<Arc<Node>> {
        self.0.lock().names.get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Names are as they are from now on.
    fn sync_names(&self) -> io::Result<()> {
        self.call(true)?;
        let mut state = self.0.lock();
        state.durable = state.names.clone();
        Ok(())
    }
}

impl State {
    fn taken(&mut self) -> usize {
        self.nodes.retain(|node| node.strong_count() > 0);
        self.nodes.iter().filter_map(Weak::upgrade).map(|node| node.contents.lock().now.taken()).sum()
    }

    fn has_space(&mut self, pages: usize) -> bool {
        pages == 0 || self.capacity.is_none_or(|capacity| self.taken() + pages <= capacity)
    }
}

/// An open file.
#[derive(Debug)]
struct Backend {
    disk: SimulatedDisk,
    node: Arc<Node>,
    holds: AtomicBool,
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.let_go();
    }
}

impl Backend {
    fn let_go(&self) {
        if self.holds.swap(false, Ordering::Relaxed) {
            self.node.is_open.store(false, Ordering::Relaxed);
        }
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let fault = self.disk.call(true)?;
        let mut change = change;
        if let (Some(Fault::ShortWrite), Change::Write(_, data)) = (fault, &mut change) {
            data.truncate(data.len() / 2);
        }
        if let Change::Write(offset, data) = &change {
            let pages = self.node.contents.lock().now.new_pages(*offset, data.len());
            if !self.disk.0.lock().has_space(pages) {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        let mut contents = self.node.contents.lock();
        apply(&mut contents.now, &change);
        contents.unsynced.push(change);
        if fault.is_some() { Err(io::ErrorKind::WriteZero.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        self.disk.call(false)?;
        Ok(self.node.contents.lock().now.length as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.disk.call(false)?;
        self.node.contents.lock().now.read(offset as usize, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.change(Change::SetLength(length as usize))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.call(true)?;
        let mut contents = self.node.contents.lock();
        contents.synced = contents.now.clone();
        contents.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset as usize, data.to_vec()))
    }

    fn close(&self) -> io::Result<()> {
        self.let_go();
        Ok(())
    }
}

impl Files for SimulatedDisk {
    fn blocks(&self) -> io::Result<Vec<String>> {
        self.call(false)?;
        Ok(self.names().into_iter().filter(|name| name.starts_with(BLOCKS)).collect())
    }

    fn exists(&self, name: &str) -> bool {
        self.0.lock().names.contains_key(name)
    }

    fn open(&self, name: &str, may_make: bool, cache_bytes: usize) -> Result<Database, DatabaseError> {
        let io = |error: io::Error| DatabaseError::Storage(redb::StorageError::Io(error));
        self.call(may_make).map_err(io)?;
        if may_make && !self.exists(name) {
            let mut state = self.0.lock();
            let node = Arc::<Node>::default();
            state.nodes.push(Arc::downgrade(&node));
            state.names.insert(name.to_owned(), node);
        }
        let node = self.node(name).map_err(io)?;
        if node.is_open.swap(true, Ordering::Relaxed) {
            return Err(DatabaseError::DatabaseAlreadyOpen);
        }
        let backend = Backend { disk: self.clone(), node: Arc::clone(&node), holds: AtomicBool::new(true) };
        let length = node.contents.lock().now.length as u64;
        if may_make && begun_and_never_made(length, |at, out| backend.read(at, out)).map_err(io)? {
            backend.set_len(0).map_err(io)?;
        }
        if !may_make && length == 0 {
            return Err(io(io::ErrorKind::InvalidData.into()));
        }
        let database = Builder::new().set_cache_size(cache_bytes).create_with_backend(Padded(backend))?;
        if may_make {
            self.sync_names().map_err(io)?;
        }
        Ok(database)
    }

    fn open_untouched(&self, name: &str, cache_bytes: usize) -> Result<Database, DatabaseError> {
        let io = |error: io::Error| DatabaseError::Storage(redb::StorageError::Io(error));
        self.call(false).map_err(io)?;
        let bytes = self.node(name).map_err(io)?.contents.lock().now.clone();
        let node = Arc::new(Node { contents: Mutex::new(Contents::of(bytes)), ..Node::default() });
        let backend = Backend { disk: Self::default(), node, holds: AtomicBool::new(true) };
        Builder::new().set_cache_size(cache_bytes).create_with_backend(Padded(backend))
    }

    fn bytes(&self, name: &str) -> io::Result<u64> {
        Ok((self.node(name)?.contents.lock().now.taken() * PAGE_BYTES) as u64)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(true)?;
        self.0.lock().names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        self.sync_names()
    }

    fn set_aside(&self, name: &str, now: Timestamp) -> io::Result<PathBuf> {
        self.call(true)?;
        let mut state = self.0.lock();
        let node = state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        let plain = name.rsplit('/').next().unwrap_or(name);
        let aside = format!("quarantine/{:020}-{plain}", now.millis());
        state.names.insert(aside.clone(), node);
        drop(state);
        self.sync_names()?;
        Ok(aside.into())
    }

    fn count_set_aside(&self) -> usize {
        self.names().iter().filter(|name| name.starts_with("quarantine/")).count()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let mut state = self.0.lock();
        let taken = state.taken();
        Ok(state.capacity.map_or(u64::MAX, |capacity| (capacity.saturating_sub(taken) * PAGE_BYTES) as u64))
    }

    fn path(&self, name: &str) -> PathBuf {
        name.into()
    }
}
