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
//! ZeroMQ has no acknowledgement: what is in the sockets between us and a consumer that dies is lost. What was not handed
//! to a socket yet goes to another consumer.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use omq_tokio::{Message, OnMute, Options, Socket, SocketType, TrySendError};
use swarmmq::discovery::{Balancer, Instance, InstanceKey, Pick, View};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{interval, timeout};
use tracing::{debug, info, warn};

use crate::registry::{DIAL, DIAL_CONSUMER};

/// Most events that wait for one consumer, here and again in its socket.
const QUEUE: usize = 64;
/// Most events that wait for each of those who have connected to us.
const BOUND_QUEUE: usize = 1000;
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
    /// Dropped when the consumer is gone, so that nothing more is tried.
    gone: oneshot::Sender<()>,
    task: JoinHandle<VecDeque<Bytes>>,
}

impl Spread {
    /// Binds, and spreads over the consumers of `view` as well.
    pub(crate) async fn bind(endpoint: &str, view: Option<View>) -> Result<Self> {
        let bound = Socket::try_new(SocketType::Push, options(BOUND_QUEUE))?;
        let endpoint = bound.bind(endpoint).await?.to_string();
        info!("PUSH socket bound to {endpoint}");
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
            let pick = self.balancer.as_ref().and_then(Balancer::pick);
            match pick {
                None => {
                    look.tick().await;
                }
                // Where the one that has the fewest under way has no room, nobody has: meanwhile somebody may come.
                Some(pick) => {
                    let events = self.line_to(pick.instance())?.clone();
                    tokio::select! {
                        biased;
                        Ok(room) = events.reserve() => {
                            room.send((event, pick));
                            return Ok(());
                        }
                        _ = look.tick() => {}
                    }
                }
            }
            self.drop_lines_of_the_gone().await;
        }
    }

    /// Whether the next event goes to those who have connected to us: their part of all.
    fn is_turn_of_bound(&mut self) -> bool {
        let connected = self.bound.ready_peer_count();
        let registered = self
            .view
            .as_ref()
            .map_or(0, |view| view.snapshot().healthy().filter(|instance| listens(instance)).count());
        if connected == 0 {
            return false;
        }
        self.turn = (self.turn + 1) % (connected + registered);
        self.turn < connected
    }

    fn line_to(&mut self, instance: &Instance) -> Result<&mpsc::Sender<(Bytes, Pick)>> {
        if !self.lines.contains_key(&instance.key) {
            let socket = Socket::try_new(SocketType::Push, options(QUEUE))?;
            let (events, receiver) = mpsc::channel(QUEUE);
            info!(consumer = %instance.key, "sending to {}", instance.endpoint);
            let (gone, is_gone) = oneshot::channel();
            let task = tokio::spawn(serve(socket, instance.endpoint.clone(), receiver, is_gone));
            let line = Line { endpoint: instance.endpoint.clone(), events, gone, task };
            self.lines.insert(instance.key.clone(), line);
        }
        match self.lines.get(&instance.key) {
            Some(line) => Ok(&line.events),
            None => anyhow::bail!("a line that was just made is gone"),
        }
    }

    /// Takes back what waits for consumers whose lease has ended, or who are somewhere else now.
    async fn drop_lines_of_the_gone(&mut self) {
        let Some(view) = &self.view else { return };
        let snapshot = view.snapshot();
        let is_there = |key: &InstanceKey, line: &Line| {
            snapshot.instances().get(key).is_some_and(|instance| instance.endpoint == line.endpoint)
        };
        let gone: Vec<InstanceKey> = self
            .lines
            .iter()
            .filter(|(key, line)| !is_there(key, line))
            .map(|(key, _)| key.clone())
            .collect();
        for key in gone {
            let Some(line) = self.lines.remove(&key) else { continue };
            drop((line.events, line.gone));
            match timeout(LINGER, line.task).await {
                Ok(Ok(left)) => {
                    info!(consumer = %key, again = left.len(), "the consumer is gone");
                    self.again.extend(left);
                }
                Ok(Err(error)) => warn!(consumer = %key, "the line to a consumer has failed: {error}"),
                Err(_) => warn!(consumer = %key, "the consumer is gone, with what its socket held"),
            }
        }
    }

    /// Sends what is on its way, for some seconds.
    pub(crate) async fn close(mut self) {
        for (key, line) in self.lines.drain() {
            let Line { events, gone: _gone, task, .. } = line;
            drop(events);
            match timeout(LINGER, task).await {
                Ok(Ok(left)) if left.is_empty() => {}
                _ => warn!(consumer = %key, "not everything was taken before the end"),
            }
        }
        if let Err(error) = self.bound.close_with_linger(Some(LINGER)).await {
            debug!("the socket did not close in good order: {error}");
        }
    }
}

fn options(queue: usize) -> Options {
    let queue = u32::try_from(queue).unwrap_or(u32::MAX);
    Options::default().linger(LINGER).send_hwm(queue).on_mute(OnMute::Block)
}

/// Whether producers are to connect to a consumer.
fn listens(consumer: &Instance) -> bool {
    consumer.metadata.get(DIAL).is_some_and(|value| value == DIAL_CONSUMER)
}

/// Sends what comes to one consumer. Gives back what was not handed to the socket once the consumer is `gone`.
async fn serve(
    socket: Socket,
    endpoint: String,
    mut events: mpsc::Receiver<(Bytes, Pick)>,
    mut gone: oneshot::Receiver<()>,
) -> VecDeque<Bytes> {
    if let Err(error) = socket.connect(endpoint.as_str()).await {
        warn!(endpoint, "cannot connect: {error}");
    }
    let mut left = VecDeque::new();
    while let Some((event, pick)) = events.recv().await {
        if !left.is_empty() {
            left.push_back(event);
            continue;
        }
        tokio::select! {
            biased;
            sent = socket.send(Message::single(event.clone())) => {
                if let Err(error) = sent {
                    warn!(endpoint, "cannot send: {error}");
                    left.push_back(event);
                }
            }
            // Its sender is dropped.
            _ = &mut gone => left.push_back(event),
        }
        drop(pick);
    }
    if left.is_empty()
        && let Err(error) = socket.close_with_linger(Some(LINGER)).await
    {
        debug!(endpoint, "the socket did not close in good order: {error}");
    }
    left
}
