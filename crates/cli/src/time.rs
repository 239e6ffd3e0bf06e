//! Moments as users write them and read them: RFC 3339, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
const MINUTE_MS: u64 = 60_000;
/// Days from 0000-03-01, where the years of this calculation begin, to 1970-01-01.
const DAYS_BEFORE_1970: i64 = 719_468;
/// Days of 400 years: the calendar repeats itself after them.
const ERA_DAYS: i64 = 146_097;

/// Now, ms since 1970.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// `2025-01-31T10:00:00.000Z`.
pub(crate) fn show_time(ms: u64) -> String {
    let (days, rest) = (ms / DAY_MS, ms % DAY_MS);
    let (year, month, day) = date(i64::try_from(days).unwrap_or(0));
    let (hour, minute) = (rest / HOUR_MS, rest % HOUR_MS / MINUTE_MS);
    let (second, fraction) = (rest % MINUTE_MS / 1000, rest % 1000);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z")
}

/// Reads RFC 3339 with `Z` or an offset. The time, the seconds and their fraction may be missing; a date
/// alone is its first moment in UTC.
pub(crate) fn parse_time(text: &str) -> Option<u64> {
    let (date, clock) = match text.split_once(['T', 't', ' ']) {
        Some((date, clock)) => (date, Some(clock)),
        None => (text, None),
    };
    let days = parse_date(date)?;
    let (time_ms, offset_ms) = clock.map_or(Some((0, 0)), parse_clock)?;
    let ms = days.checked_mul(DAY_MS as i64)? + time_ms - offset_ms;
    u64::try_from(ms).ok()
}

fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) =
        (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let month_days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=month_days).contains(&day) {
        return None;
    }
    Some(days(year, month, day))
}

/// The time of the day and the offset from UTC, ms.
fn parse_clock(text: &str) -> Option<(i64, i64)> {
    let end = text.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = text.split_at_checked(end)?;
    let mut parts = clock.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let second = parts.next().unwrap_or("00");
    let (second, fraction) = second.split_once('.').unwrap_or((second, "0"));
    let second = digits(second, 2)?;
    if hour > 23 || minute > 59 || second > 59 || parts.next().is_some() {
        return None;
    }
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let fraction_ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let offset_ms = match zone {
        "Z" | "z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            sign * (digits(hours, 2)? * HOUR_MS as i64 + digits(minutes, 2)? * MINUTE_MS as i64)
        }
    };
    Some((((hour * 60 + minute) * 60 + second) * 1000 + fraction_ms, offset_ms))
}

fn digits(text: &str, length: usize) -> Option<i64> {
    let all = text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years begin in March, so that the leap day is
/// their last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * ERA_DAYS + day_of_era - DAYS_BEFORE_1970
}

/// The inverse of [`days`].
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_BEFORE_1970;
    let (era, day_of_era) = (days.div_euclid(ERA_DAYS), days.rem_euclid(ERA_DAYS));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_shown() {
        for (ms, shown) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_827_696_789, "2000-02-29T12:34:56.789Z"),
            (1_735_689_599_999, "2024-12-31T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(show_time(ms), shown);
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for day in 0..60_000 {
            let ms = day * DAY_MS + 12_345_678;
            assert_eq!(parse_time(&show_time(ms)), Some(ms));
        }
    }

    #[test]
    fn offsets_and_short_forms_are_read() {
        let noon = Some(951_825_600_000);
        for text in [
            "2000-02-29T12:00Z",
            "2000-02-29 12:00:00Z",
            "2000-02-29T14:00:00+02:00",
            "2000-02-29T06:30:00.0-05:30",
        ] {
            assert_eq!(parse_time(text), noon, "{text}");
        }
        assert_eq!(parse_time("1970-01-02"), Some(DAY_MS));
    }

    #[test]
    fn what_is_no_moment_is_refused() {
        for text in [
            "2001-02-29",
            "2000-13-01",
            "2000-00-01",
            "2000-01-32",
            "2000-1-1",
            "1969-12-31",
            "2000-01-01T24:00Z",
            "2000-01-01T12:00",
            "2000-01-01T12:00:00.Z",
            "2000-01-01T12:60Z",
            "yesterday",
            "",
            "T",
            "-",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }
}
