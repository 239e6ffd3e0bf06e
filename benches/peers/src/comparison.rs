//! The run as a whole: every workload, the contenders taking turns.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::contender::{self, Contender, Programs};
use crate::machine::Machine;
use crate::sample::Sample;
use crate::workload::{Effort, Workload};

/// Everything one run found out.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    pub(crate) machine: Machine,
    pub(crate) programs: String,
    pub(crate) effort: Effort,
    pub(crate) rows: Vec<Row>,
}

/// One workload on every contender.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) workload: Workload,
    /// The samples of each contender, one a round: equal positions were measured next to each other.
    pub(crate) samples: BTreeMap<Contender, Vec<Sample>>,
}

/// Measures every workload on every contender.
pub(crate) async fn compare(
    contenders: &[Contender],
    workloads: Vec<Workload>,
    effort: Effort,
    programs: &Programs,
    data_dir: &Path,
) -> Result<Comparison> {
    let machine = Machine::observe()?;
    eprintln!("{}\n{}", programs.describe(), machine.describe());
    let mut rows = Vec::with_capacity(workloads.len());
    for workload in workloads {
        let mut row = Row { title: workload.title(), workload, samples: BTreeMap::new() };
        for (round, contender) in turns(contenders, effort.rounds) {
            let sample = contender::sample(contender, &row.workload, &effort, programs, data_dir)
                .await
                .with_context(|| format!("{} on {}", row.title, contender.title()))?;
            eprintln!("{:>2}  {:<40}  {:<30}  {}", round + 1, row.title, contender.title(), brief(&sample));
            row.samples.entry(contender).or_default().push(sample);
        }
        rows.push(row);
    }
    Ok(Comparison { machine, programs: programs.describe(), effort, rows })
}

/// A B, B A, A B, …: neighbours are compared with each other, and nobody is always first. The machine may grow
/// slower or faster during the run; it does so for all.
fn turns(contenders: &[Contender], rounds: usize) -> impl Iterator<Item = (usize, Contender)> {
    (0..rounds).flat_map(move |round| {
        let mut order = contenders.to_vec();
        if round % 2 == 1 {
            order.reverse();
        }
        order.into_iter().map(move |contender| (round, contender))
    })
}

fn brief(sample: &Sample) -> String {
    let rate = format!("disk {:>5.0} µs {:>9.0}/s", sample.disk_sync_us, sample.per_second);
    match &sample.latency {
        None => rate,
        Some(latency) => format!("{rate}  p50 {:>8.0} µs  p99 {:>8.0} µs", latency.p50_us, latency.p99_us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contenders_alternate_and_so_does_their_order() {
        use Contender::{NatsDefault as B, NatsSynced as A};
        let order: Vec<_> = turns(&[A, B], 3).collect();
        assert_eq!(order, [(0, A), (0, B), (1, B), (1, A), (2, A), (2, B)]);
    }
}
