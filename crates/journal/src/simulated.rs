//! A disk in memory that loses what real disks lose: for this crate's tests and for simulation.
//!
//! It keeps what a program sees (the page cache) apart from what is durable. [`SimulatedDisk::power_loss`] gives the
//! disk that is found after the power came back: each unsynced write is kept, lost, or torn at sectors, in another
//! order if the seed says so, and directory changes that were not synced may be lost. The seed decides everything.

mod node;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::disk::{Disk, DiskFile, DiskLock};
use crate::error::OpenError;
use node::Node;

/// `EIO`, as a failing device reports it.
const EIO: i32 = 5;

/// What a program does to a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Operation {
    /// Reading from a file.
    Read,
    /// Writing to a file.
    Write,
    /// Making a file's data durable.
    Sync,
    /// Making a file.
    Create,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Making the directory durable.
    SyncDirectory,
    /// Allocating room.
    Allocate,
    /// Cutting or growing a file.
    SetLength,
}

/// Whether a crash comes before or after the operation it is set for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// The operation does not happen.
    Before,
    /// The operation happens, and the program does not hear of it.
    After,
}

/// Told of every operation with its size in bytes, so that a simulator can let time pass.
pub type LatencyHook = Arc<dyn Fn(Operation, usize) + Send + Sync>;

/// A small deterministic generator (SplitMix64): the disk's only source of chance.
#[derive(Debug, Clone)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}

#[derive(Debug, Clone)]
enum NameChange {
    Link(String, Arc<Mutex<Node>>),
    Rename(String, String, Arc<Mutex<Node>>),
    Unlink(String),
}

struct Inner {
    names: BTreeMap<String, Arc<Mutex<Node>>>,
    durable_names: BTreeMap<String, Arc<Mutex<Node>>>,
    name_changes: Vec<NameChange>,
    chance: Chance,
    operations: u64,
    crash_at: Option<(u64, CrashPoint)>,
    crashed: bool,
    locked: bool,
    capacity: Option<u64>,
    short_writes: bool,
    failures: Vec<(Operation, u64)>,
    latency: Option<LatencyHook>,
}

/// A directory in memory. Clones share it.
#[derive(Clone)]
pub struct SimulatedDisk {
    inner: Arc<Mutex<Inner>>,
}

impl std::fmt::Debug for SimulatedDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimulatedDisk").field("names", &self.names()).finish_non_exhaustive()
    }
}

