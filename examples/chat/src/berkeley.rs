//! Berkeley's algorithm: the servers' clocks agree with their average, and with no clock that is right by decree.
//!
//! The coordinator asks every server for its time, takes half of the round trip off, averages the clocks that agree
//! within [`AGREE_MS`], its own included, and sends every one by how much to adjust, also those it did not average.

use std::collections::BTreeMap;

/// How often the coordinator asks.
pub(crate) const ROUND_MS: u64 = 10_000;

/// How long it waits for the answers.
pub(crate) const WAIT_MS: u64 = 1_000;

/// Clocks further apart than this are not averaged together.
pub(crate) const AGREE_MS: i64 = 5_000;

/// For how long an adjustment keeps a server from taking the reference's time instead.
pub(crate) const TRUSTED_MS: u64 = 3 * ROUND_MS;

/// A clock that is further off is nonsense: a century.
const OFFSET_MS_MAX: i64 = 100 * 366 * 86_400_000;

/// A round of the coordinator.
#[derive(Debug)]
pub(crate) struct Round {
    number: u64,
    sent_ms: u64,
    /// By how much each clock is ahead of the coordinator's.
    offsets: BTreeMap<String, i64>,
}

impl Round {
    /// A round that asks at `sent_ms`.
    pub(crate) fn new(number: u64, sent_ms: u64, coordinator: &str) -> Self {
        Self { number, sent_ms, offsets: BTreeMap::from([(coordinator.to_owned(), 0)]) }
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Whether it is time to conclude.
    pub(crate) fn is_over(&self, now_ms: u64) -> bool {
        now_ms >= self.sent_ms + WAIT_MS
    }

    /// A server's time came at `now_ms`, where the coordinator's clock shows `own_ms`.
    pub(crate) fn handle_report(&mut self, now_ms: u64, own_ms: i64, server: &str, time_ms: i64) {
        let half_trip = i64::try_from(now_ms.saturating_sub(self.sent_ms) / 2).unwrap_or(0);
        let offset = time_ms.saturating_add(half_trip).saturating_sub(own_ms);
        if offset.unsigned_abs() <= OFFSET_MS_MAX.unsigned_abs() {
            self.offsets.insert(server.to_owned(), offset);
        }
    }

    /// By how much each is to adjust its clock, the coordinator included.
    pub(crate) fn adjustments(&self) -> BTreeMap<String, i64> {
        let average = average(self.offsets.values().copied().collect());
        self.offsets.iter().map(|(server, offset)| (server.clone(), average - offset)).collect()
    }
}

/// The average of the largest group of clocks that agree. Of groups of one size it is the one that agrees best, and of
/// these the first.
fn average(mut offsets: Vec<i64>) -> i64 {
    offsets.sort_unstable();
    let groups = offsets.iter().enumerate().filter_map(|(begin, first)| {
        let agree = |offset: &&i64| offset.saturating_sub(*first) <= AGREE_MS;
        let group: &[i64] = offsets.get(begin..)?;
        let size = group.iter().take_while(agree).count();
        group.get(..size)
    });
    let spread = |group: &[i64]| group.last().zip(group.first()).map_or(0, |(last, first)| last - first);
    let best = groups.min_by_key(|group| (std::cmp::Reverse(group.len()), spread(group)));
    let Some(best) = best else { return 0 };
    let sum: i64 = best.iter().sum();
    sum.div_euclid(i64::try_from(best.len().max(1)).unwrap_or(1))
}

/// A clock that is adjusted and never runs back: where it would, it stands until time has caught up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AdjustedClock {
    offset_ms: i64,
    shown_ms: i64,
}

impl AdjustedClock {
    /// Its time, for messages.
    pub(crate) fn show(&mut self, wall_ms: i64) -> i64 {
        self.shown_ms = self.shown_ms.max(self.read(wall_ms));
        self.shown_ms
    }

    /// Its time, to be compared with others'. It may run back.
    pub(crate) fn read(&self, wall_ms: i64) -> i64 {
        wall_ms.saturating_add(self.offset_ms)
    }

    pub(crate) fn adjust(&mut self, by_ms: i64) {
        if by_ms.unsigned_abs() <= OFFSET_MS_MAX.unsigned_abs() {
            self.offset_ms = self.offset_ms.saturating_add(by_ms);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_clocks_of_the_textbook_meet_in_the_middle() {
        // 3:00, 3:25 and 2:50 become 3:05; here in seconds, as minutes would be outliers.
        let mut round = Round::new(1, 0, "coordinator");
        round.handle_report(0, 180_000, "fast", 181_500);
        round.handle_report(0, 180_000, "slow", 179_400);
        let adjust = round.adjustments();
        assert_eq!((adjust["coordinator"], adjust["fast"], adjust["slow"]), (300, -1_200, 900));
    }

    #[test]
    fn a_clock_that_is_far_off_is_not_averaged_but_adjusted() {
        let mut round = Round::new(1, 1_000, "a");
        round.handle_report(1_200, 50_000, "b", 49_920);
        round.handle_report(1_000, 50_000, "wrong", 3_650_000);
        round.handle_report(1_000, 50_000, "nonsense", i64::MAX);
        let adjust = round.adjustments();
        // It took 200 ms, so b's clock shows 50,020 when its report comes.
        assert_eq!((adjust["a"], adjust["b"], adjust["wrong"]), (10, -10, 10 - 3_600_000));
        assert!(!adjust.contains_key("nonsense"));
        assert!(!round.is_over(1_999) && round.is_over(2_000));
    }

    #[test]
    fn a_clock_never_runs_back() {
        let mut clock = AdjustedClock::default();
        assert_eq!(clock.show(1_000), 1_000);
        clock.adjust(-300);
        assert_eq!((clock.show(1_100), clock.read(1_100)), (1_000, 800));
        assert_eq!(clock.show(1_400), 1_100);
        clock.adjust(i64::MIN);
        assert_eq!(clock.show(1_400), 1_100);
    }

    proptest! {
        #[test]
        fn who_adjusts_agrees_and_the_average_is_among_the_clocks(
            offsets in proptest::collection::vec(-20_000_i64..20_000, 1..8),
        ) {
            let mut round = Round::new(1, 0, "a");
            for (number, offset) in offsets.iter().enumerate() {
                round.handle_report(0, 1_000_000, &format!("server-{number}"), 1_000_000 + offset);
            }
            let adjust = round.adjustments();
            let agreed = adjust["a"];
            for (number, offset) in offsets.iter().enumerate() {
                prop_assert_eq!(offset + adjust[&format!("server-{number}")], agreed);
            }
            let low = offsets.iter().min().unwrap().min(&0);
            let high = offsets.iter().max().unwrap().max(&0);
            prop_assert!((low..=high).contains(&&agreed));
        }
    }
}
