//! Which segments to reclaim.

use std::collections::BTreeSet;

use crate::format::SEGMENT_HEADER_BYTES;
use crate::options::Options;
use crate::state::{FileState, State};

/// Segments moved into one cold segment at a time: bounds the memory for their indexes.
const VICTIMS_MAX: usize = 64;

/// So many segments of less than an eighth of the full size are joined, however alive they are: every restart leaves one.
const SMALL_FILES: usize = 8;

/// Segments without anything that is still needed.
pub(super) fn dead(state: &State, damaged: &BTreeSet<u32>) -> Vec<u32> {
    state
        .files
        .iter()
        .filter(|(number, file)| {
            file.sealed
                && file.live_records == 0
                && !damaged.contains(number)
                && !truncations_needed(state, **number, file)
        })
        .map(|(number, _)| *number)
        .collect()
}

/// Whether a file's truncate records still have anything to remove: older records elsewhere, dead by them, would
/// come back at the next start.
fn truncations_needed(state: &State, number: u32, file: &FileState) -> bool {
    file.truncations > 0
        && state.files.iter().any(|(other, older)| *other != number && older.origin < file.truncated_up_to)
}

/// Segments to be joined into a cold one.
pub(super) fn mostly_dead(state: &State, damaged: &BTreeSet<u32>, options: &Options) -> Vec<u32> {
    let sealed = || state.files.iter().filter(|(number, file)| file.sealed && !damaged.contains(number));
    let mut victims: Vec<(u64, u32)> = sealed()
        .filter(|(_, file)| {
            let percent = u64::from(options.move_below_percent);
            has_dead(state, file) && needed(state, file) * 100 < file.bytes * percent
        })
        .map(|(number, file)| (needed(state, file), *number))
        .collect();
    let small: Vec<(u64, u32)> = sealed()
        .filter(|(_, file)| file.bytes < options.segment_bytes / 8)
        .map(|(number, file)| (needed(state, file), *number))
        .collect();
    if small.len() >= SMALL_FILES {
        victims.extend(small);
    }
    victims.sort_unstable();
    victims.dedup();
    let mut total = 0;
    let victims: Vec<u32> = victims
        .into_iter()
        .take(VICTIMS_MAX)
        .take_while(|(bytes, _)| {
            total += bytes;
            total <= options.segment_bytes / 2
        })
        .map(|(_, number)| number)
        .collect();
    // One small segment that is wholly alive would only be copied to itself.
    let worthwhile = victims.len() > 1
        || victims.iter().filter_map(|number| state.files.get(number)).any(|file| has_dead(state, file));
    if worthwhile { victims } else { Vec::new() }
}

/// Bytes a copy of the segment would need.
fn needed(state: &State, file: &FileState) -> u64 {
    file.live_bytes + file.truncations * state.record_bytes(0)
}

/// Whether moving would drop anything: a cold segment of nothing but live records is not moved again.
fn has_dead(state: &State, file: &FileState) -> bool {
    needed(state, file) + (SEGMENT_HEADER_BYTES as u64) < file.end
}
