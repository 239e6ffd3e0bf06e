//! `swarmmq-chat server`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use clap::Args;
use futures_util::FutureExt;
use swarmmq::zeromq::{
    LazyPirateClient, OmqConnector, Publisher, Replier, RequestOptions, SubscribeError, Subscriber,
    SubscriberOptions, Update,
};
use tokio::sync::mpsc;
use tokio::task::block_in_place;

use crate::console::Console;
use crate::file_store::FileStore;
use crate::name::{self, REPLICA, SERVERS};
use crate::server::machine::{Output, Server};
use crate::time::MachineClock;
use crate::{signals, wire};

/// How often a server looks what is due.
const TICK: Duration = Duration::from_millis(100);

/// How long the reference may take to answer.
const ANSWER: Duration = Duration::from_millis(1_000);

/// How long a peer may be silent before its connection is taken for lost.
const HEARTBEAT: Duration = Duration::from_secs(2);

/// Most publications that are kept with one write.
const BATCH_MAX: usize = 256;

/// Run a chat server
///
/// It answers OK when what was written is on its disk; the other servers then have it within seconds, and also those that
/// come back or come late. Two servers must not have the same name or the same folder.
#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  swarmmq-chat server --name server-001
  swarmmq-chat server --name server-002 --broker tcp://node:5556 --proxy-in tcp://node:5557 \\
      --proxy-out tcp://node:5558 --reference tcp://ref:6000 --data /var/lib/chat/server-002")]
pub(crate) struct ServerVerb {
    /// Its name, which no other server has
    #[arg(long, value_name = "NAME", env = "CHAT_NAME")]
    name: String,

    /// Where servers connect to the broker of requests
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5556", env = "CHAT_BROKER")]
    broker: String,

    /// Where publishers connect to the proxy
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5557", env = "CHAT_PROXY_IN")]
    proxy_in: String,

    /// Where subscribers connect to the proxy
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5558", env = "CHAT_PROXY_OUT")]
    proxy_out: String,

    /// The reference
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:6000", env = "CHAT_REFERENCE")]
    reference: String,

    /// Folder of publications.jsonl, messages.jsonl and registry.json [default: chat-data/NAME]
    #[arg(long, value_name = "FOLDER", env = "CHAT_DATA")]
    data: Option<PathBuf>,

    /// Have this server's clock be wrong by so many milliseconds, to see the servers agree
    #[arg(
        long,
        value_name = "MS",
        default_value_t = 0,
        allow_negative_numbers = true,
        env = "CHAT_CLOCK_ERROR_MS"
    )]
    clock_error_ms: i64,
}

impl ServerVerb {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        name::check(&self.name).with_context(|| format!("--name {}", self.name.escape_debug()))?;
        let console = Console::new(&self.name);
        let folder = self.data.clone().unwrap_or_else(|| PathBuf::from("chat-data").join(&self.name));
        let (store, repairs) = FileStore::open(&folder)?;
        for repair in repairs {
            console
                .warn(&format!("{}: última linha incompleta removida ({} bytes)", repair.file, repair.bytes));
        }
        let program = Program {
            server: Server::new(&self.name, store),
            clock: MachineClock::new(self.clock_error_ms),
            links: Links::connect(&self).await?,
            console: console.clone(),
            dropped: 0,
        };
        console.say(&format!("servidor iniciado; dados em {}", folder.display()));
        tokio::select! {
            ended = program.run() => ended?,
            asked = signals::asked_to_end() => asked?,
        }
        console.say("encerrado");
        Ok(())
    }
}

/// The sockets of a server.
struct Links {
    requests: Replier<OmqConnector>,
    subscriber: Subscriber<OmqConnector>,
    publisher: Publisher<OmqConnector>,
    questions: mpsc::Sender<Vec<u8>>,
    answers: mpsc::Receiver<Option<Bytes>>,
}

