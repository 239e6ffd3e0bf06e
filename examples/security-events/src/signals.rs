//! SIGINT and SIGTERM: to end in good order.

use std::pin::pin;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

/// How long all that is under way may take once somebody wants us to end.
const GRACE: Duration = Duration::from_secs(3);

pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// When somebody first wanted us to end.
    asked_at: Option<Instant>,
}

impl Signals {
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let (interrupt, terminate) = (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, asked_at: None })
    }

    /// Waits until somebody wants us to end. Who was asked once stays asked.
    pub(crate) async fn asked(&mut self) {
        if self.asked_at.is_none() {
            self.next().await;
            self.asked_at = Some(Instant::now());
        }
    }

    /// Does what may take for ever. It ends [`GRACE`] after somebody first wanted us to end, or when they ask again: `None`.
    pub(crate) async fn unless_asked<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        tokio::select! {
            done = &mut work => return Some(done),
            () = self.asked() => {}
        }
        let until = self.asked_at.unwrap_or_else(Instant::now) + GRACE;
        tokio::select! {
            biased;
            done = &mut work => Some(done),
            () = sleep_until(until) => None,
            () = self.next() => None,
        }
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::process::Command;

    use tokio::time::{sleep, timeout};

    use super::*;

    fn send(name: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{name} {}", std::process::id())]).status();
        assert!(kill.unwrap().success());
    }

    #[tokio::test]
    async fn what_has_no_end_ends_with_a_second_signal_or_after_a_while() {
        let mut signals = Signals::listen().unwrap();
        let short = Duration::from_millis(50);
        assert!(timeout(short, signals.unless_asked(pending::<()>())).await.is_err(), "nobody asked");
        assert_eq!(signals.unless_asked(ready(1)).await, Some(1));
        send("TERM");
        let began = Instant::now();
        signals.asked().await;
        timeout(short, signals.asked()).await.expect("it stays asked");
        // What ends in time is done all the same.
        // sleep: it is the work that takes its time.
        assert_eq!(signals.unless_asked(sleep(short)).await, Some(()));
        send("INT");
        assert_eq!(signals.unless_asked(pending::<()>()).await, None);
        assert!(began.elapsed() < GRACE);
        assert_eq!(signals.unless_asked(pending::<()>()).await, None);
        assert!(began.elapsed() >= GRACE);
    }
}
