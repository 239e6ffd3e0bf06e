//! What the reference knows, without sockets and files.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::election::{ALIVE_MS, Listed, SERVERS_MAX, ServerList};
use crate::lamport::{LEAD_MAX, LamportClock};
use crate::name;
use crate::reference::protocol::{AnswerData, Question, QuestionData};
use crate::time::{self, Now};
use crate::wire::{ERROR, Envelope, OK};

/// A reference that is not called for so long was itself held up, and has not heard the heartbeats that wait for it.
const HELD_UP_MS: u64 = 1_500;

/// Largest question that is read, in bytes.
const QUESTION_BYTES_MAX: usize = 64 * 1024;

/// What is kept of a server in `ref_servers.json`, also when it is dead: its rank stays its own.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) rank: u64,
    /// Seconds since 1970; when this was written.
    pub(crate) last_beat: f64,
    #[serde(default)]
    pub(crate) alive: bool,
}

/// The servers, by name.
pub(crate) type Entries = BTreeMap<String, Entry>;

/// What there is to say on the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// A server got a rank, or came back with the one it had.
    Joined { server: String, rank: u64 },
    /// A server was silent for too long.
    Died { server: String },
}

/// The reference.
#[derive(Debug)]
pub(crate) struct Reference {
    entries: Entries,
    /// When each server that is alive was last heard, by the clock that does not go back.
    heard_ms: BTreeMap<String, u64>,
    called_ms: u64,
    lamport: LamportClock,
    changed: bool,
    news: Vec<News>,
}

impl Reference {
    /// A reference that knew of these. Those that were alive get the time to say that they still are.
    pub(crate) fn new(now: Now, entries: Entries) -> Self {
        let alive = entries.iter().filter(|(_, entry)| entry.alive);
        let heard_ms = alive.map(|(server, _)| (server.clone(), now.monotonic_ms)).collect();
        let (called_ms, lamport) = (now.monotonic_ms, LamportClock::default());
        Self { entries, heard_ms, called_ms, lamport, changed: false, news: Vec::new() }
    }

    /// What is to be in the file before the next answer leaves; `None` if that is there already.
    pub(crate) fn take_changed(&mut self) -> Option<&Entries> {
        std::mem::take(&mut self.changed).then_some(&self.entries)
    }

    /// What happened since the last time.
    pub(crate) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    /// Takes servers that were silent for too long off the list. To be called several times a second.
    pub(crate) fn handle_tick(&mut self, now: Now) {
        let held_up_ms =
            now.monotonic_ms.saturating_sub(std::mem::replace(&mut self.called_ms, now.monotonic_ms));
        if held_up_ms > HELD_UP_MS {
            // To take a dead server for alive does no harm, but the other way round there may be two coordinators.
            self.heard_ms.values_mut().for_each(|heard_ms| *heard_ms += held_up_ms);
        }
        let (entries, news, changed) = (&mut self.entries, &mut self.news, &mut self.changed);
        self.heard_ms.retain(|server, heard_ms| {
            let alive = now.monotonic_ms < heard_ms.saturating_add(ALIVE_MS);
            if !alive && let Some(entry) = entries.get_mut(server) {
                entry.alive = false;
                *changed = true;
                news.push(News::Died { server: server.clone() });
            }
            alive
        });
    }

    /// Answers a question, whatever it is.
    pub(crate) fn handle_request(&mut self, now: Now, request: &[u8]) -> Vec<u8> {
        self.handle_tick(now);
        let read = Some(request).filter(|request| request.len() <= QUESTION_BYTES_MAX);
        let read = read.and_then(|request| serde_json::from_slice::<Envelope<QuestionData>>(request).ok());
        let (service, result) = match read {
            None => (ERROR.to_owned(), Err("a mensagem não é JSON do formato esperado".to_owned())),
            Some(Envelope { service, data }) => {
                let service: String = service.chars().take(name::NAME_BYTES_MAX).collect();
                let result = self.answer(now, &service, &data);
                (service, result)
            }
        };
        let mut data = result.unwrap_or_else(|message| AnswerData {
            status: ERROR.into(),
            message,
            ..AnswerData::default()
        });
        data.timestamp = time::show(now.wall_ms);
        data.clock = self.lamport.send();
        // Texts and numbers can always be written.
        serde_json::to_vec(&Envelope { service, data }).unwrap_or_default()
    }

