//! The machine a run was made on, as far as its figures depend on it.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::sample::Latencies;

/// Appends that are synced to find out what a sync costs at the moment.
const SYNCS: usize = 40;
/// What each of them appends: one page.
const APPEND_BYTES: usize = 4_096;

/// What a reader has to know to judge the figures.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    memory_gib: u64,
    system: String,
    /// Other work at the start of the run, as the one-minute load average; above about 0.3 it disturbs.
    load_before: f64,
}

impl Machine {
    pub(crate) fn observe() -> Result<Self> {
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            cores: thread::available_parallelism()?.get(),
            memory_gib: memory_gib()?,
            system: system().unwrap_or_else(|| "Linux".to_owned()),
            load_before: load
                .split_whitespace()
                .next()
                .and_then(|minute| minute.parse().ok())
                .unwrap_or_default(),
        })
    }

    /// One line for the table's caption.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} cores, {} GiB, {}, everything on one loopback; load average before the run {:.1}",
            self.cores, self.memory_gib, self.system, self.load_before,
        )
    }
}

/// The median time, in microseconds, to append 4 KiB in `directory` and sync it.
///
/// It is taken before every sample: on a machine that others use it varies by more than an order of magnitude, and
/// the synced rows vary with it.
pub(crate) fn sync_cost_us(directory: &Path) -> Result<f64> {
    let path = directory.join("synced");
    let mut file = File::create(&path)?;
    let mut latencies = Latencies::new()?;
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[0x5a; APPEND_BYTES])?;
        file.sync_data()?;
        latencies.record(begun.elapsed());
    }
    fs::remove_file(path)?;
    Ok(latencies.summary().p50_us)
}

fn memory_gib() -> Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let kib: u64 = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok())
        .context("no MemTotal in /proc/meminfo")?;
    Ok(kib.div_ceil(1 << 20))
}

fn system() -> Option<String> {
    let release = fs::read_to_string("/etc/os-release").ok()?;
    let name = release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(name.trim_matches('"').replace("GNU/Linux ", ""))
}
