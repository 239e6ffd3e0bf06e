//! The command line as a whole.

use std::future::Future;

use clap::{Parser, Subcommand};

use crate::console::Console;
use crate::failure::{EXIT_CODES, Failure};
use crate::signals::Signals;
use crate::verb::bench::Bench;
use crate::verb::completions::Completions;
use crate::verb::consume::Consume;
use crate::verb::group::Group;
use crate::verb::health::Health;
use crate::verb::journal::Journal;
use crate::verb::key::Key;
use crate::verb::node::NodeVerb;
use crate::verb::produce::Produce;
use crate::verb::queue::Queue;
use crate::verb::services::Services;
use crate::verb::stream::Stream;
use crate::verb::zeromq::Zeromq;

const EXAMPLES: &str = "\
EXAMPLES:
  swarmmq node
  swarmmq produce --destination orders --message \"two coffees\"
  swarmmq consume --destination orders --count 1
  swarmmq queue ls";

/// Durable queues and streams for ZeroMQ fleets, in one program.
#[derive(Debug, Parser)]
#[command(
    name = "swarmmq",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"),
    max_term_width = 110
)]
pub(crate) struct Command {
    #[command(subcommand)]
    pub(crate) verb: Verb,

    /// Write one JSON object a line, for programs; errors too, on standard error
    #[arg(long, global = true, help_heading = "Output")]
    pub(crate) json: bool,

    /// Write results and errors only
    #[arg(short, long, global = true, help_heading = "Output")]
    pub(crate) quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Node(Box<NodeVerb>),
    #[command(alias = "producer-client")]
    Produce(Box<Produce>),
    #[command(alias = "consumer-client")]
    Consume(Box<Consume>),
    Queue(Box<Queue>),
    Stream(Box<Stream>),
    Group(Box<Group>),
    Bench(Box<Bench>),
    Health(Health),
    Journal(Journal),
    Key(Key),
    Zeromq(Zeromq),
    Services(Box<Services>),
    Completions(Completions),
}

impl Verb {
    pub(crate) fn run(self, console: Console) -> Result<(), Failure> {
        match self {
            // A node listens for signals itself, once it serves; before that they end it as they end any program.
            Self::Node(verb) => block_on(verb.run(console)),
            Self::Produce(verb) => serve(|signals| verb.run(console, signals)),
            Self::Consume(verb) => serve(|signals| verb.run(console, signals)),
            Self::Queue(verb) => interruptible(verb.run(console)),
            Self::Stream(verb) => interruptible(verb.run(console)),
            Self::Group(verb) => interruptible(verb.run(console)),
            Self::Bench(verb) => serve(|signals| verb.run(console, signals)),
            Self::Health(verb) => verb.run(console),
            Self::Journal(verb) => verb.run(console),
            Self::Key(verb) => verb.run(console),
            Self::Zeromq(verb) => verb.run(console),
            Self::Services(verb) => interruptible(verb.run(console)),
            Self::Completions(verb) => verb.run(),
        }
    }
}

/// Runs a verb.
fn block_on(verb: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start the program's threads: {error}")))?;
    let result = runtime.block_on(verb);
    // What still runs, such as a thread that waits for standard input, is not waited for.
    runtime.shutdown_background();
    result
}

/// Runs a verb that ends by itself when it is asked to.
fn serve<F: Future<Output = Result<(), Failure>>>(verb: impl FnOnce(Signals) -> F) -> Result<(), Failure> {
    block_on(async { verb(Signals::listen()?).await })
}

/// Runs a verb that can be dropped wherever it stands.
fn interruptible(verb: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    serve(|mut signals| async move {
        tokio::select! {
            result = verb => result,
            _ = signals.asked() => Err(Failure::interrupted()),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        Command::command().debug_assert();
    }

    /// Every command that does something, with its path.
    fn leaves(command: &clap::Command, path: &str, found: &mut Vec<(String, clap::Command)>) {
        for verb in command.get_subcommands() {
            let path = format!("{path} {}", verb.get_name());
            if verb.has_subcommands() {
                leaves(verb, &path, found);
            } else {
                found.push((path, verb.clone()));
            }
        }
    }

    #[test]
    fn every_verb_has_examples_that_parse() {
        let mut found = Vec::new();
        leaves(&Command::command(), "swarmmq", &mut found);
        assert!(found.len() > 20, "{}", found.len());
        for (path, verb) in found {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<_> = help.lines().filter(|line| line.contains("swarmmq ")).collect();
            assert!(help.starts_with("EXAMPLES:") && !examples.is_empty(), "{path} has no examples");
            for example in examples {
                let words = words(example);
                assert!(example.contains(&path), "an example of {path} shows another verb: {example}");
                if let Err(error) = Command::try_parse_from(&words) {
                    panic!("{example}\n{words:?}\n{error}");
                }
            }
        }
    }

    /// The words of the first command of a shell line, without pipes and redirections.
    fn words(line: &str) -> Vec<String> {
        let start = line.find("swarmmq ").unwrap_or(0);
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        for character in line[start..].chars() {
            match character {
                '"' => quoted = !quoted,
                '|' | '<' | '>' | '#' if !quoted => break,
                ' ' if !quoted => {
                    words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()))
                }
                character => word.push(character),
            }
        }
        words.extend(Some(word).filter(|word| !word.is_empty()));
        words
    }
}
