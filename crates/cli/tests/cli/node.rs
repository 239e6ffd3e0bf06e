//! A real node for a test.

use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Ended, Going, run, run_with_input};

/// What all nodes of tests have: no fixed port, and no more shards than a test needs.
const CONFIG: &str = "cluster: { shards: 2 }\nzeromq: { endpoints: [] }\n";

/// A node in a directory of its own, and the program as a client of it.
pub(crate) struct Node {
    going: Going,
    pub(crate) directory: TempDir,
    pub(crate) native: String,
    pub(crate) http: String,
}

impl Node {
    pub(crate) fn start() -> Self {
        Self::start_with("")
    }

    /// A node with more configuration.
    pub(crate) fn start_with(config: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(directory, config)
    }

    /// A node on what an earlier one left.
    #[track_caller]
    pub(crate) fn start_in(directory: TempDir, config: &str) -> Self {
        let going = Going::start(&arguments(directory.path(), config, "0").each_ref().map(String::as_str));
        let serving: Value = serde_json::from_str(&going.line_with("\"event\":\"serving\"")).unwrap();
        let address = |name: &str| serving[name].as_str().unwrap().to_owned();
        Self { native: address("native"), http: address("http"), going, directory }
    }

    /// Runs a verb against it, as a program does.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        run(&self.with(args))
    }

    /// Runs a verb against it with `input` on its standard input.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Ended {
        run_with_input(&self.with(args), input)
    }

    /// Starts a verb against it.
    pub(crate) fn go(&self, args: &[&str]) -> Going {
        Going::start(&self.with(args))
    }

    fn with<'a>(&'a self, args: &[&'a str]) -> Vec<&'a str> {
        [args, &["--node", &self.native]].concat()
    }

    /// What a group says of itself.
    pub(crate) fn group(&self, destination: &str) -> Value {
        self.run(&["group", "info", destination, "default", "--json"]).with(0).object()
    }

    /// Stops it in order, and gives its directory.
    #[track_caller]
    pub(crate) fn stop(self) -> TempDir {
        self.going.signal("TERM");
        let (code, lines) = self.going.end();
        assert_eq!(code, 0, "{lines:#?}");
        assert!(lines.iter().any(|line| line.contains("\"event\":\"stopped\"")), "{lines:#?}");
        self.directory
    }
}

/// The arguments of a node in `directory`.
pub(crate) fn arguments(directory: &Path, config: &str, port: &str) -> [String; 9] {
    let file = directory.join("node.yaml");
    std::fs::write(&file, format!("{CONFIG}{config}")).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    [
        "node".into(),
        "--json".into(),
        "--config".into(),
        text(&file),
        "--data".into(),
        text(&directory.join("data")),
        "--http".into(),
        "0".into(),
        format!("--port={port}"),
    ]
}
