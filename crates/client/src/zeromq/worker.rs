//! Workers of the Paranoid Pirate protocol and of Majordomo.

use bytes::Bytes;
use swarmmq_protocol::zeromq::mdp::{Part, ServiceName, Version};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::error::Error;
use crate::zeromq::conversation::{Conversation, ReplyError, WorkId, WorkerDialect, WorkerEvent};
use crate::zeromq::driver::Driver;
use crate::zeromq::socket::{Connector, Frames};
use crate::zeromq::worker_dialects::{Majordomo, ParanoidPirate};
use crate::zeromq::worker_options::WorkerOptions;

/// A worker: it takes requests from a broker, one at a time, and replies to them.
///
/// A task of its own sends heartbeats, also while a request is worked on, and registers again when the broker falls
/// silent or asks for it. The worker runs until it is [stopped](Self::stop) or dropped.
///
/// A request may come to two workers, or twice to one: brokers give it on when they lose a worker. Doing the work twice
/// must do no harm.
///
/// ```no_run
/// use swarmmq::zeromq::{MdpVersion, OmqConnector, ServiceName, Worker, WorkerOptions};
///
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let connector = OmqConnector::dealer(["tcp://localhost:5555"])?;
/// let echo = ServiceName::new("echo")?;
/// let mut worker = Worker::mdp(connector, MdpVersion::V01, echo, WorkerOptions::default())?;
/// while let Some(request) = worker.next_request().await {
///     let body = request.body().to_vec();
///     if let Err(lost) = request.reply(body).await {
///         eprintln!("the reply is not needed any more: {lost}");
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Worker {
    requests: mpsc::Receiver<WorkerRequest>,
    task: JoinHandle<()>,
    stop: DropGuard,
}

/// A request that a worker has been given.
///
/// Dropped without a reply it is given back: the worker leaves the broker, which gives the request to another worker,
/// and registers again after a pause. A queue of the Paranoid Pirate protocol cannot be told, and notices by itself.
#[derive(Debug)]
pub struct WorkerRequest {
    id: WorkId,
    body: Frames,
    commands: mpsc::Sender<Command>,
    _held: oneshot::Sender<()>,
}

/// What a program says of the request it has.
#[derive(Debug)]
struct Command {
    id: WorkId,
    part: Part,
    body: Frames,
    done: oneshot::Sender<Result<(), ReplyError>>,
}

/// Commands under way. A program has one request, and waits for each command.
const COMMANDS_MAX: usize = 4;

impl Worker {
    /// A worker behind a queue of the Paranoid Pirate protocol, RFC 6/PPP. The connector makes `DEALER` sockets.
    ///
    /// # Errors
    /// [`Error::Misuse`] if an option is out of its range.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn ppp<C: Connector + 'static>(connector: C, options: WorkerOptions) -> Result<Self, Error> {
        Self::spawn(connector, ParanoidPirate, options)
    }

    /// A worker of a service of a Majordomo broker, RFC 7/MDP or RFC 18/MDP. The connector makes `DEALER` sockets.
    ///
    /// # Errors
    /// [`Error::Misuse`] if an option is out of its range.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn mdp<C: Connector + 'static>(
        connector: C,
        version: Version,
        service: ServiceName,
        options: WorkerOptions,
    ) -> Result<Self, Error> {
        Self::spawn(connector, Majordomo { version, service }, options)
    }

    fn spawn<C: Connector + 'static>(
        connector: C,
        dialect: impl WorkerDialect + Send + Sync + 'static,
        options: WorkerOptions,
    ) -> Result<Self, Error> {
        options.validate()?;
        let conversation = Conversation::new(dialect, options, rand::random());
        let (requests_in, requests) = mpsc::channel(1);
        let (commands_in, commands) = mpsc::channel(COMMANDS_MAX);
        let stop = CancellationToken::new();
        let keeper = Keeper {
            driver: Driver::new(conversation, connector),
            requests: requests_in,
            commands_in,
            commands,
            held: None,
        };
        let task = tokio::spawn(keeper.run(stop.clone()));
        Ok(Self { requests, task, stop: stop.drop_guard() })
    }

    /// Waits for the next request, which comes when the one before was replied to or dropped. Nothing is lost when the
    /// future is dropped. `None` only if the worker's task has died.
    pub async fn next_request(&mut self) -> Option<WorkerRequest> {
        self.requests.recv().await
    }

    /// Leaves the broker. Majordomo is told, and gives a request that is not replied to to another worker.
    pub async fn stop(self) {
        drop(self.stop);
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "the task of a worker did not end in good order");
        }
    }
}

