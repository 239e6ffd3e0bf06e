//! `swarmmq zeromq`.

use clap::{Args, Subcommand};
use serde_json::Value;

use crate::console::{Column, Console, Table, printable};
use crate::failure::Failure;
use crate::http::HttpTarget;

/// See the ZeroMQ endpoints of a node, who is connected to them, and what they dropped
#[derive(Debug, Args)]
pub(crate) struct Zeromq {
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Debug, Subcommand)]
enum Deed {
    /// List the endpoints
    #[command(after_help = "\
EXAMPLES:
  swarmmq zeromq ls
  swarmmq zeromq ls --http 10.0.0.5:8080 --json | jq -r .endpoints[].name")]
    Ls(HttpTarget),
    /// List who is connected to an endpoint, longest first
    #[command(after_help = "\
EXAMPLES:
  swarmmq zeromq peers durable")]
    Peers(Peers),
    /// Show what was refused and dropped since the node started, by endpoint and reason
    #[command(after_help = "\
EXAMPLES:
  swarmmq zeromq drops
  swarmmq zeromq drops --json | jq .")]
    Drops(HttpTarget),
}

#[derive(Debug, Args)]
struct Peers {
    /// Name of the endpoint
    endpoint: String,

    #[command(flatten)]
    target: HttpTarget,
}

impl Zeromq {
    pub(crate) fn run(self, console: Console) -> Result<(), Failure> {
        match self.deed {
            Deed::Ls(target) => ls(&console, &get(&target, "/zeromq")?),
            Deed::Peers(Peers { endpoint, target }) => {
                let path = format!("/zeromq/{}/peers", escaped(&endpoint));
                peers(&console, &get(&target, &path)?)
            }
            Deed::Drops(target) => drops(&console, &get(&target, "/zeromq")?),
        }
    }
}

fn get(target: &HttpTarget, path: &str) -> Result<Value, Failure> {
    let answer = target.get(path)?;
    match answer.status {
        200 => Ok(answer.body),
        status => {
            let why = answer.explanation().map(|text| printable(text.as_bytes(), false));
            let why = why.unwrap_or_else(|| format!("it answers with status {status}"));
            Err(Failure::failed(format!("{}: {why}", target.address())))
        }
    }
}

/// A name as a part of a path.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn text(value: &Value, key: &str) -> String {
    match value.get(key) {
        Some(Value::String(text)) => printable(text.as_bytes(), false),
        Some(Value::Null) | None => "-".to_owned(),
        Some(other) => other.to_string(),
    }
}

fn list<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn dropped(endpoint: &Value) -> u64 {
    let drops = endpoint.get("drops").and_then(Value::as_object);
    drops.map_or(0, |drops| drops.values().filter_map(Value::as_u64).sum())
}

fn ls(console: &Console, answer: &Value) -> Result<(), Failure> {
    if console.is_json() {
        return console.object(answer);
    }
    let mut table = Table::new(&[
        Column::Left("NAME"),
        Column::Left("KIND"),
        Column::Left("BIND"),
        Column::Left("BACKEND"),
        Column::Right("PEERS"),
        Column::Right("DROPPED"),
    ]);
    for one in list(answer, "endpoints") {
        let mut row: Vec<String> =
            ["name", "kind", "bind", "backend", "peers"].into_iter().map(|key| text(one, key)).collect();
        row.push(dropped(one).to_string());
        table.row(row);
    }
    table.print(console)
}

fn peers(console: &Console, answer: &Value) -> Result<(), Failure> {
    if console.is_json() {
        return console.object(answer);
    }
    let mut table = Table::new(&[
        Column::Left("ADDRESS"),
        Column::Left("SIDE"),
        Column::Left("SOCKET"),
        Column::Left("ROUTING ID"),
        Column::Left("USER"),
        Column::Right("SECONDS"),
        Column::Right("RECEIVED"),
        Column::Right("SENT"),
    ]);
    let keys =
        ["address", "side", "socket_type", "routing_id", "user", "connected_seconds", "received", "sent"];
    for one in list(answer, "peers") {
        table.row(keys.into_iter().map(|key| text(one, key)));
    }
    table.print(console)?;
    let (shown, count) = (list(answer, "peers").len(), answer.get("count").and_then(Value::as_u64));
    if count.is_some_and(|count| count > shown as u64) {
        console.note(format!("{} more are not shown", count.unwrap_or_default() - shown as u64));
    }
    Ok(())
}

fn drops(console: &Console, answer: &Value) -> Result<(), Failure> {
    if console.is_json() {
        return console.object(answer);
    }
    let mut table = Table::new(&[Column::Left("ENDPOINT"), Column::Left("REASON"), Column::Right("DROPPED")]);
    let mut any = false;
    for one in list(answer, "endpoints") {
        for (reason, count) in one.get("drops").and_then(Value::as_object).into_iter().flatten() {
            any = true;
            table.row([text(one, "name"), reason.clone(), count.to_string()]);
        }
    }
    if !any {
        return console.line("nothing was refused or dropped");
    }
    table.print(console)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_goes_into_a_path_as_one_part() {
        assert_eq!(escaped("a-b_c.d"), "a-b_c.d");
        assert_eq!(escaped("a/b c?"), "a%2Fb%20c%3F");
    }
}
