//! `swarmmq-chat client`.

use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::client::inbox::Inbox;
use crate::client::session::{Session, SessionError, SharedClock};
use crate::client::{bot, interactive};
use crate::console::Console;
use crate::{name, signals};

/// Chat, as a person or as a bot
///
/// A person writes lines to a channel; /ajuda shows what else there is. Everything in all channels is shown, and what is
/// written to the user.
#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  swarmmq-chat client --user ana
  swarmmq-chat client --auto --interval-ms 200
  echo 'bom dia' | swarmmq-chat client --user ana")]
pub(crate) struct ClientVerb {
    /// Name of the user [default: user and four digits]
    #[arg(long, value_name = "NAME", env = "CHAT_USER")]
    user: Option<String>,

    /// Write by itself
    #[arg(long)]
    auto: bool,

    /// Time between two messages of a bot
    #[arg(long, value_name = "MS", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..), requires = "auto")]
    interval_ms: u64,

    /// End after so many messages of a bot [default: never]
    #[arg(long, value_name = "N", requires = "auto")]
    count: Option<u64>,

    /// Where clients connect to the broker of requests
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5555", env = "CHAT_BROKER")]
    broker: String,

    /// Where subscribers connect to the proxy
    #[arg(long, value_name = "ADDRESS", default_value = "tcp://127.0.0.1:5558", env = "CHAT_PROXY_OUT")]
    proxy_out: String,
}

impl ClientVerb {
    pub(crate) async fn run(self) -> anyhow::Result<()> {
        let user = self.user.clone().unwrap_or_else(|| format!("user{}", rand::random_range(1_000..10_000)));
        name::check(&user).with_context(|| format!("--user {}", user.escape_debug()))?;
        let console = Console::new(&user);
        let clock = SharedClock::default();
        let mut session = Session::new(&self.broker, clock.clone())?;
        let channels = tokio::select! {
            begun = begin(&mut session, &console, &user) => begun?,
            asked = signals::asked_to_end() => return Ok(asked?),
        };
        let mut inbox = Inbox::open(&self.proxy_out, &user, &channels, clock).await?;
        let heard = console.clone();
        let hearing = async move {
            loop {
                heard.say(&inbox.next().await?);
            }
        };
        let writing = async {
            if self.auto {
                let interval = Duration::from_millis(self.interval_ms);
                bot::run(&mut session, &console, &user, &channels, interval, self.count).await;
            } else {
                interactive::run(&mut session, &console, &user, &channels).await;
            }
        };
        tokio::select! {
            failed = hearing => failed,
            () = writing => Ok(()),
            asked = signals::asked_to_end() => Ok(asked?),
        }
    }
}

/// Registers and asks for the channels, for as long as it takes for a server to be there.
async fn begin(session: &mut Session, console: &Console, user: &str) -> anyhow::Result<Vec<String>> {
    loop {
        match session.register(user).await {
            Ok(_) => break,
            Err(SessionError::NoReply(_)) => console.warn("nenhum servidor responde; tentando de novo"),
            Err(refused) => return Err(refused.into()),
        }
    }
    Ok(session.channels().await?)
}
