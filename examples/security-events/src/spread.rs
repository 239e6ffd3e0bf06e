//! Events to consumers over ZeroMQ, each to one.
//!
//! ```text
//!                    ┌─▶ the consumer that has the fewest under way, of those that listen and are healthy  (PUSH connects)
//!  event ──▶ whose turn?
//!                    └─▶ whoever has connected to our own endpoint                                          (PUSH binds)
//! ```
//!
//! A consumer that listens says so where it is registered, and we connect to it. One that does not (any PULL socket
//! that knows our endpoint) has connected to ours. Turns go by how many there are of each.
//!
//! ZeroMQ has no acknowledgement: what is in the sockets between us and a consumer that dies is lost, at most
//! [`QUEUE`] events on each side. What was not handed to a socket yet goes to another consumer.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use omq_tokio::{Message, OnMute, Options, Socket, SocketType, TrySendError};
use swarmmq::discovery::{Balancer, Instance, InstanceKey, Pick, View};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tracing::{debug, info, warn};

use crate::registry::{DIAL, DIAL_CONSUMER};

/// Most events that wait for one consumer, here and again in its socket.
const QUEUE: usize = 64;
/// How long what is on its way is sent when we end.
const LINGER: Duration = Duration::from_secs(2);
/// How often we look whether somebody has connected: the socket does not say.
const LOOK: Duration = Duration::from_millis(20);

/// Spreads events over consumers.
pub(crate) struct Spread {
    bound: Socket,
    endpoint: String,
    view: Option<View>,
    balancer: Option<Balancer>,
    lines: HashMap<InstanceKey, Line>,
    /// Handed to a line whose consumer is gone, and not to a socket.
    again: VecDeque<Bytes>,
    turn: usize,
}

/// The way to one consumer.
struct Line {
    endpoint: String,
    events: mpsc::Sender<(Bytes, Pick)>,
    task: JoinHandle<VecDeque<Bytes>>,
}

impl Spread {
    /// Binds, and spreads over the consumers of `view` as well.
    pub(crate) async fn bind(endpoint: &str, view: Option<View>) -> Result<Self> {
        let bound = Socket::try_new(SocketType::Push, options())?;
        let endpoint = bound.bind(endpoint).await?.to_string();
        info!("PUSH socket bound to {endpoint}");
        let listens =
            |instance: &Instance| instance.metadata.get(DIAL).is_some_and(|value| value == DIAL_CONSUMER);
        let balancer = view.as_ref().map(|view| Balancer::among(view, listens));
        Ok(Self { bound, endpoint, view, balancer, lines: HashMap::new(), again: VecDeque::new(), turn: 0 })
    }

    /// Where consumers connect to.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Hands an event to a consumer; waits while there is none, or all have enough.
    ///
    /// # Cancel safety
    /// Dropping the future drops the event, or it was handed over.
    pub(crate) async fn send(&mut self, event: Bytes) -> Result<()> {
        self.again.push_back(event);
        while let Some(event) = self.again.pop_front() {
            self.drop_lines_of_the_gone().await;
            self.hand_over(event).await?;
        }
        Ok(())
    }

    async fn hand_over(&mut self, event: Bytes) -> Result<()> {
        let mut message = Message::single(event.clone());
        let mut look = interval(LOOK);
        loop {
            if self.is_turn_of_bound() {
                match self.bound.try_send(message) {
                    Ok(()) => return Ok(()),
                    Err(TrySendError::Full(returned)) => message = returned,
                    Err(error) => anyhow::bail!("cannot send: {error:?}"),
                }
            }
            if let Some(pick) = self.balancer.as_ref().and_then(Balancer::pick)
                && self.line_to(pick.instance())?.try_send((event.clone(), pick)).is_ok()
            {
                return Ok(());
            }
            look.tick().await;
            self.drop_lines_of_the_gone().await;
        }
    }

