//! What the operating system asks of a node, and what a node tells it when it ends.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::node::running::{Running, Stopped};

/// The journal could not write or sync: nothing could be relied on from then on (`EX_IOERR`).
pub const EXIT_JOURNAL_FAILED: i32 = 74;
/// A second signal came while the node was stopping: 128 and the number of SIGINT.
pub const EXIT_STOPPED_AT_ONCE: i32 = 130;

/// The signals of the process, which end or change a node. From when they are listened for they do not end the process by
/// themselves: listen before anybody is told that the node is there.
#[derive(Debug)]
pub struct Signals {
    interrupts: Signal,
    terminations: Signal,
    hang_ups: Signal,
}

impl Signals {
    /// Listens.
    ///
    /// # Errors
    /// What the system says where it does not give signals.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupts: signal(SignalKind::interrupt())?,
            terminations: signal(SignalKind::terminate())?,
            hang_ups: signal(SignalKind::hangup())?,
        })
    }

    /// Waits until the process is asked to end.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.interrupts.recv() => {}
            _ = self.terminations.recv() => {}
        }
    }

    /// Serves until SIGINT or SIGTERM comes, and then stops in order. A second one ends the process at once, with
    /// [`EXIT_STOPPED_AT_ONCE`]: what was acknowledged is on disk all the same.
    ///
    /// SIGHUP has the certificates and the configuration read again.
    pub async fn run(mut self, running: Running) -> Stopped {
        loop {
            tokio::select! {
                _ = self.interrupts.recv() => break,
                _ = self.terminations.recv() => break,
                _ = self.hang_ups.recv() => {}
            }
            match running.reload_tls() {
                Ok(()) => tracing::info!("the certificates were read again"),
                Err(error) => tracing::error!("the certificates stay as they were: {error}"),
            }
            tokio::select! {
                done = running.reload() => match done {
                    Ok(done) => tracing::info!("the configuration was read again: {done}"),
                    Err(error) => tracing::error!("the configuration was not applied as it is now: {error}"),
                },
                () = self.end() => break,
            }
        }
        tokio::select! {
            stopped = running.shutdown() => stopped,
            () = self.end() => {
                tracing::warn!("told to stop twice: ending at once");
                std::process::exit(EXIT_STOPPED_AT_ONCE);
            }
        }
    }
}

/// Ends the process because the journal failed. Called on the journal's thread.
pub(super) fn end_journal_failed() {
    std::process::exit(EXIT_JOURNAL_FAILED);
}
