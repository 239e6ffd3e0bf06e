//! A file with one JSON object a line, of which none is lost that was said to be there.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;

/// Ids of events, one object a line.
pub(crate) struct Record(Option<File>);

impl Record {
    /// Goes on with a file, or makes it; with no path, keeps nothing.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let file = OpenOptions::new().create(true).append(true).open(path);
        Ok(Self(Some(file.with_context(|| format!("cannot write to {}", path.display()))?)))
    }

    /// Adds ids, and has them synced to disk when this returns.
    pub(crate) fn add<'a>(&mut self, ids: impl IntoIterator<Item = &'a str>) -> Result<()> {
        let Some(file) = &mut self.0 else { return Ok(()) };
        let lines: String = ids.into_iter().map(|id| format!("{}\n", json!({ "event_id": id }))).collect();
        if lines.is_empty() {
            return Ok(());
        }
        // In one write, so that a line is there or not, but for a torn one at the very end.
        file.write_all(lines.as_bytes()).and_then(|()| file.sync_data()).context("cannot write the record")
    }
}
