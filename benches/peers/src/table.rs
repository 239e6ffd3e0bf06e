//! The comparison as the markdown that a reader wants.

use std::fmt::Write as _;

use crate::comparison::{Comparison, Row};
use crate::contender::Contender;
use crate::sample::{Latency, Sample};

/// One figure over the rounds.
#[derive(Debug, Clone, Copy)]
struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let upper = values.get(values.len() / 2)?;
        let lower = values.get((values.len() - 1) / 2)?;
        Some(Self { median: (lower + upper) / 2.0, min, max })
    }
}

/// The caption and both tables.
pub(crate) fn markdown(comparison: &Comparison) -> String {
    let mut text = caption(comparison);
    let (latency, throughput): (Vec<_>, Vec<_>) =
        comparison.rows.iter().partition(|row| row.workload.is_latency());
    if !throughput.is_empty() {
        text += "\nMessages per second: median over the rounds, lowest to highest round. Latencies: median over the \
                 rounds of each round's percentile. Ratio: SwarmMQ's rate over the other's in the same round; above 1 \
                 SwarmMQ is faster.\n\n\
                 | workload | broker | messages/s | min – max | p50 | p99 | SwarmMQ ÷ this (min – max) |\n\
                 |---|---|--:|--:|--:|--:|--:|\n";
        throughput.iter().for_each(|row| write_throughput(&mut text, row));
    }
    if !latency.is_empty() {
        text += "\nLatency from the intended sending to the arrival. Ratio: SwarmMQ's latency over the other's in the \
                 same round; below 1 SwarmMQ is faster.\n\n\
                 | workload | broker | p50 | min – max | p99 | min – max | SwarmMQ ÷ this, p50 | p99 |\n\
                 |---|---|--:|--:|--:|--:|--:|--:|\n";
        latency.iter().for_each(|row| write_latency(&mut text, row));
    }
    text
}

fn caption(comparison: &Comparison) -> String {
    let samples = comparison.rows.iter().flat_map(|row| row.samples.values().flatten());
    let disk = Spread::of(samples.map(|sample| sample.disk_sync_us)).map_or_else(String::new, |cost| {
        let (median, min, max) = (duration(cost.median), duration(cost.min), duration(cost.max));
        format!(" Appending 4 KiB and syncing it, tried before every sample, took {median} ({min} – {max}).")
    });
    let Comparison { programs, machine, effort, .. } = comparison;
    format!("{programs}. {}. {} rounds.{disk}\n", machine.describe(), effort.rounds)
}

fn write_throughput(text: &mut String, row: &Row) {
    for (&contender, samples) in &row.samples {
        let Some(rate) = Spread::of(samples.iter().map(|sample| sample.per_second)) else { continue };
        let percentile = |of: fn(&Latency) -> f64| {
            latency(samples, of).map_or_else(|| "—".to_owned(), |spread| duration(spread.median))
        };
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {} – {} | {} | {} | {} |",
            row.title,
            contender.title(),
            thousands(rate.median),
            thousands(rate.min),
            thousands(rate.max),
            percentile(|latency| latency.p50_us),
            percentile(|latency| latency.p99_us),
            ratio(row, contender, |sample| Some(sample.per_second)),
        );
    }
}

fn write_latency(text: &mut String, row: &Row) {
    for (&contender, samples) in &row.samples {
        let (Some(p50), Some(p99)) =
            (latency(samples, |latency| latency.p50_us), latency(samples, |latency| latency.p99_us))
        else {
            continue;
        };
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {} – {} | {} | {} – {} | {} | {} |",
            row.title,
            contender.title(),
            duration(p50.median),
            duration(p50.min),
            duration(p50.max),
            duration(p99.median),
            duration(p99.min),
            duration(p99.max),
            ratio(row, contender, |sample| Some(sample.latency.as_ref()?.p50_us)),
            ratio(row, contender, |sample| Some(sample.latency.as_ref()?.p99_us)),
        );
    }
}

fn latency(samples: &[Sample], of: fn(&Latency) -> f64) -> Option<Spread> {
    Spread::of(samples.iter().filter_map(|sample| sample.latency.as_ref()).map(of))
}

/// Ours over theirs, round by round: two samples of one round saw the same machine.
fn ratio(row: &Row, theirs: Contender, of: fn(&Sample) -> Option<f64>) -> String {
    let ours = row.samples.iter().find(|(contender, _)| contender.is_ours());
    let (Some((_, ours)), Some(other), false) = (ours, row.samples.get(&theirs), theirs.is_ours()) else {
        return String::new();
    };
    let ratios = ours.iter().zip(other).filter_map(|(ours, theirs)| Some(of(ours)? / of(theirs)?));
    Spread::of(ratios).map_or_else(String::new, |spread| {
        format!("**{:.2}** ({:.2} – {:.2})", spread.median, spread.min, spread.max)
    })
}

/// Microseconds, in the unit and with the digits that suit them.
fn duration(us: f64) -> String {
    match us {
        us if us < 1_000.0 => format!("{us:.0} µs"),
        us if us < 10_000.0 => format!("{:.1} ms", us / 1_000.0),
        us => format!("{:.0} ms", us / 1_000.0),
    }
}

/// A whole number, with its thousands set off.
pub(crate) fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_rounds_lies_between_the_middle_two() {
        let spread = Spread::of([4.0, 1.0, 3.0, 2.0]).map(|spread| (spread.median, spread.min, spread.max));
        assert_eq!(spread, Some((2.5, 1.0, 4.0)));
    }

    #[test]
    fn figures_read_as_people_write_them() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(999.0), "999");
        assert_eq!(duration(111.4), "111 µs");
        assert_eq!(duration(1_705.0), "1.7 ms");
        assert_eq!(duration(187_300.0), "187 ms");
    }
}