impl WorkerRequest {
    /// What is asked: one frame or more.
    #[must_use]
    pub fn body(&self) -> &[Bytes] {
        &self.body
    }

    /// Replies, or sends the last part of the reply: one frame or more. It is queued when this returns.
    ///
    /// # Errors
    /// [`ReplyError`], with which the reply is dropped.
    pub async fn reply<F: Into<Bytes>>(self, body: impl IntoIterator<Item = F>) -> Result<(), ReplyError> {
        self.command(Part::Final, body.into_iter().map(Into::into).collect()).await
    }

    /// Sends a part of the reply, of one frame or more, before the last. Only MDP 0.2 has them. They are sent as fast as
    /// they are given, up to the socket's high-water mark, which ends the registration.
    ///
    /// # Errors
    /// [`ReplyError`]; after [`ReplyError::BrokerLost`] nobody waits for the rest.
    pub async fn partial<F: Into<Bytes>>(&self, body: impl IntoIterator<Item = F>) -> Result<(), ReplyError> {
        self.command(Part::Partial, body.into_iter().map(Into::into).collect()).await
    }

    async fn command(&self, part: Part, body: Frames) -> Result<(), ReplyError> {
        let (done, answer) = oneshot::channel();
        let command = Command { id: self.id, part, body, done };
        self.commands.send(command).await.map_err(|_| ReplyError::Stopped)?;
        answer.await.unwrap_or(Err(ReplyError::Stopped))
    }
}

/// The task of a worker.
struct Keeper<D: WorkerDialect, C: Connector> {
    driver: Driver<Conversation<D>, C>,
    requests: mpsc::Sender<WorkerRequest>,
    commands_in: mpsc::Sender<Command>,
    commands: mpsc::Receiver<Command>,
    /// The request that the program has, and what tells when it does not any more.
    held: Option<(WorkId, oneshot::Receiver<()>)>,
}

impl<D: WorkerDialect, C: Connector> Keeper<D, C> {
    async fn run(mut self, stop: CancellationToken) {
        let mut stopping = false;
        loop {
            tokio::select! {
                // A request that was replied to is dropped right after: the reply must be seen first.
                biased;
                () = stop.cancelled(), if !stopping => {
                    stopping = true;
                    self.driver.machine().0.stop();
                }
                Some(command) = self.commands.recv() => self.obey(command),
                id = dropped(&mut self.held) => {
                    self.held = None;
                    let (conversation, now_ms) = self.driver.machine();
                    conversation.give_back(now_ms, id);
                }
                event = self.driver.next_event() => match event {
                    WorkerEvent::Request { id, body } => self.hand_over(id, body),
                    WorkerEvent::Stopped => return,
                }
            }
        }
    }

    fn obey(&mut self, command: Command) {
        let (conversation, now_ms) = self.driver.machine();
        let result = conversation.reply(now_ms, command.id, command.part, command.body);
        // A program that does not wait for it any more does not need it.
        let _ = command.done.send(result);
    }

    fn hand_over(&mut self, id: WorkId, body: Frames) {
        let (held, dropped) = oneshot::channel();
        self.held = Some((id, dropped));
        let request = WorkerRequest { id, body, commands: self.commands_in.clone(), _held: held };
        // There is room, since there is never more than one request. Where nobody listens the request is dropped, and
        // with that given back.
        let _ = self.requests.try_send(request);
    }
}

/// Waits until the program does not have the request any more; for ever, where it has none.
async fn dropped(held: &mut Option<(WorkId, oneshot::Receiver<()>)>) -> WorkId {
    match held {
        Some((id, dropped)) => {
            let id = *id;
            // It says nothing but that the other side is gone.
            let _ = dropped.await;
            id
        }
        None => std::future::pending().await,
    }
}
