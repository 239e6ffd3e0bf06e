//! What is done to destinations of one kind.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::Args;
use serde_json::json;
use swarmmq::protocol::limits::PAGE_MAX;
use swarmmq::{Client, DestinationInfo, DestinationKind, DestinationName, DestinationSettings};

use super::record::{self, DestinationRecord};
use super::{group_table, shown};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::quantity::show_count;

/// A destination to empty or to remove.
#[derive(Debug, Clone, Args)]
pub(crate) struct Removal {
    /// Its name
    name: DestinationName,

    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

/// What is done to destinations of one kind: `queue` does not touch streams, nor `stream` queues.
#[derive(Debug)]
pub(crate) struct Deeds {
    pub(crate) client: Client,
    pub(crate) console: Console,
    pub(crate) kind: DestinationKind,
}

impl Deeds {
    fn kind(&self) -> &'static str {
        record::kind(self.kind)
    }

    /// Lists those whose names begin with `prefix`.
    pub(crate) async fn list(&self, prefix: &str) -> Result<(), Failure> {
        let mut found: Vec<DestinationInfo> = Vec::new();
        let mut after: Option<DestinationName> = None;
        loop {
            let page = self.client.list_destinations(prefix, after.as_ref(), PAGE_MAX as u32).await?;
            after = page.last().map(|info| info.name.clone());
            let last = page.len() < PAGE_MAX;
            let ours = page.into_iter().filter(|info| info.settings.kind == self.kind);
            if self.console.is_json() {
                for info in ours {
                    self.console.object(&DestinationRecord::from(&info))?;
                }
            } else {
                found.extend(ours);
            }
            if last {
                break;
            }
        }
        if self.console.is_json() {
            return Ok(());
        }
        if found.is_empty() {
            let beginning =
                if prefix.is_empty() { String::new() } else { format!(" that begins with {prefix}") };
            self.console.note(format!("there is no {}{beginning}", self.kind()));
            return Ok(());
        }
        shown::destination_table(self.kind, &found).print(&self.console)
    }

    /// Describes one of our kind.
    pub(crate) async fn find(&self, name: &DestinationName) -> Result<DestinationInfo, Failure> {
        let info = self.client.describe_destination(name).await?;
        if info.settings.kind == self.kind {
            return Ok(info);
        }
        let (kind, other) = (self.kind(), record::kind(info.settings.kind));
        Err(Failure::failed(format!("{name} is a {other}, not a {kind}"))
            .hint(format!("use: swarmmq {other} …")))
    }

    pub(crate) async fn info(&self, name: &DestinationName) -> Result<(), Failure> {
        let info = self.find(name).await?;
        if self.console.is_json() {
            return self.console.object(&DestinationRecord::from(&info));
        }
        shown::destination_facts(&info).print(&self.console)?;
        if !info.groups.is_empty() {
            self.console.line("")?;
            group_table(&info.groups).print(&self.console)?;
        }
        Ok(())
    }

    pub(crate) async fn create(
        &self,
        name: &DestinationName,
        settings: DestinationSettings,
    ) -> Result<(), Failure> {
        settings.validate().map_err(Failure::usage)?;
        self.client.create_destination(name, settings).await.map_err(|error| {
            let failure = Failure::from(error);
            if failure.is(swarmmq::ErrorCode::AlreadyExists) {
                return failure.hint(format!("change it with: swarmmq {} update {name}", self.kind()));
            }
            failure
        })?;
        Ok(())
    }

    pub(crate) async fn purge(&self, removal: &Removal) -> Result<(), Failure> {
        let info = self.find(&removal.name).await?;
        self.confirm(removal, &info, "purge")?;
        self.client.purge_destination(&removal.name).await?;
        self.did("purged", &removal.name)
    }

    pub(crate) async fn delete(&self, removal: &Removal) -> Result<(), Failure> {
        let info = self.find(&removal.name).await?;
        self.confirm(removal, &info, "delete")?;
        self.client.delete_destination(&removal.name).await?;
        self.did("deleted", &removal.name)
    }

    /// Says what was done to `name`.
    pub(crate) fn did(&self, participle: &str, name: &DestinationName) -> Result<(), Failure> {
        let kind = self.kind();
        let done = json!({ "done": participle, "kind": kind, "name": name.as_str() });
        self.console.done(format!("{kind} {name} {participle}"), &done)
    }

    /// Asks a person; a script has said what it wants.
    fn confirm(&self, removal: &Removal, info: &DestinationInfo, verb: &str) -> Result<(), Failure> {
        let somebody = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        if removal.yes || info.messages == 0 || !somebody {
            return Ok(());
        }
        let (kind, name, messages) = (self.kind(), &info.name, show_count(info.messages));
        eprint!("{verb} {kind} {name} and its {messages} messages? [y/N] ");
        let mut answer = String::new();
        let _ = std::io::stderr().flush();
        std::io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|error| Failure::failed(format!("cannot read the answer: {error}")).hint("say --yes"))?;
        match answer.trim() {
            "y" | "Y" | "yes" => Ok(()),
            _ => Err(Failure::new(Exit::Failed, "nothing was done")),
        }
    }
}
