//! An instance as a key and a value of etcd.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use swarmmq_protocol::ServiceType;
use swarmmq_protocol::limits::{LEASE_TTL_MS_DEFAULT, LEASE_TTL_MS_MAX, LEASE_TTL_MS_MIN};
use swarmmq_protocol::service::{Health, Instance, InstanceKey};

use super::messages::KeyValue;

/// Under which all keys stand.
const ROOT: &str = "/services/";

/// The value of a key. What others write beside these fields is not looked at.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    endpoint: String,
    #[serde(default = "healthy")]
    health: String,
    /// RFC 3339 as we write it; seconds or milliseconds since 1970 are read as well.
    #[serde(default)]
    last_heartbeat: Value,
    #[serde(default = "ttl_default")]
    ttl_seconds: f64,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
}

fn healthy() -> String {
    Health::Healthy.as_str().into()
}

fn ttl_default() -> f64 {
    f64::from(LEASE_TTL_MS_DEFAULT) / 1000.0
}

/// The key of an instance, as the gateway wants it.
pub(super) fn key_of(key: &InstanceKey) -> String {
    STANDARD.encode(key.to_string())
}

/// The keys of a service, or of all: the first, and the first behind them.
pub(super) fn range_of(service: Option<&ServiceType>) -> (String, String) {
    let first = match service {
        Some(service) => format!("{ROOT}{service}/"),
        None => ROOT.to_owned(),
    };
    // '0' follows '/'.
    let end = format!("{}0", first.trim_end_matches('/'));
    (STANDARD.encode(first), STANDARD.encode(end))
}

/// The value of an instance, as the gateway wants it.
pub(super) fn value_of(instance: &Instance) -> String {
    let record = Record {
        endpoint: instance.endpoint.clone(),
        health: instance.health.as_str().into(),
        last_heartbeat: Value::String(rfc3339(instance.heartbeat_ms)),
        ttl_seconds: f64::from(instance.ttl_ms) / 1000.0,
        metadata: instance.metadata.clone(),
    };
    STANDARD.encode(serde_json::json!(record).to_string())
}

/// The key that an entry has, if it is that of an instance.
pub(super) fn read_key(entry: &KeyValue) -> Option<InstanceKey> {
    let bytes = STANDARD.decode(&entry.key).ok()?;
    std::str::from_utf8(&bytes).ok()?.strip_prefix(ROOT)?.parse().ok()
}

/// The instance that an entry is, or why it is none.
pub(super) fn read_value(key: InstanceKey, entry: &KeyValue) -> Result<Instance, String> {
    let bytes = STANDARD.decode(&entry.value).map_err(|error| error.to_string())?;
    let record: Record = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    let ttl_ms =
        (record.ttl_seconds * 1000.0).clamp(f64::from(LEASE_TTL_MS_MIN), f64::from(LEASE_TTL_MS_MAX)) as u32;
    let is_healthy = record.health.eq_ignore_ascii_case(Health::Healthy.as_str());
    let instance = Instance {
        key,
        endpoint: record.endpoint,
        health: if is_healthy { Health::Healthy } else { Health::Unhealthy },
        heartbeat_ms: heartbeat_ms(&record.last_heartbeat),
        ttl_ms,
        metadata: record.metadata,
    };
    instance.validate().map_err(|error| error.to_string())?;
    Ok(instance)
}

fn heartbeat_ms(value: &Value) -> u64 {
    /// Seconds since 1970 stay below this for three thousand years, milliseconds are above it since 1973.
    const SECONDS_MAX: f64 = 1e11;
    match value {
        Value::String(text) => match text.parse::<f64>() {
            Ok(_) if text.is_empty() => 0,
            Ok(number) => heartbeat_ms(&serde_json::json!(number)),
            Err(_) => ms_of_rfc3339(text).unwrap_or_default(),
        },
        Value::Number(number) => match number.as_f64().unwrap_or_default() {
            seconds if seconds < SECONDS_MAX => (seconds * 1000.0) as u64,
            milliseconds => milliseconds as u64,
        },
        _ => 0,
    }
}

/// A time in UTC, as `2026-11-21T11:17:11.042Z`.
fn rfc3339(ms: u64) -> String {
    let (days, rest) = (ms / 86_400_000, ms % 86_400_000);
    let (year, month, day) = civil_of(i64::try_from(days).unwrap_or_default());
    let (hour, minute, second) = (rest / 3_600_000, rest / 60_000 % 60, rest / 1000 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", rest % 1000)
}

/// Reads what [`rfc3339`] writes, with any number of decimals, and any offset from UTC.
fn ms_of_rfc3339(text: &str) -> Option<u64> {
    let (date, time) = text.split_once(['T', 't', ' '])?;
    let mut date = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let (clock, offset_minutes) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => (time.get(..at)?, offset_minutes(time.get(at..)?)?),
        None => (time, 0),
    };
    let mut clock = clock.split(':');
    let (hour, minute) = (clock.next()?.parse::<i64>().ok()?, clock.next()?.parse::<i64>().ok()?);
    let seconds = clock.next().unwrap_or("0").parse::<f64>().ok()?;
    let is_sound = (1970..=9999).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..61.0).contains(&seconds);
    if !is_sound {
        return None;
    }
    let minutes = (days_of(year, month, day) * 24 + hour) * 60 + minute - offset_minutes;
    u64::try_from(minutes * 60_000 + (seconds * 1000.0).round() as i64).ok()
}

