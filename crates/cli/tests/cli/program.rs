//! Running the program.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

/// Nothing here takes so long; a test that waits longer has failed.
const LIMIT: Duration = Duration::from_secs(120);

/// The program with `args`, without what the environment of the test says.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_swarmmq"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SWARMMQ_") {
            command.env_remove(name);
        }
    }
    command
        .args(args)
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ended {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ended {
    /// Fails unless it ended with `code`.
    #[track_caller]
    pub(crate) fn with(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }

    /// Each line of standard output as JSON.
    #[track_caller]
    pub(crate) fn objects(&self) -> Vec<Value> {
        self.stdout.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
    }

    /// The only line of standard output as JSON.
    #[track_caller]
    pub(crate) fn object(&self) -> Value {
        let mut objects = self.objects();
        assert_eq!(objects.len(), 1, "{self:#?}");
        objects.remove(0)
    }

    /// The error that standard error tells as JSON.
    #[track_caller]
    pub(crate) fn error(&self) -> Value {
        let last = self.stderr.lines().last().unwrap_or_default();
        let report: Value = serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {self:#?}"));
        report["error"].clone()
    }
}

/// Runs the program to its end.
pub(crate) fn run(args: &[&str]) -> Ended {
    command(args).output().unwrap().into()
}

/// Runs the program to its end with `input` on its standard input.
pub(crate) fn run_with_input(args: &[&str], input: &str) -> Ended {
    let mut child = command(args).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin: ChildStdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A program that ends early closes the pipe: that is for its exit code to tell.
    let writer = std::thread::spawn(move || drop(stdin.write_all(input.as_bytes())));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output.into()
}

/// A run of the program that goes on while the test looks at what it writes.
pub(crate) struct Going {
    child: Child,
    lines: Receiver<String>,
}

impl Going {
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut child = command(args).spawn().unwrap();
        let (sender, lines) = channel();
        for source in [
            Box::new(child.stdout.take().unwrap()) as Box<dyn std::io::Read + Send>,
            Box::new(child.stderr.take().unwrap()),
        ] {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(source).lines().map_while(Result::ok) {
                    // The test may have seen enough.
                    let _ = sender.send(line);
                }
            });
        }
        Self { child, lines }
    }

    /// The next line that holds `text`, of standard output or standard error.
    #[track_caller]
    pub(crate) fn line_with(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no line with {text:?} came ({error}); others did: {seen:#?}"),
            }
        }
    }

    /// Sends a signal, by its name.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end and gives the exit code and the lines that nobody looked at.
    pub(crate) fn end(mut self) -> (i32, Vec<String>) {
        let lines: Vec<_> = self.lines.iter().collect();
        (self.child.wait().unwrap().code().unwrap_or(-1), lines)
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // A test that failed leaves nothing behind; a program that has ended does not mind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