    fn answer(&mut self, now: Now, service: &str, data: &QuestionData) -> Result<AnswerData, String> {
        if data.clock > self.lamport.now().saturating_add(LEAD_MAX) {
            return Err("o relógio lógico está adiantado demais".into());
        }
        self.lamport.receive(data.clock);
        let mut answer = AnswerData { status: OK.into(), ..AnswerData::default() };
        if service == Question::Rank.service() || service == Question::Heartbeat.service() {
            answer.rank = Some(self.hear(now, data.user.as_deref().unwrap_or_default())?);
        } else if service == Question::List.service() {
            answer.list = Some(self.list(now));
        } else if service == Question::Clock.service() {
            answer.time = Some(seconds(now.wall_ms).into());
        } else {
            return Err("serviço desconhecido".into());
        }
        Ok(answer)
    }

    /// A server is alive. One that is new gets the next rank.
    fn hear(&mut self, now: Now, server: &str) -> Result<u64, String> {
        let last_beat = seconds(now.wall_ms);
        if !self.entries.contains_key(server) {
            name::check(server).map_err(|error| error.to_string())?;
            self.make_room()?;
            let rank = self.entries.values().map(|entry| entry.rank).max().unwrap_or(0) + 1;
            self.entries.insert(server.to_owned(), Entry { rank, last_beat, alive: false });
        }
        let Some(entry) = self.entries.get_mut(server) else { return Err("servidor desconhecido".into()) };
        entry.last_beat = last_beat;
        if !std::mem::replace(&mut entry.alive, true) {
            self.changed = true;
            self.news.push(News::Joined { server: server.to_owned(), rank: entry.rank });
        }
        let rank = entry.rank;
        self.heard_ms.insert(server.to_owned(), now.monotonic_ms);
        Ok(rank)
    }

    /// Where there are as many servers as may be, forgets the one that has been dead for longest.
    fn make_room(&mut self) -> Result<(), String> {
        if self.entries.len() < SERVERS_MAX {
            return Ok(());
        }
        let dead = self.entries.iter().filter(|(_, entry)| !entry.alive);
        let oldest = dead.min_by(|(_, a), (_, b)| a.last_beat.total_cmp(&b.last_beat));
        let oldest = oldest.map(|(server, _)| server.clone());
        oldest
            .and_then(|oldest| self.entries.remove(&oldest))
            .map(drop)
            .ok_or_else(|| "há servidores demais".into())
    }

    /// Who is alive. A server compares the heartbeats with each other, so they too count from when the reference began, or
    /// was no longer held up.
    fn list(&self, now: Now) -> ServerList {
        let alive = self.heard_ms.iter().filter_map(|(server, heard_ms)| {
            let silent_ms = i64::try_from(now.monotonic_ms.saturating_sub(*heard_ms)).unwrap_or(0);
            let last_beat = seconds(now.wall_ms.saturating_sub(silent_ms));
            Some((server.clone(), Listed { rank: self.entries.get(server)?.rank, last_beat }))
        });
        alive.collect()
    }
}

