//! What the process costs the machine, read from `/proc`. Where there is none, nothing is said.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::definitions::names;
use super::exposition::Exposition;

/// Clock ticks of `/proc/self/stat` in a second: 100 on every Linux, whatever the kernel's own rate.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug)]
pub(super) struct Process {
    began: Instant,
    began_s: f64,
}

impl Process {
    pub(super) fn new() -> Self {
        let began_s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        Self { began: Instant::now(), began_s }
    }

    pub(super) fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn render(&self, page: &mut Exposition) {
        page.value(&names::UPTIME, self.uptime().as_secs_f64());
        page.value(&names::PROCESS_START, self.began_s);
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = |key: &str| status.lines().find_map(|line| first_number(line.strip_prefix(key)?));
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let fds_max = limits.lines().find_map(|line| first_number(line.strip_prefix("Max open files")?));
        // Reading the folder opens one more.
        let fds = std::fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1) as f64);
        for (definition, value) in [
            (names::PROCESS_MEMORY, line("VmRSS:").map(|kibibytes| kibibytes * 1024.0)),
            (names::PROCESS_THREADS, line("Threads:")),
            (names::PROCESS_CPU, cpu_seconds(&stat)),
            (names::PROCESS_FDS, fds),
            (names::PROCESS_FDS_MAX, fds_max),
        ] {
            if let Some(value) = value {
                page.value(&definition, value);
            }
        }
    }
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

/// Fields 14 and 15. The second field is the program's name, which may hold spaces and brackets.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut ticks = rest.split_whitespace().skip(11).map(str::parse::<f64>);
    Some((ticks.next()?.ok()? + ticks.next()?.ok()?) / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_brackets_does_not_shift_the_fields() {
        let stat = "12 (a b) c) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0";
        assert_eq!(cpu_seconds(stat), Some(2.0));
        assert_eq!(cpu_seconds("nonsense"), None);
    }
}
