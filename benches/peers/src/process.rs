//! Broker processes and their directories, both gone when their guard is dropped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail};

/// How long a broker may take until it listens.
const START_MAX: Duration = Duration::from_secs(20);
/// How often the start of a broker is looked for; short, because every sample starts one.
const START_POLL: Duration = Duration::from_millis(10);
/// How often a running broker is looked after; rare, because it happens during the measurement.
const ALIVE_POLL: Duration = Duration::from_millis(500);
/// How much of a broker's log is shown when it fails.
const LOG_TAIL_BYTES: usize = 4096;

/// A broker that was started here. Dropping it kills it, so no return, error or panic leaves one behind.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with both its outputs in the file `log`.
    pub(crate) fn spawn(mut command: Command, log: PathBuf) -> Result<Self> {
        let output = File::create(&log).with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child, log })
    }

    /// Waits until `ready` finds what shows that the broker listens.
    pub(crate) async fn wait_until<T>(&mut self, mut ready: impl FnMut() -> Option<T>) -> Result<T> {
        let deadline = Instant::now() + START_MAX;
        loop {
            if let Some(found) = ready() {
                return Ok(found);
            }
            self.check()?;
            if Instant::now() > deadline {
                bail!("the broker does not listen after {START_MAX:?}: {}", self.log_tail());
            }
            tokio::time::sleep(START_POLL).await;
        }
    }

    /// Resolves when the broker ends, which it does not do by itself while all is well.
    pub(crate) async fn ended(&mut self) -> Error {
        loop {
            if let Err(error) = self.check() {
                return error;
            }
            tokio::time::sleep(ALIVE_POLL).await;
        }
    }

    fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the broker has ended ({status}): {}", self.log_tail()),
        }
    }

    fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(LOG_TAIL_BYTES)..).unwrap_or(&log);
        String::from_utf8_lossy(tail).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Its data is thrown away with it, so there is nothing a gentle stop could save. Both calls fail only
        // for a process that has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A directory of one sample, removed with everything in it when dropped.
#[derive(Debug)]
pub(crate) struct SampleDir(PathBuf);

impl SampleDir {
    /// Makes a directory under `parent` that no other sample and no other run uses.
    pub(crate) fn create(parent: &Path) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = parent.join(format!("sample-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SampleDir {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("cannot remove {}: {error}", self.0.display());
        }
    }
}
