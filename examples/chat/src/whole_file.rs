//! Small files that are written as a whole: whoever reads one sees what was before or what is after.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::StoreError;

/// Writes a value as JSON: beside the file, synced, and then in its place.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), StoreError> {
    let failed = |error| StoreError::Disk { path: path.to_owned(), error };
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| failed(error.into()))?;
    text.push(b'\n');
    let beside = path.with_extension("json.new");
    let mut file = File::create(&beside).map_err(failed)?;
    file.write_all(&text).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    // The name is on disk only with its folder.
    sync_folder(path).map_err(failed)
}

/// Reads a value; `None` if there is no file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StoreError> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::Disk { path: path.to_owned(), error }),
    };
    serde_json::from_slice(&text).map(Some).map_err(|error| StoreError::Damaged {
        path: path.to_owned(),
        line: error.line(),
        reason: error.to_string(),
    })
}

/// Syncs the folder of a file, so that a new name is on disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

/// Makes a folder and those above it that are not there, and has their names on disk when it returns.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let is_new = |path: &&Path| !path.as_os_str().is_empty() && !path.exists();
    let new: Vec<&Path> = folder.ancestors().take_while(is_new).collect();
    fs::create_dir_all(folder)?;
    File::open(folder)?.sync_all()?;
    new.into_iter().try_for_each(sync_folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_all_the_way_and_may_be_there() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/../b/c");
        make_folder(&deep).unwrap();
        make_folder(&deep).unwrap();
        assert!(folder.path().join("b/c").is_dir());
        fs::write(folder.path().join("file"), b"").unwrap();
        make_folder(&folder.path().join("file")).unwrap_err();
        make_folder(&folder.path().join("file/d")).unwrap_err();
        make_folder(Path::new("")).unwrap_err();
    }

    #[test]
    fn a_file_is_replaced_and_damage_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("numbers.json");
        assert_eq!(read::<Vec<u32>>(&path).unwrap(), None);
        write(&path, &vec![1, 2]).unwrap();
        // What a write that was cut off leaves does not matter.
        fs::write(path.with_extension("json.new"), b"[1, ").unwrap();
        assert_eq!(read::<Vec<u32>>(&path).unwrap(), Some(vec![1, 2]));
        write(&path, &vec![3]).unwrap();
        assert_eq!(read::<Vec<u32>>(&path).unwrap(), Some(vec![3]));
        fs::write(&path, b"[3,\n").unwrap();
        assert!(matches!(read::<Vec<u32>>(&path), Err(StoreError::Damaged { line: 2, .. })));
    }
}
