//! One `swarmmq node` process with everything at its defaults but where it listens and stores.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process::Process;

/// The program.
#[derive(Debug)]
pub(crate) struct Binary {
    path: PathBuf,
    version: String,
}

impl Binary {
    /// Asks the program at `path` for its version.
    pub(crate) fn find(path: &Path) -> Result<Self> {
        let output = Command::new(path).arg("--version").output().with_context(|| {
            format!("cannot run {}: build it, or say where it is with --swarmmq", path.display())
        })?;
        ensure!(output.status.success(), "{} --version failed", path.display());
        let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok(Self { path: path.to_owned(), version })
    }

    pub(crate) fn version(&self) -> &str {
        &self.version
    }
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Server {
    address: String,
    process: Process,
}

impl Server {
    /// Starts a node with all its files in `home`.
    pub(crate) async fn start(binary: &Binary, home: &Path) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port()?);
        let config = home.join("swarmmq.yaml");
        let listen = format!(
            "node:\n  data_dir: \"{}/data\"\nlisten:\n  native: \"{address}\"\n  http: off\nzeromq:\n  endpoints: []\n",
            home.display()
        );
        fs::write(&config, listen)?;
        let mut command = Command::new(&binary.path);
        command.arg("node").arg("--config").arg(&config);
        let mut process = Process::spawn(command, home.join("swarmmq.log"))?;
        process.wait_until(|| TcpStream::connect(&address).ok()).await?;
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

/// A port that nobody listened on a moment ago.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
