//! Runs a state machine over a socket.

use std::time::Duration;

use futures_util::FutureExt;
use tokio::time::Instant;

use crate::zeromq::machine::{Machine, Output};
use crate::zeromq::socket::{Connector, Frames, Socket, SocketError};

/// A machine, the socket that it has now, and how to make the next.
pub(crate) struct Driver<M, C: Connector> {
    machine: M,
    connector: C,
    link: Link<C::Socket>,
    epoch: Instant,
}

enum Link<S> {
    None,
    /// A socket is wanted. It stays so when a future that was making one is dropped.
    Wanted,
    Open(S),
}

impl<S: Socket> Link<S> {
    /// The next message; never, where there is no socket.
    async fn recv(&mut self) -> Result<Frames, SocketError> {
        match self {
            Self::Open(socket) => socket.recv().await,
            Self::None | Self::Wanted => std::future::pending().await,
        }
    }
}

impl<M: Machine, C: Connector> Driver<M, C> {
    pub(crate) fn new(machine: M, connector: C) -> Self {
        Self { machine, connector, link: Link::None, epoch: Instant::now() }
    }

    /// The machine, and the time.
    pub(crate) fn machine(&mut self) -> (&mut M, u64) {
        let now_ms = self.now_ms();
        (&mut self.machine, now_ms)
    }

    /// Hands the machine a message that has come already, if there is one.
    pub(crate) fn take_received(&mut self) {
        if let Some(Ok(frames)) = self.link.recv().now_or_never() {
            self.machine.handle_message(self.now_ms(), frames);
        }
    }

    /// Runs the machine until it has something to tell. Nothing is lost when the future is dropped.
    pub(crate) async fn next_event(&mut self) -> M::Event {
        loop {
            if matches!(self.link, Link::Wanted) {
                self.open().await;
            }
            if let Some(output) = self.machine.poll_output() {
                match self.perform(output).await {
                    Some(event) => return event,
                    None => continue,
                }
            }
            let now_ms = self.now_ms();
            let due_ms = self.machine.next_due();
            if due_ms.is_some_and(|due_ms| due_ms <= now_ms) {
                self.machine.handle_timeout(now_ms);
                continue;
            }
            let due = due_ms.and_then(|due_ms| self.epoch.checked_add(Duration::from_millis(due_ms)));
            tokio::select! {
                received = self.link.recv() => self.handle_received(received),
                () = until(due) => {}
            }
            tokio::task::coop::consume_budget().await;
        }
    }

    async fn open(&mut self) {
        match self.connector.connect().await {
            Ok(socket) => self.link = Link::Open(socket),
            Err(error) => self.fail(&error),
        }
    }

    async fn perform(&mut self, output: Output<M::Event>) -> Option<M::Event> {
        match output {
            Output::Open => self.link = Link::Wanted,
            Output::Close { linger } => {
                if let Link::Open(socket) = std::mem::replace(&mut self.link, Link::None) {
                    socket.close(linger).await;
                }
            }
            Output::Send(frames) => {
                let sent = match &mut self.link {
                    Link::Open(socket) => socket.send(frames),
                    // A machine sends to an open socket only; its failure is told to it before it is asked again.
                    Link::None | Link::Wanted => Err(SocketError::Closed),
                };
                if let Err(error) = sent {
                    self.fail(&error);
                }
            }
            Output::Event(event) => return Some(event),
        }
        None
    }

    fn handle_received(&mut self, received: Result<Frames, SocketError>) {
        match received {
            Ok(frames) => self.machine.handle_message(self.now_ms(), frames),
            Err(error) => self.fail(&error),
        }
    }

    fn fail(&mut self, error: &SocketError) {
        self.link = Link::None;
        self.machine.handle_failure(self.now_ms(), error.to_string());
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
