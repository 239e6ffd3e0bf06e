//! `swarmmq-chat reference`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use swarmmq::zeromq::{OmqConnector, Replier};

use crate::console::Console;
use crate::file_store::lock;
use crate::reference::machine::{Entries, News, Reference};
use crate::time::MachineClock;
use crate::{signals, whole_file};

/// How often it looks who is still alive.
const TICK: Duration = Duration::from_millis(250);

/// Run the reference: ranks, heartbeats, the list of servers, the time
///
/// A server that is silent for six seconds leaves the list, and keeps its rank for when it comes back. Ranks are in
/// ref_servers.json and outlive the reference.
#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  swarmmq-chat reference
  swarmmq-chat reference --bind tcp://127.0.0.1:6000 --data /var/lib/chat/ref")]
pub(crate) struct ReferenceVerb {
    /// Where servers ask
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://*:6000", env = "CHAT_REFERENCE_BIND")]
    bind: String,

    /// Folder of ref_servers.json
    #[arg(long, value_name = "FOLDER", default_value = "chat-data/ref", env = "CHAT_DATA")]
    data: PathBuf,
}

impl ReferenceVerb {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let console = Console::new("ref");
        whole_file::make_folder(&self.data).with_context(|| self.data.display().to_string())?;
        let _lock = lock(&self.data)?;
        let path = self.data.join("ref_servers.json");
        let entries = whole_file::read::<Entries>(&path)?.unwrap_or_default();
        let clock = MachineClock::new(0);
        let reference = Reference::new(clock.now(), entries);
        let connector = OmqConnector::replier([&self.bind])?.bound();
        let replier =
            Replier::connect(connector).await.with_context(|| format!("cannot bind {}", self.bind))?;
        console.say(&format!("servidor de referência iniciado em {}", self.bind));
        tokio::select! {
            ended = serve(reference, clock, replier, &path, &console) => ended?,
            asked = signals::asked_to_end() => asked?,
        }
        console.say("encerrado");
        Ok(())
    }
}

async fn serve(
    mut reference: Reference,
    clock: MachineClock,
    mut replier: Replier<OmqConnector>,
    path: &Path,
    console: &Console,
) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        let asked = tokio::select! {
            request = replier.next_request() => Some(request?),
            _ = ticks.tick() => None,
        };
        let reply = match asked.as_ref().map(|request| request.body()) {
            Some([body]) => Some(reference.handle_request(clock.now(), body)),
            Some(_) => Some(reference.handle_request(clock.now(), &[])),
            None => {
                reference.handle_tick(clock.now());
                None
            }
        };
        if let Some(entries) = reference.take_changed() {
            tokio::task::block_in_place(|| whole_file::write(path, entries))?;
        }
        for news in reference.take_news() {
            match news {
                News::Joined { server, rank } => console.say(&format!("{server} entrou com rank {rank}")),
                News::Died { server } => console.warn(&format!("{server} removido: sem heartbeat")),
            }
        }
        if let (Some(request), Some(reply)) = (asked, reply) {
            // Who does not wait for it any more asks again.
            let _ = request.reply([reply]);
        }
    }
}
