//! SIGINT and SIGTERM.

use tokio::signal::unix::{SignalKind, signal};

/// Waits until the program is asked to end.
///
/// # Errors
/// If the system does not let it listen for signals.
pub(crate) async fn asked_to_end() -> std::io::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
