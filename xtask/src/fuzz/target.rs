//! One fuzz target: its folders, its run, and the line that says how it went.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::{failure::Failure, terminal::Paint};

/// One input may take this long before it counts as a hang.
const INPUT_SECONDS_MAX: u32 = 10;

/// More memory than this for one input is a length that was believed before it was checked.
const MEMORY_MB_MAX: u32 = 1024;

/// Where a target's program and files are.
pub(super) struct Target<'a> {
    pub(super) name: &'a str,
    /// The folder `fuzz`.
    pub(super) package: &'a Path,
    pub(super) program: PathBuf,
    /// Where logs and the inputs of failures go.
    pub(super) output: &'a Path,
}

impl Target<'_> {
    pub(super) fn run(&self, seconds: u32) -> Result<(), Failure> {
        let began = Instant::now();
        let log = self.output.join("logs").join(format!("{}.log", self.name));
        let good = self.execute(seconds, &log).map_err(|(path, error)| {
            Failure::new(format!("fuzz {}: {}: {error}", self.name, path.display()))
        })?;
        let text =
            fs::read(&log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        let paint = Paint::for_terminal();
        let word = if good { paint.green("ok") } else { paint.red("FAILED") };
        let line =
            format!("   {word} {:<18} {}, {:.0} s\n", self.name, told(&text), began.elapsed().as_secs_f32());
        // In one write, so that targets that run at a time do not mix.
        let shown = if good { line } else { format!("{}{line}", without_progress(&text)) };
        let _ = io::stderr().lock().write_all(shown.as_bytes());
        if good {
            return Ok(());
        }
        Err(Failure::new(format!(
            "fuzz {}: the input is in {}; run it again with {} <input>",
            self.name,
            self.artifacts().display(),
            self.program.display()
        )))
    }

    fn artifacts(&self) -> PathBuf {
        self.output.join("artifacts").join(self.name)
    }

    fn execute(&self, seconds: u32, log: &Path) -> Result<bool, (PathBuf, io::Error)> {
        let corpus = self.package.join("corpus").join(self.name);
        let seeds = self.package.join("seeds").join(self.name);
        let dictionary = self.package.join("dictionaries").join(format!("{}.dict", self.name));
        let artifacts = self.artifacts();
        let logs = log.parent().unwrap_or(self.output);
        for folder in [&*corpus, &*artifacts, logs] {
            fs::create_dir_all(folder).map_err(|error| (folder.to_owned(), error))?;
        }
        let file = File::create(log).map_err(|error| (log.to_owned(), error))?;
        let again = file.try_clone().map_err(|error| (log.to_owned(), error))?;
        let status = Command::new(&self.program)
            .args([
                format!("-max_total_time={seconds}"),
                format!("-timeout={INPUT_SECONDS_MAX}"),
                format!("-rss_limit_mb={MEMORY_MB_MAX}"),
                format!("-artifact_prefix={}/", artifacts.display()),
                "-print_final_stats=1".to_owned(),
            ])
            .args(
                Some(dictionary)
                    .filter(|file| file.is_file())
                    .map(|file| format!("-dict={}", file.display())),
            )
            .arg(corpus)
            .args(Some(seeds).filter(|folder| folder.is_dir()))
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(again)
            .status();
        status.map(|status| status.success()).map_err(|error| (self.program.clone(), error))
    }
}

/// A log without the lines that say what the corpus has gained; thousands of them.
fn without_progress(log: &str) -> String {
    let is_progress = |line: &&str| line.starts_with('#') || line.starts_with("\tNEW_FUNC");
    log.lines().filter(|line| !is_progress(line)).flat_map(|line| [line, "\n"]).collect()
}

/// What the end of a log says: executions, their rate, coverage, and the size of the corpus.
fn told(log: &str) -> String {
    let value = |line: Option<&str>, name: &str| -> String {
        let mut words = line.unwrap_or_default().split_whitespace().skip_while(|word| *word != name);
        words.nth(1).unwrap_or("?").to_owned()
    };
    let last = log.lines().rev().find(|line| line.starts_with('#') && line.contains("corp:"));
    let stat = |name: &str| log.lines().find(|line| line.starts_with(name));
    let (executed, rate) = ("stat::number_of_executed_units:", "stat::average_exec_per_sec:");
    format!(
        "{:>9} executions, {:>7}/s, coverage {:>5}, corpus {}",
        value(stat(executed), executed),
        value(stat(rate), rate),
        value(last, "cov:"),
        value(last, "corp:"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_the_end_of_a_log_says() {
        let log = "INFO: seed corpus: files: 3\n\
            #3\tINITED cov: 20 ft: 30 corp: 3/9b exec/s: 0 rss: 27Mb\n\
            #512\tDONE   cov: 41 ft: 77 corp: 12/340b lim: 4096 exec/s: 512 rss: 28Mb\n\
            Done 512 runs in 1 second(s)\n\
            stat::number_of_executed_units: 512\n\
            stat::average_exec_per_sec:     256\n";
        let line = told(log);
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(words, ["512", "executions,", "256/s,", "coverage", "41,", "corpus", "12/340b"]);
        assert!(told("it did not start").contains("? executions"));
    }

    #[test]
    fn what_is_shown_of_a_failure_is_not_its_progress() {
        let log =
            "INFO: Seed: 1\n#3\tINITED cov: 20\n\tNEW_FUNC[1/1]: 0x1\n#5\tNEW    cov: 21\npanicked at a.rs\n";
        assert_eq!(without_progress(log), "INFO: Seed: 1\npanicked at a.rs\n");
    }
}
