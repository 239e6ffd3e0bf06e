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

/// Why a request is not done; the client is told.
type Refusal = String;

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
            Err(reason) => (ERROR.to_owned(), Err(reason)),
            Ok(Envelope { service, data }) => {
                let result = self.serve(now, &service, data)?;
                (service.chars().take(name::NAME_BYTES_MAX).collect(), result)
            }
        };
        self.count(1);
        let mut data = match result {
            Ok(data) => ReplyData { status: OK.into(), ..data },
            Err(message) => ReplyData { status: ERROR.into(), message, ..ReplyData::default() },
        };
        (data.timestamp, data.clock) = self.stamp(now)?;
        // Texts and numbers can always be written.
        Ok(wire::encode(&Envelope { service, data }).unwrap_or_default())
    }

    fn serve(
        &mut self,
        now: Now,
        service: &str,
        data: RequestData,
    ) -> Result<Result<ReplyData, Refusal>, StoreError> {
        if data.clock > self.lamport.now().saturating_add(LEAD_MAX) {
            return Ok(Err("o relógio lógico está adiantado demais".into()));
        }
        self.lamport.receive(data.clock);
        match service {
            "register_user" => self.register(now, data),
            "list_channels" => {
                let channels = self.store.channels().iter().cloned().collect();
                Ok(Ok(ReplyData { channels: Some(channels), ..ReplyData::default() }))
            }
            "publish" => self.publish(now, data),
            "message" => self.message(now, data),
            _ => Ok(Err("serviço desconhecido".into())),
        }
    }

    fn register(&mut self, now: Now, data: RequestData) -> Result<Result<ReplyData, Refusal>, StoreError> {
        let user = match self.user_name(data.user, "user") {
            Ok(user) => user,
            Err(refusal) => return Ok(Err(refusal)),
        };
        // Who asks again, because the answer was lost, is registered all the same.
        if !self.store.users().contains(&user) {
            if self.store.users().len() >= USERS_MAX || !self.store.has_room() {
                return Ok(Err("há usuários demais".into()));
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
        Ok(Ok(ReplyData { users: Some(users), ..ReplyData::default() }))
    }

    fn publish(&mut self, now: Now, data: RequestData) -> Result<Result<ReplyData, Refusal>, StoreError> {
        let checked = || {
            let user = self.user_name(data.user, "user")?;
            let channel = required(data.channel, "channel")?;
            if !self.store.channels().contains(&channel) {
                return Err("canal inexistente".into());
            }
            Ok((user, channel, text(data.message)?))
        };
        let (user, channel, message) = match checked() {
            Ok(checked) => checked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (topic, origin) = (channel.clone(), self.name.clone());
        let (timestamp, clock) = self.stamp(now)?;
        self.take(topic, Record::Publish { origin, channel, user, message, timestamp, clock })
    }

    fn message(&mut self, now: Now, data: RequestData) -> Result<Result<ReplyData, Refusal>, StoreError> {
        let checked = || {
            let (src, dst) = (self.user_name(data.src, "src")?, self.user_name(data.dst, "dst")?);
            let users = self.store.users();
            if !users.is_empty() && !users.contains(&dst) {
                return Err("usuário desconhecido".into());
            }
            Ok((src, dst, text(data.message)?))
        };
        let (src, dst, message) = match checked() {
            Ok(checked) => checked,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (topic, origin) = (dst.clone(), self.name.clone());
        let (timestamp, clock) = self.stamp(now)?;
        self.take(topic, Record::Message { origin, src, dst, message, timestamp, clock })
    }

    /// Keeps what somebody wrote, and then tells everybody.
    fn take(&mut self, topic: String, record: Record) -> Result<Result<ReplyData, Refusal>, StoreError> {
        if !self.store.has_room() {
            return Ok(Err("o histórico está cheio".into()));
        }
        let body = wire::encode(&record).unwrap_or_default();
        self.store.append(vec![record])?;
        for topic in [topic, REPLICA.into()] {
            self.outputs.push_back(Output::Publish { topic, body: body.clone() });
        }
        Ok(Ok(ReplyData::default()))
    }

    /// A user's name, which is no channel's: both are topics.
    fn user_name(&self, name: Option<String>, field: &str) -> Result<String, Refusal> {
        let name = required(name, field)?;
        name::check(&name).map_err(|error| format!("{field}: {error}"))?;
        if self.store.channels().contains(&name) {
            return Err(format!("{field}: é o nome de um canal"));
        }
        Ok(name)
    }
}

fn required(value: Option<String>, field: &str) -> Result<String, Refusal> {
    value.ok_or_else(|| format!("falta o campo {field}"))
}

fn text(message: Option<String>) -> Result<String, Refusal> {
    let message = required(message, "message")?;
    if message.len() > TEXT_BYTES_MAX {
        return Err(format!("a mensagem tem {} bytes, o limite é {TEXT_BYTES_MAX}", message.len()));
    }
    Ok(message)
}
