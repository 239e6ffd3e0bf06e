//! `swarmmq health`: for people, and for the health checks of containers.

use clap::Args;
use serde_json::Value;

use crate::console::{Console, printable};
use crate::failure::Failure;
use crate::http::{Answer, HttpTarget};

/// Ask a node over HTTP whether it takes requests; exits with 0 if it does and with 1 if not
#[derive(Debug, Args)]
#[command(after_help = "\
EXAMPLES:
  swarmmq health
  swarmmq health --http 10.0.0.5:8080 --timeout 1s
  swarmmq health --http https://node-1:8080 --tls-ca ca.pem

Container runtimes know two answers, so that a node which cannot be reached exits with 1 as well.")]
pub(crate) struct Health {
    #[command(flatten)]
    target: HttpTarget,
}

impl Health {
    pub(crate) fn run(self, console: Console) -> Result<(), Failure> {
        let address = self.target.address();
        let answer = self.target.get("/health")?;
        if answer.status != 200 {
            return Err(Failure::failed(format!("{address} is not healthy: {}", reasons(&answer))));
        }
        let state = serde_json::json!({ "http": address, "healthy": true, "report": answer.body });
        let healthy = console.paint.good("healthy");
        let text = match explanations(&answer, "degraded") {
            Some(degraded) => format!("{healthy} {address}, but {degraded}"),
            None => format!("{healthy} {address}"),
        };
        console.done(text, &state)
    }
}

/// Why the node is not healthy, in its own words.
fn reasons(answer: &Answer) -> String {
    let status = answer.body.get("status").and_then(Value::as_str);
    match (explanations(answer, "reasons"), status) {
        (Some(reasons), _) => reasons,
        (None, Some(status)) => printable(status.as_bytes(), false),
        (None, None) => format!("it answers with status {}", answer.status),
    }
}

fn explanations(answer: &Answer, list: &str) -> Option<String> {
    let reasons = answer.body.get(list)?.as_array()?;
    let reasons: Vec<_> =
        reasons.iter().filter_map(|reason| reason.get("explanation").and_then(Value::as_str)).collect();
    (!reasons.is_empty()).then(|| printable(reasons.join("; ").as_bytes(), false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reasons_are_those_of_the_node() {
        let body = serde_json::json!({
            "status": "not ready",
            "reasons": [{ "code": "STARTING", "explanation": "it reads" }],
        });
        assert_eq!(reasons(&Answer { status: 503, body }), "it reads");
        assert_eq!(reasons(&Answer { status: 503, body: Value::Null }), "it answers with status 503");
    }
}
