//! What a server keeps, whatever it keeps it in.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use crate::history::{History, Summary};
use crate::record::{Key, Record};

/// Most records that a server keeps. It holds an index of about a hundred bytes a record in memory.
pub(crate) const RECORDS_MAX: u64 = 1_000_000;

/// Most users.
pub(crate) const USERS_MAX: usize = 10_000;

/// The channels that there are from the beginning.
pub(crate) const FIRST_CHANNELS: [&str; 3] = ["general", "random", "dev"];

/// Why something could not be kept or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    /// The disk failed. The program has to end: what is in the file is not known.
    #[error("{}: {error}", path.display())]
    Disk { path: PathBuf, error: io::Error },
    /// What is in a file is not what was written to it.
    #[error("{}, linha {line}: {reason}; tire o arquivo do lugar: os outros servidores têm os registros", path.display())]
    Damaged {
        path: PathBuf,
        /// Counted from one.
        line: usize,
        reason: String,
    },
}

/// Where a store keeps a record: a file and a position in it, or a number; its own affair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) file: u8,
    pub(crate) offset: u64,
    pub(crate) bytes: u32,
}

/// What a server keeps: records, users, channels, and how far its clock may have come.
pub(crate) trait Store {
    /// Which records there are.
    fn history(&self) -> &History<Place>;

    /// The users.
    fn users(&self) -> &BTreeSet<String>;

    /// The channels that may be written to.
    fn channels(&self) -> &BTreeSet<String>;

    /// Keeps those of the records that it does not have, in the order given, and says which these were. When this
    /// returns they are on disk. What is beyond [`RECORDS_MAX`] and [`USERS_MAX`] is passed over.
    ///
    /// # Errors
    /// [`StoreError`], after which the store must not be used any more.
    fn append(&mut self, records: Vec<Record>) -> Result<Vec<Record>, StoreError>;

    /// Reads a record; `None` if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    fn read(&mut self, key: &Key) -> Result<Option<Record>, StoreError>;

    /// Up to where clocks were promised to [`reserve_clock`](Self::reserve_clock).
    fn reserved_clock(&self) -> u64;

    /// Remembers that clocks up to this one may have been told to others.
    ///
    /// # Errors
    /// [`StoreError`].
    fn reserve_clock(&mut self, clock: u64) -> Result<(), StoreError>;

    /// Whether one more record can be kept.
    fn has_room(&self) -> bool {
        self.history().summary().count < RECORDS_MAX
    }

    /// All records in one sum.
    fn summary(&self) -> Summary {
        self.history().summary()
    }
}

#[cfg(test)]
pub(crate) mod memory {
    //! A store that forgets nothing but what it is told to.

    use super::*;

    /// Records in a list, in the order in which they came.
    #[derive(Debug, Clone)]
    pub(crate) struct MemoryStore {
        pub(crate) records: Vec<Record>,
        history: History<Place>,
        users: BTreeSet<String>,
        channels: BTreeSet<String>,
        reserved: u64,
    }

    impl Default for MemoryStore {
        fn default() -> Self {
            Self {
                records: Vec::new(),
                history: History::default(),
                users: BTreeSet::new(),
                channels: FIRST_CHANNELS.map(str::to_owned).into(),
                reserved: 0,
            }
        }
    }

    impl Store for MemoryStore {
        fn history(&self) -> &History<Place> {
            &self.history
        }

        fn users(&self) -> &BTreeSet<String> {
            &self.users
        }

        fn channels(&self) -> &BTreeSet<String> {
            &self.channels
        }

        fn append(&mut self, records: Vec<Record>) -> Result<Vec<Record>, StoreError> {
            let mut new = Vec::new();
            for record in records {
                let place = Place { file: 0, offset: self.records.len() as u64, bytes: 0 };
                if self.history.insert(Key::of(&record), place) {
                    if let Record::User { user } = &record {
                        self.users.insert(user.clone());
                    }
                    self.records.push(record.clone());
                    new.push(record);
                }
            }
            Ok(new)
        }

        fn read(&mut self, key: &Key) -> Result<Option<Record>, StoreError> {
            let place = self.history.place(key);
            Ok(place.and_then(|place| self.records.get(place.offset as usize)).cloned())
        }

        fn reserved_clock(&self) -> u64 {
            self.reserved
        }

        fn reserve_clock(&mut self, clock: u64) -> Result<(), StoreError> {
            self.reserved = self.reserved.max(clock);
            Ok(())
        }
    }
}
