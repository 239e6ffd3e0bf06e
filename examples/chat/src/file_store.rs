//! The store of a server that runs: three files in a folder.
//!
//! | File | Holds | Written |
//! |---|---|---|
//! | `publications.jsonl` | what was written to channels, a line each | appended and synced |
//! | `messages.jsonl` | what was written to users, a line each | appended and synced |
//! | `registry.json` | users, channels, how far the clock may have come | as a whole |
//!
//! Records stand in the order in which the server got to know them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::history::History;
use crate::line_file::LineFile;
use crate::name;
use crate::record::{Key, Record};
use crate::store::{FIRST_CHANNELS, Place, RECORDS_MAX, Store, StoreError, USERS_MAX};
use crate::whole_file;

/// Names of the two files of records, in the order of [`Place::file`].
const FILES: [&str; 2] = ["publications.jsonl", "messages.jsonl"];

/// [`Place::file`] of users, which are not in a file of records.
const REGISTRY: u8 = 2;

/// What `registry.json` holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Registry {
    users: BTreeSet<String>,
    channels: BTreeSet<String>,
    clock_reserved: u64,
}

impl Default for Registry {
    fn default() -> Self {
        let channels = FIRST_CHANNELS.map(str::to_owned).into();
        Self { users: BTreeSet::new(), channels, clock_reserved: 0 }
    }
}

/// Three files, which one process has.
pub(crate) struct FileStore {
    files: [LineFile; 2],
    registry_path: PathBuf,
    registry: Registry,
    /// The users by their keys.
    users: BTreeMap<Key, String>,
    history: History<Place>,
    /// Held for as long as the store is open.
    _lock: File,
}

/// A file whose last line was not whole, and was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Repair {
    pub(crate) file: &'static str,
    /// How long it was.
    pub(crate) bytes: u64,
}

impl FileStore {
    /// Opens a folder, or makes it, and repairs what a kill may leave.
    ///
    /// # Errors
    /// [`StoreError`], also if another process has the folder.
    pub(crate) fn open(folder: &Path) -> Result<(Self, Vec<Repair>), StoreError> {
        let failed = |error| StoreError::Disk { path: folder.to_owned(), error };
        whole_file::make_folder(folder).map_err(failed)?;
        let lock = lock(folder)?;
        let registry_path = folder.join("registry.json");
        let registry = whole_file::read::<Registry>(&registry_path)?.unwrap_or_default();
        if let Some(bad) = registry.channels.iter().find(|channel| name::check(channel).is_err()) {
            let reason = format!("'{}' não é um canal", bad.escape_debug());
            return Err(StoreError::Damaged { path: registry_path, line: 0, reason });
        }
        let mut history = History::default();
        let mut users = BTreeMap::new();
        for user in &registry.users {
            let key = Key::of(&Record::User { user: user.clone() });
            history.insert(key, Place { file: REGISTRY, offset: 0, bytes: 0 });
            users.insert(key, user.clone());
        }
        let mut repairs = Vec::new();
        let mut open = |number: u8, file: &'static str| {
            let (lines, cut) = LineFile::open(folder.join(file), |line| {
                let place = Place { file: number, offset: line.offset, bytes: line.bytes };
                history.insert(Key::of(&line.record), place);
            })?;
            repairs.extend((cut > 0).then_some(Repair { file, bytes: cut }));
            Ok::<_, StoreError>(lines)
        };
        let [publications, messages] = FILES;
        let files = [open(0, publications)?, open(1, messages)?];
        let store = Self { files, registry_path, registry, users, history, _lock: lock };
        Ok((store, repairs))
    }

    /// The lines of one file, in one write and one sync.
    fn append_to(&mut self, number: u8, records: &[(Key, Record)]) -> Result<(), StoreError> {
        let lines: Vec<Vec<u8>> = records.iter().map(|(_, record)| record.line()).collect();
        let Some(file) = self.files.get_mut(usize::from(number)).filter(|_| !lines.is_empty()) else {
            return Ok(());
        };
        let mut offset = file.append(&lines.concat())?;
        for ((key, _), line) in records.iter().zip(&lines) {
            let bytes = u32::try_from(line.len()).unwrap_or(u32::MAX);
            self.history.insert(*key, Place { file: number, offset, bytes });
            offset += u64::from(bytes);
        }
        Ok(())
    }

    fn append_users(&mut self, users: Vec<(Key, String)>) -> Result<(), StoreError> {
        if users.is_empty() {
            return Ok(());
        }
        self.registry.users.extend(users.iter().map(|(_, user)| user.clone()));
        whole_file::write(&self.registry_path, &self.registry)?;
        for (key, user) in users {
            self.history.insert(key, Place { file: REGISTRY, offset: 0, bytes: 0 });
            self.users.insert(key, user);
        }
        Ok(())
    }
}

impl Store for FileStore {
    fn history(&self) -> &History<Place> {
        &self.history
    }

    fn users(&self) -> &BTreeSet<String> {
        &self.registry.users
    }

    fn channels(&self) -> &BTreeSet<String> {
        &self.registry.channels
    }

