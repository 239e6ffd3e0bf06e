//! What the command line of `cargo xtask fuzz` asks for.

use std::thread;

use crate::failure::Failure;

/// How long a target runs unless it is said.
const SECONDS: u32 = 30;

#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    pub(super) seconds: u32,
    /// Targets that run at a time; by default as many as there are cores.
    pub(super) jobs: u32,
    targets: Vec<String>,
}

impl Wanted {
    pub(super) fn parse(args: &[String]) -> Result<Self, Failure> {
        let cores =
            thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        let mut wanted = Self { seconds: SECONDS, jobs: cores, targets: Vec::new() };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let (name, value) = match arg.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (arg.as_str(), None),
            };
            let number = match name {
                "--seconds" => &mut wanted.seconds,
                "--jobs" => &mut wanted.jobs,
                _ if arg.starts_with('-') => {
                    return Err(Failure::usage(format!("fuzz does not know `{arg}`")));
                }
                _ => {
                    wanted.targets.push(arg.clone());
                    continue;
                }
            };
            let value = value.or_else(|| args.next().map(String::as_str));
            // Zero seconds would mean for ever to libFuzzer.
            *number = value
                .and_then(|value| value.parse().ok())
                .filter(|value| *value > 0)
                .ok_or_else(|| Failure::usage(format!("{name} takes a whole number above zero")))?;
        }
        Ok(wanted)
    }

    /// The targets asked for, out of those there are.
    pub(super) fn choose(&self, all: Vec<String>) -> Result<Vec<String>, Failure> {
        if let Some(unknown) = self.targets.iter().find(|target| !all.contains(target)) {
            let all = all.join(", ");
            return Err(Failure::usage(format!("there is no target `{unknown}`; there are: {all}")));
        }
        if all.is_empty() {
            return Err(Failure::new("fuzz/Cargo.toml names no [[bin]]"));
        }
        Ok(if self.targets.is_empty() { all } else { self.targets.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Wanted, Failure> {
        Wanted::parse(&args.iter().map(|arg| (*arg).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn numbers_and_targets_are_read_in_any_order() {
        let wanted = Wanted { seconds: 5, jobs: 3, targets: vec!["frame".into()] };
        assert_eq!(parse(&["--seconds", "5", "frame", "--jobs=3"]).unwrap(), wanted);
        assert_eq!(parse(&["--jobs", "3", "frame", "--seconds=5"]).unwrap(), wanted);
        for wrong in [&["--seconds"][..], &["--seconds", "0"], &["--seconds5"], &["--jobs"], &["--jobs=x"]] {
            assert_eq!(parse(wrong).unwrap_err().exit_code, 2, "{wrong:?}");
        }
    }

    #[test]
    fn only_targets_that_there_are_can_be_chosen() {
        let all = vec!["frame".to_owned(), "envelope".to_owned()];
        assert_eq!(parse(&[]).unwrap().choose(all.clone()).unwrap(), all);
        assert_eq!(parse(&["envelope"]).unwrap().choose(all.clone()).unwrap(), ["envelope"]);
        assert!(parse(&["nothing"]).unwrap().choose(all).is_err());
        assert!(parse(&[]).unwrap().choose(Vec::new()).is_err());
    }
}
