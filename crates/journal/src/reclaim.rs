//! Giving room back.
use crate::disk::{Disk, write_bytes};
use crate::format::{FileList, SealedFile};
use crate::tail::DiskFailure;
use crate::writer::Writer;

#[derive(Default)]
pub(crate) struct Reclaim {
    add: Option<(u32, SealedFile)>,
    remove: Vec<u32>,
}

impl Reclaim {
    pub(crate) fn apply(&self, list: &mut FileList) {
        for number in &self.remove {
            list.sealed.remove(number);
        }
        if let Some((number, sealed)) = self.add {
            list.sealed.insert(number, sealed);
        }
    }
    pub(crate) fn listed(&mut self) {}
}

impl Writer {
    pub(crate) fn reclaim_slice(&mut self, _look: bool) -> Result<bool, DiskFailure> {
        Ok(false)
    }
}

/// Writes a file under a temporary name and gives it its own when it is durable.
pub(crate) fn write_file(disk: &dyn Disk, name: &str, bytes: &[u8]) -> Result<(), DiskFailure> {
    let temporary = format!("{name}.tmp");
    let failed = |operation| {
        let name = name.to_owned();
        move |error| DiskFailure::new(operation, name, error)
    };
    let file = disk.create(&temporary).map_err(failed("create"))?;
    write_bytes(file.as_ref(), bytes, 0).map_err(failed("write"))?;
    file.sync_data().map_err(failed("sync"))?;
    disk.rename(&temporary, name).map_err(failed("rename"))
}
