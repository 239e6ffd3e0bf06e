//! A bot: it writes ten messages to a channel, then ten to another, and so on.

use std::time::Duration;

use rand::seq::IndexedRandom;

use crate::client::session::Session;
use crate::console::Console;

/// Messages to one channel before another is chosen.
const MESSAGES_PER_CHANNEL: u64 = 10;

/// Writes for ever, or as many messages as it is told.
pub(crate) async fn run(
    session: &mut Session,
    console: &Console,
    user: &str,
    channels: &[String],
    interval: Duration,
    count: Option<u64>,
) {
    Console::new("BOT").say(&format!("{user} iniciado e enviando mensagens automáticas..."));
    let mut pace = tokio::time::interval(interval);
    pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut channel: Option<&String> = None;
    for number in 0..count.unwrap_or(u64::MAX) {
        pace.tick().await;
        if number % MESSAGES_PER_CHANNEL == 0 {
            channel = channels.choose(&mut rand::rng());
        }
        let Some(channel) = channel else { return };
        let text = format!("auto-msg {} de {user}", number % MESSAGES_PER_CHANNEL + 1);
        if let Err(error) = session.publish(user, channel, &text).await {
            console.warn(&format!("{text}: {error}"));
        }
    }
}