    fn append(&mut self, records: Vec<Record>) -> Result<Vec<Record>, StoreError> {
        let mut new = Vec::new();
        let mut seen = BTreeSet::new();
        let (mut publications, mut messages, mut users) = (Vec::new(), Vec::new(), Vec::new());
        let mut room = RECORDS_MAX.saturating_sub(self.history.summary().count);
        for record in records {
            let key = Key::of(&record);
            if self.history.contains(&key) || room == 0 || !seen.insert(key) {
                continue;
            }
            match &record {
                Record::Publish { .. } => publications.push((key, record.clone())),
                Record::Message { .. } => messages.push((key, record.clone())),
                Record::User { .. } if self.users.len() + users.len() >= USERS_MAX => continue,
                Record::User { user } => users.push((key, user.clone())),
            }
            room -= 1;
            new.push(record);
        }
        self.append_to(0, &publications)?;
        self.append_to(1, &messages)?;
        self.append_users(users)?;
        Ok(new)
    }

    fn read(&mut self, key: &Key) -> Result<Option<Record>, StoreError> {
        let Some(place) = self.history.place(key) else { return Ok(None) };
        match self.files.get(usize::from(place.file)) {
            Some(file) => file.read(place.offset, place.bytes).map(Some),
            None => Ok(self.users.get(key).map(|user| Record::User { user: user.clone() })),
        }
    }

    fn reserved_clock(&self) -> u64 {
        self.registry.clock_reserved
    }

    fn reserve_clock(&mut self, clock: u64) -> Result<(), StoreError> {
        self.registry.clock_reserved = clock;
        whole_file::write(&self.registry_path, &self.registry)
    }
}

/// Keeps a second server out of the folder.
pub(crate) fn lock(folder: &Path) -> Result<File, StoreError> {
    let path = folder.join("lock");
    let locked = File::create(&path).and_then(|file| {
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive)?;
        Ok(file)
    });
    locked.map_err(|error| StoreError::Disk { path, error })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;
    use crate::history::KeyRange;

    fn record(clock: u64, direct: bool) -> Record {
        let (origin, message, timestamp) = ("server-001".into(), format!("é {clock}"), "now".into());
        if direct {
            Record::Message { origin, src: "ana".into(), dst: "bia".into(), message, timestamp, clock }
        } else {
            let (channel, user) = ("general".into(), "ana".into());
            Record::Publish { origin, channel, user, message, timestamp, clock }
        }
    }

    fn all(store: &mut FileStore) -> Vec<Record> {
        let keys: Vec<_> = store.history().keys(KeyRange::ALL).collect();
        keys.iter().map(|key| store.read(key).unwrap().unwrap()).collect()
    }

    #[test]
    fn what_was_appended_is_there_after_a_start_and_only_once() {
        let folder = tempfile::tempdir().unwrap();
        let user = Record::User { user: "ana".into() };
        let records = vec![record(3, false), record(1, true), user.clone(), record(2, false)];
        let (mut store, repairs) = FileStore::open(folder.path()).unwrap();
        assert!(repairs.is_empty());
        assert!(FileStore::open(folder.path()).is_err(), "the folder is taken");
        assert_eq!(store.append(records.clone()).unwrap(), records);
        assert_eq!(store.append(records.clone()).unwrap(), []);
        let twice = vec![record(9, false), record(9, false)];
        assert_eq!(store.append(twice).unwrap(), [record(9, false)]);
        store.reserve_clock(77).unwrap();
        let before = all(&mut store);
        assert_eq!(before, [user, record(1, true), record(2, false), record(3, false), record(9, false)]);
        let summary = store.summary();
        drop(store);
        let (mut store, repairs) = FileStore::open(folder.path()).unwrap();
        assert!(repairs.is_empty());
        assert_eq!((all(&mut store), store.summary()), (before, summary));
        assert_eq!((store.reserved_clock(), store.users().len(), store.channels().len()), (77, 1, 3));
        let text = fs::read_to_string(folder.path().join("publications.jsonl")).unwrap();
        let clocks: Vec<_> = text.lines().map(|line| line.rsplit(':').next().unwrap()).collect();
        assert_eq!(clocks, ["3}", "2}", "9}"], "lines stand in the order in which they came");
    }

    #[test]
    fn damage_that_no_kill_leaves_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("publications.jsonl");
        let text = [record(1, false).line(), b"{\"type\":\n".to_vec(), record(2, false).line()].concat();
        fs::write(&path, &text).unwrap();
        let error = FileStore::open(folder.path()).err().unwrap();
        assert!(matches!(error, StoreError::Damaged { line: 2, .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), text);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn a_last_line_that_is_cut_anywhere_goes_and_nothing_else(count in 1_u64..6, cut in 1_usize..150) {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("messages.jsonl");
            let whole: Vec<Record> = (1..count).map(|clock| record(clock, true)).collect();
            let last = record(count, true).line();
            let torn = &last[..cut.min(last.len() - 1)];
            let mut file = File::create(&path).unwrap();
            file.write_all(&whole.iter().flat_map(Record::line).collect::<Vec<_>>()).unwrap();
            file.write_all(torn).unwrap();
            let (mut store, repairs) = FileStore::open(folder.path()).unwrap();
            prop_assert_eq!(repairs, [Repair { file: "messages.jsonl", bytes: torn.len() as u64 }]);
            prop_assert_eq!(all(&mut store), whole.clone());
            store.append(vec![record(50, true)]).unwrap();
            drop(store);
            let (mut store, repairs) = FileStore::open(folder.path()).unwrap();
            prop_assert_eq!(repairs, []);
            prop_assert_eq!(all(&mut store).len(), whole.len() + 1);
        }
    }
}
