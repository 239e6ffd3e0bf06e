//! Who is registered, and how they are.

use anyhow::{Context, Result};
use serde_json::json;
use swarmmq::discovery::{Health, Instance};

use crate::generator::now_ms;
use crate::options::Status;
use crate::registry::{consumers, producers};

pub(crate) async fn run(options: Status, json: bool) -> Result<()> {
    let registry = options.place.registry().await?.context("--discovery none has no registry to ask")?;
    let mut instances = registry.list(Some(&producers()?)).await?;
    instances.extend(registry.list(Some(&consumers()?)).await?);
    let healthy = instances.iter().filter(|one| one.health == Health::Healthy).count();
    if json {
        let list: Vec<_> = instances.iter().map(object).collect();
        println!("{}", json!({ "registered": instances.len(), "healthy": healthy, "instances": list }));
    } else {
        for line in table(&instances, now_ms()) {
            println!("{line}");
        }
        println!("{} services registered, {healthy} healthy", instances.len());
    }
    Ok(())
}

fn object(one: &Instance) -> serde_json::Value {
    json!({
        "key": one.key.to_string(),
        "service": one.key.service.as_str(),
        "id": one.key.id.as_str(),
        "endpoint": one.endpoint,
        "health": one.health.as_str(),
        "last_heartbeat_ms": one.heartbeat_ms,
        "metadata": one.metadata,
    })
}

/// Aligned columns. What was registered by others is shown without control characters.
fn table(instances: &[Instance], now_ms: u64) -> Vec<String> {
    let head = ["INSTANCE", "ENDPOINT", "HEALTH", "HEARTBEAT"].map(str::to_owned);
    let rows = instances.iter().map(|one| {
        let age = now_ms.saturating_sub(one.heartbeat_ms) / 1000;
        let endpoint = one.endpoint.chars().filter(|c| !c.is_control()).collect();
        [one.key.to_string(), endpoint, one.health.to_string(), format!("{age} s ago")]
    });
    let rows: Vec<[String; 4]> = std::iter::once(head).chain(rows).collect();
    let widths: Vec<usize> = (0..4)
        .map(|nth| {
            rows.iter().filter_map(|row| row.get(nth)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let line = |row: &[String; 4]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_harmless() {
        let mut one = Instance::new("producer/a".parse().unwrap(), "tcp://a\u{1b}[31m:1");
        one.heartbeat_ms = 4_000;
        let two =
            Instance { heartbeat_ms: 9_000, ..Instance::new("producer/long".parse().unwrap(), "tcp://b:1") };
        assert_eq!(
            table(&[one, two], 10_000),
            [
                "INSTANCE                 ENDPOINT       HEALTH   HEARTBEAT",
                "/services/producer/a     tcp://a[31m:1  healthy  6 s ago",
                "/services/producer/long  tcp://b:1      healthy  1 s ago",
            ]
        );
    }
}
