//! A node of the program under test.

mod ports;
mod setup;

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::http;

pub(crate) use self::setup::Setup;

/// A node that takes longer to start is broken.
const START_MAX: Duration = Duration::from_secs(30);
/// How often a condition of a process is looked at.
const POLL: Duration = Duration::from_millis(5);
/// How much of the log is shown when a node fails.
const LOG_TAIL_BYTES: usize = 4096;

/// A process. Dropping it kills it, so no return, error or panic leaves one behind.
#[derive(Debug)]
pub(crate) struct Node {
    child: Child,
    setup: Setup,
    began: Instant,
}

impl Node {
    /// Starts one, and waits until it is healthy.
    pub(crate) async fn start(setup: &Setup) -> Result<Self> {
        let mut node = Self::spawn(setup, &[])?;
        node.until_healthy(START_MAX).await?;
        Ok(node)
    }

    /// Starts one behind `wrapper`, which is a program and its first arguments, and does not wait.
    pub(crate) fn spawn(setup: &Setup, wrapper: &[String]) -> Result<Self> {
        let log = File::options().create(true).append(true).open(&setup.log)?;
        let mut words = wrapper.iter().map(std::ffi::OsString::from).chain([setup.binary.clone().into()]);
        let mut command = Command::new(words.next().context("there is no program")?);
        command.args(words).arg("node").arg("--config").arg(&setup.config);
        // A group of its own: the terminal's Ctrl-C is ours alone, and a wrapper ends with what it wraps.
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child, setup: setup.clone(), began: Instant::now() })
    }

    /// Waits until it is healthy, and says how long that was after its start.
    pub(crate) async fn until_healthy(&mut self, limit: Duration) -> Result<Duration> {
        let deadline = self.began + limit;
        loop {
            if http::get(self.setup.http, "/health").await.is_ok_and(|answer| answer.status == 200) {
                return Ok(self.began.elapsed());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("the node ended as it started ({status}): {}", self.log_tail());
            }
            if Instant::now() > deadline {
                let health = http::get(self.setup.http, "/health").await.map(|answer| answer.body);
                bail!("the node is not healthy after {limit:?}: {health:?}: {}", self.log_tail());
            }
            // sleep: between two looks at a condition that has a deadline.
            tokio::time::sleep(POLL).await;
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it as `kill -9` does. Says that it had not ended before.
    pub(crate) fn kill(mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("the node had ended by itself ({status}): {}", self.log_tail());
        }
        self.end()
    }

    /// Ends it, whether or not it had ended by itself.
    pub(crate) fn end(&mut self) -> Result<()> {
        // The kernel no longer knows a group of which nobody is left.
        let _ = kill_process_group(self.group()?, Signal::KILL);
        self.child.wait()?;
        Ok(())
    }

    /// Stops all its threads where they are, and waits until they stand still.
    pub(crate) async fn freeze(&self, limit: Duration) -> Result<()> {
        kill_process_group(self.group()?, Signal::STOP)?;
        let deadline = Instant::now() + limit;
        while !self.stands_still()? {
            ensure!(Instant::now() < deadline, "the node does not stand still after {limit:?}");
            // sleep: between two looks at a condition that has a deadline.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Whether every thread is stopped, or has ended.
    fn stands_still(&self) -> Result<bool> {
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid()))? {
            let Ok(stat) = fs::read_to_string(thread?.path().join("stat")) else { continue };
            // The name before the state is in parentheses and may hold any.
            let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
            if !matches!(state, Some('T' | 't' | 'Z' | 'X')) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Asks it to stop, and gives its exit status and how long it took.
    pub(crate) async fn terminate(mut self, limit: Duration) -> Result<(ExitStatus, Duration)> {
        let began = Instant::now();
        kill_process(self.group()?, Signal::TERM)?;
        let status = self.until_ended(limit).await?;
        Ok((status, began.elapsed()))
    }

    /// Waits until it ends by itself.
    pub(crate) async fn until_ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(Instant::now() < deadline, "the node has not ended after {limit:?}: {}", self.log_tail());
            // sleep: between two looks at a condition that has a deadline.
            tokio::time::sleep(POLL).await;
        }
    }

    /// That it runs.
    pub(crate) fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("the node has ended ({status}): {}", self.log_tail()),
        }
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> String {
        let log = fs::read(&self.setup.log).unwrap_or_default();
        let tail = log.get(log.len().saturating_sub(LOG_TAIL_BYTES)..).unwrap_or(&log);
        format!("the end of its log:\n{}", String::from_utf8_lossy(tail))
    }

    fn group(&self) -> Result<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).context("the process has no id")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None))
            && let Err(error) = self.end()
        {
            eprintln!("cannot end a node: {error:#}");
        }
    }
}