impl Links {
    async fn connect(verb: &ServerVerb) -> anyhow::Result<Self> {
        let tuned =
            |connector: OmqConnector| connector.heartbeats(HEARTBEAT).max_message_size(wire::WIRE_BYTES_MAX);
        let requests = Replier::connect(tuned(OmqConnector::replier([&verb.broker])?)).await?;
        let publisher = Publisher::connect(tuned(OmqConnector::publisher([&verb.proxy_in])?)).await?;
        // Every message is new: nothing is to be kept of topics.
        let options = SubscriberOptions::default().keep(0, 0);
        let subscriber = tuned(OmqConnector::subscriber([&verb.proxy_out])?);
        let mut subscriber = Subscriber::connect(subscriber, options).await?;
        subscriber.subscribe(REPLICA).await?;
        subscriber.subscribe(SERVERS).await?;
        // The server asks again by itself.
        let once = RequestOptions::default().timeout(ANSWER).attempts(1);
        let reference = LazyPirateClient::new(OmqConnector::dealer([&verb.reference])?, once)?;
        let (questions, asked) = mpsc::channel(1);
        let (answered, answers) = mpsc::channel(1);
        tokio::spawn(ask(reference, asked, answered));
        Ok(Self { requests, subscriber, publisher, questions, answers })
    }
}

/// Asks the reference one question after the other; `None` is no answer.
async fn ask(
    mut reference: LazyPirateClient<OmqConnector>,
    mut asked: mpsc::Receiver<Vec<u8>>,
    answered: mpsc::Sender<Option<Bytes>>,
) {
    while let Some(question) = asked.recv().await {
        let answer = reference.request([question]).await.ok();
        let answer = answer.and_then(|frames| frames.into_iter().next());
        if answered.send(answer).await.is_err() {
            return;
        }
    }
}

/// A server and what is around it.
struct Program {
    server: Server<FileStore>,
    clock: MachineClock,
    links: Links,
    console: Console,
    /// Publications for which there was no room.
    dropped: u64,
}

impl Program {
    /// Runs until the disk or a socket fails.
    async fn run(mut self) -> anyhow::Result<()> {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            // Writing to disk holds this thread up; the runtime has others.
            tokio::select! {
                request = self.links.requests.next_request() => {
                    let request = request?;
                    let now = self.clock.now();
                    let reply = block_in_place(|| self.server.handle_request(now, request.body()))?;
                    // Who does not wait for it any more was not told that it was done, and asks again.
                    let _ = request.reply([reply]);
                }
                update = self.links.subscriber.recv() => self.take(update)?,
                Some(answer) = self.links.answers.recv() => {
                    let now = self.clock.now();
                    block_in_place(|| self.server.handle_answer(now, answer.as_deref()))?;
                }
                _ = ticks.tick() => {
                    let now = self.clock.now();
                    block_in_place(|| self.server.handle_tick(now))?;
                }
            }
            self.perform();
        }
    }

    /// Takes a publication, and all that have come behind it.
    fn take(&mut self, first: Result<Update, SubscribeError>) -> anyhow::Result<()> {
        let mut publications = Vec::new();
        let mut next = Some(first);
        while let Some(update) = next {
            let mut update = update?;
            if update.payload.len() == 1 {
                publications.extend(update.payload.pop().map(|body| (update.topic, body)));
            }
            let more = publications.len() < BATCH_MAX;
            next = more.then(|| self.links.subscriber.recv().now_or_never()).flatten();
        }
        let now = self.clock.now();
        Ok(block_in_place(|| self.server.handle_publications(now, &publications))?)
    }

    fn perform(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Say(text) => self.console.say(&text),
                Output::Warn(text) => self.console.warn(&text),
                Output::Ask { body } => {
                    // There is room, since there is one question at a time.
                    let _ = self.links.questions.try_send(body);
                }
                Output::Publish { topic, body } => {
                    if self.links.publisher.publish(topic, [body]).is_err() {
                        self.dropped += 1;
                        let dropped = self.dropped;
                        if dropped.is_power_of_two() {
                            self.console.warn(&format!("{dropped} publicações sem lugar na fila até agora"));
                        }
                    }
                }
            }
        }
    }
}
