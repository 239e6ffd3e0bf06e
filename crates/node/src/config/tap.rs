//! The keys of `tap` endpoints.

use super::fields::{Fields, Section};
use super::scalar::Label;
use super::validation::Findings;

/// What only `tap` endpoints have, among the keys of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TapConfig {
    /// The name of the endpoint that is watched. Required.
    pub of: Option<Label>,
    /// One message of so many is taken. Default 1: every message.
    pub sample: u32,
}

impl Default for TapConfig {
    fn default() -> Self {
        Self { of: None, sample: 1 }
    }
}

impl Section for TapConfig {
    fn fields(&mut self, fields: &mut Fields<'_>) {
        let Self { of, sample } = self;
        fields.value("of", of);
        fields.value("sample", sample);
    }
}

impl TapConfig {
    pub(super) fn validate(&self, path: &str, findings: &mut Findings) {
        if self.of.is_none() {
            findings.missing(path, "of", "a tap watches an endpoint, as `of: rpc`");
        }
        findings.range(&format!("{path}.sample"), self.sample, 1, u32::MAX);
    }

    /// The first key that was changed, if any.
    pub(super) fn changed(&self) -> Option<&'static str> {
        let default = Self::default();
        let changed = [("of", self.of.is_some()), ("sample", self.sample != default.sample)];
        changed.into_iter().find(|(_, is_changed)| *is_changed).map(|(key, _)| key)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::parse;

    #[test]
    fn what_does_not_go_together_is_named() {
        let says = |keys: &str| {
            let rpc = "{ name: rpc, kind: egress, bind: 'tcp://127.0.0.1:5551', queue: jobs }";
            let text = format!("zeromq: {{ endpoints: [{rpc}, {{ name: watch, {keys} }}] }}");
            match parse(&text).and_then(|config| config.validate()) {
                Ok(()) => String::new(),
                Err(error) => error.to_string(),
            }
        };
        let bind = "bind: 'tcp://127.0.0.1:5559'";
        for good in
            [format!("kind: tap, of: rpc, {bind}, sample: 10"), "kind: tap, of: rpc, queue: q".to_owned()]
        {
            assert_eq!(says(&good), "");
        }
        for (keys, part) in [
            (format!("kind: tap, {bind}"), "of"),
            (format!("kind: tap, of: nobody, {bind}"), "of"),
            (format!("kind: tap, of: watch, {bind}"), "of"),
            (format!("kind: tap, of: rpc, {bind}, sample: 0"), "sample"),
            (format!("kind: tap, of: rpc, {bind}, queue: q"), "queue"),
            ("kind: tap, of: rpc, queue: jobs".to_owned(), "queue"),
            ("kind: tap, of: rpc".to_owned(), "bind"),
            (format!("kind: durable, of: rpc, {bind}"), "of"),
        ] {
            let said = says(&keys);
            assert!(said.contains("zeromq.endpoints[1]") && said.contains(part), "{keys}: {said}");
        }
    }
}
