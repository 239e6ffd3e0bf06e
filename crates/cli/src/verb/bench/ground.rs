//! The destination that is measured.

use swarmmq::{Client, DestinationInfo, DestinationKind, DestinationName, DestinationSettings, ErrorCode};

use super::Setting;
use crate::console::Console;
use crate::failure::Failure;
use crate::time::now_ms;

/// A destination to measure on, and the connection it was made by.
#[derive(Debug)]
pub(super) struct Ground {
    pub(super) client: Client,
    pub(super) name: DestinationName,
    pub(super) kind: DestinationKind,
    /// Whether we made it, and are to remove it.
    removed: bool,
}

impl Ground {
    /// Makes the destination, or finds the one that the user wants to be used.
    pub(super) async fn prepare(setting: &Setting, console: &Console) -> Result<Self, Failure> {
        let name = match &setting.destination {
            Some(name) => name.clone(),
            None => DestinationName::new(&format!("swarmmq-bench-{:x}", now_ms()))
                .map_err(swarmmq::Error::from)?,
        };
        let client = setting.connection.connect(console).await?;
        let known = match client.describe_destination(&name).await {
            Ok(info) => Some(info),
            Err(error) if error.code() == Some(ErrorCode::UnknownDestination) => None,
            Err(error) => return Err(error.into()),
        };
        let kind = known.as_ref().map_or(setting.kind(), |info| info.settings.kind);
        match known {
            Some(_) if setting.existing => {}
            Some(DestinationInfo { messages, .. }) => {
                let message = format!("{name} exists already and holds {messages} messages");
                return Err(Failure::failed(message)
                    .hint("choose another name, or say --existing to use it as it is, with its messages"));
            }
            None if setting.existing => {
                return Err(Failure::failed(format!("there is no destination {name}")));
            }
            None => {
                let settings = match kind {
                    DestinationKind::Stream => DestinationSettings::stream(),
                    _ => DestinationSettings::queue(),
                };
                client.create_destination(&name, settings).await?;
            }
        }
        Ok(Self { client, name, kind, removed: !setting.existing && !setting.keep })
    }

    /// Removes what was made.
    pub(super) async fn clear(self) -> Result<(), Failure> {
        if self.removed {
            let removed = self.client.delete_destination(&self.name).await;
            removed
                .map_err(|error| Failure::from(error).during(format_args!("cannot remove {}", self.name)))?;
        }
        self.client.close().await;
        Ok(())
    }
}
