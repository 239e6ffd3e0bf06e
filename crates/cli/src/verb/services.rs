//! `swarmmq services`.

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;
use swarmmq::discovery::{
    Discovery, DiscoveryError, Instance, NodeDiscovery, RegistryCursor, ServiceChange, ServiceNews,
    ServiceType, Watching,
};
use swarmmq_node::http::instance_json;

use crate::connection::Connection;
use crate::console::{Column, Console, Table};
use crate::failure::Failure;
use crate::time::{now_ms, show_time};

/// Pause before a node that is away is asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// See which instances of services are registered at a node
#[derive(Debug, Args)]
pub(crate) struct Services {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// List the instances
    #[command(after_help = "\
EXAMPLES:
  swarmmq services ls
  swarmmq services ls producer --json | jq -r .endpoint")]
    Ls(Which),
    /// Show who is registered, and then who comes, changes and goes, until interrupted
    #[command(after_help = "\
EXAMPLES:
  swarmmq services watch
  swarmmq services watch consumer --json | jq -r .event")]
    Watch(Which),
}

#[derive(Debug, Args)]
struct Which {
    /// Only instances of this service
    service: Option<ServiceType>,

    #[command(flatten)]
    connection: Connection,
}

impl Services {
    pub(crate) async fn run(self, console: Console) -> Result<(), Failure> {
        match self.deed {
            Deed::Ls(which) => {
                let registry = which.registry(&console).await?;
                let instances = registry.list(which.service.as_ref()).await.map_err(failed)?;
                ls(&console, &instances)
            }
            Deed::Watch(which) => watch(&console, &which).await,
        }
    }
}

impl Which {
    async fn registry(&self, console: &Console) -> Result<NodeDiscovery, Failure> {
        Ok(NodeDiscovery::new(self.connection.connect(console).await?))
    }
}

fn failed(error: DiscoveryError) -> Failure {
    Failure::failed(error.to_string())
}

fn ls(console: &Console, instances: &[Instance]) -> Result<(), Failure> {
    if console.is_json() {
        return instances.iter().try_for_each(|one| console.object(&instance_json(one)));
    }
    if instances.is_empty() {
        console.note("nothing is registered");
        return Ok(());
    }
    let mut table = Table::new(&[
        Column::Left("SERVICE"),
        Column::Left("ID"),
        Column::Left("ENDPOINT"),
        Column::Left("HEALTH"),
        Column::Right("HEARTBEAT"),
        Column::Right("LEASE"),
    ]);
    let now = now_ms();
    for one in instances {
        table.row([
            one.key.service.to_string(),
            one.key.id.to_string(),
            one.endpoint.clone(),
            one.health.to_string(),
            format!("{} s ago", now.saturating_sub(one.heartbeat_ms) / 1000),
            format!("{} s", one.ttl_ms.div_ceil(1000)),
        ]);
    }
    table.print(console)
}

/// Watches, and goes on behind what was seen when the node is away.
async fn watch(console: &Console, which: &Which) -> Result<(), Failure> {
    let registry = which.registry(console).await?;
    let mut after: Option<RegistryCursor> = None;
    loop {
        let mut watching = registry.watch(which.service.as_ref(), after).await.map_err(failed)?;
        match follow(console, &mut watching, &mut after).await? {
            error if error.is_retryable() => console.note(format!("{error}; waiting for it")),
            error => return Err(failed(error)),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Shows what is told, until the node is away.
async fn follow(
    console: &Console,
    watching: &mut Box<dyn Watching>,
    after: &mut Option<RegistryCursor>,
) -> Result<DiscoveryError, Failure> {
    loop {
        let reply = match watching.next().await {
            Ok(reply) => reply,
            Err(error) => return Ok(error),
        };
        let before = after.replace(reply.at);
        if before.is_some_and(|before| before.epoch != reply.at.epoch) {
            console.note("the registry began anew: who is still there comes back with its next renewal");
        }
        match reply.news {
            ServiceNews::All(instances) => {
                instances.iter().try_for_each(|one| registered(console, one))?;
            }
            ServiceNews::Changes(changes) => {
                for change in changes {
                    match change {
                        ServiceChange::Registered(one) => registered(console, &one)?,
                        change => gone(console, &change)?,
                    }
                }
            }
            _ => {}
        }
    }
}

fn registered(console: &Console, one: &Instance) -> Result<(), Failure> {
    if console.is_json() {
        let mut value = instance_json(one);
        if let Some(fields) = value.as_object_mut() {
            fields.insert("event".into(), json!("registered"));
        }
        return console.object(&value);
    }
    let mut table = Table::facts();
    table.fact(&show_time(now_ms()), format!("{}  {}  {}", one.key, one.endpoint, one.health));
    table.print(console)
}

fn gone(console: &Console, change: &ServiceChange) -> Result<(), Failure> {
    let key = change.key();
    if console.is_json() {
        let value = json!({ "event": "gone", "service": key.service.as_str(), "id": key.id.as_str() });
        return console.object(&value);
    }
    let mut table = Table::facts();
    table.fact(&show_time(now_ms()), format!("{key}  gone"));
    table.print(console)
}