fn seconds(wall_ms: i64) -> f64 {
    Duration::from_millis(u64::try_from(wall_ms).unwrap_or(0)).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(monotonic_ms: u64) -> Now {
        Now { monotonic_ms, wall_ms: 1_000_000 + i64::try_from(monotonic_ms).unwrap() }
    }

    fn ask(reference: &mut Reference, now_ms: u64, question: Question, user: &str) -> AnswerData {
        let data = QuestionData { user: Some(user.into()), timestamp: String::new(), clock: 5 };
        let request = Envelope { service: question.service().into(), data };
        let reply = reference.handle_request(at(now_ms), &serde_json::to_vec(&request).unwrap());
        let reply: Envelope<AnswerData> = serde_json::from_slice(&reply).unwrap();
        assert_eq!(reply.service, question.service());
        reply.data
    }

    fn listed(reference: &mut Reference, now_ms: u64) -> Vec<String> {
        ask(reference, now_ms, Question::List, "x").list.unwrap().into_keys().collect()
    }

    #[test]
    fn ranks_are_given_in_order_and_stay_also_after_death_and_a_restart() {
        let mut reference = Reference::new(at(0), Entries::new());
        assert_eq!(ask(&mut reference, 0, Question::Rank, "server-003").rank, Some(1));
        assert_eq!(ask(&mut reference, 0, Question::Rank, "server-001").rank, Some(2));
        assert_eq!(ask(&mut reference, 0, Question::Rank, "server-003").rank, Some(1));
        assert_eq!(reference.take_news().len(), 2);
        let mut last = None;
        for now_ms in (500..8_000).step_by(500) {
            ask(&mut reference, now_ms, Question::Heartbeat, "server-001");
            last = Some(listed(&mut reference, now_ms));
        }
        assert_eq!(last.unwrap(), ["server-001"]);
        assert_eq!(reference.take_news(), [News::Died { server: "server-003".into() }]);
        let kept = reference.take_changed().unwrap().clone();
        assert!(reference.take_changed().is_none());

        let mut reference = Reference::new(at(0), kept);
        assert_eq!(listed(&mut reference, 0), ["server-001"], "it may still be alive");
        assert_eq!(ask(&mut reference, 1, Question::Heartbeat, "server-003").rank, Some(1));
        assert_eq!(reference.take_news(), [News::Joined { server: "server-003".into(), rank: 1 }]);
        assert_eq!(listed(&mut reference, 2), ["server-001", "server-003"]);
    }

    #[test]
    fn who_was_held_up_itself_takes_nobody_for_dead() {
        let mut reference = Reference::new(at(0), Entries::new());
        ask(&mut reference, 0, Question::Rank, "server-001");
        ask(&mut reference, 60_000, Question::Heartbeat, "server-002");
        let list = ask(&mut reference, 60_000, Question::List, "x").list.unwrap();
        let silent = list["server-002"].last_beat - list["server-001"].last_beat;
        assert!(
            (0.0..1.0).contains(&silent),
            "none looks dead beside the first that is heard again: {silent}"
        );
        for now_ms in (60_500..67_000).step_by(500) {
            reference.handle_tick(at(now_ms));
        }
        assert!(listed(&mut reference, 67_000).is_empty());
    }

    #[test]
    fn who_was_alive_does_not_look_dead_to_the_first_that_is_heard_after_a_restart() {
        let entry = |rank| Entry { rank, last_beat: 5.0, alive: true };
        let entries = Entries::from([("server-001".into(), entry(1)), ("server-002".into(), entry(2))]);
        let mut reference = Reference::new(at(0), entries);
        ask(&mut reference, 100, Question::Heartbeat, "server-002");
        let list = ask(&mut reference, 100, Question::List, "x").list.unwrap();
        assert_eq!((list["server-001"].last_beat, list["server-002"].last_beat), (1_000.0, 1_000.1));
    }

    #[test]
    fn the_time_is_told_and_clocks_count_as_lamport_says() {
        let mut reference = Reference::new(at(0), Entries::new());
        let answer = ask(&mut reference, 500, Question::Clock, "server-001");
        assert_eq!((answer.time_ms(), answer.clock), (Some(1_000_500), 7));
        let nonsense =
            [&b""[..], b"null", b"{\"service\":5}", &[0xff; 100_000], b"{\"service\":\"x\",\"data\":{}}"];
        for request in nonsense {
            let reply = reference.handle_request(at(600), request);
            let reply: Envelope<AnswerData> = serde_json::from_slice(&reply).unwrap();
            assert_eq!(reply.data.status, ERROR);
        }
        assert_eq!(ask(&mut reference, 600, Question::Rank, "replica").status, ERROR);
        assert_eq!(ask(&mut reference, 600, Question::Heartbeat, "").status, ERROR);
    }

    #[test]
    fn there_are_as_many_servers_as_may_be_and_the_dead_make_room() {
        let mut reference = Reference::new(at(0), Entries::new());
        for number in 0..SERVERS_MAX {
            assert_eq!(ask(&mut reference, 0, Question::Rank, &format!("s{number}")).status, OK);
        }
        assert_eq!(ask(&mut reference, 0, Question::Rank, "more").status, ERROR);
        for now_ms in (0..7_000).step_by(1_000) {
            reference.handle_tick(at(now_ms));
        }
        assert_eq!(ask(&mut reference, 7_000, Question::Rank, "more").status, OK);
    }

    proptest! {
        #[test]
        fn nothing_that_is_asked_does_harm(requests in proptest::collection::vec(
            (0_u64..3_000, proptest::collection::vec(any::<u8>(), 0..60)), 0..20,
        )) {
            let mut reference = Reference::new(at(0), Entries::new());
            let mut now_ms = 0;
            for (step_ms, request) in requests {
                now_ms += step_ms;
                prop_assert!(!reference.handle_request(at(now_ms), &request).is_empty());
            }
        }
    }
}
