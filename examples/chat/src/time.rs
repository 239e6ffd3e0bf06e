//! Moments: two clocks of one machine, and how they are written in messages.

use std::time::{Instant, SystemTime};

const DAY_MS: i64 = 86_400_000;

/// Days from 0000-03-01, where the years of this calculation begin, to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;

/// Days of 400 years: the calendar repeats itself after them.
const ERA_DAYS: i64 = 146_097;

/// A moment on this machine's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Now {
    /// Milliseconds since the program started; never goes back.
    pub(crate) monotonic_ms: u64,
    /// Milliseconds since 1970 (UTC), as the machine believes.
    pub(crate) wall_ms: i64,
}

/// Reads this machine's clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MachineClock {
    started: Instant,
    /// What is added to the machine's time, to see what a clock that is wrong does.
    error_ms: i64,
}

impl MachineClock {
    pub(crate) fn new(error_ms: i64) -> Self {
        Self { started: Instant::now(), error_ms }
    }

    pub(crate) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall_ms = i64::try_from(wall.as_millis()).unwrap_or(i64::MAX);
        let monotonic_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now { monotonic_ms, wall_ms: wall_ms.saturating_add(self.error_ms) }
    }
}

/// `2025-01-31T10:00:00.000Z`.
pub(crate) fn show(wall_ms: i64) -> String {
    let (days, rest) = (wall_ms.div_euclid(DAY_MS), wall_ms.rem_euclid(DAY_MS));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1000)
}

/// Reads what [`show`] writes, with any number of digits of a second, none included, and with or without the `Z`.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (date, clock) = text.strip_suffix('Z').unwrap_or(text).split_once('T')?;
    let mut date = date.split('-').map(number);
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let mut clock = clock.split(':').map(number);
    let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
    let sound = (1..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 61;
    if !sound || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let millis = number(format!("{fraction:0<3}").get(..3)?)?;
    Some(days(year, month, day) * DAY_MS + hour * 3_600_000 + minute * 60_000 + second * 1000 + millis)
}

fn number(digits: &str) -> Option<i64> {
    let sound = (1..=4).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| digits.parse().ok()).flatten()
}

/// Year, month and day of a day since 1970, in the Gregorian calendar. Years are counted from March, so that the day
/// that leap years add is their last.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - DAYS_BEFORE_1970
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn moments_are_written_as_iso_8601() {
        assert_eq!(show(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(show(951_827_696_789), "2000-02-29T12:34:56.789Z");
        assert_eq!(parse("2000-02-29T12:34:56.789123Z"), Some(951_827_696_789));
        assert_eq!(parse("2000-02-29T12:34:56"), Some(951_827_696_000));
        for nonsense in
            ["", "T", "2000-13-01T00:00:00Z", "2000-01-01", "2000-01-01T00:00:00.+1Z", "é-1-1T0:0:0"]
        {
            assert_eq!(parse(nonsense), None, "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(wall_ms in -60_000_000_000_000_i64..200_000_000_000_000) {
            prop_assert_eq!(parse(&show(wall_ms)), Some(wall_ms));
        }

        #[test]
        fn nothing_that_is_read_does_harm(text in ".{0,40}") {
            let _ = parse(&text);
        }
    }
}
