//! The journal of a node: opened, written by a thread of its own, and closed.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use swarmmq_journal::{FatalHook, FileDisk, Journal, MasterKey, Options};

use crate::config::{self, Config, JournalConfig};
use crate::node::error::StartError;

/// An open journal and the thread that writes it.
pub(super) struct Open {
    pub(super) journal: Journal,
    writer: JoinHandle<()>,
}

impl Open {
    /// Opens the journal at `path` and starts its thread. Reads all of it that recovery needs: not for a
    /// thread that serves others.
    pub(super) fn at(
        path: &Path,
        config: &Config,
        key: Option<&config::MasterKey>,
        fatal: FatalHook,
    ) -> Result<Self, StartError> {
        let failed = |error| StartError::Journal { path: path.to_owned(), error: Box::new(error) };
        let disk = FileDisk::new(path).map_err(|error| {
            failed(swarmmq_journal::OpenError::Io {
                operation: "making",
                file: path.display().to_string(),
                error,
            })
        })?;
        let options = options(&config.journal, key, fatal);
        let (journal, writer) = Journal::open(Arc::new(disk), options).map_err(failed)?;
        let thread = std::thread::Builder::new().name("journal".to_owned());
        let writer = thread.spawn(move || writer.run()).map_err(StartError::Thread)?;
        Ok(Self { journal, writer })
    }

    /// Takes nothing more, and waits until what was submitted is on disk.
    pub(super) fn close(self) {
        self.journal.close();
        drop(self.journal);
        // A writer that panicked has said so.
        let _ended = self.writer.join();
    }
}

fn options(config: &JournalConfig, key: Option<&config::MasterKey>, fatal: FatalHook) -> Options {
    Options {
        segment_bytes: config.segment_size.bytes(),
        hot_bytes: config.hot_size.as_usize(),
        queue_bytes: config.queue_size.as_usize(),
        reserve_bytes: config.reserve_size.bytes(),
        encryption: key.map(|key| MasterKey { id: config.encryption_key_id.as_str().to_owned(), key: key.0 }),
        fatal: Some(fatal),
        ..Options::default()
    }
}
