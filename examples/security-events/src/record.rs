//! A file with one JSON object a line, of which none is lost that was said to be there.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::json;
use tracing::warn;

/// How much is read at once when the end of the last whole line is looked for.
const BLOCK_BYTES: u64 = 4096;

/// Ids of events, one object a line.
pub(crate) struct Record(Option<File>);

impl Record {
    /// Goes on with a file, or makes it; with no path, keeps nothing. A program that was killed in the middle of a write,
    /// or had no room on its disk, leaves a last line that is not whole: it is cut off.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self> {
        let Some(path) = path else { return Ok(Self(None)) };
        let (file, cut) = open(path).with_context(|| format!("cannot write to {}", path.display()))?;
        if cut > 0 {
            warn!(bytes = cut, "the last line of {} was not whole, and was cut off", path.display());
        }
        Ok(Self(Some(file)))
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

/// Opens a file and cuts off what stands behind its last line, of which the bytes are counted.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    // The name is on disk only with its folder.
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all()?,
        _ => File::open(".")?.sync_all()?,
    }
    let length = file.metadata()?.len();
    let good = end_of_lines(&file, length)?;
    if good < length {
        file.set_len(good).and_then(|()| file.sync_all())?;
    }
    Ok((file, length - good))
}

/// Where the last whole line of a file ends.
fn end_of_lines(file: &File, length: u64) -> io::Result<u64> {
    let mut end = length;
    while end > 0 {
        let begin = end.saturating_sub(BLOCK_BYTES);
        let mut block = Vec::new();
        let mut reader = file;
        reader.seek(SeekFrom::Start(begin))?;
        reader.take(end - begin).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_torn_last_line_goes_and_nothing_else() {
        let whole = "{\"event_id\":\"one\"}\n{\"event_id\":\"two\"}\n";
        let next = "{\"event_id\":\"three\"}\n";
        let path = std::env::temp_dir().join(format!("security-events-{}.jsonl", std::process::id()));
        let long = format!("{{\"event_id\":\"{}", "x".repeat(3 * BLOCK_BYTES as usize));
        for (before, torn) in
            [("", ""), ("", "{"), (whole, ""), (whole, "{\"event_id\":\"th"), (whole, &long), ("", &long)]
        {
            fs::write(&path, format!("{before}{torn}")).unwrap();
            assert_eq!(open(&path).unwrap().1, torn.len() as u64);
            Record::open(Some(&path)).unwrap().add(["three"]).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), format!("{before}{next}"));
        }
        fs::remove_file(&path).unwrap();
    }
}