fn offset_minutes(text: &str) -> Option<i64> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = text.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':').unwrap_or((rest, "0"));
    let minutes = hours.parse::<i64>().ok()?.checked_mul(60)?.checked_add(minutes.parse::<i64>().ok()?)?;
    Some(if sign == "-" { -minutes } else { minutes })
}

/// Days since 1970-01-01 in the Gregorian calendar, whose years are counted from March, so that the day that not every
/// year has is the last.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The year, month and day that many days after 1970-01-01.
fn civil_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use swarmmq_protocol::InstanceId;

    use super::*;

    fn entry(value: &str) -> KeyValue {
        KeyValue {
            key: STANDARD.encode("/services/producer/p1"),
            value: STANDARD.encode(value),
            mod_revision: 1,
        }
    }

    fn read(value: &str) -> Result<Instance, String> {
        let entry = entry(value);
        read_value(read_key(&entry).unwrap(), &entry)
    }

    proptest! {
        #[test]
        fn an_instance_is_read_as_it_was_written(
            endpoint in "[!-~]{1,60}", healthy in any::<bool>(), heartbeat_ms in 0..253_402_300_799_999_u64,
            ttl_ms in LEASE_TTL_MS_MIN..=LEASE_TTL_MS_MAX,
            metadata in proptest::collection::btree_map(".{0,10}", ".{0,20}", 0..4),
        ) {
            let key = InstanceKey::new(ServiceType::new("producer").unwrap(), InstanceId::new("p1").unwrap());
            let health = if healthy { Health::Healthy } else { Health::Unhealthy };
            let instance = Instance { key, endpoint, health, heartbeat_ms, ttl_ms, metadata };
            let entry = KeyValue { key: key_of(&instance.key), value: value_of(&instance), mod_revision: 1 };
            let key = read_key(&entry).unwrap();
            // A lease of a millisecond less is a lease of a thousandth of a second more or less.
            let read = read_value(key, &entry).unwrap();
            prop_assert!(read.ttl_ms.abs_diff(ttl_ms) <= 1);
            prop_assert_eq!(Instance { ttl_ms, ..read }, instance);
        }

        #[test]
        fn days_and_dates_are_the_same(days in 0..3_000_000_i64) {
            let (year, month, day) = civil_of(days);
            prop_assert_eq!(days_of(year, month, day), days);
        }

        #[test]
        fn any_value_is_an_instance_or_a_reason(value in ".{0,200}") {
            let _ = read(&value);
            let _ = ms_of_rfc3339(&value);
        }
    }

    #[test]
    fn what_others_write_is_read_as_well() {
        let one = read(r#"{"endpoint":"tcp://a:1","health":"healthy","last_heartbeat":1758542400}"#).unwrap();
        assert_eq!((one.heartbeat_ms, one.ttl_ms), (1_758_542_400_000, 60_000));
        let one = read(r#"{"endpoint":"tcp://a:1","health":"unhealthy","last_heartbeat":"1758542400123"}"#)
            .unwrap();
        assert_eq!((one.heartbeat_ms, one.health), (1_758_542_400_123, Health::Unhealthy));
        let one = read(r#"{"endpoint":"tcp://a:1","more":[1]}"#).unwrap();
        assert_eq!((one.heartbeat_ms, one.health), (0, Health::Healthy));
        assert!(read("{}").is_err() && read("tcp://a:1").is_err() && read(r#"{"endpoint":""}"#).is_err());
    }

    #[test]
    fn times_are_those_that_everybody_knows() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(1_709_210_096_007), "2024-02-29T12:34:56.007Z");
        assert_eq!(ms_of_rfc3339("2024-02-29T12:34:56.007Z"), Some(1_709_210_096_007));
        assert_eq!(ms_of_rfc3339("2024-02-29T14:34:56.007+02:00"), Some(1_709_210_096_007));
        assert_eq!(ms_of_rfc3339("2024-02-29 07:04:56.007-05:30"), Some(1_709_210_096_007));
        assert_eq!(ms_of_rfc3339("2024-13-29T12:34:56Z"), None);
    }

    #[test]
    fn a_service_is_the_keys_below_its_name() {
        let text = |encoded: &str| String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
        let service = ServiceType::new("a").unwrap();
        let (first, end) = range_of(Some(&service));
        assert_eq!((text(&first).as_str(), text(&end).as_str()), ("/services/a/", "/services/a0"));
        let (first, end) = range_of(None);
        assert_eq!((text(&first).as_str(), text(&end).as_str()), ("/services/", "/services0"));
    }
}
