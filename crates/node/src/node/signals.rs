//! What the operating system asks of a node, and what a node tells it when it ends.

use tokio::signal::unix::{SignalKind, signal};

use crate::node::running::{Running, Stopped};

/// The journal could not write or sync: nothing could be relied on from then on (`EX_IOERR`).
pub const EXIT_JOURNAL_FAILED: i32 = 74;
/// A second signal came while the node was stopping: 128 and the number of SIGINT.
pub const EXIT_STOPPED_AT_ONCE: i32 = 130;

/// Serves until SIGINT or SIGTERM comes, and then stops in order. A second one ends the process at once,
/// with [`EXIT_STOPPED_AT_ONCE`]: what was acknowledged is on disk all the same.
///
/// SIGHUP has the certificates and the configuration read again.
///
/// # Errors
/// Where the system does not let signals be waited for.
pub async fn run_until_signalled(running: Running) -> std::io::Result<Stopped> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut hang_ups = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = interrupts.recv() => break,
            _ = terminations.recv() => break,
            _ = hang_ups.recv() => {
                match running.reload_tls() {
                    Ok(()) => tracing::info!("the certificates were read again"),
                    Err(error) => tracing::error!("the certificates stay as they were: {error}"),
                }
                tokio::select! {
                    done = running.reload() => match done {
                        Ok(done) => tracing::info!("the configuration was read again: {done}"),
                        Err(error) => tracing::error!("the configuration was not applied as it is now: {error}"),
                    },
                    _ = interrupts.recv() => break,
                    _ = terminations.recv() => break,
                }
            }
        }
    }
    tokio::select! {
        stopped = running.shutdown() => Ok(stopped),
        _ = async { tokio::select! { _ = interrupts.recv() => (), _ = terminations.recv() => () } } => {
            tracing::warn!("told to stop twice: ending at once");
            std::process::exit(EXIT_STOPPED_AT_ONCE);
        }
    }
}

/// Ends the process because the journal failed. Called on the journal's thread.
pub(super) fn end_journal_failed() {
    std::process::exit(EXIT_JOURNAL_FAILED);
}
