//! Who coordinates, and what the time is.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::berkeley::{ROUND_MS, Round, TRUSTED_MS};
use crate::election::SERVERS_MAX;
use crate::name::{SERVERS, is_plausible};
use crate::reference::protocol::{AnswerData, Question, QuestionData};
use crate::server::machine::{Output, Server};
use crate::store::{Store, StoreError};
use crate::time::{self, Now};
use crate::wire::{self, ERROR, Envelope};

/// A coordinator was elected. All other services are ours, and name the coordinator too, so that a server that does not
/// look at the service learns nothing wrong.
const ELECTION: &str = "election";

/// The coordinator asks for the time.
const POLL: &str = "clock_poll";

/// A server tells its time.
const REPORT: &str = "clock_report";

/// The coordinator tells each server by how much to adjust its clock.
const ADJUST: &str = "clock_adjust";

/// What a message on topic `servers` says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct Notice {
    #[serde(skip_serializing_if = "Option::is_none")]
    coordinator: Option<String>,
    /// Who says it. Servers that others wrote do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// The number of a round: the coordinator's time when it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    round: Option<u64>,
    /// Milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<i64>,
    /// Milliseconds, by server.
    #[serde(skip_serializing_if = "Option::is_none")]
    adjustments: Option<BTreeMap<String, i64>>,
    timestamp: String,
    clock: u64,
}

impl<S: Store> Server<S> {
    /// Asks the reference what is to be asked next.
    pub(super) fn ask(&mut self, now: Now) -> Result<(), StoreError> {
        let Some(question) = self.questions.next(now.monotonic_ms) else { return Ok(()) };
        let (timestamp, clock) = self.stamp(now)?;
        let data = QuestionData { user: Some(self.name.clone()), timestamp, clock };
        let request = Envelope { service: question.service().to_owned(), data };
        // Texts and numbers can always be written.
        let body = serde_json::to_vec(&request).unwrap_or_default();
        self.outputs.push_back(Output::Ask { body });
        Ok(())
    }

    /// The reference has answered, or has not in time. The next question follows at once.
    ///
    /// # Errors
    /// [`StoreError`], after which the server must not be used any more.
    pub(crate) fn handle_answer(&mut self, now: Now, answer: Option<&[u8]>) -> Result<(), StoreError> {
        let Some((question, sent_ms)) = self.questions.end() else { return Ok(()) };
        let read = answer.and_then(|answer| serde_json::from_slice::<Envelope<AnswerData>>(answer).ok());
        let data = read.map(|reply| reply.data).filter(|data| self.lamport.follows(data.clock));
        let Some(data) = data else { return Ok(()) };
        self.lamport.receive(data.clock);
        if data.status == ERROR {
            if question == Question::Heartbeat {
                self.questions.forget_rank();
            }
            return Ok(());
        }
        match question {
            Question::Rank => {
                if let Some(rank) = data.rank
                    && self.questions.handle_rank(rank)
                {
                    self.say(format!("rank obtido: {rank}"));
                }
            }
            Question::Heartbeat => self.election.handle_beat(sent_ms),
            Question::List => self.elect(now, sent_ms, data)?,
            Question::Clock => self.synchronise(now, sent_ms, &data),
        }
        self.ask(now)
    }

    fn elect(&mut self, now: Now, sent_ms: u64, data: AnswerData) -> Result<(), StoreError> {
        let Some(list) = data.list.filter(|list| list.len() <= SERVERS_MAX) else { return Ok(()) };
        if !self.election.handle_list(sent_ms, now.monotonic_ms, &list) {
            return Ok(());
        }
        let Some(coordinator) = self.election.coordinator().map(str::to_owned) else { return Ok(()) };
        let first = !std::mem::replace(&mut self.elected, true);
        let what = if first { "coordenador inicial" } else { "novo coordenador eleito" };
        self.say(format!("{what}: {coordinator}"));
        self.notify(now, ELECTION, Notice { coordinator: Some(coordinator), ..Notice::default() })
    }

    /// Takes the reference's time, unless a coordinator lately told what all agree on.
    fn synchronise(&mut self, now: Now, sent_ms: u64, data: &AnswerData) {
        let Some(time_ms) = data.time_ms() else { return };
        if self.adjusted_ms.is_none_or(|at_ms| now.monotonic_ms >= at_ms.saturating_add(TRUSTED_MS)) {
            let half_trip = i64::try_from(now.monotonic_ms.saturating_sub(sent_ms) / 2).unwrap_or(0);
            self.clock.adjust(time_ms.saturating_add(half_trip).saturating_sub(self.clock.read(now.wall_ms)));
        }
        let time = time::show(time_ms);
        self.say(format!("sincronizou clock com ref (time={time}, clock={})", self.lamport.now()));
    }

