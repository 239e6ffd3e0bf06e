//! `swarmmq group`.

use clap::{Args, Subcommand};
use serde_json::json;
use swarmmq::{
    Client, DestinationInfo, DestinationName, ErrorCode, ErrorReply, GroupInfo, GroupName, GroupSettings,
    Position,
};

use crate::connection::Connection;
use crate::console::Console;
use crate::destination::{GroupChanges, GroupRecord, StartArgument, group_facts, group_table, position};
use crate::failure::Failure;

/// Groups: who reads a destination, and where each of them stands
#[derive(Debug, Args)]
pub(crate) struct Group {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// List the groups of a destination
    #[command(
        alias = "list",
        after_help = "\
EXAMPLES:
  swarmmq group ls events
  swarmmq group ls events --json"
    )]
    Ls(Listing),
    /// Describe a group
    #[command(after_help = "\
EXAMPLES:
  swarmmq group info events audit
  swarmmq group info orders default --json | jq .ready")]
    Info(Named),
    /// Make a group, or find it made with the same settings
    #[command(after_help = "\
EXAMPLES:
  swarmmq group create events audit --start latest
  swarmmq group create events eu --filter key^=eu. --max-deliveries 5 --dead-letter events.dead")]
    Create(Creation),
    /// Change settings of a group
    #[command(after_help = "\
EXAMPLES:
  swarmmq group update events audit --ack-timeout 1m")]
    Update(Update),
    /// Remove a group
    #[command(
        alias = "rm",
        after_help = "\
EXAMPLES:
  swarmmq group delete events audit"
    )]
    Delete(Named),
    /// Stop delivering to a group
    #[command(after_help = "\
EXAMPLES:
  swarmmq group pause events audit")]
    Pause(Named),
    /// Go on delivering to a group
    #[command(after_help = "\
EXAMPLES:
  swarmmq group resume events audit")]
    Resume(Named),
    /// Set a group back or forward
    #[command(after_help = "\
EXAMPLES:
  swarmmq group reset events audit --to earliest
  swarmmq group reset events audit --to 42
  swarmmq group reset events audit --to 2025-01-31T10:00:00Z
  swarmmq group reset events audit --to 2h")]
    Reset(Reset),
}

#[derive(Debug, Args)]
struct Listing {
    /// The destination
    destination: DestinationName,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Named {
    #[command(flatten)]
    of: Names,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Creation {
    #[command(flatten)]
    of: Names,

    #[command(flatten)]
    start: StartArgument,

    #[command(flatten)]
    changes: GroupChanges,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Update {
    #[command(flatten)]
    of: Names,

    #[command(flatten)]
    changes: GroupChanges,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Reset {
    #[command(flatten)]
    of: Names,

    /// Where to: earliest, latest, a sequence as 42, a time as 2025-01-31T10:00:00Z, or an age as 2h
    #[arg(long, value_name = "POSITION", value_parser = position)]
    to: Position,

    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Args)]
struct Names {
    /// The destination
    destination: DestinationName,

    /// The group
    group: GroupName,
}

impl Group {
    pub(crate) async fn run(self: Box<Self>, console: Console) -> Result<(), Failure> {
        let deed = self.deed;
        if let Deed::Update(update) = &deed
            && update.changes.is_empty()
        {
            return Err(Failure::usage("there is nothing to change: give at least one setting")
                .hint("see: swarmmq group update --help"));
        }
        let client = deed.connection().connect(&console).await?;
        match &deed {
            Deed::Ls(listing) => list(&client, console, &listing.destination).await,
            Deed::Info(named) => info(&client, console, &named.of).await,
            Deed::Create(creation) => create(&client, console, creation).await,
            Deed::Update(wanted) => update(&client, console, wanted).await,
            Deed::Delete(Named { of, .. }) => {
                client.delete_group(&of.destination, &of.group).await?;
                of.did("deleted", console)
            }
            Deed::Pause(Named { of, .. }) => {
                client.pause_group(&of.destination, &of.group, true).await?;
                of.did("paused", console)
            }
            Deed::Resume(Named { of, .. }) => {
                client.pause_group(&of.destination, &of.group, false).await?;
                of.did("resumed", console)
            }
            Deed::Reset(Reset { of, to, .. }) => {
                client.reset_group(&of.destination, &of.group, *to).await?;
                of.did("reset", console)
            }
        }
    }
}

impl Deed {
    fn connection(&self) -> &Connection {
        match self {
            Self::Ls(Listing { connection, .. })
            | Self::Info(Named { connection, .. })
            | Self::Create(Creation { connection, .. })
            | Self::Update(Update { connection, .. })
            | Self::Delete(Named { connection, .. })
            | Self::Pause(Named { connection, .. })
            | Self::Resume(Named { connection, .. })
            | Self::Reset(Reset { connection, .. }) => connection,
        }
    }
}

impl Names {
    /// Says what was done.
    fn did(&self, participle: &str, console: Console) -> Result<(), Failure> {
        let Self { destination, group } = self;
        let done = json!({
            "done": participle, "kind": "group", "destination": destination.as_str(), "name": group.as_str(),
        });
        console.done(format!("group {group} of {destination} {participle}"), &done)
    }

    fn find(&self, info: DestinationInfo) -> Result<GroupInfo, Failure> {
        let Self { destination, group } = self;
        info.groups.into_iter().find(|known| known.name == *group).ok_or_else(|| {
            let explanation = format!("{destination} has no group {group}");
            swarmmq::Error::Refused(ErrorReply::new(ErrorCode::UnknownGroup, explanation)).into()
        })
    }
}

async fn list(client: &Client, console: Console, destination: &DestinationName) -> Result<(), Failure> {
    let info = client.describe_destination(destination).await?;
    if console.is_json() {
        for group in &info.groups {
            console.object(&GroupRecord::new(Some(destination.as_str()), group))?;
        }
        return Ok(());
    }
    if info.groups.is_empty() {
        console.note(format!("{destination} has no group"));
        return Ok(());
    }
    group_table(&info.groups).print(&console)
}

async fn info(client: &Client, console: Console, of: &Names) -> Result<(), Failure> {
    let group = of.find(client.describe_destination(&of.destination).await?)?;
    let destination = of.destination.as_str();
    if console.is_json() {
        return console.object(&GroupRecord::new(Some(destination), &group));
    }
    group_facts(destination, &group).print(&console)
}

async fn create(client: &Client, console: Console, wanted: &Creation) -> Result<(), Failure> {
    let Names { destination, group } = &wanted.of;
    let mut settings = GroupSettings::default();
    settings.start = wanted.start.start;
    wanted.changes.apply(&mut settings);
    settings.validate(destination).map_err(Failure::usage)?;
    client.create_group(destination, group, settings).await?;
    wanted.of.did("created", console)
}

async fn update(client: &Client, console: Console, wanted: &Update) -> Result<(), Failure> {
    let Names { destination, group } = &wanted.of;
    let mut settings = wanted.of.find(client.describe_destination(destination).await?)?.settings;
    wanted.changes.apply(&mut settings);
    settings.validate(destination).map_err(Failure::usage)?;
    client.update_group(destination, group, settings).await?;
    wanted.of.did("updated", console)
}
