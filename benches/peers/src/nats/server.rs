//! One `nats-server` process with file storage.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::Binary;
use crate::process::Process;

/// When the server syncs what it has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyncInterval {
    /// Before each acknowledgement.
    Always,
    /// The server's default: every two minutes, after the acknowledgement.
    Default,
}

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    address: String,
    process: Process,
}

/// What the server writes once it listens.
#[derive(Debug, Deserialize)]
struct Ports {
    nats: Vec<String>,
}

impl Server {
    /// Starts a server with all its files in `home`, on a free port that it picks itself.
    pub(crate) async fn start(binary: &Binary, home: &Path, sync: SyncInterval) -> Result<Self> {
        let config = home.join("nats.conf");
        fs::write(&config, configuration(home, sync))?;
        let mut command = Command::new(binary.path());
        command.arg("--config").arg(&config);
        let mut process = Process::spawn(command, home.join("nats.log"))?;
        let ports = process.wait_until(|| ports(home)).await?;
        let address = ports.nats.into_iter().next().context("NATS listens nowhere")?;
        Ok(Self { address, process })
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// The process, to be looked after.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

fn configuration(home: &Path, sync: SyncInterval) -> String {
    let sync = match sync {
        SyncInterval::Always => "    sync_interval: always\n",
        SyncInterval::Default => "",
    };
    let home = home.display();
    format!(
        "listen: \"127.0.0.1:-1\"\n\
         ports_file_dir: \"{home}\"\n\
         jetstream {{\n    store_dir: \"{home}/store\"\n{sync}}}\n"
    )
}

/// Reads the `*.ports` file, if the server has written all of it.
fn ports(home: &Path) -> Option<Ports> {
    let files = fs::read_dir(home).ok()?;
    let file = files.flatten().find(|file| file.path().extension().is_some_and(|name| name == "ports"))?;
    serde_json::from_slice(&fs::read(file.path()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_synced_server_is_told_to_sync() {
        let home = Path::new("/data");
        assert!(configuration(home, SyncInterval::Always).contains("sync_interval: always"));
        assert!(!configuration(home, SyncInterval::Default).contains("sync_interval"));
    }
}
