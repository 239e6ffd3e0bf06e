//! A program that can be killed, paused, and started again.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::PATIENCE;

/// `swarmmq-chat` with its arguments, and all that it wrote, also before it was killed.
pub(crate) struct Program {
    arguments: Vec<String>,
    log: PathBuf,
    /// Where its data is, if it has any.
    pub(crate) folder: PathBuf,
    child: Option<Child>,
}

impl Program {
    pub(crate) fn new(folder: &Path, name: &str, arguments: Vec<String>) -> Self {
        let (log, folder) = (folder.join(format!("{name}.log")), folder.join(name));
        Self { arguments, log, folder, child: None }
    }

    pub(crate) fn start(&mut self) {
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_swarmmq-chat"))
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Writes to its standard input.
    pub(crate) fn write(&mut self, text: &str) {
        let input = self.child.as_mut().unwrap().stdin.as_mut().unwrap();
        input.write_all(text.as_bytes()).unwrap();
    }

    /// As a power cut does to a process.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn pause(&self) {
        self.signal(Signal::STOP);
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::CONT);
    }

    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        self.ends_well();
    }

    pub(crate) fn ends_well(&mut self) {
        let mut child = self.child.take().unwrap();
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    child.kill().unwrap();
                    panic!("it did not end:\n{}", self.log());
                }
                // sleep: between two looks at the condition, with a deadline.
                None => std::thread::sleep(std::time::Duration::from_millis(20)),
            }
        };
        assert!(status.success(), "{status}:\n{}", self.log());
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.as_ref().unwrap().id();
        kill_process(Pid::from_raw(id.try_into().unwrap()).unwrap(), signal).unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
