//! `swarmmq stream`.

use clap::{ArgAction, Args, Subcommand};
use swarmmq::{DestinationKind, DestinationName, DestinationSettings};

use crate::connection::Connection;
use crate::console::Console;
use crate::destination::{Deeds, DestinationChanges, Removal};
use crate::failure::Failure;

/// Streams: logs that any number of groups read, each at its own pace
#[derive(Debug, Args)]
pub(crate) struct Stream {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// List streams
    #[command(
        alias = "list",
        after_help = "\
EXAMPLES:
  swarmmq stream ls
  swarmmq stream ls events. --json"
    )]
    Ls(Listing),
    /// Describe a stream
    #[command(after_help = "\
EXAMPLES:
  swarmmq stream info events
  swarmmq stream info events --json | jq .last_sequence")]
    Info(Named),
    /// Make a stream, or find it made with the same settings
    #[command(after_help = "\
EXAMPLES:
  swarmmq stream create events --max-age 7d
  swarmmq stream create prices --last-per-key")]
    Create(Settings),
    /// Change settings of a stream
    #[command(after_help = "\
EXAMPLES:
  swarmmq stream update events --max-age 30d
  swarmmq stream update prices --last-per-key=false")]
    Update(Settings),
    /// Remove the messages of a stream
    #[command(after_help = "\
EXAMPLES:
  swarmmq stream purge events
  swarmmq stream purge events --yes")]
    Purge(Emptied),
    /// Remove a stream with all it holds
    #[command(
        alias = "rm",
        after_help = "\
EXAMPLES:
  swarmmq stream delete events
  swarmmq stream delete events --yes"
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

    /// Keep only the last message of each key
    #[arg(
        long,
        value_name = "BOOL",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        action = ArgAction::Set
    )]
    last_per_key: Option<bool>,

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

impl Stream {
    pub(crate) async fn run(self: Box<Self>, console: Console) -> Result<(), Failure> {
        let deed = self.deed;
        if let Deed::Update(settings) = &deed
            && settings.changes.is_empty()
            && settings.last_per_key.is_none()
        {
            return Err(Failure::usage("there is nothing to change: give at least one setting")
                .hint("see: swarmmq stream update --help"));
        }
        let client = deed.connection().connect(&console).await?;
        let deeds = Deeds { client, console, kind: DestinationKind::Stream };
        match deed {
            Deed::Ls(Listing { prefix, .. }) => deeds.list(&prefix).await,
            Deed::Info(Named { name, .. }) => deeds.info(&name).await,
            Deed::Create(wanted) => {
                deeds.create(&wanted.name, wanted.applied_to(DestinationSettings::stream())).await?;
                deeds.did("created", &wanted.name)
            }
            Deed::Update(wanted) => {
                let settings = wanted.applied_to(deeds.find(&wanted.name).await?.settings);
                settings.validate().map_err(Failure::usage)?;
                deeds.client.update_destination(&wanted.name, settings).await?;
                deeds.did("updated", &wanted.name)
            }
            Deed::Purge(Emptied { removal, .. }) => deeds.purge(&removal).await,
            Deed::Delete(Emptied { removal, .. }) => deeds.delete(&removal).await,
        }
    }
}

impl Settings {
    fn applied_to(&self, mut settings: DestinationSettings) -> DestinationSettings {
        self.changes.apply(&mut settings);
        settings.last_per_key = self.last_per_key.unwrap_or(settings.last_per_key);
        settings
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
