//! A strict reader of the text exposition format, for tests: what the format merely tolerates is an error here.

use std::collections::{BTreeMap, BTreeSet};

/// A metric with its series by label text.
#[derive(Debug, Default, Clone)]
pub(crate) struct Family {
    pub(crate) kind: String,
    /// `name{labels}` and value, in order.
    pub(crate) samples: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Family {
    /// The value of the series with these labels.
    pub(crate) fn value(&self, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<String, String> =
            labels.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        self.samples.iter().find(|(_, found, _)| *found == labels).map(|(_, _, value)| *value)
    }
}

/// Reads a page, or says which line is wrong.
pub(crate) fn read(page: &str) -> Result<BTreeMap<String, Family>, String> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    let mut seen = BTreeSet::new();
    if !page.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    // The exporter separates metrics by an empty line, which the format allows.
    for line in page.lines().filter(|line| !line.is_empty()) {
        let wrong = |what: &str| format!("{what}: {line:?}");
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').ok_or_else(|| wrong("no help"))?;
            if help.is_empty() || families.insert(name.to_owned(), Family::default()).is_some() {
                return Err(wrong("empty or second help"));
            }
            current = name.to_owned();
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').ok_or_else(|| wrong("no type"))?;
            let family = families.get_mut(name).ok_or_else(|| wrong("type before help"))?;
            if name != current || !family.kind.is_empty() {
                return Err(wrong("type of another metric, or a second one"));
            }
            if !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(wrong("unknown type"));
            }
            kind.clone_into(&mut family.kind);
        } else if line.starts_with('#') {
            return Err(wrong("a comment"));
        } else {
            let (name, labels, value) = sample(line).map_err(wrong)?;
            let family = families.get_mut(&current).ok_or_else(|| wrong("no metric yet"))?;
            let suffix = name.strip_prefix(&current).ok_or_else(|| wrong("a sample of another metric"))?;
            let allowed: &[&str] =
                if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            if family.kind.is_empty() || !allowed.contains(&suffix) {
                return Err(wrong("no type, or the wrong ending"));
            }
            if !seen.insert((name.clone(), labels.clone())) {
                return Err(wrong("the same series twice"));
            }
            if family.kind == "counter" && !(value >= 0.0 && value.is_finite()) {
                return Err(wrong("a counter that is not a count"));
            }
            family.samples.push((name, labels, value));
        }
    }
    for (name, family) in &families {
        histogram(family).map_err(|what| format!("{name}: {what}"))?;
    }
    Ok(families)
}

/// Buckets rise, and the last one is infinite and equal to the count.
fn histogram(family: &Family) -> Result<(), String> {
    if family.kind != "histogram" {
        return Ok(());
    }
    let buckets: Vec<(f64, f64)> = family
        .samples
        .iter()
        .filter(|(name, _, _)| name.ends_with("_bucket"))
        .map(|(_, labels, value)| {
            let bound = labels.get("le").ok_or("a bucket without le")?;
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().map_err(|_| "a bound")? };
            Ok::<_, String>((bound, *value))
        })
        .collect::<Result<_, _>>()?;
    let count = family.samples.iter().find(|(name, _, _)| name.ends_with("_count"));
    let last = buckets.last().ok_or("no buckets")?;
    if buckets.windows(2).any(|pair| pair[0].0 >= pair[1].0 || pair[0].1 > pair[1].1) {
        return Err("buckets do not rise".into());
    }
    if last.0.is_finite() || count.map(|(_, _, value)| *value) != Some(last.1) {
        return Err("the last bucket is not the count".into());
    }
    if !family.samples.iter().any(|(name, _, _)| name.ends_with("_sum")) {
        return Err("no sum".into());
    }
    Ok(())
}

type Sample = (String, BTreeMap<String, String>, f64);

fn sample(line: &str) -> Result<Sample, &'static str> {
    let end = line.find(['{', ' ']).ok_or("no value")?;
    let (name, mut rest) = line.split_at(end);
    if !is_name(name) {
        return Err("not a name");
    }
    let mut labels = BTreeMap::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").ok_or("no label value")?;
            let (text, after) = label_text(after)?;
            if !is_name(label) || label.contains(':') || labels.insert(label.to_owned(), text).is_some() {
                return Err("not a label, or twice");
            }
            match after.chars().next() {
                Some(',') => rest = &after[1..],
                Some('}') => {
                    rest = &after[1..];
                    break;
                }
                _ => return Err("labels do not end"),
            }
        }
    }
    let value = rest.strip_prefix(' ').ok_or("no space before the value")?;
    Ok((name.to_owned(), labels, value.parse().map_err(|_| "not a number")?))
}

fn label_text(text: &str) -> Result<(String, &str), &'static str> {
    let mut out = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return Ok((out, &text[at + 1..])),
            '\\' => match chars.next() {
                Some((_, 'n')) => out.push('\n'),
                Some((_, c @ ('\\' | '"'))) => out.push(c),
                _ => return Err("an unknown escape"),
            },
            c => out.push(c),
        }
    }
    Err("a label does not end")
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    name.chars().next().is_some_and(|c| !c.is_ascii_digit()) && name.chars().all(allowed)
}

#[test]
fn the_strict_reader_finds_what_it_is_for() {
    let good = "# HELP a_total b\n# TYPE a_total counter\na_total{x=\"1\"} 2\n";
    assert_eq!(read(good).unwrap()["a_total"].value(&[("x", "1")]), Some(2.0));
    for bad in [
        "a 1\n",
        "# HELP a b\na 1\n",
        "# HELP a b\n# TYPE a gauge\na 1\na 2\n",
        "# HELP a b\n# TYPE a gauge\nb 2\n",
        "# HELP a b\n# TYPE a gauge\na{x=\"1} 2\n",
        "# HELP a b\n# TYPE a counter\na -1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 1\na_sum 1\na_count 1\n",
        "# HELP a b\n# TYPE a histogram\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
        "# HELP a b\n# TYPE a gauge\na 1",
    ] {
        assert!(read(bad).is_err(), "{bad}");
    }
}
