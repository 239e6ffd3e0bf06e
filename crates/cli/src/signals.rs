//! SIGINT and SIGTERM: the first asks the program to end, the second ends it.

use tokio::sync::watch;

use crate::failure::{Exit, Failure};

/// Which signal came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// What service managers and containers send.
    Terminate,
}

impl Signal {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        }
    }
}

/// Tells that the program is asked to end. All clones are told.
#[derive(Debug, Clone)]
pub(crate) struct Signals(watch::Receiver<Option<Signal>>);

impl Signals {
    /// Takes over the signals of the process. From now on a second one is what ends it at once.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let mut source = Source::new()?;
        let (told, signals) = watch::channel(None);
        tokio::spawn(async move {
            let first = source.next().await;
            told.send_replace(Some(first));
            source.next().await;
            std::process::exit(i32::from(Exit::Interrupted as u8));
        });
        Ok(Self(signals))
    }

    /// Waits until the program is asked to end.
    pub(crate) async fn asked(&mut self) -> Signal {
        match self.0.wait_for(Option::is_some).await.map(|signal| *signal) {
            Ok(Some(signal)) => signal,
            // The task that tells is gone with its runtime: nothing will come any more.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

#[cfg(unix)]
#[derive(Debug)]
struct Source {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Source {
    fn new() -> Result<Self, Failure> {
        use tokio::signal::unix::{SignalKind, signal};
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::failed(format!("cannot listen for signals: {error}")))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

#[cfg(not(unix))]
#[derive(Debug)]
struct Source;

#[cfg(not(unix))]
impl Source {
    fn new() -> Result<Self, Failure> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Signal::Interrupt,
            Err(_) => std::future::pending().await,
        }
    }
}
