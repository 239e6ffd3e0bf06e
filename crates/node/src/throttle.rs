//! Lines in the log that a flood cannot turn into one.

use parking_lot::Mutex;
use tokio::time::{Duration, Instant};

/// So many lines are written in each [`WINDOW`]; the rest are only counted.
const LINES_PER_WINDOW: u32 = 10;
const WINDOW: Duration = Duration::from_secs(10);

/// Admits ten lines in ten seconds.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    window: Mutex<Option<Window>>,
}

#[derive(Debug)]
struct Window {
    since: Instant,
    lines: u32,
    silent: u64,
}

impl Throttle {
    /// Whether a line may be written now, and how many were not written before it.
    pub(crate) fn admits(&self, now: Instant) -> Option<u64> {
        let mut window = self.window.lock();
        let current = match window.as_mut() {
            Some(current) if now.duration_since(current.since) < WINDOW => current,
            _ => {
                let silent = window.as_ref().map_or(0, |last| last.silent);
                window.insert(Window { since: now, lines: 0, silent })
            }
        };
        if current.lines == LINES_PER_WINDOW {
            current.silent += 1;
            return None;
        }
        current.lines += 1;
        Some(std::mem::take(&mut current.silent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_logged_line_by_line() {
        let throttle = Throttle::default();
        let start = Instant::now();
        let lines = (0..1000).filter(|_| throttle.admits(start).is_some()).count();
        assert_eq!(lines, 10);
        let later = start + Duration::from_secs(10);
        assert_eq!(throttle.admits(later), Some(990), "the next line says how many are missing");
        assert_eq!(throttle.admits(later), Some(0));
    }
}
