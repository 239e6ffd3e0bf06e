//! `swarmmq queue`.

use clap::{Args, Subcommand};
use swarmmq::{DestinationKind, DestinationName, DestinationSettings, ErrorCode, GroupName, GroupSettings};

use crate::connection::Connection;
use crate::console::Console;
use crate::destination::{Deeds, DestinationChanges, GroupChanges, Removal};
use crate::failure::Failure;

/// Queues: each message goes to one consumer, and goes away when it is acknowledged
#[derive(Debug, Args)]
pub(crate) struct Queue {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// List queues
    #[command(
        alias = "list",
        after_help = "\
EXAMPLES:
  swarmmq queue ls
  swarmmq queue ls orders. --json"
    )]
    Ls(Listing),
    /// Describe a queue
    #[command(after_help = "\
EXAMPLES:
  swarmmq queue info orders
  swarmmq queue info orders --json | jq .messages")]
    Info(Named),
    /// Make a queue, or find it made with the same settings
    #[command(after_help = "\
EXAMPLES:
  swarmmq queue create orders
  swarmmq queue create orders --max-messages 1000000 --max-deliveries 5 --dead-letter orders.dead")]
    Create(Settings),
    /// Change settings of a queue
    #[command(after_help = "\
EXAMPLES:
  swarmmq queue update orders --max-size 10GiB
  swarmmq queue update orders --ack-timeout 2m")]
    Update(Settings),
    /// Remove the messages of a queue
    #[command(after_help = "\
EXAMPLES:
  swarmmq queue purge orders
  swarmmq queue purge orders --yes")]
    Purge(Emptied),
    /// Remove a queue with all it holds
    #[command(
        alias = "rm",
        after_help = "\
EXAMPLES:
  swarmmq queue delete orders
  swarmmq queue delete orders --yes"
    )]
    Delete(Emptied),
}

#[derive(Debug, Args)]
struct Listing {
    /// Only those whose names begin with this
    #[arg(default_value = "", hide_default_value = true)]
    prefix: String,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Named {
    /// Its name
    name: DestinationName,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Settings {
    /// Its name
    name: DestinationName,

    #[command(flatten)]
    changes: DestinationChanges,

    #[command(flatten)]
    group: GroupChanges,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Emptied {
    #[command(flatten)]
    removal: Removal,

    #[command(flatten)]
    connection: Connection,
}

impl Queue {
    pub(crate) async fn run(self: Box<Self>, console: Console) -> Result<(), Failure> {
        let deed = self.deed;
        if let Deed::Update(settings) = &deed
            && settings.changes.is_empty()
            && settings.group.is_empty()
        {
            return Err(Failure::usage("there is nothing to change: give at least one setting")
                .hint("see: swarmmq queue update --help"));
        }
        let client = deed.connection().connect(&console).await?;
        let deeds = Deeds { client, console, kind: DestinationKind::Queue };
        match deed {
            Deed::Ls(Listing { prefix, .. }) => deeds.list(&prefix).await,
            Deed::Info(Named { name, .. }) => deeds.info(&name).await,
            Deed::Create(settings) => create(&deeds, &settings).await,
            Deed::Update(settings) => update(&deeds, &settings).await,
            Deed::Purge(Emptied { removal, .. }) => deeds.purge(&removal).await,
            Deed::Delete(Emptied { removal, .. }) => deeds.delete(&removal).await,
        }
    }
}

impl Deed {
    fn connection(&self) -> &Connection {
        match self {
            Self::Ls(Listing { connection, .. })
            | Self::Info(Named { connection, .. })
            | Self::Create(Settings { connection, .. })
            | Self::Update(Settings { connection, .. })
            | Self::Purge(Emptied { connection, .. })
            | Self::Delete(Emptied { connection, .. }) => connection,
        }
    }
}

async fn create(deeds: &Deeds, wanted: &Settings) -> Result<(), Failure> {
    let mut settings = DestinationSettings::queue();
    wanted.changes.apply(&mut settings);
    deeds.create(&wanted.name, settings).await?;
    set_group(deeds, wanted).await?;
    deeds.did("created", &wanted.name)
}

async fn update(deeds: &Deeds, wanted: &Settings) -> Result<(), Failure> {
    let info = deeds.find(&wanted.name).await?;
    if !wanted.changes.is_empty() {
        let mut settings = info.settings;
        wanted.changes.apply(&mut settings);
        settings.validate().map_err(Failure::usage)?;
        deeds.client.update_destination(&wanted.name, settings).await?;
    }
    set_group(deeds, wanted).await?;
    deeds.did("updated", &wanted.name)
}

/// Gives the group that every queue has the settings that the user names.
async fn set_group(deeds: &Deeds, wanted: &Settings) -> Result<(), Failure> {
    if wanted.group.is_empty() {
        return Ok(());
    }
    let group = GroupName::default_group();
    let info = deeds.find(&wanted.name).await?;
    let known = info.groups.into_iter().find(|known| known.name == group);
    let mut settings = known.map_or_else(GroupSettings::default, |known| known.settings);
    wanted.group.apply(&mut settings);
    settings.validate(&wanted.name).map_err(Failure::usage)?;
    match deeds.client.update_group(&wanted.name, &group, settings.clone()).await {
        Err(error) if error.code() == Some(ErrorCode::UnknownGroup) => {
            Ok(deeds.client.create_group(&wanted.name, &group, settings).await?)
        }
        result => Ok(result?),
    }
}