    /// Whether the next event goes to those who have connected to us: their part of all.
    fn is_turn_of_bound(&mut self) -> bool {
        let connected = self.bound.ready_peer_count();
        let registered = self.view.as_ref().map_or(0, |view| view.snapshot().healthy().count());
        if connected == 0 {
            return false;
        }
        self.turn = (self.turn + 1) % (connected + registered);
        self.turn < connected
    }

    fn line_to(&mut self, instance: &Instance) -> Result<&mpsc::Sender<(Bytes, Pick)>> {
        let is_new = self.lines.get(&instance.key).is_none_or(|line| line.endpoint != instance.endpoint);
        if is_new {
            let socket = Socket::try_new(SocketType::Push, options())?;
            let (events, receiver) = mpsc::channel(QUEUE);
            info!(consumer = %instance.key, "sending to {}", instance.endpoint);
            let task = tokio::spawn(serve(socket, instance.endpoint.clone(), receiver));
            let line = Line { endpoint: instance.endpoint.clone(), events, task };
            if let Some(before) = self.lines.insert(instance.key.clone(), line) {
                before.task.abort();
            }
        }
        match self.lines.get(&instance.key) {
            Some(line) => Ok(&line.events),
            None => anyhow::bail!("a line that was just made is gone"),
        }
    }

    /// Takes back what waits for consumers whose lease has ended.
    async fn drop_lines_of_the_gone(&mut self) {
        let Some(view) = &self.view else { return };
        let snapshot = view.snapshot();
        let gone: Vec<InstanceKey> =
            self.lines.keys().filter(|key| !snapshot.instances().contains_key(key)).cloned().collect();
        for key in gone {
            let Some(line) = self.lines.remove(&key) else { continue };
            drop(line.events);
            // It may hang in the socket of a consumer that is not there any more.
            match timeout(LOOK, line.task).await {
                Ok(Ok(left)) => {
                    info!(consumer = %key, again = left.len(), "the consumer is gone");
                    self.again.extend(left);
                }
                Ok(Err(error)) => warn!(consumer = %key, "the line to a consumer has failed: {error}"),
                Err(_) => info!(consumer = %key, "the consumer is gone, and what its socket held"),
            }
        }
    }

    /// Sends what is on its way, for some seconds.
    pub(crate) async fn close(mut self) {
        for (key, line) in self.lines.drain() {
            drop(line.events);
            match timeout(LINGER, line.task).await {
                Ok(Ok(left)) if left.is_empty() => {}
                _ => warn!(consumer = %key, "not everything was taken before the end"),
            }
        }
        if let Err(error) = self.bound.close_with_linger(Some(LINGER)).await {
            debug!("the socket did not close in good order: {error}");
        }
    }
}

fn options() -> Options {
    let queue = u32::try_from(QUEUE).unwrap_or(u32::MAX);
    Options::default().linger(LINGER).send_hwm(queue).on_mute(OnMute::Block)
}

/// Sends what comes to one consumer. Gives back what was not handed to the socket when no more comes, and the socket
/// takes no more.
async fn serve(
    socket: Socket,
    endpoint: String,
    mut events: mpsc::Receiver<(Bytes, Pick)>,
) -> VecDeque<Bytes> {
    if let Err(error) = socket.connect(endpoint.as_str()).await {
        warn!(endpoint, "cannot connect: {error}");
    }
    let mut look = interval(LOOK);
    let mut left = VecDeque::new();
    while let Some((event, pick)) = events.recv().await {
        let mut message = Message::single(event.clone());
        loop {
            match socket.try_send(message) {
                Ok(()) => break,
                // Nobody adds events any more: the consumer is gone, or we end.
                Err(TrySendError::Full(_)) if events.is_closed() => {
                    left.push_back(event);
                    break;
                }
                Err(TrySendError::Full(returned)) => message = returned,
                Err(error) => {
                    warn!(endpoint, "cannot send: {error:?}");
                    left.push_back(event);
                    break;
                }
            }
            look.tick().await;
        }
        drop(pick);
    }
    if let Err(error) = socket.close_with_linger(Some(LINGER)).await {
        debug!(endpoint, "the socket did not close in good order: {error}");
    }
    left
}