    /// Does what a coordinator does, for as long as it may.
    pub(super) fn coordinate(&mut self, now: Now) -> Result<(), StoreError> {
        if self.election.handle_tick(now.monotonic_ms) {
            self.warn("sem contato com a referência: coordenador desconhecido".into());
        }
        if !self.election.may_act(now.monotonic_ms) {
            self.round = None;
            return Ok(());
        }
        if let Some(round) = self.round.take_if(|round| round.is_over(now.monotonic_ms)) {
            let adjustments = round.adjustments();
            self.adjust(now, adjustments.get(&self.name).copied());
            let (round, adjustments) = (Some(round.number()), Some(adjustments));
            let coordinator = Some(self.name.clone());
            self.notify(now, ADJUST, Notice { coordinator, round, adjustments, ..Notice::default() })?;
        }
        if self.round.is_none() && now.monotonic_ms >= self.next_round_ms {
            self.next_round_ms = now.monotonic_ms + ROUND_MS;
            let number = u64::try_from(now.wall_ms).unwrap_or(0);
            self.round = Some(Round::new(number, now.monotonic_ms, &self.name));
            let (coordinator, round) = (Some(self.name.clone()), Some(number));
            self.notify(now, POLL, Notice { coordinator, round, ..Notice::default() })?;
        }
        Ok(())
    }

    /// Takes a message of another server on topic `servers`.
    pub(super) fn handle_notice(&mut self, now: Now, body: &Bytes) -> Result<(), StoreError> {
        let Ok(Envelope { service, data }) = wire::decode::<Envelope<Notice>>(body) else { return Ok(()) };
        if data.origin.as_ref() == Some(&self.name) || !self.lamport.follows(data.clock) {
            return Ok(());
        }
        self.lamport.receive(data.clock);
        let by_coordinator = data.coordinator.as_deref() == self.election.coordinator()
            && data.coordinator.is_some()
            && data.origin == data.coordinator;
        match service.as_str() {
            ELECTION => {
                self.questions.want(Question::List);
                let told = data.coordinator.filter(|name| is_plausible(name));
                if let Some(coordinator) = told.clone().filter(|_| told != self.told) {
                    self.say(format!("recebeu aviso de novo coordenador: {coordinator}"));
                    self.told = told;
                }
            }
            POLL if by_coordinator => {
                let (coordinator, round) = (data.coordinator, data.round);
                let time = Some(self.clock.read(now.wall_ms));
                self.notify(now, REPORT, Notice { coordinator, round, time, ..Notice::default() })?;
            }
            REPORT => self.handle_report(now, &data),
            ADJUST if by_coordinator => {
                let by_ms = data.adjustments.and_then(|by_server| by_server.get(&self.name).copied());
                self.adjust(now, by_ms);
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_report(&mut self, now: Now, data: &Notice) {
        let own_ms = self.clock.read(now.wall_ms);
        let Some(round) = self.round.as_mut().filter(|round| Some(round.number()) == data.round) else {
            return;
        };
        if let (Some(server), Some(time_ms)) = (&data.origin, data.time)
            && self.election.alive().contains(server)
        {
            round.handle_report(now.monotonic_ms, own_ms, server, time_ms);
        }
    }

    fn adjust(&mut self, now: Now, by_ms: Option<i64>) {
        let Some(by_ms) = by_ms else { return };
        self.clock.adjust(by_ms);
        self.adjusted_ms = Some(now.monotonic_ms);
        if by_ms != 0 {
            self.say(format!("ajustou o relógio à média dos servidores: {by_ms:+} ms"));
        }
    }

    fn notify(&mut self, now: Now, service: &str, notice: Notice) -> Result<(), StoreError> {
        let (timestamp, clock) = self.stamp(now)?;
        let data = Notice { origin: Some(self.name.clone()), timestamp, clock, ..notice };
        let body = wire::encode(&Envelope { service: service.to_owned(), data }).unwrap_or_default();
        self.outputs.push_back(Output::Publish { topic: SERVERS.into(), body });
        Ok(())
    }
}
