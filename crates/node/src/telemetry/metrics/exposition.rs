//! The text that Prometheus reads.

use std::fmt::Write;

use super::definitions::Definition;
use super::histogram::Histogram;

/// Builds a page in the text exposition format, version 0.0.4. Each metric is written once, with all its series.
#[derive(Debug, Default)]
pub struct Exposition {
    text: String,
}

impl Exposition {
    /// The content type of the page.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// A page that begins with what a recorder rendered.
    #[must_use]
    pub fn after(text: String) -> Self {
        Self { text }
    }

    /// Writes a metric that has no label.
    pub fn value(&mut self, definition: &Definition, value: f64) {
        self.head(definition);
        self.sample(definition.name, &[], value);
    }

    /// Writes a metric with one label, a series for each item.
    pub fn series<'a>(&mut self, definition: &Definition, items: impl Iterator<Item = (&'a str, f64)>) {
        let Some(label) = definition.labels.first() else { return };
        self.head(definition);
        for (item, value) in items {
            self.sample(definition.name, &[(label, item)], value);
        }
    }

    /// Writes a metric with two labels, a series for each item.
    pub fn table<'a>(
        &mut self,
        definition: &Definition,
        items: impl Iterator<Item = (&'a str, &'a str, f64)>,
    ) {
        let [first, second] = definition.labels else { return };
        self.head(definition);
        for (one, other, value) in items {
            self.sample(definition.name, &[(first, one), (second, other)], value);
        }
    }

    /// Writes a histogram without labels.
    pub fn histogram(&mut self, definition: &Definition, histogram: &Histogram) {
        self.head(definition);
        // The count is that of the last bucket, so that the two agree while others record.
        let mut count = 0;
        let bucket = format!("{}_bucket", definition.name);
        for (bound, up_to) in histogram.cumulative() {
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".to_owned() };
            self.sample(&bucket, &[("le", &bound)], up_to as f64);
            count = up_to;
        }
        self.sample(&format!("{}_sum", definition.name), &[], histogram.sum());
        self.sample(&format!("{}_count", definition.name), &[], count as f64);
    }

    /// The page.
    #[must_use]
    pub fn finish(self) -> String {
        self.text
    }

    fn head(&mut self, definition: &Definition) {
        let Definition { name, kind, help, .. } = definition;
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {}", kind.as_str());
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        for (index, (label, text)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{label}=\"");
            for character in text.chars() {
                match character {
                    '\\' => self.text.push_str("\\\\"),
                    '"' => self.text.push_str("\\\""),
                    '\n' => self.text.push_str("\\n"),
                    other => self.text.push(other),
                }
            }
            self.text.push('"');
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_break_the_line() {
        let mut page = Exposition::default();
        page.sample("m", &[("a", "x\"y\\z\n")], 1.5);
        assert_eq!(page.finish(), "m{a=\"x\\\"y\\\\z\\n\"} 1.5\n");
    }
}
