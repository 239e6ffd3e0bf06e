//! Runs scenarios by hand: `cargo run --release -p swarmmq-simulation -- --seeds 1000 --from 0`.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::process::ExitCode;

use swarmmq_simulation::Scenario;

const USAGE: &str = "usage: simulate [--seed N] [--from N] [--seeds N] [--lives N]";

fn main() -> ExitCode {
    let (mut from, mut seeds, mut lives) = (0_u64, 100_u64, 6_u64);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let Some(Ok(value)) = arguments.next().map(|value| value.parse()) else {
            eprintln!("{argument} wants a number\n{USAGE}");
            return ExitCode::from(2);
        };
        match argument.as_str() {
            "--seed" => (from, seeds) = (value, 1),
            "--from" => from = value,
            "--seeds" => seeds = value,
            "--lives" => lives = value,
            other => {
                eprintln!("unknown argument {other}\n{USAGE}");
                return ExitCode::from(2);
            }
        }
    }
    for seed in from..from + seeds {
        let scenario = Scenario { lives, ..Scenario::new(seed) };
        match scenario.run() {
            Ok(report) => println!(
                "seed {seed}: {} stored, {} delivered, hash {:016x}, {}",
                report.stored,
                report.delivered,
                report.hash,
                report.ends.join(", ")
            ),
            Err(violation) => {
                eprintln!("{violation}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
