//! A person at a terminal.

use std::io::BufRead;

use tokio::sync::mpsc;

use crate::client::session::{Session, SessionError};
use crate::console::Console;
use crate::record::TEXT_BYTES_MAX;

const HELP: &str = "\
escreva uma mensagem, ou: /canais, /canal NOME, /msg USUÁRIO TEXTO, /usuarios, /ajuda, /sair";

/// A line that a person wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Input<'a> {
    Text(&'a str),
    Channels,
    Channel(&'a str),
    Message { to: &'a str, text: &'a str },
    Users,
    Help,
    Quit,
    Nothing,
}

fn parse(line: &str) -> Input<'_> {
    let line = line.trim();
    let Some(command) = line.strip_prefix('/') else {
        return if line.is_empty() { Input::Nothing } else { Input::Text(line) };
    };
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    match (verb, rest.trim()) {
        ("canais" | "channels", _) => Input::Channels,
        ("canal" | "join", name) if !name.is_empty() => Input::Channel(name),
        ("msg", rest) => match rest.split_once(' ') {
            Some((to, text)) => Input::Message { to, text: text.trim() },
            None => Input::Help,
        },
        ("usuarios" | "users", _) => Input::Users,
        ("sair" | "quit", _) => Input::Quit,
        _ => Input::Help,
    }
}

/// The lines of standard input. A thread of its own reads them: a read of a terminal cannot be given up.
fn lines() -> mpsc::Receiver<String> {
    let (read, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            let Ok(line) = line else { return };
            if read.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Does what a person writes, until they leave or their input ends.
pub(crate) async fn run(session: &mut Session, console: &Console, user: &str, channels: &[String]) {
    let mut channels = channels.to_vec();
    let mut current = channels.first().cloned().unwrap_or_default();
    console.say(&format!("canal #{current}; {HELP}"));
    let mut lines = lines();
    while let Some(line) = lines.recv().await {
        if line.len() > TEXT_BYTES_MAX {
            console.warn(&format!("a mensagem tem {} bytes, o limite é {TEXT_BYTES_MAX}", line.len()));
            continue;
        }
        let result: Result<(), SessionError> = match parse(&line) {
            Input::Text(text) => session.publish(user, &current, text).await,
            Input::Message { to, text } => session.message(user, to, text).await,
            Input::Channels => session.channels().await.map(|found| {
                channels = found;
                console.say(&format!("canais: {}", channels.join(", ")));
            }),
            Input::Users => session.register(user).await.map(|users| {
                console.say(&format!("usuários: {}", users.join(", ")));
            }),
            Input::Channel(name) => {
                if channels.iter().any(|channel| channel == name) {
                    current = name.to_owned();
                    console.say(&format!("canal #{current}"));
                } else {
                    console.warn("canal inexistente");
                }
                Ok(())
            }
            Input::Help => {
                console.say(HELP);
                Ok(())
            }
            Input::Nothing => Ok(()),
            Input::Quit => return,
        };
        if let Err(error) = result {
            console.warn(&error.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_messages_or_commands() {
        assert_eq!(parse(" olá a todos "), Input::Text("olá a todos"));
        assert_eq!(parse("/canal dev"), Input::Channel("dev"));
        assert_eq!(parse("/msg ana  oi, tudo bem?"), Input::Message { to: "ana", text: "oi, tudo bem?" });
        for (line, input) in [
            ("/canais", Input::Channels),
            ("/usuarios", Input::Users),
            ("/sair", Input::Quit),
            ("/canal", Input::Help),
            ("/msg ana", Input::Help),
            ("/", Input::Help),
            ("  ", Input::Nothing),
        ] {
            assert_eq!(parse(line), input, "{line}");
        }
    }
}
