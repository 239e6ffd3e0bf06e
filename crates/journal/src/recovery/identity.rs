//! What a directory is: a journal of ours under the key given, or empty.

use crate::cipher::key_check;
use crate::disk::{Disk, read_up_to, write_bytes};
use crate::error::{Damage, OpenError, open_io};
use crate::format::{
    FileName, MANIFEST_BYTES, MANIFEST_NAME, MARK_NAME, MARK_SLOT_STRIDE, Manifest, Mark, VERSION,
};
use crate::options::{MasterKey, Options};
use crate::tail::DiskFailure;

const MANIFEST_TEMPORARY: &str = "journal.manifest.tmp";
/// What file systems put into an empty directory.
const HARMLESS: &str = "lost+found";

/// Reads and checks the manifest, or makes a journal in an empty directory. Says which.
pub(super) fn open_or_make(
    disk: &dyn Disk,
    names: &[String],
    options: &Options,
) -> Result<(Manifest, bool), OpenError> {
    if names.iter().any(|name| name == MANIFEST_NAME) {
        return Ok((open(disk, options)?, false));
    }
    // Making a journal may have been interrupted: then there are the mark and the unfinished manifest.
    let foreign = names.iter().find(|name| {
        !matches!(FileName::parse(name), FileName::Lock | FileName::Mark | FileName::Temporary)
            && name.as_str() != HARMLESS
    });
    if let Some(found) = foreign {
        return Err(OpenError::NotAJournal { found: found.clone() });
    }
    Ok((make(disk, options)?, true))
}

fn open(disk: &dyn Disk, options: &Options) -> Result<Manifest, OpenError> {
    let manifest = read(disk)?;
    check_key(&manifest, options.encryption.as_ref())?;
    Ok(manifest)
}

/// Reads the manifest, without a look at the key.
pub(crate) fn read(disk: &dyn Disk) -> Result<Manifest, OpenError> {
    let file = disk.open(MANIFEST_NAME).map_err(open_io("open", MANIFEST_NAME))?;
    let bytes = read_up_to(file.as_ref(), 0, MANIFEST_BYTES).map_err(open_io("read", MANIFEST_NAME))?;
    let manifest = Manifest::decode(&bytes).map_err(|found| {
        OpenError::Damaged(Damage {
            file: MANIFEST_NAME.to_owned(),
            offset: 0,
            record: None,
            expected: "a manifest".to_owned(),
            found: found.to_owned(),
        })
    })?;
    if manifest.version > VERSION {
        return Err(OpenError::NewerVersion {
            file: MANIFEST_NAME.to_owned(),
            found: manifest.version,
            supported: VERSION,
        });
    }
    Ok(manifest)
}

/// Whether the key given is the one the journal was made with.
pub(crate) fn check_key(manifest: &Manifest, given: Option<&MasterKey>) -> Result<(), OpenError> {
    match (&manifest.key, given) {
        (None, None) => Ok(()),
        (Some((id, _)), None) => Err(OpenError::KeyMissing { expected: id.clone() }),
        (None, Some(key)) => Err(OpenError::NotEncrypted { given: key.id.clone() }),
        (Some((id, check)), Some(key)) => {
            if *id != key.id || *check != key_check(key, &manifest.journal) {
                return Err(OpenError::WrongKey { expected: id.clone(), given: key.id.clone() });
            }
            Ok(())
        }
    }
}

/// Makes the mark, then the manifest: a directory with a manifest is a whole journal.
fn make(disk: &dyn Disk, options: &Options) -> Result<Manifest, OpenError> {
    let mut journal = [0; 16];
    disk.random(&mut journal).map_err(open_io("random", ""))?;
    let manifest = Manifest {
        version: VERSION,
        journal,
        key: options.encryption.as_ref().map(|key| (key.id.clone(), key_check(key, &journal))),
    };
    write_mark(disk, journal)?;
    let failed = |operation| move |error| DiskFailure::new(operation, MANIFEST_NAME, error);
    let file = disk.create(MANIFEST_TEMPORARY).map_err(failed("create"))?;
    write_bytes(file.as_ref(), &manifest.encode(), 0).map_err(failed("write"))?;
    file.sync_data().map_err(failed("sync"))?;
    // The mark's name has to be durable before the manifest's.
    disk.sync_dir().map_err(failed("sync directory"))?;
    disk.rename(MANIFEST_TEMPORARY, MANIFEST_NAME).map_err(failed("rename"))?;
    disk.sync_dir().map_err(failed("sync directory"))?;
    Ok(manifest)
}

fn write_mark(disk: &dyn Disk, journal: [u8; 16]) -> Result<(), DiskFailure> {
    let failed = |operation| move |error| DiskFailure::new(operation, MARK_NAME, error);
    let file = disk.create(MARK_NAME).map_err(failed("create"))?;
    file.allocate(2 * MARK_SLOT_STRIDE).map_err(failed("allocate"))?;
    for sequence in 0..2 {
        let mark = Mark { journal, sequence, segment: 0, offset: 0 };
        write_bytes(file.as_ref(), &mark.encode(), mark.slot_offset()).map_err(failed("write"))?;
    }
    file.sync_data().map_err(failed("sync"))
}
