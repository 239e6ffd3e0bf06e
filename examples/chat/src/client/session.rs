//! What a client asks the servers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use swarmmq::zeromq::{LazyPirateClient, OmqConnector, RequestError, RequestOptions};

use crate::lamport::LamportClock;
use crate::time::{self, MachineClock};
use crate::wire::{self, Envelope, OK, ReplyData, RequestData, WireError};

/// How long a server may take to answer.
const ANSWER: Duration = Duration::from_millis(2_500);

/// How often a question is repeated that does no harm twice.
const ATTEMPTS: u32 = 4;

/// The Lamport clock of a client, which what it asks and what it hears both move.
#[derive(Debug, Clone, Default)]
pub(crate) struct SharedClock(Arc<Mutex<LamportClock>>);

impl SharedClock {
    pub(crate) fn send(&self) -> u64 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).send()
    }

    pub(crate) fn receive(&self, remote: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).receive(remote);
    }
}

/// Why a client did not get what it asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    /// The server says why.
    #[error("{0}")]
    Refused(String),
    /// For a message: whether it was taken is not known. It is not repeated, since it might then be there twice.
    #[error("sem resposta: {0}")]
    NoReply(#[from] RequestError),
    #[error("{0}")]
    Wire(#[from] WireError),
}

/// A client's line to the servers.
pub(crate) struct Session {
    /// Repeats what is not answered.
    patient: LazyPirateClient<OmqConnector>,
    /// Asks once.
    once: LazyPirateClient<OmqConnector>,
    clock: SharedClock,
    machine: MachineClock,
}

impl Session {
    /// A session with the servers behind a broker.
    pub(crate) fn new(broker: &str, clock: SharedClock) -> anyhow::Result<Self> {
        let connector = OmqConnector::dealer([broker])?.max_message_size(wire::WIRE_BYTES_MAX);
        let options = RequestOptions::default().timeout(ANSWER);
        let pauses = (Duration::from_millis(100), Duration::from_secs(2));
        let patient = options.clone().attempts(ATTEMPTS).pauses(pauses.0, pauses.1);
        Ok(Self {
            patient: LazyPirateClient::new(connector.clone(), patient)?,
            once: LazyPirateClient::new(connector, options.attempts(1))?,
            clock,
            machine: MachineClock::new(0),
        })
    }

    /// Registers a user; all users are returned.
    pub(crate) async fn register(&mut self, user: &str) -> Result<Vec<String>, SessionError> {
        let data = RequestData { user: Some(user.into()), ..RequestData::default() };
        Ok(self.ask("register_user", data, true).await?.users.unwrap_or_default())
    }

    /// The channels.
    pub(crate) async fn channels(&mut self) -> Result<Vec<String>, SessionError> {
        Ok(self.ask("list_channels", RequestData::default(), true).await?.channels.unwrap_or_default())
    }

    /// Writes to a channel.
    pub(crate) async fn publish(
        &mut self,
        user: &str,
        channel: &str,
        message: &str,
    ) -> Result<(), SessionError> {
        let data = RequestData {
            user: Some(user.into()),
            channel: Some(channel.into()),
            message: Some(message.into()),
            ..RequestData::default()
        };
        self.ask("publish", data, false).await.map(drop)
    }

    /// Writes to a user.
    pub(crate) async fn message(&mut self, src: &str, dst: &str, message: &str) -> Result<(), SessionError> {
        let data = RequestData {
            src: Some(src.into()),
            dst: Some(dst.into()),
            message: Some(message.into()),
            ..RequestData::default()
        };
        self.ask("message", data, false).await.map(drop)
    }

    async fn ask(
        &mut self,
        service: &str,
        data: RequestData,
        patiently: bool,
    ) -> Result<ReplyData, SessionError> {
        let (timestamp, clock) = (time::show(self.machine.now().wall_ms), self.clock.send());
        let data = RequestData { timestamp, clock, ..data };
        let request = wire::encode(&Envelope { service: service.to_owned(), data })?;
        let line = if patiently { &mut self.patient } else { &mut self.once };
        let reply = line.request([request]).await?;
        let frame = reply.first().map_or(&[][..], |frame| frame);
        let Envelope { data, .. } = wire::decode::<Envelope<ReplyData>>(frame)?;
        self.clock.receive(data.clock);
        if data.status == OK { Ok(data) } else { Err(SessionError::Refused(data.message)) }
    }
}
