//! What servers tell each other of what they keep.

use bytes::Bytes;
use serde::Deserialize;

use crate::catch_up::{Exchange, Letter, Saying};
use crate::name::{REPLICA, SERVERS, is_plausible};
use crate::record::Record;
use crate::server::machine::{Output, Server};
use crate::store::{Store, StoreError};
use crate::time::Now;
use crate::wire;

/// What all messages on topic `replica` have in common.
#[derive(Deserialize)]
struct Head {
    r#type: String,
    origin: String,
    clock: u64,
}

impl<S: Store> Server<S> {
    /// Takes publications of other servers, and keeps what is new in as few writes as possible.
    ///
    /// # Errors
    /// [`StoreError`], after which the server must not be used any more.
    pub(crate) fn handle_publications(
        &mut self,
        now: Now,
        publications: &[(Bytes, Bytes)],
    ) -> Result<(), StoreError> {
        let (mut records, mut letters) = (Vec::new(), Vec::new());
        for (topic, body) in publications {
            // A subscription is to all topics that begin so.
            if topic == REPLICA.as_bytes() {
                self.read(body, &mut records, &mut letters);
            } else if topic == SERVERS.as_bytes() {
                self.handle_notice(now, body)?;
            }
        }
        let live = self.store.append(records)?;
        for record in &live {
            let from = match record {
                Record::Publish { origin, .. } | Record::Message { origin, .. } => origin,
                Record::User { user } => user,
            };
            self.say(format!("replicou registro de {from} ({})", record.kind()));
        }
        self.count(live.len() as u64);
        for letter in letters {
            self.handle_letter(now, letter)?;
        }
        Ok(())
    }

    fn read(&mut self, body: &[u8], records: &mut Vec<Record>, letters: &mut Vec<Letter>) {
        let Ok(head) = wire::decode::<Head>(body) else { return };
        if head.origin == self.name {
            // Its own come back to it, and are not ahead of it.
            if head.clock > self.lamport.now() && !std::mem::replace(&mut self.namesake, true) {
                self.warn("outro servidor usa este nome: os dois não recebem um do outro".into());
            }
            return;
        }
        if !is_plausible(&head.origin) || !self.lamport.follows(head.clock) {
            return;
        }
        self.lamport.receive(head.clock);
        match head.r#type.as_str() {
            "publish" | "message" | "user" => {
                records.extend(wire::decode::<Record>(body).ok().filter(|record| self.takes(record)));
            }
            kind if kind.starts_with("sync-") => letters.extend(wire::decode::<Letter>(body)),
            _ => {}
        }
    }

    /// Whether it keeps a record of another server.
    fn takes(&self, record: &Record) -> bool {
        record.is_sound() && self.lamport.follows(record.clock())
    }

    fn handle_letter(&mut self, now: Now, letter: Letter) -> Result<(), StoreError> {
        let for_me = letter.to.as_ref() == Some(&self.name);
        if let Exchange::Records { records, .. } = &letter.exchange {
            let sound: Vec<Record> = records.iter().filter(|record| self.takes(record)).cloned().collect();
            if let Some(clock) = sound.iter().map(Record::clock).max() {
                self.lamport.receive(clock);
            }
            let new = self.store.append(sound)?.len();
            if new > 0 {
                self.say(format!("recuperou {new} registros de {}", letter.origin));
            } else if for_me && !self.store.has_room() && !std::mem::replace(&mut self.full, true) {
                self.warn("o histórico está cheio: o que vem dos outros não é mais guardado".into());
            }
        }
        let (store, exchange) = (&mut self.store, &letter.exchange);
        let sayings =
            self.catch_up.handle_exchange(now.monotonic_ms, store, &letter.origin, for_me, exchange)?;
        self.post(now, sayings)
    }

    /// Says now and then what it has.
    pub(super) fn exchange(&mut self, now: Now) -> Result<(), StoreError> {
        let sayings = self.catch_up.handle_tick(now.monotonic_ms, &self.store);
        self.post(now, sayings)
    }

    fn post(&mut self, now: Now, sayings: Vec<Saying>) -> Result<(), StoreError> {
        for (to, exchange) in sayings {
            let (timestamp, clock) = self.stamp(now)?;
            let letter = Letter { exchange, origin: self.name.clone(), to, timestamp, clock };
            let body = wire::encode(&letter).unwrap_or_default();
            self.outputs.push_back(Output::Publish { topic: REPLICA.into(), body });
        }
        Ok(())
    }
}
