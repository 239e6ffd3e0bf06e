//! What clients ask for.

use bytes::Bytes;
use serde::Serialize;

use crate::lamport::LEAD_MAX;
use crate::name::{self, REPLICA};
use crate::record::{Record, TEXT_BYTES_MAX};
use crate::server::machine::{Output, Server};
use crate::store::{Store, StoreError, USERS_MAX};
use crate::time::Now;
use crate::wire::{self, ERROR, Envelope, OK, ReplyData, RequestData};

/// Why a request is not done.
enum Failure {
    /// The client is told why.
    Refused(String),
    /// The server is at its end.
    Store(StoreError),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

fn refused<T>(reason: impl Into<String>) -> Result<T, Failure> {
    Err(Failure::Refused(reason.into()))
}

/// A new user, on topic `replica`. Servers that do not know the type pass it over.
#[derive(Serialize)]
struct Registration<'a> {
    r#type: &'static str,
    origin: &'a str,
    user: &'a str,
    timestamp: String,
    clock: u64,
}

impl<S: Store> Server<S> {
    /// Answers a request, whatever it is. What it changes is on disk when this returns.
    ///
    /// # Errors
    /// [`StoreError`], after which the server must not be used any more.
    pub(crate) fn handle_request(&mut self, now: Now, frames: &[Bytes]) -> Result<Bytes, StoreError> {
        let read = match frames {
            [frame] => wire::decode::<Envelope<RequestData>>(frame).map_err(|error| error.to_string()),
            _ => Err("um pedido tem um só quadro".to_owned()),
        };
        let (service, result) = match read {
            Err(reason) => (ERROR.to_owned(), refused(reason)),
            Ok(Envelope { service, data }) => {
                let result = self.serve(now, &service, data);
                (service.chars().take(name::NAME_BYTES_MAX).collect(), result)
            }
        };
        self.count(1);
        let mut data = match result {
            Ok(data) => ReplyData { status: OK.into(), ..data },
            Err(Failure::Refused(message)) => {
                ReplyData { status: ERROR.into(), message, ..ReplyData::default() }
            }
            Err(Failure::Store(error)) => return Err(error),
        };
        (data.timestamp, data.clock) = self.stamp(now)?;
        // Texts and numbers can always be written.
        Ok(wire::encode(&Envelope { service, data }).unwrap_or_default())
    }

    fn serve(&mut self, now: Now, service: &str, data: RequestData) -> Result<ReplyData, Failure> {
        if data.clock > self.lamport.now().saturating_add(LEAD_MAX) {
            return refused("o relógio lógico está adiantado demais");
        }
        self.lamport.receive(data.clock);
        match service {
            "register_user" => self.register(now, data),
            "list_channels" => {
                let channels = self.store.channels().iter().cloned().collect();
                Ok(ReplyData { channels: Some(channels), ..ReplyData::default() })
            }
            "publish" => self.publish(now, data),
            "message" => self.message(now, data),
            _ => refused("serviço desconhecido"),
        }
    }

    fn register(&mut self, now: Now, data: RequestData) -> Result<ReplyData, Failure> {
        let user = self.user_name(data.user, "user")?;
        // Who asks again, because the answer was lost, is registered all the same.
        if !self.store.users().contains(&user) {
            if self.store.users().len() >= USERS_MAX || !self.store.has_room() {
                return refused("há usuários demais");
            }
            self.store.append(vec![Record::User { user: user.clone() }])?;
            let (timestamp, clock) = self.stamp(now)?;
            let registration =
                Registration { r#type: "user", origin: &self.name, user: &user, timestamp, clock };
            let body = wire::encode(&registration).unwrap_or_default();
            self.outputs.push_back(Output::Publish { topic: REPLICA.into(), body });
            self.say(format!("registrou {user}"));
        }
        let users = self.store.users().iter().cloned().collect();
        Ok(ReplyData { users: Some(users), ..ReplyData::default() })
    }

    fn publish(&mut self, now: Now, data: RequestData) -> Result<ReplyData, Failure> {
        let user = self.user_name(data.user, "user")?;
        let channel = required(data.channel, "channel")?;
        if !self.store.channels().contains(&channel) {
            return refused("canal inexistente");
        }
        let message = text(data.message)?;
        let (topic, origin) = (channel.clone(), self.name.clone());
        let (timestamp, clock) = self.stamp(now)?;
        self.take(topic, Record::Publish { origin, channel, user, message, timestamp, clock })
    }

    fn message(&mut self, now: Now, data: RequestData) -> Result<ReplyData, Failure> {
        let (src, dst) = (self.user_name(data.src, "src")?, self.user_name(data.dst, "dst")?);
        let users = self.store.users();
        if !users.is_empty() && !users.contains(&dst) {
            return refused("usuário desconhecido");
        }
        let message = text(data.message)?;
        let (topic, origin) = (dst.clone(), self.name.clone());
        let (timestamp, clock) = self.stamp(now)?;
        self.take(topic, Record::Message { origin, src, dst, message, timestamp, clock })
    }

    /// Keeps what somebody wrote, and then tells everybody.
    fn take(&mut self, topic: String, record: Record) -> Result<ReplyData, Failure> {
        if !self.store.has_room() {
            return refused("o histórico está cheio");
        }
        let body = wire::encode(&record).unwrap_or_default();
        self.store.append(vec![record])?;
        for topic in [topic, REPLICA.into()] {
            self.outputs.push_back(Output::Publish { topic, body: body.clone() });
        }
        Ok(ReplyData::default())
    }

    /// A user's name, which is no channel's: both are topics.
    fn user_name(&self, name: Option<String>, field: &str) -> Result<String, Failure> {
        let name = required(name, field)?;
        name::check(&name).or_else(|error| refused(format!("{field}: {error}")))?;
        if self.store.channels().contains(&name) {
            return refused(format!("{field}: é o nome de um canal"));
        }
        Ok(name)
    }
}

fn required(value: Option<String>, field: &str) -> Result<String, Failure> {
    value.map_or_else(|| refused(format!("falta o campo {field}")), Ok)
}

fn text(message: Option<String>) -> Result<String, Failure> {
    let message = required(message, "message")?;
    if message.len() > TEXT_BYTES_MAX {
        return refused(format!("a mensagem tem {} bytes, o limite é {TEXT_BYTES_MAX}", message.len()));
    }
    Ok(message)
}
