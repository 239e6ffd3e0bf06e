//! Where a node listens and stores, the same at each of its starts.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::node::ports;

/// A node's ports, files and configuration.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) binary: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) native: u16,
    pub(crate) http: u16,
    /// A `durable` endpoint.
    pub(crate) zeromq: u16,
}

impl Setup {
    /// A node with its log in `home` and its data in `storage`. `extra` is further configuration.
    pub(crate) fn create(binary: &Path, home: &Path, storage: &Path, extra: &str) -> Result<Self> {
        let setup = Self {
            binary: binary.to_owned(),
            config: home.join("swarmmq.yaml"),
            data: storage.join("data"),
            log: home.join("swarmmq.log"),
            native: ports::free()?,
            http: ports::free()?,
            zeromq: ports::free()?,
        };
        let mut text = String::new();
        writeln!(text, "node:\n  data_dir: \"{}\"", setup.data.display())?;
        writeln!(
            text,
            "listen:\n  native: \"127.0.0.1:{}\"\n  http: \"127.0.0.1:{}\"",
            setup.native, setup.http
        )?;
        writeln!(text, "zeromq:\n  endpoints:\n    - name: durable\n      kind: durable")?;
        writeln!(text, "      bind: \"tcp://127.0.0.1:{}\"", setup.zeromq)?;
        text.push_str(extra);
        fs::write(&setup.config, text)?;
        Ok(setup)
    }

    /// Where clients connect.
    pub(crate) fn address(&self) -> String {
        format!("127.0.0.1:{}", self.native)
    }
}