impl SimulatedDisk {
    /// An empty disk without limits whose chances come from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::with_names(BTreeMap::new(), seed, None)
    }

    fn with_names(names: BTreeMap<String, Arc<Mutex<Node>>>, seed: u64, capacity: Option<u64>) -> Self {
        Self {
            inner: Arc::new(Mutex::new(Inner {
                durable_names: names.clone(),
                names,
                name_changes: Vec::new(),
                chance: Chance(seed),
                operations: 0,
                crash_at: None,
                crashed: false,
                locked: false,
                capacity,
                short_writes: false,
                failures: Vec::new(),
                latency: None,
            })),
        }
    }

    /// Operations that change something, so far. The next one has this number.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.inner.lock().operations
    }

    /// Stops the world before or after the operation of this number: it and all later ones fail.
    pub fn crash_at(&self, operation: u64, point: CrashPoint) {
        self.inner.lock().crash_at = Some((operation, point));
    }

    /// Whether the crash has come.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.inner.lock().crashed
    }

    /// The program was killed: the disk as the next program finds it, with all that was written. This one stops working.
    #[must_use]
    pub fn crash(&self) -> Self {
        let mut inner = self.inner.lock();
        inner.crashed = true;
        let seed = inner.chance.next();
        let copy = Self::with_names(copy_names(&inner.names), seed, inner.capacity);
        {
            // A file that is open under a durable name and another one is still one file.
            let mut copied = copy.inner.lock();
            let durable = inner.durable_names.iter().map(|(name, node)| {
                let same = inner
                    .names
                    .iter()
                    .find(|(_, other)| Arc::ptr_eq(node, other))
                    .and_then(|(now, _)| copied.names.get(now).cloned());
                let node = same.unwrap_or_else(|| Arc::new(Mutex::new(node.lock().clone())));
                (name.clone(), node)
            });
            let durable = durable.collect();
            copied.durable_names = durable;
        }
        // Names that are not durable stay so for the program that finds them.
        let changes: Vec<NameChange> = {
            let copied = copy.inner.lock();
            let link = |name: &String| {
                let node = copied.names.get(name).cloned();
                node.map(|node| NameChange::Link(name.clone(), node))
            };
            let gone = |name: &String| NameChange::Unlink(name.clone());
            let removed = copied.durable_names.keys().filter(|name| !copied.names.contains_key(*name));
            removed.map(gone).chain(copied.names.keys().filter_map(link)).collect()
        };
        copy.inner.lock().name_changes = changes;
        copy
    }

    /// The power failed: the disk as it is found afterwards, as `seed` decides. This one stops working.
    #[must_use]
    pub fn power_loss(&self, seed: u64) -> Self {
        let mut inner = self.inner.lock();
        inner.crashed = true;
        let mut chance = Chance(seed);
        let mut names = inner.durable_names.clone();
        for change in &inner.name_changes {
            if chance.below(2) == 0 {
                continue;
            }
            match change {
                NameChange::Link(name, node) => {
                    names.insert(name.clone(), node.clone());
                }
                NameChange::Rename(from, to, node) => {
                    names.remove(from);
                    names.insert(to.clone(), node.clone());
                }
                NameChange::Unlink(name) => {
                    names.remove(name);
                }
            }
        }
        let names = names
            .into_iter()
            .map(|(name, node)| {
                let survived = node.lock().after_power_loss(&mut chance);
                (name, Arc::new(Mutex::new(survived)))
            })
            .collect();
        Self::with_names(names, chance.next(), inner.capacity)
    }

    /// Lets the operation of this kind that comes after `skip` others fail with `EIO`, once.
    pub fn fail(&self, operation: Operation, skip: u64) {
        self.inner.lock().failures.push((operation, skip));
    }

    /// Bytes the disk has room for; `None` for no limit.
    pub fn set_capacity(&self, capacity: Option<u64>) {
        self.inner.lock().capacity = capacity;
    }

    /// Bytes allocated.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.inner.lock().used()
    }

    /// Whether writes may write only a part, as chance decides.
    pub fn set_short_writes(&self, short: bool) {
        self.inner.lock().short_writes = short;
    }

    /// Has `hook` told of every operation, while no lock of the disk is held.
    pub fn set_latency(&self, hook: LatencyHook) {
        self.inner.lock().latency = Some(hook);
    }

    /// The files' names, sorted.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.inner.lock().names.keys().cloned().collect()
    }

    /// A file's bytes as a program sees them.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let node = self.inner.lock().names.get(name).cloned()?;
        let contents = node.lock().contents();
        Some(contents)
    }

    /// Replaces a file's bytes, durably, behind the program's back.
    pub fn replace(&self, name: &str, bytes: &[u8]) {
        let node = Arc::new(Mutex::new(Node::durable(bytes)));
        let mut inner = self.inner.lock();
        inner.names.insert(name.to_owned(), node.clone());
        inner.durable_names.insert(name.to_owned(), node);
    }

    /// Removes a file, durably, behind the program's back.
    pub fn lose(&self, name: &str) {
        let mut inner = self.inner.lock();
        inner.names.remove(name);
        inner.durable_names.remove(name);
    }

    /// Flips one bit of a file, durably. Says whether the file has such a byte.
    pub fn flip_bit(&self, name: &str, offset: u64, bit: u8) -> bool {
        let node = self.inner.lock().names.get(name).cloned();
        node.is_some_and(|node| node.lock().flip(offset, bit))
    }

    /// Whether everything written and named so far would survive a power loss.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        let inner = self.inner.lock();
        inner.name_changes.is_empty() && inner.names.values().all(|node| node.lock().is_synced())
    }

    /// A copy of the disk as it is, which works on its own.
    #[must_use]
    pub fn fork(&self) -> Self {
        let inner = self.inner.lock();
        Self::with_names(copy_names(&inner.names), inner.chance.0, inner.capacity)
    }

    /// Counts an operation, lets it fail or crash if that was asked for, and runs it.
    fn perform<T>(
        &self,
        operation: Operation,
        bytes: usize,
        run: impl FnOnce(&mut Inner) -> io::Result<T>,
    ) -> io::Result<T> {
        let (result, hook) = {
            let mut inner = self.inner.lock();
            (inner.perform(operation, run), inner.latency.clone())
        };
        if let Some(hook) = hook {
            hook(operation, bytes);
        }
        result
    }
}

impl Inner {
    fn perform<T>(
        &mut self,
        operation: Operation,
        run: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        if self.crashed {
            return Err(gone());
        }
        let mut crash_after = false;
        if operation != Operation::Read {
            match self.crash_at {
                Some((at, CrashPoint::Before)) if at == self.operations => {
                    self.crashed = true;
                    return Err(gone());
                }
                Some((at, CrashPoint::After)) if at == self.operations => crash_after = true,
                _ => {}
            }
            self.operations += 1;
        }
        let mut failing = false;
        self.failures.retain_mut(|(which, skip)| {
            if *which != operation {
                return true;
            }
            if *skip == 0 {
                failing = true;
                return false;
            }
            *skip -= 1;
            true
        });
        if failing {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        let result = run(self);
        if crash_after {
            self.crashed = true;
            return Err(gone());
        }
        result
    }

    fn used(&self) -> u64 {
        self.names.values().map(|node| node.lock().allocated).sum()
    }

    fn take_room(&self, node: &mut Node, length: u64) -> io::Result<()> {
        let more = length.saturating_sub(node.allocated);
        if more == 0 {
            return Ok(());
        }
        if let Some(capacity) = self.capacity {
            let others: u64 =
                self.names.values().filter_map(|other| other.try_lock().map(|other| other.allocated)).sum();
            if others + node.allocated + more > capacity {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        node.allocated = length;
        Ok(())
    }
}

fn gone() -> io::Error {
    io::Error::other("the simulated machine has stopped")
}

fn copy_names(names: &BTreeMap<String, Arc<Mutex<Node>>>) -> BTreeMap<String, Arc<Mutex<Node>>> {
    names.iter().map(|(name, node)| (name.clone(), Arc::new(Mutex::new(node.lock().clone())))).collect()
}

impl Disk for SimulatedDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inner = self.inner.lock();
        if inner.crashed {
            return Err(gone());
        }
        let node = inner.names.get(name).cloned();
        Ok(Arc::new(SimulatedFile { disk: self.clone(), node: node.ok_or(io::ErrorKind::NotFound)? }))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let node = Arc::new(Mutex::new(Node::default()));
        self.perform(Operation::Create, 0, |inner| {
            inner.names.insert(name.to_owned(), node.clone());
            let change = NameChange::Link(name.to_owned(), node.clone());
            inner.name_changes.push(change);
            Ok(())
        })?;
        Ok(Arc::new(SimulatedFile { disk: self.clone(), node }))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let inner = self.inner.lock();
        if inner.crashed {
            return Err(gone());
        }
        Ok(inner.names.keys().cloned().collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.perform(Operation::Rename, 0, |inner| {
            let node = inner.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            inner.names.insert(to.to_owned(), node.clone());
            let change = NameChange::Rename(from.to_owned(), to.to_owned(), node);
            inner.name_changes.push(change);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.perform(Operation::Remove, 0, |inner| {
            inner.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
            inner.name_changes.push(NameChange::Unlink(name.to_owned()));
            Ok(())
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.perform(Operation::SyncDirectory, 0, |inner| {
            inner.durable_names = inner.names.clone();
            inner.name_changes.clear();
            Ok(())
        })
    }

    fn lock(&self) -> Result<Box<dyn DiskLock>, OpenError> {
        let mut inner = self.inner.lock();
        if inner.locked {
            return Err(OpenError::Locked { pid: None });
        }
        inner.locked = true;
        Ok(Box::new(SimulatedLock(self.clone())))
    }

    fn random(&self, bytes: &mut [u8]) -> io::Result<()> {
        let mut inner = self.inner.lock();
        for part in bytes.chunks_mut(8) {
            let value = inner.chance.next().to_le_bytes();
            for (target, source) in part.iter_mut().zip(value) {
                *target = source;
            }
        }
        Ok(())
    }
}

struct SimulatedLock(SimulatedDisk);

impl DiskLock for SimulatedLock {}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.0.inner.lock().locked = false;
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    node: Arc<Mutex<Node>>,
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let size = bytes.len();
        self.disk.perform(Operation::Read, size, |_| Ok(self.node.lock().read(bytes, offset)))
    }

    fn write_vectored_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let size = bytes.len();
        self.disk.perform(Operation::Write, size, |inner| {
            if inner.short_writes && bytes.len() > 1 && inner.chance.below(3) == 0 {
                let kept = 1 + inner.chance.below(bytes.len() as u64 - 1);
                bytes.truncate(kept as usize);
            }
            let mut node = self.node.lock();
            inner.take_room(&mut node, offset + bytes.len() as u64)?;
            Ok(node.write(offset, bytes))
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.perform(Operation::Sync, 0, |_| {
            self.node.lock().sync();
            Ok(())
        })
    }

    fn allocate(&self, length: u64) -> io::Result<()> {
        self.disk.perform(Operation::Allocate, 0, |inner| {
            let mut node = self.node.lock();
            inner.take_room(&mut node, length)?;
            if node.length < length {
                node.set_length(length);
            }
            Ok(())
        })
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.node.lock().length)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.disk.perform(Operation::SetLength, 0, |_| {
            let mut node = self.node.lock();
            node.allocated = node.allocated.min(length);
            node.set_length(length);
            Ok(())
        })
    }
}
